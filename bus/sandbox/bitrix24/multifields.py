"""Phones and e-mails of leads, contacts and companies: rows with their own ids, and the search by them."""

from __future__ import annotations

from typing import Any

from bus.sandbox.envelope import Row, number
from bus.sandbox.phpform import as_list

TYPES = ("PHONE", "EMAIL", "WEB", "IM")


class Multifields:
    """Gives rows their ids and keeps the index of crm.duplicate.findbycomm."""

    def __init__(self) -> None:
        self._next = 5001
        self._index: dict[tuple[str, str], dict[tuple[int, int], None]] = {}
        self._exact: dict[tuple[int, str, str], dict[int, None]] = {}

    def merge(self, kind: int, key: int, rows: list[Row], said: Any) -> list[Row]:
        """The rows after a write. A value with its row ID changes that row; one without is added beside it.

        Bitrix24 docs: an update that names no ID adds a second phone. `said` None forgets all rows.
        """
        for row in rows:
            self._index.get((row["typeId"], comparable(row["typeId"], row["value"])), {}).pop((kind, key), None)
            self._exact.get((kind, row["typeId"], row["value"]), {}).pop(key, None)
        merged = {} if said is None else {row["id"]: dict(row) for row in rows}
        for entry in as_list(said):
            self._apply(merged, entry)
        for row in merged.values():
            self._index.setdefault((row["typeId"], comparable(row["typeId"], row["value"])), {})[(kind, key)] = None
            self._exact.setdefault((kind, row["typeId"], row["value"]), {})[key] = None
        return list(merged.values())

    def find(self, kind: str, values: list[Any]) -> list[tuple[int, int]]:
        """(entityTypeId, id) of the records that have one of the values."""
        hits: dict[tuple[int, int], None] = {}
        for value in values:
            hits |= self._index.get((kind, comparable(kind, value)), {})
        return list(hits)

    def owners(self, kind: int, of: str, values: list[Any]) -> list[int]:
        """Ids of the records of type `kind` that have one of the values, written exactly so."""
        return sorted({key for value in values for key in self._exact.get((kind, of, str(value)), {})})

    def _apply(self, merged: dict[int, Row], entry: Any) -> None:
        if not isinstance(entry, dict):
            return
        said = {str(name).upper().replace("_", ""): value for name, value in entry.items()}
        row_id = number(said.get("ID"))
        value = str(said.get("VALUE") or "")
        if row_id in merged:
            if said.get("DELETE") == "Y" or ("VALUE" in said and not value):
                del merged[row_id]
                return
            merged[row_id]["value"] = value or merged[row_id]["value"]
            merged[row_id]["valueType"] = said.get("VALUETYPE") or merged[row_id]["valueType"]
        elif value and said.get("TYPEID") in TYPES:
            row = {
                "id": self._next,
                "valueType": said.get("VALUETYPE") or "WORK",
                "value": value,
                "typeId": said["TYPEID"],
            }
            merged[self._next] = row
            self._next += 1


def comparable(kind: str, value: Any) -> str:
    """What two ways to write one phone or e-mail have in common; a leading Russian 8 is 7."""
    if kind != "PHONE":
        return str(value).strip().lower()
    digits = "".join(char for char in str(value) if char.isdigit())
    return f"7{digits[1:]}" if len(digits) == 11 and digits[0] == "8" else digits  # noqa: PLR2004
