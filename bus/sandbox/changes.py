"""The log of saves: which record changed when, to the millisecond, in which fields; for benchmarks and tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

KEPT = 200_000


class Changes:
    """The last saves, in their order. The portals' own times know no fraction of a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._log: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._seq = 0
        self.muted = False
        self.person = False
        """What is saved now a person does, by an act; everything else comes through the API."""

    def note(self, of: str, old: dict[str, Any] | None, row: dict[str, Any]) -> None:
        """A row of table `of` was put in the place of `old`; of a new one, every field that says something."""
        if self.muted:
            return
        before = old or {}
        fields = {name: value for name, value in row.items() if before.get(name) != value}
        self._seq += 1
        line = {"seq": self._seq, "unix": self._clock(), "of": of, "id": row["id"], "fields": fields}
        self._log.append(line | {"person": self.person})

    def since(self, seq: int = 0, limit: int = 10_000, fields: Collection[str] = ()) -> list[dict[str, Any]]:
        """The lines after `seq`, oldest first; with `fields` only those of which one changed, and only what it says."""
        lines = list(self._log)
        skip = max(0, seq - (lines[0]["seq"] - 1)) if lines else 0
        found = []
        for line in lines[skip:]:
            said = {name: line["fields"][name] for name in fields if name in line["fields"]}
            if said or not fields:
                found.append({**line, "fields": said} if fields else line)
            if len(found) == limit:
                break
        return found
