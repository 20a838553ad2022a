"""The house of the histories, with the run's own engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bus.embedded import Server
from tests.prove.house import House, opened


@pytest.fixture(scope="module")
def house(postgres_server: Server, valkey_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(postgres_server, valkey_server, tmp_path_factory.mktemp("mappings")) as where:
        yield where
