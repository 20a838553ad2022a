"""Deliveries: which entity is not as it should be in which system, and who is seeing to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bus.channels import BULK, NEXT, NORMAL, URGENT
from bus.ledger.database import Connection, Row, bulk, columns, one, rows, run
from bus.ledger.restored import HELD


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery to make due: which entity, where, how urgently, because of which event."""

    entity_id: UUID
    system: str
    priority: int
    event_seq: int | None


@dataclass(frozen=True, slots=True)
class Done:
    """A claimed delivery that was seen to: by which lease, what was wanted when it was claimed, whether we wrote."""

    entity_id: UUID
    system: str
    lease: UUID
    wanted: int
    wrote: bool
    left_over: bool = False
    """Only the urgent part was written: the rest is due in the ordinary lane, before anything else there."""


@dataclass(frozen=True, slots=True)
class Later:
    """A delivery that was claimed as due at `due_at`, to be taken again at `until`.

    `counts` says whether it used up an attempt.
    """

    entity_id: UUID
    system: str
    lease: UUID
    due_at: datetime
    until: datetime
    counts: bool
    error: str


LEFT_ALONE_S = 10
"""After so long without a payments worker, urgent work is done by the ordinary lane."""
URGENT_ONLY = f"priority <= {URGENT}"
NOT_URGENT = f"(priority > {URGENT} OR due_at < now() - interval '{LEFT_ALONE_S} s')"
"""Which lane takes what, in SQL; notifications are shared out by the same rule."""


def mark(connection: Connection, due: Sequence[Due]) -> None:
    """Make deliveries due. One that is in flight becomes due again, since `wanted` grows past what was claimed.

    One that is backing off keeps its time unless something more urgent came; a parked one stays parked.
    """
    if not due:
        return
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
        [bulk([columns(item) for item in due])],
    )


def hasten(connection: Connection, pairs: Collection[tuple[UUID, str]]) -> None:
    """What these waited for has come: those that are put off are due now, one that is claimed once it is put off."""
    if pairs:
        run(
            connection,
            """UPDATE delivery SET due_at = now(), updated_at = now()
               WHERE state = 'due' AND (lease IS NOT NULL OR due_at > now())
                 AND (entity_id, system) IN (SELECT * FROM unnest(%s::uuid[], %s::text[]))""",
            [[entity for entity, _ in sorted(pairs)], [system for _, system in sorted(pairs)]],
        )


def follow(connection: Connection, orders: Collection[tuple[UUID, str]]) -> set[tuple[str, bool]]:
    """These orders are in these systems from now on: what is to be done there about their payments is looked at now.

    That is what waits for its order, and what was left alone since there was none: one that needs nothing costs a look.
    One that is claimed is due again after it. Returns the lanes that have work by it: the system, and is it urgent?
    """
    if not orders:
        return set()
    found = rows(
        connection,
        """WITH held AS (
             SELECT delivery.entity_id, delivery.system FROM delivery
               JOIN entity ON entity.id = delivery.entity_id AND merged_into IS NULL
               JOIN unnest(%s::uuid[], %s::text[]) AS place(order_id, system)
                 ON parent_id = order_id AND delivery.system = place.system
             WHERE delivery.state IN ('due', 'idle') ORDER BY 1, 2 FOR UPDATE OF delivery)
           UPDATE delivery SET state = 'due', wanted = wanted + 1, updated_at = now(),
                  since = CASE WHEN state = 'due' THEN since ELSE now() END,
                  due_at = CASE WHEN state = 'due' AND lease IS NULL THEN least(due_at, now()) ELSE now() END
           FROM held WHERE delivery.entity_id = held.entity_id AND delivery.system = held.system
           RETURNING delivery.system, priority""",
        [[order for order, _ in sorted(orders)], [system for _, system in sorted(orders)]],
    )
    return {(row["system"], row["priority"] <= URGENT) for row in found}


def settle(connection: Connection, pairs: Collection[tuple[UUID, str]]) -> None:
    """Nothing is due any more for these. One in flight is due once more after it.

    What its lane has looked up may be old, and it is about to write that. A dead one that became right by itself ends
    its letter.
    """
    by_system: dict[str, list[UUID]] = {}
    for entity, system in sorted(pairs):
        by_system.setdefault(system, []).append(entity)
    for system, some in by_system.items():
        run(
            connection,
            """WITH settled AS (
                 UPDATE delivery SET state = CASE WHEN lease IS NULL THEN 'idle' ELSE state END,
                        wanted = wanted + (lease IS NOT NULL)::int, updated_at = now()
                 WHERE entity_id = ANY(%(some)s) AND system = %(system)s AND state IN ('due', 'dead')
                 RETURNING entity_id, state)
               UPDATE dead_letter SET state = 'resolved', ended_at = now() FROM settled
               WHERE settled.state = 'idle' AND dead_letter.entity_id = settled.entity_id
                 AND dead_letter.system = %(system)s AND dead_letter.event_seq IS NULL
                 AND dead_letter.state IN ('open', 'retried')""",
            {"some": some, "system": system},
        )


_CREATING = """SELECT 1 FROM record WHERE record.entity_id = delivery.entity_id AND record.system = delivery.system
                 AND record.state = 'creating'"""


def claim(connection: Connection, system: str, lease: UUID, *, seconds: int, limit: int, urgent: bool) -> list[Row]:
    """Lease due deliveries of one system, the urgent and the old first: no entity is sent twice at once.

    The ordinary lane leaves the urgent ones to the payments lane, where they wait behind nothing; those that nobody
    took for `LEFT_ALONE_S` it takes all the same. The payments lane takes also what the other has claimed for a long
    round and not sent yet (`launch`): a payment does not wait for a backlog that holds its order.
    None while a restored ledger does not know what has been written since its backup.
    """
    free = "lease IS NULL OR lease_until < now()"
    if urgent:  # but what is being created is left to whoever began it
        free += f" OR NOT in_flight AND NOT EXISTS ({_CREATING})"
    found = rows(
        connection,
        f"""UPDATE delivery SET lease = %(lease)s, lease_until = now() + make_interval(secs => %(seconds)s),
                  in_flight = %(urgent)s
           WHERE (entity_id, system) IN (
             SELECT entity_id, system FROM delivery WHERE state = 'due' AND system = %(system)s AND due_at <= now()
               AND {URGENT_ONLY if urgent else NOT_URGENT} AND ({free}) AND NOT {HELD}
             ORDER BY priority, due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
           RETURNING *, now() AS claimed_at""",  # noqa: S608 - ours
        {"lease": lease, "seconds": seconds, "system": system, "limit": limit, "urgent": urgent},
    )
    return sorted(found, key=lambda row: (row["priority"], row["due_at"], row["entity_id"]))


def release(connection: Connection, lease: UUID, system: str, entities: Collection[UUID]) -> None:
    """Give claims back as if they had not been taken."""
    run(
        connection,
        """UPDATE delivery SET lease = NULL, lease_until = NULL
           WHERE entity_id = ANY(%s) AND system = %s AND lease = %s""",
        [list(entities), system, lease],
    )


def renew(
    connection: Connection, lease: UUID, system: str, entities: Collection[UUID], *, seconds: int, passing: bool = False
) -> int:
    """Hold claims for a full lease from now. How many of them still are ours.

    `passing`: what somebody is at just now is passed over, and not counted; its claim is renewed or ended there.
    """
    return run(
        connection,
        f"""UPDATE delivery SET lease_until = now() + make_interval(secs => %s)
           WHERE (entity_id, system) IN (
             SELECT entity_id, system FROM delivery WHERE entity_id = ANY(%s) AND system = %s AND lease = %s
             ORDER BY entity_id FOR UPDATE {"SKIP LOCKED" if passing else ""})""",  # noqa: S608 - ours
        [seconds, sorted(entities), system, lease],
    )


def launch(
    connection: Connection, lease: UUID, system: str, entities: Collection[UUID], *, seconds: int
) -> dict[UUID, datetime]:
    """Claims that are about to be sent: held for a full lease from now, nobody's to take. Those that still are ours.

    With the moment, by the ledger's clock. One that lapsed while we read and waited, or that the payments lane took, is
    someone else's.
    """
    held = rows(
        connection,
        """UPDATE delivery SET in_flight = true, lease_until = now() + make_interval(secs => %s)
           WHERE entity_id = ANY(%s) AND system = %s AND lease = %s RETURNING entity_id, now() AS at""",
        [seconds, list(entities), system, lease],
    )
    return {row["entity_id"]: row["at"] for row in held}


def done(connection: Connection, ends: Sequence[Done], *, window_s: int) -> list[Row]:
    """Give claims back as done: idle, or due again when more was wanted meanwhile. Entity, state, priority of each.

    A claim that was lost meanwhile is left alone, and absent from the answer. What a payment's write left to say is due
    next in the ordinary lane. Counts writes in a window, for the loop breaker.
    """
    if not ends:
        return []
    return rows(
        connection,
        """UPDATE delivery SET
             state = CASE WHEN delivery.wanted > new.wanted OR new.left_over THEN 'due' ELSE 'idle' END,
             due_at = CASE WHEN delivery.wanted > new.wanted OR new.left_over THEN now() ELSE due_at END,
             priority = CASE WHEN new.left_over AND delivery.wanted <= new.wanted THEN %(next)s ELSE priority END,
             lease = NULL, lease_until = NULL, attempts = 0, last_error = NULL, updated_at = now(),
             writes = CASE WHEN writes_since < now() - make_interval(secs => %(window)s) THEN 0 ELSE writes END
                      + new.wrote::int,
             writes_since = CASE WHEN writes_since < now() - make_interval(secs => %(window)s) THEN now()
                            ELSE writes_since END
           FROM jsonb_to_recordset(%(ends)s)
             AS new(entity_id uuid, system text, lease uuid, wanted bigint, wrote boolean, left_over boolean)
           WHERE delivery.entity_id = new.entity_id AND delivery.system = new.system AND delivery.lease = new.lease
           RETURNING delivery.entity_id, delivery.state, delivery.priority""",
        {"ends": bulk([columns(end) for end in ends]), "window": window_s, "next": NEXT},
    )


def postpone(connection: Connection, later: Sequence[Later]) -> None:
    """Give claims back to be taken again, each at its time; those that were lost meanwhile are left alone.

    A claim that was hastened while it was held, or marked by something more urgent, is due at once.
    """
    if not later:
        return
    run(
        connection,
        """UPDATE delivery SET lease = NULL, lease_until = NULL, last_error = new.error,
                  due_at = CASE WHEN delivery.due_at > new.due_at THEN delivery.due_at ELSE new.until END,
                  attempts = attempts + new.counts::int, updated_at = now()
           FROM jsonb_to_recordset(%s) AS new(
             entity_id uuid, system text, lease uuid, due_at timestamptz, until timestamptz, counts boolean, error text)
           WHERE delivery.entity_id = new.entity_id AND delivery.system = new.system AND delivery.lease = new.lease""",
        [bulk([columns(item) for item in later])],
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


def is_due(connection: Connection, entity_id: UUID, system: str) -> bool:
    """Is something to be done for it, now or later?"""
    query = "SELECT 1 AS there FROM delivery WHERE entity_id = %s AND system = %s AND state = 'due'"
    return one(connection, query, [entity_id, system]) is not None


def unpark(connection: Connection, entity_id: UUID, system: str) -> None:
    """Nobody looks at a parked delivery any more: the next change there is tried again, as after any other failure."""
    run(
        connection,
        """UPDATE delivery SET state = 'dead', updated_at = now()
           WHERE entity_id = %s AND system = %s AND state = 'parked'""",
        [entity_id, system],
    )


# From one (system, priority) that is due to the next, by the index, however many rows each has; then one look at each.
_READY = """
    WITH RECURSIVE level AS (
      (SELECT {system} AS system, priority FROM {table} WHERE state = '{state}' AND due_at IS NOT NULL
       ORDER BY {system}, priority LIMIT 1)
      UNION ALL
      SELECT more.system, more.priority FROM level, LATERAL (
        SELECT {system} AS system, priority FROM {table} WHERE state = '{state}' AND due_at IS NOT NULL
          AND ({system}, priority) > (level.system, level.priority) ORDER BY {system}, priority LIMIT 1) AS more)
    SELECT system, priority FROM level WHERE EXISTS (
      SELECT 1 FROM {table} WHERE state = '{state}' AND {system} = level.system AND {table}.priority = level.priority
        AND due_at <= now() AND (lease IS NULL OR lease_until < now() {or_}) LIMIT 1)"""


def ready(connection: Connection) -> list[Row]:
    """Lanes that have something to take now: (system, urgent, normal), from deliveries and notifications alike."""
    work = [
        _READY.format(table=table, system=system, state=state, or_=or_)
        for table, system, state, or_ in (
            ("delivery", "system", "due", f"OR delivery.priority <= {URGENT} AND NOT in_flight"),
            ("event", "source", "notified", ""),
        )
    ]
    return rows(
        connection,
        f"""SELECT system, bool_or(priority <= {URGENT}) AS urgent, bool_or(priority > {URGENT}) AS normal
            FROM (({work[0]}) UNION ALL ({work[1]})) AS work GROUP BY system""",  # noqa: S608 - ours
    )


def next_due(connection: Connection, system: str, *, urgent: bool) -> float | None:
    """Seconds until this lane has something to do, of what waits for a time; None: nothing waits."""
    levels = [URGENT] if urgent else [NEXT, NORMAL, BULK]
    found = one(
        connection,
        """SELECT extract(epoch FROM min(due_at) - now())::float AS seconds
           FROM unnest(%(levels)s::smallint[]) AS level, LATERAL (
             (SELECT due_at FROM delivery WHERE state = 'due' AND system = %(system)s AND priority = level
                AND due_at > now() AND lease IS NULL ORDER BY due_at LIMIT 1)
             UNION ALL
             (SELECT due_at FROM event WHERE state = 'notified' AND source = %(system)s AND priority = level
                AND due_at > now() AND lease IS NULL ORDER BY due_at LIMIT 1)) AS waiting""",
        {"levels": levels, "system": system},
    )
    return found["seconds"] if found else None


def lanes(connection: Connection) -> list[Row]:
    """What waits for each system, for `bus status` and the live line of the demo; what is idle is not looked at."""
    return rows(
        connection,
        """SELECT system, sum(due)::bigint AS due, sum(urgent)::bigint AS urgent, sum(in_flight)::bigint AS in_flight,
                  sum(dead)::bigint AS dead, sum(parked)::bigint AS parked, max(oldest_s) AS oldest_s
           FROM (
             SELECT system, count(*) AS due, count(*) FILTER (WHERE priority <= 0) AS urgent,
                    count(*) FILTER (WHERE lease IS NOT NULL) AS in_flight, 0 AS dead, 0 AS parked,
                    extract(epoch FROM now() - min(since)) AS oldest_s
             FROM delivery WHERE state = 'due' GROUP BY system
             UNION ALL
             SELECT system, 0, 0, 0, count(*) FILTER (WHERE state = 'dead'),
                    count(*) FILTER (WHERE state = 'parked'), NULL
             FROM delivery WHERE state IN ('dead', 'parked') GROUP BY system) AS waiting
           GROUP BY system ORDER BY system""",
    )
