"""Recognising: which counterparty a record is that no key named: by its INN, by what it is alike, or a person's word.

What is only possible is never acted upon: the event waits, and a person is asked (bus.ledger.questions). A record that
its own system keeps apart from another one is not made one with it either: two live records of one system with the same
INN and KPP are a duplicate there, and that is asked about too.

Requisites tell who somebody is only as long as he has them: an INN that was typed by mistake and corrected leads
nowhere. So they are looked up among what counterparties are alike by, which follows their fields.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from bus import matching, requisites
from bus.ledger import questions, traits
from bus.ledger.database import Connection, Row
from bus.ledger.questions import NEW, Question
from bus.ledger.traits import Party
from bus.matching import Likeness
from bus.model import Fields, Json, flatten

_NAMESAKE = Likeness(sure=False, why=("the same name",))
_ALIKE = 50
"""So many of one batch that share a trait are looked at."""


@dataclass(slots=True)
class Recogniser:
    """What is known of the counterparties that a batch may speak of. Their traits stay locked until its end."""

    fields: dict[int, Fields]
    """What each event's record says in the end, by the event: its last word of the batch tells who it is."""
    answers: dict[tuple[str, str], str]
    parties: dict[UUID, Party]
    by_trait: dict[str, set[UUID]] = field(default_factory=dict)
    forgotten: Collection[int] = ()

    @classmethod
    def of_batch(
        cls,
        connection: Connection,
        batch: Sequence[Row],
        known: Mapping[int, set[UUID]],
        forgotten: Collection[int] = (),
    ) -> Recogniser:
        """Look once for all. `batch` is in the order in which it happened; `known`: whom the keys of each event name.

        A record that is known is looked for only by requisites that are new to it. `forgotten`: events of records that
        we made, and of which this ledger, restored since, does not know for whom.
        """
        fields = _last_words(batch)
        met = traits.parties(connection, {entity for some in known.values() for entity in some})
        sought: set[str] = set()
        for row in batch:
            said, own = fields[row["seq"]], [met[entity] for entity in known[row["seq"]] if entity in met]
            natural = requisites.natural_key(said)
            if not own:
                sought |= matching.traits(said)
            elif natural and any(requisites.natural_key(one.fields) != natural for one in own):
                sought.add(natural)
        traits.lock(connection, sought)
        by_trait = traits.sharing(connection, sought)
        near = {entity for some in by_trait.values() for entity in some}
        parties = met | traits.parties(connection, near)
        subjects = {(row["source"], row["subject"]) for row in batch}
        return cls(fields, questions.answers(connection, subjects), parties, by_trait, forgotten)

    def who(self, row: Row) -> UUID | Question | None:
        """The counterparty that this record surely is, what to ask, or None: one that we do not know."""
        answer = self._answer(row)
        if answer is not None:
            return None if answer == NEW else UUID(answer)
        ours = self.fields[row["seq"]]
        near = {entity for trait in matching.traits(ours) for entity in self.by_trait.get(trait, ())}
        candidates = [
            (entity, self.parties[entity].fields)
            for entity in sorted(near & self.parties.keys())
            if not self._kept_apart(entity, row["source"], ours)
        ]
        judged = matching.judge(ours, candidates)
        if judged.same is not None and row["source"] not in self.parties[judged.same].systems:
            return judged.same
        for_whom = self._for_whom(row, candidates)
        if len(for_whom) == 1:
            return for_whom[0]
        asks = judged.asks or ([(judged.same, self._like(ours, judged.same))] if judged.same else [])
        asks = asks or [(one, _NAMESAKE) for one in for_whom]
        return self._question(row, asks) if asks else None

    def _for_whom(self, row: Row, candidates: Sequence[tuple[UUID, Fields]]) -> list[UUID]:
        """Of these and the record, one was made by us for the other, under his name, before the ledger was restored."""
        ours = self.fields[row["seq"]]
        return [
            entity
            for entity, fields in candidates
            if (row["seq"] in self.forgotten or self.parties[entity].forgotten)
            and row["source"] not in self.parties[entity].systems
            and matching.namesakes(ours, fields)
        ]

    def become(self, row: Row, known: set[UUID]) -> set[UUID] | Question:
        """Who else a known record is, since it got the requisites of another counterparty; or what to ask first.

        Nothing speaks against it where they share no system; a person's word on these very two counts, against the
        others that he might have chosen too; and so does his word that the record is one of its own, whatever it is
        alike.
        """
        answer, natural = self._answer(row), requisites.natural_key(self.fields[row["seq"]])
        if natural is None or answer == NEW:
            return set()
        others = (self.by_trait.get(natural, set()) & self.parties.keys()) - known
        shared = {system for entity in known for system in self._systems(entity)}
        doubtful = [other for other in sorted(others) if str(other) != answer and self._systems(other) & shared]
        if doubtful and answer not in {str(other) for other in others}:
            return self._question(row, [(one, self._like(self.fields[row["seq"]], one)) for one in doubtful])
        return others.difference(doubtful)

    def met(self, row: Row, entity: UUID) -> None:
        """This record is this entity's from here on: the next event of the batch may be alike."""
        said = self.fields[row["seq"]]
        party = self.parties.setdefault(entity, Party({}, set()))
        made = party.made | {row["source"]} if row["seq"] in self.forgotten else party.made
        self.parties[entity] = Party({**party.fields, **said}, party.systems | {row["source"]}, made)
        for trait in matching.traits(said) if self._answer(row) != NEW else ():
            if len(some := self.by_trait.setdefault(trait, set())) < _ALIKE:
                some.add(entity)

    def _answer(self, row: Row) -> str | None:
        return self.answers.get((row["source"], row["subject"]))

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


def _last_words(batch: Sequence[Row]) -> dict[int, Fields]:
    """What each event's record says once all of its events are heard."""
    words: dict[tuple[str, str], Fields] = {}
    for row in batch:
        words.setdefault((row["source"], row["subject"]), {}).update(flatten("counterparty", row["data"] or {}))
    return {row["seq"]: words[row["source"], row["subject"]] for row in batch}


def shown(fields: Fields) -> dict[str, Json]:
    """What a person is shown of a counterparty to tell it from another."""
    return {name: fields[name] for name in ("name", "legal_name", "inn", "kpp", "phones", "emails") if fields.get(name)}
