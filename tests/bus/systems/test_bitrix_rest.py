from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fakeredis
import pytest
from pydantic import SecretStr

from bus.breaker import Breaker, Circuit
from bus.budget import Budget
from bus.config import Rate
from bus.errors import NotReady, Permanent, SystemStopped, Transient, UnknownOutcome
from bus.ports import Spent
from bus.sandbox import phpform
from bus.sandbox.bitrix24.portal import Portal
from bus.systems.bitrix_errors import NotFound
from bus.systems.bitrix_rest import Command, Meter, Rest, Result, encode
from bus.systems.http import Answer, Hook


class Notes:
    """A throttle that admits everything and writes down what it is told."""

    def __init__(self) -> None:
        self.acquired: list[bool] = []
        self.refusals = 0
        self.waits = {True: 0.0, False: 0.0}
        self.parking: dict[str, datetime] = {}
        self.told: dict[str, Spent] = {}

    def acquire(self, *, urgent: bool) -> None:
        self.acquired.append(urgent)

    def wait(self, *, urgent: bool) -> float:
        return self.waits[urgent]

    def refused(self) -> None:
        self.refusals += 1

    def spent(self, methods: Mapping[str, Spent]) -> None:
        self.told |= methods

    def park(self, method: str, until: datetime) -> None:
        self.parking[method] = until

    def parked(self, methods: Collection[str], *, urgent: bool) -> dict[str, datetime]:
        del urgent
        return {method: until for method, until in self.parking.items() if method in methods}


@pytest.fixture
def throttle() -> Notes:
    return Notes()


@pytest.fixture
def rest(portal_url: str, throttle: Notes) -> Any:
    made = Rest("crm", Hook(SecretStr(portal_url), timeout_s=5), throttle)
    yield made
    made.close()


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(fakeredis.FakeRedis(), failures=2)


@pytest.fixture
def guarded(portal_url: str, throttle: Notes, breaker: Breaker) -> Any:
    made = Rest("crm", Hook(SecretStr(portal_url), timeout_s=5), throttle, breaker=breaker)
    yield made
    made.close()


def deal(title: str) -> Command:
    return "crm.item.add", {"entityTypeId": 2, "fields": {"title": title}}


def titles(portal: Portal) -> list[str]:
    return [row["title"] for row in portal.state({"of": "deals"})["deals"]]


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"id": 1}, "id=1"),
        (
            {"filter": {">=id": 5, "@stageId": ["NEW", "WON"]}},
            "filter[>=id]=5&filter[@stageId][0]=NEW&filter[@stageId][1]=WON",
        ),
        ({"a": True, "b": False, "c": None}, "a=1&b=0&c="),
        ({"a": 0.1, "b": 1e-7, "c": 1e22, "d": 5.0}, "a=0.1&b=0.0000001&c=10000000000000000000000&d=5.0"),
        ({"sum": Decimal("1E+3"), "tax": Decimal("10.50")}, "sum=1000&tax=10.50"),
        ({"rows": [{"n": "a"}, {"n": "b"}]}, "rows[0][n]=a&rows[1][n]=b"),
        ({"t": "Заказ & ко = 100% + «1»"}, "t=Заказ & ко = 100% + «1»"),
    ],
)
def test_parameters_in_a_batch_are_written_as_php_reads_them(params: dict[str, Any], query: str) -> None:
    from urllib.parse import unquote_plus

    assert unquote_plus(encode(params)) == query


def test_php_reads_back_what_was_written() -> None:
    params = {"fields": {"title": "a&b=c+d ё 😀\nnew", "fm": [{"value": "+7 999"}, {"value": "[x]"}]}, "n": "1"}
    assert phpform.parse(encode(params)) == params


def test_a_batch_keeps_results_and_errors_apart_and_in_order(rest: Rest) -> None:
    told = rest.batch([deal("a"), ("crm.item.get", {"entityTypeId": 2, "id": 999}), ("crm.nothing", {}), deal("b")])
    assert [type(one).__name__ for one in told] == ["Result", "NotFound", "Permanent", "Result"]
    assert told[3].value["item"]["title"] == "b"  # type: ignore[union-attr]


def test_errors_of_every_command_are_still_told_apart(rest: Rest) -> None:
    """With numeric keys PHP would answer a list here, and which error is whose would be lost."""
    told = rest.batch([("crm.item.get", {"entityTypeId": 2, "id": 999}), ("crm.item.get", {"entityTypeId": 2})])
    assert isinstance(told[0], NotFound)
    assert "100" in str(told[1])


def test_a_batch_takes_fifty(rest: Rest) -> None:
    with pytest.raises(ValueError, match="51 commands"):
        rest.batch([("profile", {})] * 51)


def test_any_number_goes_in_requests_of_fifty_and_groups_stay_whole(rest: Rest, portal: Portal) -> None:
    groups = [[deal(f"{at}"), deal(f"{at}+")] for at in range(26)]
    told = rest.run([[deal("first")], *groups])
    assert portal.calls.summary()["requests"] == 2
    assert [len(group) for group in told] == [1] + [2] * 26
    assert titles(portal)[:3] == ["first", "0", "0+"]


def test_a_text_that_looks_like_a_reference_is_never_sent_in_a_batch(rest: Rest, portal: Portal) -> None:
    told = rest.each([deal("one"), deal("$result[c0001][item][title]"), deal("two")])
    assert all(isinstance(one, Result) for one in told)
    assert titles(portal) == ["one", "$result[c0001][item][title]", "two"]


def test_an_empty_list_reaches_the_portal_as_one(rest: Rest, portal: Portal) -> None:
    key = portal.act({"do": "create_deal", "rows": [{"productName": "x", "price": 1}]})["id"]
    params = {"ownerType": "D", "ownerId": key, "productRows": []}
    assert isinstance(rest.each([("crm.item.productrow.set", params)])[0], Result)
    assert portal.products.of(2, key) == []


def test_too_many_requests_shut_the_bucket(rest: Rest, portal: Portal, throttle: Notes) -> None:
    portal.faults.add({"kind": "burst_503", "count": 1})
    with pytest.raises(NotReady):
        rest.call("profile", {})
    assert throttle.refusals == 1
    assert rest.call("profile", {})["ID"] == "1"


def test_a_blocked_method_is_parked_and_others_go_on(rest: Rest, portal: Portal, throttle: Notes) -> None:
    portal.faults.add({"kind": "method_429", "method": "crm.item.get", "count": 1})
    key = portal.act({"do": "create_deal"})["id"]
    commands = [("crm.item.get", {"entityTypeId": 2, "id": key}), ("profile", {})]
    blocked, profile = rest.batch(commands)
    assert isinstance(blocked, NotReady)
    assert isinstance(profile, Result)
    assert set(throttle.parking) == {"crm.item.get"}
    again, _ = rest.batch(commands)
    assert isinstance(again, NotReady)
    assert portal.calls.summary()["by_method"]["crm.item.get"] == 1
    with pytest.raises(NotReady):
        rest.call(*commands[0])


def test_operating_times_are_told_by_method(rest: Rest, portal: Portal, throttle: Notes) -> None:
    portal.limits.configure({"operating": {"limit": 480, "costs": {"crm.item.add": 200, "profile": 7}}})
    rest.batch([deal("a"), deal("b")])
    rest.call("profile", {})
    seconds = {method: int(spent.seconds) for method, spent in throttle.told.items()}
    assert seconds == {"batch": 0, "crm.item.add": 400, "profile": 7}
    assert all(spent.reset_at > datetime.now(UTC) for spent in throttle.told.values())


def test_a_method_over_its_operating_time_is_parked_before_it_is_refused(portal_url: str, portal: Portal) -> None:
    portal.limits.configure({"operating": {"limit": 480, "costs": {"crm.item.add": 481}}})
    budget = Budget(fakeredis.FakeRedis(), Rate(), system="crm", portal="p")
    limited = Rest("crm", Hook(SecretStr(portal_url), timeout_s=5), budget)
    limited.batch([deal("a"), ("profile", {})])
    refused, profile = limited.with_urgency(urgent=True).batch([deal("b"), ("profile", {})])
    assert isinstance(refused, NotReady)
    assert isinstance(profile, Result)
    assert titles(portal) == ["a"]
    limited.close()


def counter(seconds: float, reset_at: float) -> dict[str, Any]:
    return {"operating": seconds, "operating_reset_at": reset_at}


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        (None, [counter(3, 60), counter(5, 70), counter(4, 80)], {"crm.item.update": 5}),
        (counter(0, 60), [counter(5, 70)], {"batch": 0, "crm.item.update": 5}),
        (counter(481, 60), [counter(481, 60)], {"batch": 481, "crm.item.update": 481}),
        (None, [{}, None, "PHP", {"operating": 3}, counter(3, 1e30), {"operating_reset_at": 9}], {}),
    ],
    ids=["the largest of several", "billed to the methods", "billed to batch", "nothing to read"],
)
def test_a_counter_is_read_outside_and_inside(
    throttle: Notes, outer: Any, inner: list[Any], expected: dict[str, float]
) -> None:
    Meter(throttle).read([("batch", outer), *(("crm.item.update", clock) for clock in inner)])
    assert {method: spent.seconds for method, spent in throttle.told.items()} == expected


def test_a_method_whose_reset_has_passed_is_parked_for_ten_minutes(rest: Rest, portal: Portal, throttle: Notes) -> None:
    rest._meter.read([("profile", counter(500, 1_700_000_000))])
    portal.faults.add({"kind": "method_429", "method": "profile", "count": 1})
    with pytest.raises(NotReady):
        rest.call("profile", {})
    assert throttle.parking["profile"] > datetime.now(UTC) + timedelta(seconds=590)


def test_urgency_is_told_to_the_throttle(rest: Rest, throttle: Notes) -> None:
    rest.call("profile", {})
    rest.with_urgency(urgent=True).call("profile", {})
    assert throttle.acquired == [False, True]


def test_a_call_waits_for_the_budget_or_the_breaker_whichever_is_longer(portal_url: str, throttle: Notes) -> None:
    breaker = Breaker(fakeredis.FakeRedis(), failures=1)
    bulk = Rest("crm", Hook(SecretStr(portal_url), timeout_s=5), throttle, breaker=breaker)
    urgent = bulk.with_urgency(urgent=True)
    assert bulk.wait() == 0
    throttle.waits[False] = 0.7
    assert (bulk.wait(), urgent.wait()) == (0.7, 0)
    breaker.failed("crm")
    assert (bulk.wait(), urgent.wait()) == pytest.approx((1, 1), abs=0.3)
    breaker.stop("crm", "OVERLOAD_LIMIT")
    assert (bulk.wait(), urgent.wait()) == pytest.approx((300, 300), abs=1)
    bulk.close()


def test_a_revoked_hook_stops_the_system(guarded: Rest, breaker: Breaker, portal: Portal, secret: str) -> None:
    portal.faults.add({"kind": "auth_revoked"})
    with pytest.raises(SystemStopped) as raised:
        guarded.batch([deal("a")])
    state = breaker.state("crm")
    assert state.circuit is Circuit.STOPPED
    assert raised.value.until - datetime.now(UTC) < timedelta(seconds=300)
    assert "incoming webhook" in str(state.reason)
    assert secret not in f"{raised.value} {state.reason}"
    with pytest.raises(NotReady, match="is stopped"):
        guarded.call("profile", {})
    assert portal.calls.summary()["requests"] == 1


def test_a_stopped_system_is_resumed_by_the_first_probe_that_is_answered(
    portal_url: str, portal: Portal, throttle: Notes
) -> None:
    now = [datetime.now(UTC).timestamp()]
    breaker = Breaker(fakeredis.FakeRedis(), stop_probe_s=300, clock=lambda: now[0])
    guarded = Rest("crm", Hook(SecretStr(portal_url), timeout_s=5), throttle, breaker=breaker)
    portal.faults.add({"kind": "auth_revoked"})
    for _ in range(2):
        with pytest.raises(SystemStopped):
            guarded.call("profile", {})
        now[0] += 300
    portal.faults.clear()
    guarded.call("profile", {})
    assert breaker.state("crm").circuit is Circuit.CLOSED
    guarded.close()


def test_one_command_that_may_not_be_used_does_not_stop_the_system(
    guarded: Rest, breaker: Breaker, portal: Portal
) -> None:
    portal.faults.add({"kind": "refuse", "method": "profile", "error": "insufficient_scope", "status": 403})
    refused, made = guarded.batch([("profile", {}), deal("a")])
    assert isinstance(refused, SystemStopped)
    assert isinstance(made, Result)
    assert breaker.state("crm").circuit is Circuit.CLOSED
    guarded.batch([("profile", {}), ("profile", {})])
    assert breaker.state("crm").circuit is Circuit.STOPPED


def test_a_portal_behind_a_page_of_someone_else_stops_the_system(
    guarded: Rest, breaker: Breaker, portal: Portal
) -> None:
    portal.faults.add({"kind": "moved", "location": ""})
    with pytest.raises(SystemStopped):
        guarded.call("profile", {})
    assert breaker.state("crm").circuit is Circuit.STOPPED


@pytest.mark.parametrize("kind", ["error_after", "drop_after"])
def test_a_write_without_an_answer_may_have_happened(rest: Rest, portal: Portal, kind: str) -> None:
    portal.faults.add({"kind": kind, "count": 1})
    with pytest.raises(UnknownOutcome):
        rest.batch([deal("a")])
    assert titles(portal) == ["a"]


def test_what_comes_after_a_request_without_answer_is_not_sent(rest: Rest, portal: Portal) -> None:
    portal.faults.add({"kind": "drop_after", "count": 1})
    told = rest.each([deal(f"{at}") for at in range(60)])
    assert {type(one) for one in told[:50]} == {UnknownOutcome}
    assert {type(one) for one in told[50:]} == {Transient}
    assert len(titles(portal)) == 50


def test_a_server_error_inside_a_batch_is_that_commands_only(rest: Rest, portal: Portal) -> None:
    portal.faults.add({"kind": "error_before", "method": "crm.item.update", "count": 1})
    key = portal.act({"do": "create_deal"})["id"]
    update = "crm.item.update", {"entityTypeId": 2, "id": key, "fields": {"title": "x"}}
    told = rest.batch([update, update])
    assert [type(one) for one in told] == [Transient, Result]  # an update may simply be written again


def test_the_breaker_counts_requests_without_a_sensible_answer(guarded: Rest, portal: Portal) -> None:
    portal.faults.add({"kind": "drop_before", "count": 3})
    for _ in range(2):
        with pytest.raises(Transient):
            guarded.call("profile", {})
    with pytest.raises(NotReady, match="failed repeatedly"):
        guarded.call("profile", {})
    assert portal.calls.summary()["requests"] == 2


def test_a_refusal_is_a_sign_of_life(guarded: Rest, breaker: Breaker) -> None:
    breaker.failed("crm")
    with pytest.raises(NotFound):
        guarded.call("crm.item.get", {"entityTypeId": 2, "id": 999})
    assert breaker.state("crm").failures == 0


def test_long_lists_come_whole(rest: Rest, portal: Portal) -> None:
    for at in range(120):
        portal.act({"do": "create_deal", "fields": {"title": f"{at}"}})
    rows = rest.listed("crm.item.list", "items", {"entityTypeId": 2, "select": ["id"], "filter": {"=stageId": "NEW"}})
    assert len({row["id"] for row in rows}) == 120
    assert portal.calls.summary()["requests"] == 3


@pytest.mark.parametrize("per_second", [1, 7, 49, 50, 51, 130])
def test_modified_records_are_told_once_each_whatever_shares_a_second(
    rest: Rest, portal: Portal, per_second: int, clock: Any
) -> None:
    clock.now = 1_800_000_000.0
    expected = []
    for at in range(130):
        clock.now += at % per_second == 0
        expected.append(str(portal.act({"do": "create_deal"})["id"]))
    params = {"entityTypeId": 2, "select": ["id", "updatedTime"]}
    since = datetime.fromtimestamp(1_800_000_000, UTC)
    assert list(rest.modified("crm.item.list", "items", params, stamp="updatedTime", since=since)) == expected
    late = since + timedelta(seconds=clock.now - 1_800_000_000)
    told = list(rest.modified("crm.item.list", "items", params, stamp="updatedTime", since=late))
    assert told == expected[-(130 % per_second or per_second) :]


class Stubborn(Hook):
    """A portal that gives the same full page whatever the filter says."""

    def post(self, *said: Any, **more: Any) -> Answer:
        del said, more
        rows = [{"id": at, "updatedTime": f"2026-11-22T04:00:{at // 10:02}+03:00"} for at in range(1, 51)]
        return Answer(200, {"result": {"items": rows}})


def test_a_portal_that_does_not_heed_filters_ends_no_loop_in_eternity(throttle: Notes) -> None:
    hook = Stubborn(SecretStr("http://127.0.0.1:1/rest/1/x/"), timeout_s=1)
    rest = Rest("crm", hook, throttle)
    assert len(rest.listed("crm.item.list", "items", {})) == 50
    with pytest.raises(Permanent, match="does not heed"):
        list(rest.modified("crm.item.list", "items", {}, stamp="updatedTime", since=datetime(2026, 11, 22, tzinfo=UTC)))
    rest.close()
