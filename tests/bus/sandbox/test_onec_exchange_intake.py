"""How each 1C client loads a site's orders: what it creates, updates, skips, refuses and gets wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bus.sandbox.onec import Base, catalogs, documents, predefined
from bus.sandbox.onec.cml_books import extra
from bus.sandbox.onec.cml_intake import Intake
from bus.sandbox.onec.cml_report import Report
from bus.sandbox.onec.cml_settings import Settings

REAL = Path(__file__).parents[4] / "shared" / "data"
COMPANY = """<Контрагент><Ид>77#</Ид><Наименование>{name}</Наименование>
<ОфициальноеНаименование>ООО «Ромашка»</ОфициальноеНаименование><ИНН>{inn}</ИНН><КПП>{kpp}</КПП>
<ЮридическийАдрес><Представление>Москва, Полевая, 1</Представление></ЮридическийАдрес>
<Контакты><Контакт><Тип>Телефон рабочий</Тип><Значение>8 960 786 50 46</Значение></Контакт>
<Контакт><Тип>{mail}</Тип><Значение>a@example.com</Значение></Контакт></Контакты>
<РасчетныеСчета><РасчетныйСчет><НомерСчета>40702810423000009235</НомерСчета><Банк><БИК>045004774</БИК></Банк>
</РасчетныйСчет></РасчетныеСчета><Роль>Покупатель</Роль></Контрагент>"""
PERSON = """<Контрагент><Ид>78#</Ид><Наименование>{name}</Наименование><ПолноеНаименование>{name}</ПолноеНаименование>
<ИНН>{inn}</ИНН><Роль>Покупатель</Роль></Контрагент>"""
LINE = """<Товар><Ид>{item}</Ид>{article}<Наименование>{name}</Наименование>
<БазоваяЕдиница Код="796">шт</БазоваяЕдиница><ЦенаЗаЕдиницу>{price}</ЦенаЗаЕдиницу><Количество>{count}</Количество>
<Сумма>{amount}</Сумма>{rate}{discount}</Товар>"""
GUID = "f06588ab-7924-11df-b33a-0011955cba6b"
VAT = "<Налоги><Налог><Наименование>НДС</Наименование><УчтеноВСумме>true</УчтеноВСумме></Налог></Налоги>"


@pytest.fixture
def base() -> Base:
    return Base(clock=lambda: 1_790_000_000.0)


def company(name: str = "Ромашка", inn: str = "7707083893", kpp: str = "773601001", mail: str = "Почта") -> str:
    return COMPANY.format(name=name, inn=inn, kpp=kpp, mail=mail)


def rate(per_cent: str) -> str:
    return f"<СтавкиНалогов><СтавкаНалога><Ставка>{per_cent}</Ставка></СтавкаНалога></СтавкиНалогов>"


def line(amount: str = "1200.00", **parts: str) -> str:
    known = {"item": GUID, "article": "", "name": "Чайник", "price": amount, "count": "1", "discount": ""}
    return LINE.format(**({"amount": amount, "rate": rate("20")} | known | parts))


def order(
    number: str = "10057",
    *,
    party: str | None = None,
    lines: str | None = None,
    said: str = "",
    vat: str = VAT,
    currency: str = "RUB",
    operation: str = "Заказ товара",
    more: str = "",
) -> str:
    return f"""<Документ><Ид>id-{number}</Ид><Номер>{number}</Номер><Дата>2026-10-05</Дата>
<ХозОперация>{operation}</ХозОперация><Роль>Продавец</Роль><Валюта>{currency}</Валюта><Курс>1</Курс><Сумма>1200</Сумма>
<Контрагенты>{company() if party is None else party}</Контрагенты><Время>11:58:03</Время>{vat}
<Товары>{line() if lines is None else lines}</Товары><ЗначенияРеквизитов>{said}</ЗначенияРеквизитов>{more}</Документ>"""


def said(name: str, text: str) -> str:
    return f"<ЗначениеРеквизита><Наименование>{name}</Наименование><Значение>{text}</Значение></ЗначениеРеквизита>"


def load(base: Base, *documents_: str, profile: str = "ut", root: str = "", **settings: Any) -> Report:
    report = Report(profile)
    node = Settings.of(profile)
    node.configure(settings)
    inner = "".join(f"<Контейнер>{one}</Контейнер>" if profile == "bus" else one for one in documents_)
    text = f"<?xml version='1.0'?><КоммерческаяИнформация{root}>{inner}</КоммерческаяИнформация>"
    report.acknowledged = Intake(base, profile, node, report).load(text)
    return report


def orders(base: Base) -> list[dict[str, Any]]:
    return base.objects.rows(documents.ORDER.name)


def parties(base: Base) -> list[dict[str, Any]]:
    return base.objects.rows(catalogs.COUNTERPARTIES.name)


def test_a_new_order_is_created_posted_and_waits_for_agreement(base):
    report = load(base, order())
    (row,) = orders(base)
    assert (report.acknowledged, report.created, report.unposted) == (True, ["10057"], [])
    assert (row["Date"], row["Статус"], row["Posted"]) == ("2026-10-05T11:58:03", "НеСогласован", True)
    assert row["Number"].startswith("ТДЦБ-")
    assert row["СуммаДокумента"] == 1200
    assert extra(row, predefined.SITE_NUMBER) == "10057"
    assert extra(row, predefined.SITE_DATE) == "2026-10-05T11:58:03"
    assert base.objects.settlements.state(row["Ref_Key"]) == "ОжидаетсяСогласование"


def test_an_existing_order_is_updated_only_while_nobody_has_agreed_to_it(base):
    load(base, order())
    assert load(base, order(lines=line("900"))).updated == ["10057"]
    assert orders(base)[0]["СуммаДокумента"] == 900
    base.act({"do": "edit_order", "id": orders(base)[0]["Ref_Key"], "status": "КОбеспечению"})
    report = load(base, order(lines=line("500")))
    assert (report.acknowledged, report.skipped) == (True, ["10057"])
    assert "not taken" in report.log[0]
    assert orders(base)[0]["СуммаДокумента"] == 900


def test_an_order_marked_for_deletion_is_not_made_anew(base):
    load(base, order())
    base.act({"do": "delete_order", "id": orders(base)[0]["Ref_Key"]})
    assert load(base, order()).skipped == ["10057"]
    assert len(orders(base)) == 1


def test_a_long_number_is_cut_and_two_orders_become_one(base):
    report = load(base, order("WEB-2026-0001"), order("WEB-2026-0002"))
    assert (report.created, report.updated) == (["WEB-2026-00"], ["WEB-2026-00"])
    assert len(orders(base)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        order("2", operation="Выплата безналичных денег"),
        order("2", operation="Эквайринговая операция"),
        order("2", currency=""),
        order(""),
    ],
)
def test_one_refused_document_fails_the_load_and_the_orders_before_it_stay(bad, base):
    report = load(base, order("1"), bad, order("3"))
    assert (report.acknowledged, report.created) == (False, ["1"])
    assert [one.step for one in report.failures] == ["load"]
    assert len(orders(base)) == 1


def test_nothing_to_process_is_a_success(base):
    assert load(base).acknowledged


@pytest.mark.parametrize("root", ["", ' xmlns="urn:1C.ru:commerceml_205"'])
def test_a_root_without_the_packages_namespace_is_not_validated(root, base):
    assert load(base, order().replace("<Роль>Продавец</Роль>", ""), root=root).acknowledged


def test_a_root_with_the_packages_namespace_is_validated(base):
    root = ' xmlns="urn:1C.ru:commerceml_2"'
    assert load(base, order(), root=root).acknowledged
    report = load(base, order("2").replace("<Роль>Продавец</Роль>", ""), root=root)
    assert report.failures[0].text == "document 2: Роль is missing; Роль is not one of the schema's"


def test_an_empty_requisite_inherits_its_neighbours_value_in_ut_only(base):
    pairs = said("Адрес доставки", "Москва") + said("Отменен", "true") + said("Комментарии покупателя", "")
    load(base, order(said=pairs))
    assert orders(base)[0]["Комментарий"] == "true"
    load(base, order("2", said=pairs), profile="unf")
    assert orders(base)[1]["Комментарий"] == ""


def test_cancelled_is_a_matter_of_the_lines(base):
    load(base, order(said=said("Отменен", "true")))
    assert [one["Отменено"] for one in orders(base)[0]["Товары"]] == [True]
    assert orders(base)[0]["СуммаДокумента"] == 0


def test_an_unknown_currency_becomes_the_bases_own(base):
    load(base, order(currency="руб"), order("2", currency="USD"))
    assert [row["Валюта_Key"] for row in orders(base)] == [predefined.RUB, predefined.USD]


def test_the_site_status_is_mapped_at_creation_only(base):
    mapped = {"statuses_in": {"Принят": "КОбеспечению"}}
    load(base, order(said=said("Статус заказа", "Принят")), **mapped)
    load(base, order("2"), **mapped)
    load(base, order("2", said=said("Статус заказа", "Принят")), **mapped)
    assert [row["Статус"] for row in orders(base)] == ["КОбеспечению", "НеСогласован"]


def test_an_order_that_cannot_be_posted_stays_unposted_and_counts(base):
    report = load(base, order(lines=""))
    assert (report.acknowledged, report.created) == (True, ["10057"])
    assert report.unposted == [orders(base)[0]["Number"]]
    assert not orders(base)[0]["Posted"]
    assert "not posted" in report.log[0]


def test_a_closed_period_refuses_the_document_itself(base):
    base.switches.closed_until = "2026-12-31"
    report = load(base, order())
    assert (report.acknowledged, orders(base)) == (False, [])


@pytest.mark.parametrize(
    ("said_", "paid"),
    [
        (said("Заказ оплачен", "true") + said("Метод оплаты ИД", "2"), 1200),
        (said("Заказ оплачен", "true") + said("Метод оплаты ИД", "1"), 0),
        (said("Заказ оплачен", "false") + said("Метод оплаты ИД", "2"), 0),
    ],
)
def test_paid_on_the_site_makes_a_card_payment_where_the_node_maps_it(said_, paid, base):
    for _ in range(2):
        load(base, order(said=said_), online_pay=("2",))
    assert base.objects.settlements.paid(orders(base)[0]["Ref_Key"]) == paid


def test_an_unposted_order_gets_no_card_payment(base):
    pairs = said("Заказ оплачен", "true") + said("Метод оплаты ИД", "2")
    assert load(base, order(said=pairs), posts=False, online_pay=("2",)).payments == []


# money of the lines


@pytest.mark.parametrize(
    ("vat", "lines", "total", "of_it"),
    [
        (VAT, line("1200"), 1200, 200),
        ("", line("1200"), 1440, 240),
        ("", line("1200", rate=rate("Без налога")), 1200, 0),
        (VAT, line("1200") + line("600", rate="", name="Кружка", item="b"), 1800, 300),
        (VAT, line("1200", rate=rate("22")), 1200, 216.39),
        (VAT, line("1 200,50"), 1200.5, 200.08),
        (VAT, line("231.7400"), 231.74, 38.62),
        (
            VAT,
            line("1200", discount="<Скидки><Скидка><Сумма>200</Сумма></Скидка></Скидки>"),
            1000,
            166.67,
        ),
        (
            VAT,
            line(
                "1200", discount="<Скидки><Скидка><Сумма>200</Сумма><УчтеноВСумме>true</УчтеноВСумме></Скидка></Скидки>"
            ),
            1200,
            200,
        ),
    ],
    ids=["included", "on top", "none", "rate of the line before", "new rate", "spaces", "decimals", "off", "in it"],
)
def test_vat_and_discounts_are_counted_as_1c_counts_them(vat, lines, total, of_it, base):
    load(base, order(vat=vat, lines=lines))
    (row,) = orders(base)
    assert row["СуммаДокумента"] == total
    assert sum(one["СуммаНДС"] for one in row["Товары"]) == of_it


def test_goods_are_found_by_guid_article_and_name_and_created_with_the_sites_guid(base):
    known = base.act({"do": "create_product", "name": "Кружка", "article": "K-1"})["id"]
    lines = (
        line()
        + line(item=f"{GUID}#{GUID}")
        + line(item="12", article="<Артикул>K-1</Артикул>", name="Cup")
        + line(item="13", name="Кружка")
        + line(item="ORDER_DELIVERY", name="Доставка")
    )
    load(base, order(lines=lines))
    rows = orders(base)[0]["Товары"]
    assert [one["Номенклатура_Key"] for one in rows][:4] == [GUID, GUID, known, known]
    assert rows[1]["Характеристика_Key"] == GUID
    assert {one["Description"] for one in base.objects.rows(catalogs.GOODS.name)} == {"Кружка", "Чайник", "Доставка"}


# counterparties


def test_a_new_counterparty_comes_with_partner_contacts_and_account(base):
    report = load(base, order())
    (row,) = parties(base)
    assert report.parties == [row["Ref_Key"]]
    assert (row["Description"], row["НаименованиеПолное"]) == ("Ромашка", "ООО «Ромашка»")
    assert (row["ИНН"], row["КПП"], row["ЮрФизЛицо"]) == ("7707083893", "773601001", "ЮрЛицо")
    assert [one["Представление"] for one in row["КонтактнаяИнформация"]] == [
        "8 960 786 50 46",
        "a@example.com",
        "Москва, Полевая, 1",
    ]
    partner = base.objects.row(catalogs.PARTNERS.name, row["Партнер_Key"])
    assert (partner["Description"], partner["Клиент"]) == ("Ромашка", True)
    (account,) = base.objects.find(catalogs.COUNTERPARTY_ACCOUNTS.name, Owner_Key=row["Ref_Key"])
    assert (account["НомерСчета"], account["БИКБанка"]) == ("40702810423000009235", "045004774")
    assert orders(base)[0]["Партнер_Key"] == row["Партнер_Key"]


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        (company(), company("Другое имя"), 1),
        (company(), company(kpp="770943002"), 2),
        (company(), company(kpp=""), 2),
        (company(inn="", kpp=""), company(inn="", kpp=""), 1),
        (company(inn="", kpp=""), company("РОМАШКА ООО", inn="", kpp=""), 2),
        (PERSON.format(name="ИП Ван", inn="500100732259"), PERSON.format(name="Ван", inn="500100732259"), 1),
        (
            PERSON.format(name="ИП Ван", inn="500100732259"),
            PERSON.format(name="Ван", inn="500100732259").replace("<Роль>", "<КПП>773601001</КПП><Роль>"),
            1,
        ),
    ],
    ids=["inn and kpp", "other kpp", "no kpp", "name", "other spelling", "person by inn", "a kpp too many"],
)
def test_ut_matches_by_inn_and_kpp_or_by_name_and_makes_duplicates(first, second, count, base):
    load(base, order("1", party=first), order("2", party=second))
    assert len(parties(base)) == count


def test_a_node_may_match_by_name_alone(base):
    load(base, order("1"), order("2", party=company(kpp="770943002")), match=["name"])
    assert len(parties(base)) == 1


def test_the_first_of_several_is_taken(base):
    keys = [base.act({"do": "create_counterparty", "name": "X", "inn": "7707083893", "kpp": "773601001"})["id"]]
    base.act({"do": "create_counterparty", "name": "Y", "inn": "7707083893", "kpp": "773601001"})
    load(base, order())
    assert orders(base)[0]["Контрагент_Key"] == keys[0]


def test_an_existing_counterparty_is_never_changed(base):
    key = base.act({"do": "create_counterparty", "name": "X", "inn": "7707083893", "kpp": "773601001"})["id"]
    before = base.objects.row(catalogs.COUNTERPARTIES.name, key)
    load(base, order())
    assert base.objects.row(catalogs.COUNTERPARTIES.name, key) == before


def test_only_pochta_is_a_mail_address(base):
    load(base, order(party=company(mail="Электронная почта")))
    assert [one["Тип"] for one in parties(base)[0]["КонтактнаяИнформация"]] == ["Телефон", "Адрес"]


def test_unf_finds_a_counterparty_by_the_sites_id_and_then_by_phone(base):
    load(base, order("1", party=company(inn="", kpp="")), profile="unf")
    load(base, order("2", party=company("Иначе", inn="", kpp="")), profile="unf")
    other = company("Третье", inn="", kpp="").replace("77#", "99#")
    load(base, order("3", party=other), profile="unf")
    assert len(parties(base)) == 1


# UNF and BUS


def payment(name: str, basis: str = "", paid: str = "true", operation: str = "Эквайринговая операция") -> str:
    return f"""<Ид>{name}</Ид><Номер>{name}</Номер><Дата>2026-10-06</Дата><ХозОперация>{operation}</ХозОперация>
<Валюта>RUB</Валюта><Сумма>700</Сумма><Время>10:00:00</Время>{basis}
<ЗначенияРеквизитов>{said("Оплачено", paid)}</ЗначенияРеквизитов>"""


def inside(body: str) -> str:
    return f"<ПодчиненныеДокументы><ПодчиненныйДокумент>{body}</ПодчиненныйДокумент></ПодчиненныеДокументы>"


def test_unf_takes_a_paid_acquiring_operation_inside_its_order_once(base):
    for _ in range(2):
        load(base, order(more=inside(payment("p1"))), profile="unf")
    assert base.objects.settlements.paid(orders(base)[0]["Ref_Key"]) == 700


@pytest.mark.parametrize("body", [payment("p1", paid="false"), payment("p1", operation="Выплата безналичных денег")])
def test_unf_takes_no_other_payment_and_goes_on(body, base):
    report = load(base, order(more=inside(body)), order("2"), profile="unf")
    assert (report.acknowledged, report.payments, report.created) == (True, [], ["10057", "2"])


def test_bus_takes_payments_beside_their_order(base):
    beside = f"<Документ>{payment('p1', '<Основание>id-10057</Основание>')}</Документ>"
    report = load(base, order() + beside, profile="bus")
    assert report.payments == ["p1"]
    assert base.objects.settlements.paid(orders(base)[0]["Ref_Key"]) == 700


def test_bus_does_not_see_an_order_outside_a_container(base):
    report = Report("bus")
    text = f"<КоммерческаяИнформация>{order()}</КоммерческаяИнформация>"
    assert Intake(base, "bus", Settings.of("bus"), report).load(text)
    assert report.loaded == []


def test_ut_does_not_see_an_order_inside_a_container(base):
    report = Report("ut")
    text = f"<КоммерческаяИнформация><Контейнер>{order()}</Контейнер></КоммерческаяИнформация>"
    assert Intake(base, "ut", Settings.of("ut"), report).load(text)
    assert report.loaded == []


def test_a_numbers_tail_does_not_matter_to_the_others(base):
    load(base, order("WEB-2026-0001"), order("WEB-2026-0002"), profile="unf")
    assert len(orders(base)) == 2


@pytest.mark.parametrize(
    ("spec", "text"),
    [({"colour": "red"}, "unknown setting 'colour'; known: "), ({"match": ["okpo"]}, "unknown way to match 'okpo'")],
)
def test_an_unknown_setting_is_named(spec, text):
    with pytest.raises(ValueError, match=text):
        Settings.of("ut").configure(spec)


@pytest.mark.skipif(not REAL.exists(), reason="the real files are not here")
def test_a_real_bitrix_answer_is_loaded(base):
    raw = (REAL / "bitrix205-query-orders.cp1251.xml").read_bytes().decode("cp1251")
    report = Report("ut")
    assert Intake(base, "ut", Settings.of("ut"), report).load(raw)
    assert report.created == ["132", "133"]
    assert [row["Number"] for row in orders(base) if re.fullmatch(r"ТДЦБ-00000[12]", row["Number"])]
