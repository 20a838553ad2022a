"""One line and one measurement per request, and a problem document for what nobody foresaw."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from time import perf_counter

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bus.intake import problems
from bus.intake.metrics import Meters
from bus.log import calls

_log = structlog.get_logger(__name__)
_QUIET = frozenset({"/health", "/ready", "/metrics"})


class Observed:
    """The outermost layer of the app. Endpoints leave the sender's name in `request.state.system` once they know it."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; only HTTP requests are observed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with structlog.contextvars.bound_contextvars(request=uuid.uuid4().hex):
            try:
                await self._app(scope, receive, noting)
            except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the sender gets a document and we a line
                _log.error("intake.failed", error=type(error).__name__, where=calls(error))
                if not status:
                    failed = problems.response(HTTPStatus.INTERNAL_SERVER_ERROR, "not taken; the fault is ours")
                    await failed(scope, receive, noting)
            finally:
                self._close(scope, status, perf_counter() - began)

    def _close(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        system = scope.get("state", {}).get("system", "none")
        self._meters.seconds.labels(route).observe(seconds)
        if status >= HTTPStatus.BAD_REQUEST:
            self._meters.refused.labels(system, route, str(status)).inc()
        say = _log.warning if status >= HTTPStatus.BAD_REQUEST else _log.debug if route in _QUIET else _log.info
        say("intake.answered", route=route, system=system, status=status, ms=round(seconds * 1000, 1))
