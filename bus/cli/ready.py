"""`bus migrate`, `bus check`: is everything in place for the bus to run, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from psycopg.errors import UndefinedTable
from pydantic import ValidationError
from redis.exceptions import RedisError

from bus.cli import screen, stores
from bus.cli.plain import of_environment, said
from bus.cli.wiring import Wiring, wired
from bus.errors import BusError
from bus.intake.exchange_login import Logins
from bus.intake.signatures import Keyring
from bus.ledger import database, schema
from bus.log import scrub_text
from bus.ports import Finding

_WANTED = {
    "maxmemory-policy": ("noeviction", "else the broker throws queues away when it is full"),
    "appendonly": ("yes", "else a restart of the broker forgets its queues; the sweep rings again, later"),
}


def migrate(context: typer.Context) -> None:
    """Bring the ledger's tables to the version of this bus. Safe to repeat, and to run twice at once."""
    schema.migrate(wired(context).settings.database())
    typer.echo(f"the ledger is at version {schema.head()}")


def check(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="Configuration file; by default BUS_CONFIG, or bus.yaml.")] = None,
) -> None:
    """Look at configuration, ledger, broker, mappings and every system, and say what to do where something is wrong."""
    findings = list(_findings(context, config))
    lines = [(finding.what, finding.ok, scrub_text(finding.say)) for finding in findings]
    screen.table("check", ("what", "ok", "what to know, or to do"), lines)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def _findings(context: typer.Context, config: Path | None) -> Iterator[Finding]:
    try:
        wiring = wired(context, config)
    except BusError as error:
        yield Finding("configuration", ok=False, say=f"{error}\nwhat runs already goes on with what it had")
        return
    except ValidationError as error:  # of the environment; what the file says is told by bus.config
        yield Finding("configuration", ok=False, say=of_environment(error))
        return
    systems = ", ".join(f"{name} ({system.kind})" for name, system in wiring.file.systems.items())
    yield Finding("configuration", ok=True, say=f"{wiring.settings.config}: {systems or 'no systems'}")
    yield _tried("keys and logins", lambda: _keys(wiring))
    yield _tried("ledger", lambda: _ledger(wiring))
    yield from stores.looks_at_certificates(wiring.settings)
    yield from _broker(wiring)
    yield from _mappings(wiring)
    yield from _systems(wiring)


def _tried(what: str, look: Callable[[], Finding]) -> Finding:
    """What `look` finds; what it stumbles over is a finding too."""
    try:
        return look()
    except (BusError, RedisError, psycopg.Error) as error:
        return Finding(what, ok=False, say=said(error))


def _keys(wiring: Wiring) -> Finding:
    """What the door would not open with."""
    Keyring(wiring.file, lambda: datetime.now(UTC))
    Logins(wiring.file)
    return Finding("keys and logins", ok=True, say="each sender can be told from the others")


def _ledger(wiring: Wiring) -> Finding:
    stores.reach_ledger(wiring.settings.database())
    try:
        with wiring.ledger.transaction() as connection:
            row = database.one(connection, "SELECT version_num FROM alembic_version")
    except UndefinedTable:
        row = None
    at = row["version_num"] if row else "nothing"
    if at == schema.head():
        return Finding("ledger", ok=True, say=f"reachable, at version {at}")
    if row and at not in schema.revisions():
        return Finding("ledger", ok=False, say=f"at version {at}, of a newer bus: run that one, not {schema.head()}")
    return Finding("ledger", ok=False, say=f"at version {at}, this bus needs {schema.head()}: run `bus migrate`")


def _broker(wiring: Wiring) -> Iterator[Finding]:
    reachable = _tried("broker", lambda: _answers(wiring))
    yield reachable
    if reachable.ok:
        yield from (_tried(f"broker {name}", partial(_broker_setting, wiring, name)) for name in _WANTED)


def _answers(wiring: Wiring) -> Finding:
    stores.reach_broker(wiring.redis)
    return Finding("broker", ok=True, say="reachable")


def _broker_setting(wiring: Wiring, name: str) -> Finding:
    wanted, why = _WANTED[name]
    answer: Any = wiring.redis.config_get(name)
    is_now = answer.get(name)
    say = str(is_now) if is_now == wanted else f"is {is_now!r}: set it to {wanted!r}, {why}"
    return Finding(f"broker {name}", ok=is_now == wanted, say=say)


def _mappings(wiring: Wiring) -> Iterator[Finding]:
    try:
        problems = wiring.mapping_problems()
    except BusError as error:
        problems = str(error).splitlines()
    yield from (Finding("mappings", ok=False, say=problem) for problem in problems)
    if not problems:
        yield Finding("mappings", ok=True, say="every code and every field is provided for")


def _systems(wiring: Wiring) -> Iterator[Finding]:
    try:
        adapters = wiring.direct
    except BusError as error:
        yield Finding("systems", ok=False, say=str(error))
        return
    for name in wiring.file.systems:
        if name not in adapters:
            yield Finding(name, ok=True, say="sends events, is not called")
            continue
        try:
            found = list(adapters[name].check())
        except (BusError, RedisError) as error:
            found = [Finding("connection", ok=False, say=said(error))]
        yield from (Finding(f"{name} {one.what}", ok=one.ok, say=one.say) for one in found)
