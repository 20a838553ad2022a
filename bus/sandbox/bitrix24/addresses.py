"""Addresses of requisites: crm.address.*, no ids, known by type and owner (Bitrix24 docs, crm/requisites/addresses)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.sandbox.bitrix24.schema import LEAD, REQUISITE
from bus.sandbox.bitrix24.sheets import Sheet, columns
from bus.sandbox.envelope import Page, Params, RestError, Row, number

if TYPE_CHECKING:
    from bus.sandbox.bitrix24.records import Records
    from bus.sandbox.site import Hit, Method

TYPES = {
    11: "Shipping address",
    1: "Physical address",
    6: "Legal address",
    4: "Registered address",
    8: "Mailing address",
    9: "Beneficiary address",
}
_COLUMNS = """
TYPE_ID:integer ENTITY_TYPE_ID:integer ENTITY_ID:integer ADDRESS_1 ADDRESS_2 CITY POSTAL_CODE REGION PROVINCE COUNTRY
COUNTRY_CODE LOC_ADDR_ID:integer ANCHOR_TYPE_ID:integer ANCHOR_ID:integer
"""
_KEY = ("TYPE_ID", "ENTITY_TYPE_ID", "ENTITY_ID")
_OWN = frozenset({*_KEY, "LOC_ADDR_ID", "ANCHOR_TYPE_ID", "ANCHOR_ID"})
"""What a client does not set in a row."""

Place = tuple[int, int, int]
"""TYPE_ID, ENTITY_TYPE_ID, ENTITY_ID."""


class Addresses:
    """The handlers and the table. One owner has one address of each type."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.sheet = Sheet(columns(_COLUMNS), indexed=("ENTITY_ID", "ANCHOR_ID"))
        self._places: dict[Place, int] = {}

    def methods(self) -> dict[str, Method]:
        return {
            "crm.address.add": self.add,
            "crm.address.update": self.update,
            "crm.address.list": self.find,
            "crm.address.delete": self.delete,
            "crm.address.fields": lambda params, hit: self.sheet.described(),  # noqa: ARG005  # a method takes both
            "crm.enum.addresstype": lambda params, hit: _types(),  # noqa: ARG005
        }

    def add(self, params: Params, hit: Hit) -> bool:
        said = _fields(params)
        place = self._place(said)
        if place in self._places:
            raise RestError("", "TypeAddress exists")
        self._register(place, said, hit)
        return True

    def update(self, params: Params, hit: Hit) -> bool:
        """Only what is said changes; an address that is not there is refused."""
        said = _fields(params)
        self._register(self._known(said), said, hit)
        return True

    def delete(self, params: Params, hit: Hit) -> bool:
        self._unregister(self._known(_fields(params)), hit)
        return True

    def find(self, params: Params, hit: Hit) -> Page:
        del hit
        return self.sheet.find(params)

    def write(self, requisite: int, said: Row, hit: Hit) -> None:
        """A person edits the address of a type in the card: there or not, it is so afterwards."""
        self._register(self._place({**said, "ENTITY_TYPE_ID": REQUISITE, "ENTITY_ID": requisite}), said, hit)

    def forget(self, kind: int, key: int, hit: Hit) -> None:
        """Their owner was deleted."""
        for place in self._of(kind, key):
            self._unregister(place, hit)

    def move(self, requisites: list[int], anchor: int) -> None:
        """A merge gave their requisites to another company; nobody is told."""
        for requisite in requisites:
            for place in self._of(REQUISITE, requisite):
                self.sheet.put(self._places[place], {"ANCHOR_ID": anchor})

    def _of(self, kind: int, key: int) -> list[Place]:
        return [place for code in TYPES if (place := (code, kind, key)) in self._places]

    def _place(self, said: Row) -> Place:
        code, kind, key = (number(said.get(name)) for name in _KEY)
        for name, valid in zip(_KEY, (code in TYPES, kind in (REQUISITE, LEAD), key > 0), strict=True):
            if not valid:
                raise RestError("", f"{name} is not defined or invalid.")
        if self._records.get(kind, key) is None:
            raise RestError("", "ENTITY_ID is not defined or invalid.")
        return code, kind, key

    def _known(self, said: Row) -> Place:
        place = self._place(said)
        if place not in self._places:
            raise RestError("", "TypeAddress not found")
        return place

    def _register(self, place: Place, said: Row, hit: Hit) -> None:
        anchor = self._anchor(place)
        key = self._places.setdefault(place, 0) or self.sheet.table.new_id()
        self._places[place] = key
        told = {name: value for name, value in said.items() if name not in _OWN}
        fixed = dict(zip(_KEY, place, strict=True)) | {"ANCHOR_TYPE_ID": anchor[0], "ANCHOR_ID": anchor[1]}
        self._tell("REGISTER", self.sheet.put(key, told | fixed | {"LOC_ADDR_ID": key}), hit)

    def _unregister(self, place: Place, hit: Hit) -> None:
        row = self.sheet.table.remove(self._places.pop(place))
        if row:
            self._tell("UNREGISTER", row, hit)

    def _anchor(self, place: Place) -> tuple[int, int]:
        """The company or contact of the requisite; a lead stands for itself."""
        owner = self._records.tables[place[1]].rows[place[2]]
        return (owner["entityTypeId"], owner["entityId"]) if place[1] == REQUISITE else (place[1], place[2])

    def _tell(self, what: str, row: Row, hit: Hit) -> None:
        data = {name: row[name] for name in (*_KEY, "ANCHOR_ID", "ANCHOR_TYPE_ID")}
        hit.raise_event(f"ONCRMADDRESS{what}", tuple(data.values()), data)


def _fields(params: Params) -> Row:
    said = params.get("fields")
    if not isinstance(said, dict):
        raise RestError("", "Parameter 'fields' must be array.")
    return {str(name).upper(): value for name, value in said.items()}


def _types() -> list[Row]:
    return [{"ID": key, "NAME": name, "SYMBOL_CODE": None, "SYMBOL_CODE_SHORT": None} for key, name in TYPES.items()]
