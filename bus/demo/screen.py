"""Screen: bars per entity and a line per lane while the day goes by; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from bus.demo.scenario import EDITS, PAYS, Day
from bus.ledger import deliveries
from bus.ledger.database import Ledger
from bus.supervise.control import Control

_ROWS: dict[str, tuple[str, ...]] = {
    "orders": ("order",),
    "deals moved": ("move",),
    "payments": PAYS,
    "cancellations": ("cancel",),
    "refunds": ("refund",),
    "edits": EDITS,
}
_LINE_S, _LANES_S = 5.0, 0.5


class Screen:
    """What people see. `show` may be called as often as one likes."""

    def __init__(self, console: Console, day: Day, ledger: Ledger, systems: Mapping[str, Control]) -> None:
        self._console, self._ledger, self._systems = console, ledger, systems
        self._totals = {name: day.count(*kinds) for name, kinds in _ROWS.items()}
        columns = (TextColumn("{task.description:<14}"), BarColumn(40), MofNCompleteColumn())
        self._progress = Progress(*columns, console=console, auto_refresh=False)
        self._tasks = {name: self._progress.add_task(name, total=total) for name, total in self._totals.items()}
        self._lanes, self._said, self._looked = "", time.monotonic(), 0.0
        self._live: Live | None = None
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = self._exits.enter_context(Live(console=self._console, auto_refresh=False))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def show(self, done: Counter[str], *, force: bool = False) -> None:
        """Bring it up to date."""
        counts = {name: sum(done[kind] for kind in kinds) for name, kinds in _ROWS.items()}
        now = time.monotonic()
        if self._live:
            self._refresh_lanes(now)
            for name, count in counts.items():
                self._progress.update(self._tasks[name], completed=count)
            self._live.update(Group(self._progress.get_renderable(), Text(self._lanes)), refresh=True)
        elif force or now - self._said >= _LINE_S:
            self._said = now
            self._refresh_lanes(now)
            self._console.print(
                "  ".join(f"{name} {count}/{self._totals[name]}" for name, count in counts.items()), soft_wrap=True
            )
            self._console.print(self._lanes, highlight=False, soft_wrap=True)

    def _refresh_lanes(self, now: float) -> None:
        if now - self._looked < _LANES_S:
            return
        self._looked = now
        with self._ledger.transaction() as connection:
            lanes = {row["system"]: row for row in deliveries.lanes(connection)}
        self._lanes = "\n".join(self._lane(name, lanes.get(name, {})) for name in self._systems)

    def _lane(self, name: str, row: Mapping[str, float | None]) -> str:
        requests = self._systems[name].get("calls/summary")["requests"]
        due, flying, oldest = (row.get(key) or 0 for key in ("due", "in_flight", "oldest_s"))
        return f"  lane {name:<5} due {due:>4}  in flight {flying:>3}  requests {requests:>5}  oldest {oldest:5.1f} s"
