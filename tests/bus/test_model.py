from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bus.model import DERIVED, MODELS, Money, field_names, flat, flatten, money, nest


def test_what_was_not_said_is_absent_and_what_was_cleared_is_null() -> None:
    assert flatten("order", {"comment": None, "number": "1"}) == {"comment": None, "number": "1"}
    assert flatten("order", {}) == {}


def test_a_nested_object_is_flattened_by_what_it_says() -> None:
    assert flatten("order", {"customer": {"phone": "+7", "name": None}}) == {
        "customer.phone": "+7",
        "customer.name": None,
    }
    assert flatten("order", {"customer": {}}) == {}


def test_a_nested_object_that_is_null_clears_each_of_its_fields() -> None:
    parts = ("name", "phone", "email", "company", "inn", "kpp")
    cleared = {f"customer.{part}": None for part in parts}
    assert flatten("order", {"customer": None}) == cleared
    assert flatten("order", {"delivery": None}) == {"delivery.method": None, "delivery.address": None}


def test_references_are_identity_and_never_fields() -> None:
    ref = {"system": "crm", "type": "deal", "id": "7"}
    assert flatten("order", {"records": [ref]}) == {}
    assert flatten("payment", {"order": ref, "method": "card"}) == {"method": "card"}


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("10", "10.00"),
        ("10.005", "10.01"),
        (10, "10.00"),
        ("0.994999", "0.99"),
        ("1e3", "1000.00"),
    ],
)
def test_money_has_two_decimals_rounded_half_up(said: object, stored: str) -> None:
    assert flatten("order", {"total": {"amount": said, "currency": "RUB"}})["total"] == {
        "amount": stored,
        "currency": "RUB",
    }


@pytest.mark.parametrize(
    ("said", "stored"), [("1.500", "1.5"), ("2", "2"), ("0.000", "0"), ("100", "100"), ("1E+2", "100")]
)
def test_quantities_are_plain_text_so_that_equal_ones_are_equal(said: str, stored: str) -> None:
    line = {"name": "Чайник", "quantity": said, "price": "1"}
    assert flatten("order", {"lines": [line]})["lines"][0]["quantity"] == stored


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("order", {"comments": "typo"}),
        ("order", {"status": "delivered"}),
        ("order", {"total": {"amount": "NaN", "currency": "RUB"}}),
        ("order", {"total": {"amount": "Infinity", "currency": "RUB"}}),
        ("order", {"total": {"amount": "1", "currency": "rub"}}),
        ("order", {"total": {"amount": "1"}}),
        ("order", {"paid_total": {"amount": "1", "currency": "RUB"}}),
        ("order", {"records": [{"id": "7"}]}),
        ("order", {"records": [{"system": "crm"}]}),
        ("order", {"records": [{"system": "crm", "id": "7", "number": "8"}]}),
        ("payment", {"paid_at": "2026-10-05T10:00:00"}),
        ("payment", {"status": "accepted"}),
        ("counterparty", {"phones": "+7"}),
    ],
)
def test_what_is_not_of_the_contract_is_refused(kind: str, data: dict) -> None:
    with pytest.raises(ValidationError):
        flatten(kind, data)


def test_moments_are_utc_to_the_second() -> None:
    assert flatten("payment", {"paid_at": "2026-10-05T10:00:00.7+03:00"}) == {"paid_at": "2026-10-05T07:00:00Z"}


def test_every_kind_names_its_fields_with_the_derived_ones() -> None:
    assert field_names("order") >= {"customer.phone", "delivery.address", "status", *DERIVED["order"]}
    assert not {"records", "customer"} & field_names("order")
    assert "order" not in field_names("payment")


def test_the_amount_of_nothing_is_zero() -> None:
    assert money(None) == 0
    assert money({"amount": "12.30", "currency": "RUB"}) == Decimal("12.30")


texts = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
amounts = st.none() | st.builds(
    lambda cents: {"amount": str(Decimal(cents) / 100), "currency": "RUB"}, st.integers(0, 10**9)
)
ORDERS = st.fixed_dictionaries(
    {},
    optional={
        "number": texts,
        "status": st.none() | st.sampled_from(["new", "paid", "cancelled"]),
        "total": amounts,
        "customer": st.none() | st.fixed_dictionaries({}, optional={"name": texts, "phone": texts, "email": texts}),
        "delivery": st.none() | st.fixed_dictionaries({}, optional={"method": texts, "address": texts}),
        "comment": texts,
        "lines": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {"name": st.just("a"), "quantity": st.sampled_from(["1", "1.50"]), "price": st.just("2")}
            ),
            max_size=2,
        ),
    },
)


@given(ORDERS)
def test_nesting_what_was_flattened_says_the_same(data: dict) -> None:
    fields = flatten("order", data)
    assert flatten("order", nest(fields)) == fields
    assert fields.keys() <= field_names("order")


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_that_says_nothing_has_no_fields(kind: str) -> None:
    assert flat(kind, MODELS[kind]()) == {}


def test_values_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Money(amount=Decimal(1), currency="RUB").amount = Decimal(2)
