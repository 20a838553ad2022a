"""Hearing: what one event says is merged into its entity, and what that comes to is noted in the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from bus import channels, closed, merge
from bus.batch import Batch
from bus.config import Config
from bus.differences import Differences
from bus.envelope import Event, may_go_back
from bus.errors import BusError, Permanent
from bus.identified import OVERTAKEN, absent, deletes
from bus.ledger import journal, tombstones
from bus.ledger.conflicts import Question
from bus.ledger.database import Row
from bus.ledger.entities import OF_ORDER, Known, Linked
from bus.ledger.history import Line
from bus.ledger.journal import Ending
from bus.merge import Incoming, Merged, Outcome, Rules, Said
from bus.model import Fields, Kind, flatten
from bus.ports import Held, Notification

READ_BEFORE = "read before what is known of it"
"""Why a reading is not heard that may be older than what is known of its record."""

READ_SINCE = "its record was read since"
"""Why a deletion is not heard of a record that a reading has shown since it was noted: one more reading decides."""


_DEAL = "deal"
"""What managers copy, with the field that names its order."""


class Hearing:
    """Takes events into their entities, which are locked."""

    def __init__(self, config: Config, rules: Callable[[Kind], Rules], differences: Differences) -> None:
        self._config, self._rules, self._differences = config, rules, differences

    def take_in(self, known: Known, row: Row, order: UUID | None, batch: Batch) -> None:
        """One event; a payment's with the order that it is of.

        Raises what is wrong with the event: a BusError, or ValueError, LookupError, ArithmeticError of its data.
        """
        if refusal := closed.refusal(known):
            batch.endings.append(Ending(row["seq"], Outcome.OVERRULED, known.id, refusal))
            return
        event = journal.event_of(row)
        linked = known.found(event.source, event.record_type, event.external_id)
        if late := _late(linked, row, batch) or _in_doubt(linked, row):
            put_off(row, late, known.id, batch)
            return
        said = {} if event.deleted else closed.taken_in(known, flatten(known.view.kind, event.data or {}))
        named = None if order is None or self._is_over(known, linked, row, event) else order
        before = known.parent_id
        moved = self._belongs(known, row, named, batch) if named and named != before else None
        merged = self._merged(known, row, event, said)
        if event.deleted:
            batch.bury(row)
            if known.view.kind == "payment" and event.source in self._config.books:
                batch.taken_back.append((row, known))
        _note(known, row, event, merged, batch)
        _end(known, row, merged.outcome if known.parent_id == before else Outcome.APPLIED, moved, batch)
        if named and named == known.parent_id:
            self._date(known, row, event, moved=named != before)

    def _merged(self, known: Known, row: Row, event: Event, said: Fields) -> Merged:
        """What it comes to."""
        if event.source == "bus":
            return _decided(known, event, said)
        if event.deleted:
            return _deleted(known, event)
        linked = known.record(event.source, event.record_type, event.external_id, ours=_may_be_ours(known, event))
        first = known.primary(event.source)
        if event.record_type == _DEAL and first is not None and first is not linked:
            return _of_a_copy(known, linked, first, said)
        return self._compared(known, linked, row, event, said)

    def _compared(self, known: Known, linked: Linked, row: Row, event: Event, said: Fields) -> Merged:
        kind, view = known.view.kind, linked.view
        before = replace(view, base=dict(view.base), telling=dict(view.telling))
        if _lower(row, linked):
            view.version, linked.heard_at = None, row["received_at"]
        elif linked.state == "deleted" and row["version"] is not None:  # made again, it may count from one again
            view.version = None
        fields = self._heard(event.source, kind, linked.view.promised, said)
        route = self._config.route(event.source, kind).inward
        former = self._replaced_by_us(event.source, row["former"])
        incoming = Incoming(
            event.source,
            event.id,
            event.time,
            fields,
            version=row["version"],
            former=former.get("fields", {}),
            former_at=datetime.fromisoformat(former["at"]) if former else None,
            final=self._nothing_on_its_way(event.source, linked, row["observed_at"]),
            creates=route.creates,
            updates=route.updates,
        )
        means = (self._differences.told(event.source, kind) or (None, merge.same))[1]
        merged = merge.merge(known.view, linked.view, incoming, self._rules(kind), means)
        linked.dirty |= linked.state != "linked" or linked.view != before
        linked.state = "linked"
        if row["observed_at"] is not None:
            linked.heard_at, linked.dirty = max(linked.heard_at or row["observed_at"], row["observed_at"]), True
        linked.known_at = max(linked.known_at or row["received_at"], row["received_at"])
        return merged

    def _replaced_by_us(self, system: str, former: Fields | None) -> Fields:
        """What a record had said, where it was we who changed that; where nobody knows who we are, it counts as us."""
        if former is None:
            return {}
        us = self._config.systems[system].actor if system in self._config.systems else None
        return former if us is None or former["replaced_by"] in (None, us) else {}

    def _nothing_on_its_way(self, system: str, linked: Linked, read_at: datetime | None) -> bool:
        """Was the record read so late that no write of ours without an answer could take effect after it?"""
        if linked.told_at is None or read_at is None or system not in self._config.systems:
            return False
        return read_at > linked.told_at + timedelta(seconds=self._config.systems[system].late_s)

    def _is_over(self, known: Known, linked: Linked | None, row: Row, event: Event) -> bool:
        """Has somebody who knows as well said since of which order this payment is?

        Its version tells, as it does of fields; where there is none, when its system named the order last. Of several
        books the later word counts.
        """
        version, last = row["version"], linked.view.version if linked else None
        counted = version is not None and last is not None
        if linked and counted and version < last and known.parent_id:
            return not _lower(row, linked)
        word = known.view.said.get(OF_ORDER)
        if word is None or event.time >= word.at:
            return False
        return not counted if word.source == event.source else {word.source, event.source} <= {*self._config.books}

    def _date(self, known: Known, row: Row, event: Event, *, moved: bool) -> None:
        """Keep who said last of which order it is: what was said before, and comes later, does not move it.

        The same word again is kept only where no version will tell which came first: it is a write for each.
        """
        word, last = Said(event.time, event.source, event.id), known.view.said.get(OF_ORDER)
        first = last is None or (event.source in self._config.books and last.source not in self._config.books)
        later = last is not None and last.source == event.source and last.at < event.time and row["version"] is None
        if moved or first or later:
            known.view.said[OF_ORDER] = next((one for one in known.view.said.values() if one == word), word)
            known.dirty = True

    def _belongs(self, known: Known, row: Row, order: UUID, batch: Batch) -> Permanent | None:
        """A payment is of this order. Only the books may say that it is of another one than was thought.

        A statement that tells of money which they have assigned already is overruled. Returns what a person has to do
        where a system has the payment with the order of before: none can move it.
        """
        before, source = known.parent_id, row["source"]
        has = {one.system for one in known.records if one.stands}
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
        batch.touch(order, row["priority"], row["seq"])
        if before:
            batch.moved.append((known.id, before))
            batch.touch(before, row["priority"], row["seq"])
            batch.lines.append(Line(known.id, source, "moved", row["seq"], source, "order", str(before), str(order)))
        if not before or not elsewhere:
            return None
        say = f"the books say that it is for another order; {', '.join(elsewhere)}: correct it there, then retry"
        return Permanent(say, cause="payment moved by the books")

    def _heard(self, system: str, kind: Kind, promised: Fields, fields: Fields) -> Fields:
        """What a record tells, without what its creation is still to say and no update can: its goods, and their sum.

        A shop's order is created first and filled then. Seen in between it has no goods, which nobody decided. The
        lane that finishes it tells what it has in the end.
        """
        told = self._differences.told(system, kind) if promised else None
        if told is None:
            return fields
        return {name: value for name, value in fields.items() if name in told[0] or name not in promised}


def _of_a_copy(known: Known, linked: Linked, first: Linked, said: Fields) -> Merged:
    """A copied deal is noted, not heard: it may be another customer's, and what it says would be told to the first."""
    rule = f"a copy: the order's deal is {first.external_id}"
    base = linked.view.base
    news = [name for name in sorted(said) if name not in base or base[name] != said[name]]
    ours = known.view.fields
    kept = [
        merge.Change(name, ours.get(name), said[name], rule, False) for name in news if said[name] != ours.get(name)
    ]
    linked.view.base.update(said)
    linked.state, linked.dirty = "linked", True
    return Merged(Outcome.OVERRULED if kept else Outcome.UNCHANGED, tuple(kept), ())


def _may_be_ours(known: Known, event: Event) -> bool:
    """Is it the record that we are making? A payment without our key is not: it was found to be the same money."""
    refs = (event.data or {}).get("records") or []
    return known.view.kind != "payment" or any(ref.get("system") == "bus" for ref in refs)


def put_off(row: Row, why: str, entity: UUID | None, batch: Batch) -> None:
    """An event comes too late to be heard. What we read ourselves is read again: nobody else tells what stands.

    So is a record whose deletion a reading spoke against.
    """
    again = row["observed_at"] is not None or why == READ_SINCE
    if again:
        batch.again.add(_of_its_record(row, journal.event_of(row)))
    batch.endings.append(Ending(row["seq"], Outcome.STALE, entity, f"{why}; read again" if again else why))


def _late(linked: Linked | None, row: Row, batch: Batch) -> str | None:
    """Why an event is over: its record was deleted since it was said; or has spoken since, where it says deleted."""
    if not deletes(row):
        stone = batch.stones.get(tombstones.name(row)) if linked is None or linked.state == "deleted" else None
        return OVERTAKEN if stone and stone.covers(row) else None
    if linked is None:
        return None
    version, last = row["version"], linked.view.version
    counted = version is not None and last is not None
    if (counted and version < last) or (not counted and _told_since(row, batch)):
        return "its record has spoken since"
    return READ_SINCE if _read_since(linked, row) else None


def _told_since(row: Row, batch: Batch) -> bool:
    """Was a word of the record heard that is later by its system's clock? One that we noted ourselves has ours."""
    noted = row["version"] is None and row["sourceversion"] is not None
    last = batch.told.get(tombstones.name(row))
    return not noted and last is not None and bool(row["occurred_at"] < last)


def _read_since(linked: Linked, row: Row) -> bool:
    """Did a reading of the record begin when its deletion was noted, or when it was looked for in vain?"""
    noted_at = row["occurred_at"] if absent(row) else row["received_at"]
    return linked.state == "linked" and linked.heard_at is not None and bool(linked.heard_at >= noted_at)


def _decided(known: Known, event: Event, fields: Fields) -> Merged:
    """A person's (or a deadline's) decision: an event like any other, but it is not weighed against anything."""
    changes = []
    for name, value in fields.items():
        changes.append(merge.Change(name, known.view.fields.get(name), value, f"decided by {event.actor}", True))
        known.view.fields[name] = value
        known.view.said[name] = Said(event.time, "bus", event.id)
        known.view.frozen.pop(name, None)
    return Merged(Outcome.APPLIED, tuple(changes))


def _deleted(known: Known, event: Event) -> Merged:
    """A record was deleted at its system: noted, not followed; it is neither made again there nor deleted elsewhere."""
    linked = known.record(event.source, event.record_type, event.external_id)
    if linked.state == "deleted":
        return Merged(Outcome.UNCHANGED)
    linked.state, linked.dirty = "deleted", True
    change = merge.Change("record", event.subject, None, "deleted there; not made again", accepted=False)
    return Merged(Outcome.APPLIED, (change,))


def _in_doubt(linked: Linked | None, row: Row) -> str | None:
    """Why it is in doubt whether this reading is older than what is known of the record. Then it is read once more.

    Bitrix24 dates changes to the second, so a reading from just before our write, or before another reading, may bear
    the same version. Merged after it, it would pass for a person's change back. Of a record without versions (1C) any
    reading is in doubt that began before the one that was heard last. A lower version, where it may go back, is old or
    new: surely new only if the reading began when the higher one was known; and so is a higher one once it went back.
    """
    if linked is None or deletes(row) or row["observed_at"] is None:
        return None
    read, version, last = row["observed_at"], row["version"], linked.view.version
    moments: list[datetime | None] = []
    no_later = version is None or last is None or version <= last
    if no_later:
        moments.append(linked.written_at)
    if no_later or may_go_back(row["sourceversion"]):
        moments.append(linked.heard_at)
    if _lower(row, linked):
        moments.append(linked.known_at)
    return READ_BEFORE if any(known is not None and read < known for known in moments) else None


def _lower(row: Row, linked: Linked) -> bool:
    """Is this a reading of a lower version than the last, of versions that may go back? Not late, if not in doubt."""
    version, last = row["version"], linked.view.version
    counted = version is not None and last is not None and row["observed_at"] is not None
    return counted and version < last and may_go_back(row["sourceversion"])


def _of_its_record(row: Row, event: Event) -> Notification:
    """Read it whole once more."""
    return Notification(event.source, event.record_type, event.external_id, priority=row["priority"], whole=True)


def _note(known: Known, row: Row, event: Event, merged: Merged, batch: Batch) -> None:
    """History and conflicts of one merge."""
    actor = event.actor or event.source
    known.dirty |= bool(merged.owned) or any(change.accepted for change in merged.changes)
    batch.tell(known.id, actor, merged.changes, row["seq"], event.source)
    for dispute in merged.disputes:
        question = _question(known, dispute, event, row["received_at"])
        if asked := batch.questions.get((known.id, dispute.field)):
            question = replace(question, options=asked.options | question.options, deadline=asked.deadline)
        batch.questions[known.id, dispute.field] = question
        batch.agreed.discard((known.id, dispute.field))
        said = {source: option["value"] for source, option in question.options.items()}
        known.view.frozen[dispute.field] = known.view.frozen.get(dispute.field, {}) | said
        batch.lines.append(
            Line(known.id, actor, "conflict", row["seq"], event.source, dispute.field, dispute.ours, dispute.theirs)
        )
    for name in merged.agreed:
        batch.agreed.add((known.id, name))
        known.view.frozen.pop(name, None)
        batch.lines.append(Line(known.id, actor, "agreed", row["seq"], event.source, name))


def _question(known: Known, dispute: merge.Dispute, event: Event, received: datetime) -> Question:
    """The deadline counts from when we heard of it: a record edited last week may be found today."""
    said = known.view.said.get(dispute.field)
    options = {}
    if said and dispute.field not in known.view.frozen:
        options[said.source] = {"value": dispute.ours, "at": said.at.isoformat(), "event": said.event}
    options[event.source] = {"value": dispute.theirs, "at": event.time.isoformat(), "event": event.id}
    deadline = max(event.time, received) + dispute.policy.sla
    return Question(known.id, dispute.field, options, type(dispute.policy.default).__name__, deadline)


def _end(known: Known, row: Row, outcome: Outcome, moved: Permanent | None, batch: Batch) -> None:
    """How the event ends, what of it is left for a person to do, and which deliveries are to be looked at."""
    left = _held(row["held"]) if row["held"] and outcome is not Outcome.STALE else moved
    if left:
        batch.set_aside(row, left, known.id)
    else:
        batch.endings.append(Ending(row["seq"], outcome, known.id))
    if outcome is not Outcome.STALE:
        batch.touch(known.id, row["priority"], row["seq"])
        if known.parent_id:
            # a payment that says nothing new (each order brings its own along) makes nothing of its order urgent
            urgency = channels.URGENT if known.dirty else max(row["priority"], channels.NORMAL)
            batch.touch(known.parent_id, urgency, row["seq"])


def _held(held: list[dict[str, str]]) -> BusError:
    named = "; ".join(item["message"] for item in held)
    return Permanent(named, cause=Held(**held[0]).cause)
