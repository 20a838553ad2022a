"""Restored: a ledger that was made from a backup knows that it was, and writes to no system before it has looked.

While a ledger is dumped it holds a line in `run` that names the ledger it stands in: this server's, this database's,
this very table. There it says nothing. In whatever is made of the dump, by whom and how ever, the table is another one:
then the line says that all since that moment is forgotten. So there is no moment in which a worker could take such a
ledger for the whole truth.

Held, until one full reading of all systems is merged: deliveries (bus.ledger.deliveries.claim) and tasks for people. A
record that could not be read holds them too, unless a person discarded its letter.
What was booked, created or written since the backup is not in the ledger; done again it would be there twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from bus.ledger.database import Connection, Row, one, rows, run
from bus.model import Json

_THIS = """(SELECT system_identifier || '/' || pg_database.oid || '/' || 'run'::regclass::oid
            FROM pg_control_system(), pg_database WHERE datname = current_database())"""
_OPEN = f"what = 'restore' AND finished_at IS NULL AND report ->> 'ledger' IS DISTINCT FROM {_THIS}"
HELD = f"EXISTS (SELECT 1 FROM run WHERE {_OPEN})"  # noqa: S608 - ours
"""In SQL: is this ledger restored, and not healed yet? Asked once per statement, of an index."""
WHY = (
    "nothing is written before all was read in one run; records that cannot be read are dead letters:"
    " mend and retry, or discard, each, then `bus reconcile --full`"
)

_BACKUP = 0x1B08
"""With a line's number: the lock of whoever makes that backup, as long as he does."""
_UNDER_WAY = f"what = 'restore' AND finished_at IS NULL AND report ->> 'ledger' = {_THIS}"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a restored ledger that is not healed yet knows of itself."""

    since: datetime
    """When the backup was begun that it comes from: nothing later is known."""
    noticed_at: datetime
    """By the ledger's clock: nobody was at work for the lost ledger any more."""


def begin_backup(connection: Connection) -> int:
    """Say, before a dump, that what is made of it is restored. Returns the line's number; it is committed.

    The session holds a lock on the number until it ends: so the next one knows which lines nobody will end any more.
    """
    with connection.transaction():
        run(
            connection,
            f"""WITH open AS MATERIALIZED (SELECT id FROM run WHERE {_UNDER_WAY})
                UPDATE run SET what = 'backup', finished_at = now(), report = %s
                WHERE id IN (SELECT id FROM open WHERE pg_try_advisory_xact_lock(%s, id::integer))""",  # noqa: S608
            [Jsonb({"error": "broken off: it was killed, or lost the ledger"}), _BACKUP],
        )
        found = rows(
            connection,
            f"INSERT INTO run (what, report) VALUES ('restore', jsonb_build_object('ledger', {_THIS})) RETURNING id",  # noqa: S608
        )
        number = int(found[0]["id"])
        connection.execute("SELECT pg_advisory_lock(%s, %s::integer)", [_BACKUP, number])
    return number


def end_backup(connection: Connection, number: int, report: Json) -> None:
    """The dump is over: the line tells of a backup from now on."""
    run(
        connection,
        "UPDATE run SET what = 'backup', finished_at = now(), report = %s WHERE id = %s",
        [Jsonb(report), number],
    )


def last_backup(connection: Connection) -> Row | None:
    """The last backup of this ledger: when it was begun and ended, and the report with its `error`, if it has one."""
    return one(
        connection,
        f"""SELECT started_at, finished_at, report FROM run WHERE what = 'backup' OR {_UNDER_WAY}
            ORDER BY id DESC LIMIT 1""",  # noqa: S608 - ours
    )


def mark(connection: Connection, since: datetime) -> None:
    """Say that this ledger was restored, by other means, to that moment."""
    run(
        connection,
        "INSERT INTO run (what, started_at, report) VALUES ('restore', %s, %s)",
        [since, Jsonb({"ledger": "restored by other means"})],
    )


def forgotten(connection: Connection) -> Forgotten | None:
    """None in a ledger that forgot nothing, or is healed; else it is set to rights, once, where that is still to do."""
    found = rows(connection, f"SELECT id, started_at, report FROM run WHERE {_OPEN} ORDER BY id FOR UPDATE")  # noqa: S608
    if not found:
        return None
    last = found[-1]
    if "noticed_at" not in last["report"]:
        _let_go(connection)
    noted = one(
        connection,
        """UPDATE run SET report = jsonb_build_object('noticed_at', now()) || report
           WHERE id = %s RETURNING report""",
        [last["id"]],
    )
    report = noted["report"] if noted else last["report"]
    return Forgotten(last["started_at"], datetime.fromisoformat(report["noticed_at"]))


def since(connection: Connection) -> datetime | None:
    """To what moment a ledger was restored that is not healed yet; None: it was not, or it is. Changes nothing."""
    found = one(connection, f"SELECT started_at FROM run WHERE {_OPEN} ORDER BY id DESC LIMIT 1")  # noqa: S608 - ours
    return found["started_at"] if found else None


def _let_go(connection: Connection) -> None:
    """Nobody holds what was held when the dump was made. Tasks that were wanted then may be there: they are looked for.

    What people may have noted by its number, since, is another one's number never.
    """
    for statement in (
        "UPDATE delivery SET lease = NULL, lease_until = NULL, in_flight = false WHERE lease IS NOT NULL OR in_flight",
        "UPDATE event SET lease = NULL, lease_until = NULL WHERE state <> 'done' AND lease IS NOT NULL",
        """UPDATE exchange_file SET lease = NULL, lease_until = NULL
           WHERE state IN ('receiving', 'waiting', 'importing') AND lease IS NOT NULL""",
        """UPDATE conflict SET task_state = 'asking', task_since = '1970-01-01T00:00:00Z'
           WHERE state = 'open' AND task_state = 'wanted'""",
    ):
        run(connection, statement)
    for table in ("conflict", "question", "dead_letter", "exchange_file"):
        found = one(connection, "SELECT pg_get_serial_sequence(%s, 'id') AS name", [table])
        connection.execute(
            "SELECT setval(%(name)s, nextval(%(name)s) + %(more)s)", {"name": found and found["name"], "more": _SINCE}
        )


_SINCE = 10_000
"""More than a bus asks people of between two backups."""


def heal(connection: Connection) -> None:
    """All was read: the ledger is the truth again, and what is due may be written."""
    run(connection, f"UPDATE run SET what = 'restored', finished_at = now() WHERE {_OPEN}")  # noqa: S608 - ours


def there_when_healed(connection: Connection, entities: Collection[UUID]) -> set[UUID]:
    """Of these, those that were known when a restored ledger had been healed: of them something may be forgotten."""
    found = rows(
        connection,
        """SELECT id FROM entity WHERE id = ANY(%s)
             AND created_at <= (SELECT max(finished_at) FROM run WHERE what = 'restored')""",
        [list(entities)],
    )
    return {row["id"] for row in found}
