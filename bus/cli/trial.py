"""`bus sandbox`, `bus up`, `bus demo`: the bus without a company around it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bus.cli.plain import stoppable
from bus.sandbox import __main__ as stand_ins


def sandbox(
    kind: Annotated[Literal["bitrix24", "shop"], typer.Argument(help="Which system to stand in for.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 0,
) -> None:
    """Run a stand-in Bitrix24 or shop on 127.0.0.1: the same REST, invented data, faults on request."""
    with stoppable():
        stand_ins.main([kind, "--port", str(port)])
