"""POST /shop/{system}: the shop's own handler tells of an order, whole, from its outbox, until we have answered 2xx."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bus import translate
from bus.config import System
from bus.envelope import bad_input
from bus.errors import BadInput
from bus.intake import body, openapi, strict_json
from bus.intake.desk import Desk, Taken
from bus.model import Json
from bus.ports import Arrival, Entry, Notification, RawRecord

PATH = "/shop/{system}"
JSON = "application/json"

_ID = re.compile(r"[1-9][0-9]{0,17}")


class ShopEvent(BaseModel):
    """What the shop's handler sends; `order` is what sale.order.get answers, with its payments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=255, description="of this event in the shop's outbox")]
    event: Literal["order.saved", "order.deleted"]
    occurred_at: AwareDatetime
    user_id: int | Annotated[str, Field(max_length=255)] | None = Field(
        default=None, description="who saved it; null or 0 for a visitor"
    )
    order: dict[str, Json]


def router(desk: Desk) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["shop"])

    @routes.post(PATH, summary="Take an order from the shop", **openapi.shop(JSON))
    async def post_shop(request: Request, system: str) -> Taken:
        part = desk.system(request, system, "bitrix_cms")
        desk.bodies.admit(request, (JSON,))
        desk.keyring.look(request.headers)
        arrival, size = await desk.bodies.read(request, partial(_arrival, desk, request, system, part))
        return await desk.accept(system, PATH, arrival, size)

    return routes


def _arrival(desk: Desk, request: Request, name: str, system: System, raw: bytes) -> Arrival:
    """What the shop tells. Raises Refused or BadInput."""
    text = body.text(raw)
    desk.keyring.sender(request.headers, text, name)
    told = _told(strict_json.loads(text))
    order_id = _order_id(told.order)
    if told.event == "order.deleted":
        return Arrival(notifications=[Notification(name, "order", order_id, deleted=True, correlationid=told.id)])
    return Arrival(_entries(desk, name, system, told, RawRecord("order", order_id, told.order)))


def _told(document: Json) -> ShopEvent:
    try:
        return ShopEvent.model_validate(document)
    except ValidationError as error:
        raise bad_input(error) from None


def _order_id(order: dict[str, Json]) -> str:
    order_id = str(order.get("id", ""))
    if not _ID.fullmatch(order_id):
        raise BadInput("order.id: not the id of an order", field="order.id")
    return order_id


def _entries(desk: Desk, name: str, system: System, told: ShopEvent, record: RawRecord) -> list[Entry]:
    """The order and its payments as journal entries, done by whoever saved it."""
    try:
        made = translate.entries(name, system.kind, record, desk.mappings, correlationid=told.id)
    except BadInput as error:
        raise BadInput(f"order: {error}", field=f"order.{error.field}" if error.field else "order") from None
    except ValidationError as error:  # the parts of a record are listed before a translator looks at it
        complaint = bad_input(error)
        raise BadInput(f"order: {complaint}", field=f"order.{complaint.field}") from None
    return [_by(entry, told.user_id) for entry in made]


def _by(entry: Entry, user: int | str | None) -> Entry:
    """Name the user who saved the order: of the record's own users the last one only set its status, or its payment."""
    if user in (None, "", 0, "0"):
        return entry
    return replace(entry, event=entry.event.model_copy(update={"actor": f"user:{user}"}))
