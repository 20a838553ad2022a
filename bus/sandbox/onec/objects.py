"""The data of the base: rows by set and key, written as 1C writes them: versions, numbers, handlers, registers."""

from __future__ import annotations

import uuid
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

from bus.sandbox.envelope import RestError
from bus.sandbox.onec import catalogs, documents
from bus.sandbox.onec.numbers import local, version
from bus.sandbox.onec.rules import Rules
from bus.sandbox.onec.schema import ZERO_DATE, ZERO_GUID, EntitySet, Row
from bus.sandbox.onec.settlements import Settlements
from bus.sandbox.onec.switches import Switches

SCHEMA: dict[str, EntitySet] = {one.name: one for one in (*catalogs.SETS, *documents.SETS)}
BASE_PREFIX = "ЦБ"


@dataclass(frozen=True)
class Change:
    """One write: `seq` grows by one with every write of the base."""

    seq: int
    set: str
    key: str


Watch = Callable[[str, Row | None, Row | None], None]
"""Told of every write: the set, the row before, the row after (None: it is not there)."""


class Objects:
    """All rows. Whoever reads or writes holds the base's lock. Rows are never changed in place, but put anew."""

    def __init__(self, clock: Callable[[], float], rng: Random, switches: Switches) -> None:
        self._clock = clock
        self._rng = rng
        self._rows: dict[str, dict[str, Row]] = {name: {} for name in SCHEMA}
        self._order: dict[str, list[tuple[str, str]]] = {name: [] for name in SCHEMA}
        self._writes: dict[tuple[str, str], int] = {}
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._taken: dict[tuple[str, str, str], str] = {}
        self._log: list[Change] = []
        self.settlements = Settlements(self)
        self.rules = Rules(self, switches)
        self.watches: list[Watch] = []

    # reading

    def row(self, name: str, key: str) -> Row | None:
        """One row by its Ref_Key (of a register: by `register_key`)."""
        return self._rows[name].get(key)

    def rows(self, name: str) -> list[Row]:
        """All rows of a set in the order of creation."""
        return list(self._rows[name].values())

    def count(self, name: str) -> int:
        return len(self._rows[name])

    def stored(self, name: str) -> Iterator[Row]:
        """All rows as the database lays them: by a rearranged GUID, so a new row lands anywhere between the others."""
        rows = self._rows[name]
        return (rows[key] for _, key in self._order[name])

    def find(self, name: str, **wanted: Any) -> list[Row]:
        """The rows with these values that bear no deletion mark."""
        return [
            row
            for row in self._rows[name].values()
            if not row.get("DeletionMark") and all(row.get(field) == value for field, value in wanted.items())
        ]

    def presentation(self, name: str, key: str) -> str:
        """How 1C shows a reference: the description, or the document's name, number and date."""
        row = self._rows.get(name, {}).get(key)
        if row is None:
            return "" if key in ("", ZERO_GUID) else f"<Объект не найден> ({key})"
        if SCHEMA[name].kind == "Document":
            day = ".".join(reversed(row["Date"][:10].split("-")))
            return f"{name.removeprefix('Document_')} {row['Number']} от {day} {row['Date'][11:]}"
        return str(row.get("Description", ""))

    @property
    def sequence(self) -> int:
        """The number of the last write."""
        return len(self._log)

    def changed_since(self, seq: int = 0, sets: Collection[str] = ()) -> list[Change]:
        """The last write of each object written after `seq`, oldest first; with `sets` only of those."""
        last = {(one.set, one.key): one for one in self._log[seq:] if not sets or one.set in sets}
        return sorted(last.values(), key=lambda one: one.seq)

    # writing

    def new_key(self) -> str:
        """A fresh reference: a GUID of version 1 in form, repeatable in content."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=1))

    def create(self, name: str, fields: Mapping[str, Any], *, load: bool = False) -> Row:
        """Write a new object: defaults, own GUID unless `Ref_Key` is given, number, handlers. Raises RestError.

        Sections are lists of rows; LineNumber is given here. `load` skips the configuration's handlers.
        """
        key = fields.get("Ref_Key") or self.new_key()
        if key in self._rows[name]:
            raise RestError("15", f"Объект с ключом {key} уже существует", 400)
        row = self._laid(name, SCHEMA[name].blank(), fields) | {"Ref_Key": key}
        return self.write(name, row, load=load)

    def change(self, name: str, key: str, fields: Mapping[str, Any], *, load: bool = False) -> Row:
        """Write some fields of an object; a section is replaced whole."""
        return self.write(name, self._laid(name, self.existing(name, key), fields) | {"Ref_Key": key}, load=load)

    def post(self, name: str, key: str) -> Row:
        """Post a document; what is wrong with it refuses here, not when it was written."""
        row = self.existing(name, key)
        self.rules.before_posting(name, row)
        return self.write(name, {**row, "Posted": True})

    def unpost(self, name: str, key: str) -> Row:
        return self.write(name, {**self.existing(name, key), "Posted": False})

    def mark(self, name: str, key: str, *, marked: bool = True) -> Row:
        """Set or lift the deletion mark as a person does: a posted document is unposted with it."""
        row = self.existing(name, key)
        return self.write(name, {**row, "DeletionMark": marked} | ({"Posted": False} if row.get("Posted") else {}))

    def write(self, name: str, row: Row, *, load: bool = False) -> Row:
        """Put a complete row of an object in its place, all or nothing. Its version grows even if nothing changed."""
        key = str(row["Ref_Key"])
        old = self._rows[name].get(key)
        row = deepcopy(row)
        if SCHEMA[name].kind == "Document":
            self._dated(row)
            self._numbered(name, row)
        if not load:
            row = self.rules.before_write(name, row, old)
        if "Number" in row:
            self._taken[name, row["Date"][:4], row["Number"]] = key
        self._writes[name, key] = self._writes.get((name, key), -1) + 1
        row["DataVersion"] = version(self._writes[name, key])
        self.put(name, key, row)
        return row

    def put(self, name: str, key: str, row: Row | None) -> None:
        """Lay a row as it is (None: take it away), tell the watches, bring the derived state up to date."""
        old = self._rows[name].get(key)
        if row is None:
            del self._rows[name][key]
            self._writes.pop((name, key), None)
            del self._order[name][bisect_left(self._order[name], (storage_order(key), key))]
        else:
            self._rows[name][key] = row
            if old is None:
                insort(self._order[name], (storage_order(key), key))
        self._log.append(Change(len(self._log) + 1, name, key))
        for watch in self.watches:
            watch(name, old, row)
        self.settlements.follow(name, old, row)

    def existing(self, name: str, key: str) -> Row:
        """The row, or the refusal that 1C gives (code 9, 404)."""
        row = self._rows[name].get(key)
        if row is None:
            raise RestError("9", f"Экземпляр сущности не найден: {name} {key}", 404)
        return row

    def now(self) -> str:
        return local(self._clock())

    def _laid(self, name: str, row: Row, fields: Mapping[str, Any]) -> Row:
        """The fields over the row; unknown names are an error of our own code or of an act."""
        schema = SCHEMA[name]
        laid = dict(row)
        for field, value in fields.items():
            section = schema.by_section.get(field)
            if section is None and field not in schema.by_name:
                raise RestError("UNKNOWN_FIELD", f"{name} has no {field!r}")
            laid[field] = (
                [section.blank() | dict(line) | {"LineNumber": at} for at, line in enumerate(value, 1)]
                if section
                else value
            )
        return laid

    def _dated(self, row: Row) -> None:
        if row["Date"] == ZERO_DATE:
            raise RestError("-1", "Не заполнена дата документа", 500)

    def _numbered(self, name: str, row: Row) -> None:
        """Numbers run per set, prefix and year: `ТДЦБ-000001`; a number of one's own choice must be free."""
        year = row["Date"][:4]
        row["Number"] = row["Number"] or self._next_number(name, row, year)
        if self._taken.get((name, year, row["Number"]), row["Ref_Key"]) != row["Ref_Key"]:
            raise RestError("-1", f"Номер {row['Number']} не уникален", 500)

    def _next_number(self, name: str, row: Row, year: str) -> str:
        """The first free one; it is taken only when the document is written, so a refusal leaves no gap."""
        organisation = self._rows[catalogs.ORGANISATIONS.name].get(row.get("Организация_Key", ""))
        prefix = f"{organisation['Префикс'] if organisation else ''}{BASE_PREFIX}"
        series = (name, prefix, year)
        for last in count(self._numbers.get(series, 1)):
            self._numbers[series] = last
            number = f"{prefix}-{last:0{10 - len(prefix)}d}"
            if (name, year, number) not in self._taken:
                break
        return number


def storage_order(key: str) -> str:
    """The order in which 1C's database lays references: the GUID's groups from the last to the first."""
    return "".join(reversed(key.split("-")))


def register_key(schema: EntitySet, row: Mapping[str, Any]) -> str:
    """The key of a register's row: its dimensions."""
    return "|".join(str(row[name]) for name in schema.keys)
