"""Publisher: the way in. Validated, journaled, committed, and only then put on the channel's queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus.envelope import Event, parse
from bus.ledger import deliveries, journal
from bus.ledger.database import Ledger
from bus.ports import Accepted, Bells, Entry, Notification

_CHUNK = 1000
"""Events committed at a time; a caller who publishes more gets them in as many transactions, in order."""


class Publisher:
    """The door (bus.ports.Door) and the Python producer."""

    def __init__(self, ledger: Ledger, bells: Bells) -> None:
        self._ledger, self._bells = ledger, bells

    def close(self) -> None:
        """Close the connections to the ledger."""
        self._ledger.close()

    def publish(self, events: Event | dict[str, Any] | Sequence[Event | dict[str, Any]]) -> Accepted:
        """Publish one event or many. An event the journal has already is known, and nothing happens.

        Raises BadInput, naming the field, before anything is stored; Transient when the ledger cannot be reached.
        """
        many = [events] if isinstance(events, (Event, dict)) else list(events)
        parsed = [item if isinstance(item, Event) else parse(item) for item in many]
        new = known = 0
        for start in range(0, len(parsed), _CHUNK):
            accepted = self.accept([Entry(event) for event in parsed[start : start + _CHUNK]])
            new, known = new + accepted.new, known + accepted.known
        return Accepted(new, known)

    def accept(self, entries: Sequence[Entry], notifications: Sequence[Notification] = ()) -> Accepted:
        """Journal all of it in one transaction, then ring. Returns after the commit."""
        accepted, events = self._ledger.run(lambda connection: journal.accept(connection, entries, notifications))
        self._bells.publish(events)
        for system in sorted({item.system for item in notifications}):
            self._bells.ring(system, urgent=False)
        return accepted

    def republish(self, *, older_s: float) -> int:
        """Publish again what is pending and nobody took, and what waits for something known. How many events."""
        with self._ledger.transaction() as connection:
            events = journal.wake_known(connection) + journal.unpublished(connection, older_s=older_s)
        self._bells.publish(events)
        return len(events)

    def ring_due(self) -> int:
        """Ring every lane that has something to take. How many bells."""
        with self._ledger.transaction() as connection:
            ready = deliveries.ready(connection)
        for row in ready:
            if row["urgent"]:
                self._bells.ring(row["system"], urgent=True)
            if row["normal"]:
                self._bells.ring(row["system"], urgent=False)
        return len(ready)
