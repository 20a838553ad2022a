"""Reception: what arrives on a channel's queue, from us or from a stranger, is journaled and taken on the path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime

import structlog

from bus.envelope import Event, parse, timely
from bus.errors import POISON, BadInput, unreadable
from bus.ledger import journal, letters
from bus.ledger.database import Ledger
from bus.ledger.letters import Letter
from bus.merge import Outcome
from bus.model import MAX_DEPTH, Json, too_deep
from bus.pipeline import Pipeline

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_SLICE = 1000
"""Of a message with more events so many are journaled in one transaction."""


class Reception:
    """Turns messages into batches of events. What cannot be read as one is kept as a dead letter, whole."""

    def __init__(self, ledger: Ledger, pipeline: Pipeline) -> None:
        self._ledger, self._pipeline = ledger, pipeline

    def take(self, channel: str, message: Json) -> Counter[Outcome]:
        """One message: an event or a list of them. Raises Transient when the ledger cannot be reached.

        What the journal has is taken from there, whatever the message says of it: a copy with other data changes
        nothing. So our own events, which are in the journal before their message is sent, are not read a second time.
        """
        documents = message if isinstance(message, list) else [message]
        outcomes = Counter[Outcome]()
        for start in range(0, len(documents), _SLICE):
            outcomes += self._take(channel, documents[start : start + _SLICE])
        return outcomes

    def _take(self, channel: str, documents: list[Json]) -> Counter[Outcome]:
        names = [journal.named(document, "id") for document in documents]
        known = self._known({name for name in names if name})
        strangers, outcomes = [], Counter[Outcome]()
        for name, document in zip(names, documents, strict=True):
            if name in known:
                continue
            try:
                strangers.append(self._strange(channel, document))
            except (BadInput, *POISON) as error:
                self._reject(channel, _cut(document, MAX_DEPTH), unreadable(error))
                outcomes[Outcome.DEAD] += 1
        ours = [place.seq for place in known.values() if place.pending]
        return outcomes + self._pipeline.apply([*ours, *self._pipeline.journaled(strangers)])

    def _strange(self, channel: str, document: Json) -> Event:
        """An event that the journal does not have. Raises BadInput; only the ledger speaks for the bus itself."""
        if too_deep(document):
            raise BadInput(
                f"it is nested deeper than {MAX_DEPTH} levels: what is deeper was cut off, send it again flat"
            )
        event = parse(document)
        if event.source == "bus":
            raise BadInput("source: bus is the bus's own name, and it never said this", field="source")
        if not self._pipeline.knows(event.source):
            raise BadInput(f"source: {event.source} is no system of the configuration", field="source")
        if event.channel != channel:
            raise BadInput(f"type: {event.type} travels on {event.channel}, not on {channel}", field="type")
        return timely(event, datetime.now(UTC))

    def _known(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], journal.Place]:
        if not names:
            return {}
        with self._ledger.transaction() as connection:
            return journal.known(connection, names)

    def _reject(self, channel: str, document: Json, reason: str) -> None:
        with self._ledger.transaction() as connection:
            seq = journal.reject(connection, channel, document, reason)
            if seq is not None:
                letter = Letter("foreign", "Unreadable", f"unreadable message on {channel}", reason, seq)
                letters.write(connection, [letter])
        log.warning("message.unreadable", channel=channel, reason=reason)


def _cut(value: Json, levels: int) -> Json:
    if isinstance(value, dict):
        return {name: _cut(inner, levels - 1) for name, inner in value.items()} if levels else "…"
    if isinstance(value, list):
        return [_cut(inner, levels - 1) for inner in value] if levels else "…"
    return value
