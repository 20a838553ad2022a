"""Backup: a copy of the ledger in one file, whole or not at all, with a note beside it of what it is.

It is consistent while the bus works (one snapshot), and whoever makes a ledger of it has one that knows what it is
(bus.ledger.restored).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.rows import dict_row
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from bus import dumps
from bus.dumps import DumpError
from bus.errors import BadInput, BusError
from bus.ledger import restored
from bus.ledger.database import WATCHED, Connection, one
from bus.log import scrub_text

_NAME = re.compile(r"ledger-(\w+)-(\d{8}T\d{6}Z)\.dump")
_PART = re.compile(_NAME.pattern + r"\.\d+\.part")
WITHIN_S = 12 * 3600.0
"""Longer than any ledger takes; what is not done by then hangs, and keeps the next ones from their disk."""
NEEDED = frozenset({"alembic_version", "event", "entity", "record", "identity", "delivery", "run"})
"""Tables without which it is no ledger."""


class Manifest(BaseModel):
    """What stands beside a backup: of what and when it is, and by what it is known to be whole."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    made_at: AwareDatetime
    revision: str
    server: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made, and older ones that it replaced."""

    file: Path
    manifest: Manifest
    forgotten: list[Path]


def connect(url: str) -> Connection:
    """A connection for looking after the ledger as a whole; nobody takes it for a worker's."""
    return psycopg.connect(
        url, row_factory=dict_row, autocommit=True, prepare_threshold=None, application_name="bus backup", **WATCHED
    )


def back_up(url: str, target: Path, keep: int | None = None, *, within_s: float = WITHIN_S) -> Made:
    """Copy the ledger to a file, or under a name of its own into a folder, where only the last `keep` are left.

    Raises BadInput for a target that cannot be, DumpError, OSError, psycopg.Error. What fails leaves nothing behind;
    what one left there that was killed goes first, it may be all that the disk is full of.
    """
    if keep is not None and not target.is_dir():
        raise BadInput(f"--keep goes with a folder, and {target} is none", field="keep")
    broken = _forget_parts(target) if keep is not None else []
    with connect(url) as connection:
        file = target / _named(connection) if target.is_dir() else target
        if file.exists():
            raise BadInput(f"{file} is there already; choose another name, or a folder", field="file")
        manifest = _made(connection, url, file, within_s)
    return Made(file, manifest, broken + (_forget(target, keep) if keep is not None else []))


def _named(connection: Connection) -> str:
    return f"ledger-{revision(connection)}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"


def revision(connection: Connection) -> str:
    """Which version the ledger's tables have. Raises UndefinedTable where there is none."""
    row = one(connection, "SELECT version_num FROM alembic_version")
    return str(row["version_num"]) if row else "none"


def _made(connection: Connection, url: str, file: Path, within_s: float) -> Manifest:
    """Dump beside, look it through, and only then give it its name."""
    programs = dumps.find(connection.info.server_version // 10_000).within(within_s)
    beside = file.with_name(f"{file.name}.{os.getpid()}.part")
    number = restored.begin_backup(connection)
    report: dict[str, object] = {"file": file.name, "error": "broken off"}
    try:
        with _held(beside):
            programs.dump(url, beside)
            programs.read_through(beside)
            if lacking := NEEDED - programs.contents(beside).tables:
                raise DumpError(f"the copy lacks the tables {', '.join(sorted(lacking))}")
            manifest = _manifest(connection, number, beside)
            _named_with_note(beside, file, manifest)
        _sync(file.parent)
        report = {"file": file.name, "bytes": manifest.bytes}
    except BusError as error:
        report["error"] = scrub_text(str(error))
        raise
    finally:
        with suppress(psycopg.Error):  # the copy is what counts; the line says nothing in this ledger
            restored.end_backup(connection, number, report)
    return manifest


@contextmanager
def _held(part: Path) -> Iterator[None]:
    """A file of our own, for our eyes, that is locked as long as we work at it and gone afterwards.

    Of one that is not locked its maker was killed. Where a disk knows no locks nobody tells: then it stays.
    """
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if not os.fstat(handle).st_nlink:  # between these two calls somebody took it for a dead one's
            raise DumpError(f"{part} was removed by another backup; try again")
        yield
    finally:
        part.unlink(missing_ok=True)
        os.close(handle)


def _manifest(connection: Connection, number: int, dump: Path) -> Manifest:
    row = one(connection, "SELECT started_at FROM run WHERE id = %s", [number])
    with dump.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return Manifest(
        made_at=row["started_at"] if row else datetime.now(UTC),
        revision=revision(connection),
        server=str(connection.info.parameter_status("server_version")),
        bytes=dump.stat().st_size,
        sha256=digest,
    )


def _named_with_note(part: Path, file: Path, manifest: Manifest) -> None:
    """Give the copy its name once its note is there: for a note that finds no room, too, nothing is left behind."""
    note = beside_of(file)
    try:
        _write(note, manifest.model_dump_json(indent=2).encode())
        part.rename(file)
    except BaseException:
        with suppress(OSError):
            note.unlink()
        raise


def beside_of(dump: Path) -> Path:
    """Where the note of a dump stands."""
    return dump.with_name(f"{dump.name}.json")


def manifest_of(dump: Path) -> Manifest | None:
    """The note beside a dump; None where there is none. Raises BadInput where it speaks of another file."""
    try:
        manifest = Manifest.model_validate_json(beside_of(dump).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise BadInput(f"{beside_of(dump)} is damaged; without it the dump is taken as it is", field="file") from None
    size = dump.stat().st_size
    if size != manifest.bytes:
        raise BadInput(f"{dump} has {size} bytes and had {manifest.bytes} when it was made: it is cut", field="file")
    with dump.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != manifest.sha256:
            raise BadInput(f"{dump} is not what it was when it was made: it is damaged", field="file")
    return manifest


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget_parts(folder: Path) -> list[Path]:
    """Remove what backups that were killed have left: each may be as large as a backup. Those that went."""
    return [path for path in sorted(folder.iterdir()) if _PART.fullmatch(path.name) and _dropped(path)]


def _dropped(part: Path) -> bool:
    """Remove it, unless somebody works at it."""
    try:
        handle = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _forget(folder: Path, keep: int) -> list[Path]:
    """Remove all but the last backups that bear a name of ours. Those that went."""
    ours = sorted((found[2], path) for path in folder.iterdir() if (found := _NAME.fullmatch(path.name)))
    gone = [path for _, path in ours[:-keep]]
    for path in gone:
        path.unlink()
        beside_of(path).unlink(missing_ok=True)
    return gone
