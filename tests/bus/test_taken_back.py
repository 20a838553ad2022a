"""Money that the books take back: who else said that it was paid decides whether a person has to know."""

from collections.abc import Iterator

import pytest

from bus.envelope import Event
from tests.bus.ledger.middle import Middle, built, config, gone, order, payment, rub, said, to_order

AT, LATER = "2026-10-05T10:00:00Z", "2026-10-05T11:00:00Z"
BOOKS = {"kind": "onec", "url": "http://127.0.0.1:9/", "user": "u", "password": "p"}
RECEIPT = "payment/9b1c:77"


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url, config(onec=BOOKS)) as made:
        made.take(order(1, number="1001", total=rub(500)))
        made.take(money(source="shop", status="pending"))
        yield made


def money(at: str = AT, *, source: str, status: str = "paid") -> Event:
    """Five hundred for the order, by that source; books and bank know it by the same date, number, sum and payer."""
    subject = {"shop": "payment/501", "onec": RECEIPT, "bank": "payment/17"}[source]
    data = {"order": to_order(1), "amount": rub(500), "status": status}
    known = [] if source == "shop" else [{"system": "money", "type": "payment", "id": "2026-10-05:17:500.00:-"}]
    return said(source, "payment", subject, at, None, data | {"records": known})


@pytest.mark.parametrize(
    ("who", "told"),
    [
        (["onec"], True),
        (["onec", "bank"], False),
        (["bank", "onec"], False),
        (["shop", "onec"], False),
    ],
)
def test_a_person_is_told_where_nobody_but_the_books_said_that_it_was_paid(
    middle: Middle, who: list[str], told: bool
) -> None:
    for hour, source in enumerate(who, 11):
        middle.take(money(f"2026-10-05T{hour}:00:00Z", source=source))
    assert len(middle.rows("SELECT 1 FROM entity WHERE kind = 'payment'")) == 1
    middle.take(gone("onec", "payment", RECEIPT))
    assert [letter["cause"] for letter in middle.letters()] == ["payment taken back by the books"] * told
    assert middle.fields("shop/order/1")["paid_total"] == rub("500.00"), "a deletion is noted, not followed"


def test_money_that_was_only_expected_is_taken_back_in_silence(middle: Middle) -> None:
    middle.take(money(LATER, source="onec", status="pending"))
    middle.take(gone("onec", "payment", RECEIPT))
    assert middle.letters() == []


def test_money_that_nothing_shows_is_taken_back_in_silence(middle: Middle) -> None:
    middle.take(gone("shop", "payment", "payment/501", LATER))
    middle.take(payment("9b1c:77", LATER, source="onec", order=to_order(1), amount=rub(500), status="paid"))
    middle.take(gone("onec", "payment", RECEIPT))
    assert middle.letters() == []
