"""By which keys an event's entity is known, and which of them cannot be one thing's."""

from typing import Any
from uuid import UUID

import pytest

from bus.keys import apart, clash, keys_of
from tests.bus.ledger.middle import config

ONE, OTHER = UUID(int=1), UUID(int=2)


def told(source: str, subject: str, **data: Any) -> dict[str, Any]:
    return {"source": source, "subject": subject, "kind": subject.partition("/")[0], "data": data}


@pytest.mark.parametrize(
    ("row", "keys"),
    [
        (told("shop", "order/1"), ["shop/order/1"]),
        (told("shop", "order/1", number="A-1"), ["shop/order/1", "number/shop/A-1"]),
        (told("onec", "order/g", number="A-1"), ["onec/order/g", "number/shop/A-1"]),
        (told("onec", "counterparty/g", number="A-1"), ["onec/counterparty/g"]),
        (told("onec", "order/g", records=[{"system": "shop", "id": "1"}]), ["onec/order/g", "shop/order/1"]),
        (told("onec", "order/g", records=[{"number": "A-1"}], number="A-1"), ["onec/order/g", "number/shop/A-1"]),
        (told("onec", "order/g", records=[{"system": "books", "number": "7"}]), ["onec/order/g", "number/books/7"]),
        (told("bus", f"order/{ONE}", number="A-1"), [f"bus/order/{ONE}"]),
    ],
    ids=["record", "own number", "shop's number", "no order", "reference", "the same twice", "theirs", "ours"],
)
def test_an_event_gives_its_own_record_first_then_what_it_refers_to(row: dict[str, Any], keys: list[str]) -> None:
    assert keys_of(row, config()) == keys


@pytest.mark.parametrize(
    ("keys", "names", "two"),
    [
        (["crm/deal/7", "shop/order/1"], {ONE: {"shop/order/1"}}, None),
        (["crm/deal/7", "shop/order/1"], {ONE: {"shop/order/2"}}, "shop order 1 and 2"),
        (["crm/deal/7"], {ONE: {"shop/order/1"}, OTHER: {"shop/order/2"}}, "shop order 1 and 2"),
        (["crm/deal/7", "crm/deal/8"], {ONE: {"shop/order/1"}}, None),
        (["crm/deal/7", "number/shop/A-1"], {ONE: {"number/shop/A-2"}}, "number shop A-1 and A-2"),
        (["shop/order/1", "number/shop/A-1"], {ONE: {"number/shop/A-2"}}, None),
        (["inn/counterparty/1", "inn/counterparty/2"], {ONE: set()}, None),
        (["crm/deal/7"], {ONE: {"shop/order/1", "shop/order/2"}}, None),
        (["onec/payment/d:2", "onec/payment/d:1"], {ONE: {"onec/payment/d:1", "onec/payment/d:0"}}, None),
        (
            ["onec/payment/d:2", "onec/payment/d:1"],
            {ONE: {"onec/payment/d:1"}, OTHER: {"onec/payment/d:2"}},
            "onec payment d:1 and d:2",
        ),
    ],
    ids=[
        "agree",
        "two orders",
        "ties two",
        "copied deal",
        "second number",
        "corrects its own",
        "requisites",
        "already",
        "renamed",
        "renamed to another",
    ],
)
def test_two_records_of_one_system_are_two_things(
    keys: list[str], names: dict[UUID, set[str]], two: str | None
) -> None:
    assert clash(keys, names, names) == two


@pytest.mark.parametrize(
    ("other", "left"),
    [
        ({"bank/payment/1", "money/payment/m"}, ["onec/payment/d:2", "money/payment/m"]),
        ({"onec/payment/d:1", "money/payment/m"}, ["onec/payment/d:2"]),
    ],
    ids=["another system's record", "a record of the same system"],
)
def test_the_same_money_makes_no_two_records_of_one_system_one(other: set[str], left: list[str]) -> None:
    assert apart(["onec/payment/d:2", "money/payment/m"], {ONE}, {ONE: other}) == left


def test_a_record_may_be_instead_of_one_that_is_over_where_it_ties_nothing_else() -> None:
    keys, first = ["onec/payment/d:2", "money/payment/m"], {"onec/payment/d:1", "money/payment/m"}
    assert apart(keys, {ONE}, {ONE: first}, over={"onec/payment/d:1"}) == keys
    both = {ONE: first, OTHER: {"onec/payment/d:2"}}
    assert apart(keys, {ONE, OTHER}, both, over={"onec/payment/d:1"}) == keys[:1]
