"""THE PATH: record, identify, lock, gather, merge, save: one transaction for a batch, no I/O but the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from uuid import UUID

import psycopg
import structlog

from bus import channels, matching, merge, points
from bus.config import Config
from bus.envelope import Event
from bus.errors import POISON, BusError, Permanent
from bus.identify import Identified, identify
from bus.ledger import conflicts, deliveries, entities, erased, erasing, history, journal, letters, questions, traits
from bus.ledger.conflicts import Question
from bus.ledger.database import Connection, Ledger, LostRace, Row
from bus.ledger.deliveries import Due
from bus.ledger.entities import Known
from bus.ledger.history import Line
from bus.ledger.journal import Ending
from bus.ledger.letters import Letter
from bus.merge import Incoming, Means, Merged, Outcome, Rules, Said
from bus.model import DERIVED, PERSONAL, Fields, Kind, flatten
from bus.ports import Bells, Entry, Held, Mappings, Notification

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_TAKEN = 1000
"""Events in one transaction at most, with those that wait for the same records: what they take of memory is bounded."""
_POISON = (psycopg.DataError, *POISON)


@dataclass(slots=True)
class Batch:
    """What one transaction gathers, to be saved together at its end."""

    known: dict[UUID, Known] = field(default_factory=dict)
    endings: list[Ending] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    letters: dict[int, Letter] = field(default_factory=dict)
    questions: dict[tuple[UUID, str], Question] = field(default_factory=dict)
    again: set[Notification] = field(default_factory=set)
    """Records that were read too early to know whether they speak of before or after our own write."""
    agreed: set[tuple[UUID, str]] = field(default_factory=set)
    """Fields with an open conflict whose sides have come to say the same."""
    personal: list[tuple[int, UUID]] = field(default_factory=list)
    """Events that speak of what was erased, with their entities: what they say of a person is not kept."""
    moved: list[tuple[UUID, UUID]] = field(default_factory=list)
    """Payments and the orders that they were thought to be of before."""
    touched: dict[UUID, tuple[int, int | None]] = field(default_factory=dict)
    """entity -> (priority, event) of the most urgent event that touched it"""

    def touch(self, entity: UUID, priority: int, seq: int | None) -> None:
        """An entity or one of its records changed: its deliveries are looked at."""
        before = self.touched.get(entity)
        if before is None or priority <= before[0]:
            self.touched[entity] = (priority, seq)


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
        self._ledger, self._config, self._mappings, self._rules, self._bells = ledger, config, mappings, rules, bells
        self._tellable: dict[tuple[str, Kind], tuple[frozenset[str], Means] | None] = {}

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

        Nothing of this needs an event: a delivery is a difference, whatever made it.
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
        return self._mark(connection, batch)

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
        self._unite(connection, who, batch)
        self._orders_of_payments(connection, who, batch)
        if __debug__:
            points.here("path.locked")
        for row in taken:
            self._merge(row, who, batch)
        self._doubt(batch)
        self._settle(connection, batch)
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

    def _unite(self, connection: Connection, who: Identified, batch: Batch) -> None:
        """Entities that turned out to be one become one, before anything is merged into them."""
        for group in who.unite:
            kept = batch.known[entities.eldest(connection, group)]
            for lost_id in sorted(group - {kept.id}):
                lost = batch.known.pop(lost_id)
                self._same_order(connection, kept, lost, batch)
                erased_too = self._erased_too(connection, kept, lost)
                changes = merge.unite(kept.view, lost.view, self._rules(kept.view.kind))
                batch.lines.append(Line(kept.id, "bus", "united", old=str(lost.id), rule="one entity by its keys"))
                batch.lines += [_line(kept.id, "bus", change, None, None) for change in changes]
                entities.move(connection, lost.id, kept.id)
                if erased_too:
                    erasing.united(connection, kept.id, lost.id)
                who.entity.update({seq: kept.id for seq, entity in who.entity.items() if entity == lost.id})
                who.parent.update({seq: kept.id for seq, entity in who.parent.items() if entity == lost.id})
                for known in batch.known.values():
                    known.parent_id = kept.id if known.parent_id == lost.id else known.parent_id
            fresh = entities.load(connection, [kept.id])[kept.id]
            kept.records, kept.dirty = fresh.records, True
            kept.view.frozen = fresh.view.frozen
            batch.touch(kept.id, channels.NORMAL, None)

    @staticmethod
    def _erased_too(connection: Connection, kept: Known, lost: Known) -> bool:
        """Is what comes of it erased: is it an order one of which was? A counterparty lives on in its other record."""
        if not (kept.erased or lost.erased):
            return False
        if kept.view.kind == "counterparty":
            erased.live_on(connection, kept.id)
            kept.erased = False
            return False
        kept.erased = True
        for view in (kept.view, lost.view):
            view.fields = {name: value for name, value in view.fields.items() if name not in PERSONAL[view.kind]}
        return True

    def _same_order(self, connection: Connection, kept: Known, lost: Known, batch: Batch) -> None:
        """Payments that become one are of one order, where the books know it of theirs; the other one's sum falls."""
        orders = [order for order in (kept.parent_id, lost.parent_id) if order]
        books = {one.system for one in lost.records} & {*self._config.books}
        kept.parent_id = orders[-1 if books else 0] if orders else None
        for order in sorted({*orders} - {kept.parent_id}):
            if order not in batch.known:  # late: a deadlock is retried
                batch.known |= entities.lock(connection, [order])
            batch.moved.append((kept.id, order))
            batch.touch(order, channels.URGENT, None)

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
        known = batch.known.get(who.entity.get(seq, UUID(int=0)))
        if seq in who.unwanted or (known is None and seq not in who.refused):
            batch.endings.append(Ending(seq, Outcome.OVERRULED, None, who.unwanted.get(seq, "no entity")))
            return
        try:
            if seq in who.refused:
                raise who.refused[seq]
            if known is not None:
                self._merge_into(known, row, who.parent.get(seq), batch)
        except (BusError, ValueError, LookupError, ArithmeticError) as error:
            self._set_aside(row, error, known.id if known else None, batch)

    def _merge_into(self, known: Known, row: Row, parent: UUID | None, batch: Batch) -> None:
        event = journal.event_of(row)
        if known.erased:
            batch.personal.append((row["seq"], known.id))
            if known.view.kind == "counterparty":
                batch.endings.append(Ending(row["seq"], Outcome.OVERRULED, known.id, erased.WHY))
                return
        fields = {} if event.deleted else flatten(known.view.kind, event.data or {})
        if known.erased:
            fields = {name: value for name, value in fields.items() if name not in PERSONAL[known.view.kind]}
        moved = self._belongs(known, row, parent, batch) if parent and parent != known.parent_id else None
        if event.source == "bus":
            merged = _decided(known, event, fields)
        elif event.deleted:
            merged = _deleted(known, event)
        else:
            linked = known.record(event.source, event.record_type, event.external_id)
            if _before_our_write(row, linked):
                batch.again.add(
                    Notification(
                        event.source, event.record_type, event.external_id, priority=row["priority"], whole=True
                    )
                )
                batch.endings.append(
                    Ending(row["seq"], Outcome.STALE, known.id, "read before our own write; read again")
                )
                return
            fields = self._heard(event.source, known.view.kind, linked.view.promised, fields)
            before = replace(linked.view, base=dict(linked.view.base))
            route = self._config.route(event.source, known.view.kind).inward
            incoming = Incoming(
                event.source, event.id, event.time, fields, row["version"], route.creates, route.updates
            )
            means = (self._told(event.source, known.view.kind) or (None, merge.same))[1]
            merged = merge.merge(known.view, linked.view, incoming, self._rules(known.view.kind), means)
            linked.dirty |= linked.state != "linked" or linked.view != before
            linked.state = "linked"
            if row["version"] is None and row["observed_at"] is not None:
                linked.heard_at, linked.dirty = row["observed_at"], True
        self._note(known, row, event, merged, batch, moved)

    def _belongs(self, known: Known, row: Row, order: UUID, batch: Batch) -> Permanent | None:
        """A payment is of this order. Only the books may say that it is of another one than was thought.

        A statement that tells of money which they have assigned already is overruled. Returns what a person has to do
        where a system has the payment with the order of before: none can move it.
        """
        before, source = known.parent_id, row["source"]
        has = {one.system for one in known.records if one.state != "deleted"}
        elsewhere = sorted(has & {*self._config.called} - {*self._config.books})
        if before and source not in self._config.books:
            if source in elsewhere or not has & {*self._config.books}:
                raise Permanent("the payment names another order than before", cause="payment moved to another order")
            rule = "the books say of which order it is"
            batch.lines.append(
                Line(known.id, source, "overruled", row["seq"], source, "order", str(before), str(order), rule)
            )
            return None
        known.parent_id, known.dirty = order, True
        if before:
            batch.moved.append((known.id, before))
            batch.touch(before, row["priority"], row["seq"])
            batch.lines.append(
                Line(known.id, row["source"], "moved", row["seq"], row["source"], "order", str(before), str(order))
            )
        if not before or not elsewhere:
            return None
        say = f"the books say that it is for another order; {', '.join(elsewhere)}: correct it there, then retry"
        return Permanent(say, cause="payment moved by the books")

    def _heard(self, system: str, kind: Kind, promised: Fields, fields: Fields) -> Fields:
        """What a record tells, without what its creation is still to say and no update can: its goods, and their sum.

        A shop's order is created first and filled then. Seen in between it has no goods, which nobody decided. The
        lane that finishes it tells what it has in the end.
        """
        told = self._told(system, kind) if promised else None
        if told is None:
            return fields
        return {name: value for name, value in fields.items() if name in told[0] or name not in promised}

    def _note(
        self, known: Known, row: Row, event: Event, merged: Merged, batch: Batch, moved: Permanent | None
    ) -> None:
        """What one merge came to: outcome, history, conflicts, what is held or left for a person to do."""
        actor = event.actor or event.source
        known.dirty |= bool(merged.owned) or any(change.accepted for change in merged.changes)
        batch.lines += [_line(known.id, actor, change, row["seq"], event.source) for change in merged.changes]
        for dispute in merged.disputes:
            question = _question(known, dispute, event, row["received_at"])
            if asked := batch.questions.get((known.id, dispute.field)):
                question = replace(question, options=asked.options | question.options, deadline=asked.deadline)
            batch.questions[known.id, dispute.field] = question
            known.view.frozen |= {dispute.field}
            batch.lines.append(
                Line(known.id, actor, "conflict", row["seq"], event.source, dispute.field, dispute.ours, dispute.theirs)
            )
        for name in merged.agreed:
            batch.agreed.add((known.id, name))
            known.view.frozen -= {name}
            batch.lines.append(Line(known.id, actor, "agreed", row["seq"], event.source, name))
        left = _held(row["held"]) if row["held"] and merged.outcome is not Outcome.STALE else moved
        if left:
            self._set_aside(row, left, known.id, batch)
        else:
            batch.endings.append(Ending(row["seq"], merged.outcome, known.id))
        if merged.outcome is not Outcome.STALE:
            batch.touch(known.id, row["priority"], row["seq"])
            if known.parent_id:
                # a payment that says nothing new (each order brings its own along) makes nothing of its order urgent
                urgency = channels.URGENT if known.dirty else max(row["priority"], channels.NORMAL)
                batch.touch(known.parent_id, urgency, row["seq"])

    @staticmethod
    def _set_aside(row: Row, error: Exception, entity: UUID | None, batch: Batch) -> None:
        cause = error.cause if isinstance(error, BusError) else type(error).__name__
        reason = str(error) if isinstance(error, BusError) else f"cannot be read: {type(error).__name__}"
        batch.endings.append(Ending(row["seq"], Outcome.DEAD, entity, reason))
        batch.letters[row["seq"]] = Letter(
            row["source"], type(error).__name__, cause, reason, row["seq"], entity, sent={"subject": row["subject"]}
        )

    @staticmethod
    def _doubt(batch: Batch) -> None:
        """Derive what speaks against a counterparty's requisites."""
        for entity, (_, seq) in batch.touched.items():
            if (known := batch.known[entity]).view.kind == "counterparty":
                changes = merge.doubt(known.view, event=str(seq or ""))
                known.dirty |= bool(changes)
                batch.lines += [_line(entity, "bus", change, seq, None) for change in changes]

    def _settle(self, connection: Connection, batch: Batch) -> None:
        """Derive what follows from payments, for every order that was touched."""
        orders = [entity for entity in batch.touched if batch.known[entity].view.kind == "order"]
        if not orders:
            return
        families = entities.children(connection, [order for order in orders if not batch.known[order].fresh])
        families |= {order: {} for order in orders if batch.known[order].fresh}
        for payment, order in batch.moved:  # which the ledger has there still
            families[order].pop(payment, None)
        for known in batch.known.values():
            if known.parent_id in families:
                families[known.parent_id].pop(known.id, None)
                if any(one.state != "deleted" for one in known.records):
                    families[known.parent_id][known.id] = known.view.fields
        for entity in orders:
            known = batch.known[entity]
            priority, seq = batch.touched[entity]
            at = max((word.at for word in known.view.said.values()), default=_EPOCH)
            changes = merge.settle(known.view, families[entity].values(), event=str(seq or ""), at=at)
            known.dirty |= bool(changes)
            batch.lines += [_line(entity, "bus", change, seq, None) for change in changes]
            if any(change.field == "payment_status" and change.old is not None for change in changes):
                batch.touch(entity, min(priority, channels.URGENT), seq)

    def _save(self, connection: Connection, who: Identified, batch: Batch, gathered: list[Row]) -> Done:
        done = Done(Counter(ending.outcome for ending in batch.endings))
        entities.save(connection, batch.known.values())
        journal.finish(connection, batch.endings)
        erased.take_out(connection, batch.personal)
        journal.wait(connection, who.waits_for, seconds=self._config.limits.wait_deadline_s)
        recognised = self._recognition(connection, who, batch, gathered)
        done.outcomes[Outcome.WAITING] += len(who.waits_for)
        letters.write(connection, list(batch.letters.values()))
        letters.resolve_events(connection, [end.seq for end in batch.endings if end.outcome is not Outcome.DEAD])
        conflicts.ask(connection, list(batch.questions.values()))
        conflicts.agree(connection, batch.agreed)
        history.write(connection, batch.lines)
        done.lanes = {(item.system, item.priority <= channels.URGENT) for item in self._mark(connection, batch)}
        done.lanes |= self._ask_for(connection, who)
        journal.notify(connection, list(batch.again))
        done.lanes |= {(item.system, item.priority == channels.URGENT) for item in batch.again}
        done.woken = journal.wake(connection, who.learnt | {f"match/{key}" for key in who.learnt} | recognised)
        _closing_lines(gathered, batch)
        return done

    def _recognition(self, connection: Connection, who: Identified, batch: Batch, gathered: list[Row]) -> set[str]:
        """What people are to be asked, what need not be asked any more, and by what counterparties are found.

        Returns what may wait for an answer that is not needed any more.
        """
        questions.ask(connection, list(who.asks.values()), seconds=self._config.limits.wait_deadline_s)
        ended = who.entity.keys() | who.unwanted.keys()
        told = [row for row in gathered if row["kind"] != "order" and row["seq"] in ended]
        questions.moot(connection, {(row["source"], row["subject"]) for row in told})
        met = {(row["source"], who.entity[row["seq"]]) for row in told if row["seq"] in who.entity}
        questions.moot_records(connection, met)
        parties = [known for known in batch.known.values() if known.view.kind == "counterparty" and known.dirty]
        traits.put(connection, {known.id: matching.traits(known.view.fields) for known in parties})
        return {questions.key(row["source"], row["subject"]) for row in told}

    def _mark(self, connection: Connection, batch: Batch) -> list[Due]:
        """Every system whose record now differs gets a due delivery; where nothing differs any more, none."""
        due: list[Due] = []
        settled: list[tuple[UUID, str]] = []
        for entity, (priority, seq) in batch.touched.items():
            known = batch.known[entity]
            for system in self._config.systems:
                if self.differs(known, system):
                    due.append(Due(entity, system, self._urgency(known, system, priority), seq))
                elif not known.fresh and self._told(system, known.view.kind) is not None:
                    settled.append((entity, system))
        deliveries.mark(connection, due)
        deliveries.settle(connection, settled)
        return due

    def _urgency(self, known: Known, system: str, priority: int) -> int:
        """A payment is urgent where it shows; what only follows from it (a status) is first in the ordinary lane."""
        told = self._told(system, known.view.kind)
        shows = known.view.kind == "payment" or (told is not None and told[0] & DERIVED[known.view.kind])
        return priority if shows else max(priority, channels.NEXT)

    def differs(self, known: Known, system: str) -> bool:
        """Does this entity's record in `system` need a write, as far as the switches let us?"""
        kind = known.view.kind
        told = self._told(system, kind)
        if told is None or (known.erased and self._closed(known, system)):
            return False
        mode = self._config.route(system, kind).outward
        linked = known.primary(system)
        if linked is None or linked.state == "creating":
            wanted = bool(known.view.fields) and not known.deleted_in(system)
            return mode.creates and wanted and self._held(known, system)
        if linked.view.promised and mode.creates:  # made, and nobody knows whether it was finished
            return True
        return mode.updates and merge.differs(known.view, linked.view.base, *told)

    def _closed(self, known: Known, system: str) -> bool:
        """Is nothing written there of what was erased? A counterparty is a person; an order is not made without one.

        Nor is an order told where a document is always told whole: it would lose there who bought.
        """
        kind, linked = known.view.kind, known.primary(system)
        made = linked is not None and linked.state != "creating"
        whole = self._config.systems[system].kind == "commerceml"
        return kind == "counterparty" or whole or (kind == "order" and not made)

    def _held(self, known: Known, system: str) -> bool:
        system_kind = self._config.systems[system].kind
        record_type = self._mappings.record_types(system_kind)[known.view.kind]
        return self._mappings.holds(system_kind, record_type, known.view.fields)

    def _told(self, system: str, kind: Kind) -> tuple[frozenset[str], Means] | None:
        """What a record of this kind can be told there, and what its words mean; None where no record holds it."""
        if (system, kind) not in self._tellable:
            system_kind = self._config.systems[system].kind
            record_type = self._mappings.record_types(system_kind).get(kind)
            translator = self._mappings.translator(system_kind, record_type) if record_type else None
            tables = self._mappings.tables(system, system_kind)
            self._tellable[system, kind] = (translator.writes(tables), translator.means) if translator else None
        return self._tellable[system, kind]

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
                self._set_aside(row, error, None, batch)
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


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _decided(known: Known, event: Event, fields: dict[str, object]) -> Merged:
    """A person's (or a deadline's) decision: an event like any other, but it is not weighed against anything."""
    changes = []
    for name, value in fields.items():
        changes.append(merge.Change(name, known.view.fields.get(name), value, f"decided by {event.actor}", True))
        known.view.fields[name] = value
        known.view.said[name] = Said(event.time, "bus", event.id)
        known.view.frozen -= {name}
    return Merged(Outcome.APPLIED, tuple(changes))


def _before_our_write(row: Row, linked: entities.Linked) -> bool:
    """Was this record read before the answer to our last write was in, and is it not plainly of a later version?

    Bitrix24 dates changes to the second, so a reading from just before our write bears the same version as the write.
    Merged after it, it would pass for a person's change back. In doubt the record is read once more. Of a record
    without versions (1C) any reading is in doubt that began before the one that was heard last.
    """
    read, counted = row["observed_at"], row["version"] is not None and linked.view.version is not None
    if read is None:
        return False
    if counted:
        return linked.written_at is not None and read < linked.written_at and row["version"] <= linked.view.version
    return any(known is not None and read < known for known in (linked.written_at, linked.heard_at))


def _deleted(known: Known, event: Event) -> Merged:
    """A record was deleted at its system: noted, not followed; it is neither made again there nor deleted elsewhere."""
    linked = known.record(event.source, event.record_type, event.external_id)
    if linked.state == "deleted":
        return Merged(Outcome.UNCHANGED)
    linked.state, linked.dirty = "deleted", True
    change = merge.Change("record", event.subject, None, "deleted there; not made again", accepted=False)
    return Merged(Outcome.APPLIED, (change,))


def _line(entity: UUID, actor: str, change: merge.Change, seq: int | None, system: str | None) -> Line:
    what = "changed" if change.accepted else "overruled"
    return Line(entity, actor, what, seq, system, change.field, change.old, change.new, change.rule)


def _question(known: Known, dispute: merge.Dispute, event: Event, received: datetime) -> Question:
    """The deadline counts from when we heard of it: a record edited last week may be found today."""
    said = known.view.said.get(dispute.field)
    options = {}
    if said and dispute.field not in known.view.frozen:
        options[said.source] = {"value": dispute.ours, "at": said.at.isoformat(), "event": said.event}
    options[event.source] = {"value": dispute.theirs, "at": event.time.isoformat(), "event": event.id}
    deadline = max(event.time, received) + dispute.policy.sla
    return Question(known.id, dispute.field, options, type(dispute.policy.default).__name__, deadline)


def _held(held: list[dict[str, str]]) -> BusError:
    named = "; ".join(item["message"] for item in held)
    return Permanent(named, cause=Held(**held[0]).cause)


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
