"""`bus import`: bank statements, and tables of counterparties and payments, brought as files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Protocol
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn

from bus import assigning
from bus.cli import screen
from bus.cli.plain import INTERRUPTED, TERMINATED, fail, said, stoppable
from bus.cli.wiring import Wiring, wired
from bus.envelope import AHEAD
from bus.errors import BadInput, BusError
from bus.files import columns
from bus.files.columns import Columns, Table
from bus.files.rows import Told
from bus.files.takers import Batch, Counterparties, Numbered, Payments, Reject
from bus.model import Kind
from bus.systems import bank_statement, sheets

app = typer.Typer(no_args_is_help=True, help="Bring in bank statements, and tables of counterparties or payments.")

_SHOWN = 20
"""So many rejects are listed on the screen; the file has all."""

File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="CSV or XLSX.")]
Source = Annotated[str, typer.Option(help="Whose word it is: a system of bus.yaml of kind events or bank.")]
Map = Annotated[Path | None, typer.Option("--map", exists=True, dir_okay=False, help='YAML: field: "Header".')]
OfSheet = Annotated[str | None, typer.Option("--sheet", help="Sheet of an XLSX; by default the first with a header.")]
AsOf = Annotated[
    datetime | None, typer.Option("--as-of", help="When it was so, UTC; by default when the file was changed.")
]
Size = Annotated[int, typer.Option("--batch", min=1, max=1000, help="Rows committed at a time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and check all of it, publish nothing.")]


@app.command()
def statement(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="kl_to_1c.txt")],
    system: Annotated[str | None, typer.Option(help="The bank; by default the only one of bus.yaml.")] = None,
    *,
    dry_run: DryRun = False,
) -> None:
    """Take a bank statement (1CClientBankExchange 1.01-1.03): money received and given back becomes payments.

    Taken twice, it is known the second time.
    """
    statements = wired(context).statements
    bank = statements.system(system)
    with file.open("rb") as source:
        taken = statements.take(bank, bank_statement.read(source), dry_run=dry_run)
    for line in taken.report():
        typer.echo(line)
    if dry_run:
        typer.echo(
            f"nothing was published; {len(taken.assigned)} payments have their order, {len(taken.asked)} have none"
        )
    if taken.faults:
        raise typer.Exit(1)


@app.command()
def counterparties(
    context: typer.Context,
    file: File,
    source: Source,
    own: Map = None,
    sheet: OfSheet = None,
    as_of: AsOf = None,
    batch: Size = 500,
    *,
    dry_run: DryRun = False,
) -> None:
    """Take a table of counterparties. Rows that name nobody are rejected into FILE.rejects.csv, with the reason."""
    wiring = wired(context)
    told = _told(wiring, source, "counterparty", file, as_of)
    job = _Job(file, "counterparties", own, sheet, batch, dry_run=dry_run)
    job.run(lambda found: Counterparties(wiring.publisher, found, told, dry_run=dry_run))


@app.command()
def payments(
    context: typer.Context,
    file: File,
    source: Source,
    own: Map = None,
    sheet: OfSheet = None,
    as_of: AsOf = None,
    batch: Size = 500,
    *,
    dry_run: DryRun = False,
) -> None:
    """Take a table of payments, each for the order it names, or that it is surely for.

    Rows without a sum or a day are rejected into FILE.rejects.csv, with the reason.
    """
    wiring = wired(context)
    told = _told(wiring, source, "payment", file, as_of)
    job = _Job(file, "payments", own, sheet, batch, dry_run=dry_run)
    with wiring.ledger.alone(assigning.LOCK) as mine:
        if not mine:
            fail("payments are assigned by someone else just now; try again in a moment")
        job.run(lambda found: Payments(wiring.publisher, found, told, wiring.ledger, wiring.config, dry_run=dry_run))


def _told(wiring: Wiring, source: str, kind: Kind, file: Path, as_of: datetime | None) -> Told:
    """Whose word it is and of when. Raises BadInput for a system that may not say it, or a time that is to come."""
    sources = [name for name, system in wiring.file.systems.items() if system.kind in ("events", "bank")]
    if source not in sources:
        known = ", ".join(sources) or "none in bus.yaml"
        raise BadInput(f"--source must name a system of kind events or bank: {known}", field="source")
    if not wiring.config.route(source, kind).inward.creates:
        raise BadInput(
            f"{kind} from {source} is switched off: set routes.{kind}.in of it to full, then import again",
            field="routes",
        )
    at = as_of.replace(tzinfo=UTC) if as_of else datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
    if at > datetime.now(UTC) + AHEAD:
        raise BadInput("it is dated more than a day ahead: look at the clock, or say when it was so with --as-of")
    return Told(source, at, ZoneInfo(wiring.file.systems[source].zone))


class _Taker(Protocol):
    def take(self, some: Sequence[Numbered]) -> Batch: ...


@dataclass(slots=True)
class _Job:
    """One table on its way."""

    file: Path
    table: Table
    own: Path | None
    sheet: str | None
    batch: int
    dry_run: bool
    total: Batch = field(default_factory=Batch)
    rejected: int = 0
    row: int = 0

    def run(self, taker: Callable[[Columns], _Taker]) -> None:
        """Read it to its end, a batch at a time; ends with 1 when rows were rejected."""
        own = columns.load(self.own, self.table) if self.own else {}
        wanted = columns.wanted(self.table, own)
        with sheets.opened(self.file, wanted, self.sheet) as opened:
            found = columns.placed(self.table, opened.header, own)
            rejects = _Rejects(self.file, opened.header)
            with self._told(), stoppable(TERMINATED), _bar() as bar:
                shown = bar.add_task(self.table, total=opened.size, counts="")
                for some in _batches(opened.rows, self.batch):
                    self._count(taker(found).take(some), some, rejects)
                    bar.update(shown, completed=opened.at(), counts=self._counts())
                bar.update(shown, total=opened.size or 1, completed=opened.size or 1)
        self._say(found, rejects)

    def _count(self, done: Batch, some: Sequence[Numbered], rejects: _Rejects) -> None:
        self.total.add(done)
        self.rejected += len(done.rejects)
        rejects.write(done.rejects)
        self.row = some[-1][0]

    def _counts(self) -> str:
        done = f"{self.total.accepted.new} new, {self.total.accepted.known} known"
        return f"{f'{self.total.valid} would be published' if self.dry_run else done}, {self.rejected} rejected"

    def _say(self, found: Columns, rejects: _Rejects) -> None:
        if found.unread:
            typer.echo(f"columns that were not read: {', '.join(found.unread)}", err=True)
        for what, count in self.total.left_out.most_common():
            typer.echo(f"left out in {count} rows: {what}", err=True)
        if self.total.asked:
            typer.echo(f"{self.total.asked} payments wait for a person to say for which order they are", err=True)
        typer.echo(f"{self.total.read} rows: {self._counts()}")
        if self.rejected:
            typer.echo(f"rejected rows with their reasons: {rejects.path}", err=True)
            raise typer.Exit(1)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """An interruption is said with what was reached; what was published is known when it is run again."""
        reached = "stopped after row {} ({}); run it again: what was published is known"
        try:
            yield
        except KeyboardInterrupt:
            fail(reached.format(self.row, self._counts()), INTERRUPTED)
        except BusError as error:
            fail(f"{said(error)}\n{reached.format(self.row, self._counts())}")


class _Rejects:
    """Where rejects go: the first to the screen, all to FILE.rejects.csv, made when there is one, as Excel opens it."""

    def __init__(self, file: Path, header: Sequence[str]) -> None:
        self.path = file.with_name(f"{file.name}.rejects.csv")
        self._header, self._listed = header, 0
        self._console: Console = screen.err()
        self.path.unlink(missing_ok=True)

    def write(self, rejects: Sequence[Reject]) -> None:
        """List them and keep them."""
        for reject in rejects:
            self._listed += 1
            if self._listed <= _SHOWN:
                self._console.print(f"row {reject.row[0]}: {reject.reason}")
        if not rejects:
            return
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8-sig" if new else "utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            if new:
                writer.writerow(["row", "reason", *self._header])
            writer.writerows([reject.row[0], reject.reason, *reject.row[1]] for reject in rejects)


def _bar() -> Progress:
    return Progress(
        "{task.description}", BarColumn(), TaskProgressColumn(), "{task.fields[counts]}", console=screen.err()
    )


def _batches(rows: Iterator[Numbered], size: int) -> Iterator[list[Numbered]]:
    while some := list(islice(rows, size)):
        yield some
