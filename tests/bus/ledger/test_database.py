"""The database: transactions, what is transient, and migrations by two processes at once."""

from collections.abc import Iterator
from threading import Thread
from time import monotonic

import psycopg
import pytest

from bus import embedded
from bus.errors import Transient
from bus.ledger.database import Ledger, bulk, one
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
