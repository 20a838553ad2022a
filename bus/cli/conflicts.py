"""`bus conflicts`: fields with two values that a rule leaves to a person."""

from __future__ import annotations

from typing import Annotated

import typer

from bus.cli import screen
from bus.cli.letters import Actor
from bus.cli.wiring import wired
from bus.errors import BadInput
from bus.ledger import conflicts
from bus.ledger.database import Row

app = typer.Typer(no_args_is_help=True, help="Fields with two values that a rule leaves to a person.")

Id = Annotated[int, typer.Argument(metavar="ID", help="Number of the conflict.")]


@app.command("list")
def show_all(
    context: typer.Context,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
) -> None:
    """List conflicts, the most pressing first."""
    found = wired(context).conflicts.listing(None if all_ else "open")
    names = ("id", "state", "field", "values", "deadline", "entity")
    lines = [[row["id"], _state(row), row["field"], _values(row), row["deadline"], row["entity_id"]] for row in found]
    screen.table("conflicts", names, lines, empty="none" if all_ else "none is open")


@app.command()
def show(context: typer.Context, conflict: Id) -> None:
    """Show one conflict: who said what, and when."""
    with wired(context).ledger.transaction() as connection:
        row = conflicts.get(connection, conflict)
        who = conflicts.authors(connection, row) if row else {}
    if row is None:
        raise BadInput(f"there is no conflict {conflict}", field="id")
    lines = [
        (source, option["value"], option["at"], who.get(source)) for source, option in sorted(row["options"].items())
    ]
    names = ("system", "value", "said at", "by")
    screen.table(f"{row['field']} of {row['kind']} {row['entity_id']}", names, lines)
    decided = f"{row['state']}: {screen.plain(row['decision'])} by {row['decided_by']}"
    until = f"open; {row['policy']} decides at {screen.plain(row['deadline'])} UTC"
    screen.out().print(until if row["state"] == "open" else decided)
    if row["task_id"]:
        screen.out().print(f"a person was asked by task {row['task_id']}")


@app.command()
def decide(
    context: typer.Context,
    conflict: Id,
    take: Annotated[str, typer.Option(metavar="SYSTEM", help="The system whose value is right.")],
    *,
    actor: Actor,
) -> None:
    """Take one system's value; the others are told."""
    wired(context).conflicts.decide(conflict, take, actor)
    typer.echo(f"conflict {conflict}: the value of {take} is taken")


def _values(row: Row) -> str:
    return "; ".join(f"{source}: {screen.plain(option['value'])}" for source, option in sorted(row["options"].items()))


def _state(row: Row) -> str:
    return "pressing" if row["state"] == "open" and row["escalated_at"] else str(row["state"])
