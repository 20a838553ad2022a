"""Batch: what one transaction of the path gathers, to be saved together at its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from bus.errors import BusError
from bus.ledger import tombstones
from bus.ledger.conflicts import Question
from bus.ledger.database import Row
from bus.ledger.entities import Known
from bus.ledger.history import Line
from bus.ledger.journal import Ending
from bus.ledger.letters import Letter
from bus.ledger.tombstones import Name, Tombstone
from bus.merge import Change, Outcome
from bus.ports import Notification


@dataclass(slots=True)
class Batch:
    """Entities under their locks, and all that came of the events that speak of them."""

    known: dict[UUID, Known] = field(default_factory=dict)
    endings: list[Ending] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    letters: dict[int, Letter] = field(default_factory=dict)
    questions: dict[tuple[UUID, str], Question] = field(default_factory=dict)
    again: set[Notification] = field(default_factory=set)
    """Records that were read too early to know whether they speak of before or after our own write."""
    agreed: set[tuple[UUID, str]] = field(default_factory=set)
    """Fields with an open conflict whose sides have come to say the same."""
    moved: list[tuple[UUID, UUID]] = field(default_factory=list)
    """Payments and the orders that they were thought to be of before."""
    there: set[tuple[UUID, str]] = field(default_factory=set)
    """Where its orders were before, those that were united left out."""
    taken_back: list[tuple[Row, Known]] = field(default_factory=list)
    """Deletions by the books, and the payments that they speak of."""
    stones: dict[Name, Tombstone] = field(default_factory=dict)
    """Deletions of records that the batch speaks of: those that are known, and its own."""
    buried: set[Name] = field(default_factory=set)
    """Of these the ones that it tells of."""
    told: dict[Name, datetime] = field(default_factory=dict)
    """When, by their systems' clocks, those spoke last that it says are deleted, by what was heard before it."""
    touched: dict[UUID, tuple[int, int | None]] = field(default_factory=dict)
    """entity -> (priority, event) of the most urgent event that touched it"""

    def bury(self, row: Row) -> None:
        """An event tells that its record was deleted: from here on it is known."""
        record = tombstones.name(row)
        self.stones[record] = Tombstone.of(row).or_later(self.stones.get(record))
        self.buried.add(record)

    def touch(self, entity: UUID, priority: int, seq: int | None) -> None:
        """An entity or one of its records changed: its deliveries are looked at."""
        before = self.touched.get(entity)
        if before is None or priority <= before[0]:
            self.touched[entity] = (priority, seq)

    def tell(
        self, entity: UUID, actor: str, changes: Iterable[Change], seq: int | None = None, system: str | None = None
    ) -> None:
        """Changes, and what was overruled, go into the entity's history."""
        for change in changes:
            what = "changed" if change.accepted else "overruled"
            line = Line(entity, actor, what, seq, system, change.field, change.old, change.new, change.rule)
            self.lines.append(line)

    def set_aside(self, row: Row, error: Exception, entity: UUID | None) -> None:
        """An event ends as a dead letter: a person has to do something."""
        cause = error.cause if isinstance(error, BusError) else type(error).__name__
        reason = str(error) if isinstance(error, BusError) else f"cannot be read: {type(error).__name__}"
        self.endings.append(Ending(row["seq"], Outcome.DEAD, entity, reason))
        self.letters[row["seq"]] = Letter(
            row["source"], type(error).__name__, cause, reason, row["seq"], entity, sent={"subject": row["subject"]}
        )

    def of_erased(self) -> list[tuple[int, UUID]]:
        """Events that speak of what is erased, with their entities: what they say of a person is not kept."""
        gone = {entity for entity, known in self.known.items() if known.erased}
        return [(end.seq, end.entity_id) for end in self.endings if end.entity_id in gone] if gone else []
