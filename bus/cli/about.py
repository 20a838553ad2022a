"""`bus version`, `bus schema`: what this is, and the contract that producers and consumers write against."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from bus import contract
from bus.cli import screen
from bus.errors import BadInput


def version() -> None:
    """Print the version of the bus and of its contract."""
    try:
        installed = metadata.version("integration-bus")
    except metadata.PackageNotFoundError:
        installed = "(not installed, run from its source)"
    typer.echo(f"integration-bus {installed}, contract {contract.VERSION}")


def schema(
    event: Annotated[str | None, typer.Option(metavar="TYPE", help="Only this event type, e.g. order.changed.")] = None,
    *,
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="The channels, as AsyncAPI 3.0.")] = False,
) -> None:
    """Print the contract as JSON: the schema of every event, of one, or the AsyncAPI document."""
    if asyncapi and event:
        raise typer.BadParameter("give --asyncapi or --event, not both")
    if asyncapi:
        screen.as_json(contract.asyncapi())
        return
    schemas = contract.json_schemas()
    if event is None:
        screen.as_json(schemas)
    elif event in schemas:
        screen.as_json(schemas[event])
    else:
        raise BadInput(f"there is no event type {event!r}; there are: {', '.join(schemas)}", field="event")
