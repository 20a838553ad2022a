"""The judge of the books: an order that is not there, there twice or with another sum, and money nobody entered."""

from typing import Any

import pytest

from bus.demo import books_judged
from bus.demo.agreement import Difference, Verdict

SHOP = {"orders": [{"id": 1, "accountNumber": "1001", "price": 1500.5, "canceled": "N"}]}
DOCUMENT = {"НомерПоДаннымКлиента": "1001", "СуммаДокумента": 1500.5, "DeletionMark": False}
RECEIPT = {"DeletionMark": False}


def judged(documents: list[dict[str, Any]], receipts: int = 0, entered: int = 0) -> Verdict:
    verdict = Verdict(orders=1)
    onec = {
        "Document_ЗаказКлиента": documents,
        "Document_ПоступлениеБезналичныхДенежныхСредств": [RECEIPT] * receipts,
    }
    books_judged.judge(verdict, SHOP, onec, entered=entered)
    return verdict


def test_an_order_that_is_in_the_books_once_with_its_sum_is_right() -> None:
    verdict = judged([DOCUMENT], receipts=2, entered=2)
    assert [*verdict.lost, *verdict.duplicates, *verdict.differences] == []
    assert verdict.compared == {"order in 1C": 1, "sum in 1C": 1, "money in 1C": 2}


@pytest.mark.parametrize(
    "documents", [[], [DOCUMENT | {"DeletionMark": True}], [DOCUMENT | {"НомерПоДаннымКлиента": "7"}]]
)
def test_an_order_that_the_books_do_not_have_is_lost(documents: list[dict[str, Any]]) -> None:
    assert judged(documents).lost == [Difference(1, "order in 1C", "1001", 0, 1)]


def test_an_order_that_the_books_have_twice_is_doubled() -> None:
    assert judged([DOCUMENT, DOCUMENT]).duplicates == [Difference(1, "order in 1C", "1001", 2, 1)]


def test_a_cancelled_order_has_no_sum_in_the_books() -> None:
    verdict = Verdict(orders=1)
    shop = {"orders": [SHOP["orders"][0] | {"canceled": "Y"}]}
    onec = {
        "Document_ЗаказКлиента": [DOCUMENT | {"СуммаДокумента": 0}],
        "Document_ПоступлениеБезналичныхДенежныхСредств": [],
    }
    books_judged.judge(verdict, shop, onec, entered=0)
    assert verdict.differences == []


def test_another_sum_differs() -> None:
    verdict = judged([DOCUMENT | {"СуммаДокумента": 1500}])
    assert [(one.field, str(one.shop), str(one.crm)) for one in verdict.differences] == [
        ("sum in 1C", "1500.50", "1500.00")
    ]


@pytest.mark.parametrize(("there", "found"), [(3, "duplicates"), (1, "lost")])
def test_money_is_in_the_books_as_often_as_it_was_entered(there: int, found: str) -> None:
    verdict = judged([DOCUMENT], receipts=there, entered=2)
    assert getattr(verdict, found) == [Difference(None, "money in 1C", None, there, 2)]
