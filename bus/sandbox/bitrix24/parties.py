"""What a person does with contacts and companies: requisites, accounts and addresses inline, merges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.sandbox.bitrix24.schema import BANK, REQUISITE, TYPES
from bus.sandbox.envelope import RestError, Row, number

if TYPE_CHECKING:
    from bus.sandbox.bitrix24.addresses import Addresses
    from bus.sandbox.bitrix24.records import Records
    from bus.sandbox.bitrix24.requisites import Requisites
    from bus.sandbox.site import Hit

_PRESETS = {"legal": 1, "trader": 3, "person": 5}
_INLINE = frozenset({"id", "delete", "preset", "accounts", "addresses"})
_COMMUNICATIONS = (("phones", "PHONE"), ("emails", "EMAIL"))


class Parties:
    """Edits of the card of a contact or company, beside its own fields."""

    def __init__(self, records: Records, requisites: Requisites, addresses: Addresses) -> None:
        self._records = records
        self._requisites = requisites
        self._addresses = addresses

    def communications(self, act: Row, row: Row | None = None) -> list[Row]:
        """`phones` and `emails` of an act as rows: what the card has besides goes, what it has stays as it is."""
        rows: list[Row] = []
        for name, kind in _COMMUNICATIONS:
            if name not in act:
                continue
            present = [entry for entry in (row or {}).get("fm", ()) if entry["typeId"] == kind]
            had = {entry["value"] for entry in present}
            rows += [{"id": entry["id"], "DELETE": "Y"} for entry in present if entry["value"] not in act[name]]
            rows += [{"typeId": kind, "value": value} for value in dict.fromkeys(act[name]) if value not in had]
        return rows

    def edit(self, kind: int, key: int, act: Row, hit: Hit) -> Row:
        """`requisites`: [{preset: legal|trader|person, RQ_…, accounts: […], addresses: […]}], as in the card.

        An entry with `id` changes that one, with `delete` it goes; without an id it is added. Answers all their ids.
        """
        if "requisites" not in act:
            return {}
        for entry in act["requisites"]:
            requisite = self._one(REQUISITE, {"entityTypeId": kind, "entityId": key}, entry, hit)
            if requisite is None:
                continue
            for account in entry.get("accounts", ()):
                self._one(BANK, {"entityId": requisite}, account, hit)
            for address in entry.get("addresses", ()):
                self._addresses.write(requisite, address, hit)
        ids = self._requisites.of(kind, key)
        return {
            "requisites": ids,
            "accounts": [one for requisite in ids for one in self._requisites.accounts(requisite)],
        }

    def _one(self, kind: int, owner: Row, entry: Row, hit: Hit) -> int | None:
        """The id of a requisite or account after its edit; None when it is gone."""
        key = number(entry.get("id"))
        if key and self._records.get(kind, key) is None:
            raise RestError("NOT_FOUND", f"{TYPES[kind].title} {key} does not exist", 404)
        if key and entry.get("delete"):
            self._records.delete(kind, key, hit)
            return None
        old = TYPES[kind].by_old
        said = {old[name].name if name in old else name: value for name, value in entry.items() if name not in _INLINE}
        fields = self._records.coerce(kind, said)
        if key:
            self._records.update(kind, key, fields, hit)
            return key
        fields = {"name": "Main", **({"presetId": _preset(entry)} if kind == REQUISITE else {}), **fields, **owner}
        return int(self._records.create(kind, fields, hit)["id"])


def _preset(entry: Row) -> int:
    said = entry.get("preset", "legal")
    return _PRESETS.get(said) or number(said)
