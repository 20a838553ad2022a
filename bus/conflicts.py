"""Conflicts: a field with two values is decided by a person, or by its policy's default once the deadline is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from bus import merge, points
from bus.envelope import Event
from bus.errors import BadInput
from bus.ledger import conflicts, entities, journal, letters
from bus.ledger.database import Connection, Ledger, LostRace, Row
from bus.merge import Manual, Rules, Said
from bus.model import Json, Kind, nest
from bus.pipeline import Done, Pipeline
from bus.ports import Entry


class Conflicts:
    """Questions to people and their answers. A decision is an event like any other, with its author in the history."""

    def __init__(
        self, ledger: Ledger, rules: Callable[[Kind], Rules], pipeline: Pipeline, now: Callable[[], datetime]
    ) -> None:
        self._ledger, self._rules, self._pipeline, self._now = ledger, rules, pipeline, now

    def listing(self, state: str | None = "open") -> list[Row]:
        """Conflicts, the most pressing first."""
        with self._ledger.transaction() as connection:
            return conflicts.listing(connection, state)

    def decide(self, conflict_id: int, source: str, actor: str) -> None:
        """Take one source's value. Raises BadInput when there is no such open conflict or no such source in it.

        Closed and merged in one transaction: in between a lane would write the value of before over the other side.
        """

        def commit(connection: Connection) -> Done:
            row = self._open(connection, conflict_id)
            if row is None:
                raise BadInput(f"there is no open conflict {conflict_id}", field="id")
            if source not in row["options"]:
                raise BadInput(f"choose one of: {', '.join(sorted(row['options']))}", field="source")
            letters.acted(connection, actor, "decide", f"conflict {conflict_id}", {"source": source})
            return self._close(connection, row, "decided", row["options"][source]["value"], actor)

        done = self._ledger.run(commit)
        if __debug__:
            points.here("conflict.closed")
        self._pipeline.tell(done)

    def expire(self) -> int:
        """Decide by the policy's default what nobody decided in time. How many."""
        with self._ledger.transaction() as connection:
            overdue = conflicts.overdue(connection)
        return sum(self._expired(conflict_id) for conflict_id in overdue)

    def _expired(self, conflict_id: int) -> bool:
        def commit(connection: Connection) -> Done | None:
            row = self._open(connection, conflict_id)
            value = self._by_default(connection, row) if row else None
            return self._close(connection, row, "expired", value, "bus: deadline passed") if row else None

        done = self._ledger.run(commit)
        if done is not None:
            self._pipeline.tell(done)
        return done is not None

    @staticmethod
    def _open(connection: Connection, conflict_id: int) -> Row | None:
        """The conflict, its entity locked before it, as everywhere; None where there is none that is open."""
        entity = conflicts.entity_of(connection, conflict_id)
        if entity is None:
            return None
        entities.hold(connection, [entity])
        row = conflicts.get(connection, conflict_id)
        if row is not None and row["entity_id"] != entity:
            raise LostRace
        return row if row is not None and row["state"] == "open" else None

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

    def _close(self, connection: Connection, row: Row, state: str, value: Json, actor: str) -> Done:
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
        place = journal.known(connection, [(event.source, event.id)])[event.source, event.id]
        return self._pipeline.within(connection, [place.seq])


def _said(source: str, option: dict[str, str]) -> Said:
    return Said(datetime.fromisoformat(option["at"]), source, option["event"])
