"""The screen: tables on stdout for people and for grep, progress and complaints on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bus.model import Json

_PIPED = 200
"""Columns where there is no terminal: wide enough to keep a line a line."""


def out() -> Console:
    """Where answers go."""
    return Console(width=None if sys.stdout.isatty() else _PIPED, markup=False, highlight=False)


def err() -> Console:
    """Where progress and complaints go."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else _PIPED, markup=False, highlight=False)


def progress(*columns: str) -> Progress:
    """A progress bar on stderr; `columns` are added at its end. It leaves nothing in a pipe but its last state."""
    parts = (BarColumn(), MofNCompleteColumn(), *(TextColumn(column) for column in columns), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *parts, console=err())


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *, empty: str = "nothing") -> None:
    """Print a table; a cell is never cut, an empty table is one sentence."""
    out().print(drawn(title, columns, rows, empty=empty))


def drawn(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *, empty: str = "nothing"
) -> Table | Text:
    """A table to print, once or over and over."""
    lines = [[cell(value) for value in row] for row in rows]
    if not lines:
        return Text(f"{title}: {empty}")
    made = Table(title=title, title_justify="left")
    for name in columns:
        made.add_column(name, overflow="fold")
    for line in lines:
        made.add_row(*line)
    return made


def cell(value: object) -> Text:
    """A value as a person reads it."""
    if isinstance(value, bool):
        return Text("ok", style="green") if value else Text("no", style="bold red")
    return Text(plain(value))


def plain(value: object) -> str:
    """A value as text: times to the second in UTC, JSON compact, nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def as_json(document: Json) -> None:
    """Print a document for programs."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, default=_jsonable) + "\n")


def _jsonable(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def age(seconds: float | None) -> str:
    """How long something has waited."""
    if seconds is None:
        return ""
    whole = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= size:
            return f"{whole / size:.1f} {unit}"
    return f"{whole} s"
