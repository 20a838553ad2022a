import pytest

from bus.sandbox.envelope import RestError
from bus.sandbox.limits import Bucket, Limits, Operating


def test_the_bucket_drains_in_whole_steps_once_a_second():
    bucket = Bucket(burst=5, drain=2)
    assert [bucket.admit("a", 10.1) for _ in range(6)] == [True] * 5 + [False]
    assert not bucket.admit("a", 10.99)
    assert [bucket.admit("a", 11.0) for _ in range(3)] == [True, True, False]
    assert bucket.admit("b", 11.0), "another source address has its own bucket"


def test_the_call_that_crosses_the_line_finishes_and_the_next_is_refused(clock):
    limits = Limits(clock)
    limits.configure({"operating": {"limit": 10, "costs": {"crm.item.update": 6}}})
    for _ in range(2):
        limits.admit_method("crm.item.update")
        limits.charge("crm.item.update", 0.001)
    with pytest.raises(RestError) as refused:
        limits.admit_method("crm.item.update")
    assert (refused.value.code, refused.value.status) == ("OPERATION_TIME_LIMIT", 429)
    limits.admit_method("crm.item.get")


def test_only_the_oldest_minute_leaves_the_window(clock):
    operating = Operating(limit=10)
    clock.now = 60_000
    operating.charge("m", 8, clock())
    operating.charge("m", 9, clock() + 60)
    assert operating.blocked("m", clock() + 61)
    reset = operating.reset_at("m", clock() + 61)
    assert reset == 60_600
    assert operating.total("m", reset) == 9
    assert not operating.blocked("m", reset)


def test_short_calls_are_not_counted(clock):
    operating = Operating()
    operating.charge("m", 0.09, clock())
    assert operating.total("m", clock()) == 0


def test_a_full_bucket_answers_503_and_refills(crm, clock):
    crm.control("POST", "limits", {"bucket": {"burst": 3, "drain": 1}})
    answers = [crm.rest("profile") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 503]
    assert answers[-1].json() == {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}
    clock.now += 1
    assert crm.rest("profile").status_code == 200
    assert crm.control("GET", "calls/summary")["refused_503"] == 1


def test_a_batch_is_one_request_but_its_commands_are_billed_singly(crm):
    crm.control("POST", "limits", {"bucket": {"burst": 2}, "operating": {"limit": 1, "costs": {"crm.item.list": 2}}})
    commands = {f"c{number}": "crm.item.list?entityTypeId=2" for number in range(2)}
    answer = crm.rest("batch", {"cmd": {**commands, "p": "profile"}})
    assert answer.status_code == 200
    body = answer.json()["result"]
    assert body["result_error"]["c1"]["error"] == "OPERATION_TIME_LIMIT"
    assert set(body["result"]) == {"c0", "p"}
    assert body["result_time"]["c0"]["operating"] >= 2
    assert crm.rest("crm.item.list", {"entityTypeId": 2}).status_code == 429


def test_operating_counters_are_there_only_while_the_limiter_is_on(crm):
    assert "operating" not in crm.rest("profile").json()["time"]
    crm.control("POST", "limits", {"operating": {"limit": 480}})
    assert crm.rest("profile").json()["time"]["operating"] == 0
