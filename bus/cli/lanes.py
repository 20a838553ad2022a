"""`bus lanes`: which systems are served, which are left alone and why; a person stops a lane, or takes it up again."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from redis.exceptions import RedisError

from bus import stops
from bus.breaker import Circuit, State
from bus.cli import screen
from bus.cli.letters import Actor
from bus.cli.wiring import Wiring, wired
from bus.ledger import deliveries

app = typer.Typer(invoke_without_command=True, help="Show the lanes to the systems; stop one, or take it up again.")

System = Annotated[str, typer.Argument(help="A system of the configuration that has an API.")]

_COLUMNS = ("lane", "circuit", "since", "tried again", "due", "payments", "in flight", "oldest", "parked", "reason")
_EMPTY = {"due": 0, "urgent": 0, "in_flight": 0, "dead": 0, "parked": 0, "oldest_s": None}


@app.callback()
def show(
    context: typer.Context,
    *,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show each lane: whether the system is called, since when not and why, and what waits for it."""
    if context.invoked_subcommand:
        return
    found = _look(wired(context))
    if json:
        screen.as_json(found)
        return
    lines = [
        (
            *(lane[name] for name in ("system", "circuit", "since", "until", "due", "urgent", "in_flight")),
            screen.age(lane["oldest_s"]),
            lane["parked"],
            lane["reason"],
        )
        for lane in found
    ]
    screen.table("lanes", _COLUMNS, lines, empty="no system is called by the bus")


@app.command()
def stop(
    context: typer.Context,
    system: System,
    reason: Annotated[str, typer.Option(help="Why; it is shown to whoever looks.")],
    *,
    actor: Actor,
) -> None:
    """Stop a lane until `resume`: nothing is read or written there, everything waits, no attempt counts."""
    wiring = wired(context)
    stops.stop(wiring.ledger, wiring.breaker, wiring.file, system, reason, actor)
    typer.echo(f"{system} is stopped; take it up again with: bus lanes resume {system}")


@app.command()
def resume(context: typer.Context, system: System, *, actor: Actor) -> None:
    """Take a lane up again, whoever or whatever stopped it; what waited for it is tried at once."""
    wiring = wired(context)
    resumed = stops.resume(wiring.ledger, wiring.breaker, wiring.bells, wiring.file, system, actor)
    typer.echo(f"{system} is taken up again" if resumed else f"{system} was not stopped; what waits is tried at once")


def circuits(wiring: Wiring) -> dict[str, dict[str, Any]]:
    """The circuit of each system that has an API; "unknown" where Redis, which keeps them, cannot be asked."""
    return {name: _circuit(wiring, name) for name, system in wiring.file.systems.items() if system.url}


def _circuit(wiring: Wiring, system: str) -> dict[str, Any]:
    try:
        state = wiring.breaker.state(system)
    except RedisError as error:
        return {"circuit": "unknown", "since": None, "until": None, "reason": f"Redis: {type(error).__name__}"}
    return {"circuit": state.circuit.value, "since": state.since, "until": state.until, "reason": _reason(state)}


def _reason(state: State) -> str | None:
    if state.circuit is Circuit.CLOSED:
        return f"{state.failures} requests failed in a row" if state.failures else None
    return state.reason


def _look(wiring: Wiring) -> list[dict[str, Any]]:
    with wiring.ledger.transaction() as connection:
        waiting = {row["system"]: row for row in deliveries.lanes(connection)}
    return [
        {**_EMPTY, "system": name, **circuit, **waiting.get(name, {})} for name, circuit in circuits(wiring).items()
    ]
