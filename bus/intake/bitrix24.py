"""POST /bitrix24/{system}: a portal's outgoing webhook, "deal 759 changed"; the system's lane fetches the rest.

Bitrix24 sends each of these once and never again, with the record's id and no state. There is no delivery id, and two
changes in one second look the same, so that every one is journaled as "this record is dirty" and none dropped here.
"""

from __future__ import annotations

import hmac
import re
from functools import partial
from http import HTTPStatus

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import SecretStr

from bus.config import System
from bus.errors import BadInput
from bus.intake import body, openapi, php_form
from bus.intake.desk import Desk, Taken
from bus.intake.php_form import Form
from bus.intake.problems import unauthorized
from bus.ports import Arrival, Notification

PATH = "/bitrix24/{system}"
FORM = "application/x-www-form-urlencoded"

#: event -> the deal is gone
DEAL_EVENTS = {
    "ONCRMDEALADD": False,
    "ONCRMDEALUPDATE": False,
    "ONCRMDEALMOVETOCATEGORY": False,
    "ONCRMDEALDELETE": True,
}

_EVENT = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_ID = re.compile(r"[1-9][0-9]{0,17}")
_log = structlog.get_logger(__name__)


def router(desk: Desk) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["bitrix24"])

    @routes.post(PATH, summary="Take a portal's outgoing webhook", response_model=Taken, **openapi.bitrix24(FORM))
    async def post_bitrix24(request: Request, system: str) -> Taken | JSONResponse:
        part = desk.system(request, system, "bitrix24")
        raw = await body.read(request, (FORM,), desk.config.limits.body_bytes)
        arrival = await body.considered(raw, partial(_arrival, desk, system, part))
        if arrival is None:
            return JSONResponse({"new": 0, "known": 0}, HTTPStatus.ACCEPTED)
        return await desk.accept(system, PATH, arrival, len(raw))

    return routes


def _arrival(desk: Desk, name: str, system: System, raw: bytes) -> Arrival | None:
    """What the portal tells; None when it is nothing to us. Raises Refused or BadInput."""
    form = php_form.parse(raw)
    _authenticate(system, form)
    event = _event(form)
    if event not in DEAL_EVENTS:
        desk.meters.ignored.labels(name, PATH).inc()
        _log.info("intake.ignored", system=name, name=event)
        return None
    changed = Notification(name, "deal", _deal_id(form), deleted=DEAL_EVENTS[event])
    return Arrival(notifications=[changed])


def _authenticate(system: System, form: Form) -> None:
    """The token is all that proves the sender: there is no signature. Which of the two was wrong is not told."""
    token = _same(php_form.text(form, "auth", "application_token"), system.application_token)
    member = system.member_id is None or _same(php_form.text(form, "auth", "member_id"), SecretStr(system.member_id))
    if not (token and member):
        raise unauthorized("auth: not the token of this portal's outgoing webhook", "Bitrix24")


def _same(given: str, expected: SecretStr | None) -> bool:
    """Compared in constant time. What is absent is not the same, not even as an absent secret."""
    secret = expected.get_secret_value() if expected else ""
    return bool(given and secret) and hmac.compare_digest(given.encode(), secret.encode())


def _event(form: Form) -> str:
    event = php_form.text(form, "event").upper()
    if not _EVENT.fullmatch(event):
        raise BadInput("event: not the name of an event", field="event")
    return event


def _deal_id(form: Form) -> str:
    deal = php_form.text(form, "data", "FIELDS", "ID")
    if not _ID.fullmatch(deal):
        raise BadInput("data[FIELDS][ID]: not the id of a deal", field="data[FIELDS][ID]")
    return deal
