"""Conflicts in the ledger: a field with two values that a person is asked about, and how it was decided."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from bus.ledger.database import Connection, Row, bulk, one, rows, run
from bus.model import Json


@dataclass(frozen=True, slots=True)
class Question:
    """A field that a manual policy leaves to a person: the values with their sources and times, until `deadline`."""

    entity_id: UUID
    field: str
    options: dict[str, Json]
    """source -> {"value", "at", "event"}"""
    policy: str
    deadline: datetime


def ask(connection: Connection, questions: Sequence[Question]) -> None:
    """Open conflicts; while one is open, a later value of the same source takes that source's place in it."""
    if not questions:
        return
    run(
        connection,
        """INSERT INTO conflict AS old (entity_id, field, options, policy, deadline)
           SELECT entity_id, field, options, policy, deadline
           FROM jsonb_to_recordset(%s)
             AS new(entity_id uuid, field text, options jsonb, policy text, deadline timestamptz)
           ON CONFLICT (entity_id, field) WHERE state = 'open'
           DO UPDATE SET options = old.options || excluded.options""",
        [bulk([{**asdict(question), "deadline": question.deadline.isoformat()} for question in questions])],
    )


def agree(connection: Connection, fields: Collection[tuple[UUID, str]]) -> None:
    """Close the open conflicts of these fields where only two sides spoke: the one that differed says the same now."""
    if not fields:
        return
    run(
        connection,
        """UPDATE conflict SET state = 'agreed', decided_at = now(), decided_by = 'bus: the sides agree'
           FROM jsonb_to_recordset(%s) AS new(entity_id uuid, field text)
           WHERE conflict.entity_id = new.entity_id AND conflict.field = new.field AND conflict.state = 'open'
             AND (SELECT count(*) FROM jsonb_object_keys(conflict.options)) <= 2""",
        [bulk([{"entity_id": entity, "field": field} for entity, field in fields])],
    )


def close(connection: Connection, conflict_id: int, state: str, decision: Json, actor: str) -> Row | None:
    """End an open conflict; None when someone else did."""
    return one(
        connection,
        """UPDATE conflict SET state = %s, decision = %s, decided_by = %s, decided_at = now()
           WHERE id = %s AND state = 'open' RETURNING *""",
        [state, Jsonb(decision), actor, conflict_id],
    )


def overdue(connection: Connection) -> list[Row]:
    """Open conflicts past their deadline, locked; a second beat skips them."""
    return rows(
        connection,
        """SELECT conflict.*, entity.kind FROM conflict JOIN entity ON entity.id = conflict.entity_id
           WHERE state = 'open' AND deadline < now()
           ORDER BY conflict.id LIMIT 200 FOR UPDATE OF conflict SKIP LOCKED""",
    )


def listing(connection: Connection, state: str | None = "open") -> list[Row]:
    """Conflicts, the most pressing first."""
    return rows(
        connection,
        "SELECT * FROM conflict WHERE %(state)s::text IS NULL OR state = %(state)s ORDER BY deadline, id LIMIT 500",
        {"state": state},
    )


def get(connection: Connection, conflict_id: int) -> Row | None:
    """One conflict, locked for a decision."""
    return one(
        connection,
        """SELECT conflict.*, entity.kind FROM conflict JOIN entity ON entity.id = conflict.entity_id
           WHERE conflict.id = %s FOR UPDATE OF conflict""",
        [conflict_id],
    )


def forget(connection: Connection, keep_days: int) -> int:
    """Delete those that ended and are past their keeping. How many went."""
    return run(
        connection,
        """DELETE FROM conflict
           WHERE state NOT IN ('open', 'retried') AND decided_at < now() - make_interval(days => %s)""",
        [keep_days],
    )
