"""The REST door of a stand-in: /rest/{user}/{code}/{method}, with limits, faults, batch, log and events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from bus.sandbox import batch, phpform
from bus.sandbox.envelope import Params, RestError, Row, Stopwatch, success, unknown_method
from bus.sandbox.site import Hit, Method, Site, code_of, is_write

DROPPED = "CONNECTION_DROPPED"


class Dropped(Exception):
    """The connection ends here without an answer."""


class Json(JSONResponse):
    """JSON as the portals send it: UTF-8, compact."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass
class Exchange:
    """One HTTP request on its way through the door. `late` is what goes wrong after the commit."""

    number: int
    method: str
    params: Params
    ip: str
    hit: Hit
    late: str | None = None
    pause: float = 0.0
    key: str | None = None
    replayed: bool = False


class Door:
    """The ASGI endpoint. Handlers hold the site's lock only while they work; waiting is done outside of it.

    Another version of REST overrides read, execute, handlers, refused and answered; limits, faults and log are one.
    """

    version = 2

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        began = batch.seconds()
        exchange = Exchange(
            number=self._site.calls.open(),
            method=_method(request.path_params["method"]),
            params={},
            ip=request.client.host if request.client else "127.0.0.1",
            hit=Hit(self._site.user),
        )
        try:
            response, error = await self._answer(request, exchange)
        except Dropped:
            response, error = None, DROPPED
        self._note(exchange, response, error, began)
        try:
            if response is None:
                await hang_up(scope)
            else:
                await response(scope, receive, send)
        finally:
            self._site.publish(exchange.hit)

    async def _answer(self, request: Request, exchange: Exchange) -> tuple[Response, str | None]:
        try:
            self._connect(exchange)
            await self.read(request, exchange)
            self._authorize(request)
            moved = self._site.faults.take("moved", exchange.method)
            if moved:
                url = str(moved.extra["location"]).rstrip("/") + request.url.path
                return RedirectResponse(url, 302), "MOVED"
            self._admit(exchange)
            latency = self._site.faults.take("latency", exchange.method)
            if latency:
                await asyncio.sleep(latency.seconds)
            body = self._work(exchange, latency.seconds if latency else 0.0)
            if exchange.pause:
                await asyncio.sleep(exchange.pause)
            self._spoil(exchange)
        except RestError as error:
            return self.refused(error), code_of(error)
        return self.answered(body, exchange), None

    async def read(self, request: Request, exchange: Exchange) -> None:
        """Take the parameters out of the request."""
        exchange.params = await _params(request)

    def handlers(self) -> Mapping[str, Method]:
        """The methods behind this door, by their names in lower case."""
        return self._site.methods

    def execute(self, exchange: Exchange) -> Any:
        """The work itself."""
        if exchange.method != "batch":
            return self._call(exchange, exchange.method, exchange.params, inner=False)
        self._strike(exchange, "batch", inner=False)
        return batch.run(exchange.params, lambda command, params: self._command(exchange, command, params))

    def refused(self, error: RestError) -> Response:
        """How a refusal is said."""
        return Json(error.body(), error.status)

    def answered(self, body: Row, exchange: Exchange) -> Response:
        """How a success is said."""
        del exchange
        return Json(body)

    def _connect(self, exchange: Exchange) -> None:
        down = self._site.faults.take("down", exchange.method)
        if down and down.extra.get("status"):
            raise RestError("BAD_GATEWAY", "The portal is down", int(down.extra["status"]))
        if down or self._site.faults.take("drop_before", exchange.method):
            raise Dropped

    def _authorize(self, request: Request) -> None:
        if self._site.faults.take("auth_revoked", _method(request.path_params["method"])):
            raise RestError("NO_AUTH_FOUND", "Wrong authorization data", 401)
        if (str(request.path_params["user"]), request.path_params["code"]) != (str(self._site.user), self._site.code):
            raise RestError("INVALID_CREDENTIALS", "Invalid request credentials", 401)

    def _admit(self, exchange: Exchange) -> None:
        if self._site.faults.take("burst_503", exchange.method):
            raise RestError("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)
        self._site.limits.admit_request(exchange.ip)

    def _work(self, exchange: Exchange, waited: float) -> Row:
        site = self._site
        start, began = site.clock(), batch.seconds()
        answer = self.execute(exchange)
        if exchange.method != "batch":
            site.limits.charge(exchange.method, batch.seconds() - began + waited)
        spent = batch.seconds() - began
        watch = Stopwatch(start, processing=round(spent, 6))
        if exchange.method != "batch":
            watch.operating, watch.operating_reset_at = site.limits.counters(exchange.method)
        elif site.limits.operating:
            watch.operating, watch.operating_reset_at = 0.0, int(start) + 600
        return success(answer, watch, max(site.clock(), start + spent))

    def _command(self, exchange: Exchange, command: batch.Command, params: Params) -> tuple[Any, Row]:
        site = self._site
        start, began = site.clock(), batch.seconds()
        error: str | None = None
        try:
            latency = site.faults.take("latency", command.method, named=True)
            exchange.pause += latency.seconds if latency else 0.0
            answer = self._call(exchange, command.method, params, inner=True)
        except RestError as refusal:
            error = code_of(refusal)
            raise
        except Dropped:
            error = DROPPED
            raise
        finally:
            spent = batch.seconds() - began
            line = _line(exchange.number, command.method, command.key, (200, error), spent)
            site.calls.note({**line, "version": self.version}, start)
        site.limits.charge(command.method, spent + (latency.seconds if latency else 0.0))
        watch = Stopwatch(start, processing=round(spent, 6))
        watch.operating, watch.operating_reset_at = site.limits.counters(command.method)
        return answer, watch.body(start + spent)

    def _call(self, exchange: Exchange, method: str, params: Params, *, inner: bool) -> Any:
        site = self._site
        handler = self.handlers().get(method)
        if handler is None:
            raise unknown_method()
        site.limits.admit_method(method)
        self._strike(exchange, method, inner=inner)
        exchange.hit.seen.clear()
        with site.lock:
            answer = handler(site.held(method, params), exchange.hit)
        for kind in ("drop_after", "error_after"):
            if site.faults.take(kind, method, named=inner):
                exchange.late = exchange.late or kind
        if exchange.hit.seen:
            site.edit_behind(method, exchange.hit)
        return answer

    def _strike(self, exchange: Exchange, method: str, *, inner: bool) -> None:
        """Faults before the commit. In a batch the refusal of one command stands in result_error."""
        faults = self._site.faults
        if faults.take("method_429", method, named=inner):
            raise RestError("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429)
        if faults.take("error_before", method, named=inner):
            raise RestError("INTERNAL_SERVER_ERROR", "Internal server error", 500)
        refusal = faults.take("refuse", method, named=inner)
        if refusal:
            said = refusal.extra
            raise RestError(said.get("error", ""), str(said.get("text", "")), int(said.get("status", 400)))
        if inner and faults.take("drop_before", method, named=True):
            raise Dropped
        if method == "batch":
            for kind in ("drop_after", "error_after"):
                if faults.take(kind, method):
                    exchange.late = exchange.late or kind

    def _spoil(self, exchange: Exchange) -> None:
        """Faults after the commit: what was written stays, the answer does not come."""
        if exchange.late == "drop_after":
            raise Dropped
        if exchange.late == "error_after":
            raise RestError("INTERNAL_SERVER_ERROR", "Internal server error", 500)

    def _note(self, exchange: Exchange, response: Response | None, error: str | None, began: float) -> None:
        status = response.status_code if response else 0
        line = _line(exchange.number, exchange.method, None, (status, error), batch.seconds() - began)
        self._site.calls.note({**line, "version": self.version}, self._site.clock())


async def hang_up(scope: Scope) -> None:
    """Close the socket without an answer; without a socket (an in-process client) raise instead."""
    transport = scope.get("sandbox.transport")
    if transport is None:
        raise ConnectionResetError("the stand-in dropped the connection")
    transport.abort()
    await asyncio.sleep(0)


def _method(name: str) -> str:
    lowered = name.lower()
    return lowered.removesuffix(".json").removesuffix(".xml")


async def _params(request: Request) -> Params:
    """Query and body together, the body winning; JSON, or a form in PHP brackets."""
    params = phpform.parse(request.url.query)
    body = await request.body()
    if not body:
        return params
    if "json" in request.headers.get("content-type", "") or body[:1] == b"{":
        try:
            sent = json.loads(body)
        except ValueError:
            raise RestError("ERROR_ARGUMENT", "The request body is not JSON", 400) from None
        return {**params, **sent} if isinstance(sent, dict) else params
    return {**params, **phpform.parse(body.decode("utf-8", "replace"))}


def _line(number: int, method: str, key: str | None, outcome: tuple[int, str | None], spent: float) -> Row:
    """One line of the call log; `outcome` is the status (0: hung up) and the error."""
    status, error = outcome
    return {
        "request": number,
        "method": method,
        "batch": key,
        "status": status,
        "error": error,
        "ms": round(spent * 1000, 3),
        "write": is_write(method),
    }
