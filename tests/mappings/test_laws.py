"""Laws of round trips: what is written is what is read, and writing it again writes nothing."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.model import DERIVED, Money, OrderStatus, PaymentState, PaymentStatus, flatten
from bus.ports import Translator
from mappings import values
from mappings.bitrix24 import deal
from mappings.bitrix_cms import order, payment
from mappings.registry import Registry
from mappings.tables import CodeTables

# --- generated canonical values, as a delivery would bring them ---

_LETTERS = "абвгдеёАБВГ xyz0123456789-.,!?№«»()"
texts = st.text(alphabet=_LETTERS, min_size=1, max_size=60).map(str.strip).filter(bool)
comments = st.text(alphabet=_LETTERS + "\n", min_size=1, max_size=200).map(str.strip).filter(bool)
words = st.text(alphabet="абвАБВё-", min_size=1, max_size=12)
names = st.lists(words, min_size=1, max_size=4).map(" ".join)
phones = st.integers(0, 999_999_999).map(lambda tail: f"+79{tail:09}")
emails = st.builds(
    "{}@{}.ru".format, st.text("abcXYZ._", min_size=1, max_size=9), st.text("abc", min_size=1, max_size=9)
)
sums = st.builds(
    lambda cents, currency: Money(amount=Decimal(cents) / 100, currency=currency).model_dump(mode="json"),
    st.integers(0, 10**9),
    st.sampled_from(["RUB", "USD"]),
)
lines = st.lists(
    st.builds(
        lambda product, title, quantity, cents: values.line(
            product, title, Decimal(quantity) / 1000, Decimal(cents) / 100
        ),
        st.none() | st.integers(1, 9999).map(str) | words,
        texts,
        st.integers(1, 10**6),
        st.integers(0, 10**8),
    ),
    max_size=4,
)
RANGE = (datetime(1970, 1, 1), datetime(2199, 1, 1))  # noqa: DTZ001 - hypothesis adds the zone
times = st.datetimes(*RANGE, timezones=st.just(UTC)).map(values.moment)


def _optional(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


def _fields(of: dict[str, st.SearchStrategy]) -> st.SearchStrategy[dict]:
    """Some of the fields, as a delivery would bring them."""
    return st.fixed_dictionaries({}, optional=of)


DEAL = _fields(
    {
        "number": _optional(texts),
        "status": st.sampled_from([one.value for one in OrderStatus]),
        "total": sums,
        "lines": lines,
        "customer.name": _optional(names),
        "customer.phone": _optional(phones),
        "customer.email": _optional(emails),
        "delivery.method": _optional(texts),
        "delivery.address": _optional(texts),
        "comment": _optional(comments),
        "paid_total": sums,
        "payment_status": st.sampled_from([one.value for one in PaymentStatus]),
    }
)
ORDER = _fields(
    {
        "status": st.sampled_from([one.value for one in OrderStatus]),
        "customer.name": _optional(names),
        "customer.phone": _optional(phones),
        "customer.email": _optional(emails),
        "delivery.address": _optional(texts),
        "comment": _optional(comments),
    }
)
PAYMENT = _fields(
    {
        "amount": sums.map(lambda money: {**money, "currency": "RUB"}),
        "status": st.sampled_from([one.value for one in PaymentState if one != PaymentState.REFUND]),
        "paid_at": _optional(times),
        "external_number": _optional(texts),
    }
)


# --- tiny models of the other side: what a portal makes of a change ---

Raw = dict[str, Any]
UPDATED = "2026-11-20T10:00:00+03:00"


def _deal(present: Raw | None, change: Raw) -> Raw:
    """Bitrix24: fields of the item, rows replaced, the contact's name in two halves, one phone, one e-mail."""
    raw = deepcopy(present) or {
        "item": {"updatedTime": UPDATED, "categoryId": 0, "UF_CRM_ORDER_PRODUCTS": None},
        "rows": [],
        "contact": None,
        "order_ids": [],
    }
    raw["item"] |= change.get("item", {})
    if "rows" in change:
        raw["rows"] = [{"id": at, **row} for at, row in enumerate(change["rows"], 1)]
    if change.get("contact"):
        raw["contact"] = _contact(raw.get("contact") or {"name": None, "lastName": None, "fm": []}, change["contact"])
    if "order_id" in change:
        raw["order_ids"] = [*raw.get("order_ids", []), change["order_id"]]
    return raw


def _contact(contact: Raw, change: Raw) -> Raw:
    contact = dict(contact)
    if "name" in change:
        contact["name"], _, contact["lastName"] = (change["name"] or "").partition(" ")
    for key, kind in (("phone", "PHONE"), ("email", "EMAIL")):
        if key in change:
            others = [multi for multi in contact["fm"] if multi["typeId"] != kind]
            contact["fm"] = others + ([{"id": 1, "typeId": kind, "value": change[key]}] if change[key] else [])
    return contact


def _order(present: Raw | None, change: Raw) -> Raw:
    """The shop: fields, properties by code, a basket with a computed price and a counter of versions."""
    raw = deepcopy(present) or {"version": 0, "canceled": "N", "currency": "RUB", "dateUpdate": UPDATED}
    raw |= change.get("fields", {})
    properties = {one["code"]: one for one in raw.get("propertyValues", [])}
    properties |= {code: {"code": code, "value": value} for code, value in change.get("properties", {}).items()}
    raw["propertyValues"] = list(properties.values())
    if "basket" in change:
        raw["basketItems"] = [{"id": str(at), **item} for at, item in enumerate(change["basket"])]
    return raw | {"version": raw["version"] + bool(change)}


def _payment(present: Raw | None, change: Raw) -> Raw:
    """The shop: fields as they are given, times and sums as its REST writes them."""
    raw = deepcopy(present) or {"orderId": 236, "currency": "RUB", "isReturn": "N", "paid": "N", "payVoucherNum": ""}
    raw |= change.get("fields", {})
    return raw | ({"sum": f"{raw['sum']}00"} if "sum" in change.get("fields", {}) else {})


# --- the laws ---

#: A busy machine is not a broken law.
law = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

Apply = Callable[[Raw | None, Raw], Raw]


@pytest.fixture(scope="module")
def tables(shipped: Registry) -> dict[str, CodeTables]:
    return {name: shipped.tables(name, kind) for name, kind in (("crm", "bitrix24"), ("shop", "bitrix_cms"))}


def _holds(translator: Translator, tables: CodeTables, apply: Apply, first: Raw, then: Raw) -> None:
    """Create a record that says `first`, then make it say `then`: it says both, and asks for no further write."""
    created = apply(None, translator.from_canonical(first, None, tables))
    _says(translator, tables, created, first)
    then = {name: value for name, value in then.items() if name != "paid_at" or value}  # a date is never cleared
    changed = apply(created, translator.from_canonical(then, created, tables))
    _says(translator, tables, changed, first | then)
    assert translator.from_canonical(first | then, changed, tables) == {}


def _says(translator: Translator, tables: CodeTables, raw: Raw, fields: Raw) -> None:
    translation = translator.to_canonical(raw, tables)
    said = flatten(translator.KIND, translation.data)
    own = {name: value for name, value in fields.items() if name not in DERIVED[translator.KIND]}
    assert {name: said.get(name) for name in own} == own
    assert said.keys() <= translator.carries(tables)
    assert translation.held == ()


@law
@given(first=DEAL, then=DEAL)
def test_a_deal_says_what_it_was_told(tables, first, then):
    _holds(deal, tables["crm"], _deal, first, then)


@law
@given(first=ORDER, then=ORDER)
def test_a_shop_order_says_what_it_was_told(tables, first, then):
    _holds(order, tables["shop"], _order, first, then)


@law
@given(first=PAYMENT, then=PAYMENT)
def test_a_payment_says_what_it_was_told(tables, first, then):
    _holds(payment, tables["shop"], _payment, first, then)


@law
@given(fields=DEAL)
def test_a_deals_user_fields_show_what_the_payments_came_to(tables, fields):
    raw = _deal(None, deal.from_canonical(fields, None, tables["crm"]))
    paid = fields.get("paid_total")
    assert raw["item"].get("UF_CRM_PAID_TOTAL") == (paid and f"{paid['amount']}|{paid['currency']}")
    data = deal.to_canonical(raw, tables["crm"]).data
    assert not data.keys() & DERIVED["order"]


@law
@given(fields=DEAL)
def test_a_link_is_written_once(tables, fields):
    linked = fields | {"@records": {"shop": {"order": "236"}, "crm": {"deal": "759"}}}
    for translator, name, apply in ((deal, "crm", _deal), (order, "shop", _order)):
        raw = apply(None, translator.from_canonical(linked, None, tables[name]))
        assert [ref["id"] for ref in translator.to_canonical(raw, tables[name]).data["records"]] in (["236"], ["759"])
        assert translator.from_canonical(linked, raw, tables[name]) == {}
