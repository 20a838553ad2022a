"""`bus mappings`: would any record get stuck for want of a mapping or a rule?"""

from __future__ import annotations

from typing import Annotated

import typer

from bus.cli.plain import said
from bus.cli.wiring import Wiring, wired
from bus.errors import BusError

app = typer.Typer(no_args_is_help=True, help="Tables and rules: would any record get stuck?")


@app.callback()
def mappings() -> None:
    """Make `mappings` a group, though it has one command."""


@app.command()
def check(
    context: typer.Context,
    *,
    live: Annotated[bool, typer.Option("--live", help="Ask the systems which codes they really have.")] = False,
) -> None:
    """Look for codes without a mapping, fields without a rule, and golden samples that say something else."""
    wiring = wired(context)
    problems = wiring.mapping_problems()
    if live:
        problems += [problem for system in wiring.direct for problem in _live(wiring, system)]
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo("every code and every field is provided for")


def _live(wiring: Wiring, system: str) -> list[str]:
    try:
        return wiring.live_problems(system)
    except BusError as error:
        return [f"{system}: could not be asked: {said(error)}"]
