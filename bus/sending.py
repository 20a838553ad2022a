"""Sending: due deliveries of one system: read what is there, compare with what should be, write the difference.

Level-triggered: a repeat writes nothing, ten edits cost one write, and losing our place costs a read. A round claims as
many records as one request can read, and writes them in as few requests as carry them, several at once where the
system's answers take long. No record is in two rounds at once: its delivery is the lease, held while the round lasts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import structlog

from bus import claimed, leased, merge, points
from bus.claimed import Job
from bus.creating import Creating
from bus.envelope import version_order
from bus.errors import POISON, BusError, NotReady, Transient, UnknownCode, UnknownOutcome
from bus.leased import Lease, nap
from bus.ledger import deliveries, entities, journal, records
from bus.ledger.database import Connection
from bus.ledger.entities import Known
from bus.meeting import Meeting
from bus.model import DERIVED, Fields, flatten
from bus.observe import differences, fetched, removal, retraced
from bus.parts import Parts
from bus.ports import Adapter, Entry, Raw, Tables, Translator, Write
from bus.settling import Failure, Settling
from bus.translate import translated

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_ORDER_MISSING_S = 300.0
"""A payment follows its order at once (`deliveries.follow`); this is for an order that came there unnoticed."""
_UNHEARD_S = 600.0
_ROUND_S = 5
"""A round is no more than goes through in so long: what is claimed is not read too early, nor held for long."""

Abreast = Callable[[Sequence[Callable[[], None]]], None]
"""Does several things, as many of them at once as the system's pace asks for (bus.pace)."""


class Sending:
    """Takes the due deliveries of one system."""

    def __init__(self, system: str, adapter: Adapter, parts: Parts, abreast: Abreast, *, urgent: bool) -> None:
        self._system, self._adapter, self._parts, self._urgent = system, adapter, parts, urgent
        self._abreast = abreast
        self._kind = parts.config.systems[system].kind
        self._limits = parts.config.limits
        lease_s, late_s = self._limits.lease_s, parts.config.systems[system].late_s
        self._good_s = max(min(lease_s / 2, lease_s - late_s), lease_s / 4)
        """How long a claim is good for sending: what is sent last has `late_s` to take effect, or three quarters of the
        lease, before somebody else may look for it."""
        self._look_s = lease_s / 3
        """A round's claims are renewed so often: one that was passed over has another chance."""
        self._tables: Tables = parts.mappings.tables(system, self._kind)
        self._settling = Settling(system, parts)
        self._creating = Creating(system, adapter, parts, self._reload)
        self._meeting = Meeting(system, adapter, parts, self._reload)
        rate = parts.config.systems[system].rate
        self._rationed = rate.per_second > 0
        self.reach = adapter.batch if urgent else _reach(adapter, rate.per_second)
        """Deliveries of a full round; of payments one request's worth, since the next payment waits for that."""

    def take(self) -> int:
        """Bring one round of records to what they should be. How many deliveries were taken."""
        lease, begun = uuid4(), leased.clock()
        jobs = self._claimed(lease)
        if __debug__:
            points.here("lane.claimed")
        with leased.held(Lease(begun + self._look_s, partial(self._kept, lease, [job.id for job in jobs], begun))):
            self._bring(jobs)
        return len(jobs)

    def _bring(self, jobs: Sequence[Job]) -> None:
        for record_type, some in self._sorted(jobs).items():
            try:
                self._send(record_type, some)
            except BusError as error:  # jobs that were ended before hold no lease any more: nothing happens to them
                self._settling.fail([Failure(job, error) for job in some])
            except POISON as error:  # one record of a shape that nobody foresaw: jitter parts it from the others
                log.exception("lane.poisoned", system=self._system, type=record_type)
                say = Transient(f"cannot be handled: {type(error).__name__}", cause=type(error).__name__)
                self._settling.fail([Failure(job, say) for job in some])

    def _kept(self, lease: UUID, ids: Sequence[UUID], begun: float) -> float | None:
        """What is still claimed of a round is so for longer: until when. None: the round has lasted too long.

        A system may let an answer trickle, so that the call never ends: its records are another worker's then.
        """
        now, seconds = leased.clock(), self._limits.lease_s
        if now > begun + leased.MOST * seconds:
            return None
        self._parts.ledger.run(
            lambda connection: deliveries.renew(connection, lease, self._system, ids, seconds=seconds, passing=True)
        )
        return now + self._look_s

    def _claimed(self, lease: UUID) -> list[Job]:
        """A round's deliveries. Where requests are rationed, whole requests: what is over waits for the next round."""
        with self._parts.ledger.transaction() as connection:
            rows = deliveries.claim(
                connection, self._system, lease, seconds=self._limits.lease_s, limit=self.reach, urgent=self._urgent
            )
            size = self._adapter.batch
            over = len(rows) % size if self._rationed and size < len(rows) < self.reach else 0
            if over:
                deliveries.release(connection, lease, self._system, [row["entity_id"] for row in rows[-over:]])
                rows = rows[:-over]
            return claimed.jobs(connection, self._system, rows)

    def _sorted(self, jobs: Sequence[Job]) -> dict[str, list[Job]]:
        """Jobs by record type; what is not wanted any more, or loops, is ended here."""
        wanted = [job for job in jobs if self._differs(job.known) and not self._nowhere(job)]
        self._settling.idle([job for job in jobs if job not in wanted])
        self._settling.park([job for job in wanted if self._loops(job)])
        by_type: dict[str, list[Job]] = {}
        for job in wanted:
            if not self._loops(job):
                record_type = self._parts.mappings.record_types(self._kind)[job.known.view.kind]
                by_type.setdefault(record_type, []).append(job)
        return by_type

    def _differs(self, known: Known) -> bool:
        return self._parts.pipeline.differs(known, self._system)

    def _nowhere(self, job: Job) -> bool:
        """A payment whose order is not there, and is not made there either. Should it come, the payment follows it."""
        return job.order is not None and job.parent is None and not self._differs(job.order)

    def _loops(self, job: Job) -> bool:
        row, window = job.row, timedelta(seconds=self._limits.loop_window_s)
        return bool(row["writes"] >= self._limits.loop_writes and row["writes_since"] > self._parts.now() - window)

    def _send(self, record_type: str, jobs: list[Job]) -> None:
        """One round of one type. What only the bus may say is told at once; the rest is read first."""
        translator = self._parts.mappings.translator(self._kind, record_type)
        blind = [job for job in jobs if self._told_blindly(job, translator)]
        self._write(record_type, blind, translator)
        rest = [job for job in jobs if job not in blind]
        left = self._meeting.meet(record_type, [job for job in rest if job.external_id is None])
        self._settling.fail([Failure(job, reason) for job, reason in left.items()])
        rest = [job for job in rest if job not in left]
        left = self._creating.begin(record_type, [job for job in rest if job.external_id is None])
        gone = [job for job in rest if job.external_id is None and job.known.deleted_in(self._system)]
        self._settling.idle(gone)
        rest = [job for job in rest if job not in gone]
        if __debug__:
            points.here("lane.begun")
        writes = translator.writes(self._tables)
        early = [job for job in rest if job.unheard(writes) and self._creating.wait_until(job)]
        left |= {job: self._creating.unclear(job) for job in early}
        self._settling.fail([Failure(job, reason) for job, reason in left.items()])
        rest = [job for job in rest if job not in left]
        planned = self._planned(record_type, self._read(record_type, rest, translator), translator)
        self._write(record_type, planned, translator)

    def _told_blindly(self, job: Job, translator: Translator) -> bool:
        """Plan a payment's own news, which needs no look at the record: what is paid is derived, and ours alone to say.

        So it is in the system one request after it is here. What else follows from it (a stage that a manager may have
        just moved) is read before it is written, by the ordinary lane.
        """
        if not self._urgent or job.linked is None or job.external_id is None or job.unfinished:
            return False
        if job.linked.view.telling.keys() - DERIVED[job.known.view.kind]:
            return False  # what it says shows in this write's answer, and what it replaced in a reading alone
        due = self._due(job, translator)
        derived = {name: value for name, value in due.items() if name in DERIVED[job.known.view.kind]}
        try:
            change = translator.from_canonical(derived, None, self._tables) if derived else {}
        except UnknownCode:
            return False
        if not change:
            return False
        job.wanted = job.told = derived
        job.left_over, job.seen = len(derived) < len(due), job.linked.view.version
        job.write = Write(self._type(job), str(job.id), job.external_id, change)
        return True

    def _type(self, job: Job) -> str:
        return self._parts.mappings.record_types(self._kind)[job.known.view.kind]

    def _read(self, record_type: str, jobs: list[Job], translator: Translator) -> list[Job]:
        """Read the present records; a change nobody told us of becomes an event first, and the merge decides.

        Of each record only what tells of the fields to be written is read. Returns the jobs to go on with: records to
        create, and those that are there.
        """
        there = [job for job in jobs if job.external_id]
        if not there:
            return jobs
        due = {name for job in there for name in self._due(job, translator)}
        parts = translator.asks(due, self._tables)
        read_at = self._parts.ledger.now()
        present, forbidden = fetched(self._adapter, record_type, [str(job.external_id) for job in there], parts)
        present = retraced(self._parts.ledger, self._parts.mappings, self._adapter, record_type, present)
        if __debug__:
            points.here("lane.read")
        news: list[Entry] = []
        failures = [Failure(job, forbidden[str(job.external_id)]) for job in there if job.external_id in forbidden]
        for job in there:
            try:
                if job.external_id not in forbidden:
                    news += self._news(record_type, job, present.get(str(job.external_id)), translator, read_at)
            except BusError as error:
                failures.append(Failure(job, error))
        if news:
            self._settling.observe(news)
            self._reload(jobs)
        failures += [Failure(job, self._not_yet()) for job in self._unheard(record_type, there)]
        self._settling.fail(failures)
        failed = [failure.job for failure in failures]
        gone = [job for job in there if job.present is None and job not in failed]
        self._settling.idle(gone)
        return self._asked([job for job in jobs if job not in failed and job not in gone], parts, translator)

    def _unheard(self, record_type: str, jobs: Sequence[Job]) -> list[Job]:
        """Those whose records, written now, would lose what they have to say.

        It waits for an answer, whose record it is; or nothing is merged yet of a record that was found. Of one that is
        known a dead letter stops nothing: a code without a meaning holds up its own field.
        """
        read = {job: f"{record_type}/{job.external_id}" for job in jobs if job.present is not None}
        with self._parts.ledger.transaction() as connection:
            waiting = journal.waiting(connection, self._system, set(read.values()))
        return [job for job, subject in read.items() if subject in waiting or _unmet(job)]

    def _not_yet(self) -> NotReady:
        """An answer hastens it; this is for what nobody tells us of."""
        say = "what it says there waits for a person or is a dead letter"
        return NotReady(say, until=self._parts.now() + timedelta(seconds=_UNHEARD_S), cause="not heard yet")

    def _asked(self, jobs: list[Job], parts: Collection[str], translator: Translator) -> list[Job]:
        """What to write now: of a field that became due while we read, and was not read, the next round knows."""
        for job in jobs:
            if job.present is None:
                continue
            due = self._due(job, translator)
            job.wanted = {name: due[name] for name in due if translator.asks({name}, self._tables) <= set(parts)}
            job.left_over = len(job.wanted) < len(due)
        return jobs

    def _due(self, job: Job, translator: Translator) -> Fields:
        base = (job.linked.view.base if job.linked else {}) | job.there
        return merge.due(job.known.view, base, translator.writes(self._tables), translator.means)

    def _news(
        self, record_type: str, job: Job, raw: Raw | None, translator: Translator, read_at: datetime
    ) -> list[Entry]:
        """What reading one record tells us that we did not know."""
        if raw is None:
            subject = f"{record_type}/{job.external_id}"
            return [removal(self._system, translator.EVENT, subject, self._parts.now(), str(uuid4()))]
        told = translated(lambda: translator.to_canonical(raw, self._tables))
        job.present, job.seen = raw, version_order(told.version)
        job.behind = job.linked is not None and job.linked.view.version != job.seen
        job.there = flatten(job.known.view.kind, told.data)
        untold = job.unheard(translator.writes(self._tables))  # of a record that is half made no event tells it either
        told_of = {name: value for name, value in job.there.items() if name not in untold}
        if job.linked is None or not differences(told_of, job.linked.view.base):
            return []
        entry = self._settling.entry(record_type, str(job.external_id), raw, job.row["lease"])
        return [replace(entry, observed_at=read_at)]

    def _planned(self, record_type: str, jobs: Iterable[Job], translator: Translator) -> list[Job]:
        """Work out the writes. What needs none, since the record says it already, is agreed on."""
        planned, agreed, failures = [], [], []
        for job in jobs:
            try:
                change = self._change(job, translator)
                creating = job.external_id is None
                if creating or change or job.unfinished:
                    job.told = dict(job.wanted) if creating or job.unfinished else self._told(job, translator)
                    begun = self._begun(job, translator)
                    job.write = Write(record_type, str(job.id), job.external_id, change, self._parent(job), begun)
                    planned.append(job)
                elif job.unmapped:
                    failures.append(Failure(job, job.unmapped))
                else:
                    agreed.append(job)
            except BusError as error:
                failures.append(Failure(job, error))
        self._settling.fail(failures)
        self._settling.agree(agreed)
        return planned

    def _change(self, job: Job, translator: Translator) -> Raw:
        """The native change. A field whose value has no code there is held back; the others still go."""
        if job.external_id is None:
            job.wanted = merge.due(job.known.view, {}, translator.carries(self._tables))
        while job.wanted:
            try:
                return translator.from_canonical(job.wanted | _context(job), job.present, self._tables)
            except UnknownCode as error:
                if error.field not in job.wanted or job.external_id is None:
                    raise
                job.unmapped = error
                del job.wanted[error.field]
        return {}

    def _begun(self, job: Job, translator: Translator) -> Raw | None:
        """What a creation that broke off was to say. A write finishes it, be it an empty one: its answer tells."""
        if job.linked is None or not job.unfinished:
            return None
        return translator.from_canonical(job.linked.view.promised, None, self._tables)

    def _told(self, job: Job, translator: Translator) -> Fields:
        """Fields of which something is really written, each looked at alone."""
        if len(job.wanted) == 1:
            return dict(job.wanted)
        return {
            name: value
            for name, value in job.wanted.items()
            if translator.from_canonical({name: value}, job.present, self._tables)
        }

    def _parent(self, job: Job) -> str | None:
        """External id, here, of the order a payment belongs to. Raises NotReady while that order is not here yet."""
        if job.known.parent_id is not None and job.parent is None:
            until = self._parts.now() + timedelta(seconds=_ORDER_MISSING_S)
            raise NotReady("the payment's order is not in this system yet", until=until, cause="order not there yet")
        return job.parent

    def _write(self, record_type: str, jobs: Sequence[Job], translator: Translator) -> None:
        """A request's worth at a time, each committed as it is answered, several at once where that pays."""
        size = self._adapter.batch
        groups = [jobs[start : start + size] for start in range(0, len(jobs), size)]

        def send(claimed: Sequence[Job]) -> None:
            try:
                group, until = self._launched(claimed)
            except BusError as error:
                self._settling.fail([Failure(job, error) for job in claimed])
                return
            if __debug__:
                points.here("lane.launched")
            try:
                with leased.held(Lease(until, partial(self._kept_on, group))):
                    results = self._adapter.write([job.write for job in group if job.write]) if group else []
            except POISON as error:  # an answer of a shape that nobody foresaw, or what it answers to
                log.exception("lane.poisoned", system=self._system, type=record_type)
                self._unnoted(group, error)
                return
            if __debug__:
                points.here("lane.sent")
            try:
                self._settling.write(record_type, group, results, translator)
            except (*POISON, BusError) as error:
                self._unnoted(group, error)

        self._abreast([partial(send, group) for group in groups])

    def _unnoted(self, jobs: Sequence[Job], error: Exception) -> None:
        """They were sent: what became of them is looked up, not taken for nothing."""
        say = f"sent, and not noted: {type(error).__name__}"
        self._settling.fail([Failure(job, UnknownOutcome(say, cause="answer not noted")) for job in jobs])

    def _launched(self, jobs: Sequence[Job]) -> tuple[list[Job], float]:
        """Those of the jobs that are ours to send, now that a request may be sent, and until when (of leased.clock).

        So far a payment may take its order from us; and two must never create the same record.
        """
        waited = 0.0
        while (pause := self._adapter.wait()) > 0 and waited + pause < self._limits.lease_s:
            nap(pause)
            waited += pause
        until = leased.clock() + self._good_s
        return self._parts.ledger.run(lambda connection: self._launch(connection, jobs)), until

    def _launch(self, connection: Connection, jobs: Sequence[Job]) -> list[Job]:
        """Entities are locked before records and deliveries, as everywhere; who makes a payment holds its order too.

        What is not to be made any more, or is not what it was, is given back: it is looked at anew.
        """
        orders = {job.known.parent_id for job in jobs if job.external_id is None and job.known.parent_id}
        entities.hold(connection, orders.union(job.id for job in jobs))
        lease, ids = jobs[0].row["lease"], [job.id for job in jobs]
        ours = deliveries.launch(connection, lease, self._system, ids, seconds=self._limits.lease_s)
        launched = [job for job in jobs if job.id in ours]
        for job in launched:
            job.sent_at = ours[job.id]
        overtaken = self._creating.note(connection, launched)
        deliveries.release(connection, lease, self._system, [job.id for job in overtaken])
        return [job for job in launched if job not in overtaken]

    def _kept_on(self, jobs: Sequence[Job]) -> float | None:
        """A write of several calls goes on, and its effect is later by that. None: some of it is another's by now."""
        lease, ids, until = jobs[0].row["lease"], [job.id for job in jobs], leased.clock() + self._good_s

        def keep(connection: Connection) -> bool:
            entities.hold(connection, ids)
            if deliveries.renew(connection, lease, self._system, ids, seconds=self._limits.lease_s) < len(ids):
                return False
            records.go_on(connection, self._system, ids)
            records.tell_on(connection, self._system, ids)
            return True

        return until if self._parts.ledger.run(keep) else None

    def _reload(self, jobs: Collection[Job]) -> None:
        with self._parts.ledger.transaction() as connection:
            fresh = entities.load(connection, [job.id for job in jobs])
        for job in jobs:
            job.known = fresh[job.id]
            job.linked = job.known.primary(self._system)


def _unmet(job: Job) -> bool:
    """Was this record linked, not made by us, and is nothing of what it says merged yet?"""
    linked = job.linked
    return bool(linked and job.there and not linked.view.base and not linked.view.promised)


def _reach(adapter: Adapter, per_second: float) -> int:
    """What the system's budget lets through in some seconds, at most what one request reads."""
    requests = max(1, math.ceil(per_second * _ROUND_S)) if per_second else _ROUND_S
    return min(adapter.reach, adapter.batch * requests)


def _context(job: Job) -> Fields:
    """The records of this entity, for fields that hold another system's id (the deal's order field)."""
    records: dict[str, dict[str, str]] = {}
    for linked in job.known.records:
        if linked.external_id and linked.state == "linked":
            records.setdefault(linked.system, {}).setdefault(linked.type, linked.external_id)
    return {"@records": records}
