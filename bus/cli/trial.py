"""`bus up`, `bus demo`: the bus without a company around it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bus import demo as working_day
from bus import supervise
from bus.supervise import Ports

Port = Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")]
State = Annotated[
    Path | None, typer.Option(file_okay=False, help="Folder that keeps logs and data; by default a temporary one.")
]
Fast = Annotated[bool, typer.Option("--fast", help="Without the cloud's request limits.")]

_DAY_S, _FAST_DAY_S = 60.0, 15.0


def up(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Run against the systems of this file; by default against two stand-ins.")
    ] = None,
    state: State = None,
    port: Port = 0,
    flower_port: Port = 0,
    *,
    flower: Annotated[bool, typer.Option(help="Start Flower too.")] = True,
    fast: Fast = False,
) -> None:
    """Run the whole bus on this machine until Ctrl-C. What the environment does not name is brought along."""
    ports = Ports(intake=port, flower=flower_port)
    code = supervise.up(context.obj, config, ports=ports, state=state, open_flower=flower, limited=not fast)
    raise typer.Exit(code)


def demo(
    context: typer.Context,
    seed: Annotated[int, typer.Option(help="The same number makes the same day.")] = 1,
    orders: Annotated[int, typer.Option(min=1, help="How many are placed that day.")] = 300,
    state: State = None,
    *,
    fast: Annotated[bool, typer.Option("--fast", help="A quarter of a minute instead of one.")] = False,
    minutes: Annotated[int, typer.Option(min=1, help="How long it lasts; from 2 on with faults drawn by lot.")] = 1,
    limits: Annotated[
        bool, typer.Option("--limits", help="Hold the portal to the cloud's 2 requests a second all the same.")
    ] = False,
) -> None:
    """Play a working day of an invented company, faults and all, and prove that both systems agree in the evening."""
    day_s = _FAST_DAY_S if fast else _DAY_S * minutes
    raise typer.Exit(working_day.run(context.obj, seed=seed, orders=orders, day_s=day_s, state=state, limited=limits))
