from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import fakeredis
import pytest
import redis

from bus.budget import Budget
from bus.config import Rate
from bus.errors import NotReady

CLOUD = Rate(per_second=2, burst=50, payments_reserve=5)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


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


def budget(client: Any, clock: Clock, rate: Rate = CLOUD, system: str = "crm") -> Budget:
    return Budget(client, rate, system=system, portal="b24.example", sleep=clock.sleep, clock=clock)


def spend(one: Budget, times: int, *, urgent: bool) -> None:
    for _ in range(times):
        one.acquire(urgent=urgent)


def test_the_burst_goes_at_once_and_then_two_a_second(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    spend(one, 50, urgent=True)
    assert clock.slept == 0
    spend(one, 4, urgent=True)
    assert 1.9 < clock.slept < 2.6


def test_two_workers_share_one_bucket(client: Any, clock: Clock) -> None:
    spend(budget(client, clock), 30, urgent=True)
    spend(budget(client, clock, system="another-hook"), 20, urgent=True)
    assert clock.slept == 0
    budget(client, clock).acquire(urgent=True)
    assert clock.slept > 0


def test_bulk_leaves_the_reserve_to_payments(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    spend(one, 45, urgent=False)
    assert clock.slept == 0
    spend(one, 5, urgent=True)
    assert clock.slept == 0


def test_bulk_says_not_ready_when_waiting_would_be_long(client: Any, clock: Clock) -> None:
    one = budget(client, clock, Rate(per_second=1, burst=50, payments_reserve=20))
    spend(one, 50, urgent=True)
    with pytest.raises(NotReady) as refused:
        one.acquire(urgent=False)
    assert refused.value.until >= datetime.fromtimestamp(clock.now, UTC) + timedelta(seconds=20)
    assert clock.slept == 0


def test_it_drains_in_whole_steps_on_the_second(client: Any, clock: Clock) -> None:
    clock.now += 0.9
    one = budget(client, clock, Rate(per_second=2, burst=2, payments_reserve=0))
    spend(one, 2, urgent=True)
    one.acquire(urgent=True)
    assert 0.1 <= clock.slept < 0.3


def test_a_refusal_shuts_the_bucket_longer_each_time_and_is_forgotten(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    pauses = []
    for _ in range(3):
        one.refused()
        began = clock.slept
        one.acquire(urgent=True)
        pauses.append(clock.slept - began)
    assert pauses[0] < 1.5 < pauses[1] < 2.5 < pauses[2] < 4.5
    clock.now += 600
    one.refused()
    began = clock.slept
    one.acquire(urgent=True)
    assert clock.slept - began < 1.5


def test_refusals_of_one_moment_count_once(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    for _ in range(10):
        one.refused()
    one.acquire(urgent=True)
    assert clock.slept < 1.5


def test_a_box_has_no_limit(client: Any, clock: Clock) -> None:
    one = budget(client, clock, Rate(per_second=0))
    one.refused()
    spend(one, 200, urgent=False)
    assert clock.slept == 0
    assert client.keys() == []


def test_a_parked_method_comes_back_by_itself(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    until = datetime.fromtimestamp(clock.now, UTC) + timedelta(seconds=90)
    one.park("crm.item.list", until)
    assert one.parked("crm.item.list") == until
    assert one.parked("crm.item.update") is None
    assert budget(client, clock, system="another-hook").parked("crm.item.list") is None
    clock.now += 91
    assert one.parked("crm.item.list") is None


def test_redis_keeps_its_own_time_where_no_clock_is_given(client: Any) -> None:
    slept: list[float] = []
    one = Budget(client, Rate(burst=1, payments_reserve=0), system="crm", portal="p", sleep=slept.append)
    one.acquire(urgent=True)
    with pytest.raises(NotReady):
        spend(one, 6, urgent=True)
    assert slept


def test_no_budget_can_be_had_without_redis(clock: Clock) -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    one = budget(fakeredis.FakeRedis(server=server), clock)
    with pytest.raises(NotReady, match="Redis"):
        one.acquire(urgent=True)


def test_no_host_and_no_secret_is_in_the_keys(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    one.acquire(urgent=True)
    one.park("crm.item.list", datetime.fromtimestamp(clock.now, UTC) + timedelta(seconds=9))
    keys = client.keys()
    assert all(b"example" not in key and 0 < client.pttl(key) <= 700_000 for key in keys)
