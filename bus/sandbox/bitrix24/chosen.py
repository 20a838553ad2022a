"""Which requisite and account a deal, quote or invoice uses: crm.requisite.link.* (Bitrix24 docs)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.sandbox.bitrix24.schema import BANK, COMPANY, CONTACT, DEAL, INVOICE, QUOTE, REQUISITE, TYPES
from bus.sandbox.bitrix24.sheets import Sheet, columns
from bus.sandbox.envelope import Page, Params, RestError, Row, number

if TYPE_CHECKING:
    from bus.sandbox.bitrix24.records import Records
    from bus.sandbox.site import Hit, Method

_NAMES = ("ENTITY_TYPE_ID", "ENTITY_ID", "REQUISITE_ID", "BANK_DETAIL_ID", "MC_REQUISITE_ID", "MC_BANK_DETAIL_ID")
_USERS = (DEAL, QUOTE, INVOICE)

Place = tuple[int, int]
"""ENTITY_TYPE_ID, ENTITY_ID."""


class Chosen:
    """One row for each deal, quote or invoice that has one; 0 says that there is none of a kind."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._sheet = Sheet(columns(" ".join(f"{name}:integer" for name in _NAMES)), indexed=_NAMES[1:4])
        self._keys: dict[Place, int] = {}

    def methods(self) -> dict[str, Method]:
        return {
            "crm.requisite.link.register": self.register,
            "crm.requisite.link.unregister": self.unregister,
            "crm.requisite.link.get": self.get,
            "crm.requisite.link.list": self.find,
            "crm.requisite.link.fields": lambda params, hit: self._sheet.described(),  # noqa: ARG005  # a method takes both
        }

    def register(self, params: Params, hit: Hit) -> bool:
        """Say or change it. All four ids must be said, and the requisites belong to the companies of the object."""
        del hit
        said = params.get("fields")
        fields = {str(name).upper(): value for name, value in said.items()} if isinstance(said, dict) else {}
        ids = [number(fields.get(name), -1) for name in _NAMES]
        for name, value in zip(_NAMES, ids, strict=True):
            if value < 0 or (name == "ENTITY_TYPE_ID" and value not in _USERS):
                raise RestError("", f"{name} is not defined or invalid.")
        owner = self._records.get(ids[0], ids[1])
        if owner is None:
            raise RestError("", "Entity is not found")
        self._check(owner, ids[2], ids[3])
        place = ids[0], ids[1]
        key = self._keys.setdefault(place, 0) or self._sheet.table.new_id()
        self._keys[place] = key
        self._sheet.put(key, dict(zip(_NAMES, ids, strict=True)))
        return True

    def unregister(self, params: Params, hit: Hit) -> bool:
        del hit
        self.forget(*_place(params))
        return True

    def get(self, params: Params, hit: Hit) -> Row:
        """The owner's ids are numbers here, the others strings."""
        del hit
        place = _place(params)
        if place not in self._keys:
            raise RestError("", "Not found")
        row = self._sheet.shown(self._sheet.table.rows[self._keys[place]])
        return row | dict(zip(_NAMES, place, strict=False))

    def find(self, params: Params, hit: Hit) -> Page:
        del hit
        return self._sheet.find(params)

    def forget(self, kind: int, key: int) -> None:
        """A record was deleted; what was chosen of it, or for it, is chosen no longer."""
        if (kind, key) in self._keys:
            self._sheet.table.remove(self._keys.pop((kind, key)))
        column = {REQUISITE: "REQUISITE_ID", BANK: "BANK_DETAIL_ID"}.get(kind, "")
        for found in list(self._sheet.table.lookup(column, "=", key) or ()):
            self._sheet.put(found, {column: 0})

    def _check(self, owner: Row, requisite: int, account: int) -> None:
        """The client's side; what is 0 is not chosen."""
        found = self._records.get(REQUISITE, requisite) if requisite else None
        if requisite and found is None:
            raise RestError("", f"The Requisite with ID '{requisite}' is not found")
        client = (COMPANY, owner["companyId"]) if owner["companyId"] else (CONTACT, owner["contactId"])
        if found and (found["entityTypeId"], found["entityId"]) != client:
            whose = f"{TYPES[client[0]].title} with ID '{client[1]}'"
            raise RestError("", f"The Requisite with ID '{requisite}' is not assigned to {whose}")
        bank = self._records.get(BANK, account) if account else None
        if account and bank is None:
            raise RestError("", f"The BankDetail with ID '{account}' is not found")
        if bank and bank["entityId"] != requisite:
            raise RestError(
                "", f"The BankDetail with ID '{account}' is not assigned to Requisite with ID '{requisite}'"
            )


def _place(params: Params) -> Place:
    place = number(params.get("entityTypeId")), number(params.get("entityId"))
    for name, value in zip(("entityTypeId", "entityId"), place, strict=True):
        if value <= 0:
            raise RestError("", f"{name} is not defined or invalid")
    return place
