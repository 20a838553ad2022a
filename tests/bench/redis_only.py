"""The peer of the intake: the same application with the same checks, whose endpoint only calls `task.delay()` to Redis.

Nothing is committed anywhere: what Redis loses is lost. `python -m tests.bench.redis_only PORT`, in the environment of
a house.
"""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery
from fastapi import FastAPI

from bus import log
from bus.cli.services import serve
from bus.intake import events, problems
from bus.intake.app import utcnow
from bus.intake.desk import Desk
from bus.intake.metrics import Meters
from bus.intake.observed import Observed
from bus.intake.signatures import Keyring
from bus.ports import Accepted, Arrival
from workers.bootstrap import wire


def _apply(events: list[dict[str, Any]]) -> None:
    """What a worker would do."""


class Delays:
    """A task per event, on the event loop: a hop to a thread would cost more than it frees."""

    def __init__(self, celery: Celery) -> None:
        self._task = celery.task(name="orders.apply")(_apply)

    async def accept(self, arrival: Arrival, _: int) -> Accepted:
        for entry in arrival.entries:
            self._task.delay([entry.event.model_dump(mode="json", exclude_none=True)])
        return Accepted(len(arrival.entries), 0)


if __name__ == "__main__":
    wiring = wire()
    log.configure(wiring.settings.log_level)
    meters = Meters()
    desk = Desk(wiring.file, Delays(wiring.celery), wiring.mappings, Keyring(wiring.file, utcnow), meters, utcnow)
    app = FastAPI()
    app.include_router(events.router(desk))
    problems.install(app, utcnow)
    app.add_middleware(Observed, meters=meters)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    serve(app, "127.0.0.1", int(sys.argv[1]))
