"""Tally: how often each rule, fault, crash point and interesting case was really met. What never was proves nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

Row = dict[str, int]


@dataclass
class Tally:
    """Counts by name; names begin with what they count: rule, fault, killed, case, outcome."""

    counts: Counter[str] = field(default_factory=Counter)

    def met(self, what: str, name: str, times: int = 1) -> None:
        """One more of this."""
        self.counts[f"{what} {name}"] += times

    def of(self, what: str) -> Row:
        """The counts of one sort, by name."""
        prefix = f"{what} "
        return {name.removeprefix(prefix): n for name, n in sorted(self.counts.items()) if name.startswith(prefix)}

    def add(self, other: dict[str, int]) -> None:
        """What another process has counted."""
        self.counts.update(other)
