"""Finding and merging twins: crm.duplicate.findbycomm, crm.entity.mergeBatch (Bitrix24 docs, crm/duplicates)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox.bitrix24.schema import COMPANY, CONTACT, LEAD, TYPES
from bus.sandbox.envelope import Params, RestError, Row, number
from bus.sandbox.phpform import as_list

if TYPE_CHECKING:
    from bus.sandbox.bitrix24.addresses import Addresses
    from bus.sandbox.bitrix24.records import Records
    from bus.sandbox.bitrix24.requisites import Requisites
    from bus.sandbox.site import Hit, Method

_COMMUNICATIONS = ("PHONE", "EMAIL")
_SEARCHED = (LEAD, CONTACT, COMPANY)
_FOUND = 20
_VALUES = 20
_MERGED = {COMPANY: ("companyId", "companyIds"), CONTACT: ("contactId", "contactIds"), LEAD: ("leadId", "")}
"""How other records point to what may be merged here."""
_COMPARED = frozenset(
    ["title", "name", "lastName", "secondName", "birthdate", "post", "address", "typeId", "industry", "companyId"],
)
"""Two different values in one of these need a person; the rest is taken over where the winner has nothing."""
_KEPT = frozenset({"fm", "assignedById", "opened", "isMyCompany", "originId", "originatorId", "originVersion"})


class Duplicates:
    """The handlers."""

    def __init__(self, records: Records, requisites: Requisites, addresses: Addresses) -> None:
        self._records = records
        self._requisites = requisites
        self._addresses = addresses

    def methods(self) -> dict[str, Method]:
        return {"crm.duplicate.findbycomm": self.find, "crm.entity.mergebatch": self.merge_batch}

    def find(self, params: Params, hit: Hit) -> Any:
        """Ids by type; `[]` when nobody has it. Twenty of one type end the search: later types are not looked at."""
        del hit
        said = str(params.get("type") or "")
        kind = said.upper()
        if not said:
            raise RestError("Communication type is not defined", "Parameter 'type' is required.")
        if kind not in _COMMUNICATIONS:
            text = f"Communication type '{said}' is not supported in current context"
            raise RestError(text, "")
        values = as_list(params.get("values"))[:_VALUES]
        if not values:
            raise RestError("Communication values is not defined", "Parameter 'values' is required.")
        only = str(params.get("entity_type") or "").upper()
        hits = self._records.multifields.find(kind, values)
        found: dict[str, list[int]] = {}
        for entity in _SEARCHED:
            keys = sorted(key for owner, key in hits if owner == entity)[:_FOUND]
            if keys and only in ("", TYPES[entity].event):
                found[TYPES[entity].event] = keys
                if len(keys) == _FOUND:
                    break
        return found or []

    def merge_batch(self, params: Params, hit: Hit) -> Row:
        """The first id stays. Nothing is merged when a field has two different values (STATUS CONFLICT)."""
        said = params.get("params")
        asked: Row = said if isinstance(said, dict) else {}
        kind = number(asked.get("entityTypeId"))
        if not kind:
            raise RestError(0, "The parameter entityTypeId is required.")
        if kind not in _MERGED:
            raise RestError(0, f"Entity type {TYPES[kind].event if kind in TYPES else kind} is not supported")
        keys = list(dict.fromkeys(number(key) for key in as_list(asked.get("entityIds")) if number(key) > 0))
        if not keys:
            raise RestError(0, "The parameter entityIds does not contains valid elements.")
        if len(keys) < 2:  # noqa: PLR2004
            raise RestError(0, "The parameter entityIds must contains at least two elements.")
        if any(self._records.get(kind, key) is None for key in keys):
            raise RestError(0, "Owner was not found")
        if self._conflict(kind, keys):
            return {"STATUS": "CONFLICT", "ENTITY_IDS": []}
        self.merge(kind, keys[0], keys[1:], hit)
        return {"STATUS": "SUCCESS", "ENTITY_IDS": keys[1:]}

    def merge(self, kind: int, winner: int, losers: list[int], hit: Hit) -> None:
        """The winner's own values stay; the losers' requisites, deals and contacts become his, and nobody is told.

        Heard are an UPDATE of the winner, if he gained a value, and a DELETE of each loser.
        """
        for loser in losers:
            self._records.update(kind, winner, self._gain(kind, winner, loser), hit)
            moved = self._requisites.move(kind, loser, winner)
            self._addresses.move(moved, winner)
            self._rebind(kind, loser, winner)
            self._records.delete(kind, loser, hit)

    def _conflict(self, kind: int, keys: list[int]) -> bool:
        rows = [self._records.tables[kind].rows[key] for key in keys]
        return any(len({row[name] for row in rows if row.get(name)}) > 1 for name in _COMPARED)

    def _gain(self, kind: int, winner: int, loser: int) -> Row:
        """What the winner lacks and the loser has; phones and e-mails that are not there yet."""
        mine, other = (self._records.tables[kind].rows[key] for key in (winner, loser))
        names = [field.name for field in TYPES[kind].fields if field.writable and field.name not in _KEPT]
        names += self._records.user_fields[kind]
        gained = {name: other[name] for name in names if other.get(name) and not mine.get(name)}
        values = {(entry["typeId"], entry["value"]) for entry in mine.get("fm", ())}
        fresh = [entry for entry in other.get("fm", ()) if (entry["typeId"], entry["value"]) not in values]
        rows = [{name: entry[name] for name in ("typeId", "value", "valueType")} for entry in fresh]
        return gained | ({"fm": rows} if rows else {})

    def _rebind(self, kind: int, loser: int, winner: int) -> None:
        """Deals, contacts and the rest that point to the loser point to the winner."""
        one, several = _MERGED[kind]
        for other, table in self._records.tables.items():
            names = TYPES[other].by_name
            if one not in names and several not in names:
                continue
            for row in list(table.rows.values()):
                changes: Row = {one: winner} if row.get(one) == loser else {}
                if loser in (row.get(several) or ()):
                    kept = [winner if key == loser else key for key in row[several]]
                    changes = {several: list(dict.fromkeys(kept))}
                if changes:
                    self._records.rebind(other, row["id"], changes)
