import time

import pytest
import requests

DROPPED = requests.exceptions.ConnectionError


def deals(crm):
    return [row["title"] for row in crm.control("GET", "state?of=deals")["deals"]]


def add(crm, title="A"):
    return crm.rest("crm.item.add", {"entityTypeId": 2, "fields": {"title": title}})


def test_a_connection_dropped_after_the_commit_leaves_the_deal(crm, listener):
    crm.control("PUT", "webhooks", {"url": listener.url})
    crm.fault("drop_after", method="crm.item.add", count=1)
    with pytest.raises(DROPPED):
        add(crm)
    assert deals(crm) == ["A"]
    assert listener.wait(1)
    assert add(crm, "B").status_code == 200
    assert [line["error"] for line in crm.control("GET", "calls")] == ["CONNECTION_DROPPED", None]


def test_a_connection_dropped_before_leaves_nothing(crm):
    crm.fault("drop_before", count=1)
    with pytest.raises(DROPPED):
        add(crm)
    assert deals(crm) == []


@pytest.mark.parametrize(("kind", "left"), [("error_before", []), ("error_after", ["A"])])
def test_a_server_error_before_and_after_the_commit(crm, kind, left):
    crm.fault(kind, count=1)
    answer = add(crm)
    assert (answer.status_code, answer.json()["error"]) == (500, "INTERNAL_SERVER_ERROR")
    assert deals(crm) == left


def test_a_command_in_a_batch_drops_the_whole_connection_after_all_ran(crm):
    crm.fault("drop_after", method="crm.item.add", count=1)
    commands = {f"c{n}": f"crm.item.add?entityTypeId=2&fields[title]={n}" for n in range(3)}
    with pytest.raises(DROPPED):
        crm.rest("batch", {"cmd": commands})
    assert deals(crm) == ["0", "1", "2"]


def test_a_drop_before_a_command_leaves_the_batch_half_done(crm):
    crm.fault("drop_before", method="crm.item.add", after=1, count=1)
    commands = {f"c{n}": f"crm.item.add?entityTypeId=2&fields[title]={n}" for n in range(3)}
    with pytest.raises(DROPPED):
        crm.rest("batch", {"cmd": commands})
    assert deals(crm) == ["0"]
    lines = [(line["batch"], line["error"]) for line in crm.control("GET", "calls")]
    assert lines == [("c0", None), ("c1", "CONNECTION_DROPPED"), (None, "CONNECTION_DROPPED")]


def test_errors_of_single_commands_stand_in_the_batch(crm):
    crm.fault("error_before", method="crm.item.add", after=1, count=1)
    crm.fault("method_429", method="crm.deal.get", count=1)
    body = crm.batch(
        a="crm.item.add?entityTypeId=2&fields[title]=A",
        b="crm.item.add?entityTypeId=2&fields[title]=B",
        c="crm.deal.get?id=1001",
        d="crm.deal.get?id=1001",
    )
    assert {key: error["error"] for key, error in body["result_error"].items()} == {
        "b": "INTERNAL_SERVER_ERROR",
        "c": "OPERATION_TIME_LIMIT",
    }
    assert set(body["result"]) == {"a", "d"}


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("burst_503", 503, "QUERY_LIMIT_EXCEEDED"),
        ("method_429", 429, "OPERATION_TIME_LIMIT"),
        ("auth_revoked", 401, "NO_AUTH_FOUND"),
    ],
)
def test_refusals_until_cleared(crm, kind, status, error):
    fault = crm.fault(kind)
    for _ in range(2):
        answer = crm.rest("profile")
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert crm.control("GET", "faults")[0]["fired"] == 2
    assert crm.control("DELETE", f"faults/{fault['id']}") == {"cleared": 1}
    assert crm.rest("profile").status_code == 200


def test_down_for_a_while(crm, clock):
    crm.fault("down", duration=30)
    with pytest.raises(DROPPED):
        crm.rest("profile")
    assert crm.control("GET", "health")["ok"]
    clock.now += 31
    assert crm.rest("profile").status_code == 200
    crm.fault("down", status=502)
    assert crm.rest("profile").status_code == 502


def test_a_renamed_portal_redirects(crm):
    crm.fault("moved", location="https://new.example.com")
    answer = crm.rest("profile", {}, allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://new.example.com/rest/1/sandbox/profile")


def test_latency(crm):
    crm.fault("latency", seconds=0.15, method="profile")
    began = time.monotonic()
    crm.rest("profile")
    assert time.monotonic() - began >= 0.15


def test_a_person_edits_between_our_read_and_our_write(crm):
    one, two = (crm.act("create_deal")["id"] for _ in range(2))
    edit = {"do": "move_deal", "stage": "WON"}
    crm.fault("user_edit_between", method="crm.item.get", id=two, count=1, edit=edit)
    for deal in (one, two):
        read = crm.batch(r=f"crm.item.get?entityTypeId=2&id={deal}")["result"]["r"]["item"]
        assert read["stageId"] == "NEW"
    state = crm.control("GET", "state?fields=stageId,updatedBy")["deals"]
    assert [(row["stageId"], row["updatedBy"]) for row in state] == [("NEW", 7), ("WON", 7)]


def test_probability_is_repeatable(crm):
    crm.fault("burst_503", probability=0.5)
    first = [crm.rest("profile").status_code for _ in range(20)]
    crm.control("POST", "reset")
    crm.fault("burst_503", probability=0.5)
    assert [crm.rest("profile").status_code for _ in range(20)] == first
    assert {200, 503} == set(first)


def test_an_unknown_fault_is_refused(crm):
    answer = requests.post(f"{crm.base}/_sandbox/faults", json={"kind": "gremlins"}, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, "UNKNOWN_FAULT")


def test_any_refusal_can_be_ordered(crm):
    crm.fault("refuse", method="crm.item.*", count=1, status=503, error="OVERLOAD_LIMIT", text="Blocked by hand")
    answer = add(crm)
    assert (answer.status_code, answer.json()) == (
        503,
        {"error": "OVERLOAD_LIMIT", "error_description": "Blocked by hand"},
    )
    assert add(crm).status_code == 200
