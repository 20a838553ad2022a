"""What the routes say of themselves in /openapi.json: bodies are read raw, so that FastAPI cannot know their shape."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bus import contract
from bus.intake.problems import MEDIA_TYPE

VERSION = contract.VERSION

Said = dict[str, Any]

_PROBLEM: Said = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. Nothing of the request was stored.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "the first field that is wrong: events[3].data.total.amount"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

_WHY = {
    400: "The body is no JSON or form, or one that readers would disagree on",
    401: "Not proven who sends this",
    403: "The sender speaks for another system",
    404: "There is no such system",
    408: "The body did not come in time",
    413: "The body is too large",
    415: "Another media type, charset, Content-Encoding or content mode",
    422: "A field is wrong; it is named",
    500: "The fault is ours; send it again",
    503: "Not now; send it again after Retry-After seconds",
}


def problems(*statuses: int) -> dict[int | str, Said]:
    """The refusals of a route."""
    return {status: _problem(status) for status in statuses}


def events(one: str, batch: str, either: str, most: int) -> Said:
    """POST /events."""
    event = contract.any_event()
    batched = {"type": "array", "maxItems": most, "items": event}
    content = {one: event, batch: batched, either: {"oneOf": [event, batched]}}
    return {
        "openapi_extra": {"requestBody": _body(content), "parameters": _signature()},
        "responses": problems(400, 401, 403, 408, 413, 415, 422, 500, 503),
    }


def shop(media_type: str) -> Said:
    """POST /shop/{system}."""
    return {
        "openapi_extra": {
            "requestBody": _body({media_type: {"$ref": "#/components/schemas/ShopEvent"}}),
            "parameters": _signature(),
        },
        "responses": problems(400, 401, 404, 408, 413, 415, 422, 500, 503),
    }


def bitrix24(media_type: str) -> Said:
    """POST /bitrix24/{system}."""
    ignored = {
        "description": "An event that means nothing to the bus; nothing was stored",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Taken"}}},
    }
    return {
        "openapi_extra": {"requestBody": _body({media_type: _PORTAL_EVENT})},
        "responses": {202: ignored, **problems(400, 401, 404, 408, 413, 415, 422, 500, 503)},
    }


def metrics() -> Said:
    """GET /metrics."""
    from_library = {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"responses": {200: from_library}}


def install(app: FastAPI, **own: Said) -> None:
    """Serve the document, with `own` and the other schemas that routes only refer to; made when first asked for."""

    def document() -> Said:
        if not app.openapi_schema:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            made["components"]["schemas"] |= {"Problem": _PROBLEM, **contract.components(), **own}
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _problem(status: int) -> Said:
    said: Said = {
        "description": _WHY.get(status, HTTPStatus(status).phrase),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        said["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return said


def _body(content: dict[str, Said]) -> Said:
    return {"required": True, "content": {media: {"schema": schema} for media, schema in content.items()}}


def _signature() -> list[Said]:
    """Standard Webhooks: https://www.standardwebhooks.com."""
    said = {
        "webhook-id": "of this sending",
        "webhook-timestamp": "seconds since 1970, within 5 minutes of now",
        "webhook-signature": "v1,base64(HMAC-SHA256(key, id.timestamp.body)); several by spaces",
    }
    return [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": text}
        for name, text in said.items()
    ]


_PORTAL_EVENT: Said = {
    "type": "object",
    "required": ["event", "auth[application_token]"],
    "description": "As Bitrix24 sends it, in PHP's brackets. Events of deals are taken, and of counterparties where "
    "their route takes them in; others are answered with 202.",
    "properties": {
        "event": {"type": "string", "examples": ["ONCRMDEALUPDATE"]},
        "data[FIELDS][ID]": {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
        "auth[application_token]": {"type": "string"},
        "auth[member_id]": {"type": "string"},
    },
}
