"""History: one line per change, write, refusal and decision, so that "who did this" has an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import psycopg
from psycopg import sql

from bus.ledger import erased
from bus.ledger.database import Connection, Row, bulk, columns, rows, run
from bus.model import Json


@dataclass(frozen=True, slots=True)
class Line:
    """Who, what, which field, old, new, which rule won, which call carried it."""

    entity_id: UUID
    actor: str
    what: str
    event_seq: int | None = None
    system: str | None = None
    field: str | None = None
    old: Json = None
    new: Json = None
    rule: str | None = None
    call: str | None = None


def write(connection: Connection, lines: Sequence[Line]) -> None:
    """Append lines; of an erased person without the values."""
    if not lines:
        return
    run(
        connection,
        """INSERT INTO history (entity_id, actor, what, event_seq, system, field, old, new, rule, call)
           SELECT entity_id, actor, what, event_seq, system, field, CASE WHEN told THEN old END,
                  CASE WHEN told THEN new END, rule, call
           FROM jsonb_to_recordset(%(lines)s) AS line(entity_id uuid, actor text, what text, event_seq bigint,
             system text, field text, old jsonb, new jsonb, rule text, call text), LATERAL (
             SELECT NOT EXISTS (SELECT 1 FROM entity WHERE id = line.entity_id AND erased_at IS NOT NULL
               AND (kind = 'counterparty' OR line.field = ANY(%(personal)s))) AS told) AS asked""",
        {"lines": bulk([columns(line) for line in lines]), "personal": erased.NAMES},
    )


def of_entity(connection: Connection, entity_id: UUID, limit: int = 500) -> list[Row]:
    """The story of one entity, oldest first."""
    return rows(
        connection,
        "SELECT * FROM (SELECT * FROM history WHERE entity_id = %s ORDER BY id DESC LIMIT %s) AS last ORDER BY id",
        [entity_id, limit],
    )


def make_partitions(connection: Connection, today: date, months: int = 2) -> list[str]:
    """Partitions for this month and the next ones; a month already partly in the default partition is left there."""
    made = []
    year, month = today.year, today.month
    for _ in range(months):
        first = date(year, month, 1)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)  # noqa: PLR2004 - December
        name = f"history_{first:%Y_%m}"
        after = date(year, month, 1)
        lacks = rows(connection, "SELECT to_regclass(%s) AS there", [name])[0]["there"] is None
        if lacks and not _spoken(connection, first, after) and _quickly(connection, _partition(name, first, after)):
            made.append(name)
    return made


def _spoken(connection: Connection, first: date, after: date) -> bool:
    query = "SELECT EXISTS (SELECT 1 FROM history_other WHERE at >= %s AND at < %s) AS there"
    return bool(rows(connection, query, [first, after])[0]["there"])


def _partition(name: str, first: date, after: date) -> sql.Composed:
    return sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF history FOR VALUES FROM ({}) TO ({})").format(
        sql.Identifier(name), sql.Literal(first.isoformat()), sql.Literal(after.isoformat())
    )


def past(connection: Connection, keep_days: int, today: date) -> list[str]:
    """Partitions that are wholly past their keeping."""
    query = "SELECT relname FROM pg_class WHERE relname ~ '^history_[0-9]{4}_[0-9]{2}$' ORDER BY relname"
    return [row["relname"] for row in rows(connection, query) if (today - _after(row["relname"])).days > keep_days]


def _after(name: str) -> date:
    """The first day after a partition's month."""
    year, month = (int(part) for part in name.split("_")[1:])
    return date(year + month // 12, month % 12 + 1, 1)


def drop(connection: Connection, name: str) -> int:
    """Drop a partition. How many lines went; none while history is in use all the time: then another day.

    Whoever writes or reads history waits for us from when we ask until we are done, so we do not ask for long.
    """
    lines = int(rows(connection, f"SELECT count(*) AS n FROM {name}")[0]["n"])  # noqa: S608 - our name
    return lines if _quickly(connection, sql.SQL("DROP TABLE {}").format(sql.Identifier(name))) else 0


def _quickly(connection: Connection, statement: sql.Composed) -> bool:
    """Run what nobody may write history beside. False when it had to wait for longer than a second."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '1s'")
            connection.execute(statement)
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def forget(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete old lines of the default partition, at most so many. How many went."""
    return run(
        connection,
        """DELETE FROM history_other WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM history_other WHERE at < now() - make_interval(days => %s) ORDER BY at LIMIT %s))""",
        [keep_days, limit],
    )
