import pytest

BATCH = "application/cloudevents-batch+json"
ONE = "application/cloudevents+json"


def test_a_signed_event_is_journaled_before_the_answer(caller, journal, event):
    answer = caller.signed("/events", event())
    assert (answer.status_code, answer.json()) == (200, {"new": 1, "known": 0})
    [entry] = journal.events.values()
    assert (entry.event.source, entry.event.subject, entry.priority) == ("onec", "order/236", None)


@pytest.mark.parametrize("content_type", [ONE, "application/json", "application/json; charset=UTF-8"])
def test_one_event_under_either_media_type(caller, event, content_type):
    assert caller.signed("/events", event(), content_type=content_type).json()["new"] == 1


@pytest.mark.parametrize("content_type", [BATCH, "application/json"])
def test_a_batch_under_either_media_type(caller, event, content_type):
    batch = [event(id="e-1"), event(id="e-2", type="payment.deleted", subject="payment/1", data=None)]
    assert caller.signed("/events", batch, content_type=content_type).json() == {"new": 2, "known": 0}


@pytest.mark.parametrize(("content_type", "many"), [(ONE, True), (BATCH, False)])
def test_a_batch_is_an_array_and_an_event_an_object(caller, journal, event, content_type, many):
    answer = caller.signed("/events", [event()] if many else event(), content_type=content_type)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")
    assert journal.empty


def test_the_same_webhook_ten_times_is_one_event(caller, journal, event):
    answers = [caller.signed("/events", event()).json() for _ in range(10)]
    assert answers == [{"new": 1, "known": 0}, *[{"new": 0, "known": 1}] * 9]
    assert len(journal.events) == 1


def test_an_event_without_id_gets_the_same_one_each_time(caller, event):
    assert caller.signed("/events", event(id=None)).json()["new"] == 1
    assert caller.signed("/events", event(id=None)).json()["known"] == 1


def test_a_thousand_events_are_taken_and_one_more_is_not(roomy_caller, journal):
    gone = {"source": "onec", "type": "order.deleted", "subject": "order/1", "time": "2026-03-01T12:00:00Z"}
    many = [gone | {"id": str(at)} for at in range(1001)]
    answer = roomy_caller.signed("/events", many)
    assert (answer.status_code, answer.json()["field"]) == (422, "events")
    assert journal.empty
    assert roomy_caller.signed("/events", many[:1000]).json() == {"new": 1000, "known": 0}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"type": "order.eaten"}, "type"),
        ({"subject": "236"}, "subject"),
        ({"source": None}, "source"),
        ({"time": "2026-03-01T11:59:00"}, "time"),
        ({"time": "2026-03-02T12:00:01Z"}, "time"),
        ({"time": "1969-12-31T23:59:59Z"}, "time"),
        ({"sourceversion": str(2**63)}, "sourceversion"),
        ({"sourceversion": 17, "id": None}, "sourceversion"),
        ({"data": None}, "data"),
        ({"data": {"total": {"amount": "many", "currency": "RUB"}}}, "data.total.amount"),
        ({"data": {"nubmer": "236"}}, "data.nubmer"),
        ({"unknown": "x"}, "unknown"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_stored(caller, journal, event, changed, field):
    answer = caller.signed("/events", event(**changed))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    if field != "data":
        assert answer.json()["field"] == field
    assert field in answer.json()["detail"]
    assert journal.empty


def test_one_bad_event_refuses_the_batch_and_tells_its_place(caller, journal, event):
    bad = {"total": {"amount": "many", "currency": "RUB"}}
    batch = [event(id="0"), event(id="1"), event(id="2", data=None), event(id="3", data=bad)]
    problem = caller.signed("/events", batch).json()
    assert [error["field"] for error in problem["errors"]] == ["events[2]", "events[3].data.total.amount"]
    assert problem["errors"][1]["detail"].startswith("events[3].data.total.amount: ")
    assert problem["detail"] == problem["errors"][0]["detail"]
    assert journal.empty


def test_complaints_end_somewhere(caller, event):
    assert len(caller.signed("/events", [event(type="x")] * 60).json()["errors"]) == 20


@pytest.mark.parametrize("item", [None, 7, "x", [], True])
def test_an_event_is_an_object(caller, journal, item):
    answer = caller.signed("/events", [item])
    assert (answer.status_code, answer.json()["field"]) == (422, "events[0]")
    assert journal.empty


def test_an_empty_batch_is_fine(caller):
    assert caller.signed("/events", []).json() == {"new": 0, "known": 0}


def test_nobody_speaks_for_another_system(caller, journal, event):
    answer = caller.signed("/events", [event(), event(source="shop")])
    assert (answer.status_code, answer.json()["field"]) == (403, "events[1].source")
    assert "'shop'" in answer.json()["detail"]
    assert caller.signed("/events", event(source="shop")).json()["field"] == "source"
    assert journal.empty


def test_any_system_with_keys_may_send_events(caller, event):
    key = "whsec_c2hvcCBrZXkgbnVtYmVyIG9uZSBvZiBvbmU="
    assert caller.signed("/events", event(source="shop"), key=key).json()["new"] == 1


def test_binary_mode_is_refused_because_its_headers_are_not_signed(caller, journal, event):
    answer = caller.signed("/events", event()["data"], headers={"ce-specversion": "1.0", "ce-id": "1"})
    assert answer.status_code == 415
    assert journal.empty


def test_values_never_come_back_in_a_refusal(caller, event):
    person = {"customer": {"phone": {"+79991234567": 1}, "name": ["Иван Петров"], "email": 5}}
    answer = caller.signed("/events", event(data=person)).text
    assert "Петров" not in answer
    assert "+7999" not in answer
