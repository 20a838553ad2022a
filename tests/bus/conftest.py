"""Redis for what keeps its state there by scripts of its own."""

from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import redis


@pytest.fixture(params=["fake", "real"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The scripts run on the stand-in and on the engine itself."""
    if request.param == "fake":
        yield fakeredis.FakeRedis()
        return
    with redis.Redis.from_url(request.getfixturevalue("broker_url")) as engine:
        yield engine
