from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import redis

from bus.breaker import Breaker, Circuit
from bus.errors import NotReady


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["fake", "real"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The scripts run on the stand-in and on the engine itself."""
    if request.param == "fake":
        yield fakeredis.FakeRedis()
        return
    with redis.Redis.from_url(request.getfixturevalue("broker_url")) as engine:
        yield engine


@pytest.fixture
def breaker(client: Any, clock: Clock) -> Breaker:
    return Breaker(client, failures=3, open_s=30, clock=clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed("crm")


def test_it_opens_after_failures_in_a_row(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 2)
    breaker.guard("crm")
    fail(breaker, 1)
    with pytest.raises(NotReady) as refused:
        breaker.guard("crm")
    assert refused.value.until.timestamp() == clock.now + 30
    assert breaker.state("crm").circuit is Circuit.OPEN


def test_a_success_starts_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded("crm")
    fail(breaker, 2)
    breaker.guard("crm")
    assert breaker.state("crm").circuit is Circuit.CLOSED
    assert breaker.state("crm").failures == 2


def test_half_open_lets_one_probe_through(breaker: Breaker, client: Any, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 31
    assert breaker.state("crm").circuit is Circuit.HALF_OPEN
    breaker.guard("crm")
    other = Breaker(client, failures=3, open_s=30, clock=clock)
    with pytest.raises(NotReady):
        other.guard("crm")


def test_the_probes_success_closes_it_for_all(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 31
    breaker.guard("crm")
    breaker.succeeded("crm")
    breaker.guard("crm")
    breaker.guard("crm")
    assert breaker.state("crm").circuit is Circuit.CLOSED


def test_the_probes_failure_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 31
    breaker.guard("crm")
    fail(breaker, 1)
    with pytest.raises(NotReady):
        breaker.guard("crm")
    clock.now += 31
    breaker.guard("crm")


def test_late_failures_do_not_prolong_an_open_circuit(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 29
    fail(breaker, 5)
    clock.now += 2
    breaker.guard("crm")


def test_systems_do_not_open_each_others_circuit(breaker: Breaker) -> None:
    fail(breaker, 3)
    breaker.guard("shop")


def test_it_is_closed_when_redis_has_forgotten(breaker: Breaker, client: Any) -> None:
    fail(breaker, 3)
    client.flushall()
    breaker.guard("crm")


def test_it_is_closed_when_redis_is_away(clock: Clock) -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    breaker = Breaker(fakeredis.FakeRedis(server=server), failures=1, clock=clock)
    breaker.failed("crm")
    breaker.guard("crm")
    breaker.succeeded("crm")
    assert breaker.state("crm").circuit is Circuit.CLOSED
