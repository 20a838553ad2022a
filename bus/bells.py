"""Bells: committed events are put on their channels and lanes are woken; what is lost is rung again by the sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import structlog
from celery import Celery
from celery.exceptions import QueueNotFound
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from bus import channels
from bus.envelope import Event

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_SHOWN = 5
"""How many subjects a message names in Flower."""


class CeleryBells:
    """The transport of the design: Celery messages over Redis."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, events: Sequence[Event]) -> None:
        """Put events on their channels, up to 100 a message. A broker that is away is logged and left to the sweep."""
        by_channel: defaultdict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_channel[event.channel].append(event)
        for channel, some in sorted(by_channel.items(), key=lambda item: item[0] != "payments"):
            for start in range(0, len(some), channels.MESSAGE_EVENTS):
                chunk = some[start : start + channels.MESSAGE_EVENTS]
                self._send(
                    channels.apply_task(channel),
                    channel,
                    [[event.model_dump(mode="json", exclude_none=True) for event in chunk]],
                    shown(chunk),
                )

    def ring(self, system: str, *, urgent: bool) -> None:
        """Wake one lane; a bell too many finds nothing to do."""
        queue = channels.lane_queue(system, urgent=urgent)
        self._send("lanes.drain", queue, [system, urgent], f"{system}{', payments' if urgent else ''}")

    def _send(self, task: str, queue: str, args: list[Any], says: str) -> None:
        try:
            self._app.send_task(task, args=args, queue=queue, argsrepr=f"({says})", kwargsrepr="{}")
        except (OperationalError, RedisError, OSError, QueueNotFound) as error:
            log.warning("bell.lost", task=task, queue=queue, error=type(error).__name__)


def shown(events: Sequence[Event]) -> str:
    """What Flower shows of a message: how many events and of what; ids only, no one's data."""
    subjects = ", ".join(f"{event.source} {event.subject}" for event in events[:_SHOWN])
    more = f" and {len(events) - _SHOWN} more" if len(events) > _SHOWN else ""
    return f"{len(events)} events: {subjects}{more}"
