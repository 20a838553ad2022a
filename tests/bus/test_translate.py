"""Raw records become journal entries: with their parts, their ids, what is held, and complaints that name the field."""

import pytest

from bus.errors import BadInput
from bus.ports import RawRecord
from bus.translate import entries, entry_of
from mappings.registry import Registry
from tests.bus.ledger.middle import config

REGISTRY = Registry(config())
PAYMENT = {"id": 5, "sum": "100.0000", "currency": "RUB", "paid": "N", "isReturn": "N"}
ORDER = {
    "id": 1, "accountNumber": "1001", "version": 4, "dateUpdate": "2026-10-05T10:00:00+03:00", "currency": "RUB",
    "price": "100.0000", "statusId": "N", "canceled": "N", "payments": [PAYMENT],
}  # fmt: skip


def test_an_order_brings_its_payments_along() -> None:
    order, payment = entries("shop", "bitrix_cms", RawRecord("order", "1", ORDER), REGISTRY, correlationid="c")
    assert (order.event.type, order.event.subject, order.event.sourceversion) == ("order.changed", "order/1", "4")
    assert (payment.event.type, payment.event.subject) == ("payment.changed", "payment/5")
    assert payment.event.data is not None
    assert payment.event.data["order"] == {"system": "shop", "type": "order", "id": "1"}
    assert {entry.event.correlationid for entry in (order, payment)} == {"c"}
    assert order.raw == ORDER


def test_the_same_state_gives_the_same_ids_and_another_state_others() -> None:
    def ids(raw: dict) -> list[str]:
        return [entry.event.id for entry in entries("shop", "bitrix_cms", RawRecord("order", "1", raw), REGISTRY)]

    assert ids(ORDER) == ids(dict(reversed(ORDER.items())))
    assert not set(ids(ORDER)) & set(ids(ORDER | {"version": 5}))


def test_an_unknown_status_is_held_and_the_rest_is_said() -> None:
    entry = entry_of("shop", "bitrix_cms", RawRecord("order", "1", ORDER | {"statusId": "ZZ"}), REGISTRY)
    assert [(one.field, one.code) for one in entry.held] == [("status", "ZZ")]
    assert entry.event.data is not None
    assert "status" not in entry.event.data
    assert entry.event.data["number"] == "1001"


@pytest.mark.parametrize(
    "change", [{"dateUpdate": "yesterday"}, {"price": "much"}, {"payments": "none"}, {"dateUpdate": None}]
)
def test_what_is_not_of_the_promised_shape_is_bad_input_that_names_the_field(change: dict) -> None:
    with pytest.raises(BadInput) as refused:
        entries("shop", "bitrix_cms", RawRecord("order", "1", ORDER | change), REGISTRY)
    assert next(iter(change)) in str(refused.value)


def test_a_priority_may_be_given_by_what_the_event_is() -> None:
    made = entries(
        "shop", "bitrix_cms", RawRecord("order", "1", ORDER), REGISTRY, priority=lambda event: len(event.kind)
    )
    assert [entry.priority for entry in made] == [5, 7]
