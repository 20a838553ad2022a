"""Refusals, as RFC 9457 problem documents: which field, what is wrong, what to do; never a value, never a secret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from http import HTTPStatus
from math import ceil
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bus.errors import BadInput, BusError, NotReady, Transient, UnknownOutcome

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong: the field as the sender wrote it ("events[3].data.total.amount") and why."""

    field: str
    detail: str


class Refused(BusError):
    """The request is not taken, and nothing of it was stored: `status` says why in HTTP's words."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        complaints: Sequence[Complaint] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.complaints, self.headers = status, tuple(complaints), headers


def unprocessable(complaints: Sequence[Complaint], message: str = "") -> Refused:
    """422 that lists what is wrong, the first complaint in `detail` and `field` too."""
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, message or complaints[0].detail, complaints=complaints)


def unauthorized(message: str, scheme: str) -> Refused:
    """401; RFC 9110 wants the scheme named in WWW-Authenticate."""
    return Refused(HTTPStatus.UNAUTHORIZED, message, headers={"WWW-Authenticate": scheme})


def response(
    status: int, detail: str, *, complaints: Sequence[Complaint] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    """A problem document. `type` is about:blank: the status and the text say all there is."""
    document: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": int(status)}
    document["detail"] = detail
    if complaints:
        document |= {"field": complaints[0].field, "errors": [asdict(complaint) for complaint in complaints]}
    return JSONResponse(document, int(status), headers, MEDIA_TYPE)


def install(app: FastAPI, now: Callable[[], datetime]) -> None:
    """Make every error of `app` a problem document; what is not foreseen here is bus.intake.observed's 500."""

    def not_now(_: Request, error: Exception) -> JSONResponse:
        return _not_now(error, now())

    for later in (Transient, NotReady, UnknownOutcome):
        app.add_exception_handler(later, not_now)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(BadInput, _bad_input)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)  # noqa: S101 - registered for this class; tells mypy
    return response(error.status, str(error), complaints=error.complaints, headers=error.headers)


async def _bad_input(_: Request, error: Exception) -> JSONResponse:
    field = getattr(error, "field", None) or "body"
    return response(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), complaints=[Complaint(field, str(error))])


async def _http(_: Request, error: Exception) -> JSONResponse:
    """Starlette's own: no such path, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class; tells mypy
    known = {404: "there is nothing here; see /openapi.json", 405: "this path takes another method; see Allow"}
    return response(error.status_code, known.get(error.status_code, error.detail), headers=dict(error.headers or {}))


async def _gone(_: Request, __: Exception) -> JSONResponse:
    return response(HTTPStatus.BAD_REQUEST, "the request ended before its body did")


def _not_now(error: Exception, now: datetime) -> JSONResponse:
    """The sender repeats it: acceptance is idempotent, so that an unknown outcome may be repeated as well."""
    _log.warning("intake.not_ready", error=type(error).__name__, reason=str(error))
    seconds = ceil((error.until - now).total_seconds()) if isinstance(error, NotReady) else RETRY_AFTER_S
    headers = {"Retry-After": str(max(1, seconds))}
    return response(HTTPStatus.SERVICE_UNAVAILABLE, "not taken, send it again later", headers=headers)
