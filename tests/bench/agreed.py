"""A company whose orders and deals are agreed: so many in the shop, in the portal and in the ledger, in sync.

The shop's orders are the stand-in shop's, in this process, so that what it tells later is what a shop would tell. The
deals are what the bus would create of them, put into the stand-in portal in a few calls; the ledger is filled with what
the real merge and the real translators make of both. A company of which anything is left to write is refused.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from bus import merge, translate
from bus.envelope import version_order
from bus.ledger import entities
from bus.ledger.entities import Linked
from bus.merge import Entity, Incoming, Record
from bus.model import DERIVED, Fields, flatten
from bus.ports import Entry, Raw, RawRecord
from bus.sandbox.bitrix_cms import Shop
from tests.bench.house import CRM, SHOP, House, HouseError

_NAMES = UUID("6f1b9f0e-52e4-4f0e-9d3b-0f5ce0b9a6a1")
_GOODS = (("Чайник", 980), ("Термос", 1490), ("Лампа", 2350), ("Плед", 1790), ("Кружка", 390))
_AT_ONCE = 2_500
"""Acts sent to the portal in one call."""
_ROWS = 500
"""Entities saved in one transaction; each takes a lock per key."""
_EVERY = 50
"""Of so many deals one is compared to the last code; the others by their canonical fields."""


@dataclass(slots=True)
class Agreed:
    """One order with its payment and its deal."""

    order_id: int
    payment_id: int
    total: float
    entity: UUID
    payment: UUID
    view: Entity
    payment_view: Entity
    records: list[tuple[UUID, Linked]] = field(default_factory=list)
    """entity, and its record in one system with what is agreed with it"""
    deal_id: int = 0


class Company:
    """`size` orders with their deals. The same seed makes the same company."""

    def __init__(self, house: House, size: int, *, seed: int = 7) -> None:
        self.house, self.size = house, size
        self.mappings = house.wiring.mappings
        self._rng = random.Random(seed)
        self.shop = Shop(seed=seed)
        self.shop.settings({"status_on_paid": None, "statuses": _STATUSES})
        self.orders = [self._order(number) for number in range(size)]
        self._deals()
        self._fill()

    def moved(self, status: str, orders: Iterable[Agreed] | None = None) -> list[Entry]:
        """What the shop tells after its orders got this status: one event each."""
        entries = []
        for order in self.orders if orders is None else orders:
            self.shop.act({"do": "set_status", "id": order.order_id, "status": status}, quiet=True)
            entries.append(self.told(order))
        return entries

    def told(self, order: Agreed) -> Entry:
        """What the shop tells of an order as it stands, without its payments."""
        return translate.entry_of(SHOP, "bitrix_cms", self._record(order), self.mappings)

    def paid(self, order: Agreed) -> list[Entry]:
        """What the shop tells after an order was paid in full: the order and its payment."""
        self.shop.act({"do": "pay_order", "id": order.order_id}, quiet=True)
        return self._told(order)

    def _told(self, order: Agreed) -> list[Entry]:
        return translate.entries(SHOP, "bitrix_cms", self._record(order), self.mappings)

    def _record(self, order: Agreed) -> RawRecord:
        raw = self.shop.call("sale.order.get", {"id": order.order_id})["order"]
        return RawRecord("order", str(order.order_id), raw)

    def _order(self, number: int) -> Agreed:
        rng = self._rng
        lines = [
            {"name": name, "price": price, "quantity": rng.randint(1, 3), "productId": 300 + at}
            for at, (name, price) in enumerate(rng.sample(_GOODS, rng.randint(1, 3)))
        ]
        customer = {
            "fio": f"Покупатель {number}",
            "phone": f"+7900{number:07d}",
            "email": f"buyer{number}@example.com",
            "address": f"Москва, Тверская улица, {1 + number % 40}",
        }
        act = {"do": "create_order", "customer": customer, "lines": lines}
        made = self.shop.act(act, quiet=True)
        entity, payment = (uuid5(_NAMES, f"{kind} {number}") for kind in ("order", "payment"))
        order = Agreed(
            made["id"],
            made["payments"][0],
            float(made["price"]),
            entity,
            payment,
            Entity("order", {}, {}),
            Entity("payment", {}, {}),
        )
        told, paid = self._told(order)
        order.records = [
            (entity, _linked(SHOP, "order", order.order_id, self._merged(order.view, told))),
            (payment, _linked(SHOP, "payment", order.payment_id, self._merged(order.payment_view, paid))),
        ]
        merge.settle(order.view, [order.payment_view.fields], event="", at=told.event.time)
        return order

    def _merged(self, view: Entity, entry: Entry) -> Record:
        event, record = entry.event, Record({})
        incoming = Incoming(
            event.source, event.id, event.time, flatten(view.kind, event.data or {}), version_order(event.sourceversion)
        )
        merge.merge(view, record, incoming, self.mappings.rules(view.kind))
        return record

    def _deals(self) -> None:
        """Put the deals into the portal, and take note of how they look there."""
        tables = self.mappings.tables(CRM, "bitrix24")
        translator = self.mappings.translator("bitrix24", "deal")
        changes = [
            translator.from_canonical(
                order.view.fields | {"@records": {SHOP: {"order": str(order.order_id)}}}, None, tables
            )
            for order in self.orders
        ]
        contacts = self._acted([_contact(change["contact"]) for change in changes])
        deals = self._acted(
            [
                _deal(change, order.entity, contact)
                for change, order, contact in zip(changes, self.orders, contacts, strict=True)
            ]
        )
        for order, deal in zip(self.orders, deals, strict=True):
            order.deal_id = deal
        raws = self._raws()
        for at, order in enumerate(self.orders):
            made = translator.to_canonical(raws[order.deal_id], tables)
            derived = {name: order.view.fields[name] for name in DERIVED["order"]}  # written there, never read back
            base = flatten("order", made.data) | derived
            left = merge.due(order.view, base, translator.writes(tables))
            if at % _EVERY == 0:
                left = left or translator.from_canonical(order.view.fields, raws[order.deal_id], tables)
            if left:
                raise HouseError(f"deal {order.deal_id} is not agreed: {left}, but it says {base}")
            record = Record(base, version_order(made.version), ours=True)
            order.records.append((order.entity, _linked(CRM, "deal", order.deal_id, record)))

    def _acted(self, acts: Sequence[dict[str, Any]]) -> list[int]:
        crm, ids = self.house.crm, []
        for start in range(0, len(acts), _AT_ONCE):
            done = crm.post("act", {"quiet": True, "acts": list(acts[start : start + _AT_ONCE])})
            ids += [row["id"] for row in done["results"]]
        return ids

    def _raws(self) -> dict[int, Raw]:
        """The deals as the adapter reads them, from the stand-in's own state."""
        crm, found = self.house.crm, {}
        for start in range(0, self.size, _AT_ONCE):
            ids = ",".join(str(order.deal_id) for order in self.orders[start : start + _AT_ONCE])
            deals = crm.get("state", of="deals", ids=ids)["deals"]
            owners = ",".join(str(deal["contactId"]) for deal in deals)
            contacts = {row["id"]: row for row in crm.get("state", of="contacts", ids=owners)["contacts"]}
            for deal in deals:
                rows = deal.pop("productRows")
                found[deal["id"]] = {"item": deal, "rows": rows, "contact": contacts[deal["contactId"]]}
        return found

    def _fill(self) -> None:
        """By the ledger's own statements, so that the rows are as it writes them."""
        orders = [(order.entity, order.view, None, order) for order in self.orders]
        payments = [(order.payment, order.payment_view, order.entity, order) for order in self.orders]
        for everything in (orders, payments):
            for start in range(0, len(everything), _ROWS):
                self._save(everything[start : start + _ROWS])
        with self.house.wiring.ledger.transaction() as connection:
            connection.execute(
                "INSERT INTO delivery (entity_id, system, state, wanted) SELECT id, %s, 'idle', 1 FROM entity"
                " WHERE kind = 'order'",
                [CRM],
            )
            connection.execute("ANALYZE entity, record, identity, delivery")

    def _save(self, some: Sequence[tuple[UUID, Entity, UUID | None, Agreed]]) -> None:
        """Entities of one kind with their records, and the keys they are known by."""
        kind = some[0][1].kind
        with self.house.wiring.ledger.transaction() as connection:
            known = {entity: entities.begun(entity, kind) for entity, *_ in some}
            keys = {}
            for entity, view, parent, order in some:
                one = known[entity]
                one.view, one.parent_id, one.dirty = view, parent, True
                one.records = [linked for owner, linked in order.records if owner == entity]
                keys |= dict.fromkeys(self._keys(entity, view, one.records), entity)
            entities.learn(connection, kind, keys)
            entities.save(connection, known.values())

    @staticmethod
    def _keys(entity: UUID, view: Entity, records: Iterable[Linked]) -> set[str]:
        numbers = {f"number/{SHOP}/{view.fields['number']}"} if view.kind == "order" else set()
        own = {f"{linked.system}/{linked.type}/{linked.external_id}" for linked in records}
        return {entities.own_key(view.kind, entity)} | numbers | own


_STATUSES = [
    {"id": code, "type": "O", "sort": sort, "name": code} for code, sort in (("A", 120), ("P", 150), ("S", 160))
]


def _linked(system: str, record_type: str, external_id: int, record: Record) -> Linked:
    return Linked(system, record_type, str(external_id), record, dirty=True)


def _contact(said: Fields) -> dict[str, Any]:
    fm = [
        {"typeId": kind, "valueType": "WORK", "value": said[key]}
        for kind, key in (("PHONE", "phone"), ("EMAIL", "email"))
        if said.get(key)
    ]
    return {"do": "create_contact", "user": 1, "fields": {"name": said["name"], "fm": fm}}


def _deal(change: Raw, entity: UUID, contact: int) -> dict[str, Any]:
    own = {"originatorId": "integration-bus", "originId": str(entity), "contactId": contact}
    return {"do": "create_deal", "user": 1, "fields": {**change["item"], **own}, "rows": change.get("rows", [])}
