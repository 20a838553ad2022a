"""The database: transactions, what is transient, and migrations by two processes at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic

import psycopg
import pytest

from bus import embedded
from bus.errors import Transient
from bus.ledger.database import Connection, Ledger, Patience, bulk, one, run
from bus.ledger.schema import head, migrate


def test_an_exception_rolls_back(database_url: str) -> None:
    ledger = Ledger(database_url)
    with pytest.raises(psycopg.errors.DivisionByZero), ledger.transaction() as connection:
        connection.execute("INSERT INTO run (what) VALUES ('x'); SELECT 1 / 0")
    with ledger.transaction() as connection:
        assert one(connection, "SELECT 1 FROM run") is None
    ledger.close()


def test_a_ledger_that_cannot_be_reached_is_transient_and_its_url_is_not_told() -> None:
    ledger = Ledger("postgresql://bus:secret@127.0.0.1:1/none", timeout_s=0.05)
    with pytest.raises(Transient) as away, ledger.transaction():
        pass
    assert "secret" not in str(away.value)
    ledger.close()


def test_times_are_utc_and_values_survive(database_url: str) -> None:
    ledger = Ledger(database_url)
    with ledger.transaction() as connection:
        assert one(connection, "SHOW timezone") == {"TimeZone": "UTC"}
        found = one(
            connection,
            "SELECT * FROM jsonb_to_recordset(%s) AS new(a text, b jsonb)",
            [bulk([{"a": "ё", "b": {"c": None}}])],
        )
        assert found == {"a": "ё", "b": {"c": None}}
    ledger.close()


def test_migrating_what_is_migrated_does_nothing_even_twice_at_once(database_url: str) -> None:
    threads = [Thread(target=migrate, args=[database_url]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


@pytest.fixture
def older_url(postgres_server: embedded.Server) -> Iterator[str]:
    """A ledger of the version before."""
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE older")
        url = postgres_server.url.removesuffix("/postgres") + "/older"
        migrate(url, "0003")
        yield url
        admin.execute("DROP DATABASE older WITH (FORCE)")


def test_a_migration_that_meets_the_bus_at_work_crosswise_is_made_again(older_url: str) -> None:
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'event'::regclass"
    with psycopg.connect(older_url) as worker, psycopg.connect(older_url, autocommit=True) as watcher:
        worker.execute("SET deadlock_timeout = '30s'")  # the migration finds out first, and is rolled back
        worker.execute("SELECT 1 FROM event FOR UPDATE")
        thread = Thread(target=migrate, args=[older_url])
        thread.start()
        deadline = monotonic() + 20
        while watcher.execute(waiting).fetchone() is None:
            assert monotonic() < deadline, "the migration never waits"
        worker.execute("SELECT 1 FROM entity")
        worker.commit()
        thread.join(20)
        version = watcher.execute("SELECT version_num FROM alembic_version").fetchone()
    assert version == (head(),)


def test_a_restart_of_the_server_between_two_transactions_is_not_noticed() -> None:
    with embedded.postgres(fsync=False) as server:
        ledger = Ledger(server.url)
        for _ in range(3):
            with ledger.transaction() as connection:
                assert one(connection, "SELECT 1 AS one") == {"one": 1}
            server.restart()
        ledger.close()


def test_a_connection_that_the_server_ended_is_not_used_again(database_url: str) -> None:
    ledger = Ledger(database_url, size=1)
    with ledger.transaction() as connection:
        pid = connection.info.backend_pid
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with ledger.transaction() as connection:
        assert connection.info.backend_pid != pid
    ledger.close()


@contextmanager
def standing(url: str, patience: Patience) -> Iterator[Ledger]:
    ledger = Ledger(url, patience=patience)
    yield ledger
    ledger.close()


@pytest.fixture
def line(database_url: str) -> str:
    """A row that two want."""
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO cursor (name, position) VALUES ('x', now())")
    return "UPDATE cursor SET position = now() WHERE name = 'x'"


@pytest.mark.parametrize("speaks_again", [True, False])
def test_who_stands_still_in_a_transaction_loses_it_and_who_waits_for_his_lock_gets_it(
    database_url: str, line: str, speaks_again: bool
) -> None:
    with standing(database_url, Patience(pause_s=0.3)) as frozen, standing(database_url, Patience()) as other:

        def work(connection: Connection) -> None:
            run(connection, "DELETE FROM cursor")
            assert other.run(lambda waiting: run(waiting, line)) == 1
            if speaks_again:
                run(connection, line)

        with pytest.raises(Transient, match="took too long: IdleInTransaction"):
            frozen.run(work)
        assert frozen.run(lambda connection: run(connection, line)) == 1, "nothing was lost, and it goes on"


def test_who_is_alone_may_take_his_time_since_no_transaction_is_open(database_url: str, line: str) -> None:
    with standing(database_url, Patience(pause_s=0.1)) as ledger, standing(database_url, Patience()) as other:
        with ledger.alone(7) as mine:
            assert mine
            other.run(lambda connection: connection.execute("SELECT pg_sleep(0.4)"))
            with other.alone(7) as also:
                assert not also
        assert ledger.run(lambda connection: run(connection, line)) == 1


def test_a_lock_is_not_waited_for_without_end(database_url: str, line: str) -> None:
    with psycopg.connect(database_url) as holder, standing(database_url, Patience(lock_s=0.2)) as ledger:
        holder.execute(line)
        with pytest.raises(Transient, match="took too long: LockNotAvailable"):
            ledger.run(lambda connection: run(connection, line))


def test_a_statement_behind_a_door_ends(database_url: str) -> None:
    with standing(database_url, Patience(answer_s=0.2)) as ledger:
        with pytest.raises(Transient, match="took too long: QueryCanceled"), ledger.statement() as connection:
            connection.execute("SELECT pg_sleep(20)")
        assert ledger.now()


def test_work_without_a_bound_takes_its_time(database_url: str) -> None:
    shown = "SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock"
    with standing(database_url, Patience()) as ledger, ledger.transaction() as connection:
        assert one(connection, shown) == {"statement": "0", "lock": "30s"}


def test_a_host_that_is_gone_holds_its_locks_no_longer_than_a_minute(database_url: str) -> None:
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
    with standing(database_url, Patience()) as ledger, ledger.transaction() as connection:
        assert [one(connection, f"SHOW {name}") for name in names] == [
            {name: value} for name, value in zip(names, ("30", "10", "3", "30000"), strict=True)
        ]


def test_a_server_that_stands_still_is_not_waited_for_behind_a_door() -> None:
    with embedded.postgres(fsync=False) as server, standing(server.url, Patience(answer_s=0.2)) as ledger:
        with ledger.transaction() as connection:
            all_of_it = [server.pid, *_children(server.pid)]
            assert connection.info.backend_pid in all_of_it
        try:
            for pid in all_of_it:
                os.kill(pid, signal.SIGSTOP)
            with pytest.raises(Transient, match="cannot be reached"), ledger.statement() as connection:
                connection.execute("SELECT 1")
        finally:
            for pid in all_of_it:
                os.kill(pid, signal.SIGCONT)
        assert ledger.now()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
