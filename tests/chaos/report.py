"""The report of a run: a plain table, what is wrong in sentences, and one line of JSON last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

_LISTED = 8
"""Of each kind of what is wrong."""


@dataclass(slots=True)
class Figures:
    """The numbers of the last line, in its order, and what is told besides."""

    seed: int
    minutes: float
    ok: bool = False
    kills: int = 0
    not_back: int = 0
    """Processes that were not started again after they had died."""
    upgraded_from: str | None = None
    """The commit of the release before; None: this checkout has no history, and the upgrade began with itself."""
    faults: int = 0
    events: int = 0
    orders: int = 0
    payments: int = 0
    counterparties: int = 0
    lost: int = 0
    doubled: int = 0
    differ: int = 0
    unexplained_writes: int = 0
    writes: int = 0
    writes_before_upgrade: int = 0
    answers_lost: int = 0
    writes_while_quiet: int = 0
    leaks: int = 0
    dead_letters: int = 0
    payment_s_p50: float | None = None
    payment_s_p99: float | None = None
    payment_s_longest: float | None = None
    recovery_s_median: float | None = None
    recovery_s_worst: float | None = None
    rest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """Everything that makes it red, in sentences."""

    def line(self) -> str:
        """One JSON object."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__ if name != "wrong"})


def begun_with(commit: str | None) -> str:
    """What an upgrade begins with, for a person."""
    return f"the release before, {commit[:12]}" if commit else "the same release: no history here, no honest upgrade"


def kills_table(kills: Counter[str], crashes: Counter[str]) -> Table:
    """Who was killed how often; and at which crash points."""
    made = _table(f"{sum(kills.values())} kills", "killed (SIGKILL)", "times")
    _add(made, kills)
    _add(made, {f"of these, exactly at {name}": count for name, count in crashes.items()})
    return made


def faults_table(faults: Counter[str], storm: Counter[str]) -> Table:
    """What was broken how often; and what the stand-ins did by themselves."""
    made = _table(f"{sum(faults.values())} faults, and the stand-ins' own", "broken", "times")
    _add(made, faults)
    _add(made, {f"stand-in: {name}": count for name, count in storm.items()})
    return made


def recovery_table(rows: list[tuple[str, int, float, float]]) -> Table:
    """From the end of a fault until due work of the kind it hit flows again."""
    made = _table("Time until due work flowed again", "after", "measured", "median s", "worst s")
    for kind, count, median, worst in rows:
        made.add_row(kind, str(count), f"{median:.1f}", f"{worst:.1f}")
    return made


def _table(title: str, *heads: str) -> Table:
    """Names in the first column, figures in the others."""
    made = Table(*heads, title=title)
    for column in made.columns[1:]:
        column.justify = "right"
    return made


def _add(made: Table, counted: Mapping[str, int]) -> None:
    """A section of its own, by name."""
    made.add_section()
    for name, count in sorted(counted.items()):
        made.add_row(name, str(count))


def tell(console: Console, figures: Figures) -> None:
    """The main figures, and what is wrong."""
    made = _table("Asked of the stand-ins themselves", "", "")
    shown = {
        "kills": figures.kills,
        "of these, not started again": figures.not_back,
        "upgraded from": begun_with(figures.upgraded_from),
        "faults": figures.faults,
        "events": figures.events,
        "orders": figures.orders,
        "payments": figures.payments,
        "counterparties": figures.counterparties,
        "lost": figures.lost,
        "doubled": figures.doubled,
        "records that differ": figures.differ,
        "writes": figures.writes,
        "of these, not noted by the release before the upgrade": figures.writes_before_upgrade,
        "of these, answer lost in a fault": figures.answers_lost,
        "unexplained writes": figures.unexplained_writes,
        "writes while quiet": figures.writes_while_quiet,
        "leaks": figures.leaks,
        "dead letters": figures.dead_letters,
        "payment until visible, s: half, 99 %, longest": " ".join(
            "-" if value is None else f"{value:.1f}"
            for value in (figures.payment_s_p50, figures.payment_s_p99, figures.payment_s_longest)
        ),
        "came to rest after the last fault, s": f"{figures.rest_s:.1f}",
    }
    for name, value in shown.items():
        made.add_row(name, str(value))
    console.print(made)
    told: Counter[str] = Counter()
    for sentence in figures.wrong:
        kind = sentence.partition(":")[0]
        told[kind] += 1
        if told[kind] <= _LISTED:
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    for kind, count in told.items():
        if count > _LISTED:
            console.print(f"{kind}: and {count - _LISTED} more")
