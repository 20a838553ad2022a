"""`bus dead-letters`: what needs a person; looked at, sent again one by one or a whole cause at a rate, or ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from getpass import getuser
from typing import Annotated

import typer

from bus.cli import screen
from bus.cli.plain import INTERRUPTED, TERMINATED, fail, stoppable
from bus.cli.wiring import wired
from bus.deadletters import DeadLetters

app = typer.Typer(no_args_is_help=True, help="What needs a person: look at it, send it again, or end it.")


def who() -> str:
    """Who sits at the keyboard; a container may have a user without a name."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


Actor = Annotated[str, typer.Option(default_factory=who, show_default="your user", help="Who does this.")]
Id = Annotated[int, typer.Argument(metavar="ID", help="Number of the dead letter.")]
Cause = Annotated[str | None, typer.Option(help="Only those of this cause, as `list` writes it.")]

_MOST = 100_000
_SHOWN = 20
_NOT_OPEN = "not open any more, or unreadable (publish a corrected one instead)"


@app.command("list")
def show_all(
    context: typer.Context,
    cause: Cause = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Ended ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 200,
) -> None:
    """List dead letters, the newest trouble first."""
    found = wired(context).dead_letters.listing(cause=cause, state=None if all_ else "open", limit=limit + 1)
    names = ("id", "state", "system", "cause", "reason", "attempts", "last_at")
    lines = [[row[name] for name in names] for row in found[:limit]]
    screen.table("dead letters", names, lines, empty="none is open" if not all_ else "none")
    if len(found) > limit:
        screen.err().print(f"there are more than {limit}; see more with --limit, or one cause with --cause")


@app.command()
def show(context: typer.Context, letter: Id) -> None:
    """Show one dead letter whole: what was sent, what was answered, and what to do."""
    row = wired(context).dead_letters.show(letter)
    screen.table(f"dead letter {letter}", ("", ""), [(name, value) for name, value in row.items() if value is not None])


@app.command()
def retry(
    context: typer.Context,
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID", help="Numbers of dead letters.")] = None,
    cause: Annotated[str | None, typer.Option(help="All that are open with this cause.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="With --cause: at most so many a second.")] = None,
    *,
    actor: Actor,
) -> None:
    """Send dead letters again, translated anew with today's tables. Ctrl-C stops after the one in hand."""
    if bool(ids) == bool(cause):
        raise typer.BadParameter("give either numbers of dead letters or --cause")
    letters = wired(context).dead_letters
    if cause:
        _retry_cause(letters, cause, actor, rate)
        return
    retried = letters.retry(ids or [], actor)
    _done("sent again", len(retried.sent), len(set(ids or [])), retried.left)


@app.command()
def discard(
    context: typer.Context,
    ids: Annotated[list[int], typer.Argument(metavar="ID", help="Numbers of dead letters.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the letter.")],
    *,
    actor: Actor,
) -> None:
    """End dead letters for good, with a reason. The record of them is kept."""
    _done("discarded", wired(context).dead_letters.discard(ids, actor, reason), len(set(ids)), {})


def _done(what: str, done: int, asked: int, left: dict[int, str]) -> None:
    typer.echo(f"{done} {what}")
    missing = asked - done - len(left)
    _told([*_lines(left), *([f"{missing} not: no such number, {_NOT_OPEN}"] if missing else [])])


def _told(lines: list[str]) -> None:
    """End as failed where there is something to say."""
    if lines:
        fail("\n".join(lines))


def _lines(left: dict[int, str]) -> list[str]:
    """Those that stay open, and why: the first of them, where there are many."""
    lines = [f"{letter} is left: {reason}" for letter, reason in list(left.items())[:_SHOWN]]
    more = len(left) - _SHOWN
    return [*lines, f"and {more} more: see `bus dead-letters list`"] if more > 0 else lines


def _retry_cause(letters: DeadLetters, cause: str, actor: str, rate: float | None) -> None:
    total = len(letters.listing(cause=cause, limit=_MOST))
    if not total:
        fail(f"no dead letter is open with the cause {cause!r}; see `bus dead-letters list`")
    sent = 0
    left: dict[int, str] = {}
    try:
        with stoppable(TERMINATED), screen.progress() as bar:
            task = bar.add_task("sent again", total=total)
            for retried in letters.retry_cause(cause, actor, pace=every(1 / rate) if rate else _at_once):
                sent += len(retried.sent)
                left |= retried.left
                bar.update(task, completed=sent)
    except KeyboardInterrupt:
        still = len(letters.listing(cause=cause, limit=_MOST))  # the ledger knows of the one that was in hand
        stopped = f"stopped: {total - still} sent again, {still} left as they were"
        fail("\n".join([*_lines(left), stopped]), INTERRUPTED)
    typer.echo(f"{sent} of {total} sent again")
    missing = total - sent - len(left)
    _told([*_lines(left), *([f"{missing} not: {_NOT_OPEN}"] if missing > 0 else [])])


def _at_once() -> None:
    """No pause."""


def every(
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[], None]:
    """A pace: returns at most once in so many seconds; time that the work took counts."""
    due = clock()

    def pace() -> None:
        nonlocal due
        if (early := due - clock()) > 0:
            sleep(early)
        due = max(due, clock()) + seconds

    return pace
