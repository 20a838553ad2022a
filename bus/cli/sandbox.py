"""`bus sandbox`: one stand-in system, to look at, to develop against, to try an exchange with."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bus.cli.plain import stoppable
from bus.sandbox import __main__ as stand_ins


def sandbox(
    kind: Annotated[Literal["bitrix24", "shop", "onec"], typer.Argument(help="Which system to stand in for.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 0,
    profile: Annotated[
        Literal["ut", "unf", "bus"], typer.Option(help="1C: which configuration exchanges with the site.")
    ] = "ut",
    site: Annotated[str, typer.Option(help="1C: exchange orders with this address, as with a shop.")] = "",
    user: Annotated[str, typer.Option(help="1C: its login at the site.")] = "bus",
    password: Annotated[str, typer.Option(help="1C: its password at the site.")] = "secret",  # noqa: S107  # opens nothing
    every: Annotated[float, typer.Option(min=0, help="1C: seconds between exchanges; 0: only on request.")] = 60.0,
    *,
    once: Annotated[bool, typer.Option("--once", help="1C: one exchange, its report as JSON, and the end.")] = False,
) -> None:
    """Run a stand-in Bitrix24, shop or 1C on 127.0.0.1: the same protocols, invented data, faults on request."""
    arguments = [kind, "--port", str(port)]
    if kind == "onec":
        arguments += ["--profile", profile, "--user", user, "--password", password, "--every", str(every)]
        arguments += ["--site", site] if site else []
        arguments += ["--once"] if once else []
    with stoppable():
        stand_ins.main(arguments)
