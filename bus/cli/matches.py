"""`bus matches`: who a record is, and which order a payment is for, where only a person can tell."""

from __future__ import annotations

from typing import Annotated

import typer

from bus.cli import screen
from bus.cli.letters import Actor
from bus.cli.wiring import wired
from bus.errors import BadInput
from bus.ledger.database import Row

app = typer.Typer(no_args_is_help=True, help="Who a record is, where only a person can tell.")

Id = Annotated[int, typer.Argument(metavar="ID", help="Number of the question.")]


@app.command("list")
def show_all(
    context: typer.Context,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Answered ones too.")] = False,
) -> None:
    """List questions, the most pressing first."""
    found = wired(context).questions.listing(None if all_ else "open")
    names = ("id", "state", "asks for", "system", "record", "candidates", "deadline")
    lines = [
        [row["id"], row["state"], row["asks"], row["system"], row["subject"], len(row["candidates"]), row["deadline"]]
        for row in found
    ]
    screen.table("questions", names, lines, empty="none" if all_ else "none is open")


@app.command()
def show(context: typer.Context, question: Id) -> None:
    """Show one question: the record, whom it may be, and why."""
    row = wired(context).questions.show(question)
    screen.table(f"{row['system']} {row['subject']}: which {row['asks']}?", ("", ""), sorted(row["about"].items()))
    lines = [(one.get("record") or one["entity"], "; ".join(one["why"]), _rest(one)) for one in row["candidates"]]
    screen.table("candidates", ("candidate", "why", "what it says"), lines, empty="none that we know of")
    if row["state"] != "open":
        screen.out().print(f"{row['state']}: {row['decision'] or ''} by {row['decided_by']}")


@app.command()
def decide(
    context: typer.Context,
    question: Id,
    *,
    same: Annotated[str | None, typer.Option(metavar="CANDIDATE", help="It is this one, as `show` calls it.")] = None,
    order: Annotated[str | None, typer.Option(metavar="NUMBER", help="The payment is for this order.")] = None,
    new: Annotated[bool, typer.Option("--new", help="It is none that we know.")] = False,
    actor: Actor,
) -> None:
    """Say who it is; what waited for the answer goes on at once."""
    if (same is not None) + (order is not None) + new != 1:
        raise BadInput("say one of --same CANDIDATE, --order NUMBER, --new", field="decision")
    asked = wired(context).questions
    if same is not None:
        asked.same(question, same, actor)
    elif order is not None:
        asked.of_order(question, order, actor)
    else:
        asked.new(question, actor)
    typer.echo(f"question {question}: answered")


@app.command()
def part(
    context: typer.Context,
    system: Annotated[str, typer.Argument(help="The record's system.")],
    record: Annotated[str, typer.Argument(help="The record, as histories call it: party/company:12.")],
    *,
    actor: Actor,
) -> None:
    """Take a counterparty's record away from one that it was linked to by mistake."""
    wired(context).questions.part(system, record, actor)
    typer.echo(f"{system} {record}: is one of its own now")


def _rest(candidate: Row) -> str:
    shown = {name: value for name, value in candidate.items() if name not in ("entity", "record", "why")}
    return "; ".join(f"{name}: {screen.plain(value)}" for name, value in shown.items())
