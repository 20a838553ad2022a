"""Offers: deliveries to a system that fetches them itself: claimed when it asks, done when it says that it has them.

The lease in the delivery rows and what the record rows promise and tell are all that is known of an offer: whichever
process hears of its success can finish it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from bus.ledger import deliveries
from bus.ledger.database import Connection, Row, one, rows, run
from bus.ledger.restored import HELD

_LEASE_S = 3600
"""An offer may be worked on for long, and the next question takes it back anyway."""


def claim(connection: Connection, system: str, lease: UUID, *, limit: int) -> list[Row]:
    """Claim due deliveries, the urgent first, with all that is due of the same orders.

    What an earlier offer held is taken back first: whoever asks anew did not get it, or not all of it.
    """
    take_back(connection, system)
    found = deliveries.claim(connection, system, lease, seconds=_LEASE_S, limit=limit, urgent=True)
    if len(found) < limit:
        found += deliveries.claim(connection, system, lease, seconds=_LEASE_S, limit=limit - len(found), urgent=False)
    return found + _family(connection, system, lease, [row["entity_id"] for row in found])


def take_back(connection: Connection, system: str) -> None:
    """Nothing is offered any more: no success agrees on what was. One after the other may do it."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"offer/{system}"])
    run(
        connection,
        """UPDATE delivery SET lease = NULL, lease_until = NULL, in_flight = false
           WHERE system = %s AND lease IS NOT NULL""",
        [system],
    )


def _family(connection: Connection, system: str, lease: UUID, entities: list[UUID]) -> list[Row]:
    """What else is due of these orders and payments: the order of each payment, and every payment of each order."""
    return rows(
        connection,
        """UPDATE delivery SET lease = %(lease)s, lease_until = now() + make_interval(secs => %(seconds)s)
           WHERE system = %(system)s AND state = 'due' AND lease IS NULL AND entity_id IN (
             WITH orders AS (
               SELECT coalesce(parent_id, id) AS id FROM entity WHERE id = ANY(%(entities)s))
             SELECT id FROM orders UNION
             SELECT entity.id FROM orders JOIN entity ON entity.parent_id = orders.id)
           RETURNING *, now() AS claimed_at""",
        {"lease": lease, "seconds": _LEASE_S, "system": system, "entities": entities},
    )


def held(connection: Connection, system: str, lease: UUID) -> list[Row]:
    """The deliveries of an offer that nobody took back meanwhile, in entity order."""
    return rows(
        connection,
        "SELECT *, now() AS claimed_at FROM delivery WHERE system = %s AND lease = %s ORDER BY entity_id",
        [system, lease],
    )


def waiting(connection: Connection, system: str) -> bool:
    """Is anything due that could be offered now? Nothing is while a restored ledger is held: it is not claimed."""
    found = one(
        connection,
        f"""SELECT 1 AS there FROM delivery WHERE state = 'due' AND system = %s AND due_at <= now()
             AND (lease IS NULL OR lease_until < now()) AND NOT {HELD} LIMIT 1""",  # noqa: S608 - ours
        [system],
    )
    return found is not None


def name(connection: Connection, system: str, record_type: str, entity: UUID, external_id: str) -> None:
    """Note under which id a record is about to be created: it stays so, however often it is offered."""
    run(
        connection,
        """UPDATE record SET external_id = %s
           WHERE entity_id = %s AND system = %s AND type = %s AND state = 'creating' AND external_id IS NULL""",
        [external_id, entity, system, record_type],
    )


def since(connection: Connection, ids: Collection[UUID]) -> dict[UUID, datetime]:
    """When each entity became known: the date of its document, which must stay what it was when it is offered again."""
    found = rows(connection, "SELECT id, created_at FROM entity WHERE id = ANY(%s)", [list(ids)])
    return {row["id"]: row["created_at"] for row in found}


def payments(connection: Connection, orders: Collection[UUID]) -> list[UUID]:
    """The payments of these orders."""
    found = rows(
        connection,
        "SELECT id FROM entity WHERE parent_id = ANY(%s) AND merged_into IS NULL ORDER BY created_at, id",
        [list(orders)],
    )
    return [row["id"] for row in found]
