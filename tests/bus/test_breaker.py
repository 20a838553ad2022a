from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fakeredis
import pytest
import redis
from structlog.testing import capture_logs

from bus.breaker import BY_PERSON, PROBE_LIFE_S, Breaker, Circuit
from bus.errors import NotReady


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(client: Any, clock: Clock) -> Breaker:
    return Breaker(client, failures=3, open_s=5, stop_probe_s=300, clock=clock)


@pytest.fixture
def breaker(client: Any, clock: Clock) -> Breaker:
    return made(client, clock)


@pytest.fixture
def other(client: Any, clock: Clock) -> Breaker:
    """Another process's."""
    return made(client, clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed("crm")


def refuses(breaker: Breaker) -> float:
    """It lets no call through; seconds until it may."""
    with pytest.raises(NotReady) as refused:
        breaker.guard("crm")
    return float(refused.value.until.timestamp())


def circuit(breaker: Breaker) -> Circuit:
    return breaker.state("crm").circuit


# --- open and closed --------------------------------------------------------------------------------------------------


def test_it_opens_after_failures_in_a_row(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 2)
    breaker.guard("crm")
    fail(breaker, 1)
    assert refuses(breaker) == clock.now + 1
    assert breaker.wait("crm") == 1
    assert circuit(breaker) is Circuit.OPEN


def test_a_success_starts_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded("crm")
    fail(breaker, 2)
    breaker.guard("crm")
    assert circuit(breaker) is Circuit.CLOSED
    assert breaker.state("crm").failures == 2


def test_half_open_lets_one_probe_through_and_others_look_again_in_a_second(
    breaker: Breaker, other: Breaker, clock: Clock
) -> None:
    fail(breaker, 3)
    clock.now += 1
    assert circuit(breaker) is Circuit.HALF_OPEN
    assert [breaker.wait("crm"), other.wait("crm")] == [0, 0]
    breaker.guard("crm")
    assert other.wait("crm") == 1
    assert refuses(other) == clock.now + 1


def test_of_many_at_once_one_is_the_probe(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1

    def gets_through(_: int) -> bool:
        try:
            breaker.guard("crm")
        except NotReady:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(gets_through, range(40))) == 1


def test_a_probe_that_never_came_back_is_forgotten(client: Any, breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1
    breaker.guard("crm")
    assert 0 < client.pttl("bus:breaker:crm:probe") <= PROBE_LIFE_S * 1000


def test_the_probes_success_closes_it_for_all(breaker: Breaker, other: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1
    breaker.guard("crm")
    breaker.succeeded("crm")
    breaker.guard("crm")
    other.guard("crm")
    assert circuit(other) is Circuit.CLOSED


def test_each_failed_probe_doubles_the_time_up_to_a_limit(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    waits = []
    for _ in range(5):
        waits.append(breaker.wait("crm"))
        clock.now += waits[-1]
        breaker.guard("crm")
        fail(breaker, 1)
    assert waits == [1, 2, 4, 5, 5]
    breaker.succeeded("crm")
    fail(breaker, 3)
    assert breaker.wait("crm") == 1


def test_late_failures_do_not_prolong_an_open_circuit(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 0.9
    fail(breaker, 5)
    clock.now += 0.1
    breaker.guard("crm")


def test_systems_do_not_open_each_others_circuit(breaker: Breaker) -> None:
    fail(breaker, 3)
    breaker.guard("shop")


# --- stopped ----------------------------------------------------------------------------------------------------------


def test_a_stopped_lane_is_probed_now_and_then_and_resumed_by_a_probe(
    breaker: Breaker, other: Breaker, clock: Clock
) -> None:
    assert breaker.stop("crm", "NO_AUTH_FOUND").timestamp() == clock.now + 300
    assert other.wait("crm") == 300
    assert refuses(other) == clock.now + 300
    assert circuit(other) is Circuit.STOPPED
    clock.now += 300
    other.guard("crm")
    assert breaker.wait("crm") == 1
    other.succeeded("crm")
    assert breaker.wait("crm") == 0
    assert circuit(breaker) is Circuit.CLOSED


@pytest.mark.parametrize("trouble", ["failed", "stop"])
def test_a_probe_without_success_leaves_it_stopped(breaker: Breaker, clock: Clock, trouble: str) -> None:
    breaker.stop("crm", "NO_AUTH_FOUND")
    began = breaker.state("crm").since
    clock.now += 300
    breaker.guard("crm")
    if trouble == "failed":
        fail(breaker, 1)
    else:
        breaker.stop("crm", "OVERLOAD_LIMIT")
    assert breaker.wait("crm") == 300
    assert breaker.state("crm").since == began


def test_the_answer_to_an_earlier_call_resumes_nothing(breaker: Breaker) -> None:
    breaker.stop("crm", "OVERLOAD_LIMIT")
    breaker.succeeded("crm")
    fail(breaker, 5)
    assert circuit(breaker) is Circuit.STOPPED
    assert breaker.wait("crm") == 300


def test_what_a_person_stopped_only_a_person_resumes(client: Any, breaker: Breaker, clock: Clock) -> None:
    breaker.stop("crm", "the portal is being moved", by=BY_PERSON)
    clock.now += 86_400
    refuses(breaker)
    breaker.succeeded("crm")
    breaker.stop("crm", "NO_AUTH_FOUND")
    state = breaker.state("crm")
    assert (state.circuit, state.reason, state.until) == (Circuit.STOPPED, "the portal is being moved", None)
    assert client.ttl("bus:breaker:crm") == -1
    assert breaker.resume("crm")
    breaker.guard("crm")


def test_a_person_may_keep_stopped_what_stopped_by_itself(breaker: Breaker, clock: Clock) -> None:
    breaker.stop("crm", "NO_AUTH_FOUND")
    breaker.stop("crm", "a new webhook is on its way", by=BY_PERSON)
    clock.now += 300
    refuses(breaker)


def test_a_person_may_close_an_open_circuit_and_resume_what_stopped_by_itself(breaker: Breaker) -> None:
    fail(breaker, 3)
    assert breaker.resume("crm")
    breaker.stop("crm", "NO_AUTH_FOUND")
    assert breaker.resume("crm")
    assert not breaker.resume("crm")
    breaker.guard("crm")


def test_the_reason_is_told_to_whoever_asks(breaker: Breaker) -> None:
    breaker.stop("crm", "portal: NO_AUTH_FOUND: make a new webhook")
    with pytest.raises(NotReady, match="crm is stopped: portal: NO_AUTH_FOUND: make a new webhook"):
        breaker.guard("crm")
    state = breaker.state("crm")
    assert state.reason == "portal: NO_AUTH_FOUND: make a new webhook"
    assert state.by == "answer"


def test_it_is_in_doubt_until_a_call_was_answered(breaker: Breaker, clock: Clock) -> None:
    assert breaker.closed("crm")
    fail(breaker, 3)
    assert not breaker.closed("crm")
    clock.now += 1
    breaker.guard("crm")
    assert not breaker.closed("crm")
    breaker.succeeded("crm")
    assert breaker.closed("crm")
    breaker.stop("crm", "NO_AUTH_FOUND")
    assert not breaker.closed("crm")


# --- what is logged ---------------------------------------------------------------------------------------------------


def test_each_transition_is_logged_once_whoever_makes_it(breaker: Breaker, other: Breaker, clock: Clock) -> None:
    with capture_logs() as logs:
        for _ in range(5):
            breaker.failed("crm")
            other.failed("crm")
        for _ in range(3):
            clock.now += 5
            other.guard("crm")
            other.failed("crm")
        clock.now += 5
        breaker.guard("crm")
        for one in (breaker, other):
            one.succeeded("crm")
        for one in (breaker, other):
            one.stop("crm", "NO_AUTH_FOUND")
        clock.now += 300
        other.guard("crm")
        for one in (other, breaker):
            one.succeeded("crm")
    told = [(line["event"], line["log_level"], line["system"]) for line in logs]
    assert told == [
        ("breaker.opened", "warning", "crm"),
        ("breaker.closed", "info", "crm"),
        ("lane.stopped", "error", "crm"),
        ("lane.resumed", "info", "crm"),
    ]
    assert logs[1]["lasted_s"] == 20
    assert logs[2]["reason"] == "NO_AUTH_FOUND"
    assert "bus lanes resume crm" in logs[2]["say"]
    assert logs[3]["lasted_s"] == 300


# --- Redis ------------------------------------------------------------------------------------------------------------


def test_it_is_closed_when_redis_has_forgotten(breaker: Breaker, client: Any) -> None:
    fail(breaker, 3)
    client.flushall()
    breaker.guard("crm")


def test_redis_keeps_its_own_time_where_no_clock_is_given(client: Any) -> None:
    breaker = Breaker(client, failures=1)
    breaker.failed("crm")
    assert 0 < breaker.wait("crm") <= 1
    assert circuit(breaker) is Circuit.OPEN


def test_without_redis_it_is_closed_for_calls_and_a_person_is_told(clock: Clock) -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    breaker = made(fakeredis.FakeRedis(server=server), clock)
    fail(breaker, 3)
    breaker.guard("crm")
    breaker.succeeded("crm")
    assert breaker.closed("crm")
    assert breaker.wait("crm") == 0
    assert breaker.stop("crm", "NO_AUTH_FOUND").timestamp() == clock.now + 300
    for person in (
        lambda: breaker.stop("crm", "maintenance", by=BY_PERSON),
        lambda: breaker.resume("crm"),
        lambda: breaker.state("crm"),
    ):
        with pytest.raises(redis.RedisError):
            person()


def test_what_is_kept_is_forgotten_some_day(client: Any, breaker: Breaker) -> None:
    fail(breaker, 1)
    assert client.ttl("bus:breaker:crm") > 86_400
