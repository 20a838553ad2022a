"""What may lie on a queue: every shape that is not ours is told by one phrase, and nothing of it goes on."""

import json
from base64 import b64encode
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import messages
from bus.messages import Unfit, enveloped, wanted
from bus.transport import readable

EVENTS = [[{"id": "1"}]]
NOTHING_MORE: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
HEADERS = {"lang": "other", "task": "orders.apply", "id": "a-1"}
REST = {"chain": [{"task": "chores.retention"}]}


def envelope(**changes: Any) -> dict[str, Any]:
    return {
        "body": b64encode(json.dumps([EVENTS, {}, NOTHING_MORE]).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": HEADERS,
        "properties": {"body_encoding": "base64", "delivery_tag": "t", "delivery_info": {}},
    } | changes


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (None, "no message"),
        (7, "no message"),
        ([1, 2], "no message"),
        ({}, "no message"),
        (envelope(headers=[1]), "no message"),
        (envelope(properties=None), "no message"),
        (envelope(body={"a": 1}), "no message"),
        (envelope(properties={"body_encoding": "rot13"}), "no message"),
        (envelope(**{"content-type": "application/x-python-serialize", "content-encoding": "binary"}), "not JSON"),
        (envelope(**{"content-type": "application/x-yaml"}), "not JSON"),
        (envelope(**{"content-type": "application/x-msgpack", "content-encoding": "binary"}), "not JSON"),
        (envelope(**{"content-type": None}), "not JSON"),
        (envelope(headers=HEADERS | {"compression": "application/x-gzip"}), "compressed: nobody knows how much it is"),
    ],
)
def test_what_is_no_envelope_is_told_from_one_that_is(raw: Any, why: str) -> None:
    with pytest.raises(Unfit) as unfit:
        enveloped(raw, "orders")
    assert unfit.value.why == why


def test_an_elements_word_on_its_queue_its_mark_and_its_way_back_is_not_believed() -> None:
    said = {
        "body_encoding": "base64",
        "delivery_tag": "another's",
        "delivery_info": {"exchange": "celery.pidbox", "routing_key": "payments", "redelivered": True},
        "reply_to": "payments",
        "priority": -7,
        "correlation_id": ["x"],
    }
    made = enveloped(envelope(properties=said), "orders")["properties"]
    assert made["delivery_info"] == {"exchange": "", "routing_key": "orders", "redelivered": True}
    assert made["delivery_tag"] != "another's"
    assert "reply_to" not in made
    assert (made["priority"], made["correlation_id"]) == (0, "")


@pytest.mark.parametrize(
    ("element", "why"),
    [
        (b"}{", "no message"),
        (b"\xff\xfe\x00", "no message"),
        (b"[" * 100_000, "no message"),
        (b'{"__type__": "decimal", "__value__": "x"}', "no message"),
        (b'{"__type__": [1], "__value__": 1}', "no message"),
        (b" " * (messages.MAX_BYTES + 1), "too large"),
    ],
)
def test_an_element_that_kombu_would_end_on_is_refused_before(element: bytes, why: str) -> None:
    with pytest.raises(Unfit) as unfit:
        readable(element, "orders")
    assert unfit.value.why == why


@pytest.mark.parametrize(
    ("queue", "task", "args", "kwargs"),
    [
        ("orders", "orders.apply", EVENTS, {}),
        ("payments", "payments.apply", [{"id": "1"}], {}),
        ("lane.crm", "lanes.drain", ["crm", False], {}),
        ("lane.crm.payments", "lanes.drain", ["crm", True], {}),
        ("chores", "chores.sweep", [], {}),
        ("chores", "chores.reconcile", [], {"full": True}),
    ],
)
def test_what_the_bus_itself_sends_is_wanted(queue: str, task: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    found = wanted(queue, {"task": task, "id": str(uuid4())}, [args, kwargs, NOTHING_MORE])
    assert found["task"] == task


NOT_HERE = "not a task of this queue"
WILD = "arguments that this task does not take"
PROTOCOL = "not Celery's second protocol"


@pytest.mark.parametrize(
    ("queue", "task", "parts", "why"),
    [
        ("orders", "os.system", [["ls"], {}, {}], NOT_HERE),
        ("orders", "payments.apply", [EVENTS, {}, {}], NOT_HERE),
        ("orders", "chores.retention", [[], {}, {}], NOT_HERE),
        ("orders", "celery.starmap", [EVENTS, {}, {}], NOT_HERE),
        ("chores", "orders.apply", [EVENTS, {}, {}], NOT_HERE),
        ("lane.crm", "chores.retention", [[], {}, {}], NOT_HERE),
        ("orders", ["orders.apply"], [EVENTS, {}, {}], "names no task"),
        ("orders", None, [EVENTS, {}, {}], "names no task"),
        ("orders", "orders.apply", [[1, 2, 3], {}, {}], WILD),
        ("orders", "orders.apply", [[], {}, {}], WILD),
        ("orders", "orders.apply", [EVENTS, {"bind": True}, {}], WILD),
        ("lane.crm", "lanes.drain", [["shop", False], {}, {}], WILD),
        ("lane.crm", "lanes.drain", [["crm", True], {}, {}], WILD),
        ("lane.crm", "lanes.drain", [["crm", "yes"], {}, {}], WILD),
        ("chores", "chores.sweep", [[1], {}, {}], WILD),
        ("chores", "chores.retention", [[], {"full": True}, {}], WILD),
        ("chores", "chores.reconcile", [[], {"full": "yes"}, {}], WILD),
        ("orders", "orders.apply", [EVENTS, {}, REST], "with more to do after it"),
        ("orders", "orders.apply", [EVENTS, {}, {"callbacks": [{"task": "x"}]}], "with more to do after it"),
        ("orders", "orders.apply", [EVENTS, {}, {"errbacks": [{"task": "x"}]}], "with more to do after it"),
        ("orders", "orders.apply", [EVENTS, {}, [1]], "with more to do after it"),
        ("orders", "orders.apply", [{"a": 1}, {}, {}], PROTOCOL),
        ("orders", "orders.apply", [EVENTS, [1], {}], PROTOCOL),
        ("orders", "orders.apply", [EVENTS, {}], PROTOCOL),
        ("orders", "orders.apply", {"task": "orders.apply", "args": EVENTS}, PROTOCOL),
        ("orders", "orders.apply", 7, PROTOCOL),
    ],
)
def test_a_task_that_this_queue_does_not_carry_is_refused(queue: str, task: Any, parts: Any, why: str) -> None:
    with pytest.raises(Unfit) as unfit:
        wanted(queue, {"task": task, "id": "a-1"}, parts)
    assert unfit.value.why == why


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"id": None}, "without an id"),
        ({"id": [1]}, "without an id"),
        ({"id": "a\nb"}, "without an id"),
        ({"eta": "2099-01-01T00:00:00Z"}, "for later: only the ledger knows a later"),
        ({"eta": {"a": 1}}, "for later: only the ledger knows a later"),
        ({"expires": "2099-01-01T00:00:00+00:00"}, "to be forgotten after a while"),
        ({"expires": [1]}, "to be forgotten after a while"),
    ],
)
def test_a_message_that_asks_for_another_time_or_has_no_name_is_refused(headers: Any, why: str) -> None:
    with pytest.raises(Unfit) as unfit:
        wanted("orders", HEADERS | headers, [EVENTS, {}, {}])
    assert unfit.value.why == why


def test_of_celerys_headers_only_those_go_on_that_a_message_of_ours_has() -> None:
    wild = {
        "timelimit": 7,
        "retries": "x",
        "stamped_headers": 7,
        "stamps": 8,
        "shadow": {},
        "group": "g",
        "root_id": [],
    }
    assert wanted("orders", HEADERS | wild, [EVENTS, {}, {}]) == wanted("orders", HEADERS, [EVENTS, {}, {}])


def test_a_chore_that_nobody_did_in_time_may_be_forgotten() -> None:
    found = wanted(
        "chores", {"task": "chores.sweep", "id": "a", "expires": "2026-10-05T10:00:00+00:00"}, [[], {}, NOTHING_MORE]
    )
    assert found["expires"] == "2026-10-05T10:00:00+00:00"


@pytest.mark.parametrize(
    ("says", "shown"),
    [
        ("(2 events: shop order/17, crm deal/759)", "(2 events: shop order/17, crm deal/759)"),
        ("([[{'customer': {'phone': '+79991234567'}}]],)", "(1 events)"),
        ("(2 events: {'phone': '+79991234567'})", "(1 events)"),
        (None, "(1 events)"),
        ({"a": 1}, "(1 events)"),
    ],
)
def test_flower_is_not_shown_what_a_strangers_celery_writes_of_its_arguments(says: Any, shown: str) -> None:
    assert wanted("orders", HEADERS | {"argsrepr": says}, [EVENTS, {}, {}])["argsrepr"] == shown


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=8), some, max_size=3),
    max_leaves=8,
)


@given(_JSON, st.dictionaries(st.sampled_from(["task", "id", "eta", "expires", "argsrepr"]), _JSON), _JSON)
def test_whatever_is_laid_there_is_taken_or_refused_and_nothing_else(raw: Any, headers: Any, payload: Any) -> None:
    for look in (lambda: enveloped(raw, "orders"), lambda: wanted("orders", headers, payload)):
        try:
            look()
        except Unfit as unfit:
            assert unfit.why  # noqa: PT017 - either is right
