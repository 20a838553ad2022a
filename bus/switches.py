"""Switches: how far each direction of each route is on: said by the configuration, turned by an operator."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from bus.config import Config, Mode, Route, System
from bus.errors import BadInput
from bus.ledger import letters
from bus.ledger.database import Connection, Ledger, rows, run
from bus.model import MODELS, Kind


def effective(connection: Connection, config: Config) -> Config:
    """The configuration with the operator's switches laid over it."""
    turned = rows(connection, "SELECT system, kind, direction, mode FROM switch")
    systems = dict(config.systems)
    for row in turned:
        if system := systems.get(row["system"]):
            systems[row["system"]] = _turned(system, row["kind"], row["direction"], Mode(row["mode"]))
    return config.model_copy(update={"systems": systems})


def _turned(system: System, kind: Kind, direction: str, mode: Mode) -> System:
    route = system.routes.get(kind, Route()).model_copy(update={{"in": "inward", "out": "outward"}[direction]: mode})
    return system.model_copy(update={"routes": {**system.routes, kind: route}})


class Switched:
    """What is taken in, for a door: it opens while the ledger is away, too, and then nothing is known to be off.

    What it takes for nothing is read for nothing, and the path overrules it; what it dropped would be lost.
    """

    def __init__(self, read: Callable[[], Config]) -> None:
        """`read`: the configuration as the switches have it; raises Transient without a ledger."""
        self._read = read
        self._known: Config | None = None

    def look(self) -> None:
        """Get to know it, once. Raises what reading raises."""
        if self._known is None:
            self._known = self._read()

    def takes(self, system: str, kind: Kind) -> bool:
        """May it be wanted? Asks nobody."""
        return self._known is None or self._known.route(system, kind).inward is not Mode.OFF


def turn(ledger: Ledger, config: Config, system: str, kind: Kind, direction: str, mode: Mode, actor: str) -> None:
    """Set one switch; workers and the door take it up when they restart.

    Raises BadInput for an unknown system or direction, and for what its kind cannot do.
    """
    if system not in config.systems:
        raise BadInput(f"there is no system {system!r}; known: {', '.join(config.systems)}", field="system")
    if kind not in MODELS:
        raise BadInput(f"there is no kind {kind!r}; known: {', '.join(MODELS)}", field="kind")
    if direction not in ("in", "out"):
        raise BadInput("direction is in or out", field="direction")
    try:
        System.model_validate(_turned(config.systems[system], kind, direction, mode).model_dump(by_alias=True))
    except ValidationError as error:
        raise BadInput("; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())) from None
    with ledger.transaction() as connection:
        run(
            connection,
            """INSERT INTO switch (system, kind, direction, mode, set_by) VALUES (%s, %s, %s, %s, %s)
               ON CONFLICT (system, kind, direction)
               DO UPDATE SET mode = excluded.mode, set_by = excluded.set_by, set_at = now()""",
            [system, kind, direction, mode.value, actor],
        )
        letters.acted(connection, actor, "switch", f"{system} {kind} {direction}", {"mode": mode.value})
