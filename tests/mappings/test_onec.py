"""A 1C base's records and the canonical ones: samples, real files where they are at hand, laws of round trips."""

import json
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from pydantic import ValidationError

from bus.config import from_document
from bus.errors import ConfigError, UnknownCode
from bus.model import flatten
from mappings import values
from mappings.check import problems, shown
from mappings.onec import counterparty, order, payment
from mappings.registry import Registry

FOLDER = Path(__file__).parent / "golden" / "onec"
GOLDEN = sorted(FOLDER.glob("*.json"))
REAL = Path(__file__).parents[3] / "shared" / "data"
READ_AT = "2026-11-22T09:00:00+00:00"
NOTHING = "00000000-0000-0000-0000-000000000000"


def _onec(**more: str) -> dict[str, Any]:
    return {"kind": "onec", "url": "https://there.example/b/odata/", "user": "u", "password": "p", "settings": more}


@pytest.fixture(scope="module")
def registry() -> Registry:
    systems = {
        "shop": {"kind": "bitrix_cms", "url": "https://shop.example/rest/1/a/"},
        "onec": _onec(delivery_item="DELIVERY"),
        "unf": _onec(configuration="unf"),
        "bp": _onec(configuration="bp"),
    }
    return Registry(from_document({"systems": systems}, {}))


@pytest.fixture(scope="module")
def tables(registry):
    return registry.tables("onec", "onec")


def sample(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_sample_says_what_is_written_down(path, registry):
    one = json.loads(path.read_text(encoding="utf-8"))
    own, translator = registry.tables(one["system"], "onec"), registry.translator("onec", one["record"])
    assert shown(translator.to_canonical(one["raw"], own)) == one["canonical"]
    assert translator.from_canonical(one["fields"], one["raw"], own) == one["written"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_what_a_sample_says_is_canonical_and_carried_and_writing_it_back_writes_nothing(path, registry):
    one = json.loads(path.read_text(encoding="utf-8"))
    own, translator = registry.tables(one["system"], "onec"), registry.translator("onec", one["record"])
    fields = flatten(translator.KIND, one["canonical"]["data"])
    assert fields.keys() <= translator.carries(own)
    assert translator.from_canonical(fields, one["raw"], own) == {}


def test_what_is_shipped_for_1c_has_no_problem(registry):
    assert problems(registry, registry.config, FOLDER) == []


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"configuration": "ка"}, "settings.configuration: 'ка' is not known; write one of ut, erp, bp, unf"),
        ({"name.order.nomer": "Номер"}, "settings.name.order.nomer: there is no such thing to name; there are: .*uip"),
        ({"name.deal.number": "Номер"}, "settings.name.deal.number: there is no such thing to name; .*counterparty"),
    ],
)
def test_a_wrong_name_in_the_settings_is_named(said, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Registry(from_document({"systems": {"onec": _onec(**said)}}, {}))


def test_a_base_may_call_a_field_otherwise_or_not_keep_it():
    said = {"name.order.number": "НомерНаСайте", "name.order.comment": "-"}
    own = Registry(from_document({"systems": {"onec": _onec(**said)}}, {})).tables("onec", "onec")
    raw = sample("order_accepted")["raw"] | {"НомерНаСайте": "77"}
    data = order.to_canonical(raw, own).data
    assert data["number"] == "77"
    assert "comment" not in data
    assert "comment" not in order.carries(own)
    assert order.from_canonical({"number": "78", "comment": "x"}, raw, own) == {"fields": {"НомерНаСайте": "78"}}


@pytest.mark.parametrize(
    ("said", "wanted", "same"),
    [
        ("accepted", "paid", True),
        ("accepted", "shipped", True),
        ("new", "paid", False),
        ("accepted", "completed", False),
        ("completed", "paid", False),
        ("accepted", "cancelled", False),
        (None, "new", False),
        (None, "accepted", False),
    ],
)
def test_an_accepted_order_means_a_paid_one(said, wanted, same):
    assert order.means("status", said, wanted) is same


def test_a_new_order_that_is_paid_already_is_made_an_accepted_one(tables):
    assert order.from_canonical({"status": "paid"}, None, tables)["fields"] == {"Статус": "КОбеспечению"}


@pytest.mark.parametrize(("present", "written"), [(None, "НеСогласован"), ("", "НеСогласован"), ("КОтгрузке", None)])
def test_a_cancelled_order_without_a_status_gets_one_to_fall_back_on(present, written, tables):
    raw = None if present is None else sample("order_accepted")["raw"] | {"Статус": present}
    change = order.from_canonical({"status": "cancelled"}, raw, tables)
    assert change["cancelled"] is True
    assert change.get("fields", {}).get("Статус") == written


def test_a_cancelled_order_that_a_person_gives_other_rows_is_alive_and_says_so(tables):
    row = sample("order_accepted")["raw"]["Товары"][0]
    made = order.from_canonical({"status": "cancelled"}, None, tables)["fields"]
    for cancelled, said in ((True, "cancelled"), (False, "new")):
        raw = sample("order_accepted")["raw"] | {"Статус": "", **made, "Товары": [row | {"Отменено": cancelled}]}
        assert order.to_canonical(raw, tables).data["status"] == said


def test_a_status_for_which_a_base_has_no_code_is_named(registry):
    own = registry.tables("unf", "onec")
    with pytest.raises(UnknownCode, match="order_state: 'cancelled' has no mapping"):
        order.from_canonical({"status": "cancelled"}, sample("order_of_unf")["raw"], own)


LINE = {"product": "Ч-1", "name": "Чайник", "quantity": "2", "price": "10.00"}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"name": "Чайник «Слон»"}, True),
        ({"product": None}, True),
        ({"quantity": "2.000", "price": "10"}, True),
        ({"product": "Ч-2", "name": "Чашка"}, False),
        ({"quantity": "3"}, False),
        ({"price": "10.01"}, False),
    ],
)
def test_rows_mean_the_same_goods_by_either_of_their_names(other, same):
    assert order.means("lines", [LINE], [LINE | other]) is same
    assert not order.means("lines", [LINE], [LINE | other, LINE])


def test_a_creation_says_for_whom_the_order_is_and_an_update_does_not(tables):
    fields = {"customer.company": "Ромашка", "customer.inn": "7707083893", "customer.kpp": None}
    assert order.from_canonical(fields, None, tables)["buyer"] == {"company": "Ромашка", "inn": "7707083893"}
    assert order.from_canonical(fields, sample("order_of_a_person")["raw"], tables) == {}


@pytest.mark.parametrize(
    ("currency", "said"),
    [
        ({"Description": "руб.", "Code": "643"}, "RUB"),
        ({"Description": "Рубль наш", "Code": "643"}, "RUB"),
        ({"Description": "USD", "Code": ""}, "USD"),
        ({"Description": "Тугрик", "Code": "496"}, "held: currencies Тугрик"),
        ({}, "held: currencies 51ed67a6-7220-11df-b336-0011955cba6b"),
    ],
)
def test_a_currency_is_known_by_its_name_or_number_and_never_guessed(tables, currency, said):
    raw = sample("order_accepted")["raw"]
    key = raw["Валюта_Key"]
    told = order.to_canonical(raw | {"@related": {"currencies": {key: currency}, "items": {}}}, tables)
    held = [f"held: {one.table} {one.code}" for one in told.held]
    assert [told.data["total"]["currency"]] == [said] if "total" in told.data else held == [said]


def test_a_record_without_the_time_of_reading_is_refused(tables):
    with pytest.raises(ValidationError, match="read_at"):
        order.to_canonical({"Ref_Key": NOTHING}, tables)


def test_a_refund_is_made_by_a_document_of_its_own(tables):
    fields = {"status": "refund", "amount": {"amount": "5.00", "currency": "RUB"}, "external_number": "7"}
    made = payment.from_canonical(fields, None, tables)
    assert made == {
        "fields": {"НомерПоДаннымБанка": "7"},
        "amount": "5.00",
        "currency": "RUB",
        "post": True,
        "thing": "refund",
    }


def test_an_expected_payment_is_not_to_be_posted_and_has_no_bank_day(tables):
    at = "2026-11-20T09:30:00Z"
    made = payment.from_canonical({"status": "pending", "paid_at": at}, None, tables)
    assert made == {
        "fields": {"Date": "2026-11-20T12:30:00", "ДатаВходящегоДокумента": "2026-11-20T12:30:00"},
        "thing": "receipt",
    }


def test_money_of_a_cash_order_is_told_from_the_same_money_of_a_bank_by_nothing(tables):
    raw = sample("payment_of_a_split_document")["raw"] | {"@thing": "cash"}
    data = payment.to_canonical(raw, tables).data
    assert (data["status"], data["amount"]["amount"]) == ("paid", "1000.50")
    assert "records" not in data


def test_a_payment_that_was_another_orders_before_names_what_it_was(tables):
    raw = sample("payment_of_a_split_document")["raw"] | {"@thing": "cash", "@was": "document:order"}
    (was,) = payment.to_canonical(raw, tables).data["records"]
    assert was == {"system": tables.name("links", "self"), "type": "payment", "id": "document:order"}


# --- real files, where they are at hand ---


def rows_of(feed: Path, set_: str) -> list[dict[str, Any]]:
    """Objects of a SelectChanges feed, as the same interface writes them in JSON."""
    entries = [one for one in etree.parse(feed).iter() if _name(one) == "entry"]
    return [
        _row(one) for one in entries if any(f"/{set_}(" in (part.text or "") for part in one if _name(part) == "id")
    ]


def _row(entry: Any) -> dict[str, Any]:
    properties = next(one for one in entry.iter() if _name(one) == "properties")
    return {_name(one): _value(one) for one in properties} | {"@read_at": READ_AT}


def _value(element: Any) -> Any:
    kind = next((value for name, value in element.attrib.items() if name.endswith("type")), "")
    if kind.startswith("Collection"):
        return [{_name(cell): _value(cell) for cell in row} for row in element]
    said = element.text or ""
    return {"true": True, "false": False}.get(said, said)


def _name(element: Any) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


real = pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not at hand")


@real
@pytest.mark.parametrize("number", [1, 2])
def test_real_orders_are_read_whole(tables, number):
    found = rows_of(REAL / f"odata_selectchanges_zakaz_klienta_{number}.xml", "Document_ЗаказКлиента")
    assert found
    for raw in found:
        currency = raw["Валюта_Key"]
        raw["@related"] = {"currencies": {currency: {"Code": "643", "Description": "RUB"}}, "items": {}}
        told = order.to_canonical(raw, tables)
        said = flatten("order", told.data)
        assert told.held == ()
        total = sum(Decimal(one["quantity"]) * Decimal(one["price"]) for one in said["lines"])
        assert abs(Decimal(said["total"]["amount"]) - total) < Decimal("0.01") * len(said["lines"]) * 10
        assert {one["system"] for one in told.data["records"]} == {"uip", "onec"}
        assert order.from_canonical(said, raw, tables) == {}


@real
def test_real_counterparties_are_read_and_written_back_without_a_change(tables):
    found = rows_of(REAL / "odata_selectchanges_kontragenty.xml", "Catalog_Контрагенты")
    assert len(found) == 5
    kinds = {"1d78f391-c180-11e4-a7a9-000d884fd00d": "legal_address", "1d78f393-c180-11e4-a7a9-000d884fd00d": "address"}
    said = [flatten("counterparty", counterparty.to_canonical(raw | {"@kinds": kinds}, tables).data) for raw in found]
    assert {one["type"] for one in said} == {"legal_entity"}
    assert [one["inn"] for one in said][:2] == ["4825005381", "7705260674"]
    assert sum(bool(one["address"]) for one in said) >= 2
    for raw, fields in zip(found, said, strict=True):
        assert counterparty.from_canonical(fields, raw | {"@kinds": kinds}, tables) == {}
        moved = counterparty.from_canonical({"phones": ["+74951112233"]}, raw | {"@kinds": kinds}, tables)
        left = [row for row in raw["КонтактнаяИнформация"] if row["Тип"] != "Телефон"]
        assert moved["contacts"][: len(left)] == left


# --- laws ---

_LETTERS = "абвгдеёАБВГ xyz0123456789-.,!?№«»()"
texts = st.text(alphabet=_LETTERS, min_size=1, max_size=40).map(str.strip).filter(bool)
phones = st.lists(st.integers(0, 999_999_999).map(lambda tail: f"+79{tail:09}"), max_size=3, unique=True)
emails = st.lists(st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.ru", fullmatch=True), max_size=3, unique=True)
digits = st.text(alphabet="0123456789", min_size=4, max_size=12)
PARTY = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["legal_entity", "sole_trader", "person"]),
        "name": texts,
        "legal_name": st.none() | texts,
        "inn": st.none() | digits,
        "kpp": st.none() | digits,
        "ogrn": st.none() | digits,
        "okpo": st.none() | digits,
        "phones": phones,
        "emails": emails,
        "legal_address": st.none() | texts,
        "address": st.none() | texts,
    },
)
lines = st.lists(
    st.builds(
        lambda article, quantity, cents: values.line(
            f"A-{article}", f"Товар {article}", Decimal(quantity) / 1000, Decimal(cents) / 100
        ),
        st.integers(1, 5),
        st.integers(1, 10**5),
        st.integers(0, 10**7),
    ),
    min_size=1,
    max_size=4,
)
ORDER = st.fixed_dictionaries(
    {},
    optional={
        "number": st.none() | texts.map(lambda text: text[:30].strip()).filter(bool),
        "status": st.sampled_from(["new", "accepted", "completed"]),
        "lines": lines,
        "comment": st.none() | texts,
        "delivery.address": st.none() | texts,
    },
)
KINDS = {
    f"{at}0000000-0000-11e4-a7a9-000d884fd00d": kind
    for at, kind in enumerate(("phone", "email", "legal_address", "address"), 1)
}
law = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def _party(present: dict[str, Any] | None, change: dict[str, Any]) -> dict[str, Any]:
    """A base: fields as they are given, the table of contacts replaced whole, kinds by their keys."""
    raw = deepcopy(present) or {"Ref_Key": NOTHING, "@read_at": READ_AT, "@kinds": KINDS, "КонтактнаяИнформация": []}
    raw |= change.get("fields", {})
    if "contacts" in change:
        keys = {kind: key for key, kind in KINDS.items()}
        raw["КонтактнаяИнформация"] = [
            {**{name: cell for name, cell in row.items() if name != "@kind"}}
            | ({"Вид_Key": keys[row["@kind"]]} if "@kind" in row else {})
            for row in change["contacts"]
        ]
    return raw


def _order(present: dict[str, Any] | None, change: dict[str, Any]) -> dict[str, Any]:
    """A base: fields as they are given, rows by items that are called by their articles."""
    raw = deepcopy(present) or {"Ref_Key": NOTHING, "@read_at": READ_AT, "@related": {"items": {}}, "Товары": []}
    raw |= change.get("fields", {})
    if "goods" in change:
        items = {f"0000000{line['product'][-1]}-0000-11e4-a7a9-000d884fd00d": line for line in change["goods"]}
        raw["@related"]["items"] |= {
            key: {"name": line["name"], "article": line["product"]} for key, line in items.items()
        }
        by_article = {line["product"]: key for key, line in items.items()}
        raw["Товары"] = [
            {"Номенклатура_Key": by_article[line["product"]], "Количество": line["quantity"], "Цена": line["price"]}
            for line in change["goods"]
        ]
    return raw


@law
@given(first=PARTY, then=PARTY)
def test_a_counterparty_says_what_it_was_told(registry, first, then):
    own = registry.tables("onec", "onec")
    made = _party(None, counterparty.from_canonical(first, None, own))
    changed = _party(made, counterparty.from_canonical(then, made, own))
    said = flatten("counterparty", counterparty.to_canonical(changed, own).data)
    for name, value in (first | then).items():
        assert counterparty.means(name, said.get(name), value), name
    assert counterparty.from_canonical(first | then, changed, own) == {}


@law
@given(first=ORDER, then=ORDER)
def test_an_order_says_what_it_was_told(registry, first, then):
    own = registry.tables("onec", "onec")
    made = _order(None, order.from_canonical(first, None, own))
    changed = _order(made, order.from_canonical(then, made, own))
    said = flatten("order", order.to_canonical(changed, own).data)
    for name, value in (first | then).items():
        assert order.means(name, said.get(name), value), name
    assert order.from_canonical(first | then, changed, own) == {}


@given(at=st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)))  # noqa: DTZ001 - times of a base have no zone
def test_a_time_of_the_base_is_one_moment_both_ways(registry, at):
    from mappings.onec import reading

    own = registry.tables("onec", "onec")
    moment = reading.moment(at.replace(microsecond=0), own)
    assert reading.moment(datetime.fromisoformat(reading.native(moment, own)), own) == moment
