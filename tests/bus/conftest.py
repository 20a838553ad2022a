"""Redis for what keeps its state there by scripts of its own."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import fakeredis
import psycopg
import pytest
import redis

from bus.embedded import Server


@pytest.fixture(params=["fake", "real"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The scripts run on the stand-in and on the engine itself."""
    if request.param == "fake":
        yield fakeredis.FakeRedis()
        return
    with redis.Redis.from_url(request.getfixturevalue("broker_url")) as engine:
        yield engine


_modules = count(1)


@pytest.fixture(scope="module")
def module_url(postgres_server: Server, _admin: psycopg.Connection, _migrated: str) -> Iterator[str]:
    """A migrated ledger that the tests of a file share; each empties it for itself."""
    name = f"module_{next(_modules)}"
    _admin.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated} STRATEGY FILE_COPY")
    yield postgres_server.url.removesuffix("/postgres") + f"/{name}"
    _admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
