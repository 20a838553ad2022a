"""Nudging: a document of an exchange means "look at this record" to the system that reads the same 1C by OData.

1C tells by CommerceML that order N changed, soon and without all its figures (facts 1.10); the truth is read by the
other way. Which record that is, the document's GUID tells, or our own number in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bus.config import Config
from bus.envelope import Event
from bus.keys import key_of
from bus.ledger import entities
from bus.ledger.database import Connection
from bus.model import Kind
from bus.ports import Notification

GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def nudges(connection: Connection, base: str, events: Sequence[Event], config: Config) -> list[Notification]:
    """The records of `base` that these events speak of; of what is none there nothing is said, its windows find it."""
    found = []
    for event in events:
        external_id = _payment(connection, base, event, config) if event.kind == "payment" else _guid(event)
        external_id = external_id or _linked(connection, base, event.kind, _keys(event, config))
        if external_id:
            found.append(Notification(base, event.kind, external_id, correlationid=event.causationid))
    return found


def _guid(event: Event) -> str | None:
    """1C's own id of the object behind a document."""
    for ref in (event.data or {}).get("records") or []:
        if ref.get("system") == event.source and ref.get("type") == "guid" and ref.get("id"):
            return str(ref["id"]).lower()
    return event.external_id.lower() if GUID.fullmatch(event.external_id) else None


def _payment(connection: Connection, base: str, event: Event, config: Config) -> str | None:
    """There a payment is a document and the order that it pays: "<guid>:<guid>"."""
    guid = _guid(event) or event.external_id.partition(":")[0].lower()
    order = (event.data or {}).get("order")
    if not GUID.fullmatch(guid) or not order:
        return None
    found = _linked(connection, base, "order", [key_of(order, config)])
    return f"{guid}:{found}" if found else None


def _linked(connection: Connection, base: str, kind: Kind, keys: Sequence[str]) -> str | None:
    """The record, there, of the entity that is known by one of these keys."""
    known = set(entities.find(connection, kind, keys).values())
    for entity in entities.load(connection, known).values():
        linked = entity.primary(base)
        if linked and linked.external_id:
            return linked.external_id
    return None


def _keys(event: Event, config: Config) -> list[str]:
    """What the entity is known by, save the number that it may bear."""
    data = event.data or {}
    return [f"{event.source}/{event.subject}", *(key_of(ref, config) for ref in data.get("records") or [])]
