"""Assigning: which order money is for that names none: by its payment identifier, a number in its purpose, or its sum.

    УИП is an order's                                             -> that order
    the purpose names one order, and the payer is its customer    -> that order
    it names one order, payer or customer unknown, the sum fits   -> that order
    it names an order that is not known                           -> a person, or that order once it is there
    the payer has exactly one order with exactly this open sum    -> that order
    otherwise                                                     -> a person, with what speaks for which order

Never a guess. What was assigned a moment ago, from whatever bank and be it by a person, and the ledger does not count
yet, counts as paid.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from uuid import UUID

from bus import purposes, requisites
from bus.config import Config
from bus.envelope import Event
from bus.ledger import entities, questions
from bus.ledger.database import Connection, Row, rows
from bus.model import Json, PaymentState, Ref, money
from bus.purposes import Named

LOCK = 4_201_777
"""Two who assign payments at once could give two to one order: one after the other does it (`Ledger.alone`)."""
_SHOWN = 10
"""Candidates that a person is given at most."""
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Received:
    """Money whose order is looked for. `gives_back`: it goes to the customer; `inn` is the other side's."""

    amount: Decimal
    currency: str
    on: date
    inn: str | None = None
    code: str | None = None
    purpose: str = ""
    gives_back: bool = False


def about(received: Received, why: str, said: Mapping[str, Json]) -> dict[str, Json]:
    """What a person is shown of money whose order nobody knows, and what `told_of` reads again."""
    shown: dict[str, Json] = {
        **said,
        "amount": {"amount": f"{received.amount:.2f}", "currency": received.currency},
        "on": received.on.isoformat(),
        "inn": received.inn,
        "code": received.code,
        "purpose": received.purpose,
        "gives_back": received.gives_back,
        "why": why,
    }
    return {name: value for name, value in shown.items() if value}


def told_of(shown: Mapping[str, Json]) -> Received | None:
    """The money that a question is about; None where that is not told (any more)."""
    if not isinstance(shown.get("on"), str) or not isinstance(shown.get("amount"), dict):
        return None
    inn, code = shown.get("inn"), shown.get("code")
    return Received(
        Decimal(shown["amount"]["amount"]),
        str(shown["amount"]["currency"]),
        date.fromisoformat(shown["on"]),
        str(inn) if inn else None,
        str(code) if code else None,
        str(shown.get("purpose") or ""),
        gives_back=bool(shown.get("gives_back")),
    )


@dataclass(frozen=True, slots=True)
class Order:
    """What is known of an order that money may be for."""

    entity: UUID
    number: str | None
    inn: str | None
    total: Decimal
    paid: Decimal
    currency: str | None
    names: frozenset[str]
    """Its numbers at every system, as they are compared."""

    def fits(self, received: Received) -> bool:
        """No more than is open, or than can be given back, in its own currency."""
        return received.currency == self.currency and received.amount <= self.left(received)

    def left(self, received: Received) -> Decimal:
        """What may still be paid, or given back."""
        return self.paid if received.gives_back else self.total - self.paid


@dataclass(frozen=True, slots=True)
class Assigned:
    """The order, or what a person may choose from; `why` says either in words."""

    order: Ref | None
    why: str
    candidates: list[dict[str, Json]] = field(default_factory=list)


def decide(
    received: Received, by_code: Order | None, named: Sequence[Order], of_payer: Sequence[Order]
) -> tuple[Order | None, str]:
    """Which order it surely is, and why; or why none. `named` are the orders that its purpose names."""
    if by_code:
        return by_code, "its payment identifier is the order's"
    agree = [order for order in named if order.inn and order.inn == received.inn]
    unknown = [order for order in named if not (order.inn and received.inn)]
    if len(agree) == 1 and not unknown:
        return agree[0], "its purpose names the order, and the payer is its customer"
    if named:
        return _by_number_alone(received, agree, unknown, named)
    if purposes.names_an_order(received.purpose):
        return None, "it names an order that is not known"
    exact = [order for order in of_payer if order.currency == received.currency]
    exact = [order for order in exact if order.left(received) == received.amount]
    if len(exact) == 1:
        return exact[0], f"of the payer's orders only this one has exactly this sum {_open(received)}"
    return None, f"{len(exact)} orders of the payer have exactly this sum {_open(received)}" if exact else (
        "it names no order that is known, and no order of the payer has exactly this sum open"
    )


def _by_number_alone(
    received: Received, agree: Sequence[Order], unknown: Sequence[Order], named: Sequence[Order]
) -> tuple[Order | None, str]:
    """Nobody confirms who pays: then it has to be the only order that is named, and the sum has to fit."""
    if len(agree) + len(unknown) > 1:
        return None, "its purpose names several orders"
    if not unknown:
        return None, "the order that its purpose names is another customer's"
    if len(named) > 1:
        return None, "its purpose names several orders, one of them another customer's"
    if not unknown[0].fits(received):
        return None, "its purpose names an order, but who pays is not known and the sum does not fit"
    return unknown[0], "its purpose names the order, and the sum fits"


def _open(received: Received) -> str:
    return "to give back" if received.gives_back else "open"


class Assigner:
    """What is known of the orders that a batch of money may be for; read once, in one transaction."""

    def __init__(self, connection: Connection, config: Config, batch: Sequence[Received]) -> None:
        self._config = config
        self._named = {one: purposes.orders(one.purpose) for one in batch}
        keys = {key for one in batch for key in self._keys(one)}
        found = entities.find(connection, "order", keys)
        payers = {one.inn for one in batch if one.inn and requisites.inn(one.inn)}
        of_payers = _of_payers(connection, payers)
        numbers = entities.keys_of(connection, {row["id"] for row in of_payers} | set(found.values()))
        known = {row["id"]: row for row in [*of_payers, *_orders(connection, set(found.values()))]}
        self._orders = {entity: _order(row, numbers.get(entity, set())) for entity, row in known.items()}
        self._by_key = {key: entity for key, entity in found.items() if entity in self._orders}
        self._by_payer: dict[str | None, list[UUID]] = {}
        for row in of_payers:
            self._by_payer.setdefault(self._orders[row["id"]].inn, []).append(row["id"])
        self._claimed: dict[UUID, Decimal] = {}
        banks = sorted(name for name, system in config.systems.items() if system.kind in _UNNAMED)
        for row in rows(connection, _UNCOUNTED, [banks]):
            back = row["data"].get("status") == PaymentState.REFUND
            amount = money(row["data"].get("amount"))
            self._claim(row["now"], -amount if back else amount)

    def assign(self, received: Received) -> Assigned:
        """The order of one of the batch. What is assigned here counts as paid for the next."""
        of_payer = [self._now(self._orders[entity]) for entity in self._by_payer.get(received.inn, ())]
        named = self._by_name(received, of_payer)
        by_code = self._by_key.get(_code_key(received.code)) if received.code else None
        order, why = decide(received, self._now(self._orders[by_code]) if by_code else None, named, of_payer)
        if order is None:
            return Assigned(None, why, _candidates(received, named, of_payer))
        self._claim(order.entity, -received.amount if received.gives_back else received.amount)
        return Assigned(Ref(system="bus", type="order", id=str(order.entity)), why)

    def _claim(self, order: UUID, amount: Decimal) -> None:
        """So much was assigned to this order, and the ledger does not count it yet."""
        self._claimed[order] = self._claimed.get(order, _NOTHING) + amount

    def _now(self, order: Order) -> Order:
        claimed = self._claimed.get(order.entity, _NOTHING)
        if not claimed:
            return order
        return Order(
            order.entity, order.number, order.inn, order.total, order.paid + claimed, order.currency, order.names
        )

    def _by_name(self, received: Received, of_payer: Iterable[Order]) -> list[Order]:
        """Orders that the purpose names: exactly, or among the payer's own orders by what is left of it in print."""
        exact = {
            self._by_key[key]
            for named in self._named[received]
            for key in self._named_keys(received, named)
            if key in self._by_key
        }
        loose = {
            order.entity
            for order in of_payer
            for named in self._named[received]
            if any(purposes.same(named.number, name) for name in order.names)
        }
        return sorted((self._now(self._orders[entity]) for entity in exact | loose), key=lambda one: one.number or "")

    def _keys(self, received: Received) -> set[str]:
        """Keys by which the orders that it names may be known."""
        keys = {key for named in self._named[received] for key in self._named_keys(received, named)}
        return keys | ({_code_key(received.code)} if received.code else set())

    def _named_keys(self, received: Received, named: Named) -> list[str]:
        """The customer's number; the books' own, which begin anew every year."""
        years = [named.year] if named.year else [received.on.year, received.on.year - 1]
        keys = [f"number/{self._config.numbering_system}/{one}" for one in purposes.spellings(named.number)]
        for system in sorted(self._config.books):
            keys += [f"number/{system}/{year}:{one}" for year in years for one in purposes.spellings(named.number)]
        return keys


def told(connection: Connection, events: Iterable[Event]) -> set[str]:
    """Subjects of payments of one system that the ledger has: their order was looked for, or a person is asked."""
    ids = {(event.source, event.subject): event.id for event in events}
    if not ids:
        return set()
    system = next(iter(ids))[0]
    known = entities.find(connection, "payment", [f"{source}/{subject}" for source, subject in ids])
    journaled = rows(
        connection,
        """SELECT subject FROM event WHERE source = %(system)s AND subject = ANY(%(subjects)s) AND state <> 'done'
           UNION SELECT subject FROM event WHERE source = %(system)s AND id = ANY(%(ids)s)""",
        {"system": system, "subjects": [subject for _, subject in ids], "ids": list(ids.values())},
    )
    answered = questions.answers(connection, ids.keys())
    found = {key.removeprefix(f"{system}/") for key in known} | {row["subject"] for row in journaled}
    return found | {subject for _, subject in answered}


def _code_key(code: str | None) -> str:
    return f"uip/order/{code}"


def _order(row: Row, keys: Collection[str]) -> Order:
    fields: Mapping[str, Json] = row["fields"]
    total = fields.get("total")
    numbers = {key.split("/", 2)[2].rpartition(":")[2] for key in keys if key.startswith("number/")}
    return Order(
        row["id"],
        fields.get("number"),
        requisites.clean(fields.get("customer.inn")),
        money(total),
        money(fields.get("paid_total")),
        total["currency"] if total else None,
        frozenset(numbers),
    )


def _candidates(received: Received, named: Iterable[Order], of_payer: Iterable[Order]) -> list[dict[str, Json]]:
    """What a person chooses from: orders that are named, then the payer's that are open, the nearest sum first."""
    why = {order.entity: (order, "its purpose names it") for order in named}
    near = sorted(of_payer, key=lambda one: (abs(one.left(received) - received.amount), one.number or ""))
    for order in near:
        if order.left(received) > 0:
            left = f"{order.left(received):.2f} {order.currency} {_open(received)}"
            why.setdefault(order.entity, (order, f"the same payer, {left}"))
    shown = list(why.values())[:_SHOWN]
    return [{"entity": str(order.entity), "number": order.number, "why": reason} for order, reason in shown]


_UNNAMED = ("bank", "events")
"""Kinds of systems that tell of money which names no order."""
_UNCOUNTED = """
    WITH told AS MATERIALIZED (
      SELECT data, CASE WHEN data ->> 'order' IS NULL THEN answered.decision
                        WHEN data -> 'order' ->> 'system' = 'bus' THEN data -> 'order' ->> 'id' END AS meant
      FROM event LEFT JOIN LATERAL (
        SELECT decision FROM question WHERE question.system = source AND question.subject = event.subject
          AND question.state = 'decided' AND data ->> 'order' IS NULL AND NOT EXISTS (
            SELECT 1 FROM identity WHERE identity.kind = 'payment' AND key = source || '/' || event.subject)
        ORDER BY question.id DESC LIMIT 1) AS answered ON true
      WHERE source = ANY(%s) AND event.kind = 'payment' AND event.state IN ('pending', 'waiting'))
    SELECT data, coalesce(merged_into, id) AS now FROM told JOIN entity ON id = nullif(meant, 'new')::uuid"""
"""Of some systems, by their index over what has not ended, and the order that each is for, be it united since."""
_PAID = "coalesce((fields -> 'paid_total' ->> 'amount')::numeric, 0)"
_OPEN = f"coalesce((fields -> 'total' ->> 'amount')::numeric, 0) > {_PAID}"
_MOST = 200
"""Orders of one payer that are looked at, those with something open first, the latest first."""


def _of_payers(connection: Connection, payers: Collection[str]) -> list[Row]:
    """Living orders of these customers, by the index over their INN."""
    if not payers:
        return []
    return rows(
        connection,
        f"""SELECT found.* FROM unnest(%s::text[]) AS payer(inn) CROSS JOIN LATERAL (
              SELECT id, fields FROM entity
              WHERE kind = 'order' AND fields ? 'customer.inn' AND fields ->> 'customer.inn' = payer.inn
                AND merged_into IS NULL AND coalesce(fields ->> 'status', '') <> 'cancelled'
              ORDER BY {_OPEN} DESC, created_at DESC LIMIT {_MOST}) AS found""",  # noqa: S608 - ours
        [sorted(payers)],
    )


def _orders(connection: Connection, ids: Collection[UUID]) -> list[Row]:
    return rows(connection, "SELECT id, fields FROM entity WHERE id = ANY(%s) AND kind = 'order'", [sorted(ids)])
