from datetime import UTC, datetime, timedelta
from typing import Any

import fakeredis
import pytest
from structlog.testing import capture_logs

from bus.operating import Operating
from bus.ports import Spent

START = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
LATER = START + timedelta(minutes=7)
METHOD, OTHER = "crm.item.update", "crm.item.list"


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def operating(client: Any, clock: Clock, system: str = "crm") -> Operating:
    return Operating(client, "place", system=system, limit_s=480, now=clock)


def parked(one: Operating, *, urgent: bool) -> dict[str, datetime]:
    return one.parked([METHOD, OTHER], urgent=urgent)


@pytest.mark.parametrize(
    ("seconds", "bulk", "payments"),
    [(0, False, False), (432, False, False), (433, True, False), (480, True, False), (480.01, True, True)],
)
def test_a_method_is_parked_when_the_next_call_would_be_refused_and_for_bulk_a_tenth_before(
    client: Any, clock: Clock, seconds: float, bulk: bool, payments: bool
) -> None:
    one = operating(client, clock)
    one.told({METHOD: Spent(seconds, LATER), OTHER: Spent(1, LATER)})
    assert parked(one, urgent=False) == ({METHOD: LATER} if bulk else {})
    assert parked(one, urgent=True) == ({METHOD: LATER} if payments else {})


def test_it_comes_back_by_itself_and_a_second_wait_may_follow(client: Any, clock: Clock) -> None:
    one = operating(client, clock)
    one.told({METHOD: Spent(500, START + timedelta(minutes=1))})
    clock.now += timedelta(minutes=1)
    assert parked(one, urgent=True) == {}
    one.told({METHOD: Spent(490, START + timedelta(minutes=2))})
    assert parked(one, urgent=True) == {METHOD: START + timedelta(minutes=2)}


def test_other_workers_know_at_once_and_other_webhooks_do_not_care(client: Any, clock: Clock) -> None:
    operating(client, clock).park(METHOD, LATER)
    assert parked(operating(client, clock), urgent=True) == {METHOD: LATER}
    assert parked(operating(client, clock, system="another-hook"), urgent=True) == {}


def test_of_two_times_the_later_counts(client: Any, clock: Clock) -> None:
    one = operating(client, clock)
    one.park(METHOD, LATER)
    one.park(METHOD, START + timedelta(minutes=1))
    assert parked(one, urgent=False) == {METHOD: LATER}
    operating(client, clock).park(METHOD, LATER + timedelta(minutes=1))
    assert parked(one, urgent=False) == {METHOD: LATER + timedelta(minutes=1)}


def test_a_reset_that_has_passed_parks_nothing(client: Any, clock: Clock) -> None:
    one = operating(client, clock)
    one.told({METHOD: Spent(500, START - timedelta(seconds=1))})
    assert parked(one, urgent=True) == {}


def test_the_account_tells_seconds_and_parkings(client: Any, clock: Clock) -> None:
    one = operating(client, clock)
    one.told({METHOD: Spent(470.5, LATER), OTHER: Spent(1.25, LATER)})
    until, spent = operating(client, clock).account()
    assert until == {f"{METHOD} (bulk)": LATER}
    assert spent == {METHOD: Spent(470.5, LATER), OTHER: Spent(1.25, LATER)}
    clock.now = LATER
    assert one.account()[0] == {}


def test_a_parking_is_logged_once(client: Any, clock: Clock) -> None:
    one = operating(client, clock)
    with capture_logs() as logs:
        for _ in range(3):
            one.told({METHOD: Spent(500, LATER)})
    assert [(line["event"], line["method"]) for line in logs] == [("method.parked", METHOD)]


def test_without_redis_a_process_knows_what_it_was_told(clock: Clock) -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    for client in (None, fakeredis.FakeRedis(server=server)):
        one = operating(client, clock)
        one.told({METHOD: Spent(500, LATER)})
        assert parked(one, urgent=False) == {METHOD: LATER}
