"""Reception: what arrives on a channel's queue, from us or from a stranger, is journaled and taken on the path."""

from __future__ import annotations

from collections import Counter

import structlog

from bus.envelope import Event, parse
from bus.errors import BadInput
from bus.ledger import journal, letters
from bus.ledger.database import Ledger
from bus.ledger.letters import Letter
from bus.merge import Outcome
from bus.model import Json
from bus.pipeline import Pipeline

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Reception:
    """Turns messages into batches of events. What cannot be read as one is kept as a dead letter, whole."""

    def __init__(self, ledger: Ledger, pipeline: Pipeline) -> None:
        self._ledger, self._pipeline = ledger, pipeline

    def take(self, channel: str, message: Json) -> Counter[Outcome]:
        """One message: an event or a list of them. Raises Transient when the ledger cannot be reached."""
        documents = message if isinstance(message, list) else [message]
        events, outcomes = [], Counter[Outcome]()
        for document in documents:
            try:
                events.append(self._event(document))
            except BadInput as error:
                self._reject(channel, document, str(error))
                outcomes[Outcome.DEAD] += 1
        return outcomes + self._pipeline.process(events)

    @staticmethod
    def _event(document: Json) -> Event:
        event = parse(document)
        if event.source == "bus":  # only the ledger speaks for the bus; its events are there before their message
            return event.model_copy(update={"data": None})
        return event

    def _reject(self, channel: str, document: Json, reason: str) -> None:
        with self._ledger.transaction() as connection:
            seq = journal.reject(connection, channel, document, reason)
            if seq is not None:
                letter = Letter("foreign", "Unreadable", f"unreadable message on {channel}", reason, seq)
                letters.write(connection, [letter])
        log.warning("message.unreadable", channel=channel, reason=reason)
