import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from lxml import etree

from bus.errors import Permanent
from bus.sandbox.onec import cml_read
from bus.systems.commerceml_writer import (
    Outgoing,
    check,
    fitting,
    number,
    takes,
    tells_payments,
    write_orders,
    write_statuses,
)

NOW = datetime(2026, 10, 9, 15, tzinfo=ZoneInfo("Europe/Moscow"))
PROFILES = ["ut", "unf", "bus"]


def an_order(known: str = "10057", **more: Any) -> dict[str, Any]:
    return {
        "Ид": f"bus-{known}",
        "Номер": known,
        "ХозОперация": "Заказ товара",
        "Роль": "Продавец",
        "Валюта": "RUB",
        "Курс": "1",
        "Сумма": "100.00",
        "Контрагенты": [{"Ид": "1", "ПолноеНаименование": "Пётр", "Наименование": "Пётр"}],
        "Товары": [{"Ид": "7", "Наименование": "Чайник", "ЦенаЗаЕдиницу": "100.00", "Количество": "1"}],
        **more,
    }


def a_payment(**requisites: str) -> dict[str, Any]:
    return {
        "Ид": "bus-p",
        "Номер": "5",
        "ХозОперация": "Выплата безналичных денег",
        "Валюта": "RUB",
        "Сумма": "100.00",
        "Основание": "10057",
        "ЗначенияРеквизитов": {"Оплачено": "true", "Метод оплаты": "Картой", **requisites},
    }


def root_of(body: bytes) -> etree._Element:
    return etree.fromstring(body)


@pytest.mark.parametrize("profile", PROFILES)
def test_an_answer_begins_as_1c_demands_and_has_no_mark_namespace_or_carriage_return(profile):
    body = write_orders([Outgoing(an_order(Комментарий="раз\r\nдва\rтри"))], profile, NOW)
    assert body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<')
    assert b"\r" not in body
    assert b"xmlns" not in body
    assert root_of(body).findtext(".//Комментарий") == "раз\nдва\nтри"


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_to_give_is_a_root_without_documents(profile):
    root = root_of(write_orders([], profile, NOW))
    assert (root.tag, len(root), root.get("ДатаФормирования")) == ("КоммерческаяИнформация", 0, "2026-10-09T15:00:00")


def test_ut_is_given_nothing_but_orders_and_that_an_order_is_paid_among_its_requisites():
    root = root_of(write_orders([Outgoing(an_order(), (a_payment(),))], "ut", NOW))
    assert [one.findtext("ХозОперация") for one in root] == ["Заказ товара"]
    assert not root.findall(".//ПодчиненныйДокумент")
    assert "Картой" in [one.text for one in root.findall(".//Значение")]


def test_unf_is_given_payments_inside_their_order_as_card_operations():
    root = root_of(write_orders([Outgoing(an_order(), (a_payment(),))], "unf", NOW))
    (part,) = root.findall("Документ/ПодчиненныеДокументы/ПодчиненныйДокумент")
    assert (part.findtext("ХозОперация"), part.find("Основание")) == ("Эквайринговая операция", None)


def test_bus_is_given_a_container_for_each_order_with_its_payments_beside_it():
    documents = [Outgoing(an_order(), (a_payment(),)), Outgoing(an_order("2"))]
    boxes = list(root_of(write_orders(documents, "bus", NOW)))
    assert [[one.findtext("Ид") for one in box] for box in boxes] == [["bus-10057", "bus-p"], ["bus-2"]]
    assert boxes[0][1].findtext("Основание") == "bus-10057"
    assert boxes[0][0].findtext("Товары/Товар/Цена") == "100.00"


@pytest.mark.parametrize(
    ("profile", "requisites", "taken"),
    [
        ("ut", {}, False),
        ("unf", {}, True),
        ("unf", {"Оплачено": "false"}, False),
        ("unf", {"ПризнакВозврата": "true"}, False),
        ("bus", {"Оплачено": "false"}, True),
        ("bus", {"ПризнакВозврата": "true"}, True),
    ],
)
def test_a_payment_goes_along_where_1c_takes_it(profile, requisites, taken):
    assert takes(a_payment(**requisites), profile) is taken
    assert tells_payments(profile) is (profile != "ut")


@pytest.mark.parametrize("profile", PROFILES)
def test_no_element_is_ever_empty(profile):
    order = an_order(
        Комментарий=" ",
        Скидки=[],
        Налоги=[{}],
        ЗначенияРеквизитов={"Отменен": "false", "Адрес доставки": "", "Способ доставки": None, "Сайт": "\x02"},
    )
    root = root_of(write_orders([Outgoing(order)], profile, NOW))
    assert [one.tag for one in root.iter() if len(one) == 0 and not (one.text or "").strip()] == []
    assert [one.findtext("Наименование") for one in root.iter("ЗначениеРеквизита")] == ["Отменен"]


@pytest.mark.parametrize("profile", PROFILES)
def test_elements_stand_in_the_schemas_sequence(profile):
    shuffled = dict(reversed(an_order(Комментарий="x", ЗначенияРеквизитов={"Отменен": "false"}).items()))
    document = next(root_of(write_orders([Outgoing(shuffled)], profile, NOW)).iter("Документ"))
    assert [one.tag for one in document] == [
        *("Ид", "Номер", "Дата", "ХозОперация", "Роль", "Валюта", "Курс", "Сумма", "Контрагенты", "Время"),
        *("Комментарий", "Товары", "ЗначенияРеквизитов"),
    ]


def test_an_order_keeps_the_time_it_came_with_and_gets_the_answers_time_without_one():
    dated = an_order("1", Дата="2026-10-05", Время="11:58:03")
    root = root_of(write_orders([Outgoing(dated), Outgoing(an_order("2"))], "ut", NOW))
    times = [(one.findtext("Дата"), one.findtext("Время")) for one in root]
    assert times == [("2026-10-05", "11:58:03"), ("2026-10-09", "15:00:00")]


@pytest.mark.parametrize(
    ("value", "longest", "expected"),
    [
        ("коротко", 250, "коротко"),
        ("  с краю \x00\x02\x1f\ufffe", 250, "с краю"),
        ("a\tb\nc", 250, "a\tb\nc"),
        ("слово " * 10, 20, "слово слово слово…"),
        ("ж" * 30, 20, "ж" * 19 + "…"),
        ("😀" * 30, 20, "😀" * 19 + "…"),
        ("и ещё немного-дефисов-и-прочего", 20, "и ещё немного-дефис…"),
        (None, 20, ""),
    ],
)
def test_a_text_fits_1c_and_is_cut_at_a_word(value, longest, expected):
    assert fitting(value, longest) == expected
    assert len(fitting(value, longest)) <= longest


def test_long_texts_are_cut_to_what_1c_keeps():
    order = an_order(
        Комментарий="слово " * 900,
        Товары=[{"Наименование": "чайник " * 90}],
        ЗначенияРеквизитов={"Адрес доставки": "дом " * 600},
    )
    root = root_of(write_orders([Outgoing(order)], "ut", NOW))
    lengths = [len(root.findtext(f".//{path}") or "") for path in ("Комментарий", "Товар/Наименование", "Значение")]
    assert [length <= most for length, most in zip(lengths, (3000, 250, 1000), strict=True)] == [True] * 3
    assert all(length > 200 for length in lengths)


@pytest.mark.parametrize(
    ("order", "profile", "say"),
    [
        (an_order("2026-0000001"), "ut", "number: '2026-0000001' has 12 characters, 1C keeps 11"),
        (an_order("2026-0000001"), "auto", "1C keeps 11"),
        (an_order("1" * 51), "bus", "1C keeps 50"),
        (an_order(""), "ut", "number: the order has none"),
        (an_order(Валюта=None), "unf", "total: '10057' has none"),
        (an_order(Сумма=""), "unf", "total: '10057' has none"),
        (an_order(Ид=None), "bus", "@origin: '10057' has none"),
        (an_order(Товары=[]), "ut", "lines: '10057' has none"),
    ],
)
def test_an_order_that_1c_could_not_take_is_refused_by_its_field(order, profile, say):
    with pytest.raises(Permanent, match=re.escape(say)):
        check(Outgoing(order), profile)
    with pytest.raises(Permanent):
        write_orders([Outgoing(order)], profile, NOW)


def test_a_long_number_is_no_trouble_where_1c_keeps_it_whole():
    check(Outgoing(an_order("2026-0000001")), "unf")
    check(Outgoing(an_order("12345678901")), "ut")
    assert number(an_order("12345678901")) == "12345678901"


def test_two_orders_of_one_number_are_never_given_together():
    with pytest.raises(Permanent, match="two orders"):
        write_orders([Outgoing(an_order()), Outgoing(an_order())], "ut", NOW)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_client_of_its_profile_sees_the_orders(profile):
    documents = [Outgoing(an_order(), (a_payment(),)), Outgoing(an_order("2"))]
    seen = cml_read.read(write_orders(documents, profile, NOW).decode(), profile)
    assert [one.number for one in seen if one.is_order] == ["10057", "2"]
    assert len(seen) == (2 if profile == "ut" else 3)
    assert [one.wrong for one in seen] == [()] * len(seen)


def test_the_sites_directories_are_told_with_the_latin_letter_that_1c_looks_for():
    body = write_statuses({"N": "Новый & свежий"}, {"2": "Картой"}, {})
    root = root_of(body)
    assert [one.tag for one in root] == ["Cтатусы", "ПлатежныеСистемы", "СлужбыДоставки"]
    assert root[0].tag[0] == "C"
    assert [(one.findtext("Ид"), one.findtext("Название")) for one in root[0]] == [("N", "Новый & свежий")]
