"""What people do in the base: they enter, change, post and mark counterparties, orders, money; they merge doubles."""

from __future__ import annotations

from collections.abc import Callable

from bus.sandbox.envelope import RestError
from bus.sandbox.onec import catalogs, documents
from bus.sandbox.onec.entries import answered, named
from bus.sandbox.onec.money import Money
from bus.sandbox.onec.objects import Objects
from bus.sandbox.onec.orders import Orders
from bus.sandbox.onec.parties import Parties
from bus.sandbox.onec.schema import Row

Act = Callable[[Row], Row]
NOUNS: dict[str, str] = {
    "counterparty": catalogs.COUNTERPARTIES.name,
    "partner": catalogs.PARTNERS.name,
    "product": catalogs.GOODS.name,
    "user": catalogs.USERS.name,
    "order": documents.ORDER.name,
    "payment": documents.RECEIPT.name,
    "refund": documents.WRITE_OFF.name,
    "card_payment": documents.CARD_PAYMENT.name,
    "shipment": documents.SHIPMENT.name,
}
_MONEY = ("payment", "refund", "card_payment")
_VERBS = ("create", "edit", "delete", "post", "unpost")


class Acts:
    """Acts take short English keys or, under `fields`, 1C's own names, which win; they answer `id` (the Ref_Key)."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._parties = Parties(objects)
        self._orders = Orders(objects, self._parties)
        self._money = Money(objects, self._parties)
        self._special: dict[str, Act] = {
            "create_counterparty": self._parties.create,
            "merge_counterparties": self._parties.merge,
            "create_partner": self._parties.create_partner,
            "create_product": self._orders.create_product,
            "create_order": self._orders.create,
            "ship_order": self._orders.ship,
            "write": self._write,
        }

    def perform(self, act: Row) -> Row:
        """create_, edit_, delete_, post_, unpost_ + a noun; ship_order, merge_counterparties, write (any set)."""
        do = str(act.get("do"))
        if do in self._special:
            return self._special[do](act)
        verb, _, noun = do.partition("_")
        if noun not in NOUNS or verb not in _VERBS:
            known = f"{', '.join(f'{verb}_' for verb in _VERBS)} + {', '.join(NOUNS)}; {', '.join(self._special)}"
            raise RestError("UNKNOWN_ACT", f"unknown act {do!r}; known: {known}")
        if verb == "create":
            return self._create(noun, act)
        return self._change(verb, noun, act)

    def _create(self, noun: str, act: Row) -> Row:
        if noun in _MONEY:
            return self._money.create(NOUNS[noun], act)
        fields = named({"name": "Description", "date": "Date"}, act) | (act.get("fields") or {})
        return answered(self._objects.create(NOUNS[noun], fields))

    def _change(self, verb: str, noun: str, act: Row) -> Row:
        name, key = NOUNS[noun], str(act["id"])
        before = self._objects.existing(name, key)
        if verb == "edit":
            row = self._objects.change(name, key, self._edited(noun, before, act) | (act.get("fields") or {}))
        elif verb == "delete":
            row = self._objects.mark(name, key, marked=not act.get("undo"))
        else:
            row = self._objects.post(name, key) if verb == "post" else self._objects.unpost(name, key)
        return answered(row) | {"changed": {**row, "DataVersion": ""} != {**before, "DataVersion": ""}}

    def _edited(self, noun: str, before: Row, act: Row) -> Row:
        if noun == "counterparty":
            self._parties.open_accounts(before["Ref_Key"], act)
            return self._parties.fields(act, before)
        if noun == "order":
            return self._orders.fields(act, before)
        if noun in _MONEY:
            return self._money.fields(NOUNS[noun], act, before)
        return named({"name": "Description"}, act)

    def _write(self, act: Row) -> Row:
        """`set`, `fields` and, to change one, `id`."""
        if "id" in act:
            return answered(self._objects.change(str(act["set"]), str(act["id"]), act["fields"]))
        return answered(self._objects.create(str(act["set"]), act["fields"]))
