"""Identified: whose entities a batch speaks of; and what is looked for, one kind of it at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from bus.errors import BusError
from bus.ledger import questions
from bus.ledger.database import Row
from bus.ledger.questions import Question
from bus.ledger.tombstones import Name, Tombstone
from bus.model import Kind

ABSENT = "absent"
"""What the version of a deletion begins with that nobody told of: the record was looked for in vain."""
OVERTAKEN = "from before its record was deleted there"
"""Why a word comes to nothing that its record's deletion has overtaken."""


@dataclass(slots=True)
class Identified:
    """The answer for a batch: entities, orders that payments belong to, and what could not be identified."""

    entity: dict[int, UUID] = field(default_factory=dict)
    parent: dict[int, UUID] = field(default_factory=dict)
    waits_for: dict[int, str] = field(default_factory=dict)
    refused: dict[int, BusError] = field(default_factory=dict)
    unwanted: dict[int, str] = field(default_factory=dict)
    overtaken: set[int] = field(default_factory=set)
    """What strange records said before they were deleted."""
    alive: dict[Name, Tombstone] = field(default_factory=dict)
    """Deletions of strange records that said something since."""
    strange: list[Row] = field(default_factory=list)
    """What records say, or their deletions, that the ledger does not know by their own names."""
    unite: list[set[UUID]] = field(default_factory=list)
    learnt: set[str] = field(default_factory=set)
    new: dict[UUID, Kind] = field(default_factory=dict)
    """Entities to be made: their keys are known from here on, they themselves when the path saves them."""
    asks: dict[int, Question] = field(default_factory=dict)
    """What a person is to be asked, by the event that waits for the answer."""
    heard: dict[tuple[str, str], str] = field(default_factory=dict)
    """What people had answered, by whom it was asked about."""

    def ask(self, seq: int, question: Question) -> None:
        """The event waits until somebody has answered."""
        self.asks[seq] = question
        self.waits_for[seq] = questions.key(question.system, question.subject)

    def held_back(self, seq: int) -> bool:
        """The event waits, or ends unheard."""
        return seq in self.waits_for or seq in self.refused or seq in self.unwanted or seq in self.overtaken


@dataclass(frozen=True, slots=True)
class Sought:
    """Events of one kind, in the order in which they happened; every key that each gives, and what is known by them."""

    kind: Kind
    rows: list[Row]
    keys: dict[int, list[str]]
    known: dict[str, UUID]

    def named(self, row: Row) -> set[UUID]:
        """Entities that the event's keys mean."""
        return {self.known[key] for key in self.keys[row["seq"]] if key in self.known}

    def is_known(self, row: Row) -> bool:
        """Do the event's keys mean any?"""
        return any(key in self.known for key in self.keys[row["seq"]])

    def says_news(self, row: Row) -> bool:
        """Do its keys say anything that the ledger does not know: a key, or that two entities are one?"""
        keys = self.keys[row["seq"]]
        return len({self.known.get(key) for key in keys}) > 1 or keys[0] not in self.known


def deletes(row: Row) -> bool:
    """It says that its record is deleted."""
    return bool(row["type"].endswith(".deleted"))


def absent(row: Row) -> bool:
    """It says that its record was looked for in vain, which may have been before it was made. Nobody told so."""
    return deletes(row) and (row["sourceversion"] or "").startswith(ABSENT)


def speaks(row: Row) -> bool:
    """It comes from a system and says what its record is now."""
    return row["source"] != "bus" and not deletes(row)
