"""Restore: the ledger as a backup has it, in one transaction: afterwards it is that, or what it was before.

What was acknowledged, booked and written since the backup is not in it, and the ledger knows that: nothing is written
to any system before each was read whole (bus.ledger.restored). The first reconciliation does that by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

from bus import backup, dumps
from bus.dumps import DumpError, Programs
from bus.errors import BadInput
from bus.ledger import letters, restored, schema
from bus.ledger.database import Connection, one, rows

_AT_WORK = "integration-bus"
"""As what workers, lanes and intakes connect (bus.ledger.database)."""
_COPY = re.compile(rb"COPY \S+ \(.*\) FROM stdin;\n")
_END = b"\\.\n"
_FOR_PSQL = (b"\\restrict ", b"\\unrestrict ")
_FILLED = ("event", "entity", "switch")
"""A ledger that has nothing in these holds nothing that anybody would miss."""
_CREATED = re.compile(r"CREATE TABLE (\w+)")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: when the backup was begun, and the version of its tables before they were brought to ours."""

    since: datetime
    revision: str
    switches: int
    """Switches that operators had turned by then; what they turned since is forgotten."""


def restore(url: str, file: Path, *, replace: bool, actor: str) -> Restored:
    """Make the ledger what a backup has. Raises BadInput, DumpError or psycopg.Error: then nothing was changed."""
    if not file.is_file():
        raise BadInput(f"{file}: no such file", field="file")
    manifest = backup.manifest_of(file)
    with backup.connect(url) as connection:
        programs = dumps.find(connection.info.server_version // 10_000)
        contents = programs.contents(file)
        if lacking := backup.NEEDED - contents.tables:
            raise BadInput(f"{file} is no backup of a ledger: no {', '.join(sorted(lacking))} in it", field="file")
        revision = _revision(programs, file)
        since = manifest.made_at if manifest else contents.made_at or datetime.now(UTC)
        with connection.transaction():
            _clear(connection, replace=replace)
            _load(connection, programs, file)
            done = _noted(connection, since, revision, f"{actor} restored {file.name}", actor)
    schema.migrate(url)
    return done


def note(url: str, since: datetime, actor: str) -> Restored:
    """Say that the ledger was restored by other means (WAL archive, snapshot) to that moment. Raises as `restore`."""
    with backup.connect(url) as connection, connection.transaction():
        if since > datetime.now(UTC):
            raise BadInput(f"{since.isoformat()} is not over yet", field="time")
        _alone(connection)
        restored.mark(connection, since)
        return _noted(connection, since, backup.revision(connection), "restored by other means", actor)


def _revision(programs: Programs, file: Path) -> str:
    """The version of a dump's tables. Raises BadInput for one that this bus does not know."""
    lines = programs.rows_of(file, "alembic_version")
    found = lines[0] if lines else "none"
    if found not in schema.revisions():
        say = f"{file} is of a newer bus (its tables have version {found}, ours {schema.head()}): restore it with that"
        raise BadInput(say, field="file")
    return found


def _clear(connection: Connection, *, replace: bool) -> None:
    """Take the present tables away, if that is wanted. Locks whoever migrates out."""
    connection.execute("SET LOCAL lock_timeout = '10s'")
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [schema.LOCK])
    _alone(connection)
    there = _tables(connection)
    if not replace and any(_has_rows(connection, name) for name in _FILLED if name in there):
        say = "the ledger is not empty; --replace throws away what is in it. Make a `bus backup` of it first"
        raise BadInput(say, field="replace")
    if there:
        names = sql.SQL(", ").join(map(sql.Identifier, sorted(there)))
        connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(names))


def _alone(connection: Connection) -> None:
    """Raises BadInput while processes of the bus are connected: they would go on with what they hold of the ledger."""
    found = rows(
        connection,
        """SELECT pid, host(client_addr) AS host, backend_start FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = %s AND pid <> pg_backend_pid() ORDER BY pid""",
        [_AT_WORK],
    )
    if found:
        who = ", ".join(f"{row['host'] or 'local'} since {row['backend_start']:%H:%M:%S} UTC" for row in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""  # noqa: PLR2004 - as shown
        say = f"processes of the bus are connected to the ledger: {who}{more}; stop workers, beat and intake first"
        raise BadInput(say, field="ledger")


def _tables(connection: Connection) -> set[str]:
    """The ledger's tables that are there, their partitions among them. What else stands beside them is left alone."""
    folder = files("bus.ledger") / "migrations" / "versions"
    texts = [item.read_text(encoding="utf-8") for item in folder.iterdir() if item.name.endswith(".sql")]
    names = {"alembic_version"} | {name for text in texts for name in _CREATED.findall(text)}
    found = rows(
        connection,
        """SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
             AND (relname = ANY(%(names)s) OR oid IN (
               SELECT inhrelid FROM pg_inherits JOIN pg_class AS whole ON whole.oid = inhparent
               WHERE whole.relname = ANY(%(names)s)))""",
        {"names": list(names)},
    )
    return {row["relname"] for row in found}


def _has_rows(connection: Connection, table: str) -> bool:
    query = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))
    return connection.execute(query).fetchone() is not None


def _load(connection: Connection, programs: Programs, file: Path) -> None:
    """Run a dump's script: statements as they stand, rows as they stream; what is meant for psql is left out."""
    try:
        with programs.script(file) as script:
            statements: list[bytes] = []
            for line in script:
                if _COPY.fullmatch(line):
                    connection.execute(b"".join(statements))
                    statements = []
                    _copy(connection, line, script)
                elif not line.startswith(_FOR_PSQL):
                    statements.append(line)
            connection.execute(b"".join(statements))
    except psycopg.Error as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise DumpError(f"the server refuses what {file} holds: {lines[0]}") from None
    connection.execute("RESET ALL")


def _copy(connection: Connection, statement: bytes, script: IO[bytes]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in _blocks(takewhile(lambda line: line != _END, script)):
            copy.write(block)


_BLOCK = 1 << 16


def _blocks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines in larger pieces; a row may be a hundred bytes."""
    some, size = [], 0
    for line in lines:
        some.append(line)
        size += len(line)
        if size > _BLOCK:
            yield b"".join(some)
            some, size = [], 0
    yield b"".join(some)


def _noted(connection: Connection, since: datetime, revision: str, what: str, actor: str) -> Restored:
    """A dump by other hands than `bus backup` does not know what is made of it: it is told now."""
    if restored.forgotten(connection) is None:
        restored.mark(connection, since)
        restored.forgotten(connection)
    letters.acted(connection, actor, "restore", what, {"since": since.isoformat(), "revision": revision})
    turned = one(connection, "SELECT count(*) AS n FROM switch")
    return Restored(since, revision, turned["n"] if turned else 0)
