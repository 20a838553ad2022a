from datetime import UTC, datetime, timedelta
from typing import Any

import fakeredis
import pytest

from bus.budget import REDIS_AWAY_S, Budget
from bus.config import Rate
from bus.errors import NotReady
from bus.ports import Spent

CLOUD = Rate(per_second=2, burst=50, payments_reserve=10)
"""Of 50, a step of 2 is left free and payments have 10: urgent may fill it to 48, bulk to 40."""


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept = 0.0
        self.naps = 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        self.naps += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


def budget(client: Any, clock: Clock, rate: Rate = CLOUD, system: str = "crm", egress: str = "default") -> Budget:
    return Budget(client, rate, system=system, portal="b24.example", egress=egress, sleep=clock.sleep, clock=clock)


def away(clock: Clock, rate: Rate = CLOUD) -> Budget:
    """A budget whose Redis cannot be reached."""
    server = fakeredis.FakeServer()
    server.connected = False
    return budget(fakeredis.FakeRedis(server=server), clock, rate)


def spend(one: Budget, times: int, *, urgent: bool) -> None:
    for _ in range(times):
        one.acquire(urgent=urgent)


def soon(clock: Clock, seconds: float = 90) -> datetime:
    return datetime.fromtimestamp(clock.now, UTC) + timedelta(seconds=seconds)


# --- the bucket -------------------------------------------------------------------------------------------------------


def test_the_burst_goes_at_once_and_then_two_a_second(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    spend(one, 48, urgent=True)
    assert clock.slept == 0
    spend(one, 4, urgent=True)
    assert clock.slept == 2
    assert clock.naps == 2


def test_it_waits_for_the_second_to_begin_and_not_longer(client: Any, clock: Clock) -> None:
    clock.now += 0.3
    one = budget(client, clock)
    spend(one, 48, urgent=True)
    assert one.wait(urgent=True) == pytest.approx(0.7)
    one.acquire(urgent=True)
    assert clock.slept == pytest.approx(0.7)


def test_looking_takes_nothing(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    assert [one.wait(urgent=False) for _ in range(100)] == [0] * 100
    spend(one, 40, urgent=False)
    assert one.wait(urgent=False) == 1
    assert one.wait(urgent=True) == 0
    assert clock.slept == 0


def test_two_workers_share_one_bucket_and_two_addresses_do_not(client: Any, clock: Clock) -> None:
    spend(budget(client, clock), 30, urgent=True)
    spend(budget(client, clock, system="another-hook"), 18, urgent=True)
    assert budget(client, clock).wait(urgent=True) == 1
    assert budget(client, clock, egress="second").wait(urgent=True) == 0


def test_bulk_leaves_the_reserve_to_payments(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    spend(one, 40, urgent=False)
    assert one.wait(urgent=False) == 1
    spend(one, 8, urgent=True)
    assert clock.slept == 0


def test_the_reserve_costs_bulk_nothing_while_it_waits_for_steps(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    spend(one, 40, urgent=False)
    spend(one, 200, urgent=False)
    assert clock.slept == 100


def test_half_a_request_a_second_is_one_every_two(client: Any, clock: Clock) -> None:
    one = budget(client, clock, Rate(per_second=0.5, burst=5, payments_reserve=0))
    spend(one, 4, urgent=False)
    assert clock.slept == 0
    spend(one, 10, urgent=False)
    assert clock.slept == 20


def test_a_step_as_large_as_the_bucket_still_lets_requests_through(client: Any, clock: Clock) -> None:
    one = budget(client, clock, Rate(per_second=10, burst=10))
    spend(one, 50, urgent=False)
    assert clock.slept <= 10


def test_it_says_not_ready_when_waiting_would_be_long(client: Any, clock: Clock) -> None:
    one = budget(client, clock, Rate(per_second=1, burst=50, payments_reserve=20))
    spend(one, 49, urgent=True)
    with pytest.raises(NotReady) as refused:
        one.acquire(urgent=False)
    assert refused.value.until == soon(clock, 20)
    assert clock.slept == 0


def test_bulk_lets_waiting_payments_go_first(client: Any, clock: Clock) -> None:
    one = budget(client, clock, Rate(per_second=2, burst=50, payments_reserve=0))
    spend(one, 48, urgent=False)
    assert one.wait(urgent=True) == 1
    clock.now += 1
    assert one.wait(urgent=False) == pytest.approx(0.25)
    assert one.wait(urgent=True) == 0
    clock.now += 0.25
    assert one.wait(urgent=False) == 0


def test_redis_keeps_its_own_time_where_no_clock_is_given(client: Any) -> None:
    slept: list[float] = []
    one = Budget(client, Rate(burst=1, payments_reserve=0), system="crm", portal="p", sleep=slept.append)
    one.acquire(urgent=True)
    with pytest.raises(NotReady):
        spend(one, 10, urgent=True)
    assert slept
    assert all(0 < nap <= 1 for nap in slept)


def test_a_clock_that_jumps_back_does_not_stop_the_bucket(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    spend(one, 48, urgent=True)
    one.refused()
    clock.now -= 86_400
    one.wait(urgent=False)
    clock.now += 60
    assert one.wait(urgent=True) == 0
    assert one.wait(urgent=False) == 0
    clock.now += 60
    assert one.account().pace == 1


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_after_a_refusal_a_step_more_is_left_free_for_an_hour(client: Any, clock: Clock) -> None:
    one = budget(client, clock, Rate(per_second=10, burst=50, payments_reserve=6))
    assert (one.left(urgent=False), one.left(urgent=True)) == (44, 47)
    one.refused()
    clock.now += 3000
    assert (one.left(urgent=False), one.left(urgent=True)) == (34, 40)
    clock.now += 1000
    assert (one.left(urgent=False), one.left(urgent=True)) == (44, 47)


def test_a_refusal_means_a_full_bucket_and_half_the_pace(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    one.refused()
    assert one.wait(urgent=True) == 3
    assert one.wait(urgent=False) == 13
    assert one.account().pace == 0.5


def test_each_further_refusal_halves_the_pace_down_to_an_eighth(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    paces = []
    for _ in range(6):
        one.refused()
        paces.append(round(one.account().pace, 2))
        clock.now += 3
    assert paces[:3] == pytest.approx([0.5, 0.26, 0.13], abs=0.01)
    assert paces[3:] == [0.12, 0.12, 0.12]


def test_refusals_of_one_moment_count_once(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    for _ in range(10):
        one.refused()
    assert one.account().pace == 0.5
    assert one.account().refused == 10


def test_the_pace_comes_back_by_itself(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    one.refused()
    clock.now += 60
    assert one.account().pace == 0.75
    clock.now += 60
    assert one.account().pace == 1.0


# --- Redis ------------------------------------------------------------------------------------------------------------


def test_a_bucket_that_redis_lost_counts_as_full_for_bulk_and_not_for_payments(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    spend(one, 40, urgent=False)
    client.flushall()
    assert one.wait(urgent=False) == 1
    assert one.wait(urgent=True) == 0
    clock.now += 1
    assert one.wait(urgent=False) == 0


def test_a_bucket_that_nobody_has_met_is_empty(client: Any, clock: Clock) -> None:
    spend(budget(client, clock), 40, urgent=False)
    assert clock.slept == 0


def test_no_budget_can_be_had_without_redis_and_nothing_else_is_hurt(clock: Clock) -> None:
    one = away(clock)
    with pytest.raises(NotReady, match="Redis"):
        one.acquire(urgent=True)
    with pytest.raises(NotReady, match="Redis"):
        one.account()
    assert one.wait(urgent=True) == REDIS_AWAY_S
    one.refused()
    one.spent({"crm.item.list": Spent(481, soon(clock))})
    assert one.parked(["crm.item.list"], urgent=True) == {"crm.item.list": soon(clock)}


def test_a_box_has_no_limit_and_asks_no_redis(clock: Clock) -> None:
    one = away(clock, Rate(per_second=0))
    one.refused()
    spend(one, 200, urgent=False)
    assert one.wait(urgent=False) == 0
    one.park("crm.item.list", soon(clock))
    assert set(one.parked(["crm.item.list", "profile"], urgent=True)) == {"crm.item.list"}
    assert set(one.account().parked) == {"crm.item.list"}
    assert clock.slept == 0


def test_no_host_and_no_secret_is_in_the_keys_and_all_are_forgotten_some_day(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    one.acquire(urgent=True)
    one.spent({"crm.item.list": Spent(481, soon(clock))})
    keys = client.keys()
    assert len(keys) == 3
    assert all(b"example" not in key and 0 < client.pttl(key) <= 7 * 86_400_000 for key in keys)


# --- the account ------------------------------------------------------------------------------------------------------


def test_the_account_counts_what_went_through(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    spend(one, 3, urgent=True)
    clock.now += 30
    spend(one, 41, urgent=False)
    found = one.account()
    assert (found.urgent, found.bulk, found.waited, found.refused) == (3, 41, 1, 0)
    assert (found.level, found.bulk_limit, found.urgent_limit) == (39, 40, 48)
    assert (found.last_10_s, found.last_60_s) == (41, 44)
    clock.now += 3600
    assert one.account().last_60_s == 0


def test_looking_at_an_account_makes_no_bucket(client: Any, clock: Clock) -> None:
    found = budget(client, clock).account()
    assert (found.level, found.last_60_s, found.pace) == (0, 0, 1)
    assert client.keys() == []


def test_the_history_stays_small(client: Any, clock: Clock) -> None:
    one = budget(client, clock)
    for _ in range(400):
        one.acquire(urgent=False)
    assert client.hlen(client.keys()[0]) < 80
