"""The database: one pool per process, how long anyone waits in it, and the few helpers every statement uses."""

from __future__ import annotations

import json
import select
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.errors import (
    IdleInTransactionSessionTimeout,
    InsufficientPrivilege,
    LockNotAvailable,
    QueryCanceled,
    UndefinedColumn,
    UndefinedTable,
)
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


_SERVERS_WATCH = (
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c tcp_user_timeout=30000"
)
WATCHED: Mapping[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "options": _SERVERS_WATCH,
}
"""How both ends of a connection watch each other; seconds, and milliseconds. Either end that is gone without a word is
noticed in a minute: a server, of whom nothing else ends the wait for an answer, and a host of ours, whose transactions
hold their locks as long. The kernels' own patience is two hours."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a session of ours is borne with, in seconds. What is over is rolled back, and Transient for its maker.

    Commands that look after the ledger as a whole (migrate, backup, restore) have sessions of their own, without this.
    """

    pause_s: float = 15.0
    """Between two statements of one transaction: who says nothing for so long stands still (a frozen process, a host
    that swaps), and holds up all who want the same order. The most that we do in between is to merge a thousand
    events: half a second, several where eight threads do it on a busy machine."""
    lock_s: float = 30.0
    """For a lock. Longer than `pause_s`: whoever waits for one that stands still gets his turn and need not repeat."""
    answer_s: float | None = None
    """For a statement; None: as long as it takes, since looking through the whole ledger may take minutes."""

    @property
    def options(self) -> str:
        """As a session is told of it."""
        told = {
            "idle_in_transaction_session_timeout": self.pause_s,
            "lock_timeout": self.lock_s,
            "statement_timeout": self.answer_s or 0,
        }
        return " ".join(f"-c {name}={round(seconds * 1000)}" for name, seconds in told.items())


AT_A_DOOR = Patience(answer_s=15.0)
"""Where somebody waits for our answer: he repeats what we could not take."""
_LATE_S = 2.0
"""So much later than the server would do it we end a statement ourselves: that server does nothing any more."""


READ_ONLY = "the ledger takes no writes: it is a standby, or was made read-only"


class LostRace(Exception):
    """Another transaction identified or merged one of ours first: roll back and look again."""


_RACES = 8
"""How often a transaction is made again after losing a race; each time the other side has come further."""


_SLOW = (LockNotAvailable, QueryCanceled, IdleInTransactionSessionTimeout)
NOT_OURS = (UndefinedTable, UndefinedColumn, InsufficientPrivilege)
"""The tables are older than this bus, or it may not use them: no record's fault, over once somebody has migrated."""
_REPEATED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
"""For `run` to do again."""


class Ledger:
    """A pool of connections to the ledger; opened on first use, never at import."""

    def __init__(self, url: str, *, size: int = 8, timeout_s: float = 10.0, patience: Patience | None = None) -> None:
        """`timeout_s`: so long a connection is waited for."""
        patience = patience or Patience()
        told = {"application_name": "integration-bus", **WATCHED}
        told["options"] = f"{_OPTIONS} {_SERVERS_WATCH} {patience.options}"
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            connection_class=_answering_within(patience.answer_s),
            min_size=0,
            max_size=size,
            timeout=timeout_s,
            open=False,
            kwargs={"row_factory": dict_row, **told},
            check=_still_open,
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back on an exception.

        Raises Transient without a database, and when patience with it, or its own with us, is over.
        """
        self._pool.open()
        try:
            with self._pool.connection() as connection:
                yield connection
        except _REPEATED:
            raise
        except _SLOW as error:
            raise Transient(f"the ledger took too long: {type(error).__name__}", cause="ledger slow") from None
        except psycopg.errors.ReadOnlySqlTransaction:
            raise Transient(READ_ONLY, cause="ledger read-only") from None
        except (PoolTimeout, psycopg.OperationalError) as error:
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


def _answering_within(seconds: float | None) -> type[Connection]:
    """A class of connections that wait so long for each answer, and are closed when none came.

    A server that hangs, while its kernel goes on acknowledging, ends nothing by itself: neither its own
    `statement_timeout` nor a keepalive is of any use then.
    """
    if seconds is None:
        return psycopg.Connection
    patience_s = seconds + _LATE_S

    class Answering(psycopg.Connection[DictRow]):
        def wait(self, gen: Generator[Any, Any, T], *how: Any, **named: Any) -> T:  # noqa: ANN401 - as psycopg has them
            try:
                return super().wait(_no_longer_than(patience_s, gen), *how, **named)
            except _Unanswered:
                self.pgconn.finish()  # what it would answer yet, nobody could tell from the next answer
                raise

    return Answering


class _Unanswered(psycopg.OperationalError):
    pass


def _no_longer_than(seconds: float, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """What psycopg waits with, for so long: it is woken ten times a second while nothing comes. Raises _Unanswered."""
    end = monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and monotonic() > end:
                raise _Unanswered("no answer")
            wanted = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result


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
