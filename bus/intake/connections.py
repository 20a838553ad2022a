"""Connections: what a client may keep waiting, and for how long, before there is a request that could be answered.

uvicorn gives a head all the time and memory it likes. Here a head comes within seconds and kilobytes, what is left of a
body after its answer too, and when the house is full, whoever has been silent for the longest goes.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from time import monotonic
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

HEAD_S = 10.0
"""From the connection, or from the first byte of a further request, until its last header."""
HEAD_BYTES = 32_768
"""Of a request's line and headers: nginx takes as much."""
LINGER_S = 5.0
"""What is left of a body whose answer has been given is read for so long: else the client might not see the answer."""
_AROUND = 4
"""Bytes of a header beside its name and value; a thousand empty ones are no less work."""
_SPARE_FILES = 128
"""For the ledger, Redis, logs and listeners."""
MOST = min(2_000, max(64, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES))
"""Connections at a time."""

_TOO_LARGE = b"431 Request Header Fields Too Large"
_FULL = b"503 Service Unavailable"


class Connection(HttpToolsProtocol):
    """One connection of a client."""

    head_s, head_bytes, linger_s, most = HEAD_S, HEAD_BYTES, LINGER_S, MOST

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """As uvicorn makes one."""
        super().__init__(config, server_state, app_state, _loop)
        self._timer: asyncio.TimerHandle | None = None
        self._awaits_head = True
        self._head = self._messages = 0
        self.since = monotonic()
        """When it last began to wait for a request."""

    @property
    def silent(self) -> bool:
        """Nobody works for it: neither is a request here, nor an answer under way."""
        return self._awaits_head and not self._answering

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request, whatever uvicorn's types say
        return cycle is not None and not cycle.response_complete

    # --- what the transport tells -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin, or make room first."""
        super().connection_made(transport)
        self._arm(self.head_s)
        if len(self.connections) > self.most:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on. A head is counted here too: of one without an end the parser tells nothing."""
        if self._awaits_head and self._timer is None:
            self._arm(self.head_s)
        messages = self._messages
        super().data_received(data)
        if self._awaits_head and messages == self._messages:
            self._count(len(data))

    # --- what the parser tells --------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header, or one behind a body."""
        self._count(len(name) + len(value) + _AROUND)
        if not self.transport.is_closing():
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is here."""
        if self.transport.is_closing():
            return
        self._disarm()
        self._awaits_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is here."""
        if self.transport.is_closing():
            return
        self._disarm()
        self._awaits_head, self._head = True, 0
        self._messages += 1
        self.since = monotonic()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is given; a body that was not waited for has a moment to end."""
        super().on_response_complete()
        if not self._awaits_head:
            self._arm(self.linger_s)

    # --- limits -----------------------------------------------------------------------------------------------------

    def _count(self, length: int) -> None:
        self._head += length
        if self._head > self.head_bytes:
            self._refuse(_TOO_LARGE)

    def _make_room(self) -> None:
        others: Iterator[Connection] = (one for one in self.connections if isinstance(one, Connection))
        silent = [one for one in others if one is not self and one.silent and not one.transport.is_closing()]
        if silent:
            min(silent, key=lambda one: one.since).transport.close()
        else:
            self._refuse(_FULL, b"Retry-After: 1\r\n")

    def _refuse(self, status: bytes, header: bytes = b"") -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\n" + header + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            self.transport.close()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._answering:  # an earlier request
            self._arm(self.linger_s)
        elif not self.transport.is_closing():
            self.transport.close()


OPTIONS: dict[str, Any] = {
    "http": Connection,
    "ws": "none",
    "log_config": None,
    "access_log": False,
    "server_header": False,
}
"""How uvicorn serves the door."""
