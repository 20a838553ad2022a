"""Look-ups: records a system only told us of are fetched, in batches, and become events.

Most of what a portal tells of is our own writing: webhooks are never suppressed. So a glance at versions comes first,
thousands in one request, and a record that was last saved by us, as we know it, is not read again.

A merger of two counterparties tells of the one that is gone. Whoever bears its requisites now changed too, and no time
of change need show it: so he is read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from uuid import UUID, uuid4

import structlog

from bus import channels, leased, points, retry
from bus.envelope import Event, version_order
from bus.errors import POISON, BadInput, BusError, NotReady, Transient, unreadable
from bus.leased import Lease
from bus.ledger import journal, letters, records
from bus.ledger.database import Connection, Row
from bus.ledger.letters import Letter
from bus.merge import Outcome
from bus.model import flatten
from bus.observe import differences, fetched, parted, removal, retraced, take_in
from bus.parts import Parts
from bus.ports import Adapter, Alike, Entry, Notification, Raw, RawRecord
from bus.translate import entries, translated

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class LookUps:
    """Takes the notifications of one system."""

    def __init__(self, system: str, adapter: Adapter, parts: Parts, *, urgent: bool) -> None:
        self._system, self._adapter, self._parts, self._urgent = system, adapter, parts, urgent
        self._kind = parts.config.systems[system].kind
        self._limits = parts.config.limits

    def take(self) -> int:
        """Fetch one batch of records and hand them to the pipeline as events. How many notifications were taken."""
        lease, until = uuid4(), self._until()
        with self._parts.ledger.transaction() as connection:
            rows = journal.claim_notified(
                connection,
                self._system,
                lease,
                seconds=self._limits.lease_s,
                limit=self._adapter.batch if self._urgent else self._adapter.reach,
                urgent=self._urgent,
            )
        if __debug__:
            points.here("lookup.claimed")
        with leased.held(Lease(until, partial(self._kept, lease, [row["seq"] for row in rows]))):
            self._see_through(rows, lease)
        return len(rows)

    def _until(self) -> float:
        return leased.clock() + self._limits.lease_s / 3

    def _kept(self, lease: UUID, seqs: list[int]) -> float:
        """What is still claimed of them is so for longer: until when (of leased.clock)."""
        until, seconds = self._until(), self._limits.lease_s
        self._parts.ledger.run(lambda connection: journal.renew_notified(connection, lease, seqs, seconds=seconds))
        return until

    def _see_through(self, rows: list[Row], lease: UUID) -> None:
        left = list(rows)
        try:
            left = self._not_ours(left, lease)
            while left:
                portion = self._portion(left)
                events = self._fetch(portion, lease)
                if __debug__:
                    points.here("lookup.journaled")
                taken = {row["seq"] for row in portion}
                left = [row for row in left if row["seq"] not in taken]
                self._parts.pipeline.process(events)
        except BusError as error:
            self._give_back(left, lease, error)
        except POISON as error:  # one record of a shape that nobody foresaw: jitter parts it from the others
            log.exception("lane.poisoned", system=self._system)
            self._give_back(left, lease, Transient(f"cannot be handled: {type(error).__name__}"))

    def _portion(self, rows: list[Row]) -> list[Row]:
        """What to read next: records of one type, as many as are read together."""
        record_type = rows[0]["subject"].partition("/")[0]
        same = [row for row in rows if row["subject"].startswith(f"{record_type}/")]
        return same[: self._adapter.portion(record_type)]

    def _not_ours(self, rows: list[Row], lease: UUID) -> list[Row]:
        """End those that tell of our own writing. Returns the others."""
        plain = [row for row in rows if row["type"].endswith(".notified")]
        echoes = {subject for record_type, ids in _by_type(plain).items() for subject in self._echoes(record_type, ids)}
        echoes -= {row["subject"] for row in rows if row["type"].endswith(".reread")}
        ended = [row["seq"] for row in plain if row["subject"] in echoes]
        if ended:
            outcomes = dict.fromkeys(ended, Outcome.ECHO)
            self._parts.ledger.run(lambda connection: _close(connection, lease, outcomes))
        return [row for row in rows if row["seq"] not in set(ended)]

    def _fetch(self, rows: list[Row], lease: UUID) -> list[Event]:
        """Read a portion and commit what it tells: what was read is kept, whatever becomes of the rest."""
        present, forbidden = self._present(_by_type(rows))
        if __debug__:
            points.here("lookup.read")
        gone = [row["subject"] for row in rows if row["subject"] not in present | forbidden]
        heirs = [heir for record_type, ids in _ids(gone).items() for heir in self._heirs(record_type, ids)]
        made: dict[int, list[Entry]] = {}
        broken: list[tuple[Row, BusError]] = []
        for row in rows:
            try:
                if row["subject"] in forbidden:
                    raise forbidden[row["subject"]]
                made[row["seq"]] = self._entries(row, present.get(row["subject"]))
            except BusError as refusal:
                broken.append((row, refusal))
            except POISON as error:  # of a shape that nobody foresaw: it harms none of those that were read with it
                broken.append((row, BadInput(unreadable(error))))

        def commit(connection: Connection) -> list[Event]:
            events = take_in(connection, [entry for some in made.values() for entry in some])
            new = {event.id.partition("/")[0] for event in events}
            ours = journal.leased(connection, lease, [row["seq"] for row, _ in broken])
            _close(connection, lease, _outcomes(made, new))
            journal.notify(connection, heirs)
            for row, reason in broken:
                if row["seq"] in ours:
                    self._bury(connection, row, reason)
            return events

        return self._parts.ledger.run(commit)

    def _echoes(self, record_type: str, ids: list[str]) -> set[str]:
        """Subjects that were last saved by us and stand as our write left them: there is nothing to read.

        Not a guess: each of our writes shows how the record stood just before it, and one that met somebody
        else's change does not count as ours alone (bus.settling), so nothing can hide behind it.
        """
        us = self._parts.config.systems[self._system].actor
        if us is None:
            return set()
        with self._parts.ledger.transaction() as connection:
            ours = records.ours(connection, self._system, record_type, ids)
            bases = records.bases(connection, self._system, record_type, list(ours))
        if not ours:
            return set()
        translator = self._parts.mappings.translator(self._kind, record_type)
        tables = self._parts.mappings.tables(self._system, self._kind)
        found = set()
        for external_id, raw in self._adapter.glance(record_type, sorted(ours)).items():
            try:
                seen = translated(partial(translator.to_canonical, raw, tables))
            except (BusError, *POISON):  # none of ours; whoever reads it whole says what is wrong with it
                continue
            same = not differences(flatten(translator.KIND, seen.data or {}), bases.get(external_id, {}))
            if same and seen.actor == us and version_order(seen.version) == ours[external_id]:
                found.add(f"{record_type}/{external_id}")
        return found

    def _present(self, wanted: Mapping[str, list[str]]) -> tuple[dict[str, Raw], dict[str, BusError]]:
        """Raw records by subject, and what cannot be read."""
        present: dict[str, Raw] = {}
        forbidden: dict[str, BusError] = {}
        for record_type, ids in wanted.items():
            found, refused = fetched(self._adapter, record_type, ids)
            found = retraced(self._parts.ledger, self._parts.mappings, self._adapter, record_type, found)
            present |= {f"{record_type}/{external_id}": raw for external_id, raw in found.items()}
            forbidden |= {f"{record_type}/{external_id}": error for external_id, error in refused.items()}
        return present, forbidden

    def _heirs(self, record_type: str, gone: list[str]) -> list[Notification]:
        """Who bears the INN there of counterparties that are gone: nobody, where they were deleted and not merged.

        One who is hidden from us could not be read either, and keeps none of the others from being heard.
        """
        with self._parts.ledger.transaction() as connection:
            inns = records.inns(connection, self._system, record_type, gone)

        def ask(some: Sequence[str]) -> Mapping[str, list[RawRecord]]:
            return self._adapter.alike(record_type, {one: Alike(inn=inns[one]) for one in some})

        found = parted(ask, sorted(inns))[0] if inns else {}
        heirs = {heir.id for some in found.values() for heir in some} - set(gone)
        return [Notification(self._system, record_type, one, whole=True) for one in sorted(heirs)]

    def _entries(self, row: Row, raw: Raw | None) -> list[Entry]:
        record_type, _, external_id = row["subject"].partition("/")
        if raw is None:
            translator = self._parts.mappings.translator(self._kind, record_type)
            return [
                removal(
                    self._system, translator.EVENT, row["subject"], row["received_at"], row["id"], told=_removed(row)
                )
            ]
        return entries(
            self._system,
            self._kind,
            RawRecord(record_type, str(raw.get("@id", external_id)), raw),
            self._parts.mappings,
            causationid=row["id"],
            correlationid=row["correlationid"] or row["id"],
            observed_at=row["claimed_at"],
            priority=lambda event: channels.URGENT if event.kind == "payment" else row["priority"],
        )

    def _give_back(self, rows: list[Row], lease: UUID, error: BusError) -> None:
        limits, now, rng = self._limits, self._parts.now(), self._parts.rng
        with self._parts.ledger.transaction() as connection:
            ours = journal.leased(connection, lease, [row["seq"] for row in rows])
            rows = [row for row in rows if row["seq"] in ours]
            decisions = {row["seq"]: retry.decide(error, row["attempts"], limits, now, rng) for row in rows}
            for row in rows:
                if isinstance(decisions[row["seq"]], retry.GiveUp):
                    self._bury(connection, row, error)
            again = {seq: one for seq, one in decisions.items() if isinstance(one, retry.Again)}
            if again:
                until, counts = {seq: one.until for seq, one in again.items()}, not isinstance(error, NotReady)
                journal.postpone(connection, lease, until, counts=counts, error=str(error))
        log.warning("lookups.postponed", system=self._system, count=len(rows), again=len(again), reason=str(error))

    def _bury(self, connection: Connection, row: Row, error: BusError) -> None:
        journal.finish(connection, [journal.Ending(row["seq"], Outcome.DEAD, None, str(error))])
        letter = Letter(
            self._system,
            type(error).__name__,
            error.cause,
            str(error),
            row["seq"],
            sent={"subject": row["subject"]},
            attempts=row["attempts"] + 1,
        )
        letters.write(connection, [letter])


def _by_type(rows: list[Row]) -> dict[str, list[str]]:
    """External ids to look at, each once; those reported as removed are not asked for."""
    return _ids(row["subject"] for row in rows if not _removed(row))


def _ids(subjects: Iterable[str]) -> dict[str, list[str]]:
    """External ids by record type, each once."""
    found: dict[str, dict[str, None]] = {}
    for subject in subjects:
        record_type, _, external_id = subject.partition("/")
        found.setdefault(record_type, {})[external_id] = None
    return {record_type: list(ids) for record_type, ids in found.items()}


def _removed(row: Row) -> bool:
    return bool(row["type"].endswith(".removed"))


def _close(connection: Connection, lease: UUID, outcomes: dict[int, Outcome]) -> None:
    """End notifications; those that were read after all, by a retry, end their letters."""
    journal.close_notified(connection, lease, outcomes)
    letters.resolve_events(connection, list(outcomes))


def _outcomes(made: Mapping[int, list[Entry]], new: set[str]) -> dict[int, Outcome]:
    """A notification ends APPLIED when it led to an event, DUPLICATE when what it led to was known."""
    return {
        seq: Outcome.APPLIED if any(entry.event.id in new for entry in some) else Outcome.DUPLICATE
        for seq, some in made.items()
    }
