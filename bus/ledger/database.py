"""The database: one pool per process, and the few helpers every statement uses."""

from __future__ import annotations

import json
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb, set_json_dumps
from psycopg_pool import ConnectionPool, PoolTimeout

from bus.errors import Transient
from bus.model import Json

Connection = psycopg.Connection[DictRow]
Row = dict[str, Any]

T = TypeVar("T")


_OPTIONS = "-c timezone=UTC -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
"""Of every session. A session keeps its plans: made while the ledger was young they would read whole tables, and go on
doing so while it grows by a hundred thousand events, until PostgreSQL looks at them again. So where there is an index
it is used, row by row; what has none works as ever. The indexes are cut to leave one for each hot query (0002)."""


_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""Seconds, and milliseconds: a server that is gone without a word is noticed in a minute. The kernel's own patience is
two hours, and nothing else ends the wait for an answer."""


class LostRace(Exception):
    """Another transaction identified or merged one of ours first: roll back and look again."""


_RACES = 8
"""How often a transaction is made again after losing a race; each time the other side has come further."""


class Ledger:
    """A pool of connections to the ledger; opened on first use, never at import."""

    def __init__(self, url: str, *, size: int = 8, timeout_s: float = 10.0) -> None:
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            min_size=0,
            max_size=size,
            timeout=timeout_s,
            open=False,
            kwargs={"row_factory": dict_row, "application_name": "integration-bus", "options": _OPTIONS, **_ALIVE},
            check=_still_open,
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back on an exception. Raises Transient without a database."""
        self._pool.open()
        try:
            with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            if isinstance(error, (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)):
                raise
            raise Transient(
                f"the ledger cannot be reached: {type(error).__name__}", cause="ledger unreachable"
            ) from None

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """For work that is one statement, and so a transaction by itself: one round trip to the server, not three.

        Raises Transient without a database.
        """
        with self.transaction() as connection:
            connection.autocommit = True
            try:
                yield connection
            finally:
                if not connection.closed:
                    connection.autocommit = False

    def now(self) -> datetime:
        """The ledger's clock, by which readings and writes are compared, whoever's clock is wrong."""
        with self.statement() as connection:
            found: datetime = rows(connection, "SELECT now() AS at")[0]["at"]
        return found

    @contextmanager
    def alone(self, lock: int) -> Iterator[bool]:
        """Be the only one inside, over all processes; yields False when someone else is. Opens no transaction."""
        with self.transaction() as connection:
            mine = rows(connection, "SELECT pg_try_advisory_lock(%s) AS mine", [lock])[0]["mine"]
            connection.commit()
            try:
                yield bool(mine)
            finally:
                if mine:
                    connection.execute("SELECT pg_advisory_unlock(%s)", [lock])

    def run(self, work: Callable[[Connection], T], *, one_statement: bool = False) -> T:
        """Do `work` in a transaction, again after a lost race or a deadlock. Raises Transient when it never wins.

        `one_statement`: it is no more than that, and needs no transaction around it (see `statement`).
        """
        begin = self.statement if one_statement else self.transaction
        for _ in range(_RACES):
            try:
                with begin() as connection:
                    return work(connection)
            except (LostRace, psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                continue
        raise Transient("the same entities are changed by too many at once", cause="lost races")

    def close(self) -> None:
        """Close every connection; the ledger may be used again afterwards only by a new object."""
        self._pool.close()


def _still_open(connection: Connection) -> None:
    """Refuse a pooled connection that the server has closed (it was restarted), without asking the server each time.

    Whoever closes a connection leaves that to be read from its socket; when nothing is, it was open a moment ago.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        ConnectionPool.check_connection(connection)


def rows(connection: Connection, query: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> list[Row]:
    """Run one statement and fetch all it returns."""
    return connection.execute(query, params).fetchall()


def one(connection: Connection, query: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Row | None:
    """Run one statement and fetch its first row."""
    found = rows(connection, query, params)
    return found[0] if found else None


def run(connection: Connection, query: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> int:
    """Run one statement; how many rows it touched."""
    return connection.execute(query, params).rowcount


def columns(item: object) -> Row:
    """A value with slots as a row. What it holds is not copied, as dataclasses.asdict would, deep down."""
    return {name: getattr(item, name) for name in type(item).__slots__}  # type: ignore[attr-defined]  # ours have them


def bulk(items: Sequence[Mapping[str, Any]]) -> Jsonb:
    """Rows as one JSON parameter, for `jsonb_to_recordset`: one statement whatever their number."""
    return Jsonb(list(items))


def _dumps(value: Json) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


set_json_dumps(_dumps)
