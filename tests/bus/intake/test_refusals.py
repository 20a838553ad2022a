"""What is the same at every door: sizes, media types, paths, methods, and what happens when the ledger is away."""

import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bus.errors import NotReady, Transient, UnknownOutcome

FORM = "application/x-www-form-urlencoded"
DOORS = {"/events": "application/json", "/shop/shop": "application/json", "/bitrix24/crm": FORM}
LIMIT = 20_000
KEY = "whsec_b25lYyBrZXkgbnVtYmVyIG9uZSBvZiB0d28="


@pytest.fixture(params=DOORS)
def door(request):
    return request.param


def test_a_body_over_the_limit_is_refused(caller, journal, door):
    over = caller.http.post(door, content=b"x" * (LIMIT + 1), headers={"content-type": DOORS[door]})
    assert (over.status_code, over.headers["content-type"]) == (413, "application/problem+json")
    at = caller.http.post(door, content=b"x" * LIMIT, headers={"content-type": DOORS[door]})
    assert at.status_code in (400, 401)
    assert journal.empty


def test_a_stream_is_cut_off_at_the_limit(caller, door):
    pulled = []

    async def long():
        for _ in range(100):
            pulled.append(1)
            yield b"x" * 1000

    answer = caller.http.post(door, content=long(), headers={"content-type": DOORS[door], **caller.signature("", KEY)})
    assert answer.status_code == 413
    assert len(pulled) == 21


def test_a_declared_length_over_the_limit_is_refused_unread(caller, door):
    headers = {"content-type": DOORS[door], "content-length": str(LIMIT + 1)}
    assert caller.http.post(door, content=b"{}", headers=headers).status_code == 413


@pytest.mark.parametrize("declared", ["9" * 5000, "\u00b2", "-1", "x"])
def test_a_strange_length_is_refused_or_counted(caller, door, declared):
    raw = [(b"content-type", DOORS[door].encode()), (b"content-length", declared.encode("latin-1"))]
    assert caller.http.post(door, content=b"{}", headers=raw).status_code in (400, 401, 413)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": ""},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "{door}; charset=windows-1251"},
        {"content-type": "{door}", "content-encoding": "gzip"},
        {"content-type": "{door}", "content-encoding": "br, identity"},
    ],
)
def test_another_media_type_or_coding_is_refused(caller, door, headers):
    filled = {name: value.replace("{door}", DOORS[door]) for name, value in headers.items()}
    answer = caller.http.post(door, content=b"{}", headers=filled)
    assert (answer.status_code, answer.json()["status"]) == (415, 415)


@pytest.mark.parametrize("body", ["{", "NaN", '{"a":1,"a":2}', "\ufeff{}", "[" * 5000, "9" * 5000, "1e999", ""])
@pytest.mark.parametrize("path", ["/events", "/shop/shop"])
def test_what_is_no_sane_json_is_refused(caller, journal, path, body):
    answer = caller.signed(path, body)
    assert (answer.status_code, answer.json()["title"]) == (400, "Bad Request")
    assert journal.empty


@pytest.mark.parametrize("path", ["/events", "/shop/shop"])
def test_bytes_that_are_no_text_are_refused(caller, path):
    headers = {"content-type": "application/json", **caller.signature("", KEY)}
    assert caller.http.post(path, content=b'{"a":"\xff"}', headers=headers).status_code == 400


@pytest.mark.parametrize("path", ["/", "/events/", "/nothing", "/events/../x", "/docs", "/redoc"])
def test_an_unknown_path_is_a_problem_document(caller, path):
    answer = caller.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_another_method_is_told_which_one(caller, door):
    answer = caller.http.get(door)
    assert (answer.status_code, answer.headers["allow"], answer.json()["status"]) == (405, "POST", 405)


@pytest.fixture
def send(caller, door, event, saved):
    """Send what the door takes."""
    if door == "/bitrix24/crm":
        return caller.portal
    return lambda: caller.signed(door, event() if door == "/events" else saved())


@pytest.mark.parametrize("down", [Transient("postgresql is away"), UnknownOutcome("commit")])
def test_without_a_ledger_the_sender_is_asked_to_repeat(journal, send, down):
    journal.down = down
    answer = send()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "postgresql" not in answer.text
    journal.down = None
    assert send().json() == {"new": 1, "known": 0}


@pytest.mark.parametrize(("seconds", "told"), [(89.5, "90"), (0, "1"), (-50, "1")])
def test_a_bus_that_is_not_ready_says_when(caller, journal, event, seconds, told):
    journal.down = NotReady("maintenance", until=caller.clock() + timedelta(seconds=seconds))
    assert caller.signed("/events", event()).headers["retry-after"] == told


def test_an_unforeseen_fault_is_a_problem_document_and_a_line_without_its_words(journal, send):
    journal.down = RuntimeError("Key (phone)=(+79991234567) already exists")
    with capture_logs() as lines:
        answer = send()
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "+7999" not in answer.text + repr(lines)
    [failed] = [line for line in lines if line["event"] == "intake.failed"]
    assert failed["error"] == "RuntimeError"
    assert failed["where"][-1].endswith(" accept")
    assert journal.empty


def test_every_request_leaves_one_line_without_its_content(caller, event):
    with capture_logs() as lines:
        caller.signed("/events", event())
    [line] = lines
    assert (line["event"], line["system"], line["status"], line["log_level"]) == (
        "intake.answered",
        "onec",
        200,
        "info",
    )


# --- whatever comes, the fault is never ours --------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
event_like = st.fixed_dictionaries(
    {"source": st.just("onec") | anything, "type": st.just("order.changed") | anything, "subject": st.just("order/1")},
    optional={
        "id": anything,
        "time": st.datetimes().map(lambda at: f"{at.isoformat()}Z") | anything,
        "sourceversion": st.text("0123456789\u0663#", max_size=30) | anything,
        "data": st.fixed_dictionaries({}, optional={"total": anything, "lines": anything, "customer": anything})
        | anything,
    },
)
order_like = st.fixed_dictionaries(
    {"id": st.just("1") | anything, "event": st.sampled_from(["order.saved", "order.deleted"])},
    optional={
        "occurred_at": st.just("2026-03-01T12:00:00Z") | anything,
        "user_id": anything,
        "order": st.fixed_dictionaries(
            {"id": st.integers(1, 9) | anything},
            optional={"price": anything, "payments": anything, "version": anything},
        ),
    },
)
names = st.sampled_from(["event", "data[FIELDS][ID]", "auth[application_token]", "auth", "auth[member_id]"])
values = st.sampled_from(["ONCRMDEALUPDATE", "759", "t0ken-of-the-portal", "a223c6b3710f85df22e9377d6c4f7553"])
form_like = st.lists(st.tuples(names | st.text("ab[]%", max_size=6), values | st.text(max_size=6)), max_size=8)

often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@often
@given(st.sampled_from(sorted(DOORS)), st.binary(max_size=200))
def test_random_bytes_are_refused(caller, path, body):
    assert 400 <= caller.http.post(path, content=body, headers={"content-type": DOORS[path]}).status_code < 500


@often
@given(st.sampled_from(["/events", "/shop/shop"]), st.text(max_size=60) | anything.map(json.dumps))
def test_signed_random_json_is_refused(caller, path, body):
    try:
        body.encode()
    except UnicodeEncodeError:
        return
    assert caller.signed(path, body).status_code < 500


@often
@given(event_like | st.lists(event_like, max_size=4))
def test_signed_near_events_are_taken_or_refused(caller, document):
    assert caller.signed("/events", json.dumps(document)).status_code < 500


@often
@given(order_like)
def test_signed_near_orders_are_taken_or_refused(caller, document):
    assert caller.signed("/shop/shop", json.dumps(document)).status_code < 500


@often
@given(form_like)
def test_near_forms_are_taken_or_refused(caller, pairs):
    body = "&".join(f"{name}={value}" for name, value in pairs).encode(errors="replace")
    assert caller.http.post("/bitrix24/crm", content=body, headers={"content-type": FORM}).status_code < 500
