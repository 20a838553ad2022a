"""Rejects: lines that could not be published, listed for a person and kept for another try."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console

from bus.cli.tape import Line

_SHOWN = 20
"""So many are listed on the screen; the file has all."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A line and why it was not taken."""

    line: Line
    reason: str

    @property
    def document(self) -> dict[str, object]:
        """As it is kept."""
        original = self.line.content.decode("utf-8-sig", errors="replace").rstrip("\r\n")
        return {"line": self.line.number, "reason": self.reason, "original": original}


class Rejects:
    """Where rejects go: the first of them to the screen, all of them to a file, which is made when there is one."""

    def __init__(self, path: Path | None, console: Console, *, keep_bytes: int = 0) -> None:
        self._path, self._console, self._listed = path, console, 0
        self.bytes = keep_bytes
        if path and path.exists():
            self._cut(path, keep_bytes)

    def write(self, rejects: Sequence[Reject]) -> None:
        """List them and keep them."""
        for reject in rejects:
            self._list(reject)
        if self._path and rejects:
            lines = "".join(json.dumps(reject.document, ensure_ascii=False) + "\n" for reject in rejects).encode()
            with self._path.open("ab") as file:
                file.write(lines)
            self.bytes += len(lines)

    def _list(self, reject: Reject) -> None:
        self._listed += 1
        if self._path is None or self._listed <= _SHOWN:
            self._console.print(f"line {reject.line.number}: {reject.reason}")
        elif self._listed == _SHOWN + 1:
            self._console.print(f"more rejects are in {self._path}")

    @staticmethod
    def _cut(path: Path, size: int) -> None:
        if size == 0:
            path.unlink()
            return
        with path.open("r+b") as file:
            file.truncate(size)


def unstorable(line: Line, error: psycopg.DataError) -> Reject:
    """A line that is a good event to us, and holds what PostgreSQL cannot."""
    return Reject(line, f"the ledger cannot store it: {error.diag.message_primary or type(error).__name__}")
