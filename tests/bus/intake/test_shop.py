import pytest

from bus.ports import Notification


def test_an_order_is_journaled_whole_with_its_raw_record(caller, journal, saved):
    assert caller.signed("/shop/shop", saved()).json() == {"new": 1, "known": 0}
    [entry] = journal.events.values()
    event = entry.event
    assert (event.source, event.type, event.subject, event.actor, event.correlationid) == (
        "shop",
        "order.changed",
        "order/236",
        "user:7",
        "0b4e9f0a",
    )
    assert event.data["total"] == {"amount": 1990.5, "currency": "RUB"}
    assert entry.raw["accountNumber"] == "236"


def test_payments_come_along(caller, journal, saved):
    answer = caller.signed("/shop/shop", saved(payments=[{"id": 12, "sum": 990.5}, {"id": 13, "sum": 1000}]))
    assert answer.json() == {"new": 3, "known": 0}
    assert [entry.event.subject for entry in journal.events.values()] == ["order/236", "payment/12", "payment/13"]


def test_the_same_event_again_is_known(caller, saved):
    caller.signed("/shop/shop", saved())
    assert caller.signed("/shop/shop", saved()).json() == {"new": 0, "known": 1}


def test_a_status_without_mapping_is_held_and_the_rest_goes_on(caller, journal, saved):
    assert caller.signed("/shop/shop", saved(statusId="ZZ")).json()["new"] == 1
    [entry] = journal.events.values()
    assert [held.code for held in entry.held] == ["ZZ"]
    assert "status" not in entry.event.data


def test_a_deleted_order_is_a_notification(caller, journal, saved):
    assert caller.signed("/shop/shop", saved("order.deleted")).json()["new"] == 1
    assert journal.notifications == [Notification("shop", "order", "236", deleted=True, correlationid="0b4e9f0a")]


def test_who_saved_it_is_the_actor_and_not_who_set_its_status_before(caller, journal, saved):
    caller.signed("/shop/shop", saved(empStatusId=1, payments=[{"id": 12, "sum": 990.5, "empPaidId": 1}]))
    assert [entry.event.actor for entry in journal.events.values()] == ["user:7", "user:7"]


@pytest.mark.parametrize("visitor", [None, 0, "0", ""])
def test_a_visitor_is_no_actor(caller, journal, saved, visitor):
    caller.signed("/shop/shop", saved() | {"user_id": visitor})
    [entry] = journal.events.values()
    assert entry.event.actor is None


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"event": "order.eaten"}, "event"),
        ({"id": ""}, "id"),
        ({"occurred_at": "2026-03-01T14:59:00"}, "occurred_at"),
        ({"order": []}, "order"),
        ({"order": {}}, "order.id"),
        ({"order": {"id": True}}, "order.id"),
        ({"order": {"id": "0"}}, "order.id"),
        ({"order": {"id": 236, "price": {}}}, "order.price"),
        ({"order": {"id": 236, "payments": 5}}, "order.payments"),
        ({"order": {"id": 236, "accountNumber": "1" * 300}}, "order.data.number"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_stored(caller, journal, saved, changed, field):
    answer = caller.signed("/shop/shop", saved() | changed)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert journal.empty


def test_a_bad_payment_keeps_the_order_out_as_well(caller, journal, saved):
    answer = caller.signed("/shop/shop", saved(payments=[{"id": 12, "sum": "much"}]))
    assert answer.status_code == 422
    assert journal.empty


def test_a_text_the_ledger_cannot_hold_is_refused_by_name(caller, journal, saved):
    answer = caller.signed("/shop/shop", saved(userDescription="a\x00b"))
    assert (answer.status_code, answer.json()["field"]) == (422, "order.userDescription")
    assert journal.empty


@pytest.mark.parametrize("path", ["/shop/nobody", "/shop/crm", "/shop/onec"])
def test_an_unknown_shop_is_not_found(caller, journal, saved, path):
    assert caller.signed(path, saved()).status_code == 404
    assert journal.empty
