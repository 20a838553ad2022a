import pytest

from bus.envelope import version_order
from bus.ports import RawRecord
from mappings.bitrix_cms import payment


def raw(**fields):
    return {"id": 123, "orderId": "236", "currency": "RUB", **fields}


def test_an_order_brings_its_payments_with_what_only_the_order_knows(registry, shop):
    order = RawRecord(
        "order",
        "236",
        {
            "currency": "RUB",
            "version": 7,
            "dateUpdate": "2026-11-20T10:00:00+03:00",
            "payments": [{"id": 123, "sum": 5, "paid": "Y"}, {"id": "124", "sum": "7.0000"}],
        },
    )
    parts = registry.parts("bitrix_cms", order)
    assert [(part.type, part.id) for part in parts] == [("payment", "123"), ("payment", "124")]
    made = payment.to_canonical(parts[0].raw, shop)
    assert made.data == {
        "amount": {"amount": "5.00", "currency": "RUB"},
        "status": "paid",
        "order": {"system": "shop", "type": "order", "id": "236"},
    }
    assert made.version == "7"
    assert made.modified_at.isoformat() == "2026-11-20T07:00:00+00:00"


def test_an_order_read_without_payments_and_a_deal_bring_nothing(registry):
    assert registry.parts("bitrix_cms", RawRecord("order", "1", {})) == []
    assert registry.parts("bitrix24", RawRecord("deal", "1", {})) == []


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ({"paid": "Y", "isReturn": "N"}, "paid"),
        ({"paid": "N"}, "pending"),
        ({"paid": "Y", "isReturn": "Y"}, "refunded"),
        ({"paid": "N", "isReturn": "P"}, "refunded"),
    ],
)
def test_flags_make_one_state(shop, flags, state):
    assert payment.to_canonical(raw(**flags), shop).data["status"] == state


def test_a_payment_read_without_its_order_has_no_growing_version(shop):
    made = payment.to_canonical(raw(paid="Y", datePaid="2026-11-20T10:00:00+03:00"), shop)
    assert version_order(made.version) is None
    assert made.modified_at.isoformat() == "2026-11-20T07:00:00+00:00"


def test_a_new_pay_system_is_called_by_its_own_name_and_holds_nothing(shop):
    made = payment.to_canonical(raw(paySystemId=9, paySystemName="СБП"), shop)
    assert made.data["method"] == "СБП"
    assert made.held == ()


def test_a_mapped_pay_system_is_called_by_its_word_and_chosen_for_a_new_payment(overlay):
    overlay.write("bitrix_cms: {codes: {payment_method: {9: Быстрый платёж}}}")
    shop = overlay.registry().tables("shop", "bitrix_cms")
    assert payment.to_canonical(raw(paySystemId=9, paySystemName="СБП"), shop).data["method"] == "Быстрый платёж"
    assert payment.from_canonical({"method": "Быстрый платёж"}, None, shop) == {"fields": {"paySystemId": "9"}}
    assert payment.from_canonical({"method": "Быстрый платёж"}, raw(paySystemId=2), shop) == {}


def test_one_moment_in_two_zones_and_one_sum_in_two_spellings_write_nothing(shop):
    present = raw(sum="1480.0000", datePaid="2026-11-20T10:44:58+03:00")
    fields = {"paid_at": "2026-11-20T07:44:58.250Z", "amount": {"amount": "1480.00", "currency": "RUB"}}
    assert payment.from_canonical(fields, present, shop) == {}


def test_a_payment_taken_back_out_of_a_refund_loses_both_flags(shop):
    change = payment.from_canonical({"status": "paid"}, raw(paid="N", isReturn="Y"), shop)
    assert change == {"fields": {"paid": "Y", "isReturn": "N"}}


def test_a_sum_is_told_with_its_currency_and_what_else_is_told_without(shop):
    usd = {"amount": {"amount": "500.00", "currency": "USD"}}
    assert payment.from_canonical(usd, raw(sum=500), shop) == {"fields": {"sum": "500.00"}, "currency": "USD"}
    assert payment.from_canonical({"status": "paid"}, raw(paid="N"), shop) == {"fields": {"paid": "Y"}}
