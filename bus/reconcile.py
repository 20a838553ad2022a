"""Reconcile: ask each system what changed, find what no webhook told us, and heal it through the same pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from bus import points
from bus.config import Config, Mode, Route
from bus.envelope import Event
from bus.errors import POISON, BusError, unreadable
from bus.leased import clock, nap
from bus.ledger import erased, journal, letters, records, restored
from bus.ledger.database import Connection, Ledger, Row, bulk, one, rows, run
from bus.ledger.restored import Forgotten
from bus.model import flatten, money
from bus.observe import differences, removal, retraced, take_in
from bus.pipeline import Pipeline
from bus.ports import WAS, Adapter, Entry, Mappings, Notification, RawRecord
from bus.translate import entries

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_LOCK, _POLL_LOCK = 0x1B06, 0x1B07
_TOLD_BY_NOBODY = frozenset({"onec"})
"""Kinds of systems that tell of no change by themselves: they are polled, and what is found there is no drift."""
_AGAIN_S = 0.5
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_HOLDER = """SELECT pid, application_name AS by, host(client_addr) AS address, state_change::text AS since
             FROM pg_locks JOIN pg_stat_activity AS session USING (pid)
             WHERE locktype = 'advisory' AND classid = 0 AND objid = %s AND objsubid = 1 AND granted
               AND session.datname = current_database()"""
"""Whose session holds an advisory lock."""


@dataclass(slots=True)
class Report:
    """What one run found in one system: how many records were read, their sums and statuses, and what drifted why.

    `unreadable`: records that are there and cannot be read. Each is a dead letter, or on its way to be one.
    `waived`: those of them whose letter a person discarded.
    """

    system: str
    records: int = 0
    sum: Decimal = Decimal(0)
    statuses: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    healed: int = 0
    waiting: int = 0
    unreadable: int = 0
    waived: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference that reconciliation found and no event explained."""

    system: str
    subject: str
    field: str
    cause: str
    healing: str
    entity_id: UUID | None = None


def _listened(route: Route) -> bool:
    return route.inward is not Mode.OFF


def _begins(route: Route) -> bool:
    return route.inward.creates


def _adds(route: Route) -> bool:
    return route.inward is Mode.UPDATE_ONLY


def _only_written(route: Route) -> bool:
    return route.inward is Mode.OFF and route.outward is not Mode.OFF


class Reconcile:
    """Polls systems since a cursor, with overlap; compares what they hold with what we last knew."""

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        mappings: Mappings,
        pipeline: Pipeline,
        adapters: Mapping[str, Adapter],
        now: Callable[[], datetime],
    ) -> None:
        self._ledger, self._config, self._mappings, self._pipeline = ledger, config, mappings, pipeline
        self._adapters, self._now = adapters, now

    def run(self, *, full: bool = False, wait_s: float = 0.0) -> dict[str, Any] | None:
        """One run over all systems. Returns its report; None when another run is under way, for longer than `wait_s`.

        `full` reads everything from the beginning, and looks over every entity for records that are not as they
        should be (a route was switched on, a mapping changed); otherwise it reads from the cursor less the overlap.
        In a restored ledger every run is full, until one has read all there is (bus.ledger.restored).
        """
        asked_at, end = self._ledger.now(), clock() + wait_s
        while (summary := self._alone(full=full)) is None and clock() < end:
            nap(_AGAIN_S)
            if full and self._ledger.run(partial(_full_since, moment=asked_at)):
                break
        if summary is None:
            self._skipped("run", _LOCK)
        return summary

    def _alone(self, *, full: bool) -> dict[str, Any] | None:
        with self._ledger.alone(_LOCK) as mine:
            if not mine:
                return None
            lost = self._ledger.run(restored.forgotten)
            full = full or lost is not None
            run_id = self._begin()
            reports = [Report(name) for name in self._adapters if full or not self._polled(name)]
            if lost:
                self._heal(run_id, reports, lost)
            else:
                for report in reports:
                    self._system(run_id, report, _listened, full=full)
            unmet = self._pipeline.look_over() if full else 0
            summary = {"full": full, "systems": [_plain(report) for report in reports], "made_due": unmet}
            self._end(run_id, summary)
        log.info("reconcile.finished", **_totals(reports))
        return summary

    def poll(self) -> int | None:
        """Read what changed in the systems that are polled. How many records; None when another poll is under way."""
        with self._ledger.alone(_POLL_LOCK) as mine:
            if not mine:
                self._skipped("poll", _POLL_LOCK)
                return None
            reports = [Report(name) for name in self._adapters if self._polled(name)]
            for report in reports:
                self._system(None, report, _listened, full=False)
            if reports:
                self._ledger.run(partial(_note_poll, reports=reports))
            return sum(report.records for report in reports)

    def _skipped(self, what: str, lock: int) -> None:
        """Say who is at it: one whose session never ends keeps all others from it."""
        with self._ledger.transaction() as connection:
            holder = one(connection, _HOLDER, [lock])
        log.info("reconcile.skipped", what=what, why="another is under way", **(holder or {}))

    def _heal(self, run_id: int, reports: list[Report], lost: Forgotten) -> None:
        """The ledger comes from a backup. Once all systems were read whole, in one run, what is due may be written.

        One record that cannot be read may be what we made or booked since, and would be made again; not so where a
        person discarded its letter.
        What hangs on a system that could not be read is strange to all others. First are read records that begin
        something, then those that only add to it, at last those that are written and not listened to: only so is known
        which of them are there already, and of what.
        """
        self._let_late_calls_end(lost)
        for chosen in (_begins, _adds, _only_written):
            for report in reports:
                self._system(run_id, report, chosen, full=True, strangers=True)
        failed = [report.system for report in reports if report.error]
        unread = sum(report.unreadable - report.waived for report in reports)
        if failed or unread:
            log.warning("reconcile.not_healed", systems=failed, unreadable=unread, why=restored.WHY)
        else:
            self._ledger.run(restored.heal)
            log.info("reconcile.healed", since=lost.since.isoformat())

    def _let_late_calls_end(self, lost: Forgotten) -> None:
        """What was sent for the lost ledger may be at work yet; read before its end, it would be missed."""
        late = max((self._config.systems[name].late_s for name in self._adapters), default=0.0)
        left = (lost.noticed_at - self._ledger.now()).total_seconds() + late
        if left > 0:
            log.info("reconcile.waiting", seconds=round(left, 1), why="calls of the lost ledger may be at work yet")
            nap(left)

    def _polled(self, system: str) -> bool:
        return self._config.systems[system].kind in _TOLD_BY_NOBODY

    def _begin(self) -> int:
        with self._ledger.transaction() as connection:
            started = rows(connection, "INSERT INTO run (what) VALUES ('reconcile') RETURNING id")
        return int(started[0]["id"])

    def _end(self, run_id: int, summary: dict[str, Any]) -> None:
        with self._ledger.transaction() as connection:
            run(connection, "UPDATE run SET finished_at = now(), report = %s WHERE id = %s", [Jsonb(summary), run_id])

    def _system(
        self,
        run_id: int | None,
        report: Report,
        chosen: Callable[[Route], bool],
        *,
        full: bool,
        strangers: bool = False,
    ) -> None:
        """Read the record types of one system whose routes are chosen."""
        adapter = self._adapters[report.system]
        types = self._mappings.record_types(self._config.systems[report.system].kind).items()
        try:
            for kind, record_type in types:
                if chosen(self._config.route(report.system, kind)):
                    self._record_type(run_id, adapter, record_type, report, full=full, strangers=strangers)
        except BusError as error:
            report.error = str(error)
            log.warning("reconcile.system_failed", system=report.system, reason=str(error))
        except POISON as error:  # an answer of a shape that nobody foresaw: the other systems are read all the same
            report.error = unreadable(error)
            log.exception("reconcile.system_failed", system=report.system, reason=report.error)

    def _record_type(
        self, run_id: int | None, adapter: Adapter, record_type: str, report: Report, *, full: bool, strangers: bool
    ) -> None:
        """Page by page, each journaled and merged; the cursor moves when all were read, not past what changed since.

        Not with each page: a record that is saved between its place in the list and its reading looks younger than
        those behind it, which a run that breaks off has not read. Nor past its beginning: a full run comes in whatever
        order is cheap, and deals of changed contacts come when the list of deals has ended.
        """
        name = f"reconcile {adapter.system} {record_type}"
        begun, latest = self._now(), _BEGINNING
        pages = adapter.changed(record_type, _BEGINNING if full else self._since(name))
        while page := self._next(adapter, record_type, pages):
            latest = max([latest, *self._page(run_id, adapter, page[0], report, page[1], strangers)])
        if latest > _BEGINNING:  # a wrong clock must not carry us past today
            self._move_cursor(name, min(latest, begun))

    def _next(
        self, adapter: Adapter, record_type: str, pages: Iterator[list[RawRecord]]
    ) -> tuple[list[RawRecord], datetime] | None:
        """The next page, and a moment by the ledger's clock before it was read."""
        asked_at = self._ledger.now()
        page = next(pages, None)
        if page is None:
            return None
        if any(one.rest for one in page):
            page = self._ledger.run(partial(_named, system=adapter.system, page=page, asked_at=asked_at))
        read = {one.id: one.raw for one in page if not one.gone}
        raws = retraced(self._ledger, self._mappings, adapter, record_type, read)
        return [replace(one, raw=raws.get(one.id, one.raw)) for one in page], asked_at

    def _since(self, name: str) -> datetime:
        overlap = timedelta(seconds=self._config.limits.reconcile_overlap_s)
        with self._ledger.transaction() as connection:
            row = one(connection, "SELECT position FROM cursor WHERE name = %s", [name])
        return row["position"] - overlap if row else self._now() - timedelta(days=1) - overlap

    def _move_cursor(self, name: str, position: datetime) -> None:
        with self._ledger.transaction() as connection:
            run(
                connection,
                """INSERT INTO cursor (name, position) VALUES (%s, %s)
                   ON CONFLICT (name) DO UPDATE SET position = greatest(cursor.position, excluded.position),
                     updated_at = now()""",
                [name, position],
            )

    def _page(
        self,
        run_id: int | None,
        adapter: Adapter,
        page: list[RawRecord],
        report: Report,
        asked_at: datetime,
        strangers: bool,
    ) -> list[datetime]:
        kind = self._config.systems[adapter.system].kind
        seen: list[tuple[RawRecord, list[Entry]]] = []
        times = []
        for record in page:
            if record.gone:
                seen.append((record, [self._removal(adapter.system, kind, record, asked_at)]))
                continue
            try:
                made = entries(adapter.system, kind, record, self._mappings, observed_at=asked_at)
            except (BusError, *POISON) as error:
                self._unreadable(adapter.system, record, error, report)
                continue
            times.append(made[0].event.time)
            seen.append((record, made))
            _count(report, made[0].event)
        if __debug__:
            points.here("reconcile.read")
        drifts, new = self._taken_in(adapter.system, seen, report, counts=run_id is not None, strangers=strangers)
        if __debug__:
            points.here("reconcile.journaled")
        self._pipeline.process(new)
        if __debug__:
            points.here("reconcile.merged")
        if run_id is not None:
            self._note(run_id, drifts, {event.subject for event in new}, report)
        return times

    def _taken_in(
        self,
        system: str,
        seen: Sequence[tuple[RawRecord, list[Entry]]],
        report: Report,
        *,
        counts: bool,
        strangers: bool,
    ) -> tuple[list[Drift], list[Event]]:
        """What records drifted in, and the events that they became; one that cannot be journaled harms no other."""
        told = [entry for _, some in seen for entry in some]

        def take(connection: Connection) -> tuple[list[Drift], list[Event]]:
            drifts = self._drifts(connection, system, told) if counts else []
            return drifts, take_in(connection, told, strangers=strangers)

        try:
            return self._ledger.run(take)
        except POISON as error:
            if len(seen) == 1:
                self._unreadable(system, seen[0][0], error, report)
                return [], []
        apart = [self._taken_in(system, [one], report, counts=counts, strangers=strangers) for one in seen]
        return [drift for drifts, _ in apart for drift in drifts], [event for _, events in apart for event in events]

    def _unreadable(self, system: str, record: RawRecord, error: Exception, report: Report) -> None:
        """Its lane looks at it, and a dead letter says why it cannot be read: one, however many runs come upon it."""
        subject = f"{record.type}/{record.id}"
        reason = unreadable(error)
        report.unreadable += 1
        log.warning("reconcile.unreadable", system=system, subject=subject, reason=reason)
        with self._ledger.transaction() as connection:
            if not letters.of_look(connection, system, subject, reason):
                journal.notify(connection, [Notification(system, record.type, record.id)])
            elif letters.waived(connection, system, subject, reason):
                report.waived += 1

    def _removal(self, system: str, kind: str, record: RawRecord, at: datetime) -> Entry:
        event_type = self._mappings.translator(kind, record.type).EVENT
        reason = str(record.raw.get("@version") or at.isoformat())
        return removal(system, event_type, f"{record.type}/{record.id}", at, reason)

    def _drifts(self, connection: Connection, system: str, seen: list[Entry]) -> list[Drift]:
        """Records that do not say what we last knew: what they drifted in, and what is known of the cause."""
        drifts = []
        closed = erased.among(connection, {(entry.event.source, entry.event.subject) for entry in seen})
        events = [entry.event for entry in seen if not entry.event.deleted]
        there = [event for event in events if (event.source, event.subject) not in closed]
        for record_type in {event.record_type for event in there}:
            some = [event for event in there if event.record_type == record_type]
            ids = [event.external_id for event in some]
            bases = records.bases(connection, system, record_type, ids)
            moving = journal.moving(connection, system, [event.subject for event in some])
            for event in some:
                drifts += _drift(event, bases.get(event.external_id), moving.get(event.subject))
        return drifts

    def _note(self, run_id: int, drifts: list[Drift], healed: set[str], report: Report) -> None:
        """Write down what drifted. Found by nobody else and taken in just now: a missed webhook, healed."""
        found = []
        for drift in drifts:
            missed = drift.cause == "missed" and drift.subject in healed
            healing = "healed" if missed else drift.healing
            found.append({**asdict(drift), "healing": healing, "run_id": run_id})
        report.missed += len({drift.subject for drift in drifts if drift.cause == "missed"})
        report.healed += len({item["subject"] for item in found if item["healing"] == "healed"})
        report.waiting += len({drift.subject for drift in drifts if drift.cause != "missed"})
        with self._ledger.transaction() as connection:
            run(
                connection,
                """INSERT INTO drift (run_id, system, subject, entity_id, field, cause, healing)
                   SELECT run_id, system, subject, entity_id, field, cause, healing
                   FROM jsonb_to_recordset(%s) AS new(run_id bigint, system text, subject text, entity_id uuid,
                     field text, cause text, healing text)""",
                [bulk(found)],
            )


def _full_since(connection: Connection, moment: datetime) -> bool:
    """Has a run that read everything ended since?"""
    found = rows(
        connection,
        """SELECT 1 FROM run WHERE what = 'reconcile' AND finished_at >= %s AND (report ->> 'full')::boolean LIMIT 1""",
        [moment],
    )
    return bool(found)


def _named(connection: Connection, system: str, page: list[RawRecord], asked_at: datetime) -> list[RawRecord]:
    """The page, with each record that is gone by its name, instead of the rests that stand for them."""
    told = [record for record in page if not record.rest]
    rests = [record for record in page if record.rest]
    known = records.beginning(connection, system, [(rest.type, rest.id) for rest in rests], asked_at)
    for rest in rests:
        parts = [one for one in told if one.type == rest.type and one.id.startswith(rest.id)]
        left = sorted(known[rest.type, rest.id] - {one.id for one in parts})
        there = [one.id for one in parts if not one.gone]
        strange = set(there) - records.of_record(connection, system, rest.type, there).keys() if left else set()
        was = dict(zip([one for one in there if one in strange], left, strict=False))
        told = [replace(one, raw=one.raw | {WAS: was[one.id]}) if one.id in was else one for one in told]
        told += [replace(rest, id=one, rest=False) for one in left]
    return told


def _drift(event: Event, base: dict[str, Any] | None, moving: str | None) -> list[Drift]:
    cause = moving or "missed"
    healing = {"missed": "through the pipeline", "dead": "waits for a person"}.get(cause, "on its way")
    if base is None:
        return [Drift(event.source, event.subject, "record", cause, healing)]
    fields = differences(flatten(event.kind, event.data or {}), base)
    return [Drift(event.source, event.subject, name, cause, healing) for name in fields]


def _count(report: Report, event: Event) -> None:
    fields = flatten(event.kind, event.data or {})
    report.records += 1
    report.sum += money(fields.get("total"))
    report.statuses[str(fields.get("status"))] += 1


def _plain(report: Report) -> dict[str, Any]:
    return {**asdict(report), "sum": f"{report.sum:.2f}", "statuses": dict(report.statuses)}


def _totals(reports: list[Report]) -> dict[str, int]:
    return {
        "records": sum(report.records for report in reports),
        "missed": sum(report.missed for report in reports),
        "healed": sum(report.healed for report in reports),
        "unreadable": sum(report.unreadable for report in reports),
    }


def _note_poll(connection: Connection, reports: Sequence[Report]) -> None:
    """One line tells of the last poll that ended well, and one of those that fail since, if they do."""
    errors = {report.system: report.error for report in reports if report.error}
    what = "poll failed" if errors else "poll"
    noted = "UPDATE run SET finished_at = now(), report = %s WHERE what = %s"
    if not run(connection, noted, [Jsonb({"errors": errors}), what]):
        made = "INSERT INTO run (what, finished_at, report) VALUES (%s, now(), %s)"
        run(connection, made, [what, Jsonb({"errors": errors})])
    if not errors:
        run(connection, "DELETE FROM run WHERE what = 'poll failed'", [])


def failing_poll(connection: Connection) -> Row | None:
    """Since when polls fail, if they do: `started_at`, and in `report` the `errors` of the last one by system."""
    return one(connection, "SELECT started_at, report FROM run WHERE what = 'poll failed' ORDER BY id LIMIT 1")


def latest(connection: Connection, limit: int = 20) -> list[Row]:
    """The last runs with their reports."""
    return rows(connection, "SELECT * FROM run WHERE what = 'reconcile' ORDER BY id DESC LIMIT %s", [limit])


def drifts_of(connection: Connection, run_id: int) -> list[Row]:
    """What one run found."""
    return rows(connection, "SELECT * FROM drift WHERE run_id = %s ORDER BY id LIMIT 1000", [run_id])
