"""Lanes: a bell wakes one system's lane, which takes what is due until nothing is left or its turn is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from celery import Celery

from bus.channels import DRAIN
from bus.lanes import Lane
from bus.ports import Bells

_TURN_S = 20.0
"""After this a lane rings for itself again, so that a worker can be stopped and others get their turn."""


def register(app: Celery, lane: Callable[[str, bool], Lane], bells: Bells) -> None:
    """The task that drains a lane; several bells at once share the work, since claims skip what others hold."""

    @app.task(name=DRAIN)
    def drain(system: str, urgent: bool) -> None:
        if lane(system, urgent).drain(until=datetime.now(UTC) + timedelta(seconds=_TURN_S)):
            bells.ring(system, urgent=urgent)
