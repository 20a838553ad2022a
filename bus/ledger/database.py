"""The database: one pool per process, migrations, and the few helpers every statement uses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import Any, TypeVar

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config as AlembicConfig
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb, set_json_dumps
from psycopg_pool import ConnectionPool, PoolTimeout

from bus.errors import Transient
from bus.model import Json

Connection = psycopg.Connection[DictRow]
Row = dict[str, Any]

_MIGRATION_LOCK = 0x1B05

T = TypeVar("T")


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
            kwargs={"row_factory": dict_row, "application_name": "integration-bus", "options": "-c timezone=UTC"},
            check=ConnectionPool.check_connection,
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

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction, again after a lost race or a deadlock. Raises Transient when it never wins."""
        for _ in range(_RACES):
            try:
                with self.transaction() as connection:
                    return work(connection)
            except (LostRace, psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                continue
        raise Transient("the same entities are changed by too many at once", cause="lost races")

    def close(self) -> None:
        """Close every connection; the ledger may be used again afterwards only by a new object."""
        self._pool.close()


def migrate(database_url: str) -> None:
    """Bring the schema to the present version; two processes at once do it one after the other."""
    url = database_url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with as_file(files("bus.ledger") / "migrations") as scripts, engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
        connection.commit()
        config = AlembicConfig()
        config.set_main_option("script_location", str(scripts))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    engine.dispose()


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


def bulk(items: Sequence[Mapping[str, Any]]) -> Jsonb:
    """Rows as one JSON parameter, for `jsonb_to_recordset`: one statement whatever their number."""
    return Jsonb(list(items))


def _dumps(value: Json) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


set_json_dumps(_dumps)
