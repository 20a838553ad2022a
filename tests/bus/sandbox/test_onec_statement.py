"""Statement files as banks write them: versions, encodings, accounts, and the liberties that banks take."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from bus.sandbox.onec import Base
from bus.sandbox.onec.statement import BANK_ORDER, Movement, Side, Style, movements, write

OWN, SECOND = "40702810400000000001", "40702810100000000002"
US = Side(OWN, 'ООО "Песочница"', "0000000018", "000001001")
ALSO_US = Side(SECOND, 'ООО "Песочница"', "0000000018", "000001001")
CLIENT = Side("40702810423000009235", 'ООО "Ромашка"', "7707083893", "773601001", bic="045004774")
DAY, NEXT = date(2026, 10, 5), date(2026, 10, 6)


def came(number: str = "17", amount: str = "1200", day: date = DAY, **more: str) -> Movement:
    return Movement(number, day, Decimal(amount), CLIENT, US, **({"purpose": "Оплата по заказу 10057"} | more))


def text(*found: Movement, style: Style | None = None, accounts: dict[str, Decimal] | None = None) -> str:
    style = style or Style()
    known = accounts or {OWN: Decimal(100)}
    raw = write(found, known, since=DAY, until=NEXT, style=style)
    return raw.decode(style.encoding)


def parts(content: str, name: str) -> list[dict[str, str]]:
    """The sections of a kind; `name` is what their first line begins with."""
    found: list[dict[str, str]] = []
    inside = False
    for line in content.split("\r\n"):
        if line.startswith(name):
            found.append({})
            inside = True
        elif line.startswith("Конец"):
            inside = False
        elif inside and "=" in line:
            key, _, value = line.partition("=")
            found[-1][key] = value
    return found


def docs(content: str) -> list[dict[str, str]]:
    return parts(content, "СекцияДокумент")


def test_the_file_begins_with_its_signature_and_ends_with_its_end():
    lines = text(came()).split("\r\n")
    assert lines[:4] == [
        "1CClientBankExchange",
        "ВерсияФормата=1.03",
        "Кодировка=Windows",
        "Отправитель=Банк Клиент Онлайн",
    ]
    assert lines[-2:] == ["КонецФайла", ""]
    assert lines.index("СекцияДокумент=Платежное поручение") < lines.index("КонецДокумента")


@pytest.mark.parametrize(
    ("version", "uip", "purpose_code"), [("1.01", False, False), ("1.02", True, False), ("1.03", True, True)]
)
def test_each_version_has_its_own_keys(version, uip, purpose_code):
    (document,) = docs(text(came(uip="ЗК2610ТДЦБ0000010000"), style=Style(version=version)))
    assert (document.get("Код") == "ЗК2610ТДЦБ0000010000") == uip
    assert ("КодНазПлатежа" in document) == purpose_code


@pytest.mark.parametrize(
    ("encoding", "name", "start"),
    [
        ("cp1251", "Windows", b"1CClient"),
        ("cp866", "DOS", b"1CClient"),
        ("utf-8-sig", "Windows", b"\xef\xbb\xbf1CClient"),
    ],
)
def test_the_encoding_is_told_as_banks_tell_it(encoding, name, start):
    raw = write([came()], {OWN: Decimal(0)}, since=DAY, until=NEXT, style=Style(encoding=encoding))
    assert raw.startswith(start)
    assert f"Кодировка={name}\r\n".encode(encoding.removesuffix("-sig")) in raw


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"version": "2.0"}, "unknown version '2.0'"), ({"encoding": "koi8-r"}, "unknown encoding 'koi8-r'")],
)
def test_what_no_bank_writes_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Style(**wrong)


def test_the_balances_add_up():
    (section,) = parts(text(came(), came().returned("3", NEXT)), "СекцияРасчСчет")
    assert section["НачальныйОстаток"] == "100.00"
    assert (section["ВсегоПоступило"], section["ВсегоСписано"]) == ("1200.00", "1200.00")
    assert section["КонечныйОстаток"] == "100.00"


def test_a_section_may_stand_for_each_day():
    back = came(amount="200").returned("3", DAY)
    sections = parts(text(came(), back, came("18", "50", NEXT), style=Style(daily=True)), "СекцияРасчСчет")
    assert [(one["ДатаНачала"], one["НачальныйОстаток"], one["КонечныйОстаток"]) for one in sections] == [
        ("05.10.2026", "100.00", "1100.00"),
        ("06.10.2026", "1100.00", "1150.00"),
    ]


def test_a_bank_may_leave_the_sections_out():
    content = text(came(), style=Style(sections=False))
    assert "СекцияРасчСчет" not in content
    assert len(docs(content)) == 1


def test_several_accounts_stand_in_one_file():
    content = text(came(), accounts={OWN: Decimal(0), SECOND: Decimal(7)})
    assert [one["РасчСчет"] for one in parts(content, "СекцияРасчСчет")] == [OWN, SECOND]
    assert content.split("СекцияРасчСчет")[0].count("РасчСчет=") == 2


def test_a_transfer_between_own_accounts_is_told_from_both_sides():
    moved = Movement("5", DAY, Decimal(40), US, ALSO_US, "Перевод собственных средств")
    content = text(moved, accounts={OWN: Decimal(100), SECOND: Decimal(0)})
    assert [(one["ДатаСписано"], one["ДатаПоступило"]) for one in docs(content)] == [
        ("05.10.2026", ""),
        ("", "05.10.2026"),
    ]
    assert [one["КонечныйОстаток"] for one in parts(content, "СекцияРасчСчет")] == ["60.00", "40.00"]


def test_a_refund_is_a_document_of_its_own_the_other_way_round():
    (document,) = docs(text(came().returned("3", NEXT)))
    assert (document["ПлательщикСчет"], document["ПолучательСчет"]) == (OWN, CLIENT.account)
    assert document["НазначениеПлатежа"] == "Возврат по платежному поручению №17 от 05.10.2026"


def test_numbers_are_reused_and_cut_as_some_banks_do():
    content = text(came("100017"), came("200017", "30", NEXT), style=Style(number_digits=3))
    assert [one["Номер"] for one in docs(content)] == ["017", "017"]


def test_a_long_purpose_is_cut_into_lines_at_words():
    purpose = "Оплата по счету № 15 от 01.10.2026 за чайники и кружки, в том числе НДС 20 процентов"
    (document,) = docs(text(came(purpose=purpose), style=Style(purpose_width=20)))
    pieces = [value for key, value in document.items() if key[:-1] == "НазначениеПлатежа"]
    assert document["НазначениеПлатежа"] == ""
    assert 3 <= len(pieces) <= 6
    assert " ".join(pieces) == purpose


def test_a_bank_may_write_no_credit_date_and_zeros_for_nothing():
    nobody = Movement("1", DAY, Decimal(1), Side("30101", "Иван"), US, kind=BANK_ORDER)
    (document,) = docs(text(nobody, style=Style(no_credit_date=True, zero_requisites=True)))
    assert document["ДатаПоступило"] == ""
    assert (document["ПлательщикИНН"], document["ПлательщикКПП"]) == ("0000000000", "0")
    assert document["ВидОплаты"] == "17"


def test_a_name_stands_with_its_inn_before_it_or_alone():
    (long,), (short,) = docs(text(came())), docs(text(came(), style=Style(long_names=False)))
    assert (long["Плательщик"], long["Плательщик1"]) == ('7707083893, ООО "Ромашка"', 'ООО "Ромашка"')
    assert "Плательщик" not in short


def test_totals_can_be_wrong_and_lines_blank():
    content = text(came(), style=Style(total_error=Decimal("0.01"), blank_lines=True))
    assert parts(content, "СекцияРасчСчет")[0]["ВсегоПоступило"] == "1200.01"
    assert "\r\n\r\nСекцияДокумент" in content


def test_what_was_booked_outside_the_period_stays_out():
    assert docs(text(came(day=date(2026, 10, 4)), came(day=date(2026, 10, 7)))) == []


def test_the_money_of_a_base_becomes_a_statement_with_the_orders_uip():
    base = Base(clock=lambda: 1_790_000_000.0)
    party = {
        "name": "Ромашка",
        "inn": "7707083893",
        "kpp": "773601001",
        "accounts": [{"account": CLIENT.account, "bic": CLIENT.bic}],
    }
    order = base.act({"do": "create_order", "new_counterparty": party})
    paid = {"order": order["id"], "amount": 500, "number": "17", "date": f"{DAY}T12:00:00", "purpose": "Оплата"}
    base.act({"do": "create_payment", **paid})
    base.act({"do": "create_payment", **paid, "post": False})
    base.act({"do": "create_refund", **paid, "amount": 200, "number": "3"})
    found, accounts = movements(base)
    incoming, outgoing = docs(write(found, accounts, since=DAY, until=DAY).decode("cp1251"))
    identifier = base.objects.row("Document_ЗаказКлиента", order["id"])["ИдентификаторПлатежа"]
    assert (incoming["Номер"], incoming["Сумма"], incoming["Код"]) == ("17", "500.00", identifier)
    assert (incoming["ПлательщикСчет"], incoming["ПлательщикИНН"]) == (CLIENT.account, "7707083893")
    assert (incoming["ПолучательСчет"], incoming["ДатаПоступило"]) == (*accounts, "05.10.2026")
    assert (outgoing["Номер"], outgoing["Сумма"], outgoing["ПолучательСчет"]) == ("3", "200.00", CLIENT.account)


def test_a_payer_without_an_account_gets_one_that_stays_the_same():
    base = Base(clock=lambda: 1_790_000_000.0)
    order = base.act({"do": "create_order", "new_counterparty": {"name": "Иван", "kind": "person"}})
    for _ in range(2):
        base.act({"do": "create_payment", "order": order["id"], "amount": 1})
    accounts = {one.payer.account for one in movements(base)[0]}
    assert len(accounts) == 1
    assert len(accounts.pop()) == 20
