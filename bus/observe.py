"""Observations: what we saw in a system becomes events; the same state seen twice is the same event."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from bus.envelope import Event, version_order
from bus.errors import BusError, ConfigError, Permanent
from bus.identified import ABSENT
from bus.ledger import erased, journal, letters, records, tombstones
from bus.ledger.database import Connection, Ledger
from bus.ledger.records import Shown
from bus.model import Fields, flatten
from bus.ports import Adapter, Entry, Mappings, Raw, Retracing

T = TypeVar("T")
U = TypeVar("U")


def removal(system: str, event_type: str, subject: str, at: datetime, reason: str, *, told: bool = True) -> Entry:
    """The event that a record is gone at its system; `reason` is what told us (a notification's id, a read).

    That makes it the event that it is, and is no version of the record, whatever figure it begins with. `told`:
    somebody said so; else it was looked for in vain, as a contact is that is no counterparty (yet).
    """
    return Entry(
        Event(
            source=system,
            type=f"{event_type}.deleted",
            subject=subject,
            time=at,
            sourceversion=f"{'gone' if told else ABSENT} {reason}",
            causationid=reason,
        )
    )


def fetched(
    adapter: Adapter, record_type: str, ids: Sequence[str], parts: Collection[str] | None = None
) -> tuple[dict[str, Raw], dict[str, BusError]]:
    """Present records by id, and the errors of those that may not be read: one forbidden record harms no other."""
    return parted(lambda some: adapter.fetch(record_type, some, parts), ids)


def parted(ask: Callable[[Sequence[T]], Mapping[str, U]], about: Sequence[T]) -> tuple[dict[str, U], dict[T, BusError]]:
    """What a question about several is answered, and the errors of those that it cannot be asked about."""
    try:
        return dict(ask(about)), {}
    except (Permanent, ConfigError) as error:
        if len(about) == 1:
            return {}, {about[0]: error}
    half = len(about) // 2
    halves = [parted(ask, some) for some in (about[:half], about[half:])]
    return halves[0][0] | halves[1][0], halves[0][1] | halves[1][1]


def retraced(
    ledger: Ledger, mappings: Mappings, adapter: Adapter, record_type: str, present: Mapping[str, Raw]
) -> dict[str, Raw]:
    """Readings, with the story of those records of which an answer to a write of ours is missing.

    What a person had said there just before that write shows in the story alone. Raises what calls raise: as long as it
    is not told, the reading waits.
    """
    names = mappings.retraced(adapter.kind, record_type)
    if not present or not names or not isinstance(adapter, Retracing):
        return dict(present)
    with ledger.transaction() as connection:
        unsure = records.unanswered(connection, adapter.system, record_type, present.keys(), names)
    told = adapter.retrace(record_type, sorted(unsure)) if unsure else {}
    return {one: raw | told[one] if one in told else raw for one, raw in present.items()}


def take_in(connection: Connection, seen: Sequence[Entry], *, strangers: bool = False) -> list[Event]:
    """Journal what was seen. Returns the events that are to be merged: the new ones, and known ones not merged yet.

    Whoever goes on to decide by the entity must have those merged first, or he decides by yesterday's state.

    A state that was seen before is known by its id. But a record may come back to an earlier state within the second
    that its system dates changes by (A, B, A): then the id is old and the state is news, which shows in its base. So is
    what a deleted record shows, read after that was noted, be the deletion heard by now or not. And a state that was
    put off, to be read again, is heard again where it has a code without a meaning and no letter tells of that. And so
    is one that was told, not read, while a later word of its record waits: it was told after that.

    `strangers`: a state that was heard and came to nothing, since nothing was known that it could have been of, is
    heard again.
    """
    new = journal.record(connection, seen)
    records.spoiled(connection, [_shown(entry) for entry in seen if entry.derived])
    ids = {event.id for event in new}
    known = [entry for entry in seen if entry.event.id not in ids and not entry.event.deleted]
    if not known:
        return new
    settled = journal.settled(connection, [entry.event for entry in known])
    names = {(entry.event.source, entry.event.subject) for entry in known}
    closed = erased.among(connection, names)
    deletions = tombstones.coming(connection, names)  # before the bases: what is heard in between shows in these
    overtaken = journal.overtaken(connection, [entry.event for entry in known if entry.observed_at is None])
    pending = [entry.event for entry in known if entry.event.id not in settled]
    returned = [
        replace(entry, event=entry.event.model_copy(update={"id": f"{entry.event.id}/{uuid4().hex[:8]}"}))
        for entry in known
        if entry.event.id in settled | overtaken
        and (name := (entry.event.source, entry.event.subject)) not in closed
        and (
            entry.event.id in overtaken
            or _read_since(entry, deletions.get(name))
            or _is_news(connection, entry, strangers)
        )
    ]
    return [*new, *pending, *journal.record(connection, returned)]


def _shown(entry: Entry) -> Shown:
    event = entry.event
    return Shown(
        event.source, event.record_type, event.external_id, version_order(event.sourceversion) or 0, entry.derived
    )


def _read_since(entry: Entry, noted_at: datetime | None) -> bool:
    """Did the reading begin when that was noted already?"""
    return noted_at is not None and entry.observed_at is not None and entry.observed_at >= noted_at


def _is_news(connection: Connection, entry: Entry, strangers: bool) -> bool:
    event = entry.event
    base = records.bases(connection, event.source, event.record_type, [event.external_id]).get(event.external_id)
    if base is None:
        return strangers or _lives(connection, entry)
    if differences(flatten(event.kind, event.data or {}), base):
        return True
    return bool(entry.held) and not letters.tell(connection, event.source, event.subject, entry.held[0].cause)


def _lives(connection: Connection, entry: Entry) -> bool:
    """Does it show a record that was deleted? What was read since that was noted, or told with a later time."""
    name = entry.event.source, entry.event.subject
    stone = tombstones.of(connection, [name]).get(name)
    if stone is None:
        return False
    return entry.event.time > stone.at if entry.observed_at is None else entry.observed_at >= stone.noted_at


def differences(fields: Fields, base: Fields) -> list[str]:
    """Fields that are not what the base says; never said and empty are the same."""
    return [name for name, value in fields.items() if base.get(name) != value]
