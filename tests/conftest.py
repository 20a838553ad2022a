"""The real engines, started once per run, a fresh ledger and an empty broker for each test that asks, and its end."""

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from itertools import count

import psycopg
import pytest
import redis
import structlog

from bus import embedded

_numbers = count(1)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """A command that a test runs sets up logging, hooks and signals for its process; this process goes on."""
    root, hooks, configured = logging.getLogger(), (sys.excepthook, threading.excepthook), structlog.get_config()
    handlers, level, stopped = list(root.handlers), root.level, signal.getsignal(signal.SIGTERM)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(capture=False)
    structlog.configure(**configured)
    assert signal.getsignal(signal.SIGTERM) is stopped


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[embedded.Server]:
    with embedded.postgres(fsync=False) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[embedded.Server]:
    with embedded.valkey(appendonly=False) as server:
        yield server


@pytest.fixture(scope="session")
def _admin(postgres_server: embedded.Server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def _migrated(postgres_server: embedded.Server, _admin: psycopg.Connection) -> str:
    """The name of a migrated database, the template of every test's own."""
    from bus.ledger.schema import migrate

    _admin.execute("CREATE DATABASE migrated")
    migrate(_url_of(postgres_server, "migrated"))
    return "migrated"


@pytest.fixture
def database_url(postgres_server: embedded.Server, _admin: psycopg.Connection, _migrated: str) -> Iterator[str]:
    """A migrated, empty ledger of the test's own."""
    name = f"test_{next(_numbers)}"
    _admin.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated} STRATEGY FILE_COPY")
    yield _url_of(postgres_server, name)
    _admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def module_url(postgres_server: embedded.Server, _admin: psycopg.Connection, _migrated: str) -> Iterator[str]:
    """A migrated ledger that the tests of a file share; each empties it for itself."""
    name = f"module_{next(_numbers)}"
    _admin.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated} STRATEGY FILE_COPY")
    yield _url_of(postgres_server, name)
    _admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def broker_url(valkey_server: embedded.Server) -> str:
    """The broker, emptied."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


def _url_of(server: embedded.Server, database: str) -> str:
    return server.url.removesuffix("/postgres") + f"/{database}"
