"""Adopting: which payment of its order one is that is told of for the first time: money is told of by several.

    the same number and amount                                          -> that one
    one is expected, of the same amount                                 -> that one
    the books tell of it, and so far only others told of such a one     -> that one: all money stands in the books once
    others tell of it, and so far only the books told of such a one     -> that one
    what is only expected                                               -> one that was received, if heard of with it
    one stands only where we made it: who told of it took it back, or   -> that one: here he is
    is forgotten by a restored ledger

Who told of a payment counts, not where it is: by a record that we made, or are making, nobody tells of anything.
What gives money back is told apart from what brought it. No system has one payment twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

from bus.ledger import entities
from bus.ledger.database import Connection
from bus.model import Fields, Json, PaymentState


@dataclass(slots=True)
class _Payment:
    """A payment that is known, by what it is recognised by."""

    entity: UUID
    fields: Fields
    systems: set[str] = field(default_factory=set)
    """Where it is, or a call was sent that makes it."""
    told: set[str] = field(default_factory=set)
    """Of these the ones that told of it: it is there, and not by us."""
    named: set[str] = field(default_factory=set)
    """Those that know it by a name of ours alone, as far as anybody has heard."""
    begun: bool = False
    """Nobody told of it before this very batch."""

    def __getitem__(self, name: str) -> Json:
        return self.fields.get(name)


class Adopting:
    """The payments of the orders that a batch tells of, those that it begins with them. The orders stay locked."""

    def __init__(self, connection: Connection, orders: Collection[UUID], books: Collection[str]) -> None:
        self._books = frozenset(books)
        self._payments: dict[UUID, list[_Payment]] = {}
        for row in entities.payments_of(connection, orders):
            known = _Payment(row["id"], row["fields"], set(row["systems"]), set(row["told"]), set(row["named"]))
            self._payments.setdefault(row["parent_id"], []).append(known)

    def adopted(self, order: UUID, source: str, said: Fields, *, forgotten: bool = False) -> UUID | None:
        """The payment that this one is; None: another one. `forgotten`: we made it, and do not know for whom."""
        fitting = [one for one in self._payments.get(order, ()) if self._fits(one, source, said, forgotten)]
        fitting.sort(key=lambda one: not _same_number(one, said))
        return fitting[0].entity if fitting else None

    def met(
        self, order: UUID, source: str, said: Fields, entity: UUID, *, forgotten: bool = False, begun: bool = False
    ) -> None:
        """It is this payment, which the batch may have `begun`: the next one of the batch may be the same.

        What came in is not expected again because a record tells so that was read before, or lies behind.
        """
        some = self._payments.setdefault(order, [])
        known = next((one for one in some if one.entity == entity), None)
        if known is None:
            some.append(known := _Payment(entity, {}, begun=begun))
        heard = {name: value for name, value in said.items() if value is not None}
        if known["status"] and heard.get("status") == PaymentState.PENDING:
            del heard["status"]
        known.fields = known.fields | heard
        if source not in known.systems and not forgotten:  # what was to be there shows what we made
            known.told.add(source)
        known.systems.add(source)
        known.named.discard(source)

    def _fits(self, one: _Payment, source: str, said: Fields, forgotten: bool) -> bool:
        state, amount = said.get("status"), said.get("amount")
        if not amount or one["amount"] != amount or source in one.systems - one.named or not one.systems:
            return False
        if (one["status"] == PaymentState.REFUND) != (state == PaymentState.REFUND):
            return False
        if source in one.named or one["status"] == PaymentState.PENDING or _same_number(one, said):
            return True
        if state in (None, PaymentState.PENDING):
            return one.begun and state is not None
        return forgotten or not any((teller in self._books) == (source in self._books) for teller in one.told)


def _same_number(one: _Payment, said: Fields) -> bool:
    return said.get("external_number") is not None and one["external_number"] == said["external_number"]
