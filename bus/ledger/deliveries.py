"""Deliveries: which entity is not as it should be in which system, and who is seeing to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from bus.channels import URGENT
from bus.ledger.database import Connection, Row, bulk, one, rows, run


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery to make due: which entity, where, how urgently, because of which event."""

    entity_id: UUID
    system: str
    priority: int
    event_seq: int | None


def mark(connection: Connection, due: Sequence[Due]) -> None:
    """Make deliveries due. One that is in flight becomes due again, since `wanted` grows past what was claimed.

    One that is backing off keeps its time unless something more urgent came; a parked one stays parked.
    """
    run(
        connection,
        """INSERT INTO delivery AS old (entity_id, system, state, priority, event_seq, wanted)
           SELECT entity_id, system, 'due', priority, event_seq, 1
           FROM jsonb_to_recordset(%s) AS new(entity_id uuid, system text, priority smallint, event_seq bigint)
           ORDER BY entity_id, system
           ON CONFLICT (entity_id, system) DO UPDATE SET
             state = CASE WHEN old.state = 'parked' THEN 'parked' ELSE 'due' END,
             wanted = old.wanted + 1,
             event_seq = excluded.event_seq,
             priority = CASE WHEN old.state = 'due' THEN least(old.priority, excluded.priority)
                             ELSE excluded.priority END,
             since = CASE WHEN old.state = 'due' THEN old.since ELSE now() END,
             due_at = CASE WHEN old.state = 'due' AND excluded.priority >= old.priority THEN old.due_at ELSE now() END,
             attempts = CASE WHEN old.state = 'due' THEN old.attempts ELSE 0 END,
             updated_at = now()""",
        [bulk([asdict(item) for item in due])],
    )


def settle(connection: Connection, pairs: Collection[tuple[UUID, str]]) -> None:
    """Nothing is due any more for these; one in flight is left to its lane, which will find nothing to do.

    A dead one that became right by itself ends its letter.
    """
    run(
        connection,
        """WITH settled AS (
             UPDATE delivery SET state = 'idle', updated_at = now()
             FROM jsonb_to_recordset(%s) AS new(entity_id uuid, system text)
             WHERE delivery.entity_id = new.entity_id AND delivery.system = new.system
               AND delivery.state IN ('due', 'dead') AND delivery.lease IS NULL
             RETURNING delivery.entity_id, delivery.system)
           UPDATE dead_letter SET state = 'resolved', ended_at = now() FROM settled
           WHERE dead_letter.entity_id = settled.entity_id AND dead_letter.system = settled.system
             AND dead_letter.event_seq IS NULL AND dead_letter.state IN ('open', 'retried')""",
        [bulk([{"entity_id": entity, "system": system} for entity, system in pairs])],
    )


def claim(connection: Connection, system: str, lease: UUID, *, seconds: int, limit: int, urgent: bool) -> list[Row]:
    """Lease due deliveries of one system, the urgent and the old first: no entity is sent twice at once."""
    return rows(
        connection,
        """UPDATE delivery SET lease = %(lease)s, lease_until = now() + make_interval(secs => %(seconds)s)
           WHERE (entity_id, system) IN (
             SELECT entity_id, system FROM delivery WHERE state = 'due' AND system = %(system)s AND due_at <= now()
               AND priority <= %(priority)s AND (lease IS NULL OR lease_until < now())
             ORDER BY priority, due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
           RETURNING *, now() AS claimed_at""",
        {
            "lease": lease,
            "seconds": seconds,
            "system": system,
            "limit": limit,
            "priority": URGENT if urgent else 32767,
        },
    )


def renew(connection: Connection, lease: UUID, system: str, *, seconds: int) -> set[UUID]:
    """Hold claims for a full lease from now. Returns the entities whose claims are still this lease's."""
    held = rows(
        connection,
        """UPDATE delivery SET lease_until = now() + make_interval(secs => %s)
           WHERE lease = %s AND system = %s RETURNING entity_id""",
        [seconds, lease, system],
    )
    return {row["entity_id"] for row in held}


def done(connection: Connection, row: Row, *, wrote: bool, window_s: int) -> str | None:
    """Give a claim back as done: idle, or due again when more was wanted meanwhile. None when the claim was lost.

    Counts writes in a window, for the loop breaker.
    """
    found = one(
        connection,
        """UPDATE delivery SET state = CASE WHEN wanted > %(wanted)s THEN 'due' ELSE 'idle' END,
                  due_at = CASE WHEN wanted > %(wanted)s THEN now() ELSE due_at END,
                  lease = NULL, lease_until = NULL, attempts = 0, last_error = NULL, updated_at = now(),
                  writes = CASE WHEN writes_since < now() - make_interval(secs => %(window)s) THEN 0 ELSE writes END
                           + %(wrote)s,
                  writes_since = CASE WHEN writes_since < now() - make_interval(secs => %(window)s) THEN now()
                                 ELSE writes_since END
           WHERE entity_id = %(entity)s AND system = %(system)s AND lease = %(lease)s RETURNING state""",
        {
            "wanted": row["wanted"],
            "window": window_s,
            "wrote": int(wrote),
            "entity": row["entity_id"],
            "system": row["system"],
            "lease": row["lease"],
        },
    )
    return str(found["state"]) if found else None


def postpone(connection: Connection, row: Row, until: datetime, *, counts: bool, error: str) -> None:
    """Give a claim back to be taken again at `until`; `counts` says whether it used up an attempt."""
    run(
        connection,
        """UPDATE delivery SET lease = NULL, lease_until = NULL, due_at = %s, attempts = attempts + %s, last_error = %s,
                  updated_at = now()
           WHERE entity_id = %s AND system = %s AND lease = %s""",
        [until, int(counts), error, row["entity_id"], row["system"], row["lease"]],
    )


def stop(connection: Connection, row: Row, state: str, error: str) -> bool:
    """Give a claim back as dead or parked. False when it is no longer ours, or something newer is wanted already.

    What came while the failing call was under way may be the very correction: it is tried before a person is asked.
    """
    found = one(
        connection,
        """UPDATE delivery SET
                  state = CASE WHEN wanted > %(wanted)s AND %(state)s = 'dead' THEN 'due' ELSE %(state)s END,
                  due_at = CASE WHEN wanted > %(wanted)s THEN now() ELSE due_at END,
                  lease = NULL, lease_until = NULL, attempts = attempts + 1, last_error = %(error)s, updated_at = now()
           WHERE entity_id = %(entity)s AND system = %(system)s AND lease = %(lease)s RETURNING state""",
        {
            "wanted": row["wanted"],
            "state": state,
            "error": error,
            "entity": row["entity_id"],
            "system": row["system"],
            "lease": row["lease"],
        },
    )
    return found is not None and found["state"] == state


def revive(connection: Connection, entity_id: UUID, system: str) -> bool:
    """Make a dead or parked delivery due again, with a fresh count of attempts and writes."""
    return (
        run(
            connection,
            """UPDATE delivery SET state = 'due', due_at = now(), attempts = 0, writes = 0, writes_since = now(),
                      wanted = wanted + 1, updated_at = now()
               WHERE entity_id = %s AND system = %s AND state IN ('dead', 'parked')""",
            [entity_id, system],
        )
        == 1
    )


def ready(connection: Connection) -> list[Row]:
    """Lanes that have something to take now: (system, urgent), from deliveries and notifications alike."""
    return rows(
        connection,
        """SELECT system, bool_or(priority = 0) AS urgent, bool_or(priority > 0) AS normal FROM (
             SELECT system, priority FROM delivery
              WHERE state = 'due' AND due_at <= now() AND (lease IS NULL OR lease_until < now())
             UNION ALL
             SELECT source, priority FROM event
              WHERE state = 'notified' AND due_at <= now() AND (lease IS NULL OR lease_until < now())) AS work
           GROUP BY system""",
    )


def lanes(connection: Connection) -> list[Row]:
    """What waits for each system, for `bus status` and the live line of the demo."""
    return rows(
        connection,
        """SELECT system, count(*) FILTER (WHERE state = 'due') AS due,
                  count(*) FILTER (WHERE state = 'due' AND priority = 0) AS urgent,
                  count(*) FILTER (WHERE lease IS NOT NULL) AS in_flight,
                  count(*) FILTER (WHERE state = 'dead') AS dead,
                  count(*) FILTER (WHERE state = 'parked') AS parked,
                  extract(epoch FROM now() - min(since) FILTER (WHERE state = 'due')) AS oldest_s
           FROM delivery GROUP BY system ORDER BY system""",
    )
