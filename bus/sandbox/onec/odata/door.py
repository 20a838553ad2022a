"""The interface's endpoint: who asks, in which session, what goes wrong, and in which form the answer goes out."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bus.sandbox.envelope import RestError, Row
from bus.sandbox.onec.odata import faulty
from bus.sandbox.onec.odata.answers import Answer, Form, form, page, refusal
from bus.sandbox.onec.odata.service import Call, Service
from bus.sandbox.rest import DROPPED, Dropped, hang_up
from bus.sandbox.site import Hit, code_of

if TYPE_CHECKING:
    from bus.sandbox.onec.base import Base

_READS = frozenset({"GET", "HEAD"})


@dataclass
class Exchange:
    """One HTTP request on its way: `method` is what faults match and the log shows, `PATCH Catalog_Контрагенты`."""

    number: int
    call: Call
    form: Form
    hit: Hit
    ibsession: str = ""

    @property
    def method(self) -> str:
        return f"{self.call.verb} {self.call.name}"


class Door:
    """The ASGI endpoint. The base's lock is held only while the work is done; waiting is done outside of it."""

    def __init__(self, base: Base) -> None:
        self._base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        began = time.perf_counter()
        exchange = await self._opened(request)
        try:
            response, error = await self._answer(request, exchange)
        except Dropped:
            response, error = None, DROPPED
        self._note(exchange, response, error, time.perf_counter() - began)
        if response is None:
            await hang_up(scope)
        else:
            await response(scope, receive, send)

    async def _opened(self, request: Request) -> Exchange:
        root = f"{request.url.scheme}://{request.headers.get('host', '127.0.0.1')}"
        call = Call(
            verb=request.method,
            path=request.path_params.get("path", ""),
            query=request.scope["query_string"].decode("latin-1"),
            body=await request.body(),
            headers=dict(request.headers),
            host=root,
        )
        return Exchange(self._base.calls.open(), call, form(call), Hit(self._base.user))

    async def _answer(self, request: Request, exchange: Exchange) -> tuple[Response, str | None]:
        try:
            self._connect(exchange)
            too_long = faulty.too_long(request, self._base.switches)
            if too_long:
                return too_long, "TOO_LONG"
            if not self._known(request):
                return faulty.unauthorized(), "401"
            strange = faulty.page_instead(self._base.faults, exchange.method)
            if strange:
                return strange, "HTML"
            return await self._in_session(request, exchange)
        except RestError as error:
            return refusal(exchange.form, error), code_of(error)

    async def _in_session(self, request: Request, exchange: Exchange) -> tuple[Response, str | None]:
        sessions, offered = self._base.sessions, self._base.switches.ib_session
        faulty.strike_session(self._base, exchange.method)
        kept = request.cookies.get("ibsession", "") if offered else ""
        pause = sessions.warm_up()
        sessions.enter(kept)
        try:
            wanted = request.headers.get("ibsession", "").lower() if offered else ""
            if wanted == "start" and not kept:
                exchange.ibsession = sessions.start()
            await asyncio.sleep(pause + self._latency(exchange))
            answer = self._work(exchange)
            if wanted == "finish":
                sessions.finish(kept)
        finally:
            sessions.leave(kept)
        response = page(exchange.form, answer)
        if exchange.ibsession:
            response.set_cookie("ibsession", exchange.ibsession, path="/base")
        return response, None

    def _latency(self, exchange: Exchange) -> float:
        fault = self._base.faults.take("latency", exchange.method)
        return (fault.seconds if fault else 0.0) + self._base.switches.latency.get(exchange.call.kind, 0.0)

    def _work(self, exchange: Exchange) -> Answer:
        base, method = self._base, exchange.method
        faulty.strike(base.faults, method)
        with base.lock:
            answer = Service(base).run(exchange.call, exchange.form, exchange.hit)
        late = next((kind for kind in ("drop_after", "error_after") if base.faults.take(kind, method)), None)
        if exchange.hit.seen:
            base.edit_behind(method, exchange.hit)
        if late == "drop_after":
            raise Dropped
        if late == "error_after":
            raise faulty.internal()
        return answer

    def _connect(self, exchange: Exchange) -> None:
        """The base is gone, or hangs up before it has done anything."""
        down = self._base.faults.take("down", exchange.method)
        if down and down.extra.get("status"):
            raise RestError("-1", "Сервер недоступен", int(down.extra["status"]))
        if down or self._base.faults.take("drop_before", exchange.method):
            raise Dropped

    def _known(self, request: Request) -> bool:
        """Basic, the login in UTF-8: one in cp1251 is somebody else's, as behind IIS."""
        if self._base.faults.take("auth_revoked", request.method):
            return False
        kind, _, sent = request.headers.get("authorization", "").partition(" ")
        try:
            said = base64.b64decode(sent, validate=True)
        except binascii.Error:
            return False
        return kind.lower() == "basic" and hmac.compare_digest(
            said, f"{self._base.login}:{self._base.password}".encode()
        )

    def _note(self, exchange: Exchange, response: Response | None, error: str | None, spent: float) -> None:
        line: Row = {
            "request": exchange.number,
            "method": exchange.method,
            "batch": None,
            "status": response.status_code if response else 0,
            "error": error,
            "ms": round(spent * 1000, 3),
            "write": exchange.call.kind in ("write", "post"),
        }
        self._base.calls.note(line, self._base.clock())
