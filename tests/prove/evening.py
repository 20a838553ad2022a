"""Evening: how a history stands when it has come to rest: the systems, the ledger, and what people did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.prove import seen
from tests.prove.house import House
from tests.prove.people import People, addresses_of
from tests.prove.play import Play
from tests.prove.tally import Tally

Row = dict[str, Any]


class Broken(AssertionError):
    """One of the ten sentences, `sentence`, is not true of this history."""

    def __init__(self, why: str, sentence: str = "") -> None:
        super().__init__(why)
        self.sentence = sentence

    def __str__(self) -> str:
        said = self.sentence.replace("_", " ")
        return f"{said}: {self.args[0]}" if said else str(self.args[0])


@dataclass
class Evening:
    """How a history stands when it has come to rest: the systems, the ledger, and what people did."""

    house: House
    people: People
    play: Play
    tally: Tally
    reconciles: bool
    records: dict[UUID, list[Row]] = field(default_factory=dict)
    entities: dict[UUID, Row] = field(default_factory=dict)
    excused: dict[UUID, set[str]] = field(default_factory=dict)
    """Entities of which a conflict, a dead letter, a question or a deletion says why something may differ: the fields,
    or `*` for all."""

    def said(self, record: Row) -> Row | None:
        """What a linked record says in its system; None when it is not there."""
        return READERS[record["system"], record["type"]](self, str(record["external_id"]))


def look(house: House, people: People, play: Play, tally: Tally, *, reconciles: bool) -> Evening:
    """Gather what the sentences are about."""
    evening = Evening(house, people, play, tally, reconciles)
    for row in house.rows("SELECT * FROM entity WHERE merged_into IS NULL"):
        evening.entities[row["id"]] = row
    for row in house.rows("SELECT * FROM record ORDER BY id"):
        evening.records.setdefault(row["entity_id"], []).append(row)
    for entity, name in _excuses(evening):
        evening.excused.setdefault(entity, set()).add(name)
    return evening


def _excuses(evening: Evening) -> Iterator[tuple[UUID, str]]:
    """Why an entity's systems need not agree, as the ledger tells a person."""
    house = evening.house
    for row in house.rows("SELECT entity_id, field FROM conflict WHERE state = 'open'"):
        yield row["entity_id"], row["field"]
    for row in house.rows(
        """SELECT coalesce(l.entity_id, e.entity_id, r.entity_id) AS entity, n.parent_id
           FROM dead_letter l LEFT JOIN event e ON e.seq = l.event_seq
           LEFT JOIN record r ON r.system = e.source AND r.type || '/' || r.external_id = e.subject
           LEFT JOIN entity n ON n.id = coalesce(l.entity_id, e.entity_id, r.entity_id)
           WHERE l.state IN ('open', 'retried') AND l.cause <> 'payment taken back by the books'"""
    ):
        yield from ((one, "*") for one in (row["entity"], row["parent_id"]) if one)
    for row in house.rows(
        """SELECT coalesce(q.entity_id, r.entity_id) AS entity FROM question q
           LEFT JOIN record r ON r.system = q.system AND r.type || '/' || r.external_id = q.subject
           WHERE q.state = 'open'"""
    ):
        if row["entity"]:
            yield row["entity"], "*"
    for entity, records in evening.records.items():
        if any(one["state"] == "deleted" for one in records):
            yield entity, "deleted"


# ---- what a record says, from the systems themselves


def _shop_order(evening: Evening, key: str) -> Row | None:
    row = evening.house.shop.orders.table.rows.get(int(key))
    return seen.shop_order(row) if row else None


def _shop_payment(evening: Evening, key: str) -> Row | None:
    found = (one for order in evening.house.shop.orders.table.rows.values() for one in order["payments"])
    return next(({"paid": one["paid"] == "Y"} for one in found if str(one["id"]) == key), None)


def _deal(evening: Evening, key: str) -> Row | None:
    row = next((one for one in evening.people.deals() if str(one["id"]) == key), None)
    return seen.deal(row, evening.people.contact_of(row)) if row else None


def _books_order(evening: Evening, key: str) -> Row | None:
    row = next((one for one in evening.people.books_orders() if one["Ref_Key"] == key), None)
    return evening.people.books_says(row) if row else None


def _party(evening: Evening, key: str) -> Row | None:
    kind, _, number = key.partition(":")
    if kind != "company":
        return None
    state = evening.house.portal.state({})
    row = next((one for one in state["companies"] if str(one["id"]) == number), None)
    if row is None:
        return None
    requisite = seen.requisite_of(state, int(number))
    return seen.company(row, requisite, addresses_of(state, requisite))


def _counterparty(evening: Evening, key: str) -> Row | None:
    found = evening.house.base.state({"of": "Catalog_Контрагенты", "ids": key})["Catalog_Контрагенты"]
    return seen.books_party(found[0]) if found and not found[0]["DeletionMark"] else None


def _nothing(evening: Evening, key: str) -> Row | None:
    del evening, key
    return None


READERS: dict[tuple[str, str], Callable[[Evening, str], Row | None]] = {
    ("shop", "order"): _shop_order,
    ("shop", "payment"): _shop_payment,
    ("crm", "deal"): _deal,
    ("crm", "party"): _party,
    ("onec", "order"): _books_order,
    ("onec", "payment"): _nothing,
    ("onec", "counterparty"): _counterparty,
    ("bank", "payment"): _nothing,
    ("bankfile", "payment"): _nothing,
}
