"""Belonging: which order each payment of a batch is of; and what becomes of one whose order is not known."""

from __future__ import annotations

from uuid import UUID

from bus.config import Config
from bus.errors import Permanent
from bus.identified import Identified, Sought, speaks
from bus.keys import key_of
from bus.ledger import entities, questions
from bus.ledger.database import Connection, Row
from bus.ledger.questions import NEW, Question
from bus.model import flatten


def find_orders(connection: Connection, sought: Sought, config: Config, answer: Identified) -> None:
    """The order of each payment goes into the answer, or that its event must wait for one, or is none of ours."""
    wanted = _named_orders(sought.rows, config)
    orders = entities.find(connection, "order", set(wanted.values()))
    unnamed = [row for row in sought.rows if row["seq"] not in wanted and row["source"] != "bus"]
    told = questions.answers(connection, {(row["source"], row["subject"]) for row in unnamed})
    answer.heard |= told
    for row in sought.rows:
        seq = row["seq"]
        if seq in wanted and wanted[seq] in orders:
            answer.parent[seq] = orders[wanted[seq]]
        elif seq in wanted:  # be it known: the books may say that it is of another order than was thought
            answer.waits_for[seq] = wanted[seq]
        elif not sought.is_known(row) and speaks(row):
            _without_order(row, told.get((row["source"], row["subject"])), config, answer)


def _named_orders(rows: list[Row], config: Config) -> dict[int, str]:
    """The key of the order that each event names, or that another one of its record has named."""
    named: dict[tuple[str, str], str] = {}
    wanted: dict[int, str] = {}
    for row in rows:
        record = row["source"], row["subject"]
        if order := (row["data"] or {}).get("order"):
            named[record] = key_of(order, config)
        if record in named and row["data"]:
            wanted[row["seq"]] = named[record]
    return wanted


def _without_order(row: Row, told: str | None, config: Config, answer: Identified) -> None:
    """A payment that names no order, and what a person has told of it.

    Of a bank's a person is asked which; the books name it when the accountant has found out; anybody else has to.
    """
    known = config.systems.get(row["source"])
    kind, seq = known.kind if known else None, row["seq"]
    if told not in (None, NEW):
        answer.parent[seq] = UUID(told)
    elif told == NEW or row["source"] in config.books:
        why = "a person said" if told == NEW else f"{row['source']} does not say yet"
        answer.unwanted[seq] = f"for no order of ours: {why}"
    elif kind == "bank":
        said = flatten("payment", row["data"] or {})
        about = {name: said[name] for name in ("amount", "paid_at", "external_number") if said.get(name)}
        answer.ask(seq, Question("order", row["source"], row["subject"], [], about))
    else:
        answer.refused[seq] = Permanent(
            "data.order is missing: a payment must name its order", cause="payment without an order"
        )
