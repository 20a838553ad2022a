"""What each 1C client writes into the files it sends: UT's poor facts, UNF's sub-documents, BUS's containers."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from lxml import etree

from bus.sandbox.onec import Base, catalogs, documents, predefined
from bus.sandbox.onec.cml_books import SITE_ID, extras
from bus.sandbox.onec.cml_faults import Faults
from bus.sandbox.onec.cml_outgoing import Outgoing
from bus.sandbox.onec.cml_registry import Registry
from bus.sandbox.onec.cml_settings import Settings
from bus.sandbox.onec.cml_write_ut import NotWritten

NAME = uuid.UUID(int=1, version=4)


@pytest.fixture
def base() -> Base:
    return Base(clock=lambda: 1_790_000_000.0)


def outgoing(base: Base, profile: str, **settings: Any) -> Outgoing:
    node = Settings.of(profile)
    node.configure(settings)
    return Outgoing(base, profile, node, Registry(base, profile), Faults())


def written(base: Base, profile: str, **settings: Any) -> dict[str, Any]:
    """The roots of all files by the first word of their names, namespaces taken off."""
    found = {}
    for one in outgoing(base, profile, **settings).files(NAME):
        root = etree.fromstring(one.content)
        for element in root.iter():
            element.tag = etree.QName(element).localname
        found[one.name.split("-")[0].split("_")[0]] = root
    return found


def requisites(element: Any) -> dict[str, str]:
    return {
        pair.findtext("Наименование"): pair.findtext("Значение") for pair in element.iterfind("ЗначенияРеквизитов/*")
    }


def order(base: Base, *, site: str = "10057", **act: Any) -> str:
    """An agreed order of 1200 for a company; `site`: it came from there under this number."""
    party = {
        "name": "Ромашка",
        "full_name": 'ООО "Ромашка"',
        "inn": "7707083893",
        "kpp": "773601001",
        "phones": ["+79"],
    }
    came = {
        predefined.SITE_NUMBER: (site, "String"),
        predefined.SITE_DATE: ("2026-09-01T10:00:00" if site else "", "DateTime"),
        SITE_ID: (f"bus-{site}" if site else "", "String"),
    }
    lines = [{"name": "Чайник", "price": 600, "quantity": 2}]
    act = {"new_counterparty": party, "lines": lines, "fields": {"ДополнительныеРеквизиты": extras(came)}} | act
    return base.act({"do": "create_order", **act})["id"]


def pay(base: Base, key: str, amount: float, **act: Any) -> str:
    return base.act({"do": "create_payment", "order": key, "amount": amount, "number": "17", **act})["id"]


# UT


def test_ut_writes_the_orders_guid_under_the_sites_number_and_date(base):
    key = order(base)
    root = written(base, "ut")["orders"]
    (document,) = root.iterfind("Документ")
    assert root.get("ВерсияСхемы") == "2.07"
    assert (document.findtext("Ид"), document.findtext("Номер")) == (key, "10057")
    assert (document.findtext("Дата"), document.findtext("Время")) == ("2026-09-01", "10:00:00")
    assert (document.findtext("Валюта"), document.findtext("Сумма")) == ("643", "1200")
    assert document.findtext("Товары/Товар/ЦенаЗаЕдиницу") == "600"


def test_ut_names_the_file_by_a_guid_and_a_number_and_writes_the_namespace(base):
    order(base)
    (file,) = outgoing(base, "ut").files(NAME)
    assert file.name == f"orders-{NAME}_1.xml"
    assert file.content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<')
    assert etree.fromstring(file.content).tag.startswith("{urn:1C.ru:commerceml_2}")


def test_ut_says_nothing_of_what_is_false_of_status_and_of_contacts(base):
    key = order(base, post=False)
    (document,) = written(base, "ut")["orders"]
    number = base.objects.row(documents.ORDER.name, key)["Number"]
    assert requisites(document) == {"Номер по 1С": number, "Дата по 1С": "2026-09-21T17:13:20"}
    assert [one.tag for one in document.find("Контрагенты/Контрагент")] == [
        "Ид",
        "Наименование",
        "ОфициальноеНаименование",
        "ИНН",
        "КПП",
        "Роль",
    ]


@pytest.mark.parametrize(
    ("inn", "kpp", "told"),
    [
        ("7707083893", "773601001", {"ИНН", "КПП"}),
        ("77070838", "773601001", {"КПП"}),
        ("7707083893", "7736", {"ИНН"}),
        ("", "", set()),
    ],
)
def test_ut_leaves_out_an_inn_and_kpp_of_other_lengths(inn, kpp, told, base):
    order(base, new_counterparty={"name": "X", "inn": inn, "kpp": kpp, "kind": "legal_entity"})
    (document,) = written(base, "ut")["orders"]
    party = document.find("Контрагенты/Контрагент")
    assert {one.tag for one in party} & {"ИНН", "КПП"} == told


def test_ut_tells_of_money_only_when_all_is_paid_and_only_of_the_last_document(base):
    key = order(base)
    pay(base, key, 500, date="2026-09-02T12:00:00")
    (document,) = written(base, "ut")["orders"]
    assert not any("оплаты" in name for name in requisites(document))
    last = pay(base, key, 700, date="2026-09-03T12:00:00")
    (document,) = written(base, "ut")["orders"]
    number = base.objects.row(documents.RECEIPT.name, last)["Number"]
    assert requisites(document)["Номер оплаты по 1С"] == number
    assert requisites(document)["Дата оплаты по 1С"] == "2026-09-03T12:00:00"


def test_ut_tells_of_goods_only_when_all_is_shipped(base):
    key = order(base)
    base.act({"do": "ship_order", "id": key, "quantities": [1]})
    (document,) = written(base, "ut")["orders"]
    assert "Номер отгрузки по 1С" not in requisites(document)
    base.act({"do": "ship_order", "id": key, "quantities": [1]})
    (document,) = written(base, "ut")["orders"]
    assert "Номер отгрузки по 1С" in requisites(document)


def test_ut_tells_nothing_of_orders_born_in_1c_and_of_deletion(base):
    order(base, site="")
    base.act({"do": "delete_order", "id": order(base)})
    assert written(base, "ut") == {}


def test_an_english_interface_writes_english_words(base):
    key = order(base)
    pay(base, key, 1200)
    (document,) = written(base, "ut", english=True)["orders"]
    assert (document.findtext("ХозОперация"), document.findtext("Роль")) == ("Goods order", "Seller")
    assert {"Number by 1C", "Payments date by 1C"} <= requisites(document).keys()


def test_what_the_schema_refuses_is_not_written(base):
    order(base, fields={"ДополнительныеРеквизиты": extras({predefined.SITE_NUMBER: ("9" * 256, "String")})})
    with pytest.raises(NotWritten, match="Номер is longer than 255"):
        outgoing(base, "ut").files(NAME)


# UNF


def test_unf_writes_payments_and_shipments_inside_their_order_with_amounts(base):
    key = order(base)
    paid = pay(base, key, 500, date="2026-09-02T12:00:00")
    back = base.act({"do": "create_refund", "order": key, "amount": 200, "date": "2026-09-03T12:00:00"})["id"]
    card = base.act({"do": "create_card_payment", "order": key, "amount": 300, "date": "2026-09-04T12:00:00"})["id"]
    gone = base.act({"do": "ship_order", "id": key, "quantities": [1], "date": "2026-09-05T12:00:00"})["id"]
    (document,) = written(base, "unf")["orders"]
    found = [
        (one.findtext("Ид"), one.findtext("ХозОперация"), one.findtext("Сумма"))
        for one in document.iterfind("ПодчиненныеДокументы/ПодчиненныйДокумент")
    ]
    assert found == [
        (paid, "Выплата безналичных денег", "500"),
        (back, "Возврат безналичных денег", "200"),
        (card, "Эквайринговая операция", "300"),
        (gone, "Отпуск товара", "600"),
    ]


def test_unf_says_yes_and_no_and_the_status_under_its_misspelt_name(base):
    order(base)
    (document,) = written(base, "unf")["orders"]
    said = requisites(document)
    assert {said[name] for name in ("Оплачен", "Отгружен", "Отменен", "ПометкаУдаления")} == {"false"}
    assert (said["Статуса заказа ИД"], said["Статус заказа"]) == ("P", "Оплачен, формируется к отправке")


def test_unf_gives_a_payment_its_bank_document(base):
    key = order(base)
    pay(base, key, 1200, number="17", date="2026-09-02T12:00:00")
    (document,) = written(base, "unf")["orders"]
    said = requisites(document.find("ПодчиненныеДокументы/ПодчиненныйДокумент"))
    assert (said["Номер платежного документа"], said["Дата оплаты"]) == ("17", "2026-09-02T12:00:00")
    assert (said["Оплачен"], said["Метод оплаты ИД"]) == ("true", "3")
    assert requisites(document)["Оплачен"] == "true"


@pytest.mark.parametrize(("echo", "expected"), [(True, "bus-10057"), (False, None)])
def test_unf_names_a_sites_order_by_the_sites_id_or_by_its_guid(echo, expected, base):
    key = order(base)
    (document,) = written(base, "unf", echo_id=echo)["orders"]
    assert document.findtext("Ид") == (expected or key)


def test_unf_tells_of_orders_born_in_1c_under_their_own_number(base):
    key = order(base, site="")
    row = base.objects.row(documents.ORDER.name, key)
    (document,) = written(base, "unf")["orders"]
    assert (document.findtext("Ид"), document.findtext("Номер")) == (key, row["Number"])


def test_one_payment_of_two_orders_is_told_with_each_by_its_part(base):
    one, two = order(base, site="1"), order(base, site="2")
    base.act({"do": "create_payment", "orders": [{"order": one, "amount": 100}, {"order": two, "amount": 250}]})
    sums = [document.findtext("ПодчиненныеДокументы/*/Сумма") for document in written(base, "unf")["orders"]]
    assert sums == ["100", "250"]


def test_unf_writes_contacts(base):
    order(base)
    (document,) = written(base, "unf")["orders"]
    assert document.findtext("Контрагенты/Контрагент/Контакты/Контакт/Значение") == "+79"


# BUS


def test_bus_writes_utf8_with_a_bom_in_containers(base):
    key = order(base)
    pay(base, key, 500)
    base.act({"do": "ship_order", "id": key})
    file = outgoing(base, "bus").files(NAME)[-1]
    assert file.content.startswith(b"\xef\xbb\xbf<?xml")
    root = written(base, "bus")["orders"]
    assert root.get("ВерсияСхемы") == "3.1"
    (box,) = root.iterfind("Контейнер")
    assert [one.findtext("ХозОперация") for one in box] == [
        "Заказ товара",
        "Выплата безналичных денег",
        "Отпуск товара",
    ]
    assert [one.findtext("Основание") for one in box] == [None, "bus-10057", "bus-10057"]


def test_bus_pads_its_numbers_and_says_its_version(base):
    key = order(base)
    row = base.objects.change(documents.ORDER.name, key, {"Number": "L319"})
    document = written(base, "bus")["orders"].find("Контейнер/Документ")
    assert document.findtext("Номер1С") == "L319       "
    assert document.findtext("НомерВерсии") == row["DataVersion"]
    assert (document.findtext("ПометкаУдаления"), document.findtext("Номер")) == ("false", "10057")
    assert document.findtext("Товары/Товар/Единица/Код") == "796 "
    assert (document.findtext("Дата"), document.findtext("Дата1С")) == ("2026-09-01", "2026-09-21")
    assert document.findtext("Комментарий") == "[Номер документа на сайте: 10057] "


def test_bus_tells_of_deletion_and_of_returned_money(base):
    key = order(base)
    base.act({"do": "create_refund", "order": key, "amount": 200})
    base.act({"do": "delete_order", "id": key})
    box = written(base, "bus")["orders"].find("Контейнер")
    assert box[0].findtext("ПометкаУдаления") == "true"
    assert requisites(box[1])["ПризнакВозврата"] == "true"


@pytest.mark.parametrize(("profile", "left"), [("ut", 0), ("unf", 0), ("bus", 1)])
def test_only_bus_tells_of_a_payment_that_was_marked_for_deletion(profile, left, base):
    key = order(base)
    paid = pay(base, key, 1200)
    base.act({"do": "delete_payment", "id": paid})
    root = written(base, profile)["orders"]
    told = [one for one in root.iter("Ид") if one.text == paid]
    assert len(told) == left
    assert all(one.getparent().findtext("ПометкаУдаления") == "true" for one in told)
    assert not any("оплаты" in name for name in requisites(next(root.iter("Документ"))))


def test_a_payment_taken_back_registers_its_order_again(base):
    key = order(base)
    paid = pay(base, key, 10)
    node = outgoing(base, "bus")
    for file in node.files(NAME):
        node._registry.forget(file.of, file.keys)
    base.act({"do": "unpost_payment", "id": paid})
    (file,) = node.files(NAME)
    assert file.labels == ("10057",)


def test_bus_writes_parties_with_accounts_marks_and_empty_requisites(base):
    account = {"account": "40702810423000009235", "bic": "045004774", "bank": "Банк"}
    key = base.act({"do": "create_counterparty", "name": "Лютик", "inn": "7707083893", "accounts": [account]})["id"]
    other = base.act({"do": "create_counterparty", "name": "Пион", "kind": "person"})["id"]
    base.act({"do": "delete_counterparty", "id": other})
    box = written(base, "bus")["contragents"].find("Контрагенты")
    assert box.get("СодержитТолькоИзменения") == "true"
    assert [(one.findtext("Ид"), one.findtext("ПометкаУдаления")) for one in box] == [(key, "false"), (other, "true")]
    assert box[0].findtext("РасчетныеСчета/РасчетныйСчет/Банк/БИК") == "045004774"
    assert [one.find("ОфициальноеНаименование") is not None for one in box] == [True, False]
    assert (box[1].findtext("ИНН"), box[1].findtext("КПП")) == ("", "")


def test_bus_sends_a_party_again_when_only_its_account_has_changed(base):
    key = base.act({"do": "create_counterparty", "name": "Лютик"})["id"]
    node = outgoing(base, "bus")
    (file,) = node.files(NAME)
    node._registry.forget(file.of, file.keys)
    assert node.files(NAME) == []
    base.objects.create(catalogs.COUNTERPARTY_ACCOUNTS.name, {"Owner_Key": key, "НомерСчета": "1"})
    assert [one.labels for one in node.files(NAME)] == [(key,)]


# registration


def test_money_that_arrives_registers_its_order_again(base):
    key = order(base)
    node = outgoing(base, "unf")
    (file,) = node.files(NAME)
    node._registry.forget(file.of, file.keys)
    assert node.files(NAME) == []
    pay(base, key, 10)
    assert [one.labels for one in node.files(NAME)] == [("10057",)]


def test_a_base_that_was_reset_is_registered_anew(base):
    order(base)
    node = outgoing(base, "unf")
    assert len(node.files(NAME)) == 1
    base.reset()
    assert node._registry.waiting("orders") == {}
    order(base)
    assert len(node.files(NAME)) == 1
