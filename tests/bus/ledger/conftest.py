"""One ledger for all tests that stay inside one transaction, which is rolled back: no database is made for each."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from bus.embedded import Server
from bus.ledger.database import Connection


@pytest.fixture(scope="session")
def _shared_url(postgres_server: Server, _admin: psycopg.Connection, _migrated: str) -> Iterator[str]:
    _admin.execute(f"CREATE DATABASE rolled_back TEMPLATE {_migrated} STRATEGY FILE_COPY")
    yield postgres_server.url.removesuffix("/postgres") + "/rolled_back"
    _admin.execute("DROP DATABASE rolled_back WITH (FORCE)")


@pytest.fixture
def connection(_shared_url: str) -> Iterator[Connection]:
    """A transaction on a ledger of which nothing stays."""
    with psycopg.connect(_shared_url, row_factory=dict_row, options="-c timezone=UTC") as opened:
        yield opened
        opened.rollback()
