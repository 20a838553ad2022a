"""Creating: a record is noted before the call that makes it, and looked for by our own key before that is repeated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from bus import points
from bus.claimed import Job
from bus.errors import BusError, NotReady
from bus.ledger import deliveries, entities, journal, questions, records, restored, tombstones
from bus.ledger.database import Connection
from bus.ledger.entities import Known
from bus.ledger.records import Creation
from bus.observe import fetched, parted, removal, take_in
from bus.parts import Parts
from bus.ports import Adapter, Notification


class Creating:
    """The creations of one system's lane."""

    def __init__(self, system: str, adapter: Adapter, parts: Parts, reload: Callable[[Collection[Job]], None]) -> None:
        self._system, self._adapter, self._parts, self._reload = system, adapter, parts, reload
        self._kind = parts.config.systems[system].kind
        self._late = timedelta(seconds=parts.config.systems[system].late_s)

    def begin(self, record_type: str, jobs: Sequence[Job]) -> dict[Job, BusError]:
        """Note creations before their call; one that was begun before is looked for first, by our own key.

        One that others have named already (the shop's order names its deal) is looked for by that name, not created.
        What turns out to be there is linked, and from then on read and written like any other. Returns those that are
        not to be created now, each with the reason: the call that was to make them may still be at work, or what they
        are named by is there and hidden from us.
        """
        fresh, left = self._unnamed(record_type, jobs)
        if not fresh:
            return left
        ids = [job.id for job in fresh]
        first = self._parts.ledger.run(
            lambda connection: records.begin_creating(connection, ids, self._system, record_type)
        )
        begun = [job for job in fresh if job.id not in first]
        if not begun:
            return left
        found, refused = parted(lambda some: self._adapter.find(record_type, [str(job.id) for job in some]), begun)
        left |= refused
        begun = [job for job in begun if job not in refused]
        for job in begun:
            if record := found.get(str(job.id)):
                if __debug__:
                    points.here("lane.linking")
                self._link(job, record_type, record.id)
        self._reload(begun)
        return left | {job: self.unclear(job) for job in begun if job.external_id is None and self.wait_until(job)}

    def unclear(self, job: Job) -> NotReady:
        """Why a creation is left alone while the call that was taken for lost may still be at work."""
        say = "the answer to its creation was lost, and the call may still be at work"
        return NotReady(say, until=self.wait_until(job) or self._parts.now(), cause="creation unclear")

    def wait_until(self, job: Job) -> datetime | None:
        """When the last call that was to create this record, or a part of it, can have no late effect any more.

        None: by now. Repeated before that, it could be there twice: once by us, once by the call we took for lost.
        """
        since = job.linked.creating_since if job.linked else None
        until = since + self._late if since else None
        return until if until and until > self._parts.now() else None

    def note(self, connection: Connection, jobs: Sequence[Job]) -> list[Job]:
        """Note, as they are sent, what creations are about to say, which are being finished, and what updates say.

        Returns those that are not to be sent: creations of what is not to be made any more, or not as it was planned.
        """
        creations = [_creation(job) for job in jobs if job.external_id is None]
        promised = records.promise(connection, self._system, creations)
        records.go_on(connection, self._system, [job.id for job in jobs if job.unfinished])
        known = {job.linked.id: job.told for job in jobs if job.external_id and job.linked and job.linked.id}
        unread = [job.linked.id for job in jobs if job.unread and job.linked and job.linked.id]
        records.telling(connection, known, unread)
        return [job for job in jobs if job.external_id is None and job.id not in promised]

    def _unnamed(self, record_type: str, jobs: Sequence[Job]) -> tuple[list[Job], dict[Job, BusError]]:
        """Jobs whose record nobody has named yet, and those whose named one may not be read: it is there.

        A named one that is there and can be read is linked.
        """
        named = self._names(record_type, jobs)
        if not named:
            return list(jobs), {}
        present, forbidden = fetched(self._adapter, record_type, sorted(set(named.values())))
        found = [job for job in jobs if named.get(job.id) in present]
        for job in found:
            self._link(job, record_type, named[job.id])
        hidden = {job: forbidden[named[job.id]] for job in jobs if named.get(job.id) in forbidden}
        gone = [job for job in jobs if job.id in named and job not in found and job not in hidden]
        gone = self._forgotten(record_type, {job: named[job.id] for job in gone})
        self._reload([*found, *gone])
        return [job for job in jobs if job not in found and job not in gone and job not in hidden], hidden

    def _link(self, job: Job, record_type: str, external_id: str) -> None:
        """It is this record. If it is an order, its payments follow."""

        def commit(connection: Connection) -> set[tuple[str, bool]]:
            know(self._system, job.known, record_type, external_id, connection)
            entity = entities.hold(connection, [job.id])[job.id]
            return deliveries.follow(connection, [(entity, self._system)])

        for system, urgent in sorted(self._parts.ledger.run(commit)):
            self._parts.bells.ring(system, urgent=urgent)

    def _forgotten(self, record_type: str, named: Mapping[Job, str]) -> list[Job]:
        """In a restored ledger, what others name and is not there was made since the backup, and deleted since.

        As ever that is noted, not followed: it is not made again.
        """
        if not named:
            return []
        with self._parts.ledger.transaction() as connection:
            old = restored.there_when_healed(connection, [job.id for job in named])
        gone = [job for job in named if job.id in old]
        event_type = self._parts.mappings.translator(self._kind, record_type).EVENT
        subjects = [f"{record_type}/{named[job]}" for job in gone]
        seen = [removal(self._system, event_type, one, self._parts.now(), str(uuid4())) for one in subjects]
        self._parts.pipeline.process(self._parts.ledger.run(lambda connection: take_in(connection, seen)))
        return gone

    def _names(self, record_type: str, jobs: Sequence[Job]) -> dict[UUID, str]:
        if not jobs:
            return {}
        prefix = f"{self._system}/{record_type}/"
        with self._parts.ledger.transaction() as connection:
            keys = entities.keys_of(connection, [job.id for job in jobs])
        return {
            job.id: key.removeprefix(prefix)
            for job in jobs
            for key in sorted(keys.get(job.id, ()))
            if key.startswith(prefix)
        }


def _creation(job: Job) -> Creation:
    since = job.linked.creating_since if job.linked else None
    return Creation(job.id, job.told, since, job.known.parent_id)


def know(system: str, known: Known, record_type: str, external_id: str, connection: Connection) -> int:
    """Make a record known, its key and its row, under its entity's lock. Returns the row's id.

    The entity may have been united with another while our call was under way: then it is that one's record. Keys are
    locked before entities, as the path does it. What the record told before, and waits for a person to say who it is,
    is heard now. What was deleted there once may have been so before our answer was in: it is read, which decides.
    """
    key = f"{system}/{record_type}/{external_id}"
    entities.key_locks(connection, [key])
    entity = entities.hold(connection, [known.id])[known.id]
    entities.learn(connection, known.view.kind, {key: entity})
    subject = f"{record_type}/{external_id}"
    journal.wake(connection, [questions.key(system, subject)])
    if tombstones.of(connection, [(system, subject)]):  # the sweep rings its lane
        journal.notify(connection, [Notification(system, record_type, external_id, whole=True)])
    return records.linked_row(connection, entity, system, record_type, external_id)
