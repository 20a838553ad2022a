"""Bells: committed events are put on their channels and lanes are woken; what is lost is rung again by the sweep."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import uuid4

import structlog
from celery import Celery
from kombu import Producer
from kombu.exceptions import BatchPublishError, OperationalError
from redis.exceptions import RedisError

from bus import channels
from bus.envelope import Event

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_SHOWN = 5
"""How many subjects a message names in Flower."""
_PIPELINED = 50
"""Messages that go to Redis in one round trip; more would hold a socket for long."""
_REST_S = 1.0
"""A broker that failed is left alone for so long: one caller in that time finds out, the others do not wait for it."""


_TROUBLE = (OperationalError, BatchPublishError, RedisError, OSError)


@dataclass(frozen=True, slots=True)
class _Message:
    task: str
    queue: str
    args: list[Any]
    says: str
    """What Flower shows of it."""


class CeleryBells:
    """The transport of the design: Celery messages over Redis."""

    def __init__(self, app: Celery, silent: Collection[str] = ()) -> None:
        """`silent`: systems that call us and have no lane: what is due there waits until they ask."""
        self._app, self._silent = app, frozenset(silent)
        self._lock = threading.Lock()
        self._lost_now, self._rests_until = 0, 0.0
        self.lost = 0
        """Messages that were not sent, since the process began."""

    def publish(self, events: Sequence[Event]) -> None:
        """Put events on their channels, up to 100 a message. A broker that is away is logged and left to the sweep."""
        by_channel: defaultdict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_channel[event.channel].append(event)
        ordered = sorted(by_channel.items(), key=lambda item: item[0] != "payments")
        messages = [
            _carrying(channel, some[start : start + channels.MESSAGE_EVENTS])
            for channel, some in ordered
            for start in range(0, len(some), channels.MESSAGE_EVENTS)
        ]
        for start in range(0, len(messages), _PIPELINED):
            self._send(messages[start : start + _PIPELINED])

    def ring(self, system: str, *, urgent: bool) -> None:
        """Wake one lane; a bell too many finds nothing to do."""
        if system in self._silent:
            return
        queue = channels.lane_queue(system, urgent=urgent)
        if queue not in self._app.amqp.queues:  # the ledger may still hold work for a system that was taken out
            log.warning("bell.nowhere", queue=queue)
            return
        self._send([_Message(channels.DRAIN, queue, [system, urgent], f"{system}{', payments' if urgent else ''}")])

    def chore(self, task: str) -> None:
        """Have a chore done now. One whose bell is lost is done at its next turn."""
        self._send([_Message(task, channels.CHORES, [], "now")])

    def _send(self, messages: Sequence[_Message]) -> None:
        """Send or lose them. One log line when the broker goes, one when it is back, however many are lost between."""
        if monotonic() < self._rests_until:
            self._lose(len(messages))
            return
        try:
            self._put(messages)
        except _TROUBLE as error:
            self._rests_until = monotonic() + _REST_S
            if self._lose(len(messages)):
                log.warning("broker.away", error=type(error).__name__, queue=messages[0].queue)
        else:
            if self._lost_now:
                self._found()

    def _put(self, messages: Sequence[_Message]) -> None:
        """Send over a pooled connection: one message as Celery does, with its retries; several in one round trip.

        A pipeline has no retries, and its connection may have died idle: it is tried twice. What arrived before the
        break then arrives twice, which a bell may.
        """
        if len(messages) == 1:
            with self._app.producer_or_acquire() as producer:
                self._publish(producer, messages[0])
            return
        try:
            self._pipeline(messages)
        except _TROUBLE:
            self._pipeline(messages)

    def _pipeline(self, messages: Sequence[_Message]) -> None:
        with self._app.producer_or_acquire() as producer, producer.batch(_PIPELINED):
            for message in messages:
                self._publish(producer, message)

    def _publish(self, producer: Producer, message: _Message) -> None:
        """What Celery's send_task does in the end, without what it does for results, canvases and parents before."""
        amqp = self._app.amqp
        task = amqp.create_task_message(
            str(uuid4()),
            message.task,
            message.args,
            {},
            argsrepr=f"({message.says})",
            kwargsrepr="{}",
            ignore_result=True,
        )
        amqp.send_task_message(producer, message.task, task, queue=message.queue)

    def _lose(self, count: int) -> bool:
        """Count what is lost; is it the first of this outage?"""
        with self._lock:
            first = not self._lost_now
            self._lost_now += count
            self.lost += count
            return first

    def _found(self) -> None:
        with self._lock:
            lost, self._lost_now = self._lost_now, 0
        if lost:
            log.warning("broker.back", lost=lost)


def _carrying(channel: str, events: Sequence[Event]) -> _Message:
    documents = [event.model_dump(mode="json", exclude_none=True) for event in events]
    return _Message(channels.apply_task(channel), channel, [documents], shown(events))


def shown(events: Sequence[Event]) -> str:
    """What Flower shows of a message: how many events and of what; ids only, no one's data."""
    subjects = ", ".join(f"{event.source} {event.subject}" for event in events[:_SHOWN])
    more = f" and {len(events) - _SHOWN} more" if len(events) > _SHOWN else ""
    return f"{len(events)} events: {subjects}{more}"
