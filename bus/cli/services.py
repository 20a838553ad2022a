"""`bus worker`, `beat`, `flower`, `intake`: the processes that make up a running bus."""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Annotated, Literal

import typer
import uvicorn
from celery import signals
from celery.utils.nodenames import gethostname
from fastapi import FastAPI

from bus import log
from bus.channels import CHORES, ENTITY_CHANNELS, lane_queue
from bus.cli.plain import stoppable
from bus.cli.wiring import Wiring, wired
from bus.config import Settings
from bus.errors import BadInput, ConfigError, Transient
from bus.intake import connections, create_app
from bus.intake.metrics import Meters
from bus.ledger.database import AT_A_DOOR, READ_ONLY, one
from bus.switches import Switched

Name = Literal["payments", "orders", "deals", "counterparties", "lanes", "chores", "all"]

_THREADS: dict[Name, int] = {"payments": 4, "lanes": 4, "all": 8, "chores": 4}
_OTHERS = 1
"""Merging is work for the processor: a second thread only takes turns with it, and an event costs a fifth more."""
_BEAT_STOP_S = 5.0


def worker(
    context: typer.Context,
    name: Annotated[Name, typer.Argument(help="What it works on; `all` is for a small bus.")],
    system: Annotated[str | None, typer.Option(help="With `lanes`: only this system's lane.")] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Threads; by default 4 for payments, lanes and chores, 8 for all, else 1."),
    ] = None,
    instance: Annotated[str, typer.Option(help="Tells several of one name on one host apart, e.g. 2.")] = "",
) -> None:
    """Run a worker until SIGTERM or Ctrl-C; it finishes what it has in hand. Start more of them for more throughput."""
    wiring = wired(context)
    _begin(wiring.settings)
    queues = queues_of(name, wiring.file.called, only=system)
    wiring.rotation.start()
    node = "-".join(part for part in (name, system, instance) if part)
    process = wiring.worker_app().Worker(
        hostname=f"{node}@{gethostname()}",
        queues=queues,
        pool_cls="threads",  # prefork may need 32 s to stop, and finished tasks come again
        concurrency=concurrency or _THREADS.get(name, _OTHERS),
        without_gossip=True,
        without_mingle=True,
        loglevel=wiring.settings.log_level.upper(),
        quiet=True,
    )
    process.start()
    raise typer.Exit(process.exitcode or 0)


def queues_of(name: Name, systems: Iterable[str], *, only: str | None = None) -> list[str]:
    """The queues a worker reads, the urgent first: Celery takes them in this order.

    Raises BadInput when `only` is no system, or no lane is asked for.
    """
    known = list(systems)
    if only is not None and (name != "lanes" or only not in known):
        raise BadInput(f"--system goes with `lanes` and is one of: {', '.join(known) or 'none'}", field="system")
    urgent = [lane_queue(system, urgent=True) for system in known]
    normal = [lane_queue(system, urgent=False) for system in known if only in (None, system)]
    match name:
        case "payments":
            return ["payments", *urgent]
        case "lanes":
            return normal
        case "chores":
            return [CHORES]
        case "all":
            return [
                "payments",
                *urgent,
                *(channel for channel in ENTITY_CHANNELS if channel != "payments"),
                *normal,
                CHORES,
            ]
    return [name]


def beat(context: typer.Context) -> None:
    """Run the clock that has chores done: sweep, deadlines, reconciliation, retention. Two of them do no harm."""
    wiring = wired(context)
    _begin(wiring.settings)
    signals.beat_init.connect(_end_for_sure)
    wiring.worker_app().Beat(
        scheduler_cls="celery.beat:Scheduler",  # in memory: each chore may come early or twice, no file is left behind
        loglevel=wiring.settings.log_level.upper(),
        quiet=True,
    ).run()


def flower(
    context: typer.Context,
    address: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5555,
) -> None:
    """Run Flower, Celery's window on workers and queues, to look through only.

    User `bus` with the password of BUS_FLOWER_PASSWORD, which only a loopback address may do without.
    """
    wiring = wired(context)
    password = wiring.settings.flower_password
    if password and not password.get_secret_value().isascii():
        raise ConfigError("BUS_FLOWER_PASSWORD: Flower can compare ASCII only; choose Latin letters and digits")
    if not password and not _loopback(address):
        raise ConfigError(
            f"BUS_FLOWER_PASSWORD is not set: without it Flower listens on 127.0.0.1 only, not on {address}"
        )
    _begin(wiring.settings)
    from bus.cli import window  # noqa: PLC0415 - half a second that no other command has to wait

    with stoppable():
        window.serve(wiring.celery, address, port, password)


def intake(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Where to listen; behind a proxy that ends TLS, 127.0.0.1.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8080,
) -> None:
    """Run the public door: webhooks and events over HTTP. It answers once what it was sent is in the ledger."""
    wiring = wired(context)
    _begin(wiring.settings)
    wiring.patience = AT_A_DOOR
    rotation = wiring.rotation  # it knows the files as they were read, however long the ledger is waited for
    switched = Switched(lambda: wiring.config)
    with suppress(Transient):  # GET /ready looks again
        switched.look()
    app = create_app(
        wiring.file,
        wiring.door,
        wiring.mappings,
        ready=lambda: _ask(wiring, switched),
        meters=_meters(wiring),
        exchange=wiring.exchange,
        follow=rotation.follow,
        takes=switched.takes,
    )
    rotation.start()
    serve(app, host, port)


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve the public door until SIGTERM; requests under way are answered first.

    What was imported until now stays: looking through all of it for garbage would hold every request up for 60 ms.
    """
    gc.collect()
    gc.freeze()
    with stoppable():
        uvicorn.run(app, host=host, port=port, **connections.OPTIONS)


def _meters(wiring: Wiring) -> Meters:
    """What the intake counts, with what becomes of its bells, and what lanes, budgets and breakers say."""
    meters = Meters()
    meters.registry.register(wiring.gauges)
    meters.watch("bus_relay_waiting", "Events and bells not sent yet", wiring.relay.waiting)
    meters.watch("bus_relay_lost", "Events without room in the relay, left to the sweep", lambda: wiring.relay.lost)
    meters.watch("bus_bells_lost", "Messages the broker did not take, left to the sweep", lambda: wiring.bells.lost)
    return meters


def _ask(wiring: Wiring, switched: Switched) -> None:
    """Can events be taken? Raises Transient when not. The broker is not asked: its bells may be rung later."""
    with wiring.ledger.transaction() as connection:
        told = one(connection, "SHOW transaction_read_only")
    if told and told["transaction_read_only"] == "on":
        raise Transient(READ_ONLY)
    switched.look()


def _begin(settings: Settings) -> None:
    """Logs of a service; Celery leaves them alone when someone answers its signal."""
    log.configure(settings.log_level)
    signals.setup_logging.connect(_already_set_up)


def _end_for_sure(**_: object) -> None:
    """See to it that SIGTERM ends beat: Celery raises in its handler, and what is in hand just then may swallow it.

    Beat keeps nothing that could be lost.
    """
    theirs = signal.getsignal(signal.SIGTERM)

    def handler(number: int, frame: FrameType | None) -> None:
        timer = threading.Timer(_BEAT_STOP_S, os._exit, [0])
        timer.daemon = True
        timer.start()
        if callable(theirs):
            theirs(number, frame)

    signal.signal(signal.SIGTERM, handler)


def _already_set_up(**_: object) -> None:
    """Celery asks who sets up logging; we did."""


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
