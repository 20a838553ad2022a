"""Publisher: the way in. Validated, journaled, committed, and only then put on the channel's queue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from bus import points
from bus.envelope import Event, parse
from bus.errors import BadInput
from bus.ledger import deliveries, journal
from bus.ledger.database import Connection, Ledger
from bus.ports import Accepted, Arrival, Bells, Entry, Notification

_CHUNK = 1000
"""Events committed at a time; a caller who publishes more gets them in as many transactions, in order."""

_Name = tuple[str, ...]
"""What the journal knows an event or a notification by."""


class Publisher:
    """The door (bus.ports.Door) and the Python producer.

    Bells are rung before it returns; who must not wait for the broker hands in a relay (bus.relay).
    """

    def __init__(self, ledger: Ledger, bells: Bells, systems: Collection[str] | None = None) -> None:
        """`systems`: those of the configuration, whose word may be published; None: whoever calls has looked."""
        self._ledger, self._bells, self._systems = ledger, bells, systems

    def close(self) -> None:
        """Close the connections to the ledger."""
        self._ledger.close()

    def publish(self, events: Event | dict[str, Any] | Sequence[Event | dict[str, Any]]) -> Accepted:
        """Publish one event or many. An event the journal has already is known, and nothing happens.

        Raises BadInput, naming the field, before anything is stored; Transient when the ledger cannot be reached.
        """
        many = [events] if isinstance(events, (Event, dict)) else list(events)
        parsed = [item if isinstance(item, Event) else parse(item) for item in many]
        for event in parsed:
            known_source(event, self._systems)
        new = known = 0
        for start in range(0, len(parsed), _CHUNK):
            accepted = self.accept([Entry(event) for event in parsed[start : start + _CHUNK]])
            new, known = new + accepted.new, known + accepted.known
        return Accepted(new, known)

    def accept(self, entries: Sequence[Entry], notifications: Sequence[Notification] = ()) -> Accepted:
        """Journal all of it in one transaction, then ring. Returns after the commit."""
        return self.accept_all([Arrival(entries, notifications)])[0]

    def accept_all(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        """Journal several arrivals in one transaction, then ring. Returns after the commit, an answer to each."""
        systems = {item.system for arrival in arrivals for item in arrival.notifications}
        answers, events = self._ledger.run(
            lambda connection: _journaled(connection, arrivals),
            one_statement=not systems,  # events alone are one INSERT
        )
        if __debug__:
            points.here("publish.journaled")
        self._bells.publish(events)
        for system in sorted(systems):
            self._bells.ring(system, urgent=False)
        return answers

    def republish(self, *, older_s: float) -> int:
        """Publish again what is pending and nobody took, and what waits for something known. How many events."""
        with self._ledger.transaction() as connection:
            events = journal.wake_known(connection) + journal.unpublished(connection, older_s=older_s)
        if __debug__:
            points.here("sweep.claimed")
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


def known_source(event: Event, systems: Collection[str] | None) -> None:
    """Raises BadInput for the word of a system that is not configured: merged, it would come to nothing."""
    if systems is not None and event.source not in systems:
        raise BadInput(f"source: {event.source} is no system of the configuration", field="source")


def _journaled(connection: Connection, arrivals: Sequence[Arrival]) -> tuple[list[Accepted], list[Event]]:
    """The answers, and the events to publish. Of two arrivals with the same event the first one brought it."""
    first: dict[_Name, Entry] = {}
    for arrival in arrivals:
        for entry in arrival.entries:
            first.setdefault(_of_event(entry.event), entry)
    events = journal.record(connection, list(first.values()))
    noted = journal.note(connection, [item for arrival in arrivals for item in arrival.notifications])
    new = {_of_event(event) for event in events} | {_of_notification(item) for item in noted}
    return [_answer(arrival, new) for arrival in arrivals], events


def _answer(arrival: Arrival, new: set[_Name]) -> Accepted:
    """How much of an arrival is new; that is then taken out of `new`, so that the next one to say it hears "known"."""
    names = {_of_event(entry.event) for entry in arrival.entries} | {
        _of_notification(item) for item in arrival.notifications
    }
    found = names & new
    new -= found
    return Accepted(len(found), len(arrival.entries) + len(arrival.notifications) - len(found))


def _of_event(event: Event) -> _Name:
    return event.source, event.id


def _of_notification(item: Notification) -> _Name:
    return item.system, item.record_type, item.external_id, "gone" if item.deleted else ""
