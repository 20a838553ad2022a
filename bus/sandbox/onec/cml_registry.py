"""What changed since the site last took it: the registration of an exchange plan's node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bus.sandbox.onec import catalogs, documents
from bus.sandbox.onec.base import Base
from bus.sandbox.onec.cml_books import RELATED, orders_of
from bus.sandbox.onec.objects import Change, Objects

ORDERS, PARTIES = "orders", "parties"
_STATES = catalogs.ORDER_STATES.name
_UT = (documents.ORDER.name, _STATES)
_WHOLE = (*_UT, *RELATED)
_WATCHED = {
    "ut": _UT,
    "unf": _WHOLE,
    "bus": (*_WHOLE, catalogs.COUNTERPARTIES.name, catalogs.COUNTERPARTY_ACCOUNTS.name),
}


class Registry:
    """Objects to send, each with the write that registered it. Whoever calls holds the base's lock.

    A change made while a message is under way survives its acknowledgement: only what was sent is forgotten.
    """

    def __init__(self, base: Base, profile: str) -> None:
        self._base = base
        self._sets = _WATCHED[profile]
        self._objects: Objects | None = None
        self._read = 0
        self._waiting: dict[str, dict[str, int]] = {ORDERS: {}, PARTIES: {}}

    def waiting(self, of: str) -> dict[str, int]:
        """The keys that wait, in the order of their registration."""
        self._collect()
        return dict(sorted(self._waiting[of].items(), key=lambda one: one[1]))

    def register_all(self) -> None:
        """Everything once more, as a person does who presses «выгрузить все»."""
        self._read = 0

    def forget(self, of: str, sent: Mapping[str, int]) -> None:
        """These were taken by the site; one that was written again since they were read stays."""
        self._collect()
        for key, seq in sent.items():
            if self._waiting[of].get(key) == seq:
                del self._waiting[of][key]

    def drop(self, of: str, keys: Iterable[str]) -> None:
        """These are not to be sent, whatever happened to them up to now."""
        self._collect()
        for key in keys:
            self._waiting[of].pop(key, None)

    def _collect(self) -> None:
        if self._objects is not self._base.objects:
            self._objects, self._read = self._base.objects, 0
            self._waiting = {ORDERS: {}, PARTIES: {}}
        for change in self._objects.changed_since(self._read, self._sets):
            for of, key in self._meant(change):
                self._waiting[of][key] = change.seq
        self._read = self._objects.sequence

    def _meant(self, change: Change) -> list[tuple[str, str]]:
        """The objects that a write touches: an order by itself, by its state, by money or goods that name it."""
        if change.set == catalogs.COUNTERPARTIES.name:
            return [(PARTIES, change.key)]
        if change.set in (documents.ORDER.name, _STATES):
            return [(ORDERS, change.key.partition("|")[0])]
        row = self._base.objects.row(change.set, change.key)
        if row is None:
            return []
        if change.set == catalogs.COUNTERPARTY_ACCOUNTS.name:
            return [(PARTIES, row["Owner_Key"])]
        return [(ORDERS, key) for key in sorted(orders_of(row))]
