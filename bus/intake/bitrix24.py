"""POST /bitrix24/{system}: a portal's outgoing webhook, "deal 759 changed"; the system's lane fetches the rest.

Requisites, accounts and addresses have events of their own, which do not say whose they are: they are notified as parts
of a counterparty ("requisite:501"), and reading tells whose. Of one that was deleted nobody can tell that any more:
reconciliation finds it. Counterparties are told of only where their route takes them in.

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

from bus.config import System
from bus.errors import BadInput
from bus.intake import openapi, php_form
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
#: event -> what of a counterparty it names
PARTY_EVENTS = {
    f"ONCRM{name}{verb}": part
    for name, part, verbs in (
        ("COMPANY", "company", ("ADD", "UPDATE", "DELETE")),
        ("CONTACT", "contact", ("ADD", "UPDATE", "DELETE")),
        ("REQUISITE", "requisite", ("ADD", "UPDATE")),
        ("BANKDETAIL", "bankdetail", ("ADD", "UPDATE")),
        ("ADDRESS", "address", ("REGISTER", "UNREGISTER")),
    )
    for verb in verbs
}
_OWNERS = {"3": "contact", "4": "company"}
"""entityTypeId of those whom requisites and addresses belong to."""

_EVENT = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_ID = re.compile(r"[1-9][0-9]{0,17}")
_log = structlog.get_logger(__name__)


def router(desk: Desk) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["bitrix24"])

    @routes.post(PATH, summary="Take a portal's outgoing webhook", response_model=Taken, **openapi.bitrix24(FORM))
    async def post_bitrix24(request: Request, system: str) -> Taken | JSONResponse:
        part = desk.system(request, system, "bitrix24")
        desk.bodies.admit(request, (FORM,))
        arrival, size = await desk.bodies.read(request, partial(_arrival, desk, system, part))
        if arrival is None:
            return JSONResponse({"new": 0, "known": 0}, HTTPStatus.ACCEPTED)
        return await desk.accept(system, PATH, arrival, size)

    return routes


def _arrival(desk: Desk, name: str, system: System, raw: bytes) -> Arrival | None:
    """What the portal tells; None when it is nothing to us. Raises Refused or BadInput."""
    form = php_form.parse(raw)
    _authenticate(desk, name, system, form)
    event = _event(form)
    changed = _deal(name, event, form) or _party(desk, name, event, form)
    if changed is None:
        desk.meters.ignored.labels(name, PATH).inc()
        _log.info("intake.ignored", system=name, name=event)
        return None
    return Arrival(notifications=[changed])


def _deal(system: str, event: str, form: Form) -> Notification | None:
    if event not in DEAL_EVENTS:
        return None
    return Notification(system, "deal", _id(form, "deal"), deleted=DEAL_EVENTS[event])


def _party(desk: Desk, system: str, event: str, form: Form) -> Notification | None:
    """A change of a counterparty, or of a part of it."""
    part = PARTY_EVENTS.get(event)
    if part is None or not desk.takes(system, "counterparty"):
        return None
    found = _addressed(form) if part == "address" else f"{part}:{_id(form, part)}"
    deleted = event in ("ONCRMCOMPANYDELETE", "ONCRMCONTACTDELETE")
    return Notification(system, "party", found, deleted=deleted) if found else None


def _addressed(form: Form) -> str | None:
    """Whose address it is: the anchor's; nothing to us where that is a lead's."""
    owner = _OWNERS.get(php_form.text(form, "data", "FIELDS", "ANCHOR_TYPE_ID"))
    return f"{owner}:{_id(form, owner, 'ANCHOR_ID')}" if owner else None


def _authenticate(desk: Desk, name: str, system: System, form: Form) -> None:
    """The token is all that proves the sender: there is no signature. Which of the two was wrong is not told."""
    token = desk.keyring.bears(name, php_form.text(form, "auth", "application_token"))
    member = system.member_id is None or _same(php_form.text(form, "auth", "member_id"), system.member_id)
    if not (token and member):
        raise unauthorized("auth: not the token of this portal's outgoing webhook", "Bitrix24")


def _same(given: str, expected: str) -> bool:
    """Compared in constant time. What is absent is not the same, not even as an absent one."""
    return bool(given and expected) and hmac.compare_digest(given.encode(), expected.encode())


def _event(form: Form) -> str:
    event = php_form.text(form, "event").upper()
    if not _EVENT.fullmatch(event):
        raise BadInput("event: not the name of an event", field="event")
    return event


def _id(form: Form, what: str, name: str = "ID") -> str:
    said = php_form.text(form, "data", "FIELDS", name)
    if not _ID.fullmatch(said):
        raise BadInput(f"data[FIELDS][{name}]: not the id of a {what}", field=f"data[FIELDS][{name}]")
    return said
