"""Taken back: money that the books delete, and that a system shows as paid because they had said so.

It stays counted (a deletion is noted, not followed), so a person has to know: what is shipped for it is not paid.
"""

from __future__ import annotations

from uuid import UUID

from bus.batch import Batch
from bus.config import Config
from bus.errors import Permanent
from bus.ledger import entities
from bus.ledger.database import Connection
from bus.ledger.entities import Known
from bus.model import PaymentState


def tell(connection: Connection, batch: Batch, config: Config) -> None:
    """Let such deletions end as dead letters. Asked when all of the batch is heard: a part that moved is not gone."""
    left = [(row, known) for row, known in batch.taken_back if _by_the_books_alone(known, config)]
    orders = {known.parent_id for _, known in left if known.parent_id}
    told: dict[UUID, set[str]] = {one["id"]: {*one["told"]} for one in entities.payments_of(connection, orders)}
    for row, known in left:
        has = _has(known)
        shown = sorted(has & {*config.called})
        if not shown or (has & told.get(known.id, set())) - {*shown}:  # a bank has told of it
            continue
        batch.endings = [ending for ending in batch.endings if ending.seq != row["seq"]]
        say = (
            f"the books take this money back, and {', '.join(shown)} shows it as paid: take it back there, or enter a"
            " refund in the books, then retry"
        )
        batch.set_aside(row, Permanent(say, cause="payment taken back by the books"), known.id)


def _by_the_books_alone(known: Known, config: Config) -> bool:
    """Did they say that it is paid, and do none of them have it any more?"""
    said = known.view.said.get("status")
    paid = known.view.fields.get("status") == PaymentState.PAID
    return bool(paid and said and said.source in config.books and not _has(known) & {*config.books})


def _has(known: Known) -> set[str]:
    return {one.system for one in known.records if one.stands}
