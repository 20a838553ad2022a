"""The command line: `bus …`. Every command ends with 0 (done), 1 (failed, in plain words) or 2 (asked wrongly)."""

from __future__ import annotations

import logging

import typer

from bus import log
from bus.cli import (
    about,
    backup,
    budget,
    conflicts,
    erase,
    exchange,
    history,
    imports,
    inspect,
    lanes,
    letters,
    mappings,
    matches,
    publish,
    ready,
    routes,
    runs,
    sandbox,
    services,
    status,
    switches,
    trial,
)
from bus.cli.plain import Plain
from bus.cli.wiring import Wire

app = typer.Typer(
    name="bus",
    cls=Plain,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # bus.log has the last word, and hides secrets
    help="Keeps orders, deals, payments and counterparties the same in Bitrix CMS, Bitrix24 and 1C.",
)


@app.callback()
def begin() -> None:
    """Keep the logs of a command to what a person must know; a service sets up its own."""
    log.configure("warning")
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # each failed attempt; the command says it once


_START, _RUN, _OPERATE = "Set up", "Run", "Operate"

app.command(rich_help_panel=_START)(about.version)
app.command(rich_help_panel=_START)(ready.check)
app.command(rich_help_panel=_START)(ready.migrate)
app.command(rich_help_panel=_START)(about.schema)
app.command("backup", rich_help_panel=_START)(backup.back_up)
app.command("restore", rich_help_panel=_START)(backup.bring_back)
app.add_typer(mappings.app, name="mappings", rich_help_panel=_START)
app.command(rich_help_panel=_START)(inspect.inspect)
app.command(rich_help_panel=_START)(trial.demo)
app.command(rich_help_panel=_START)(trial.up)
app.command(rich_help_panel=_START)(sandbox.sandbox)

app.command(rich_help_panel=_RUN)(services.intake)
app.command(rich_help_panel=_RUN)(services.worker)
app.command(rich_help_panel=_RUN)(services.beat)
app.command(rich_help_panel=_RUN)(services.flower)

app.command(rich_help_panel=_OPERATE)(status.status)
app.command(rich_help_panel=_OPERATE)(publish.publish)
app.add_typer(imports.app, name="import", rich_help_panel=_OPERATE)
app.add_typer(exchange.app, name="exchange", rich_help_panel=_OPERATE)
app.add_typer(letters.app, name="dead-letters", rich_help_panel=_OPERATE)
app.add_typer(conflicts.app, name="conflicts", rich_help_panel=_OPERATE)
app.add_typer(matches.app, name="matches", rich_help_panel=_OPERATE)
app.add_typer(switches.app, name="switch", rich_help_panel=_OPERATE)
app.add_typer(lanes.app, name="lanes", rich_help_panel=_OPERATE)
app.command(rich_help_panel=_OPERATE)(routes.routes)
app.command(rich_help_panel=_OPERATE)(budget.budget)
app.command("reconcile", rich_help_panel=_OPERATE)(runs.run)
app.command(rich_help_panel=_OPERATE)(runs.runs)
app.command("history", rich_help_panel=_OPERATE)(history.tell)
app.command(rich_help_panel=_OPERATE)(erase.erase)


def run(wire: Wire) -> None:
    """Run the command line over a bus that `wire` puts together when a command asks for it."""
    app(obj=wire)
