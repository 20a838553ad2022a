"""Recognising: which counterparty a record is that no key named: by its INN, by what it is alike, or a person's word.

What is only possible is never acted upon: the event waits, and a person is asked (bus.ledger.questions). A record that
its own system keeps apart from another one is not made one with it either: two live records of one system with the same
INN and KPP are a duplicate there, and that is asked about too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from bus import matching, requisites
from bus.ledger import entities, questions
from bus.ledger.database import Connection, Row
from bus.ledger.entities import Party
from bus.ledger.questions import NEW, Question
from bus.matching import Likeness
from bus.model import Fields, Json, flatten


@dataclass(slots=True)
class Recogniser:
    """What is known of the counterparties that a batch may speak of. Their traits stay locked until its end."""

    fields: dict[int, Fields]
    """What each event says, by its sequence number."""
    answers: dict[tuple[str, str], str]
    parties: dict[UUID, Party]
    by_trait: dict[str, set[UUID]] = field(default_factory=dict)

    @classmethod
    def of_batch(cls, connection: Connection, batch: Sequence[Row], unknown: Sequence[Row]) -> Recogniser:
        """Look once for all: `unknown` are the events whose record no key has named, of all of the batch."""
        fields = {row["seq"]: flatten("counterparty", row["data"] or {}) for row in batch}
        traits = {trait for row in unknown for trait in matching.traits(fields[row["seq"]])}
        entities.key_locks(connection, traits)
        by_trait = entities.sharing(connection, traits)
        parties = entities.parties(connection, {entity for some in by_trait.values() for entity in some})
        subjects = {(row["source"], row["subject"]) for row in batch}
        return cls(fields, questions.answers(connection, subjects), parties, by_trait)

    def natural_key(self, row: Row) -> str | None:
        """The key that its requisites make, where they can be right."""
        return requisites.natural_key(self.fields[row["seq"]])

    def who(self, row: Row) -> UUID | Question | None:
        """The counterparty that this record surely is, what to ask, or None: one that we do not know."""
        answer = self.answers.get((row["source"], row["subject"]))
        if answer is not None:
            return None if answer == NEW else UUID(answer)
        ours = self.fields[row["seq"]]
        near = {entity for trait in matching.traits(ours) for entity in self.by_trait.get(trait, ())}
        candidates = [
            (entity, self.parties[entity].fields)
            for entity in sorted(near)
            if not self._kept_apart(entity, row["source"], ours)
        ]
        judged = matching.judge(ours, candidates)
        if judged.same is not None and row["source"] not in self.parties[judged.same].systems:
            return judged.same
        asks = judged.asks or ([(judged.same, self._like(ours, judged.same))] if judged.same else [])
        return self._question(row, asks) if asks else None

    def clash(self, row: Row, entity: UUID, other: UUID) -> Question | None:
        """A known record got the requisites of another counterparty: what to ask before the two become one.

        None where nothing speaks against it: they share no system.
        """
        answer = self.answers.get((row["source"], row["subject"]))
        if answer is not None or not self._systems(entity) & self._systems(other):
            return None
        ours = self.fields[row["seq"]]
        return self._question(row, [(other, self._like(ours, other))])

    def answered_apart(self, row: Row) -> bool:
        """A person said that this record is one of its own, whatever it is alike."""
        return self.answers.get((row["source"], row["subject"])) == NEW

    def know(self, connection: Connection, ids: set[UUID]) -> None:
        """Have these at hand too, for `clash`."""
        self.parties |= entities.parties(connection, ids - self.parties.keys())

    def met(self, row: Row, entity: UUID) -> None:
        """This record is this entity's from here on: the next event of the batch may be alike."""
        said = self.fields[row["seq"]]
        party = self.parties.setdefault(entity, Party({}, set()))
        self.parties[entity] = Party({**party.fields, **said}, party.systems | {row["source"]})
        for trait in matching.traits(said):
            self.by_trait.setdefault(trait, set()).add(entity)

    def _kept_apart(self, entity: UUID, source: str, ours: Fields) -> bool:
        """Its own system has both, and they are not surely the same: then it knows why."""
        party = self.parties[entity]
        return source in party.systems and not matching.likeness(ours, party.fields).sure

    def _systems(self, entity: UUID) -> set[str]:
        return self.parties[entity].systems if entity in self.parties else set()

    def _like(self, ours: Fields, entity: UUID) -> Likeness:
        return matching.likeness(ours, self.parties[entity].fields)

    def _question(self, row: Row, asks: Sequence[tuple[UUID, Likeness]]) -> Question:
        candidates: list[dict[str, Json]] = [
            {
                "entity": str(entity),
                "why": list(found.why),
                "systems": sorted(self._systems(entity)),
                **shown(self.parties[entity].fields),
            }
            for entity, found in asks
        ]
        return Question("counterparty", row["source"], row["subject"], candidates, shown(self.fields[row["seq"]]))


def shown(fields: Fields) -> dict[str, Json]:
    """What a person is shown of a counterparty to tell it from another."""
    return {name: fields[name] for name in ("name", "legal_name", "inn", "kpp", "phones", "emails") if fields.get(name)}
