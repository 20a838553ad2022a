"""Rows in memory with the indexes that list filters ask for, so that a poll of thousands stays cheap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]


class Table:
    """Rows by id, ids ascending, hash indexes on `indexed` fields and a sorted index on the modification time."""

    def __init__(self, *, first_id: int = 1, indexed: Iterable[str] = (), modified: str = "") -> None:
        self.rows: dict[int, Row] = {}
        self.ids: list[int] = []
        self._next = first_id
        self._modified = modified
        self._by_time: list[tuple[str, int]] = []
        self._hashes: dict[str, dict[str, set[int]]] = {name: {} for name in indexed}
        self.watch: Callable[[Row | None, Row], None] | None = None
        """Told of every put: the row before, if there was one, and the row."""

    def new_id(self) -> int:
        """The next id; ids are never given twice."""
        self._next += 1
        return self._next - 1

    def put(self, row: Row) -> None:
        """Add a row or put it in the place of the one with its id."""
        key = int(row["id"])
        old = self.rows.get(key)
        if old is None:
            insort(self.ids, key)
        else:
            self._forget(key, old)
        self.rows[key] = row
        if self.watch:
            self.watch(old, row)
        for name, hashed in self._hashes.items():
            hashed.setdefault(_hash(row.get(name)), set()).add(key)
        if self._modified:
            insort(self._by_time, (row[self._modified], key))

    def remove(self, key: int) -> Row | None:
        """Take a row out; None if it is not there."""
        row = self.rows.pop(key, None)
        if row is not None:
            self._forget(key, row)
            del self.ids[bisect_left(self.ids, key)]
        return row

    def lookup(self, name: str, op: str, wanted: Any) -> Iterable[int] | None:
        """The ids, ascending, for which one comparison holds, when an index can tell; else None."""
        if name == "id":
            return self._by_id(op, wanted)
        if name in self._hashes and op in ("=", "@"):
            values = wanted if op == "@" else (wanted,)
            hits = [self._hashes[name].get(_hash(value), set()) for value in values]
            return sorted(set().union(*hits))
        if name == self._modified and op in (">", ">=") and wanted is not None:
            side = bisect_right if op == ">" else bisect_left
            low = (str(wanted), 1 << 62) if op == ">" else (str(wanted), -1)
            return sorted(key for _, key in self._by_time[side(self._by_time, low) :])
        return None

    def counts(self, name: str) -> dict[str, int]:
        """How many rows there are of each value of a field."""
        return dict(Counter(str(row.get(name)) for row in self.rows.values()))

    def _by_id(self, op: str, wanted: Any) -> Iterable[int] | None:
        if op in ("=", "@"):
            values = wanted if op == "@" else (wanted,)
            keys = {int(value) for value in values if isinstance(value, int | float)}
            return sorted(key for key in keys if key in self.rows)
        if op in (">", ">=", "<", "<=") and isinstance(wanted, int | float):
            if op in (">", ">="):
                return self.ids[(bisect_right if op == ">" else bisect_left)(self.ids, wanted) :]
            return self.ids[: (bisect_left if op == "<" else bisect_right)(self.ids, wanted)]
        return None

    def _forget(self, key: int, row: Row) -> None:
        for name, hashed in self._hashes.items():
            value = _hash(row.get(name))
            hashed[value].discard(key)
            if not hashed[value]:
                del hashed[value]
        if self._modified:
            del self._by_time[bisect_left(self._by_time, (row[self._modified], key))]


def _hash(value: Any) -> str:
    if value is None or value == "":
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
