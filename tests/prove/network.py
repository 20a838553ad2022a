"""Network: what lies between the bus and a system may hold a request that creates something, and hand it over later.

The bus sees a connection that ended without an answer, and cannot know whether the call was lost, has done its work, or
is still on its way. Only a history says when it arrives.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bus.sandbox.rest import hang_up

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Message, Receive, Scope, Send

_TIMEOUT_S = 5.0
CREATIONS = {
    "crm": "crm.item.add",
    "shop": "sale.payment.add",
    "onec": "post *",
}
"""What makes a record in each system, as the stand-ins' faults call it."""


@dataclass(frozen=True)
class Request:
    """One that is on its way."""

    due: float
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Network:
    """The way to one system's door. `clock`: the virtual time that has passed."""

    def __init__(self, app: Starlette, creates: Callable[[str, str, str], bool], clock: Callable[[], float]) -> None:
        self._app, self._creates, self._clock = app, creates, clock
        self.state = app.state
        self.url = ""
        self._delay_s: float | None = None
        self._handing = False
        self.held: list[Request] = []

    def delay(self, seconds: float) -> None:
        """Hold the next request that creates something for so long."""
        self._delay_s = seconds

    @property
    def idle(self) -> bool:
        """It holds nothing any more that it was told to: the request has come, and was held."""
        return self._delay_s is None

    def clear(self) -> None:
        """Forget all."""
        self._delay_s = None
        self.held.clear()

    def pass_on(self) -> None:
        """Hand over what was held long enough. Nobody waits for its answer any more."""
        now = self._clock()
        due, self.held = [one for one in self.held if one.due <= now], [one for one in self.held if one.due > now]
        self._handing = True
        for one in due:
            connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=_TIMEOUT_S)
            try:
                connection.request(one.method, one.target, body=one.body, headers=one.headers)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):  # a fault of the system has struck it
                pass
            finally:
                connection.close()
        self._handing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or hold it and hang up."""
        if self._delay_s is None or self._handing or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if self._creates(scope["method"], scope["path"], unquote(body.decode("utf-8", "replace"))):
            self.held.append(_request(scope, body, self._clock() + self._delay_s))
            self._delay_s = None
            scope["sandbox.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
            await hang_up(scope)
        else:
            await self._app(scope, _again(body), send)


def rest_creates(method: str) -> Callable[[str, str, str], bool]:
    """Whether a request to a Bitrix REST door calls this method, by itself or in a batch."""
    return lambda _, path, body: method in path or method in body


def odata_creates(verb: str, path: str, body: str) -> bool:
    """Whether a request to 1C makes an object: a POST to a set of them, not to one of its objects."""
    del body
    return verb == "POST" and path.rpartition("/")[2].startswith(("Document_", "Catalog_")) and "(" not in path


def _request(scope: Scope, body: bytes, due: float) -> Request:
    target = scope["raw_path"].decode("ascii") + (
        f"?{query}" if (query := scope["query_string"].decode("ascii")) else ""
    )
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(due, scope["method"], target, headers, body)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes) -> Receive:
    said = [body]

    async def receive() -> Message:
        if said:
            return {"type": "http.request", "body": said.pop(), "more_body": False}
        return {"type": "http.disconnect"}

    return receive
