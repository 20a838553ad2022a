"""`bus switch`: how far each direction of each route is on; an operator's word stands above the file's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

import typer

from bus import switches
from bus.cli import screen
from bus.cli.letters import Actor
from bus.cli.wiring import Wiring, wired
from bus.config import Mode
from bus.ledger.database import rows
from bus.model import Kind

app = typer.Typer(no_args_is_help=True, help="How far each direction of each route is switched on.")

Direction = Literal["in", "out"]


@app.command("list")
def show_all(context: typer.Context) -> None:
    """List every route: what is on now, and whether the file or a person said so."""
    screen.table("switches", ("system", "kind", "in", "out", "set by"), _routes(wired(context)), empty="no systems")


def _routes(wiring: Wiring) -> Iterator[tuple[str, ...]]:
    with wiring.ledger.transaction() as connection:
        turned = rows(connection, "SELECT * FROM switch ORDER BY direction")
        config = switches.effective(connection, wiring.file)
    for system in config.systems:
        for kind in get_args(Kind):
            route = config.route(system, kind)
            hands = [row for row in turned if (row["system"], row["kind"]) == (system, kind)]
            said = "; ".join(f"{row['direction']}: {row['set_by']}, {screen.plain(row['set_at'])}" for row in hands)
            yield system, kind, route.inward.value, route.outward.value, said or "file"


@app.command("set")
def turn(
    context: typer.Context,
    system: Annotated[str, typer.Argument(help="A system of the configuration.")],
    kind: Annotated[Kind, typer.Argument(help="What travels.")],
    direction: Annotated[Direction, typer.Argument(help="From the system into the bus, or out to it.")],
    mode: Annotated[Mode, typer.Argument(help="How far it is on.")],
    *,
    actor: Actor,
) -> None:
    """Set one switch. Workers and the intake take it up when they are restarted."""
    wiring = wired(context)
    switches.turn(wiring.ledger, wiring.file, system, kind, direction, mode, actor)
    typer.echo(f"{system} {kind} {direction}: {mode.value}; restart the workers and the intake to take it up")
