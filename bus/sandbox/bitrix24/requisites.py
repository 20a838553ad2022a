"""Requisites and bank details of contacts and companies: tables of their own, with their own events (Bitrix24 docs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox.bitrix24.classic import Family
from bus.sandbox.bitrix24.schema import BANK, COMPANY, CONTACT, REQUISITE, TYPES
from bus.sandbox.envelope import Params, RestError, Row, number

if TYPE_CHECKING:
    from bus.sandbox.bitrix24.presets import Presets
    from bus.sandbox.bitrix24.records import Records
    from bus.sandbox.site import Hit, Method

_OWNERS = (CONTACT, COMPANY)
_FIXED = frozenset({"entityTypeId", "entityId", "countryId"})
"""What an update does not move: a requisite stays with its company, an account with its requisite."""


class Requisites:
    """The handlers of both families, and what a deletion or a merge of their owners does to them."""

    def __init__(self, records: Records, presets: Presets) -> None:
        self._records = records
        self._families = {
            "crm.requisite": RequisiteFamily(records, presets),
            "crm.requisite.bankdetail": BankFamily(records, presets),
        }

    def methods(self) -> dict[str, Method]:
        return {name: method for prefix, family in self._families.items() for name, method in family.methods(prefix)}

    def of(self, kind: int, key: int) -> list[int]:
        """Ids of the requisites of a contact or company."""
        table = self._records.tables[REQUISITE]
        found = table.lookup("entityId", "=", key) or ()
        return [requisite for requisite in found if table.rows[requisite]["entityTypeId"] == kind]

    def accounts(self, requisite: int) -> list[int]:
        """Ids of the bank details of a requisite."""
        return list(self._records.tables[BANK].lookup("entityId", "=", requisite) or ())

    def forget(self, kind: int, key: int, hit: Hit) -> None:
        """Their owner was deleted; they go one by one, each with its event."""
        if kind in _OWNERS:
            for requisite in self.of(kind, key):
                self._records.delete(REQUISITE, requisite, hit)
        if kind == REQUISITE:
            for account in self.accounts(key):
                self._records.delete(BANK, account, hit)

    def move(self, kind: int, loser: int, winner: int) -> list[int]:
        """A merge gives them to the winner without an event (assumed, not verified); the ids that moved."""
        moved = self.of(kind, loser)
        for requisite in moved:
            self._records.rebind(REQUISITE, requisite, {"entityId": winner})
        return moved


class PlainFamily(Family):
    """What both families share: a missing row is named, DATE_MODIFY says nothing before the first update."""

    def __init__(self, records: Records, presets: Presets, kind: int) -> None:
        super().__init__(records, kind)
        self._presets = presets

    def update(self, params: Params, hit: Hit) -> bool:
        """Always a save and an event, even of the same values."""
        row = self._row(params)
        fields = {name: value for name, value in self._incoming(params).items() if name not in _FIXED}
        self._records.update(self._kind, row["id"], fields, hit)
        return True

    def missing(self, key: int) -> RestError:
        return RestError("", f"The {TYPES[self._kind].title} with ID '{key}' is not found")

    def _outgoing(self, row: Row, wanted: set[str] | None, **options: Any) -> Row:
        shown = super()._outgoing(row, wanted, **options)
        if "DATE_MODIFY" in shown:
            shown["DATE_MODIFY"] = shown["DATE_MODIFY"] or ""
        return shown


class RequisiteFamily(PlainFamily):
    """crm.requisite.*: INN and KPP stand here and not on the company; nothing makes them unique."""

    def __init__(self, records: Records, presets: Presets) -> None:
        super().__init__(records, presets, REQUISITE)

    def admit(self, fields: Row) -> None:
        owner = number(fields.get("entityTypeId")), number(fields.get("entityId"))
        if owner[0] not in _OWNERS:
            raise _invalid("ENTITY_TYPE_ID")
        if owner[1] <= 0:
            raise _invalid("ENTITY_ID")
        if not self._presets.known(fields.get("presetId")):
            raise _invalid("PRESET_ID")
        if self._records.get(*owner) is None:
            raise RestError("", "Entity not found.")
        _named(fields)


class BankFamily(PlainFamily):
    """crm.requisite.bankdetail.*: accounts of a requisite; the country is the one of its preset."""

    def __init__(self, records: Records, presets: Presets) -> None:
        super().__init__(records, presets, BANK)

    def admit(self, fields: Row) -> None:
        requisite = self._records.get(REQUISITE, fields.get("entityId") or 0)
        if requisite is None:
            raise _invalid("ENTITY_ID")
        _named(fields)
        fields |= {"entityTypeId": REQUISITE, "countryId": self._presets.country(requisite["presetId"])}


def _invalid(name: str) -> RestError:
    return RestError("", f"{name} is not defined or invalid.")


def _named(fields: Row) -> None:
    if not fields.get("name"):
        raise RestError("", "Required field is not set: NAME")
