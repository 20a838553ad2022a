"""Retention: what every table keeps, and for how long; what is past it goes a portion at a time, each its own commit.

Nothing goes that is still needed: what has not ended, what an open dead letter or conflict speaks of, and what ties
records of the systems together as long as one of them is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bus.ledger import conflicts, exchange, history, journal, letters, questions
from bus.ledger.database import Connection, rows, run

PORTION = 5_000
"""Rows in one transaction: a fraction of a second, whatever waits."""

Forget = Callable[[Connection, int, int], int]
"""Deletes at most so many rows that are older than so many days. How many went."""


def _drift(connection: Connection, keep_days: int, limit: int) -> int:
    return _older(connection, "drift", "found_at", keep_days, limit)


def _actions(connection: Connection, keep_days: int, limit: int) -> int:
    return _older(connection, "operator_action", "at", keep_days, limit)


def _older(connection: Connection, table: str, column: str, keep_days: int, limit: int) -> int:
    return run(
        connection,
        f"""DELETE FROM {table} WHERE id IN (
              SELECT id FROM {table} WHERE {column} < now() - make_interval(days => %s) ORDER BY {column} LIMIT %s)""",  # noqa: S608 - ours
        [keep_days, limit],
    )


def _runs(connection: Connection, keep_days: int, limit: int) -> int:
    """Not those that drift speaks of, nor the word that a ledger was restored and is not healed."""
    return run(
        connection,
        """DELETE FROM run WHERE id IN (
             SELECT id FROM run WHERE started_at < now() - make_interval(days => %s)
               AND NOT (what = 'restore' AND finished_at IS NULL)
               AND NOT EXISTS (SELECT 1 FROM drift WHERE drift.run_id = run.id)
             ORDER BY started_at LIMIT %s)""",
        [keep_days, limit],
    )


_FREE = """entity.updated_at < now() - make_interval(days => %(days)s)
    AND entity.erased_at IS NULL AND NOT EXISTS (SELECT 1 FROM erased WHERE erased.entity_id = entity.id)
    AND NOT EXISTS (SELECT 1 FROM entity AS child WHERE child.parent_id = entity.id OR child.merged_into = entity.id)
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.entity_id = entity.id
                      AND (state <> 'idle' OR lease IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE dead_letter.entity_id = entity.id)
    AND NOT EXISTS (SELECT 1 FROM conflict WHERE conflict.entity_id = entity.id)
    AND NOT EXISTS (SELECT 1 FROM question WHERE question.entity_id = entity.id AND question.state = 'open')
    AND NOT EXISTS (SELECT 1 FROM event WHERE event.entity_id = entity.id AND event.state <> 'done')"""


def _entities(connection: Connection, keep_days: int, limit: int) -> int:
    """Entities that became another, and those that were deleted in every system that had them; with all their keys.

    A payment goes before its order. Whoever identifies one at this moment looks again (bus.pipeline).
    """
    gone = rows(
        connection,
        f"""SELECT id FROM entity WHERE {_FREE} AND id IN (
              SELECT id FROM entity WHERE merged_into IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM record WHERE record.entity_id = entity.id)
                AND NOT EXISTS (SELECT 1 FROM identity WHERE identity.entity_id = entity.id)
              UNION SELECT entity_id FROM record AS one WHERE state = 'deleted' AND NOT EXISTS (
                SELECT 1 FROM record WHERE record.entity_id = one.entity_id
                  AND (state <> 'deleted' OR updated_at >= now() - make_interval(days => %(days)s))))
            LIMIT %(limit)s FOR UPDATE SKIP LOCKED""",  # noqa: S608 - ours
        {"days": keep_days, "limit": limit},
    )
    ids = [row["id"] for row in gone]
    for table in ("delivery", "record", "identity", "question"):
        run(connection, f"DELETE FROM {table} WHERE entity_id = ANY(%s)", [ids])  # noqa: S608 - ours
    run(connection, "DELETE FROM question WHERE decision = ANY(%s)", [[str(one) for one in ids]])
    return run(connection, "DELETE FROM entity WHERE id = ANY(%s)", [ids])


FORGET: Mapping[str, Forget] = {
    "dead_letter": letters.forget,
    "conflict": conflicts.forget,
    "question": questions.forget,
    "drift": _drift,
    "run": _runs,
    "operator_action": _actions,
    "history": history.forget,
    "event": journal.forget,
    "entity": _entities,
}
"""In this order: what speaks of others before what it speaks of. `limits.keep_days`."""

FILES: Mapping[str, Forget] = {"exchange_file": exchange.forget}
"""`limits.exchange_keep_days`."""

WITH_OTHERS: Mapping[str, str] = {
    "exchange_chunk": "goes with its file",
    "record": "goes with its entity; as long as one of them is in a system, it is what ties the systems together",
    "identity": "goes with its entity: without it the next word of a system would make a second one",
    "delivery": "one for each entity and system; goes with its entity",
    "trait": "of each living counterparty those that it has now; goes with its entity",
}

BOUNDED: Mapping[str, str] = {
    "cursor": "one for each record type of each system, and one for questions of money",
    "switch": "one for each system, kind and direction",
    "erased": "one for each record of a person who was erased, until somebody lifts it: it keeps the person out",
    "tombstone": "a hash and two times for each record that was deleted: without it a word sent again brings it back",
    "alembic_version": "one row",
}
