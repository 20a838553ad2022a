"""`bus reconcile`, `bus runs`: ask every system what it holds, and what earlier runs found."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bus import reconcile
from bus.cli import screen
from bus.cli.plain import TERMINATED, fail, stoppable
from bus.cli.wiring import wired
from bus.errors import BadInput
from bus.ledger import restored
from bus.ledger.database import Row, one

_COUNTS = ("records", "missed", "healed", "waiting", "unreadable")
_REPORT = ("system", "records", "sum", "missed", "healed", "waiting", "unreadable", "error")


def run(
    context: typer.Context,
    *,
    full: Annotated[bool, typer.Option("--full", help="From the beginning, not since the last run.")] = False,
) -> None:
    """Ask every system what it holds, and heal what no event told us of."""
    wiring = wired(context)
    with stoppable(TERMINATED), screen.err().status("reconciling; Ctrl-C is safe"):
        report = wiring.reconcile.run(full=full)
    if report is None:
        fail("another run is under way; see `bus runs`")
    _show("reconcile", report)
    if any(system["error"] for system in report["systems"]):
        raise typer.Exit(1)
    if wiring.ledger.run(restored.since):
        fail(f"this ledger was restored and is held: {restored.WHY}")


def runs(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(metavar="ID", help="Number of a run: what it found.")] = None,
) -> None:
    """List the last reconciliation runs, or show one of them with what it found."""
    with wired(context).ledger.transaction() as connection:
        if number is None:
            names = ("id", "started", "finished", "full", *_COUNTS, "errors")
            screen.table("runs", names, [_line(row) for row in reconcile.latest(connection)])
            return
        row = one(connection, "SELECT * FROM run WHERE id = %s AND what = 'reconcile'", [number])
        drifts = reconcile.drifts_of(connection, number)
    if row is None:
        raise BadInput(f"there is no run {number}", field="id")
    _show(f"run {number} at {screen.plain(row['started_at'])} UTC", row["report"])
    drift = ("system", "subject", "field", "cause", "healing", "entity_id")
    screen.table("drift", drift, [[found[name] for name in drift] for found in drifts])


def _show(title: str, report: dict[str, Any]) -> None:
    lines = [[system.get(name) for name in _REPORT] for system in report.get("systems", ())]
    screen.table(title, _REPORT, lines)


def _line(row: Row) -> list[object]:
    systems = row["report"].get("systems", [])
    sums = [sum(system.get(name, 0) for system in systems) for name in _COUNTS]
    errors = ", ".join(system["system"] for system in systems if system["error"])
    full = "yes" if row["report"].get("full") else ""
    return [row["id"], row["started_at"], row["finished_at"], full, *sums, errors]
