"""Which order money is for: certain, or a person's to say; over real orders in a real ledger."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from bus.assigning import Assigned, Assigner, Received
from tests.bus.ledger.middle import Middle, built, config, deal, order, payment, rub, said, to_order

INN, OTHER_INN = "7707083893", "500100732259"
CUSTOMER = {"inn": INN}
LATER = "2026-10-05T11:00:00Z"


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(
        database_url, config(onec={"kind": "onec", "url": "http://127.0.0.1:9/", "user": "u", "password": "p"})
    ) as made:
        yield made


def money(amount: int = 100, **changes: Any) -> Received:
    return Received(**{"amount": Decimal(amount), "currency": "RUB", "on": date(2026, 10, 6), "inn": INN} | changes)


def assigned(middle: Middle, *batch: Received) -> list[Assigned]:
    with middle.ledger.transaction() as connection:
        assigner = Assigner(connection, middle.wiring.config, batch)
        return [assigner.assign(one) for one in batch]


def numbers(middle: Middle, *batch: Received) -> list[str | None]:
    """The shop's ids of the orders that were found."""
    return [found(middle, answer) for answer in assigned(middle, *batch)]


def found(middle: Middle, answer: Assigned) -> str | None:
    if answer.order is None:
        return None
    assert (answer.order.system, answer.order.type) == ("bus", "order")
    row = middle.one(
        "SELECT external_id FROM record WHERE system = 'shop' AND type = 'order' AND entity_id = %s", answer.order.id
    )
    return str(row["external_id"])


def test_the_payment_identifier_is_the_orders(middle: Middle) -> None:
    middle.take(
        order(1, number="1001", total=rub(999), records=[{"system": "uip", "id": "1881"}]),
        order(2, number="1002", total=rub(100), customer=CUSTOMER),
    )
    assert numbers(middle, money(code="1881", purpose="заказ 1002")) == ["1"]


def test_a_number_in_the_purpose_and_the_customers_inn_are_certain_whatever_the_sum(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(500), customer=CUSTOMER))
    assert numbers(middle, money(700, purpose="Оплата заказа №1001")) == ["1"]


def test_another_customers_order_is_not_paid_by_its_number(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(100), customer={"inn": OTHER_INN}))
    (answer,) = assigned(middle, money(purpose="заказ 1001"))
    assert (answer.order, answer.why) == (None, "the order that its purpose names is another customer's")
    assert [(one["number"], one["why"]) for one in answer.candidates] == [("1001", "its purpose names it")]


@pytest.mark.parametrize(("total", "who"), [(100, {"inn": None}), (150, {"inn": None})])
def test_a_number_alone_is_certain_where_the_sum_fits(middle: Middle, total: int, who: dict[str, Any]) -> None:
    middle.take(order(1, number="1001", total=rub(total)))
    assert numbers(middle, money(purpose="заказ 1001", **who)) == ["1"]


def test_a_number_alone_is_a_persons_to_judge_where_more_is_paid_than_is_open(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(99)))
    (answer,) = assigned(middle, money(purpose="счет № 1001", inn=None))
    assert answer.order is None
    assert "the sum does not fit" in answer.why


def test_of_two_named_orders_the_one_of_the_payer_is_meant(middle: Middle) -> None:
    middle.take(
        order(1, number="1001", total=rub(100), customer=CUSTOMER),
        order(2, number="77", total=rub(100), customer={"inn": OTHER_INN}),
    )
    assert numbers(middle, money(purpose="счет 77 за заказ 1001")) == ["1"]


def test_two_orders_of_the_payer_in_one_purpose_are_a_persons_to_divide(middle: Middle) -> None:
    middle.take(*(order(one, number=f"100{one}", total=rub(100), customer=CUSTOMER) for one in (1, 2)))
    (answer,) = assigned(middle, money(200, purpose="заказы 1001, 1002"))
    assert (answer.order, answer.why) == (None, "its purpose names several orders")
    assert [one["number"] for one in answer.candidates] == ["1001", "1002"]


def test_the_payers_only_order_with_exactly_this_sum_open_is_certain(middle: Middle) -> None:
    middle.take(
        order(1, number="1001", total=rub(100), customer=CUSTOMER),
        order(2, number="1002", total=rub(300), customer=CUSTOMER),
        order(3, number="1003", total=rub(100), customer={"inn": OTHER_INN}),
        order(4, number="1004", total=rub(100), status="cancelled", customer=CUSTOMER),
    )
    middle.take(payment(5, order=to_order(2), amount=rub(200), status="paid"))
    assert numbers(middle, money(100, purpose="по договору")) == [None], "orders 1 and 2 have a hundred open each"
    assert numbers(middle, money(300)) == [None]
    middle.take(payment(6, order=to_order(1), amount=rub(100), status="paid"))
    assert numbers(middle, money(100)) == ["2"]


def test_two_orders_with_the_same_open_sum_are_a_persons_to_choose_from(middle: Middle) -> None:
    middle.take(*(order(one, number=f"100{one}", total=rub(100), customer=CUSTOMER) for one in (1, 2)))
    (answer,) = assigned(middle, money())
    assert answer.why == "2 orders of the payer have exactly this sum open"
    assert sorted(one["number"] for one in answer.candidates) == ["1001", "1002"]
    assert {one["why"] for one in answer.candidates} == {"the same payer, 100.00 RUB open"}


def test_without_any_sign_the_payers_open_orders_are_shown_the_nearest_sum_first(middle: Middle) -> None:
    middle.take(
        order(1, number="1001", total=rub(1000), customer=CUSTOMER),
        order(2, number="1002", total=rub(90), customer=CUSTOMER),
    )
    (answer,) = assigned(middle, money(100))
    assert [one["number"] for one in answer.candidates] == ["1002", "1001"]


def test_money_of_a_stranger_has_no_candidates(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(100), customer=CUSTOMER))
    (answer,) = assigned(middle, money(inn=None))
    assert (answer.order, answer.candidates) == (None, [])


def test_another_currency_fits_no_order(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(100), customer=CUSTOMER))
    assert numbers(middle, money(currency="USD")) == [None]


def test_two_equal_payments_of_one_batch_do_not_both_pay_one_order(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(100), customer=CUSTOMER))
    assert numbers(middle, money(), money(on=date(2026, 10, 7))) == ["1", None]


def test_money_on_its_way_to_an_order_that_was_united_since_pays_the_one_that_is_kept(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(100), customer=CUSTOMER))
    middle.take(deal(7, customer=CUSTOMER))
    lost = middle.entity("crm/deal/7").id
    to_lost = {"system": "bus", "type": "order", "id": f"{lost}"}
    paid = said("bank", "payment", "payment/1", LATER, None, {"status": "paid", "amount": rub(100), "order": to_lost})
    middle.wiring.publisher.publish([paid])
    middle.bells.published.clear()
    middle.take(deal(7, LATER, records=[to_order(1)]))
    assert numbers(middle, money(purpose="по договору")) == [None], "the hundred is on its way already"
    middle.take(paid)
    assert middle.fields("shop/order/1")["payment_status"] == "paid"


def test_a_cancelled_order_is_paid_only_by_who_names_it(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(100), status="cancelled", customer=CUSTOMER))
    assert numbers(middle, money(purpose="заказ 1001"), money()) == ["1", None]


def test_what_is_given_back_is_of_the_order_that_was_paid(middle: Middle) -> None:
    middle.take(
        order(1, number="1001", total=rub(100), customer=CUSTOMER),
        order(2, number="1002", total=rub(100), customer=CUSTOMER),
    )
    middle.take(payment(5, order=to_order(2), amount=rub(100), status="paid"))
    assert numbers(middle, money(gives_back=True)) == ["2"]


def test_the_books_own_number_is_known_by_its_year(middle: Middle) -> None:
    for year, one in ((2025, 1), (2026, 2)):
        middle.take(order(one, number=f"100{one}", total=rub(100)))
        records = [to_order(one), {"system": "onec", "number": f"{year}:УТ-000007"}]
        middle.take(said("onec", "order", f"order/{one}", "2026-10-05T11:00:00Z", None, {"records": records}))
    assert numbers(middle, money(inn=None, purpose="счет УТ-000007 от 01.02.2025")) == ["1"]
    assert numbers(middle, money(inn=None, purpose="счет УТ-000007 от 01.02.2026")) == ["2"]
    assert numbers(middle, money(inn=None, purpose="счет УТ-000007")) == [None], "of which year?"


def test_a_printed_number_is_known_among_the_payers_own_orders(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(500), customer=CUSTOMER))
    records = [to_order(1), {"system": "onec", "number": "2026:УТ-000007"}]
    middle.take(said("onec", "order", "order/1", "2026-10-05T11:00:00Z", None, {"records": records}))
    assert numbers(middle, money(purpose="счет № 7")) == ["1"]
    assert numbers(middle, money(purpose="счет № 7", inn=OTHER_INN)) == [None]
