"""The peer of throughput: a Celery task per event that does nothing. `python -m tests.bench.peer_noop NAME` works it.

Set up as the bus's own queue is, with the same pool and threads. PEER_SILENT leaves out the task events that Flower
lives on, which the bus's workers send: they cost a worker half as much again per message.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery

from bus.app import create_app
from bus.config import Settings

QUEUE = "orders"
PREFIX = "noop:"
THREADS = 1
"""As `bus worker orders` runs."""


def app_of(broker_url: str) -> Celery:
    """The peer's Celery application, with its one task."""
    app = create_app(broker_url, [], prefix=PREFIX)
    app.conf.worker_send_task_events = "PEER_SILENT" not in os.environ
    app.task(name="noop", queue=QUEUE)(_nothing)
    return app


def _nothing(_event: dict[str, Any]) -> None:
    """What a task per event costs before it has done anything."""


if __name__ == "__main__":
    app_of(Settings().broker()).Worker(
        hostname=sys.argv[1],
        queues=[QUEUE],
        pool_cls="threads",
        concurrency=THREADS,
        without_gossip=True,
        without_mingle=True,
        loglevel="WARNING",
        quiet=True,
    ).start()
