"""Deriving: what follows from what a batch was told: what is paid of an order, what speaks against requisites."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from bus import channels, merge
from bus.batch import Batch
from bus.ledger import entities
from bus.ledger.database import Connection
from bus.model import Fields

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def doubt(batch: Batch) -> None:
    """Derive what speaks against a counterparty's requisites."""
    for entity, (_, seq) in batch.touched.items():
        if (known := batch.known[entity]).view.kind == "counterparty":
            changes = merge.doubt(known.view, event=str(seq or ""))
            known.dirty |= bool(changes)
            batch.tell(entity, "bus", changes, seq)


def settle(connection: Connection, batch: Batch) -> None:
    """Derive what follows from payments, for every order that was touched."""
    orders = [entity for entity in batch.touched if batch.known[entity].view.kind == "order"]
    families = _families(connection, orders, batch) if orders else {}
    for entity in orders:
        known = batch.known[entity]
        priority, seq = batch.touched[entity]
        at = max((word.at for word in known.view.said.values()), default=_EPOCH)
        changes = merge.settle(known.view, families[entity].values(), event=str(seq or ""), at=at)
        known.dirty |= bool(changes)
        batch.tell(entity, "bus", changes, seq)
        if any(change.field == "payment_status" and change.old is not None for change in changes):
            batch.touch(entity, min(priority, channels.URGENT), seq)


def _families(connection: Connection, orders: list[UUID], batch: Batch) -> dict[UUID, dict[UUID, Fields]]:
    """The payments of each order: as the ledger has them, and over them those that the batch has changed."""
    families = entities.children(connection, [order for order in orders if not batch.known[order].fresh])
    families |= {order: {} for order in orders if batch.known[order].fresh}
    for payment, order in batch.moved:  # which the ledger has there still
        families[order].pop(payment, None)
    for known in batch.known.values():
        if known.parent_id in families:
            families[known.parent_id].pop(known.id, None)
            if any(one.stands for one in known.records):
                families[known.parent_id][known.id] = known.view.fields
    return families
