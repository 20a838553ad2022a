"""Sending: due deliveries of one system: read what is there, compare with what should be, write the difference.

Level-triggered: a repeat writes nothing, ten edits cost one write, and losing our place costs a read. A creation is
noted before its call and looked for, by our own key, before it is ever repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import structlog

from bus import merge, retry
from bus.envelope import version_order
from bus.errors import BusError, Dropped, NotReady, Permanent, UnknownCode
from bus.ledger import deliveries, entities, history, letters
from bus.ledger.database import Connection, Row
from bus.ledger.entities import Known, Linked
from bus.ledger.history import Line
from bus.ledger.letters import Letter
from bus.model import Fields, flatten
from bus.observe import differences, fetched, removal, take_in
from bus.parts import Parts
from bus.ports import Adapter, Entry, Failed, Raw, RawRecord, Tables, Translator, Write, Written
from bus.redact import redact
from bus.translate import entries

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_PARENT_MISSING_S = 5.0


@dataclass(slots=True)
class Job:
    """One claimed delivery on its way."""

    row: Row
    known: Known
    linked: Linked | None
    present: Raw | None = None
    there: Fields = field(default_factory=dict)
    """What the record says now, in canonical fields."""
    wanted: Fields = field(default_factory=dict)
    """What it should say and does not."""
    told: Fields = field(default_factory=dict)
    """What of that the write says; the rest the record says already, in its own words, or cannot be told now."""
    unmapped: UnknownCode | None = None
    write: Write | None = None

    @property
    def external_id(self) -> str | None:
        """Id of the record at its system; None while it is not known to exist."""
        return self.linked.external_id if self.linked else None


class Sending:
    """Takes the due deliveries of one system."""

    def __init__(self, system: str, adapter: Adapter, parts: Parts, *, urgent: bool) -> None:
        self._system, self._adapter, self._parts, self._urgent = system, adapter, parts, urgent
        self._kind = parts.config.systems[system].kind
        self._limits = parts.config.limits
        self._tables: Tables = parts.mappings.tables(system, self._kind)

    def take(self) -> int:
        """Bring one batch of records to what they should be. How many deliveries were taken."""
        lease = uuid4()
        with self._parts.ledger.transaction() as connection:
            rows = deliveries.claim(
                connection,
                self._system,
                lease,
                seconds=self._limits.lease_s,
                limit=self._adapter.batch,
                urgent=self._urgent,
            )
        for record_type, jobs in self._jobs(rows).items():
            try:
                self._send(record_type, jobs)
            except BusError as error:
                for job in jobs:
                    self._failed(job, error)  # jobs that were ended before hold no lease any more: nothing happens
        return len(rows)

    def _jobs(self, rows: list[Row]) -> dict[str, list[Job]]:
        """Claimed rows as jobs by record type; what is not wanted any more, or loops, is ended here."""
        with self._parts.ledger.transaction() as connection:
            known = entities.load(connection, [row["entity_id"] for row in rows])
        jobs: dict[str, list[Job]] = {}
        for row in rows:
            entity = known[row["entity_id"]]
            job = Job(row, entity, entity.primary(self._system))
            if not self._parts.pipeline.differs(entity, self._system):
                self._done(job, wrote=False)
            elif self._loops(row):
                self._park(job)
            else:
                record_type = self._parts.mappings.record_types(self._kind)[entity.view.kind]
                jobs.setdefault(record_type, []).append(job)
        return jobs

    def _loops(self, row: Row) -> bool:
        window = timedelta(seconds=self._limits.loop_window_s)
        return bool(row["writes"] >= self._limits.loop_writes and row["writes_since"] > self._parts.now() - window)

    def _send(self, record_type: str, jobs: list[Job]) -> None:
        translator = self._parts.mappings.translator(self._kind, record_type)
        self._begin(record_type, [job for job in jobs if job.external_id is None])
        present = self._read(record_type, jobs)
        planned = [job for job in present if self._plan(record_type, job, translator)]
        planned = self._renewed(planned)
        if not planned:
            return
        results = self._adapter.write([job.write for job in planned if job.write])
        for job, result in zip(planned, results, strict=True):
            if isinstance(result, Failed):
                self._failed(job, result.error, result)
            else:
                self._written(record_type, job, result, translator)

    def _renewed(self, jobs: list[Job]) -> list[Job]:
        """Those of the jobs whose claims are still ours, for a full lease from now: reading may have taken long.

        A claim that lapsed meanwhile is someone else's; two must never create the same record.
        """
        if not jobs:
            return []
        with self._parts.ledger.transaction() as connection:
            ours = deliveries.renew(connection, jobs[0].row["lease"], self._system, seconds=self._limits.lease_s)
        return [job for job in jobs if job.known.id in ours]

    def _begin(self, record_type: str, jobs: Iterable[Job]) -> None:
        """Note creations before their call; one that was begun before is looked for first, by our own key.

        One that others have named already (the shop's order names its deal) is looked for by that name, not created.
        """
        begun = []
        for job in self._unnamed(record_type, list(jobs)):
            with self._parts.ledger.transaction() as connection:
                if not entities.begin_creating(connection, job.known.id, self._system, record_type):
                    begun.append(job)
        if not begun:
            return
        origins = [str(job.known.id) for job in begun]
        found = self._adapter.find(record_type, origins)
        for job in begun:
            if record := found.get(str(job.known.id)):
                self._parts.ledger.run(partial(self._know, job.known, record_type, record.id))
        self._reload(begun)

    def _unnamed(self, record_type: str, jobs: list[Job]) -> list[Job]:
        """Jobs whose record nobody has named yet; a named one that is there is linked, and read like any other."""
        if not jobs:
            return []
        prefix = f"{self._system}/{record_type}/"
        with self._parts.ledger.transaction() as connection:
            keys = entities.keys_of(connection, [job.known.id for job in jobs])
        named = {
            job.known.id: key.removeprefix(prefix)
            for job in jobs
            for key in sorted(keys.get(job.known.id, ()))
            if key.startswith(prefix)
        }
        if not named:
            return jobs
        present, _ = fetched(self._adapter, record_type, sorted(set(named.values())))
        found = [job for job in jobs if named.get(job.known.id) in present]
        for job in found:
            self._parts.ledger.run(partial(self._know, job.known, record_type, named[job.known.id]))
        self._reload(found)
        return [job for job in jobs if job not in found]

    def _know(self, known: Known, record_type: str, external_id: str, connection: Connection) -> int:
        """Make a record known, its key and its row, under its entity's lock. Returns the row's id.

        The entity may have been united with another while our call was under way: then it is that one's record. Keys
        are locked before entities, as the path does it.
        """
        key = f"{self._system}/{record_type}/{external_id}"
        entities.key_locks(connection, [key])
        entity = entities.hold(connection, known.id)
        entities.learn(connection, known.view.kind, {key: entity})
        return entities.linked_row(connection, entity, self._system, record_type, external_id)

    def _reload(self, jobs: Iterable[Job]) -> None:
        wanted = list(jobs)
        with self._parts.ledger.transaction() as connection:
            fresh = entities.load(connection, [job.known.id for job in wanted])
        for job in wanted:
            job.known = fresh[job.known.id]
            job.linked = job.known.primary(self._system)

    def _read(self, record_type: str, jobs: list[Job]) -> list[Job]:
        """Read the present records; a change nobody told us of becomes an event first, and the merge decides.

        Returns the jobs to go on with: records to create, and those that are there.
        """
        ids = [job.external_id for job in jobs if job.external_id]
        if not ids:
            return jobs
        present, forbidden = fetched(self._adapter, record_type, ids)
        for job in jobs:
            if job.external_id in forbidden:
                self._failed(job, forbidden[job.external_id])
        jobs = [job for job in jobs if job.external_id not in forbidden]
        news: list[Entry] = []
        for job in jobs:
            if job.external_id:
                job.present = present.get(job.external_id)
                news += self._news(record_type, job)
        if news:
            self._observe(news)
            self._reload(jobs)
        gone = [job for job in jobs if job.external_id and job.present is None]
        for job in gone:
            self._done(job, wrote=False)
        return [job for job in jobs if job not in gone]

    def _news(self, record_type: str, job: Job) -> list[Entry]:
        """What reading one record tells us that we did not know."""
        if job.present is None:
            event_type = self._parts.mappings.translator(self._kind, record_type).EVENT
            return [
                removal(self._system, event_type, f"{record_type}/{job.external_id}", self._parts.now(), str(uuid4()))
            ]
        seen = replace(self._seen(record_type, job, job.present), observed_at=job.row["claimed_at"])
        job.there = flatten(job.known.view.kind, seen.event.data or {})
        return [seen] if job.linked and differences(job.there, job.linked.view.base) else []

    def _seen(self, record_type: str, job: Job, raw: Raw) -> Entry:
        record = RawRecord(record_type, str(job.external_id or raw.get("id", "")), raw)
        made = entries(self._system, self._kind, record, self._parts.mappings, causationid=str(job.row["lease"]))
        return made[0]

    def _observe(self, news: list[Entry]) -> None:
        events = self._parts.ledger.run(lambda connection: take_in(connection, news))
        self._parts.pipeline.process(events)

    def _plan(self, record_type: str, job: Job, translator: Translator) -> bool:
        """Work out the write. A field whose value has no code there is held back; the others still go."""
        creating = job.present is None
        carried = translator.carries(self._tables) if creating else translator.writes(self._tables)
        base = {} if creating or job.linked is None else job.linked.view.base | job.there
        job.wanted = merge.due(job.known.view, base, carried)
        try:
            change = self._change(job, translator)
            parent = self._parent(job.known)
        except BusError as error:
            self._failed(job, error)
            return False
        job.told = dict(job.wanted) if creating else self._told(job, translator)
        if creating or change:
            job.write = Write(record_type, str(job.known.id), None if creating else job.external_id, change, parent)
            if creating:
                with self._parts.ledger.transaction() as connection:
                    entities.promise(connection, job.known.id, self._system, job.told)
            return True
        if job.unmapped:
            self._failed(job, job.unmapped)
        else:
            self._agree(job, base)
        return False

    def _told(self, job: Job, translator: Translator) -> Fields:
        """Fields of which something is really written, each looked at alone."""
        return {
            name: value
            for name, value in job.wanted.items()
            if translator.from_canonical({name: value}, job.present, self._tables)
        }

    def _change(self, job: Job, translator: Translator) -> Raw:
        while job.wanted:
            try:
                return translator.from_canonical(job.wanted | _context(job.known), job.present, self._tables)
            except UnknownCode as error:
                if error.field not in job.wanted or job.present is None:
                    raise
                job.unmapped = error
                del job.wanted[error.field]
        return {}

    def _agree(self, job: Job, base: Fields) -> None:
        """The record says all this already, in its own words: that is the new base, and nothing is written."""
        linked = job.linked
        if linked and linked.id is not None and linked.external_id and linked.view.base != base:
            place = (linked.id, base, linked.view.version, linked.external_id)
            self._parts.ledger.run(partial(self._set_base, job.known, place))
        self._done(job, wrote=False)

    @staticmethod
    def _set_base(known: Known, place: tuple[int, Fields, int | None, str], connection: Connection) -> None:
        entities.hold(connection, known.id)
        entities.set_base(connection, *place)

    def _parent(self, known: Known) -> str | None:
        """External id, here, of the order a payment belongs to. Raises NotReady while that order is not here yet."""
        if known.parent_id is None:
            return None
        with self._parts.ledger.transaction() as connection:
            parent = entities.load(connection, [known.parent_id])[known.parent_id].primary(self._system)
        if parent is None or parent.external_id is None:
            until = self._parts.now() + timedelta(seconds=_PARENT_MISSING_S)
            raise NotReady("the payment's order is not in this system yet", until=until, cause="order not there yet")
        return parent.external_id

    def _written(self, record_type: str, job: Job, result: Written, translator: Translator) -> None:
        """Commit what a write came to: the new base with the result, in one transaction."""
        told = translator.to_canonical(result.raw, self._tables)
        said, version = flatten(job.known.view.kind, told.data), version_order(told.version)
        self._tell_of_edit_between(record_type, job, result)
        kept = {name: said[name] for name in job.told if name in said and _kept_old(name, said, job)}
        error = _dropped(self._system, kept) if kept else job.unmapped
        own_words = self._in_own_words(job, said, result.raw, translator)
        base = (job.linked.view.base if job.linked else {}) | job.there | job.told | kept | own_words

        def commit(connection: Connection) -> None:
            row_id = self._know(job.known, record_type, result.id, connection)
            entities.set_base(connection, row_id, base, version, result.id)
            history.write(connection, self._lines(job, result, kept))
            letters.resolve_delivery(connection, job.known.id, self._system)
            if error:
                self._bury(connection, job, error, sent=job.write.change if job.write else {}, answered=kept)
            else:
                deliveries.done(connection, job.row, wrote=True, window_s=self._limits.loop_window_s)

        self._parts.ledger.run(commit)
        if differences(said, base):
            self._reload([job])
            self._observe([self._seen(record_type, job, result.raw)])
        log.info("delivery.written", system=self._system, entity=str(job.known.id), record=result.id, call=result.call)

    def _in_own_words(self, job: Job, said: Fields, raw: Raw, translator: Translator) -> Fields:
        """What the record answers otherwise than it was told, and yet means the same (rows that keep no product)."""
        other = {name: value for name, value in job.told.items() if name in said and said[name] != value}
        return {
            name: said[name] for name in other if not translator.from_canonical({name: other[name]}, raw, self._tables)
        }

    def _tell_of_edit_between(self, record_type: str, job: Job, result: Written) -> None:
        """A person's edit between our read and our write: the system told us how the record stood just before."""
        if result.before is None or job.present is None:
            return
        seen = self._seen(record_type, job, result.before)
        if differences(flatten(job.known.view.kind, seen.event.data or {}), job.there):
            self._observe([seen])

    def _lines(self, job: Job, result: Written, kept: Fields) -> list[Line]:
        what = "written" if job.present is not None else "created"
        seq, system = job.row["event_seq"], self._system
        return [
            Line(job.known.id, "bus", what, seq, system, name, job.there.get(name), value, call=result.call)
            for name, value in job.told.items()
            if name not in kept
        ]

    def _failed(self, job: Job, error: BusError, result: Failed | None = None) -> None:
        """Give a job back by what its error says: later, or to a person."""
        decision = retry.decide(error, job.row["attempts"], self._limits, self._parts.now(), self._parts.rng)
        with self._parts.ledger.transaction() as connection:
            if isinstance(decision, retry.Again):
                deliveries.postpone(connection, job.row, decision.until, counts=decision.counts, error=str(error))
            else:
                sent = result.sent if result else {}
                self._bury(connection, job, error, sent, result.answered if result else {})
        log.warning(
            "delivery.failed",
            system=self._system,
            entity=str(job.known.id),
            error=type(error).__name__,
            reason=str(error),
            again=decision.until.isoformat() if isinstance(decision, retry.Again) else None,
        )

    def _bury(
        self, connection: Connection, job: Job, error: BusError, sent: Raw, answered: Raw, state: str = "dead"
    ) -> None:
        if deliveries.stop(connection, job.row, state, str(error)):
            letter = Letter(
                self._system,
                type(error).__name__,
                error.cause,
                str(error),
                entity_id=job.known.id,
                sent=redact(sent),
                answered=redact(answered or error.detail),
                attempts=job.row["attempts"] + 1,
            )
            letters.write(connection, [letter])

    def _park(self, job: Job) -> None:
        """The loop breaker: too many writes to one record in the window. Parked until a person looks."""
        error = Permanent(
            f"{job.row['writes']} writes in {self._limits.loop_window_s} s: something writes against us", cause="loop"
        )
        with self._parts.ledger.transaction() as connection:
            self._bury(connection, job, error, {}, {}, state="parked")
        log.error("delivery.loop", system=self._system, entity=str(job.known.id), writes=job.row["writes"])

    def _done(self, job: Job, *, wrote: bool) -> None:
        with self._parts.ledger.transaction() as connection:
            deliveries.done(connection, job.row, wrote=wrote, window_s=self._limits.loop_window_s)
            letters.resolve_delivery(connection, job.known.id, self._system)


def _context(known: Known) -> Fields:
    """The records of this entity, for fields that hold another system's id (the deal's order field)."""
    records: dict[str, dict[str, str]] = {}
    for linked in known.records:
        if linked.external_id and linked.state == "linked":
            records.setdefault(linked.system, {}).setdefault(linked.type, linked.external_id)
    return {"@records": records}


def _kept_old(name: str, said: Fields, job: Job) -> bool:
    """The answer shows the old value where a new one was written: dropped in silence."""
    return bool(said[name] != job.told[name] and said[name] == job.there.get(name))


def _dropped(system: str, kept: Fields) -> Dropped:
    names = ", ".join(sorted(kept))
    return Dropped(f"{system} answered success and kept its old {names}", cause=f"dropped {names}")
