"""POST /events: normalized events from producers of our own format, one or a batch, signed."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from http import HTTPStatus

from fastapi import APIRouter, Request

from bus.envelope import Event, parse, timely
from bus.errors import BadInput
from bus.intake import body, openapi, strict_json
from bus.intake.desk import Desk, Taken
from bus.intake.problems import Complaint, Refused, unprocessable
from bus.model import Json
from bus.ports import Arrival, Entry

PATH = "/events"
MAX_EVENTS = 1000
MAX_COMPLAINTS = 20
ONE, BATCH, EITHER = "application/cloudevents+json", "application/cloudevents-batch+json", "application/json"


def router(desk: Desk) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["events"])

    @routes.post(PATH, summary="Take one event or a batch", **openapi.events(ONE, BATCH, EITHER, MAX_EVENTS))
    async def post_events(request: Request) -> Taken:
        _refuse_binary_mode(request)
        desk.bodies.admit(request, (ONE, BATCH, EITHER))
        desk.keyring.look(request.headers)
        (sender, arrival), size = await desk.bodies.read(request, partial(_arrival, desk, request))
        return await desk.accept(sender, PATH, arrival, size)

    return routes


def _arrival(desk: Desk, request: Request, raw: bytes) -> tuple[str, Arrival]:
    """Who sends what. Raises Refused or BadInput."""
    text = body.text(raw)
    sender = desk.keyring.sender(request.headers, text)
    request.state.system = sender
    document = strict_json.loads(text, root="events" if text.lstrip()[:1] == "[" else "")
    events = _events(document, body.media_type(request), desk.now())
    for at, event in enumerate(events):
        if event.source != sender:
            where = _field("source", at, document)
            raise _not_yours(where, event.source)
    return sender, Arrival([Entry(event) for event in events])


def _events(document: Json, media_type: str, now: datetime) -> list[Event]:
    """Every event of a request, or a refusal that lists what is wrong with any of them."""
    items = document if isinstance(document, list) else [document]
    if media_type != EITHER and isinstance(document, list) != (media_type == BATCH):
        raise BadInput(f"body: {ONE} is one object, {BATCH} an array", field="body")
    if len(items) > MAX_EVENTS:
        raise BadInput(f"events: {len(items)} in one batch; at most {MAX_EVENTS} are taken", field="events")
    events: list[Event] = []
    complaints: list[Complaint] = []
    for at, item in enumerate(items):
        try:
            events.append(_event(item, now))
        except BadInput as error:
            complaints.append(_complaint(error, at, document))
            if len(complaints) == MAX_COMPLAINTS:
                break
    if complaints:
        raise unprocessable(complaints)
    return events


def _event(item: Json, now: datetime) -> Event:
    if isinstance(item, dict) and not isinstance(item.get("sourceversion"), str | None):
        raise BadInput(
            "sourceversion: not a text", field="sourceversion"
        )  # an id is derived from it before it is checked
    return timely(parse(item), now)


def _complaint(error: BadInput, at: int, document: Json) -> Complaint:
    """The complaint about one event, with its place in the batch before the field."""
    field = error.field or "event"
    if not isinstance(document, list):
        return Complaint(field, str(error))
    if field == "event":  # a complaint about the whole event, and "event: " is how it begins
        return Complaint(f"events[{at}]", f"events[{at}]{str(error).removeprefix('event')}")
    return Complaint(f"events[{at}].{field}", f"events[{at}].{error}")


def _field(name: str, at: int, document: Json) -> str:
    return f"events[{at}].{name}" if isinstance(document, list) else name


def _not_yours(field: str, source: str) -> Refused:
    message = f"{field}: {source!r} is not the system whose key signed this"
    return Refused(HTTPStatus.FORBIDDEN, message, complaints=[Complaint(field, message)])


def _refuse_binary_mode(request: Request) -> None:
    """CloudEvents' binary mode puts id, type and subject into headers, and the signature covers the body alone."""
    if "ce-specversion" in request.headers:
        message = f"binary mode is not taken, the signature would not cover its headers; send {ONE}"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
