"""What an inspected file turned out to be: what is in it, what of that is read, what would wait for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bus.model import Json


@dataclass(slots=True)
class Inspected:
    """Counts and names of elements; never what a file says of anybody."""

    what: str
    facts: dict[str, str] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    """Documents, records or rows by their kind."""
    mapped: Counter[str] = field(default_factory=Counter)
    """Elements that the bus reads, how often each stands there."""
    unmapped: Counter[str] = field(default_factory=Counter)
    """Elements that nobody reads."""
    held: Counter[str] = field(default_factory=Counter)
    """Codes without a mapping, with the field that would wait for a person."""
    troubles: list[str] = field(default_factory=list)
    """What cannot be read at all, by line."""
    warnings: list[str] = field(default_factory=list)

    def count(self, paths: Iterable[str], read: frozenset[str] | set[str]) -> None:
        """Count elements as read or not."""
        for path in paths:
            (self.mapped if path in read else self.unmapped)[path] += 1

    @property
    def document(self) -> dict[str, Json]:
        """All of it, for programs."""
        return {
            "what": self.what,
            "facts": self.facts,
            "found": dict(self.found),
            "mapped": dict(self.mapped),
            "unmapped": dict(self.unmapped),
            "held": dict(self.held),
            "troubles": self.troubles,
            "warnings": self.warnings,
        }
