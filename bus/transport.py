"""Transport: kombu's Redis transport, behind a look at each element as it leaves the broker.

kombu reads whatever lies on a list as JSON and as an envelope, unpacks it, and lets what comes of that end the worker,
element after element. Here an element that is no message of ours is dropped and told (bus.messages), the next taken.
"""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection as KombuConnection
from kombu.transport import redis
from kombu.utils.json import loads

from bus import messages
from bus.errors import POISON
from bus.model import Json


class _Looking:
    """For a channel: of what BRPOP took, only a message goes on."""

    global_keyprefix: str
    sep: str

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: ANN401 - kombu's own client
        client = super()._create_client(asynchronous)  # type: ignore[misc]  # of the channel it is mixed into
        if asynchronous:  # the one that BRPOP is asked by
            client.set_response_callback("BRPOP", self._taken)
        return client

    def _taken(self, reply: list[bytes] | None, **_: object) -> tuple[bytes, bytes] | None:
        """What BRPOP answered; nothing, where that is not to go on: kombu then asks again."""
        if not reply:
            return None
        key, element = reply
        queue = key.decode(errors="replace").removeprefix(self.global_keyprefix).split(self.sep, 1)[0]
        try:
            readable(element, queue)
        except messages.Unfit as unfit:
            messages.refuse(queue, unfit.why)
            return None
        return key, element


def readable(element: bytes, queue: str) -> None:
    """Raises Unfit for an element that kombu would fail on. It costs a fraction of what reading its body does."""
    if len(element) > messages.MAX_BYTES:
        raise messages.Unfit("too large")
    try:
        messages.enveloped(loads(element), queue)
    except (*POISON, RecursionError):
        raise messages.Unfit("no message") from None


class Channel(_Looking, redis.Channel):
    """A channel of redis:// and rediss://."""


class SentinelChannel(_Looking, redis.SentinelChannel):
    """A channel of sentinel://."""


class _Placing:
    """For a transport: what arrives is put into an envelope of ours."""

    def _deliver(self, message: Json, queue: str) -> None:
        try:
            super()._deliver(messages.enveloped(message, queue), queue)  # type: ignore[misc]
        except messages.Unfit as unfit:
            messages.refuse(queue, unfit.why)
        except ValueError:  # its body is not what base64 makes
            messages.refuse(queue, "no message")


class Transport(_Placing, redis.Transport):
    """redis:// and rediss://."""

    Channel = Channel


class SentinelTransport(_Placing, redis.SentinelTransport):
    """sentinel://."""

    Channel = SentinelChannel


_OURS = {redis.Transport: Transport, redis.SentinelTransport: SentinelTransport}


class Connection(KombuConnection):
    """A connection of kombu's, with our transport where that is Redis; addresses stay what they are."""

    def get_transport_cls(self) -> Any:  # noqa: ANN401 - any transport of kombu's
        """The transport."""
        theirs = super().get_transport_cls()  # type: ignore[no-untyped-call]  # kombu is partly typed
        return _OURS.get(theirs, theirs)


class Amqp(AMQP):
    """Celery's part that connects."""

    Connection = Connection
