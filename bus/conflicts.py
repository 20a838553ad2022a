"""Conflicts: a field with two values is decided by a person, or by its policy's default once the deadline is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from bus import merge, points
from bus.envelope import Event
from bus.errors import BadInput
from bus.ledger import conflicts, entities, journal, letters
from bus.ledger.database import Connection, Ledger, Row
from bus.merge import Manual, Rules, Said
from bus.model import Json, Kind, nest
from bus.ports import Bells, Entry


class Conflicts:
    """Questions to people and their answers. A decision is an event like any other, with its author in the history."""

    def __init__(
        self, ledger: Ledger, rules: Callable[[Kind], Rules], bells: Bells, now: Callable[[], datetime]
    ) -> None:
        self._ledger, self._rules, self._bells, self._now = ledger, rules, bells, now

    def listing(self, state: str | None = "open") -> list[Row]:
        """Conflicts, the most pressing first."""
        with self._ledger.transaction() as connection:
            return conflicts.listing(connection, state)

    def decide(self, conflict_id: int, source: str, actor: str) -> None:
        """Take one source's value. Raises BadInput when there is no such open conflict or no such source in it."""
        with self._ledger.transaction() as connection:
            row = conflicts.get(connection, conflict_id)
            if row is None or row["state"] != "open":
                raise BadInput(f"there is no open conflict {conflict_id}", field="id")
            if source not in row["options"]:
                raise BadInput(f"choose one of: {', '.join(sorted(row['options']))}", field="source")
            event = self._close(connection, row, "decided", row["options"][source]["value"], actor)
            letters.acted(connection, actor, "decide", f"conflict {conflict_id}", {"source": source})
        if __debug__:
            points.here("conflict.closed")
        self._bells.publish([event])

    def expire(self) -> int:
        """Decide by the policy's default what nobody decided in time. How many."""
        with self._ledger.transaction() as connection:
            events = [
                self._close(connection, row, "expired", self._by_default(connection, row), "bus: deadline passed")
                for row in conflicts.overdue(connection)
            ]
        self._bells.publish(events)
        return len(events)

    def _by_default(self, connection: Connection, row: Row) -> Json:
        """The value that the policy's default picks, as if both had come in one after the other."""
        policy = self._rules(row["kind"])[row["field"]]
        default = policy.default if isinstance(policy, Manual) else policy
        options = [(_said(source, option), option["value"]) for source, option in row["options"].items()]
        known = entities.load(connection, [row["entity_id"]])[row["entity_id"]].view
        ours = next((option for option in options if option[0] == known.said.get(row["field"])), options[0])
        for option in sorted(options, key=lambda option: (option[0].at, option[0].source)):
            if option is not ours and merge.decide(default, ours[1], option[1], ours[0], option[0], alone=False).accept:
                ours = option
        return ours[1]

    def _close(self, connection: Connection, row: Row, state: str, value: Json, actor: str) -> Event:
        conflicts.close(connection, row["id"], state, value, actor)
        event = Event(
            id=str(uuid4()),
            source="bus",
            type=f"{row['kind']}.changed",
            subject=f"{row['kind']}/{row['entity_id']}",
            time=self._now(),
            actor=actor,
            causationid=f"conflict {row['id']}",
            data=nest({row["field"]: value}),
        )
        journal.record(connection, [Entry(event)])
        return event


def _said(source: str, option: dict[str, str]) -> Said:
    return Said(datetime.fromisoformat(option["at"]), source, option["event"])
