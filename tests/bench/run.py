"""A run of benches: what a bench is given, what is printed, and where the results go."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Figure
from tests.bench.house import ROOT

RESULTS = ROOT / "build" / "bench"
CHARTS = ROOT / "docs" / "bench"

ALL = ("drain", "payment", "throughput", "intake", "recovery", "counterparties", "footprint")
"""What `make bench` runs, in this order; growth and ten_thousand take longer and are asked for by name."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a bench is given."""

    scale: float = 1.0
    """1.0 is the bench as it is published; less of everything for a try."""
    charts: Path = CHARTS

    def say(self, text: str) -> None:
        """Tell of progress."""
        sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {text}\n")
        sys.stderr.flush()

    def some(self, full: int, least: int = 1) -> int:
        """So many at this scale."""
        return max(least, round(full * self.scale))


Bench = Callable[[Run], Iterator[Figure]]


def main(names: list[str], scale: float) -> int:
    """Run benches one after another, print the table and the lines. 1 when one failed to run."""
    # Charts in docs/ show whole runs only.
    run = Run(scale, CHARTS if scale == 1.0 else RESULTS)
    for folder in (RESULTS, run.charts):
        folder.mkdir(parents=True, exist_ok=True)
    found = [machine()]
    failed = []
    for name in names:
        begun = time.monotonic()
        try:
            figures = _measured(name, run)
        except Exception:  # noqa: BLE001 - the other benches still run; the exit code tells
            traceback.print_exc()
            failed.append(name)
            continue
        run.say(f"{name} took {time.monotonic() - begun:.0f} s")
        lines = [figure.line() for figure in [found[0], *figures]]
        (RESULTS / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        found += figures
    _print(found, failed, scale)
    return 1 if failed else 0


def machine() -> Figure:
    """Where and when the figures were taken."""
    more = {
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}Z",
        "cpu": _processor(),
        "load": round(os.getloadavg()[0], 2),
    }
    return Figure("machine", os.cpu_count() or 0, "cores", more=more)


def _measured(name: str, run: Run) -> list[Figure]:
    module = import_module(f"tests.bench.{name}")
    run.say(f"{name}: {module.TITLE}")
    bench: Bench = module.bench
    figures = []
    for figure in bench(run):
        run.say(figure.line())
        figures.append(figure)
    return figures


def _print(figures: list[Figure], failed: list[str], scale: float) -> None:
    table = Table(title="make bench" if scale == 1.0 else f"make bench, scale {scale}: a try, no result")
    for heading in ("bench", "value", "unit", "ratio", "against, note"):
        table.add_column(heading, justify="right" if heading in ("value", "ratio") else "left", overflow="fold")
    for figure in figures:
        said = json.loads(figure.line())
        words = "; ".join(part for part in (said["against"], said.get("note")) if part)
        cells = ["" if said[key] is None else str(said[key]) for key in ("bench", "value", "unit", "ratio")]
        table.add_row(*cells, words)
    for name in failed:
        table.add_row(name, "", "failed", "", "see above")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    sys.stdout.writelines(f"{figure.line()}\n" for figure in figures)


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
