"""What goes wrong at the door: refusals on demand, strange pages, lost sessions, licences, long addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from bus.sandbox.envelope import RestError
from bus.sandbox.faults import Faults
from bus.sandbox.onec.odata.sessions import lost_session, no_licence
from bus.sandbox.onec.switches import Switches

if TYPE_CHECKING:
    from bus.sandbox.onec.base import Base

SEGMENT_LIMIT = 260
"""http.sys refuses a longer path segment, counted in characters, before 1C sees it."""


def unauthorized() -> Response:
    """The web server's own 401: no envelope."""
    response = _html(401, "401 - Unauthorized: Access is denied due to invalid credentials.")
    response.headers["www-authenticate"] = 'Basic realm="1C:Enterprise 8.3"'
    return response


def too_long(request: Request, switches: Switches) -> Response | None:
    """The web server's answers to an address that is too long for it."""
    if any(len(segment) > SEGMENT_LIMIT for segment in request.url.path.split("/")):
        return _html(400, "Bad Request - Invalid URL")
    if len(request.scope["query_string"]) > switches.query_limit:
        return _html(404, "404.15 - Not Found: the query string is too long")
    return None


def page_instead(faults: Faults, method: str) -> Response | None:
    """A page for people where data was asked for: with 200, or the nightly maintenance."""
    if faults.take("html_page", method):
        return _html(200, "1С:Предприятие")
    closed = faults.take("maintenance", method)
    if closed is None:
        return None
    text = str(closed.extra.get("text", "Начало сеанса с информационной базой запрещено. Обновление базы."))
    return _html(int(closed.extra.get("status", 503)), text)


def strike_session(base: Base, method: str) -> None:
    """The session is gone, or no licence is free."""
    lost = base.faults.take("session_lost", method)
    if lost:
        base.sessions.lose()
        raise lost_session(int(lost.extra.get("status", 404)))
    unlicensed = base.faults.take("no_licence", method)
    if unlicensed:
        raise no_licence(int(unlicensed.extra.get("status", 406)))


def strike(faults: Faults, method: str) -> None:
    """Refusals before the commit."""
    if faults.take("error_before", method):
        raise internal()
    refused = faults.take("refuse", method)
    if refused:
        said = refused.extra
        raise RestError(str(said.get("error", "-1")), str(said.get("text", "")), int(said.get("status", 500)))


def internal() -> RestError:
    return RestError("-1", "Внутренняя ошибка", 500)


def _html(status: int, text: str) -> Response:
    page = f"<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>{text}</h1></body></html>"
    return Response(page.encode(), status, media_type="text/html")
