"""The budget against the portal's own bucket, as the sandbox counts it: another second, a slow line, other callers."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.budget import Budget
from bus.config import Rate
from bus.sandbox.limits import Bucket

CLOUD, ENTERPRISE = Rate(per_second=2, burst=50), Rate(per_second=5, burst=250)
SAFE = [CLOUD, Rate(per_second=0.5, burst=10, payments_reserve=3)]
"""Where bulk's reserve is no less than a step, and the step no less than what payments leave free."""
RATES = [CLOUD, ENTERPRISE, Rate(per_second=10, burst=50), Rate(per_second=0.5, burst=10, payments_reserve=3)]


class Portal:
    """A portal whose seconds begin `phase` after ours, and the callers that share its bucket, in made-up time."""

    def __init__(self, rate: Rate, phase: float, delay: Callable[[], float]) -> None:
        self.began = self.now = 1_800_000_000.0
        self.admitted, self.refused = Counter[str](), Counter[str]()
        self._bucket, self._phase, self._delay = Bucket(burst=rate.burst, drain=rate.per_second), phase, delay
        self._next: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = count()

    def caller(self, name: str, budget: Budget, *, urgent: bool = False, gap: Callable[[], float]) -> None:
        """One that always has something to ask, `gap` seconds after it asked last."""

        def ask() -> None:
            wait = budget.wait(urgent=urgent)
            if not wait:
                budget.acquire(urgent=urgent)
                self._later(self._delay(), lambda: self._arrive(name, budget))
            self._later(wait or gap(), ask)

        self._later(gap(), ask)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._next[0][0] < end:
            self.now, _, act = heapq.heappop(self._next)
            act()
        self.now = end

    def could_admit(self, rate: Rate) -> float:
        return rate.burst + rate.per_second * (self.now - self.began)

    def _arrive(self, name: str, budget: Budget) -> None:
        if self._bucket.admit("here", self.now + self._phase):
            self.admitted[name] += 1
            return
        self.refused[name] += 1
        self._later(self._delay(), budget.refused)

    def _later(self, seconds: float, act: Callable[[], Any]) -> None:
        heapq.heappush(self._next, (self.now + seconds, next(self._order), act))


def budget(portal: Portal, rate: Rate, client: Any = None) -> Budget:
    return Budget(client or fakeredis.FakeRedis(), rate, system="crm", portal="b24.example", clock=lambda: portal.now)


def bursts(rng: random.Random, pause_s: float) -> Callable[[], float]:
    """Everything at once, with a pause now and then."""
    return lambda: rng.uniform(0, pause_s) if rng.random() < 0.02 else rng.choice((0.0, 0.0, 0.02))


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from(SAFE),
    seed=st.integers(0, 2**32),
    pause_s=st.sampled_from([1.0, 5.0, 30.0]),
    urgent=st.sampled_from([(True,), (False, True)]),
    extremes=st.booleans(),
)
def test_alone_it_is_never_refused(
    rate: Rate, seed: int, pause_s: float, urgent: tuple[bool, ...], extremes: bool
) -> None:
    rng = random.Random(seed)
    portal = Portal(rate, rng.random(), lambda: rng.choice((0.0, 0.3)) if extremes else rng.uniform(0, 0.3))
    portal.now += rng.random()
    shared = budget(portal, rate)
    for one in urgent:
        portal.caller("caller", shared, urgent=one, gap=bursts(rng, pause_s))
    portal.run(60)
    assert not portal.refused
    assert portal.admitted


def test_a_burst_just_before_a_second_does_not_overrun_a_portal_whose_second_came_before_it() -> None:
    """All of the burst arrives after the portal's step and is not lowered by it; the next steps of ours come early."""
    delays = iter([0.2] * CLOUD.burst)
    portal = Portal(CLOUD, 0.9, lambda: next(delays, 0.0))
    portal.now += 0.99
    portal.caller("urgent", budget(portal, CLOUD), urgent=True, gap=lambda: 0.0)
    portal.run(120)
    assert not portal.refused


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{rate.per_second}/s of {rate.burst}")
@pytest.mark.parametrize("phase", [0.0, 0.4, 0.99])
def test_bulk_alone_uses_what_the_portal_admits(rate: Rate, phase: float) -> None:
    rng = random.Random(7)
    portal = Portal(rate, phase, lambda: rng.uniform(0, 0.3))
    portal.caller("bulk", budget(portal, rate), gap=lambda: rng.uniform(0, 0.1))
    portal.run(1_500 / rate.per_second)
    assert portal.admitted["bulk"] >= 0.98 * portal.could_admit(rate)
    assert not portal.refused


@pytest.mark.parametrize(("rate", "seed"), [(CLOUD, 0), (CLOUD, 1), (ENTERPRISE, 2)])
def test_two_buses_on_one_address_that_share_no_redis_yield_to_each_other(rate: Rate, seed: int) -> None:
    rng = random.Random(seed)
    portal = Portal(rate, rng.random(), lambda: rng.uniform(0, 0.3))
    for name in ("one", "other"):
        portal.caller(name, budget(portal, rate), gap=lambda: rng.uniform(0, 0.1))
    portal.run(1_200)
    one, other = portal.admitted["one"], portal.admitted["other"]
    assert max(one, other) <= 2 * min(one, other)
    assert one + other >= 0.95 * portal.could_admit(rate)
    assert portal.refused.total() <= 0.03 * (one + other)


def test_two_buses_that_share_a_redis_are_not_refused() -> None:
    rng = random.Random(1)
    portal, client = Portal(CLOUD, 0.5, lambda: rng.uniform(0, 0.3)), fakeredis.FakeRedis()
    for name in ("one", "other"):
        portal.caller(name, budget(portal, CLOUD, client), gap=lambda: rng.uniform(0, 0.1))
    portal.run(600)
    assert min(portal.admitted.values()) > 0.2 * portal.could_admit(CLOUD)
    assert not portal.refused


def test_a_script_that_takes_half_of_the_portal_is_left_its_half() -> None:
    rng = random.Random(3)
    portal = Portal(CLOUD, 0.5, lambda: rng.uniform(0, 0.3))
    unlimited = Budget(fakeredis.FakeRedis(), Rate(per_second=0), system="script", portal="b24.example")
    portal.caller("script", unlimited, gap=lambda: 1.0)
    portal.caller("bus", budget(portal, CLOUD), gap=lambda: rng.uniform(0, 0.1))
    portal.run(1_800)
    assert portal.refused["script"] <= 0.02 * portal.admitted["script"]
    assert portal.refused["bus"] <= 0.03 * portal.admitted["bus"]
    assert portal.admitted["bus"] >= 0.8 * 1_800


def test_payments_that_outrun_their_reserve_get_each_step_before_bulk() -> None:
    """With no reserve at all, and bulk that asks at each second first."""
    rate = Rate(per_second=2, burst=50, payments_reserve=0)
    portal = Portal(rate, 0.5, lambda: 0.1)
    shared = budget(portal, rate)
    portal.caller("bulk", shared, gap=lambda: 0.0)
    portal.run(30)
    bulk = portal.admitted["bulk"]
    portal.caller("payments", shared, urgent=True, gap=lambda: 0.0)
    portal.run(60)
    assert portal.admitted["payments"] >= 0.95 * 60 * rate.per_second
    assert portal.admitted["bulk"] - bulk <= 0.05 * 60 * rate.per_second


def test_a_payment_now_and_then_never_waits_behind_a_backlog() -> None:
    rng = random.Random(5)
    portal = Portal(CLOUD, 0.5, lambda: rng.uniform(0, 0.3))
    shared = budget(portal, CLOUD)
    portal.caller("bulk", shared, gap=lambda: 0.0)
    portal.run(60)
    waits = []

    def gap() -> float:
        waits.append(shared.wait(urgent=True))
        return 1.0

    portal.caller("payments", shared, urgent=True, gap=gap)
    portal.run(600)
    assert max(waits) == 0
    assert portal.admitted["bulk"] + portal.admitted["payments"] >= 0.98 * CLOUD.per_second * 660
