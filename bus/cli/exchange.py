"""`bus exchange`: files that a 1C sent as to a site: what became of them, read once more, or saved to look into."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bus.cli import screen
from bus.cli.letters import Actor
from bus.cli.plain import fail
from bus.cli.wiring import Wiring, wired
from bus.errors import BadInput
from bus.importing import TASK
from bus.ledger import exchange, letters
from bus.ledger.exchange import File

app = typer.Typer(no_args_is_help=True, help="Files that a 1C sent as to a site.")

Id = Annotated[int, typer.Argument(metavar="ID", help="Number of the file.")]


@app.command("list")
def show_all(
    context: typer.Context,
    system: Annotated[str | None, typer.Option(help="Only those of this 1C.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only these: receiving, waiting, importing, done, failed, aside.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
) -> None:
    """List files, the newest first."""
    with wired(context).ledger.transaction() as connection:
        found = exchange.listing(connection, system=system, state=state, limit=limit)
    names = ("id", "state", "system", "type", "name", "bytes", "documents", "new", "unread", "received")
    screen.table("files", names, [_line(file) for file in found], empty="none")


@app.command()
def show(context: typer.Context, file: Id) -> None:
    """Show one file: what it came to, and why it failed."""
    found = _found(wired(context), file)
    place = found.place
    lines: list[tuple[str, object]] = [
        ("state", found.state),
        ("system", place.system),
        ("type", place.type),
        ("name", place.name),
        ("profile", found.profile),
        ("bytes", found.bytes),
        ("received", found.created_at),
        ("error", found.error),
        *found.report.items(),
    ]
    lines = [(name, value) for name, value in lines if value not in (None, [], {})]
    screen.table(f"file {file}", ("", ""), lines)


@app.command()
def replay(
    context: typer.Context,
    files: Annotated[list[int], typer.Argument(metavar="ID", help="Numbers of files.")],
    *,
    actor: Actor,
) -> None:
    """Read files once more, as of when they came: what was said since then stands."""
    wiring = wired(context)
    with wiring.ledger.transaction() as connection:
        done = [file for file in sorted(set(files)) if exchange.replay(connection, file)]
        for file in done:
            letters.acted(connection, actor, "replay", f"exchange file {file}")
    wiring.bells.chore(TASK)
    typer.echo(f"{len(done)} to be read once more")
    if left := sorted(set(files) - set(done)):
        fail(f"not: {', '.join(map(str, left))}: no such file, or it is waiting or being read already")


@app.command()
def save(
    context: typer.Context,
    file: Id,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; it must not be there yet.")],
) -> None:
    """Write a file as it came, for `bus inspect` or an editor. It holds personal data: delete it afterwards."""
    wiring, n = wired(context), 0
    _found(wiring, file)
    with path.open("xb") as out:
        while (body := _chunk(wiring, file, n)) is not None:
            out.write(body)
            n += 1
    typer.echo(f"{path.stat().st_size} bytes written")


def _found(wiring: Wiring, file: int) -> File:
    with wiring.ledger.transaction() as connection:
        found = exchange.get(connection, file)
    if found is None:
        raise BadInput(f"there is no file {file}; see `bus exchange list`", field="id")
    return found


def _chunk(wiring: Wiring, file: int, n: int) -> bytes | None:
    with wiring.ledger.transaction() as connection:
        return exchange.chunk(connection, file, n)


def _line(file: File) -> list[object]:
    report = [file.report.get(name) for name in ("documents", "new", "unread")]
    place = file.place
    return [file.id, file.state, place.system, place.type, place.name, file.bytes, *report, file.created_at]
