"""The contract, as documents made from the code that holds it: JSON Schemas of the events, AsyncAPI of the channels."""

from __future__ import annotations

from typing import Any

from bus.channels import ENTITY_CHANNELS, MESSAGE_EVENTS, apply_task
from bus.envelope import EVENT_TYPES, Event
from bus.model import MODELS, Kind

VERSION = "1.0.0"
"""Of the contract: the first number grows when a producer or consumer has to change."""

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_INSIDE = "#/$defs/"
_COMPONENTS = "#/components/schemas/"


def json_schemas() -> dict[str, Schema]:
    """For each event type a JSON Schema of the whole event, complete in itself."""
    return {
        event_type: {
            "$schema": _DIALECT,
            **_event(event_type, _INSIDE),
            "$defs": _models(_like(event_type).kind, _INSIDE),
        }
        for event_type in EVENT_TYPES
    }


def components() -> dict[str, Schema]:
    """Schemas of every event type and of what they carry, to stand under `components/schemas` of a larger document."""
    schemas: dict[str, Schema] = {}
    for kind in MODELS:
        schemas |= _models(kind, _COMPONENTS)
    return schemas | {event_type: _event(event_type, _COMPONENTS) for event_type in EVENT_TYPES}


def any_event() -> Schema:
    """An event of any type, where `components()` is at hand."""
    return _one_of(EVENT_TYPES)


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0.0 of the channels: Celery messages on Redis that carry events."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Integration bus",
            "version": VERSION,
            "description": "Normalized events of the systems that the bus keeps in step. A message is a bell: the "
            "ledger holds the events, so that a message may come twice, late or never, and nothing depends on it.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "redis": {"host": "redis:6379", "protocol": "redis", "description": "Redis or Valkey, BUS_BROKER_URL"}
        },
        "channels": {name: _channel(name, purpose) for name, purpose in ENTITY_CHANNELS.items()},
        "operations": _operations(),
        "components": {
            "messages": {_message_name(name): _message(name) for name in ENTITY_CHANNELS},
            "schemas": components(),
        },
    }


def _like(event_type: str) -> Event:
    """An event of this type, to ask for its channel and kind."""
    return Event.model_construct(source="any", subject="any/0", type=event_type)


def _event(event_type: str, prefix: str) -> Schema:
    schema = Event.model_json_schema()
    data: Schema = {"$ref": prefix + MODELS[_like(event_type).kind].__name__}
    deleted = _like(event_type).deleted
    properties = schema["properties"] | {
        "id": {"type": "string", "maxLength": 255, "description": "derived from what happened where it is absent"},
        "type": {"const": event_type, "type": "string"},
        "data": {"anyOf": [data, {"type": "null"}]} if deleted else data,
    }
    required = schema["required"] if deleted else [*schema["required"], "data"]
    return {**schema, "title": event_type, "properties": properties, "required": required}


def _models(kind: Kind, prefix: str) -> dict[str, Schema]:
    """The model of a kind and all it refers to, by name."""
    schema = MODELS[kind].model_json_schema(ref_template=prefix + "{model}")
    nested: dict[str, Schema] = schema.pop("$defs", {})
    return nested | {MODELS[kind].__name__: schema}


def _one_of(event_types: tuple[str, ...]) -> Schema:
    return {"oneOf": [{"$ref": _COMPONENTS + event_type} for event_type in event_types]}


def _carried(channel: str) -> tuple[str, ...]:
    return tuple(event_type for event_type in EVENT_TYPES if _like(event_type).channel == channel)


def _message_name(channel: str) -> str:
    return f"{channel}.message"


def _channel(name: str, purpose: str) -> dict[str, Any]:
    message = _message_name(name)
    return {
        "address": name,
        "description": purpose,
        "servers": [{"$ref": "#/servers/redis"}],
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _operations() -> dict[str, Any]:
    """What the bus itself does: its doors and lanes send, its workers receive."""
    return {
        f"{action}.{channel}": {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{_message_name(channel)}"}],
        }
        for channel in ENTITY_CHANNELS
        for action in ("send", "receive")
    }


def _message(channel: str) -> dict[str, Any]:
    """Celery's task message, protocol 2: https://docs.celeryq.dev/en/stable/internals/protocol.html."""
    return {
        "title": f"Events for the {channel} channel",
        "contentType": "application/json",
        "description": "Body of a Celery task message (protocol 2). On Redis, kombu wraps it: the list named after the "
        "queue holds JSON with `body` (this, in base64), `headers`, `properties`, `content-type`, `content-encoding`.",
        "headers": {
            "type": "object",
            "required": ["task", "id", "lang"],
            "properties": {
                "task": {"const": apply_task(channel)},
                "id": {"type": "string", "format": "uuid"},
                "lang": {"type": "string", "examples": ["py"]},
            },
        },
        "payload": _task_body(_one_of(_carried(channel))),
    }


def _task_body(event: Schema) -> Schema:
    """[args, kwargs, embed], the events the only argument. AsyncAPI's schemas are draft 07: tuples are `items`."""
    events = {"type": "array", "minItems": 1, "maxItems": MESSAGE_EVENTS, "items": event}
    arguments = {"type": "array", "minItems": 1, "maxItems": 1, "items": [events]}
    nothing = {"type": "object", "maxProperties": 0}
    return {"type": "array", "minItems": 3, "maxItems": 3, "items": [arguments, nothing, {"type": "object"}]}
