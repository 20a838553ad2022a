import inspect
import re
from datetime import UTC, datetime
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from bus.config import from_document
from bus.envelope import bad_input
from bus.errors import ConfigError, UnknownCode
from bus.systems import commerceml_shape as shape
from bus.systems.commerceml import documents
from mappings.commerceml import counterparty, names, order, payment
from mappings.registry import Registry
from mappings.tables import CodeTables

READ_AT = "2026-10-09T12:00:00+00:00"
GUID = "0f6a51f2-2a4e-11ee-9c1a-0050568b35ac"
ORIGIN = "3b0f7c1e-95a2-4e4b-9a55-1f0d7c7a9e01"


def tables_of(zone: str = "Europe/Moscow", **settings: str) -> CodeTables:
    onec = {"kind": "commerceml", "user": "1c", "password": "secret", "zone": zone, "settings": settings}
    crm = {"kind": "bitrix24", "url": "https://crm.example/rest/1/a/", "application_token": "t"}
    books = {"kind": "onec", "url": "https://1c.example/odata/standard.odata/", "user": "bus", "password": "secret"}
    systems = {"crm": crm, "onec": onec, "books": books}
    return Registry(from_document({"systems": systems}, {})).tables("onec", "commerceml")


TABLES = tables_of()


def raw_order(profile: str = "ut", requisites: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "@read_at": READ_AT,
        "@profile": profile,
        "Ид": GUID,
        "Номер": "10057",
        "Валюта": "RUB",
        "Сумма": "100",
        "ЗначенияРеквизитов": requisites or {},
        **more,
    }


def data_of(raw: dict[str, Any], tables: CodeTables = TABLES) -> dict[str, Any]:
    return order.to_canonical(raw, tables).data


# --- orders: flags and statuses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requisites", "status"),
    [
        ({}, None),
        ({"Отменен": "true", "Статус заказа": "Принят"}, "cancelled"),
        ({"Отменен": "false", "Статус заказа": "Принят"}, "accepted"),
        ({"Статуса заказа ИД": "Выполнен", "Статус заказа": "что-то своё"}, "completed"),
        ({"Статуса заказа ИД": "S-7", "Статус заказа": "Принят"}, "accepted"),
        ({"СтатусЗаказа": "Доставлен"}, "completed"),
        ({"Отгружен": "true", "СтатусЗаказа": "Подтвержден"}, "shipped"),
        ({"Отгружен": "true", "СтатусЗаказа": "Доставлен"}, "completed"),
        ({"Отгружен": "false", "Номер отгрузки по 1С": "1"}, None),
        ({"Проведен": "true", "Номер отгрузки по 1С": "ТД-7"}, "shipped"),
        ({"Проведен": "false", "Номер отгрузки по 1С": "ТД-7"}, None),
    ],
)
def test_a_status_is_what_1c_says_and_flags_outweigh_what_is_before_them(requisites, status):
    assert data_of(raw_order(requisites=requisites)).get("status") == status


def test_a_status_nobody_mapped_is_held_and_the_rest_is_said():
    translation = order.to_canonical(raw_order(requisites={"Статус заказа": "В пути"}), TABLES)
    assert [(one.field, one.table, one.code) for one in translation.held] == [("status", "order_status", "В пути")]
    assert "status" not in translation.data
    assert translation.data["number"] == "10057"


@pytest.mark.parametrize(
    ("profile", "requisites", "settled"),
    [
        ("ut", {}, False),
        ("ut", {"Номер оплаты по 1С": "ТД-11"}, True),
        ("ut", {"Дата оплаты по 1С": "2026-10-06T09:00:00"}, True),
        ("unf", {"Оплачен": "true"}, True),
        ("unf", {"Оплачен": "false", "Номер оплаты по 1С": "ТД-11"}, False),
        ("unf", {}, None),
        ("bus", {"Дата оплаты по 1С": "2026-10-06T09:00:00"}, True),
        ("bus", {}, None),
    ],
)
def test_that_an_order_is_paid_in_full_is_said_as_each_profile_says_it(profile, requisites, settled):
    assert data_of(raw_order(profile, requisites)).get("settled") is settled


# --- orders: sums and lines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code"),
    [("643", "RUB"), ("руб", "RUB"), ("руб.", "RUB"), ("Руб.", "RUB"), ("RUR", "RUB"), ("usd", "USD"), ("978", "EUR")],
)
def test_currencies_are_known_by_number_and_by_any_spelling_of_their_name(said, code):
    assert data_of(raw_order(Валюта=said))["total"] == {"amount": "100.00", "currency": code}


def test_a_currency_nobody_mapped_is_held():
    translation = order.to_canonical(raw_order(Валюта="999"), TABLES)
    assert "total" not in translation.data
    assert [(one.field, one.table, one.code) for one in translation.held] == [("total", "currencies", "999")]


@pytest.mark.parametrize(
    ("said", "amount"),
    [("1 234,50", "1234.50"), ("1\u00a0234,50", "1234.50"), ("1\u202f234.5", "1234.50"), ("231.7400", "231.74")],
)
def test_sums_are_read_in_any_spelling(said, amount):
    assert data_of(raw_order(Сумма=said))["total"]["amount"] == amount


def test_a_sum_that_is_none_names_its_element_and_not_its_value():
    with pytest.raises(ValidationError) as refused:
        data_of(raw_order(Сумма="сто"))
    assert str(bad_input(refused.value)) == "Сумма: not a number"


INCLUDED = {"УчтеноВСумме": "true"}
ON_TOP = {"УчтеноВСумме": "false"}


@pytest.mark.parametrize(
    ("line", "price"),
    [
        ({"ЦенаЗаЕдиницу": "100", "Количество": "3", "Сумма": "300"}, "100.00"),
        ({"Цена": "100", "Количество": "3", "Сумма": "300"}, "100.00"),
        ({"ЦенаЗаЕдиницу": "100", "Количество": "3"}, "100.00"),
        ({"Количество": "3", "Сумма": "100"}, "33.33"),
        ({"ЦенаЗаЕдиницу": "33.333", "Количество": "3", "Сумма": "100"}, "33.33"),
        ({"ЦенаЗаЕдиницу": "100", "Количество": "2", "Сумма": "180", "Скидки": [{"Сумма": "20", **INCLUDED}]}, "90.00"),
        ({"ЦенаЗаЕдиницу": "90", "Количество": "2", "Сумма": "180", "Скидки": [{"Сумма": "20", **INCLUDED}]}, "90.00"),
        ({"ЦенаЗаЕдиницу": "100", "Количество": "2", "Сумма": "200", "Скидки": [{"Сумма": "20", **ON_TOP}]}, "90.00"),
        ({"ЦенаЗаЕдиницу": "100", "Количество": "2", "Сумма": "200", "Скидки": [{"Сумма": "20"}]}, "90.00"),
        ({"ЦенаЗаЕдиницу": "100", "Количество": "2", "Скидки": [{"Процент": "10"}]}, "90.00"),
        ({"ЦенаЗаЕдиницу": "100", "Количество": "2", "Сумма": "200", "Налоги": [{"Сумма": "40", **ON_TOP}]}, "120.00"),
        (
            {"ЦенаЗаЕдиницу": "100", "Количество": "2", "Сумма": "200", "Налоги": [{"Сумма": "33", **INCLUDED}]},
            "100.00",
        ),
        ({"ЦенаЗаЕдиницу": "100", "Количество": "2", "Сумма": "200", "Налоги": [{"Сумма": "33"}]}, "100.00"),
        ({"ЦенаЗаЕдиницу": "100", "Количество": "0", "Сумма": "0"}, "100.00"),
        ({"ЦенаЗаЕдиницу": "100"}, "100.00"),
        ({}, "0.00"),
    ],
)
def test_a_line_costs_what_is_really_paid_for_a_piece(line, price):
    assert data_of(raw_order(Товары=[{"Наименование": "Чайник", **line}]))["lines"][0]["price"] == price


@pytest.mark.parametrize(
    ("by", "line", "product"),
    [
        ("Ид", {"Ид": GUID, "Артикул": "Ч-1"}, GUID),
        ("Ид", {"Ид": f"{GUID}#{GUID}"}, f"{GUID}#{GUID}"),
        ("Ид", {"Артикул": "Ч-1"}, "Ч-1"),
        ("Ид", {"Ид": names.invented("Чайник")}, None),
        ("Артикул", {"Ид": GUID, "Артикул": "Ч-1"}, "Ч-1"),
        ("Артикул", {"Ид": GUID}, None),
    ],
)
def test_a_product_is_known_by_what_the_tables_say(by, line, product, tmp_path):
    (tmp_path / "tables.yaml").write_text(f"commerceml: {{names: {{lines: {{product: {by}}}}}}}", encoding="utf-8")
    document = {"systems": {"onec": {"kind": "commerceml", "user": "u", "password": "p"}}, "mappings": str(tmp_path)}
    tables = Registry(from_document(document, {})).tables("onec", "commerceml")
    raw = raw_order(Товары=[{"Наименование": "Чайник", **line}])
    assert data_of(raw, tables)["lines"][0]["product"] == product


def test_a_delivery_is_no_line_of_goods_by_its_id_or_its_name():
    goods = [{"Ид": "ORDER_DELIVERY", "Наименование": "Курьер"}, {"Ид": GUID, "Наименование": "Доставка"}]
    assert "lines" not in data_of(raw_order(Товары=goods))


def test_lines_that_differ_only_by_1cs_own_ids_are_the_same():
    ours = [{"product": "437", "name": "Чайник", "quantity": "1", "price": "10.00"}]
    theirs = [{"product": GUID, "name": "Чайник", "quantity": "1.000", "price": "10"}]
    assert order.means("lines", theirs, ours)
    assert not order.means("lines", [{**theirs[0], "price": "11.00"}], ours)
    assert not order.means("lines", theirs, [])


# --- orders: identities -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "records", "number"),
    [
        (raw_order(), [{"system": "onec", "type": "guid", "id": GUID}], "10057"),
        (raw_order(Ид=f"bus-{ORIGIN}", profile="bus"), [{"system": "bus", "type": "order", "id": ORIGIN}], "10057"),
        (raw_order("bus", Номер="Т-1", Номер1С="Т-1", Дата1С="2026-10-05"), [("onec", "2026:Т-1")], None),
        (raw_order("bus", Номер="L3", Номер1С="Т-1", Дата1С="2026-10-05"), [("onec", "2026:Т-1")], "L3"),
        (raw_order(Номер="C759"), [{"system": "onec", "type": "guid", "id": GUID}], None),
        (raw_order(Номер="B3b0f7c1e95"), [{"system": "onec", "type": "guid", "id": GUID}], None),
        (raw_order(Номер="C-759"), [{"system": "onec", "type": "guid", "id": GUID}], "C-759"),
    ],
)
def test_an_order_is_tied_to_whatever_else_it_is_known_by(raw, records, number):
    data = data_of(raw)
    plain = [one if isinstance(one, dict) else {"system": one[0], "number": one[1]} for one in records]
    assert (data["records"], data.get("number")) == (plain, number)


def test_1cs_number_is_of_the_year_by_1cs_own_clock():
    said = {"Номер по 1С": "ТД-1", "Дата по 1С": "2026-01-01T01:00:00"}
    assert {"system": "onec", "number": "2026:ТД-1"} in data_of(raw_order(requisites=said))["records"]


def test_1cs_number_belongs_to_the_base_where_that_is_connected_too():
    said = {"Номер по 1С": "ТД-1", "Дата по 1С": "2026-10-01"}
    found = data_of(raw_order(requisites=said), tables_of(base="books"))["records"]
    assert {"system": "books", "number": "2026:ТД-1"} in found


@pytest.mark.parametrize(
    ("day", "clock", "at"),
    [
        ("2026-10-05", "11:58:03", datetime(2026, 10, 5, 8, 58, 3, tzinfo=UTC)),
        ("2026-10-05", None, datetime(2026, 10, 4, 21, tzinfo=UTC)),
        ("2026-10-05T12:00:00", "11:00:00", datetime(2026, 10, 5, 9, tzinfo=UTC)),
        ("05.10.2026 9:30", None, datetime(2026, 10, 5, 6, 30, tzinfo=UTC)),
        ("05.10.2026", "9:30", datetime(2026, 10, 5, 6, 30, tzinfo=UTC)),
        ("0001-01-01", "00:00:00", None),
        ("2026-02-30", None, None),
        ("вчера", None, None),
        (None, "10:00", None),
    ],
)
def test_a_time_is_by_1cs_own_clock(day, clock, at):
    assert names.moment(day, TABLES, clock) == at


# --- counterparties ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("party", "kind"),
    [
        ({"ОфициальноеНаименование": "ООО Ромашка", "ИНН": "7707083893"}, "legal_entity"),
        ({"ОфициальноеНаименование": ""}, "legal_entity"),
        ({"ОфициальноеНаименование": "ИП Ильин", "ИНН": "500100732259"}, "sole_trader"),
        ({"ПолноеНаименование": "ИП Ильин П. И.", "ИНН": "500100732259"}, "sole_trader"),
        ({"ПолноеНаименование": "Ильин Пётр Ильич", "ИНН": "500100732259"}, "person"),
        ({"ПолноеНаименование": "Ильин Пётр Ильич"}, "person"),
        ({"Наименование": "Ильин"}, None),
    ],
)
def test_what_a_counterparty_is_by_law_shows_in_its_elements(party, kind):
    raw = {"@read_at": READ_AT, "Ид": GUID, **party}
    assert counterparty.to_canonical(raw, TABLES).data.get("type") == kind


@pytest.mark.parametrize(
    ("party", "said"),
    [
        (
            {"ОфициальноеНаименование": 'ООО "Ромашка"', "Наименование": "Ромашка", "ИНН": "7707083893"},
            {"company": 'ООО "Ромашка"', "inn": "7707083893"},
        ),
        (
            {"ОфициальноеНаименование": "ООО Ромашка", "Представители": [{"Наименование": "<>"}]},
            {"company": "ООО Ромашка"},
        ),
        (
            {
                "ОфициальноеНаименование": "ООО Ромашка",
                "Представители": [{"Наименование": "<>"}, {"Контрагент": {"Наименование": "Анна  Р."}}],
            },
            {"company": "ООО Ромашка", "name": "Анна Р."},
        ),
        ({"ПолноеНаименование": "Пётр Ильин"}, {"name": "Пётр Ильин"}),
        ({"ПолноеНаименование": "", "Наименование": ""}, {}),
        (
            {
                "ПолноеНаименование": "Пётр",
                "Контакты": [
                    {"Тип": "Мобильный телефон", "Значение": "8 960 786 50 46"},
                    {"Тип": "Почта", "Значение": "A@Example.ru"},
                    {"Тип": "Почтовый адрес", "Значение": "Тверь"},
                ],
            },
            {"name": "Пётр", "phone": "+79607865046", "email": "A@example.ru"},
        ),
    ],
)
def test_a_customer_is_a_company_with_its_requisites_or_a_person(party, said):
    assert data_of(raw_order(Контрагенты=[party])).get("customer", {}) == said


def test_the_sellers_side_of_an_order_is_no_customer_and_no_counterparty():
    own = {"Ид": "1", "ИНН": "7707083893", "ОфициальноеНаименование": "Мы", "Роль": "Продавец"}
    buyer = {"Ид": "2", "ИНН": "500100732259", "ПолноеНаименование": "Пётр", "Роль": "Покупатель"}
    text = "<Документ><Ид>1</Ид><ХозОперация>Заказ товара</ХозОперация></Документ>"
    (read,) = documents([f"<КоммерческаяИнформация>{text}</КоммерческаяИнформация>".encode()])
    assert read.record is not None
    read.raw.update({"@read_at": READ_AT, "Контрагенты": [own, buyer, {"Ид": "3", "ПолноеНаименование": "Без ИНН"}]})
    assert [one.id for one in counterparty.parts(read.record)] == ["2"]
    assert data_of(read.raw)["customer"] == {"name": "Пётр", "inn": "500100732259"}


def test_a_counterparty_is_never_written():
    raw = {"@read_at": READ_AT, "Ид": GUID, "Наименование": "Ромашка"}
    assert counterparty.writes(TABLES) == frozenset()
    assert not counterparty.holds({"name": "Ромашка"})
    assert counterparty.from_canonical({"name": "Ромашка"}, raw, TABLES) == {}
    assert counterparty.from_canonical({"name": "Лютик"}, raw, TABLES)["Наименование"] == "Лютик"


# --- payments ---------------------------------------------------------------------------------------------------------


def raw_payment(requisites: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "@read_at": READ_AT,
        "Ид": GUID,
        "Номер": "НФ-5",
        "Дата": "2026-10-06",
        "Время": "10:00:00",
        "ХозОперация": "Выплата безналичных денег",
        "Валюта": "руб",
        "Сумма": "500",
        "ЗначенияРеквизитов": requisites or {},
        **more,
    }


@pytest.mark.parametrize(
    ("operation", "requisites", "status"),
    [
        ("Выплата безналичных денег", {}, "paid"),
        ("Выплата наличных денег", {"Оплачен": "true"}, "paid"),
        ("Эквайринговая операция", {"Оплачен": "false"}, "pending"),
        ("Выплата безналичных денег", {"Проведен": "false"}, "pending"),
        ("Выплата безналичных денег", {"Проведен": "true", "Отменен": "true"}, "pending"),
        ("Возврат безналичных денег", {}, "refund"),
        ("Возврат наличных денег", {"Проведен": "true", "ПризнакВозврата": "true"}, "refund"),
        ("Выплата безналичных денег", {"ПризнакВозврата": "true"}, "refunded"),
        ("Выплата безналичных денег", {"ПризнакВозврата": "true", "Оплачен": "false"}, "refunded"),
        ("Выплата безналичных денег", {"ПризнакВозврата": "false"}, "paid"),
    ],
)
def test_a_payment_is_what_its_document_and_flags_say(operation, requisites, status):
    raw = raw_payment(requisites, ХозОперация=operation)
    assert payment.to_canonical(raw, TABLES).data["status"] == status


@pytest.mark.parametrize("status", ["pending", "paid", "refunded", "refund"])
def test_a_payment_that_is_given_out_comes_back_as_what_it_was(status):
    given = payment.from_canonical({"@origin": ORIGIN, "status": status}, None, TABLES)
    assert payment.to_canonical(given | {"@read_at": READ_AT}, TABLES).data["status"] == status


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (raw_payment(**{"@order": "10057"}), {"system": "onec", "type": "order", "id": "10057"}),
        (raw_payment(Основание=f"bus-{ORIGIN}"), {"system": "bus", "type": "order", "id": ORIGIN}),
        (raw_payment(Основание=GUID), {"system": "onec", "type": "order", "id": GUID}),
        (raw_payment(), None),
    ],
)
def test_a_payment_names_its_order(raw, expected):
    assert payment.to_canonical(raw, TABLES).data.get("order") == expected


def test_only_a_cashless_payment_with_the_banks_number_is_known_by_its_money():
    said = {"Номер платежного документа": "000417", "Дата оплаты": "2026-10-06T23:30:00"}
    known = payment.to_canonical(raw_payment(said, **{"@payer": "7707083893"}), TABLES).data["records"]
    assert known == [{"system": "money", "type": "payment", "id": "2026-10-06:417:500.00:7707083893"}]
    cash = raw_payment(said, ХозОперация="Выплата наличных денег")
    assert "records" not in payment.to_canonical(cash, TABLES).data
    assert "records" not in payment.to_canonical(raw_payment({"Номер оплаты по 1С": "НФ-5"}), TABLES).data


def test_an_unknown_currency_holds_the_amount():
    translation = payment.to_canonical(raw_payment(Валюта="999"), TABLES)
    assert [(one.field, one.table) for one in translation.held] == [("amount", "currencies")]


# --- what is told, and to whom ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, False),
        ({"profile": "ut"}, False),
        ({"profile": "ut", "updates": "yes"}, True),
        ({"profile": "auto", "updates": "yes"}, True),
        ({"profile": "unf"}, True),
        ({"profile": "bus"}, True),
        ({"profile": "bus", "updates": "no"}, False),
    ],
)
def test_an_order_that_1c_has_is_told_of_changes_where_1c_takes_them(settings, told):
    tables = tables_of(**settings)
    expected = order.carries(tables) - {"settled", "number"} if told else frozenset()
    assert order.writes(tables) == expected


@pytest.mark.parametrize(
    ("settings", "say"),
    [
        ({"profile": "УТ"}, "systems.onec.settings.profile: write one of auto, ut, unf, bus"),
        ({"updates": "on"}, "systems.onec.settings.updates: write one of yes, no"),
    ],
)
def test_a_manner_of_speaking_that_nobody_knows_is_refused(settings, say):
    with pytest.raises(ConfigError, match=say):
        tables_of(**settings)


@pytest.mark.parametrize(
    ("fields", "number", "own"),
    [
        ({"number": "10057", "@origin": ORIGIN}, "10057", f"bus-{ORIGIN}"),
        ({"@origin": ORIGIN, "@records": {"crm": {"deal": "759"}}}, "C759", f"bus-{ORIGIN}"),
        ({"@origin": ORIGIN}, "B3b0f7c1e95", f"bus-{ORIGIN}"),
        ({"number": "10057", "@origin": ORIGIN, "@id": "C759"}, "C759", f"bus-{ORIGIN}"),
        ({"number": "10057", "@origin": ORIGIN, "@id": GUID}, "10057", GUID),
    ],
)
def test_an_order_is_given_under_a_number_that_never_changes(fields, number, own):
    given = order.from_canonical(fields, None, TABLES)
    assert (given["Номер"], given["Ид"]) == (number, own)


def test_a_status_without_a_word_at_1c_is_not_guessed(tmp_path):
    off = "commerceml: {codes: {order_status: {Выполнен: ~, Доставлен: ~}}}"
    (tmp_path / "tables.yaml").write_text(off, encoding="utf-8")
    document = {"systems": {"onec": {"kind": "commerceml", "user": "u", "password": "p"}}, "mappings": str(tmp_path)}
    tables = Registry(from_document(document, {})).tables("onec", "commerceml")
    with pytest.raises(UnknownCode, match="completed"):
        order.from_canonical({"status": "completed", "@origin": ORIGIN}, None, tables)


def test_a_person_without_requisites_gets_the_same_id_in_each_order_and_it_tells_nothing():
    fields = {"customer.name": "Пётр Ильин", "customer.phone": "+79991234567", "@origin": ORIGIN}
    one = order.from_canonical(fields | {"number": "1"}, None, TABLES)["Контрагенты"][0]
    other = order.from_canonical(fields | {"number": "2", "customer.name": "Петя"}, None, TABLES)["Контрагенты"][0]
    assert one["Ид"] == other["Ид"]
    assert "9991234567" not in one["Ид"]


@pytest.mark.parametrize(
    ("customer", "element"),
    [
        ({"company": "ООО Ромашка", "inn": "7707083893"}, "ОфициальноеНаименование"),
        ({"company": "ИП Ильин", "inn": "500100732259"}, "ПолноеНаименование"),
        ({"company": "Ромашка"}, "ОфициальноеНаименование"),
        ({"name": "Пётр"}, "ПолноеНаименование"),
        ({}, "ПолноеНаименование"),
    ],
)
def test_a_legal_entity_is_marked_as_1c_knows_it(customer, element):
    fields = {f"customer.{name}": value for name, value in customer.items()} | {"number": "1", "@origin": ORIGIN}
    party = order.from_canonical(fields, None, TABLES)["Контрагенты"][0]
    assert element in party
    assert len({"ОфициальноеНаименование", "ПолноеНаименование"} & party.keys()) == 1


def test_a_number_that_cannot_be_an_inn_or_kpp_is_not_given():
    fields = {"customer.company": "Ромашка", "customer.inn": "123", "customer.kpp": "77", "@origin": ORIGIN}
    party = order.from_canonical(fields, None, TABLES)["Контрагенты"][0]
    assert not {"ИНН", "КПП"} & party.keys()


@pytest.mark.parametrize(("total", "delivery"), [("1500.00", ["300.00"]), ("1200.00", []), ("1200.99", [])])
def test_what_a_total_has_beyond_its_lines_is_the_delivery(total, delivery):
    lines = [{"product": "1", "name": "Чайник", "quantity": "2", "price": "600.00"}]
    fields = {"total": {"amount": total, "currency": "RUB"}, "lines": lines, "@origin": ORIGIN}
    goods = order.from_canonical(fields, None, TABLES)["Товары"]
    assert [one["Сумма"] for one in goods if one["Ид"] == "ORDER_DELIVERY"] == delivery


def test_a_document_has_nothing_empty_in_it():
    fields = dict.fromkeys(order.carries(TABLES)) | {"@origin": ORIGIN, "customer.name": "Пётр"}

    def empty(value: Any) -> bool:
        if isinstance(value, dict):
            return not value or any(map(empty, value.values()))
        return any(map(empty, value)) if isinstance(value, list) else value in (None, "")

    given = order.from_canonical(fields, None, TABLES)
    given.pop("Товары", None)
    given.pop("ЗначенияРеквизитов", None)
    assert not empty(given)


# --- the vocabulary ---------------------------------------------------------------------------------------------------


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model in a field's type, and whether there are many."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    found = [_inner(one)[0] for one in get_args(annotation) if not isinstance(one, str)]
    return next((one for one in found if one), None), get_origin(annotation) is list


def paths(model: type[BaseModel]) -> set[str]:
    found = set()
    for field in model.model_fields.values():
        name = field.alias or ""
        inner, many = _inner(field.annotation)
        if name[0] != "@" and name != shape.REQUISITES and inner is None:
            found.add(name)
        if inner:
            prefix = f"{name}/{shape.LISTS[name]}" if many else name
            found |= {f"{prefix}/{path}" for path in paths(inner)}
    return found


READER = {"ХозОперация", "НомерВерсии", "ПометкаУдаления"}
"""What the reader itself goes by."""


@pytest.mark.parametrize(
    ("kind", "model", "own"),
    [
        ("order", order._Order, READER | {"Время"} | {f"Контрагенты/Контрагент/{one}" for one in READER}),
        ("payment", payment._Payment, READER),
        ("counterparty", counterparty.Party, READER),
    ],
)
def test_what_counts_as_read_is_what_the_translator_reads(kind, model, own):
    listed = {one for one in shape.READ[kind] if not one.startswith(shape.REQUISITES)}
    assert listed - own == paths(model) - own
    assert paths(model) <= listed


@pytest.mark.parametrize(("module", "listed"), [(order, shape.ORDER_REQUISITES), (payment, shape.PAYMENT_REQUISITES)])
def test_requisites_that_count_as_read_are_those_the_translator_asks_for(module, listed):
    asked = re.findall(r"\.said(?:\(|, \()(.*?)\)", inspect.getsource(module))
    names_asked = {name for one in asked for name in re.findall(r'"([^"]+)"', one)}
    assert names_asked == listed - {"ПометкаУдаления"}
