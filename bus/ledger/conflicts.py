"""Conflicts in the ledger: a field with two values that a person is asked about, and how it was decided."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from bus.ledger.database import Connection, Row, bulk, one, rows, run
from bus.ledger.restored import HELD
from bus.merge import Dispute
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


_LATER = """(SELECT jsonb_object_agg(key, value) FROM (
  SELECT DISTINCT ON (key) key, value FROM (
    SELECT * FROM jsonb_each({}) UNION ALL SELECT * FROM jsonb_each({})) AS said
  ORDER BY key, (value->>'at')::timestamptz DESC) AS last)"""
"""Of two sets of options all, and of each source its later word."""


def meet(connection: Connection, entity: UUID, dispute: Dispute, options: dict[str, Json]) -> None:
    """Ask what an entity and another one that it has become one with disagree on; or, while it is asked, of that too.

    The deadline counts from now, whenever each of them said it.
    """
    run(
        connection,
        f"""INSERT INTO conflict AS old (entity_id, field, options, policy, deadline)
            VALUES (%s, %s, %s, %s, now() + %s)
            ON CONFLICT (entity_id, field) WHERE state = 'open'
            DO UPDATE SET options = {_LATER.format("old.options", "excluded.options")}""",  # noqa: S608 - ours
        [entity, dispute.field, Jsonb(options), type(dispute.policy.default).__name__, dispute.policy.sla],
    )


def move(connection: Connection, lost: UUID, kept: UUID) -> None:
    """An entity became another: its conflicts are that one's. What both were asked is asked once, with all values."""
    both = {"lost": lost, "kept": kept}
    run(
        connection,
        f"""UPDATE conflict SET options = {_LATER.format("conflict.options", "other.options")},
                   deadline = least(conflict.deadline, other.deadline)
            FROM conflict AS other
            WHERE conflict.entity_id = %(kept)s AND other.entity_id = %(lost)s AND conflict.field = other.field
              AND conflict.state = 'open' AND other.state = 'open'""",  # noqa: S608 - ours
        both,
    )
    run(
        connection,
        """UPDATE conflict SET state = 'agreed', decided_at = now(), decided_by = 'bus: asked in conflict ' || other.id
           FROM conflict AS other
           WHERE conflict.entity_id = %(lost)s AND other.entity_id = %(kept)s AND conflict.field = other.field
             AND conflict.state = 'open' AND other.state = 'open'""",
        both,
    )
    run(connection, "UPDATE conflict SET entity_id = %(kept)s WHERE entity_id = %(lost)s", both)


def agree(connection: Connection, fields: Collection[tuple[UUID, str]]) -> None:
    """Close the open conflicts of these fields: all sides say the same now."""
    if not fields:
        return
    run(
        connection,
        """UPDATE conflict SET state = 'agreed', decided_at = now(), decided_by = 'bus: the sides agree'
           FROM jsonb_to_recordset(%s) AS new(entity_id uuid, field text)
           WHERE conflict.entity_id = new.entity_id AND conflict.field = new.field AND conflict.state = 'open'""",
        [bulk([{"entity_id": entity, "field": field} for entity, field in fields])],
    )


def withdraw(connection: Connection, entity: UUID, system: str) -> None:
    """What a system said of an entity that it has no record of any more is no answer; where none is left, nor asked."""
    run(
        connection,
        """WITH others AS (
             SELECT conflict.id, conflict.options - %(system)s AS options, NOT EXISTS (
               SELECT 1 FROM jsonb_each(conflict.options - %(system)s) AS said (source, option)
               WHERE option -> 'value' <> coalesce(fields -> field, 'null')) AS agree
             FROM conflict JOIN entity ON entity.id = conflict.entity_id
             WHERE entity.id = %(entity)s AND conflict.state = 'open' AND conflict.options ? %(system)s AND NOT EXISTS (
               SELECT 1 FROM record WHERE record.entity_id = entity.id AND system = %(system)s AND state <> 'deleted'))
           UPDATE conflict SET options = CASE WHEN agree THEN conflict.options ELSE others.options END,
             state = CASE WHEN agree THEN 'agreed' ELSE state END, decided_at = CASE WHEN agree THEN now() END,
             decided_by = CASE WHEN agree THEN 'bus: the other record was parted' END
           FROM others WHERE conflict.id = others.id""",
        {"entity": entity, "system": system},
    )


def close(connection: Connection, conflict_id: int, state: str, decision: Json, actor: str) -> Row | None:
    """End an open conflict; None when someone else did."""
    return one(
        connection,
        """UPDATE conflict SET state = %s, decision = %s, decided_by = %s, decided_at = now()
           WHERE id = %s AND state = 'open' RETURNING *""",
        [state, Jsonb(decision), actor, conflict_id],
    )


def overdue(connection: Connection) -> list[int]:
    """Open conflicts past their deadline."""
    found = rows(connection, "SELECT id FROM conflict WHERE state = 'open' AND deadline < now() ORDER BY id LIMIT 200")
    return [row["id"] for row in found]


def listing(connection: Connection, state: str | None = "open") -> list[Row]:
    """Conflicts, the most pressing first."""
    return rows(
        connection,
        "SELECT * FROM conflict WHERE %(state)s::text IS NULL OR state = %(state)s ORDER BY deadline, id LIMIT 500",
        {"state": state},
    )


def entity_of(connection: Connection, conflict_id: int) -> UUID | None:
    """Whose it is; united with another since, it is the other's."""
    found = one(connection, "SELECT entity_id FROM conflict WHERE id = %s", [conflict_id])
    return found["entity_id"] if found else None


def get(connection: Connection, conflict_id: int) -> Row | None:
    """One conflict, locked for a decision; its entity is locked before it."""
    return one(
        connection,
        """SELECT conflict.*, entity.kind FROM conflict JOIN entity ON entity.id = conflict.entity_id
           WHERE conflict.id = %s FOR UPDATE OF conflict""",
        [conflict_id],
    )


def authors(connection: Connection, row: Row) -> dict[str, str]:
    """Who said each of a conflict's values, where the event that brought it is still in the journal, and tells."""
    said = [(source, option["event"]) for source, option in row["options"].items()]
    found = rows(
        connection,
        """SELECT event.source, event.actor FROM event
           JOIN unnest(%s::text[], %s::text[]) AS said(source, id) ON (event.source, event.id) = (said.source, said.id)
           WHERE actor IS NOT NULL""",
        [[source for source, _ in said], [event for _, event in said]],
    )
    return {one["source"]: one["actor"] for one in found}


def forget(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete those that ended and are past their keeping, at most so many. How many went."""
    return run(
        connection,
        """DELETE FROM conflict WHERE id IN (
             SELECT id FROM conflict WHERE state <> 'open' AND decided_at < now() - make_interval(days => %s)
             ORDER BY decided_at LIMIT %s)""",
        [keep_days, limit],
    )


def take_tasks(connection: Connection, *, again_s: float, limit: int = 20) -> list[Row]:
    """Open conflicts that a task is to be made for, noted as being asked; `probe`: the answer to a call was lost.

    Those that somebody else is at work on are skipped; one whose call ended nowhere comes again after `again_s`. None
    while a restored ledger does not know which were made since its backup.
    """
    return rows(
        connection,
        f"""UPDATE conflict SET task_state = 'asking', task_since = now()
            FROM (SELECT id, task_state = 'asking' AS probe FROM conflict
                  WHERE state = 'open' AND (task_state = 'wanted' AND coalesce(task_since < now(), true)
                    OR task_state = 'asking' AND task_since < now() - make_interval(secs => %s)) AND NOT {HELD}
                  ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) AS taken, entity
            WHERE conflict.id = taken.id AND entity.id = conflict.entity_id
            RETURNING conflict.*, taken.probe, entity.kind, entity.fields""",  # noqa: S608 - ours
        [again_s, limit],
    )


def tasked(connection: Connection, conflict_id: int, state: str, task_id: str | None = None) -> None:
    """What became of a conflict's task."""
    run(
        connection,
        "UPDATE conflict SET task_state = %s, task_id = coalesce(%s, task_id) WHERE id = %s",
        [state, task_id, conflict_id],
    )


def task_later(connection: Connection, conflict_id: int, until: datetime) -> None:
    """The task surely was not made: again then."""
    run(
        connection,
        "UPDATE conflict SET task_state = 'wanted', task_since = %s WHERE id = %s AND task_state = 'asking'",
        [until, conflict_id],
    )


def ended_tasks(connection: Connection, *, again_s: float, limit: int = 50) -> list[Row]:
    """Tasks of conflicts that were decided in another way, those too of which nobody knows whether they were made."""
    return rows(
        connection,
        """SELECT id, task_id, task_key FROM conflict WHERE state <> 'open' AND (task_state = 'there'
             OR task_state = 'asking' AND task_since < now() - make_interval(secs => %s))
           ORDER BY id LIMIT %s""",
        [again_s, limit],
    )


def pressing(connection: Connection, share: float, limit: int = 100) -> list[Row]:
    """Open conflicts of which this share of the time is over, and that nobody was told of yet."""
    return rows(
        connection,
        """SELECT * FROM conflict WHERE state = 'open' AND escalated_at IS NULL
             AND now() >= opened_at + (deadline - opened_at) * %s ORDER BY deadline LIMIT %s""",
        [share, limit],
    )


def escalated(connection: Connection, ids: Sequence[int]) -> None:
    """People were told that these are pressing."""
    run(connection, "UPDATE conflict SET escalated_at = now() WHERE id = ANY(%s)", [list(ids)])


def press_again(connection: Connection, conflict_id: int) -> None:
    """Its task could not be handed over: the next turn tells of it once more."""
    run(connection, "UPDATE conflict SET escalated_at = NULL WHERE id = %s AND state = 'open'", [conflict_id])
