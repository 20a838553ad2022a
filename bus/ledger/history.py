"""History: one line per change, write, refusal and decision, so that "who did this" has an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from psycopg import sql

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
    """Append lines."""
    if not lines:
        return
    run(
        connection,
        """INSERT INTO history (entity_id, actor, what, event_seq, system, field, old, new, rule, call)
           SELECT entity_id, actor, what, event_seq, system, field, old, new, rule, call
           FROM jsonb_to_recordset(%s) AS new(entity_id uuid, actor text, what text, event_seq bigint, system text,
             field text, old jsonb, new jsonb, rule text, call text)""",
        [bulk([columns(line) for line in lines])],
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
        if rows(connection, "SELECT to_regclass(%s) AS there", [name])[0]["there"] is None and not _spoken(
            connection, first, date(year, month, 1)
        ):
            connection.execute(_partition(name, first, date(year, month, 1)))
            made.append(name)
    return made


def _spoken(connection: Connection, first: date, after: date) -> bool:
    query = "SELECT EXISTS (SELECT 1 FROM history_other WHERE at >= %s AND at < %s) AS there"
    return bool(rows(connection, query, [first, after])[0]["there"])


def _partition(name: str, first: date, after: date) -> sql.Composed:
    return sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF history FOR VALUES FROM ({}) TO ({})").format(
        sql.Identifier(name), sql.Literal(first.isoformat()), sql.Literal(after.isoformat())
    )


def forget(connection: Connection, keep_days: int) -> int:
    """Drop partitions that are wholly past their keeping, and the default one's old lines. How many lines went."""
    gone = 0
    for row in rows(connection, "SELECT relname FROM pg_class WHERE relname ~ '^history_[0-9]{4}_[0-9]{2}$'"):
        year, month = (int(part) for part in row["relname"].split("_")[1:])
        after = date(year + month // 12, month % 12 + 1, 1)
        if (date.today() - after).days > keep_days:  # noqa: DTZ011 - the ledger's sessions are in UTC, a day either way
            gone += rows(connection, f"SELECT count(*) AS n FROM {row['relname']}")[0]["n"]  # noqa: S608 - our name
            connection.execute(f"DROP TABLE {row['relname']}")
    return gone + run(connection, "DELETE FROM history_other WHERE at < now() - make_interval(days => %s)", [keep_days])
