"""The peer of the intake: the same application with the same checks, whose endpoint only calls `task.delay()` to Redis.

Nothing is committed anywhere: what Redis loses is lost. `python -m tests.bench.redis_only PORT [threads]`, in the
environment of a house. With `threads` it calls in a thread, as FastAPI does for endpoints that block; without, on the
event loop: that is faster, and while Redis does not answer nothing else does either.
"""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from bus import log
from bus.cli.services import serve
from bus.intake import events, problems
from bus.intake.app import utcnow
from bus.intake.body import Bodies
from bus.intake.desk import Desk
from bus.intake.metrics import Meters
from bus.intake.observed import Observed
from bus.intake.signatures import Keyring
from bus.ports import Accepted, Arrival
from workers.bootstrap import wire


def _apply(events: list[dict[str, Any]]) -> None:
    """What a worker would do."""


class Delays:
    """A task per event."""

    def __init__(self, celery: Celery, *, threads: bool) -> None:
        self._task = celery.task(name="orders.apply")(_apply)
        self._threads = threads

    async def accept(self, _sender: str, arrival: Arrival, _size: int) -> Accepted:
        if self._threads:
            await run_in_threadpool(self._delay, arrival)
        else:
            self._delay(arrival)
        return Accepted(len(arrival.entries), 0)

    def _delay(self, arrival: Arrival) -> None:
        for entry in arrival.entries:
            self._task.delay([entry.event.model_dump(mode="json", exclude_none=True)])


if __name__ == "__main__":
    wiring = wire()
    log.configure(wiring.settings.log_level)
    meters = Meters()
    delays = Delays(wiring.celery, threads="threads" in sys.argv)
    bodies, keyring = Bodies(wiring.file.limits.body_bytes), Keyring(wiring.file, utcnow)
    desk = Desk(wiring.file, bodies, delays, wiring.mappings, keyring, meters, utcnow, lambda *_: True)
    app = FastAPI()
    app.include_router(events.router(desk))
    problems.install(app, utcnow)
    app.add_middleware(Observed, meters=meters)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    serve(app, "127.0.0.1", int(sys.argv[1]))
