"""Watched folders: a file that is complete is taken once, and put away under the day it was taken.

A file is complete when it has not changed between two looks. It is taken by giving it a hidden name first: what the
bank then writes under the old name is another file. Whoever dies half way leaves the hidden name, and the next look
takes it up again; what was published is known. Nothing is ever deleted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import structlog

from bus.errors import POISON, BadInput

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

TAKEN = ".taken-"
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
_SETTLED = timedelta(seconds=2)
"""Whoever writes a file does not pause for so long."""
_DONE, _BAD = "done", "bad"
_LONGEST, _LONGEST_SUFFIX = 180, 10
"""Of a name that are kept: file systems take 255 bytes, with what is put around it."""


class Kept(Exception):
    """The file was read, and is to be kept among the bad ones nevertheless: with these lines as the reason."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


Read = Callable[[BinaryIO], list[str]]
"""Takes a file; what is to be kept beside it for a person. Raises Kept or BadInput for one that needs a person."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A file as it was seen, and since when it has been so."""

    size: int
    changed_ns: tuple[int, int]
    since: datetime

    def same(self, other: _Look | None) -> bool:
        """Has nothing happened to it?"""
        return other is not None and (self.size, self.changed_ns) == (other.size, other.changed_ns)


class Folder:
    """One folder and what was seen in it; one object lives as long as its process, and looks again and again."""

    def __init__(self, system: str, path: Path) -> None:
        self.system, self._path = system, path
        self._seen: dict[str, _Look] = {}

    def sweep(self, read: Read, now: datetime) -> dict[str, int]:
        """Take every file that is complete. Only one may do so at a time for one folder: the caller holds a lock.

        Raises OSError, and what `read` raises for other reasons than the file; that file is taken up by the next sweep.
        """
        counts = {_DONE: 0, _BAD: 0}
        for name in self._complete(now):
            counts[self._put_away(self._take(name), read, now)] += 1
        return counts

    def _complete(self, now: datetime) -> list[str]:
        """Names that were left half way, then files that have not changed for long enough, the oldest first."""
        before, self._seen = self._seen, {}
        for name, look in self._look(now):
            known = before.get(name)
            self._seen[name] = known if known and look.same(known) else look
        still = [name for name, look in self._seen.items() if name.startswith(TAKEN) or now - look.since >= _SETTLED]
        return sorted(still, key=lambda name: (not name.startswith(TAKEN), self._seen[name].changed_ns, name))

    def _look(self, now: datetime) -> Iterator[tuple[str, _Look]]:
        """Plain files that are meant for us: hidden by nobody but us, and not still being written, by their name."""
        with os.scandir(self._path) as entries:
            for entry in entries:
                name = entry.name
                hidden = name.startswith((".", "~")) and not name.startswith(TAKEN)
                if hidden or name.lower().endswith(_UNFINISHED):
                    continue
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield name, _Look(found.st_size, (found.st_mtime_ns, found.st_ctime_ns), now)

    def _take(self, name: str) -> Path:
        path = self._path / name
        self._seen.pop(name, None)
        return path if name.startswith(TAKEN) else path.rename(_free(self._path / f"{TAKEN}{_short(name)}"))

    def _put_away(self, path: Path, read: Read, now: datetime) -> str:
        """Read a file and put it where it belongs. Returns which that is."""
        where, notes = _read(path, read)
        name = _short(path.name.removeprefix(TAKEN))
        folder = self._path / where
        folder.mkdir(exist_ok=True)
        kept = _free(folder / (f"{now:%Y%m%d-%H%M%S}-{name}" if where == _DONE else name))
        beside = kept.with_name(f"{kept.name}.{'report' if where == _DONE else 'reason'}.txt")
        beside.write_text("\n".join(notes) + "\n", encoding="utf-8")
        path.rename(kept)
        say = log.info if where == _DONE else log.error
        say(f"folder.{where}", system=self.system, file=kept.name, lines=len(notes))
        return where


def _read(path: Path, read: Read) -> tuple[str, list[str]]:
    """Where the file belongs, and what a person is to know of it."""
    try:
        source = path.open("rb")
    except PermissionError:
        return _BAD, ["the bus may not read this file: let it, and put the file back"]
    try:
        with source:
            return _DONE, read(source)
    except Kept as kept:
        return _BAD, kept.lines
    except BadInput as error:
        return _BAD, [str(error)]
    except POISON as error:
        log.exception("folder.unforeseen", why=type(error).__name__)
        return _BAD, [
            f"nobody foresaw a file like this ({type(error).__name__}); the log has the place, please report it"
        ]


def _short(name: str) -> str:
    """The name; of one that is too long to be put under a longer one the end of its stem is left out."""
    if len(os.fsencode(name)) <= _LONGEST:
        return name
    path = Path(name)
    return os.fsencode(path.stem)[:_LONGEST].decode(errors="ignore") + path.suffix[:_LONGEST_SUFFIX]


def _free(path: Path) -> Path:
    """The path, or one beside it that is free. Who asks is the only one who makes files there."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
