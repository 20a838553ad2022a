"""The agreement: two systems that say the same pass, and each kind of disagreement is found."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from bus.demo.agreement import Verdict, judge
from bus.demo.people import Line, customers
from bus.demo.scenario import Step, Story

Row = dict[str, Any]
ORDER, DEAL, CONTACT = 7, 1001, 201


def story(**changes: Any) -> Story:
    customer = customers(Random(1), 1)[0]
    steps = [Step(0.1, "order"), Step(0.2, "bank_pay")]
    made = Story(
        1,
        customer,
        f"8{customer.digits}",
        (Line(348, "Чайник", Decimal("980.00"), 2),),
        (1, "Courier", "500"),
        "Тверь",
        steps,
    )
    made.bank = "ПП-1"
    made.expected = {
        "status": "paid",
        "name": customer.name,
        "phone": customer.digits,
        "email": customer.email,
        "address": "Тверь",
        "lines": [("Чайник", "2", "980.00")],
        "total": "2460.00",
        "paid": "2460.00",
        **changes,
    }
    return made


def shop() -> Row:
    of = story()
    values = {"FIO": of.customer.name, "PHONE": of.phone, "EMAIL": of.customer.email, "ADDRESS": "Тверь"}
    order = {
        "id": ORDER,
        "accountNumber": "1007",
        "statusId": "P",
        "canceled": "N",
        "price": 2460,
        "comments": "",
        "basketItems": [{"name": "Чайник", "quantity": 2, "price": 980}],
        "payments": [{"id": 501, "sum": 2460, "paid": "Y", "isReturn": "N", "payVoucherNum": "ПП-1"}],
        "shipments": [{"deliveryName": "Courier"}],
        "propertyValues": [{"code": code, "value": value} for code, value in values.items()],
    }
    return {"orders": [order]}


def crm() -> Row:
    of = story()
    deal = {
        "id": DEAL,
        "stageId": "EXECUTING",
        "opportunity": 2460.0,
        "comments": None,
        "contactId": CONTACT,
        "productRows": [{"productName": "Чайник", "quantity": 2.0, "price": 980.0}],
        "UF_CRM_ORDER_ID": str(ORDER),
        "UF_CRM_ORDER_NUMBER": "1007",
        "UF_CRM_DELIVERY_METHOD": "Courier",
        "UF_CRM_DELIVERY_ADDRESS": "Тверь",
        "UF_CRM_PAID_TOTAL": 2460.0,
        "UF_CRM_PAYMENT_STATUS": "Оплачен",
    }
    return {
        "deals": [deal],
        "contacts": [contact(CONTACT, of.customer.name, f"+7{of.customer.digits}", of.customer.email)],
    }


def contact(key: int, name: str, phone: str, email: str) -> Row:
    return {"id": key, "name": name, "lastName": None, "fm": [_multi("PHONE", phone), _multi("EMAIL", email)]}


def _multi(kind: str, value: str) -> Row:
    return {"typeId": kind, "value": value}


def verdict(here: Row, there: Row, told: Story | None = None, leads: tuple[int, ...] = ()) -> Verdict:
    return judge(here, there, {ORDER: told or story()}, leads)


def test_two_systems_that_say_the_same_agree() -> None:
    found = verdict(shop(), crm())
    assert (found.differences, found.lost, found.duplicates) == ([], [], [])
    assert (found.orders, found.in_sync) == (1, 1)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("status", lambda deal: deal.update(stageId="NEW")),
        ("status", lambda deal: deal.update(stageId="LOSE")),
        ("status", lambda deal: deal.update(stageId="UC_UNKNOWN")),
        ("total", lambda deal: deal.update(opportunity=2459.99)),
        ("lines", lambda deal: deal["productRows"][0].update(price=979)),
        ("lines", lambda deal: deal["productRows"][0].update(quantity=1)),
        ("lines", lambda deal: deal["productRows"][0].update(productName="Тостер")),
        ("lines", lambda deal: deal["productRows"].append({"productName": "Утюг", "quantity": 1, "price": 1})),
        ("number", lambda deal: deal.update(UF_CRM_ORDER_NUMBER=None)),
        ("comment", lambda deal: deal.update(comments="только здесь")),
        ("paid", lambda deal: deal.update(UF_CRM_PAID_TOTAL=None)),
        ("payment status", lambda deal: deal.update(UF_CRM_PAYMENT_STATUS="Не оплачен")),
        ("address", lambda deal: deal.update(UF_CRM_DELIVERY_ADDRESS="Пермь")),
        ("delivery", lambda deal: deal.update(UF_CRM_DELIVERY_METHOD="Post")),
        ("name", lambda deal: deal.update(contactId=0)),
    ],
)
def test_a_field_of_the_deal_that_differs_is_found(field: str, change: Callable[[Row], None]) -> None:
    there = crm()
    change(there["deals"][0])
    found = verdict(shop(), there)
    assert field in {one.field for one in found.differences}
    assert found.in_sync == 0


@pytest.mark.parametrize(("field", "kind", "value"), [("phone", 0, "+79990000000"), ("email", 1, "other@example.test")])
def test_a_contact_that_differs_is_found(field: str, kind: int, value: str) -> None:
    there = crm()
    there["contacts"][0]["fm"][kind]["value"] = value
    assert [one.field for one in verdict(shop(), there).differences] == [field]


def test_an_order_without_a_deal_is_lost() -> None:
    found = verdict(shop(), {**crm(), "deals": []})
    assert [(one.order, one.field) for one in found.lost] == [(ORDER, "deal")]
    assert found.in_sync == 0


def test_a_second_deal_of_one_order_is_a_duplicate() -> None:
    there = crm()
    there["deals"].append({**there["deals"][0], "id": DEAL + 1})
    assert [one.field for one in verdict(shop(), there).duplicates] == ["second deal"]


def test_a_deal_of_no_order_is_a_duplicate_unless_made_on_purpose() -> None:
    there = crm()
    there["deals"].append({**there["deals"][0], "id": DEAL + 1, "UF_CRM_ORDER_ID": None})
    assert [one.field for one in verdict(shop(), there).duplicates] == ["deal without an order"]
    assert not verdict(shop(), there, leads=(DEAL + 1,)).duplicates


def test_two_contacts_with_one_phone_are_a_duplicate() -> None:
    there = crm()
    there["contacts"].append(contact(CONTACT + 1, "Кто-то", f"8 {story().customer.digits}", ""))
    assert [one.field for one in verdict(shop(), there).duplicates] == ["contact with the same phone"]


def test_a_bank_payment_that_is_twice_in_the_shop_is_a_duplicate() -> None:
    here = shop()
    here["orders"][0]["payments"].append({**here["orders"][0]["payments"][0], "id": 502})
    assert "payment" in [one.field for one in verdict(here, crm()).duplicates]


def test_more_payments_than_anybody_made_are_a_duplicate() -> None:
    here = shop()
    here["orders"][0]["payments"].append({**here["orders"][0]["payments"][0], "id": 502, "payVoucherNum": ""})
    assert "payments" in [one.field for one in verdict(here, crm()).duplicates]


def test_a_bank_payment_that_is_not_in_the_shop_is_lost() -> None:
    here = shop()
    here["orders"][0]["payments"][0].update(payVoucherNum="")
    assert [one.field for one in verdict(here, crm()).lost] == ["bank payment"]


def test_an_edit_that_both_systems_forgot_is_lost() -> None:
    found = verdict(shop(), crm(), story(comment="позвонить"))
    assert [(one.field, one.expected) for one in found.lost] == [("comment", "позвонить")]


def test_a_contested_field_may_end_as_either_but_not_as_a_third() -> None:
    told = story()
    told.either["comment"] = ("здесь", "там")
    here, there = shop(), crm()
    here["orders"][0]["comments"], there["deals"][0]["comments"] = "там", "там"
    assert not verdict(here, there, told).lost
    here["orders"][0]["comments"], there["deals"][0]["comments"] = "иное", "иное"
    assert [one.field for one in verdict(here, there, told).lost] == ["comment"]


def test_refunded_money_shows_as_given_back() -> None:
    here, there = shop(), crm()
    here["orders"][0]["payments"][0].update(paid="N", isReturn="Y")
    there["deals"][0].update(UF_CRM_PAID_TOTAL=0, UF_CRM_PAYMENT_STATUS="Возврат")
    assert not verdict(here, there, story(paid="0.00")).differences
    there["deals"][0].update(UF_CRM_PAYMENT_STATUS="Оплачен")
    assert [one.field for one in verdict(here, there, story(paid="0.00")).differences] == ["payment status"]


def test_a_cancelled_order_is_cancelled_whatever_its_status() -> None:
    here, there = shop(), crm()
    here["orders"][0].update(canceled="Y", statusId="N")
    there["deals"][0].update(stageId="LOSE")
    assert not verdict(here, there, story(status="cancelled")).differences
