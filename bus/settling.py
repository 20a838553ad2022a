"""Settling: what came of a request's writes goes into the ledger, in one transaction for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

import structlog

from bus import channels, points, retry
from bus.claimed import Job
from bus.creating import know
from bus.envelope import version_order
from bus.errors import BusError, Dropped, NotReady, Permanent, UnknownOutcome
from bus.ledger import deliveries, entities, history, journal, letters, records
from bus.ledger.database import Connection
from bus.ledger.deliveries import Later
from bus.ledger.history import Line
from bus.ledger.letters import Letter
from bus.ledger.records import Base
from bus.model import DERIVED, Fields, Json, flatten
from bus.observe import differences, take_in
from bus.parts import Parts
from bus.ports import Entry, Failed, Notification, Raw, RawRecord, Tables, Translator, Written
from bus.redact import redact
from bus.translate import entries, translated

_FOUR_BYTES = 0x10000

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A delivery that did not come about, with what was sent and answered, where anything was."""

    job: Job
    error: BusError
    result: Failed | None = None

    @property
    def surely_not_created(self) -> bool:
        """It was to create, or to finish that, and the call surely did nothing."""
        job, unknown = self.job, isinstance(self.error, UnknownOutcome)
        return job.write is not None and (job.external_id is None or job.unfinished) and not unknown


@dataclass(frozen=True, slots=True)
class Success:
    """A write that took effect, and what it means for the record's base."""

    job: Job
    result: Written
    said: Fields
    """What the record says now."""
    version: int | None
    base: Fields
    kept: Fields
    """What the system answered success for, and left as it was or cut short."""
    delta: Fields
    """What of that the write showed."""
    unheard: set[str]
    between: Entry | None
    """A person's edit between our reading and our writing, as the request itself showed it."""
    alone: bool
    """Nobody else changed the record between our last knowledge of it and this write."""

    @property
    def error(self) -> BusError | None:
        """Why a person is needed all the same."""
        if not self.kept:
            return self.job.unmapped
        names, system = ", ".join(sorted(self.kept)), self.job.row["system"]
        return Dropped(
            f"{system} answered success and kept its old {names}, or less than we said", cause=f"dropped {names}"
        )


class Settling:
    """The ledger's side of one lane's work."""

    def __init__(self, system: str, parts: Parts) -> None:
        self._system, self._parts, self._limits = system, parts, parts.config.limits
        self._kind = parts.config.systems[system].kind
        self._tables: Tables = parts.mappings.tables(system, self._kind)

    def idle(self, jobs: Sequence[Job]) -> None:
        """Nothing is left to write for these."""
        if jobs:
            self._ring(self._parts.ledger.run(lambda connection: self._finish(connection, jobs, wrote=False)))

    def agree(self, jobs: Sequence[Job]) -> None:
        """The records say all this already, in their own words: that is the new base, and nothing is written."""

        def commit(connection: Connection) -> set[bool]:
            entities.hold(connection, [job.id for job in jobs])
            records.set_bases(connection, [base for job in jobs if (base := _agreed(job))])
            return self._finish(connection, jobs, wrote=False)

        if jobs:
            self._ring(self._parts.ledger.run(commit))

    def park(self, jobs: Sequence[Job]) -> None:
        """The loop breaker: too many writes to one record in the window. Parked until a person looks."""
        for job in jobs:
            say = f"{job.row['writes']} writes in {self._limits.loop_window_s} s: something writes against us"
            error = Permanent(say, cause="loop")
            self._parts.ledger.run(partial(self._park, Failure(job, error)))
            log.error("delivery.loop", system=self._system, entity=str(job.id), writes=job.row["writes"])

    def _park(self, failure: Failure, connection: Connection) -> None:
        entities.hold(connection, [failure.job.id])
        self._bury(connection, failure, state="parked")

    def fail(self, failures: Sequence[Failure]) -> None:
        """Give deliveries back by what their errors say: later, or to a person. Ended ones are left alone."""
        if failures:
            self._parts.ledger.run(lambda connection: self._returned(connection, failures))

    def _returned(self, connection: Connection, failures: Sequence[Failure]) -> None:
        now = entities.hold(connection, [failure.job.id for failure in failures])
        self._give_back(connection, failures, now)

    def write(
        self, record_type: str, jobs: Sequence[Job], results: Sequence[Written | Failed], translator: Translator
    ) -> None:
        """Commit what a request's writes came to, with the new bases, in one transaction.

        What somebody wrote between our reading and our writing is told before it, while the old base stands; what the
        answers show of others' changes is told after it.
        """
        successes: list[Success] = []
        failures: list[Failure] = []
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, Failed):
                failures.append(Failure(job, result.error, result))
                continue
            try:
                successes.append(self._success(record_type, job, result, translator))
            except BusError as error:  # written, but the answer is not of the shape that the system promises
                failures.append(Failure(job, error))
        self.observe([one.between for one in successes if one.between])
        due = self._parts.ledger.run(lambda connection: self._commit(connection, record_type, successes, failures))
        if __debug__:
            points.here("lane.settled")
        self._ring(due)
        for one in successes:
            entity, record, call = str(one.job.id), one.result.id, one.result.call
            log.info("delivery.written", system=self._system, entity=entity, record=record, call=call)
        self.observe([self._entry(record_type, one) for one in successes if differences(one.said, one.base)])

    def observe(self, seen: Sequence[Entry]) -> None:
        """What we saw in the system becomes events, merged at once."""
        if seen:
            events = self._parts.ledger.run(lambda connection: take_in(connection, seen))
            self._parts.pipeline.process(events)

    def entry(self, record_type: str, external_id: str, raw: Raw, lease: object) -> Entry:
        """What a raw record tells, as a journal entry."""
        record = RawRecord(record_type, external_id, raw)
        return entries(self._system, self._kind, record, self._parts.mappings, causationid=str(lease))[0]

    def _entry(self, record_type: str, one: Success) -> Entry:
        return self._dated(self.entry(record_type, one.result.id, one.result.raw, one.job.row["lease"]), one.job)

    @staticmethod
    def _dated(entry: Entry, job: Job) -> Entry:
        """Where no version tells what is later, what an answer shows is as old as the moment before the request.

        Somebody else may have read the record since, and been heard.
        """
        counted = version_order(entry.event.sourceversion) is not None
        return entry if counted else replace(entry, observed_at=job.sent_at or job.row["claimed_at"])

    def _success(self, record_type: str, job: Job, result: Written, translator: Translator) -> Success:
        told = translated(lambda: translator.to_canonical(result.raw, self._tables))
        said = flatten(job.known.view.kind, told.data)
        old = (job.linked.view.base if job.linked else {}) | job.there
        writes = translator.writes(self._tables)
        unheard = job.unheard(writes)  # what it says of its goods now is news, not its base
        old = {name: value for name, value in old.items() if name not in unheard}
        other = {name: said[name] for name in job.told if name in said and said[name] != job.told[name]}
        kept = {name: value for name, value in other.items() if value == old.get(name)}
        meant = {  # rows that keep no product, a stage that means the same: in the record's own words
            name: value
            for name, value in other.items()
            if name in writes
            and name not in kept
            and not translator.from_canonical({name: job.told[name]}, result.raw, self._tables)
        }
        kept |= {name: value for name, value in other.items() if name not in meant and _maimed(job.told[name], value)}
        between, alone = self._between(record_type, job, result, translator)
        standing = _own(job, job.wanted)  # what of it was not written was read there
        delta = standing | job.told | kept | meant
        version = version_order(told.version)
        return Success(job, result, said, version, old | delta, kept, delta, unheard, between, alone)

    def _between(
        self, record_type: str, job: Job, result: Written, translator: Translator
    ) -> tuple[Entry | None, bool]:
        """A person's edit between our reading and our writing, and whether there was certainly none."""
        if job.external_id is None:
            return None, True
        if result.before is None:
            return None, False
        before = result.before
        told = translated(lambda: translator.to_canonical(before, self._tables))
        version = version_order(told.version)
        changed = job.present is not None and differences(flatten(job.known.view.kind, told.data), job.there)
        entry = (
            self._dated(self.entry(record_type, job.external_id, before, job.row["lease"]), job) if changed else None
        )
        undisturbed = version in (None, job.seen) and not job.behind
        return entry, entry is None and undisturbed and not self._someone_else(job, told.actor)

    def _someone_else(self, job: Job, actor: str | None) -> bool:
        """Somebody saved it within the second of our own last write: the version tells nothing of him."""
        us = self._parts.config.systems[self._system].actor
        return bool(us and actor and job.linked and job.linked.view.ours and actor != us)

    def _commit(
        self, connection: Connection, record_type: str, successes: Sequence[Success], failures: Sequence[Failure]
    ) -> set[bool]:
        """Keys are locked before entities, as the path does it; so what was created comes first."""
        new = [f"{self._system}/{record_type}/{one.result.id}" for one in successes if one.job.external_id is None]
        entities.key_locks(connection, new)
        jobs = [*(one.job for one in successes), *(failure.job for failure in failures)]
        now = entities.hold(connection, [job.id for job in jobs])
        records.set_bases(connection, [_base(one, self._place(connection, record_type, one)) for one in successes])
        history.write(connection, [line for one in successes for line in _lines(one)])
        if __debug__:
            points.here("lane.settling")
        due = self._finish(connection, [one.job for one in successes if one.error is None], wrote=True)
        refused = [_refused(one, one.error) for one in successes if one.error is not None]
        self._give_back(connection, [*failures, *refused], now)
        made = [(now[one.job.id], self._system) for one in successes if one.job.external_id is None]
        due |= {urgent for _, urgent in deliveries.follow(connection, made)}
        again = [one.result.id for one in successes if not one.alone]
        journal.notify(connection, [Notification(self._system, record_type, one, whole=True) for one in again])
        return due | {False} if again else due

    def _place(self, connection: Connection, record_type: str, one: Success) -> int:
        """The record's row: known for an update, made known for a creation."""
        linked = one.job.linked
        if linked is not None and linked.id is not None and linked.external_id is not None:
            return linked.id
        return know(self._system, one.job.known, record_type, one.result.id, connection)

    def _finish(self, connection: Connection, jobs: Sequence[Job], *, wrote: bool) -> set[bool]:
        """End claims. Which lanes have work by it, the urgent (True) or the ordinary: what is due again.

        Of a claim that is another's by now it is he who says whether a person is needed.
        """
        ends = sorted((job.done(wrote=wrote) for job in jobs), key=lambda end: end.entity_id)
        ended = deliveries.done(connection, ends, window_s=self._limits.loop_window_s)
        letters.resolve_deliveries(connection, [row["entity_id"] for row in ended], self._system)
        return {row["priority"] <= channels.URGENT for row in ended if row["state"] == "due"}

    def _ring(self, lanes: set[bool]) -> None:
        """A change that came while its delivery was in flight rang for nothing: its lane is rung again."""
        for urgent in sorted(lanes):
            self._parts.bells.ring(self._system, urgent=urgent)

    def _give_back(self, connection: Connection, failures: Sequence[Failure], now: Mapping[UUID, UUID]) -> None:
        """End claims, each by its error. `now`: whose records those of the entities are, which are locked."""
        later: list[Later] = []
        self._note_late_effects(connection, failures, now)
        unsent = [failure.job for failure in failures if failure.surely_not_created]
        if unsent:
            records.broke_off(connection, self._system, unsent[0].row["lease"], [job.id for job in unsent])
        for failure in failures:
            row, error = failure.job.row, failure.error
            decision = retry.decide(error, row["attempts"], self._limits, self._parts.now(), self._parts.rng)
            again = decision.until if isinstance(decision, retry.Again) else None
            if isinstance(decision, retry.Again):
                place = (row["entity_id"], row["system"], row["lease"], row["due_at"])
                later.append(Later(*place, decision.until, decision.counts, str(error)))
            else:
                self._bury(connection, failure)
            log.warning(
                "delivery.failed",
                system=self._system,
                entity=str(failure.job.id),
                error=type(error).__name__,
                reason=str(error),
                again=again.isoformat() if again else None,
            )
        deliveries.postpone(connection, sorted(later, key=lambda item: item.entity_id))

    def _note_late_effects(self, connection: Connection, failures: Sequence[Failure], now: Mapping[UUID, UUID]) -> None:
        """Calls whose answers were lost may be at work yet: counted from now on, not from when their writes began."""
        unclear = [one for one in failures if one.job.write is not None and not isinstance(one.error, NotReady)]
        records.tell_on(connection, self._system, [now[one.job.id] for one in unclear])
        unknown = [one.job.id for one in unclear if isinstance(one.error, UnknownOutcome)]
        records.go_on(connection, self._system, [now[one] for one in unknown])

    def _bury(self, connection: Connection, failure: Failure, state: str = "dead") -> None:
        job, error, result = failure.job, failure.error, failure.result
        if deliveries.stop(connection, job.row, state, str(error)):
            letter = Letter(
                self._system,
                type(error).__name__,
                error.cause,
                str(error),
                entity_id=job.id,
                sent=redact(result.sent if result else {}),
                answered=redact((result.answered if result else {}) or error.detail),
                attempts=job.row["attempts"] + 1,
            )
            letters.write(connection, [letter])


def _agreed(job: Job) -> Base | None:
    """The base of a record that says already what it should, where it is not that base yet."""
    linked = job.linked
    if linked is None or linked.id is None or linked.external_id is None:
        return None
    own = _own(job, job.wanted)
    delta = {name: value for name, value in (job.there | own).items() if linked.view.base.get(name) != value}
    if not delta:
        return None
    return Base(linked.id, linked.external_id, delta, linked.view.version, ours=linked.view.ours, own=own)


def _base(one: Success, row_id: int) -> Base:
    own, forget = _own(one.job, one.delta), tuple(sorted(one.unheard))
    return Base(row_id, one.result.id, one.delta, one.version, one.alone, own, forget, one.job.unread)


def _own(job: Job, fields: Fields) -> Fields:
    """Of these what only we may say."""
    return {name: value for name, value in fields.items() if name in DERIVED[job.known.view.kind]}


def _maimed(told: Json, said: Json) -> bool:
    """Is this what is left of a text in a system that cannot hold it: cut, or without its emoji?

    Heard as a change, it would replace the whole text where that comes from.
    """
    if not isinstance(told, str) or not isinstance(said, str | None):
        return False
    strange = any(ord(one) >= _FOUR_BYTES for one in told)
    return told.startswith(said or "") or (strange and _bare(told) == _bare(said or ""))


def _bare(text: str) -> str:
    """A text without what a database of three bytes a character drops, or shows as "?"."""
    return "".join(one for one in text if ord(one) < _FOUR_BYTES and one not in "?\ufffd" and not one.isspace())


def _refused(one: Success, error: BusError) -> Failure:
    sent = dict(one.job.write.change) if one.job.write else {}
    return Failure(one.job, error, Failed(error, one.result.call, sent=sent, answered=dict(one.kept)))


def _lines(one: Success) -> list[Line]:
    """One for each field that was written; the end of a creation that had broken off tells of all that it brought."""
    job, system = one.job, one.job.row["system"]
    promised = job.linked.view.promised if job.linked and job.unfinished else {}
    brought = {name: value for name, value in promised.items() if one.said.get(name) == value}
    what = "created" if job.external_id is None or brought else "written"
    old = (job.linked.view.base if job.linked else {}) | job.there
    old = {name: value for name, value in old.items() if name not in brought}
    return [
        Line(job.id, "bus", what, job.row["event_seq"], system, name, old.get(name), value, call=one.result.call)
        for name, value in (brought | job.told | one.kept).items()
        if name not in one.kept or value != old.get(name)
    ]
