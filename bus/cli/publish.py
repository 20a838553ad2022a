"""`bus publish`: a file of events, a batch at a time, going on where an interrupted run stopped."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import psycopg
import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TimeRemainingColumn

from bus.cli import screen, tape
from bus.cli.plain import INTERRUPTED, TERMINATED, fail, said, stoppable
from bus.cli.rejects import Reject, Rejects, unstorable
from bus.cli.tape import Line, Position, Tape
from bus.cli.wiring import Intake, Wiring, wired
from bus.envelope import Event, parse, timely
from bus.errors import BadInput, BusError
from bus.intake import strict_json
from bus.ports import Accepted
from bus.publisher import known_source

_STDIN = Path("-")


def publish(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One event a line; - reads stdin.")],
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Events committed at a time.")] = 500,
    *,
    restart: Annotated[
        bool, typer.Option("--restart", help="From the first line, whatever an earlier run did.")
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Where rejected lines go; by default beside FILE, *.rejects.jsonl."),
    ] = None,
) -> None:
    """Publish a file of events. Lines that are no events are listed and kept, the others go in.

    Interrupted, the same command goes on after the last committed batch (FILE.position remembers it).
    """
    wiring = wired(context)
    if file == _STDIN:
        _publish(wiring, Job.of_stdin(wiring, rejects), batch)
        return
    if rejects and rejects.resolve() == file.resolve():
        raise typer.BadParameter("--rejects is the very file that is read")
    with file.open("rb") as source:
        _publish(wiring, Job.of_file(wiring, file, source, rejects, restart=restart), batch)


@dataclass(slots=True)
class Job:
    """One file on its way."""

    tape: Tape
    rejects: Rejects
    position: Position
    bar: Progress
    size: int | None = None
    side: Path | None = None
    """Where the position is kept."""

    @classmethod
    def of_stdin(cls, wiring: Wiring, rejects: Path | None) -> Job:
        """What comes in a pipe: it cannot be wound back, so nothing is remembered."""
        bar = _bar()
        reader = Tape(sys.stdin.buffer, wiring.file.limits.body_bytes)
        return cls(reader, Rejects(rejects, bar.console), Position(), bar)

    @classmethod
    def of_file(cls, wiring: Wiring, file: Path, source: BinaryIO, rejects: Path | None, *, restart: bool) -> Job:
        """A file, from where an earlier run stopped. Raises BadInput when it is not the file that it was then."""
        side = file.with_name(file.name + ".position")
        position = Position() if restart else tape.load(side)
        reader = Tape(source, wiring.file.limits.body_bytes)
        if not reader.wind(position):
            raise BadInput(f"{file} is not the file that was published up to line {position.lines}; use --restart")
        bar = _bar()
        kept = Rejects(rejects or file.with_suffix(".rejects.jsonl"), bar.console, keep_bytes=position.rejects_bytes)
        return cls(reader, kept, position, bar, file.stat().st_size, side)

    def committed(self, accepted: Accepted, rejects: list[Reject]) -> None:
        """A batch is in: keep its rejects, then remember that it is done."""
        self.rejects.write(rejects)
        self.position = Position(
            offset=self.tape.offset,
            lines=self.tape.number,
            head=self.tape.head,
            new=self.position.new + accepted.new,
            known=self.position.known + accepted.known,
            rejected=self.position.rejected + len(rejects),
            rejects_bytes=self.rejects.bytes,
        )
        if self.side:
            tape.save(self.side, self.position)

    def finished(self) -> None:
        """All of it is in: a later run begins at the beginning, where everything is known."""
        if self.side:
            self.side.unlink(missing_ok=True)

    @property
    def counts(self) -> str:
        """For a person."""
        return f"{self.position.new} new, {self.position.known} known, {self.position.rejected} rejected"

    @property
    def way_on(self) -> str:
        """What to do after an interruption."""
        return "the same command goes on from there" if self.side else "what was published once is known next time"


def _bar() -> Progress:
    columns = (BarColumn(), TaskProgressColumn(), "{task.fields[counts]}", TimeRemainingColumn())
    return Progress("{task.description}", *columns, console=screen.err())


def _publish(wiring: Wiring, job: Job, batch: int) -> None:
    if job.position.lines:
        job.bar.console.print(f"going on after line {job.position.lines}")
    with _told(job), stoppable(TERMINATED), job.bar:
        shown = job.bar.add_task("publishing", total=job.size, completed=job.position.offset, counts=job.counts)
        for lines in _batches(job.tape.lines(), batch):
            job.committed(*_take(wiring.publisher, lines, wiring.file.systems))
            _advance(job, shown)
        job.finished()
    typer.echo(f"{job.position.lines} lines: {job.counts}")
    if job.position.rejected:
        raise typer.Exit(1)


def _advance(job: Job, shown: TaskID) -> None:
    job.bar.update(shown, completed=job.position.offset, counts=job.counts)


@contextmanager
def _told(job: Job) -> Iterator[None]:
    """An interruption is said with what was reached and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"stopped after line {job.position.lines} ({job.counts}); {job.way_on}", INTERRUPTED)
    except BusError as error:
        fail(f"{said(error)}\nstopped after line {job.position.lines} ({job.counts}); {job.way_on}")


def _batches(lines: Iterator[Line], size: int) -> Iterator[list[Line]]:
    while some := list(islice(lines, size)):
        yield some


def _take(publisher: Intake, lines: Iterable[Line], systems: Collection[str]) -> tuple[Accepted, list[Reject]]:
    """Publish those lines that are events. What came of it, and the others with the reason, in their order."""
    events: list[tuple[Line, Event]] = []
    rejects: list[Reject] = []
    for line in lines:
        try:
            event = _event(line, systems)
        except BusError as error:
            rejects.append(Reject(line, str(error)))
            continue
        if event:
            events.append((line, event))
    accepted, unstored = _hand_in(publisher, events)
    return accepted, sorted(rejects + unstored, key=lambda reject: reject.line.number)


def _event(line: Line, systems: Collection[str]) -> Event | None:
    """The event of a line, None for an empty one. Raises BadInput that names the field."""
    if line.too_long:
        raise BadInput("longer than an event may be (limits.body_bytes); one event stands on each line")
    try:
        text = line.content.decode("utf-8-sig" if line.number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise BadInput("not UTF-8") from None
    if not text.strip():
        return None
    document = strict_json.loads(text)
    if not isinstance(document, dict):
        raise BadInput("not an object; one event stands on each line")
    event = parse(document)
    known_source(event, systems)
    return timely(event, datetime.now(UTC))


def _hand_in(publisher: Intake, events: list[tuple[Line, Event]]) -> tuple[Accepted, list[Reject]]:
    """Publish events at once; one that the ledger cannot store is looked for by halves, and the others go in."""
    if not events:
        return Accepted(0, 0), []
    try:
        return publisher.publish([event for _, event in events]), []
    except psycopg.DataError as error:
        if len(events) == 1:
            return Accepted(0, 0), [unstorable(events[0][0], error)]
    middle = len(events) // 2
    (first, refused), (second, refused_too) = (_hand_in(publisher, half) for half in (events[:middle], events[middle:]))
    return Accepted(first.new + second.new, first.known + second.known), refused + refused_too
