"""The world of a story."""

from collections.abc import Iterator

import pytest

from tests.stories.world import World, build


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url) as built:
        yield built
