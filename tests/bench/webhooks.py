"""Webhooks: a sender in a process of its own that spends little, so that what is measured is the door.

`python -m tests.bench.webhooks` reads an Order (JSON) from stdin, sends, and prints a Tally (JSON). Every post holds
one `order.changed` event with an id of its own, signed (Standard Webhooks) before the clock starts. Plain sockets,
HTTP/1.1, connections kept open; an HTTP library would need more processor time than the door it measures.
"""

from __future__ import annotations

import base64
import gc
import hashlib
import hmac
import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count, takewhile

from tests.bench.figures import percentile

_QUIET_S = 5.0
"""A door that has not answered for so long does not answer."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to send: by `clients` connections for `seconds`, each as fast as it is answered, or at `rate` a second."""

    port: int
    key: str
    source: str
    clients: int
    seconds: float
    name: str
    """Begins the id of every event."""
    rate: float | None = None
    warm_s: float = 0.5
    """Sent before, and not counted."""
    prepared: int = 4000
    """Posts made and signed before the clock starts, per second of sending; later ones cost the sender a little."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of it. Milliseconds from when a post was due (at a rate) or sent, to the end of its answer."""

    seconds: float
    statuses: dict[str, int]
    taken: int
    """Answered 200, the warm-up with them."""
    p50: float
    p99: float
    max: float

    @property
    def per_second(self) -> float:
        """Posts that were answered 200."""
        return self.statuses.get("200", 0) / self.seconds


@dataclass(slots=True)
class _Line:
    """One connection, with at most one post under way."""

    socket: socket.socket
    due: float = 0.0
    heard: bytearray = field(default_factory=bytearray)

    def send(self, post: bytes, due: float) -> None:
        self.due = due
        sent = self.socket.send(post)
        if sent != len(post):
            raise RuntimeError("the socket takes no whole post")

    def answer(self) -> int:
        """The status when the whole answer is there, else 0."""
        self.heard += self.socket.recv(65_536)
        head = self.heard.find(b"\r\n\r\n")
        if head < 0:
            return 0
        length = self.heard.lower().find(b"content-length:", 0, head)
        end = self.heard.find(b"\r\n", length)
        if len(self.heard) < head + 4 + int(self.heard[length + 15 : end]):
            return 0
        status = int(self.heard[9:12])
        self.heard.clear()
        return status


def posts(order: Order) -> Iterator[bytes]:
    """Signed posts, without end."""
    secret = base64.b64decode(order.key.removeprefix("whsec_"))
    for number in count(1):
        at = datetime.now(UTC)
        body = json.dumps(_event(order, number, at)).encode()
        signed = b"%d.%d.%s" % (number, int(at.timestamp()), body)
        signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest())
        yield (
            b"POST /events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nwebhook-id: %d\r\n"
            b"webhook-timestamp: %d\r\nwebhook-signature: v1,%s\r\ncontent-length: %d\r\n\r\n%s"
        ) % (number, int(at.timestamp()), signature, len(body), body)


class Sender:
    """The connections and what came over them."""

    def __init__(self, order: Order) -> None:
        """Make and sign the posts, and connect."""
        self._order = order
        self._fresh = posts(order)
        count = int((order.rate or order.prepared) * (order.seconds + order.warm_s))
        self._posts = deque(next(self._fresh) for _ in range(count))
        self._selector = selectors.DefaultSelector()
        self._lines = [self._line() for _ in range(order.clients)]
        self._idle = deque(self._lines)
        self._statuses: Counter[str] = Counter()
        self._took: list[float] = []
        self._taken = 0

    def send(self) -> Tally:
        """Send until the time is over and all is answered. Raises RuntimeError when the door stops answering."""
        begun = time.perf_counter() + self._order.warm_s
        end = heard = begun + self._order.seconds
        dues = takewhile(lambda due: due < end, self._dues(begun - self._order.warm_s))
        due = next(dues, None)
        while due is not None or len(self._idle) < len(self._lines):
            while due is not None and due <= time.perf_counter() and self._idle:
                begins = due if self._order.rate else time.perf_counter()
                self._idle.popleft().send(self._posts.popleft() if self._posts else next(self._fresh), begins)
                due = next(dues, None)
            pause = 0.5 if due is None or not self._idle else max(0.0, due - time.perf_counter())
            for key, _ in self._selector.select(pause):
                heard = self._hear(key.data, begun) or heard
            if time.perf_counter() > max(heard, end) + _QUIET_S:
                raise RuntimeError("the door does not answer")
        for line in self._lines:
            line.socket.close()
        shares = (percentile(self._took, share) or 0.0 for share in (0.5, 0.99, 1.0))
        return Tally(max(heard, end) - begun, dict(self._statuses), self._taken, *shares)

    def _line(self) -> _Line:
        line = _Line(socket.create_connection(("127.0.0.1", self._order.port)))
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.socket.setblocking(False)
        self._selector.register(line.socket, selectors.EVENT_READ, line)
        return line

    def _dues(self, begun: float) -> Iterator[float]:
        """When each post is due: at the rate, or at once, and then it waits for a free connection only."""
        for number in count():
            yield begun + number / self._order.rate if self._order.rate else time.perf_counter()

    def _hear(self, line: _Line, begun: float) -> float:
        """Note an answer; when it was whole, 0 when it is not yet."""
        status = line.answer()
        if not status:
            return 0.0
        now = time.perf_counter()
        self._idle.append(line)
        self._taken += status == HTTPStatus.OK
        if line.due >= begun:
            self._statuses[str(status)] += 1
            self._took.append((now - line.due) * 1000)
        return now


def _event(order: Order, number: int, at: datetime) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"{order.name}-{number}",
        "source": order.source,
        "type": "order.changed",
        "subject": f"order/{number}",
        "time": at.isoformat(),
        "sourceversion": str(number),
        "data": {
            "number": str(number),
            "status": "accepted",
            "total": {"amount": "4990.00", "currency": "RUB"},
            "customer": {"name": "Иван Петров", "phone": "+79123456789", "email": "ivan@example.com"},
            "comment": "Позвонить за час до доставки, код домофона 17",
            "lines": [
                {"product": "501", "name": "Кофе в зёрнах, 1 кг", "quantity": "2", "price": "1990.00"},
                {"product": "502", "name": "Чай зелёный, 100 г", "quantity": "1", "price": "1010.00"},
            ],
        },
    }


if __name__ == "__main__":
    sender = Sender(Order(**json.load(sys.stdin)))
    gc.disable()  # the sender's own pauses are not the door's
    sys.stdout.write(json.dumps(asdict(sender.send())) + "\n")
