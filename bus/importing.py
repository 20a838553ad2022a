"""Importing: a file that 1C sent becomes events, a batch at a time; read twice or taken up again, it changes nothing.

The documents of a file are translated and journaled some two hundred in a transaction. One that cannot be read becomes
a dead letter and the others go on; of a file that breaks off what stood before the break is kept. Where the system is
there to nudge another one (`settings.base`), a document only means "look at this record there".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import cast
from uuid import UUID, uuid4

import structlog

from bus import exchange_archives, exchange_names, points
from bus.config import Config
from bus.envelope import Event
from bus.errors import POISON, BadInput, BusError, unreadable
from bus.ledger import erased, exchange, journal, letters
from bus.ledger.database import Connection, Ledger
from bus.ledger.exchange import File, Unread
from bus.ledger.letters import FAILED_FILE, Letter
from bus.nudging import nudges
from bus.observe import removal, take_in
from bus.ports import Bells, Entry, Mappings, Raw, RawRecord
from bus.systems.commerceml import Document, Profile, documents
from bus.translate import entry_of

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

TASK = "chores.import_files"
"""Name of the task that imports what waits."""
BATCH = 200
"""Documents in one transaction."""
ATTEMPTS = 5
"""How often a file is begun whose importer died of it, or was stopped, before it counts as unreadable."""

_SUBJECT = re.compile(r"[a-z][a-z_]*/[^/\s][^\x00-\x1f]{0,200}")
_EVENTS: Mapping[str, str] = {"order": "orders", "payment": "payments", "counterparty": "counterparties"}
"""Channel by type of document: those that hold something of ours."""


@dataclass(slots=True)
class Report:
    """What a file came to."""

    documents: int = 0
    new: int = 0
    """Events to be merged, or records to look at."""
    known: int = 0
    """Events that were merged before: nothing has changed since."""
    unread: int = 0
    """Documents that became dead letters."""
    types: Counter[str] = field(default_factory=Counter)
    files: list[str] = field(default_factory=list)
    """What was read of an archive."""
    attempts: int = 1
    replayed: bool = False
    """Read once more by hand: what is known of a record since then stands."""
    personal: bool = False
    """It tells of somebody who was erased: its body is not kept."""

    def shown(self) -> dict[str, object]:
        """As it is kept."""
        numbers = {name: getattr(self, name) for name in ("documents", "new", "known", "unread", "attempts")}
        again = {"replayed": True} if self.replayed else {}
        return numbers | again | {"types": dict(self.types), "files": self.files}


@dataclass(frozen=True, slots=True)
class _Taken:
    """One batch, translated."""

    entries: Sequence[Entry]
    unread: Sequence[Unread]


class _Lost(Exception):
    """The file was taken over by somebody else."""


class Importing:
    """Imports what waits, one file at a time in a process, one of a system at a time everywhere."""

    def __init__(self, ledger: Ledger, config: Config, mappings: Mappings, bells: Bells) -> None:
        self._ledger, self._config, self._mappings, self._bells = ledger, config, mappings, bells
        self._busy = Lock()

    def run(self) -> int:
        """Import files until none waits. How many; none while another thread of this process is at it.

        Raises Transient when the ledger cannot be reached: the file is taken up again when its lease has lapsed.
        """
        done = 0
        if self._busy.acquire(blocking=False):
            try:
                while file := self._next(lease := uuid4()):
                    self._import(file, lease)
                    done += 1
            finally:
                self._busy.release()
        return done

    def sweep(self, quiet_s: float) -> dict[str, int]:
        """Have files imported that 1C sent and did not ask to import; forget bodies that broke off."""
        with self._ledger.transaction() as connection:
            found = exchange.quiet(connection, quiet_s)
            for file in found:
                if wanted(file):
                    exchange.await_import(connection, file.id)
                else:
                    exchange.set_aside(connection, file.id)
            forgotten = exchange.forget_staged(connection)
        return {"by_themselves": len(found), "broken_off": forgotten}

    def _next(self, lease: UUID) -> File | None:
        return self._ledger.run(lambda connection: exchange.claim(connection, lease, seconds=self._lease_s))

    @property
    def _lease_s(self) -> int:
        return self._config.limits.lease_s

    def _import(self, file: File, lease: UUID) -> None:
        """One file to its end, whatever that is."""
        report = Report(attempts=file.report.get("attempts", 1), replayed=bool(file.report.get("replayed")))
        state, error = "done", None
        try:
            self._take(file, lease, report)
        except _Lost:
            log.warning("import.lost", system=file.place.system, file=file.id)
            return
        except BadInput as trouble:
            state, error = "failed", str(trouble)
        except POISON as trouble:  # of a shape that nobody foresaw: a person looks at it, 1C hears that it failed
            log.exception("import.poisoned", system=file.place.system, file=file.id)
            state, error = "failed", f"cannot be read: {type(trouble).__name__}"
        shown = report.shown()
        self._ledger.run(lambda connection: _end(connection, file, lease, state, error, report))
        say = log.info if state == "done" else log.warning
        names = ("documents", "new", "known", "unread")
        say(
            "import.ended", system=file.place.system, file=file.id, state=state, **{name: shown[name] for name in names}
        )

    def _take(self, file: File, lease: UUID, report: Report) -> None:
        """Read every file there is in it. Raises BadInput, which names the file within an archive."""
        if report.attempts > ATTEMPTS:
            raise BadInput(f"its import was begun {ATTEMPTS} times and never came to an end")
        if file.place.system not in self._config.systems:
            raise BadInput(f"there is no system {file.place.system!r} any more")
        if not exchange_names.is_archive(file.place.name):
            self._documents(file, lease, self._chunks(file.id), report)
            return
        read = partial(exchange_names.is_read, file.place.type)
        for name, chunks in exchange_archives.files(
            self._chunks(file.id), read, most=self._config.limits.exchange_file_bytes
        ):
            report.files.append(name)
            try:
                self._documents(file, lease, chunks, report)
            except BadInput as error:
                raise BadInput(f"{name}: {error}", field=error.field) from None

    def _chunks(self, file_id: int) -> Iterator[bytes]:
        n = 0
        while (body := self._chunk(file_id, n)) is not None:
            yield body
            n += 1

    def _chunk(self, file_id: int, n: int) -> bytes | None:
        with self._ledger.transaction() as connection:
            return exchange.chunk(connection, file_id, n)

    def _documents(self, file: File, lease: UUID, chunks: Iterable[bytes], report: Report) -> None:
        """A batch at a time. Raises BadInput after the batch that the break is in."""
        found = documents(chunks, profile=cast("Profile", file.profile), read_at=file.created_at)
        for batch, broken in _batches(found):
            self._commit(file, lease, batch, report)
            if broken:
                raise broken

    def _commit(self, file: File, lease: UUID, batch: Sequence[Document], report: Report) -> None:
        """Journal a batch and note how far we are, in one transaction; then ring."""
        taken = self._translated(file, batch)
        report.documents += len(batch)
        report.types.update(document.type for document in batch)
        base = self._base(file.place.system)

        def commit(connection: Connection) -> tuple[list[Event], int, int]:
            entries = self._still_news(connection, file, taken.entries) if report.replayed else taken.entries
            events = [] if base else take_in(connection, entries)
            report.personal |= _tells_of_erased(connection, file, taken)
            noted = self._nudge(connection, base, taken.entries) if base else 0
            _told_anew(connection, file, entries)
            unread = _bury(connection, file, taken.unread)
            if not exchange.go_on(connection, file.id, lease, report.shown(), seconds=self._lease_s):
                raise _Lost
            return events, noted, unread

        if __debug__:
            points.here("import.translated")
        events, noted, unread = self._ledger.run(commit)
        if __debug__:
            points.here("import.journaled")
        report.new += len(events) + noted
        report.known += len(taken.entries) - len(events) - noted
        report.unread += unread
        self._bells.publish(events)
        if base and noted:
            self._bells.ring(base, urgent=False)

    @staticmethod
    def _still_news(connection: Connection, file: File, entries: Sequence[Entry]) -> list[Entry]:
        """Of an old file what nothing newer is known of: an old comment would pass for a change back."""
        subjects = {entry.event.subject for entry in entries}
        old = exchange.superseded(connection, file.place.system, subjects, file.created_at)
        return [entry for entry in entries if entry.event.subject not in old]

    def _nudge(self, connection: Connection, base: str, entries: Sequence[Entry]) -> int:
        """Have the records looked at where they can be read. How many that was not waited for already."""
        return journal.notify(connection, nudges(connection, base, [entry.event for entry in entries], self._config))

    def _translated(self, file: File, batch: Iterable[Document]) -> _Taken:
        """What to journal of a batch."""
        entries: list[Entry] = []
        unread: list[Unread] = []
        for document in batch:
            entries += self._removals(file, document)
            if document.error is not None and document.type in _EVENTS:
                unread.append(_unread(file, document.type, document.id, document.raw, document.error))
            if document.record is not None:
                some, broken = self._entries(file, document.record)
                entries += some
                unread += broken
        once = {entry.event.id: entry for entry in entries}  # a counterparty stands in each of its orders
        return _Taken([*once.values()], unread)

    def _removals(self, file: File, document: Document) -> list[Entry]:
        system = file.place.system
        return [
            removal(
                system, kind, f"{kind}/{external_id}", file.created_at, f"{document.version or 'deleted'} {file.id}"
            )
            for kind, external_id in document.removed
        ]

    def _entries(self, file: File, record: RawRecord) -> tuple[list[Entry], list[Unread]]:
        """A document and what it brings along; of these, one that cannot be read leaves the others alone."""
        system, mappings = file.place.system, self._mappings
        kind = self._config.systems[system].kind
        found: list[Entry] = []
        unread: list[Unread] = []
        for part in _parts(mappings, kind, record, unread, file):
            try:
                found.append(entry_of(system, kind, part, mappings, causationid=f"file {file.id}"))
            except (BusError, *POISON) as error:
                unread.append(_unread(file, part.type, part.id, part.raw, unreadable(error)))
        return found, unread

    def _base(self, system: str) -> str | None:
        """The system whose records are to be looked at when this one tells of its own; None: it is believed itself."""
        known = self._config.systems.get(system)
        return known.settings.get("base") if known else None


def _tells_of_erased(connection: Connection, file: File, taken: _Taken) -> bool:
    told = {(entry.event.source, entry.event.subject) for entry in taken.entries}
    told |= {(file.place.system, unread.subject) for unread in taken.unread if unread.subject}
    return bool(erased.among(connection, told))


def _told_anew(connection: Connection, file: File, entries: Sequence[Entry]) -> None:
    """Of a record that can be read now nobody need mend what could not be, before."""
    subjects = {entry.event.subject for entry in entries if not entry.held}
    letters.resolve_events(connection, exchange.told_anew(connection, file.place.system, subjects, file.created_at))


def _end(connection: Connection, file: File, lease: UUID, state: str, error: str | None, report: Report) -> None:
    """End an import, and open or end the letter of its file. A body that tells of somebody who was erased goes too."""
    if not exchange.finish(connection, file.id, lease, state, error, report.shown()):
        return
    if error is None:
        letters.resolve_events(connection, exchange.imported(connection, file))
    else:
        letters.write(connection, [_failed(file, exchange.failed(connection, file, error), error)])
    if report.personal:
        exchange.erase(connection, file.id)


def _failed(file: File, seq: int, error: str) -> Letter:
    """A 1C that asks for no import heard `success`, and will not send it again by itself."""
    place = file.place
    reason = (
        f"file {file.id} ({place.type} {place.name}): {error}. What came before that is taken in, the rest is not: see "
        f"`bus exchange show {file.id}`; retry reads it again; or have 1C send it anew, and discard this"
    )
    return Letter(place.system, "BadInput", FAILED_FILE, reason, seq, sent={"file": file.id})


def wanted(file: File) -> bool:
    """Does the file hold something that we read? An archive of a catalogue may hold counterparties among its goods."""
    name = file.place.name
    if exchange_names.is_archive(name):
        return file.place.type in ("sale", "catalog")
    return exchange_names.is_read(file.place.type, name)


def _parts(mappings: Mappings, kind: str, record: RawRecord, unread: list[Unread], file: File) -> list[RawRecord]:
    """The document itself, and the payments and counterparties within it."""
    try:
        return [record, *mappings.parts(kind, record)]
    except (BusError, *POISON) as error:
        unread.append(_unread(file, record.type, record.id, record.raw, unreadable(error)))
        return []


def _batches(found: Iterator[Document]) -> Iterator[tuple[list[Document], BadInput | None]]:
    """Documents in batches; with the last one what the file broke off with, if it did."""
    batch: list[Document] = []
    broken: BadInput | None = None
    try:
        for document in found:
            if len(batch) >= BATCH:
                yield batch, None
                batch = []
            batch.append(document)
    except BadInput as error:
        broken = error
    yield batch, broken


def _unread(file: File, kind: str, external_id: str, raw: Raw, reason: str) -> Unread:
    """Known by what it says, not by when we read it: sent again, it is the same letter."""
    content = {name: value for name, value in raw.items() if name != "@read_at"}
    text = json.dumps([kind, external_id, content], sort_keys=True, default=str)
    name = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]
    subject = f"{kind}/{external_id}"
    return Unread(
        file.place.system,
        name,
        f"{kind}.changed",
        kind,
        _EVENTS[kind],
        subject if _SUBJECT.fullmatch(subject) else None,
        raw,
        reason,
        file.created_at,
    )


def _bury(connection: Connection, file: File, unread: Sequence[Unread]) -> int:
    """Dead letters of what cannot be taken in. How many are new."""
    found = [
        Letter(
            document.system,
            "BadInput" if document.subject else "Unreadable",
            "unreadable document",
            document.reason,
            seq,
            sent={"subject": document.subject, "file": file.id},
        )
        for document, seq in zip(unread, exchange.unread(connection, unread), strict=True)
        if seq is not None
    ]
    letters.write(connection, found)
    return len(found)
