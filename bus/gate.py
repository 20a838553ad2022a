"""Gate: where a worker takes what was laid on its queues, and turns away what it will not carry out.

Celery loads this by its name (bus.app), in workers only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from celery.app.task import Task as CeleryTask
from celery.worker.consumer import Consumer
from celery.worker.request import Request as CeleryRequest
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.message import Message

from bus import messages
from bus.errors import POISON

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_UNREADABLE = (*POISON, RecursionError, DecodeError, ContentDisallowed)


class Gate(Consumer):
    """Celery's consumer, which here lets in what bus.messages wants, and acknowledges and tells of all else."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Message], None]:  # noqa: ANN401 - Celery's
        """What is called with each message of a queue."""
        carry_out = super().create_task_handler(*args, **kwargs)

        def handle(message: Message) -> None:
            try:
                message.headers = messages.wanted(_queue(message), message.headers, _payload(message))
                if message.headers["task"] not in self.strategies:
                    raise messages.Unfit("not a task of this queue")  # noqa: TRY301 - one way to refuse
            except messages.Unfit as unfit:
                self._refuse(message, unfit.why)
            else:
                carry_out(message)

        return handle

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Celery would log what cannot be read."""
        log.debug("message.undecodable", error=type(exc).__name__)
        self._refuse(message, "not JSON")

    def on_invalid_task(self, body: object, message: Message, exc: Exception) -> None:  # noqa: ARG002 - Celery's
        """Celery would log it with its body."""
        log.debug("message.invalid", error=type(exc).__name__)
        self._refuse(message, "not Celery's second protocol")

    def _refuse(self, message: Message, why: str) -> None:
        if not message.acknowledged:
            message.ack_log_error(log, self.connection_errors)
        messages.refuse(_queue(message), why)


def _queue(message: Message) -> str:
    place = message.delivery_info or {}
    return str(place.get("routing_key") or messages.REMOTE)


def _payload(message: Message) -> object:
    """Its body, read once for Celery and for us. Raises Unfit."""
    try:
        return message.payload
    except _UNREADABLE:
        raise messages.Unfit("not JSON") from None


class Request(CeleryRequest):
    """A task under way. Who asks over the broker (Flower) is told how many events it carries, and not what they say."""

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002 - Celery's own signature
        """What Flower is told."""
        told: dict[str, Any] = super().info(safe=True)
        return told


class Task(CeleryTask):
    """A task of the bus."""

    abstract = True
    Request = "bus.gate:Request"
