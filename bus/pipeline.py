"""THE PATH: record, identify, lock, gather, merge, save: one transaction for a batch, no I/O but the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import psycopg
import structlog

from bus import channels, deriving, matching, points, taken_back
from bus.batch import Batch
from bus.config import Config
from bus.differences import Differences
from bus.envelope import Event
from bus.errors import POISON, BusError
from bus.hearing import Hearing, put_off
from bus.identified import OVERTAKEN, Identified, absent, deletes, speaks
from bus.identify import identify
from bus.ledger import conflicts, deliveries, entities, erased, history, journal, letters, questions, tombstones, traits
from bus.ledger.database import Connection, Ledger, LostRace, Row
from bus.ledger.deliveries import Due
from bus.ledger.entities import Known
from bus.ledger.journal import Ending
from bus.ledger.tombstones import Name
from bus.merge import Outcome, Rules
from bus.model import Kind
from bus.ports import Bells, Entry, Mappings, Notification
from bus.uniting import Uniting

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_TAKEN = 1000
"""Events in one transaction at most, with those that wait for the same records: what they take of memory is bounded."""
_POISON = (psycopg.DataError, *POISON)


@dataclass(slots=True)
class Done:
    """What came of a batch: outcomes, and what to tell others once it is committed."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    woken: list[Event] = field(default_factory=list)
    lanes: set[tuple[str, bool]] = field(default_factory=set)


class Pipeline:
    """Takes batches of events through the path. Safe to run anywhere at once: entity rows are the locks."""

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        mappings: Mappings,
        rules: Callable[[Kind], Rules],
        bells: Bells,
    ) -> None:
        self._ledger, self._config, self._mappings, self._bells = ledger, config, mappings, bells
        self._differences = Differences(config, mappings)
        self._hearing = Hearing(config, rules, self._differences)
        self._uniting = Uniting(rules, config.books)

    def knows(self, system: str) -> bool:
        """Is it a system of the configuration?"""
        return system in self._config.systems

    def process(self, events: Sequence[Event]) -> Counter[Outcome]:
        """Bring events to their outcomes. Repeating it changes nothing.

        Raises Transient when the ledger cannot be reached; the events stay pending, the sweep brings them again.
        """
        return self.apply(self.journaled(events))

    def journaled(self, events: Sequence[Event]) -> list[int]:
        """Journal what is not journaled yet (a stranger's), in a transaction of its own: first of all, keep it.

        Returns the sequence numbers of those that are still to be merged.
        """
        entries = {(event.source, event.id): Entry(event) for event in events}

        def keep(connection: Connection) -> list[int]:
            known = journal.known(connection, entries)
            if new := [entry for name, entry in entries.items() if name not in known]:
                journal.record(connection, new)
                known = journal.known(connection, entries)
            return [place.seq for place in known.values() if place.pending]

        return self._ledger.run(keep) if entries else []

    def apply(self, seqs: Sequence[int]) -> Counter[Outcome]:
        """The same for events that are in the journal; those that are not pending any more are nothing to do.

        Raises Transient as `process` does.
        """
        outcomes: Counter[Outcome] = Counter()
        for start in range(0, len(seqs), _TAKEN):
            outcomes += self._apply(seqs[start : start + _TAKEN])
        return outcomes

    def _apply(self, seqs: Sequence[int]) -> Counter[Outcome]:
        try:
            done = self._ledger.run(lambda connection: self._path(connection, seqs, more=_TAKEN - len(seqs)))
        except _POISON as error:
            return self._one_by_one(seqs, error)
        if __debug__:
            points.here("path.committed")
        self.tell(done)
        return done.outcomes

    def within(self, connection: Connection, seqs: Sequence[int]) -> Done:
        """Take journaled events through the path in their journal's own transaction, so that nobody sees between.

        Whoever does it locks their entities first, as everywhere, and hands what comes of it to `tell` once it is
        committed.
        """
        return self._path(connection, seqs, more=0)

    def look_over(self) -> int:
        """Look at every entity, a page at a time, and make due what is not as it should be. How many deliveries.

        Nothing of this needs an event: a delivery is a difference, whatever made it. What a person discarded the
        letter of waits for the next change: nothing has been said since.
        """
        made, last = 0, UUID(int=0)
        while page := self._page(last):
            done = self._ledger.run(partial(self._look, page))
            made, last = made + len(done), page[-1]
            for system, urgent in sorted({(item.system, item.priority <= channels.URGENT) for item in done}):
                self._bells.ring(system, urgent=urgent)
        return made

    def _page(self, after: UUID) -> list[UUID]:
        with self._ledger.transaction() as connection:
            return entities.page(connection, after)

    def _look(self, ids: list[UUID], connection: Connection) -> list[Due]:
        batch = Batch(entities.lock(connection, ids))
        for entity in batch.known:
            batch.touch(entity, channels.BULK, None)
        return self._mark(connection, batch, letters.waived_deliveries(connection, ids))

    def _path(self, connection: Connection, seqs: Sequence[int], more: int) -> Done:
        taken = journal.take(connection, seqs)
        if not taken:  # merged together with others, or by who had the same message
            return Done()
        if more:
            taken += journal.take_more(connection, taken, more)
        if __debug__:
            points.here("path.taken")
        taken.sort(key=lambda row: (row["occurred_at"], row["seq"]))
        who = identify(connection, taken, self._config)
        batch = Batch(self._locked(connection, who))
        self._uniting.unite(connection, who, batch)
        self._orders_of_payments(connection, who, batch)
        united = {entity for group in who.unite for entity in group}
        batch.there = {place for place in _places(batch) if place[0] not in united}
        if __debug__:
            points.here("path.locked")
        batch.stones = tombstones.of(connection, _deleted(taken, who, batch))
        deletions = {tombstones.name(row): who.entity[row["seq"]] for row in taken if _ends(row, who)}
        batch.told = journal.last_told(connection, deletions)
        for row in taken:
            self._merge(row, who, batch)
        taken_back.tell(connection, batch, self._config)
        deriving.doubt(batch)
        deriving.settle(connection, batch)
        if __debug__:
            points.here("path.merged")
        done = self._save(connection, who, batch, taken)
        if __debug__:
            points.here("path.saved")
        return done

    @staticmethod
    def _locked(connection: Connection, who: Identified) -> dict[UUID, Known]:
        """Every entity that the batch speaks of: those that are known, locked, and those about to be made."""
        named = {*who.entity.values(), *who.parent.values(), *(entity for group in who.unite for entity in group)}
        made = {entity: entities.begun(entity, kind) for entity, kind in who.new.items()}
        locked = entities.lock(connection, named - made.keys())
        if len(locked) < len(named - made.keys()):  # one was past its keeping (bus.ledger.retention)
            raise LostRace
        return locked | made

    @staticmethod
    def _orders_of_payments(connection: Connection, who: Identified, batch: Batch) -> None:
        """A payment known before need not name its order: that comes under the lock too; a deadlock is retried."""
        late = {
            parent
            for entity in who.entity.values()
            if (known := batch.known.get(entity)) and (parent := known.parent_id)
        } - set(batch.known)
        if late:
            batch.known |= entities.lock(connection, late)

    def _merge(self, row: Row, who: Identified, batch: Batch) -> None:
        """One event. A poisonous one is set aside and the others go on."""
        seq = row["seq"]
        if seq in who.waits_for:
            return
        if seq in who.overtaken:
            put_off(row, OVERTAKEN, None, batch)
            return
        known = batch.known.get(who.entity.get(seq, UUID(int=0)))
        if seq in who.unwanted or (known is None and seq not in who.refused):
            batch.endings.append(Ending(seq, Outcome.OVERRULED, None, who.unwanted.get(seq, "no entity")))
            if deletes(row) and not absent(row):
                batch.bury(row)
            return
        try:
            if seq in who.refused:
                raise who.refused[seq]
            if known is not None:
                self._hearing.take_in(known, row, who.parent.get(seq), batch)
        except (BusError, ValueError, LookupError, ArithmeticError) as error:
            batch.set_aside(row, error, known.id if known else None)

    def _save(self, connection: Connection, who: Identified, batch: Batch, gathered: list[Row]) -> Done:
        done = Done(Counter(ending.outcome for ending in batch.endings))
        entities.save(connection, batch.known.values())
        tombstones.put(connection, {name: batch.stones[name] for name in batch.buried})
        tombstones.forget(connection, {name: who.alive[name] for name in who.alive.keys() - batch.buried})
        journal.finish(connection, batch.endings)
        erased.take_out(connection, batch.of_erased())
        journal.wait(connection, who.waits_for, seconds=self._config.limits.wait_deadline_s)
        recognised, answered = self._recognition(connection, who, batch, gathered)
        done.outcomes[Outcome.WAITING] += len(who.waits_for)
        letters.write(connection, list(batch.letters.values()))
        letters.resolve_events(connection, [end.seq for end in batch.endings if end.outcome is not Outcome.DEAD])
        conflicts.ask(connection, list(batch.questions.values()))
        conflicts.agree(connection, batch.agreed)
        history.write(connection, batch.lines)
        done.lanes = {(item.system, item.priority <= channels.URGENT) for item in self._mark(connection, batch)}
        deliveries.hasten(connection, answered)
        done.lanes |= {(system, False) for _, system in answered}
        deliveries.hasten(connection, {(item, system) for item, _ in batch.moved for system in self._config.called})
        done.lanes |= deliveries.follow(connection, _places(batch) - batch.there)
        done.lanes |= self._ask_for(connection, who)
        journal.notify(connection, list(batch.again))
        done.lanes |= {(item.system, item.priority == channels.URGENT) for item in batch.again}
        done.woken = journal.wake(connection, who.learnt | {f"match/{key}" for key in who.learnt} | recognised)
        _closing_lines(gathered, batch)
        return done

    def _recognition(
        self, connection: Connection, who: Identified, batch: Batch, gathered: list[Row]
    ) -> tuple[set[str], list[tuple[UUID, str]]]:
        """What people are to be asked, what need not be asked any more, and by what counterparties are found.

        Returns what may wait for an answer that is not needed any more: events, by what they wait for, and deliveries.
        """
        questions.ask(connection, list(who.asks.values()), seconds=self._config.limits.wait_deadline_s)
        ended = who.entity.keys() | who.unwanted.keys() | who.overtaken
        told = [row for row in gathered if row["kind"] != "order" and row["seq"] in ended]
        known = {(row["source"], row["subject"]): who.entity[row["seq"]] for row in told if row["seq"] in who.entity}
        met = {(source, entity) for (source, _), entity in known.items()}
        moot = questions.moot(connection, {(row["source"], row["subject"]) for row in told}, met)
        asked = [(row["entity_id"] or known.get((row["system"], row["subject"])), row["system"]) for row in moot]
        answered = [(entity, system) for entity, system in asked if entity and system in self._config.called]
        parties = [one for one in batch.known.values() if one.view.kind == "counterparty" and one.dirty]
        traits.put(connection, {one.id: matching.traits(one.view.fields) for one in parties})
        return {questions.key(row["source"], row["subject"]) for row in told}, answered

    def _mark(self, connection: Connection, batch: Batch, left: Collection[tuple[UUID, str]] = ()) -> list[Due]:
        """Every system whose record now differs gets a due delivery; where nothing differs any more, none.

        Those that are `left` stay as they are while they differ.
        """
        due: list[Due] = []
        settled: list[tuple[UUID, str]] = []
        for entity, (priority, seq) in batch.touched.items():
            known = batch.known[entity]
            for system, delivery in self._differences.due(known, priority, seq).items():
                if delivery is None and not known.fresh:
                    settled.append((entity, system))
                elif delivery and (entity, system) not in left:
                    due.append(delivery)
        deliveries.mark(connection, due)
        deliveries.settle(connection, settled)
        return due

    def differs(self, known: Known, system: str) -> bool:
        """Does this entity's record in `system` need a write, as far as the switches let us?"""
        return self._differences.differs(known, system)

    def _ask_for(self, connection: Connection, who: Identified) -> set[tuple[str, bool]]:
        """What is waited for is fetched at once, where its system can be asked, instead of hoped for."""
        wanted = []
        for key in set(who.waits_for.values()):
            system, record_type, external_id = key.split("/", 2)
            known = self._config.systems.get(system)
            if known and known.url and record_type in self._mappings.record_types(known.kind).values():
                wanted.append(Notification(system, record_type, external_id, priority=channels.URGENT))
        journal.notify(connection, wanted)
        return {(item.system, True) for item in wanted}

    def tell(self, done: Done) -> None:
        """Ring for what a committed batch has woken and made due."""
        self._bells.publish(done.woken)
        for system, urgent in sorted(done.lanes):
            self._bells.ring(system, urgent=urgent)

    def _one_by_one(self, seqs: Sequence[int], error: Exception) -> Counter[Outcome]:
        """Something in the batch cannot be taken: find out which event it is and set that one aside."""
        if len(seqs) > 1:
            return sum((self._alone(seq) for seq in seqs), Counter())
        with self._ledger.transaction() as connection:
            batch = Batch()
            for row in journal.take(connection, seqs):
                log.error("event.poisonous", event_id=row["id"], subject=row["subject"], error=type(error).__name__)
                batch.set_aside(row, error, None)
            journal.finish(connection, batch.endings)
            letters.write(connection, list(batch.letters.values()))
        return Counter({Outcome.DEAD: len(batch.endings)})

    def _alone(self, seq: int) -> Counter[Outcome]:
        """One event without those of its record that wait beside it: what is poisonous in them is none of its own."""
        try:
            done = self._ledger.run(lambda connection: self._path(connection, [seq], more=0))
        except _POISON as error:
            return self._one_by_one([seq], error)
        self.tell(done)
        return done.outcomes


def _places(batch: Batch) -> set[tuple[UUID, str]]:
    """Where the orders are that were known before this batch."""
    return {
        (known.id, one.system)
        for known in batch.known.values()
        if known.view.kind == "order" and not known.fresh
        for one in known.records
        if one.state == "linked"
    }


def _deleted(taken: list[Row], who: Identified, batch: Batch) -> set[Name]:
    """Records that are known as deleted, or of which the batch says so: they may have been deleted before.

    So may one that is known by what others said of it alone.
    """
    strange = {row["seq"] for row in who.strange}
    names = set()
    for row in taken:
        known = batch.known.get(who.entity.get(row["seq"], UUID(int=0)))
        linked = known.found(row["source"], *row["subject"].split("/", 1)) if known else None
        unheard = linked is None and speaks(row) and row["seq"] not in strange
        if unheard or deletes(row) or (linked and linked.state == "deleted"):
            names.add(tombstones.name(row))
    return names


def _ends(row: Row, who: Identified) -> bool:
    """Does it say that a known record is deleted?"""
    return deletes(row) and row["seq"] in who.entity and row["source"] != "bus"


def _closing_lines(gathered: list[Row], batch: Batch) -> None:
    """One closing line per event, level by meaning."""
    ended = {ending.seq: ending for ending in batch.endings}
    lines = log.bind()  # once: each call on the module's logger would bind one anew
    for row in gathered:
        if ending := ended.get(row["seq"]):
            say = lines.warning if ending.outcome is Outcome.DEAD else lines.info
            say(
                "event.ended",
                event_id=row["id"],
                source=row["source"],
                subject=row["subject"],
                type=row["type"],
                outcome=ending.outcome.value,
                entity=str(ending.entity_id),
                **({"reason": ending.error} if ending.error else {}),
            )
