"""What the bus writes to Redis ends by itself: every key has a time to live, or is a queue that workers empty."""

import re
from collections.abc import Iterator

import pytest
import redis

from bus.app import create_app
from bus.bells import CeleryBells
from bus.breaker import BY_PERSON
from bus.claims import Claims
from bus.exchange_sessions import Sessions
from bus.slots import Slots
from tests.stories.world import World, build

LASTING = {
    r"bus:(payments|orders|deals|counterparties|chores|lane\..+)": "a queue: emptied by its workers, cut at maxmemory",
    r"bus:_kombu\.binding[a-z_]*\..+": "the names of the queues, which the configuration bounds",
    r"bus:breaker:.+": "a lane that a person stopped stays so until he takes it up again",
}
"""Keys without a time to live, and why they do not grow."""


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    rate = {"per_second": 50, "burst": 100, "operating_limit_s": 480}
    with build(database_url, broker_url, books=True, crm={"rate": rate}) as built:
        yield built


def test_every_key_ends_by_itself_or_is_bounded(world: World, broker_url: str) -> None:
    order = world.order(customer={"fio": "Иванов", "phone": "+79123456789"}, paid=True)
    world.books.act({"do": "create_counterparty", "name": "Ромашка", "inn": "7707083893", "kpp": "773601001"})
    world.settle()
    world.wiring.reconcile.run(full=True)
    world.wiring.chores.directories()
    world.wiring.breaker.failed("shop")
    world.wiring.breaker.stop("crm", "a test", by=BY_PERSON)
    with redis.Redis.from_url(broker_url) as client:
        sessions = Sessions(client)
        sessions.turn_over(session := sessions.begin("onec"))
        sessions.shown(session, "ut")
        assert Claims(client, "crm").take("a claim that nobody drops")
        slots = Slots(client, "onec", limit=1, timeout_s=5)
        with slots.taken(), create_app(broker_url, world.wiring.file.called) as app:
            bells = CeleryBells(app)
            bells.publish(world.bells.published)
            for system in world.wiring.file.called:
                bells.ring(system, urgent=True)
            found = {key.decode(): client.ttl(key) for key in client.scan_iter(count=1000)}
    kinds = {re.split(r"[:.]", key.removeprefix("bus:"))[0] for key in found}
    assert kinds >= {"budget", "breaker", "claim", "directory", "exchange", "lane", "onec", "slots"}, kinds
    lasting = {key for key, ttl in found.items() if ttl < 0}
    assert [key for key in lasting if not any(re.fullmatch(known, key) for known in LASTING)] == []
    assert len([key for key in lasting if key.startswith("bus:breaker:")]) <= 1
    assert order
