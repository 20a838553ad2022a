"""From a raw record to journal entries: the one place where translators meet the envelope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from bus.envelope import Event, bad_input
from bus.errors import BadInput
from bus.ports import Entry, Mappings, RawRecord, Translation


def entries(
    system: str,
    system_kind: str,
    record: RawRecord,
    mappings: Mappings,
    *,
    causationid: str | None = None,
    correlationid: str | None = None,
    priority: Callable[[Event], int | None] = lambda _: None,
    observed_at: datetime | None = None,
) -> list[Entry]:
    """Journal entries for a raw record and the records it brings along (a shop order's payments), itself first.

    Raises BadInput, which names the field, when the record is not of the shape its system promises.
    """
    return [
        replace(
            entry_of(system, system_kind, part, mappings, causationid, correlationid, priority),
            observed_at=observed_at,
        )
        for part in [record, *mappings.parts(system_kind, record)]
    ]


def entry_of(
    system: str,
    system_kind: str,
    record: RawRecord,
    mappings: Mappings,
    causationid: str | None = None,
    correlationid: str | None = None,
    priority: Callable[[Event], int | None] = lambda _: None,
) -> Entry:
    """The journal entry for one raw record alone."""
    translator = mappings.translator(system_kind, record.type)
    translation = translated(lambda: translator.to_canonical(record.raw, mappings.tables(system, system_kind)))
    event = _event(system, translator.EVENT, record, translation, causationid, correlationid)
    return Entry(
        event,
        raw=record.raw,
        held=translation.held,
        priority=priority(event),
        derived=translation.derived,
        former=translation.former,
    )


def translated(translate: Callable[[], Translation]) -> Translation:
    """Run a translator; a record that does not fit its model becomes BadInput."""
    try:
        return translate()
    except ValidationError as error:
        raise bad_input(error) from None


def _event(
    system: str, event_type: str, part: RawRecord, made: Translation, causation: str | None, correlation: str | None
) -> Event:
    try:
        return Event(
            source=system,
            type=f"{event_type}.changed",
            subject=f"{part.type}/{part.id}",
            time=made.modified_at,
            sourceversion=made.version,
            actor=made.actor,
            data=made.data,
            causationid=causation,
            correlationid=correlation,
        )
    except ValidationError as error:
        complaint = bad_input(error)
        raise BadInput(f"{part.type} {part.id}: {complaint}", field=complaint.field) from None
