import io
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from bus.errors import BadInput
from bus.systems import bank_lines, bank_statement
from bus.systems.bank_documents import Statement
from tests.bus.systems.statements import INN, KPP, OURS, OURS_TOO, THEIRS, balance, document, paid, raw, text

REAL = Path(__file__).parents[4] / "shared" / "data"


def read(content: bytes) -> Statement:
    return bank_statement.read(io.BytesIO(content))


def only(content: bytes):
    (one,) = read(content).documents
    return one


@pytest.mark.parametrize("version", ["1.01", "1.02", "1.03"])
def test_every_version_of_the_format_is_read(version):
    statement = read(raw(document(), version=version))
    (one,) = statement.documents
    assert (statement.version, statement.accounts, statement.faults, statement.warnings) == (version, (OURS,), (), ())
    assert (one.kind, one.number, one.dated, one.amount) == (
        "Платежное поручение",
        "17",
        date(2026, 10, 5),
        Decimal("100.00"),
    )
    assert (one.payer.account, one.payer.inn, one.payer.kpp, one.payer.name) == (THEIRS, INN, KPP, 'ООО "Ромашка"')
    assert (one.payee.account, one.credited, one.debited) == (OURS, date(2026, 10, 5), None)
    assert one.rest == {"ВидОплаты": "01"}
    assert statement.unread == {"ВидОплаты": 1}


ENCODINGS = {
    "cp1251 as declared": ("Windows", "cp1251", "cp1251"),
    "cp866 as declared": ("DOS", "cp866", "cp866"),
    "utf-8 that says Windows": ("Windows", "utf-8", "utf-8"),
    "utf-8 with a mark": ("Windows", "utf-8-sig", "utf-8-sig"),
    "cp866 that says Windows": ("Windows", "cp866", "cp866"),
    "cp1251 that says DOS": ("DOS", "cp1251", "cp1251"),
    "cp1251 that says nothing": ("", "cp1251", "cp1251"),
    "utf-16": ("UTF-16", "utf-16", "utf-16"),
}


@pytest.mark.parametrize(("declared", "codec", "found"), ENCODINGS.values(), ids=ENCODINGS.keys())
def test_an_encoding_is_known_by_sight(declared, codec, found):
    statement = read(raw(document(), encoding=declared, codec=codec))
    assert statement.encoding == found
    assert statement.documents[0].payer.name == 'ООО "Ромашка"'


def test_a_letter_cut_in_half_by_the_bank_spoils_nothing_else():
    content = raw(document(НазначениеПлатежа="Оплата за ромашки"), codec="utf-8")
    broken = content.replace("ромашки".encode(), "ромашки".encode()[:-1])
    statement = read(broken)
    assert statement.documents[0].purpose == "Оплата за ромашк\ufffd"
    assert statement.warnings == ("1 characters are none of utf-8",)


LINES = {"unix": "\n", "windows": "\r\n", "old mac": "\r"}


@pytest.mark.parametrize("ending", LINES.values(), ids=LINES.keys())
def test_lines_may_end_in_any_way(ending):
    assert only(text(document()).replace("\n", ending).encode("cp1251")).number == "17"


def test_keys_are_read_without_regard_to_case_and_blanks():
    shouted = text(document()).replace("Номер=", " НОМЕР =").replace("КонецДокумента", " конецдокумента ")
    assert only(shouted.encode("cp1251")).number == "17"


def test_blank_lines_and_remarks_are_skipped():
    content = text(document()).replace("Сумма", "\n // от банка = 5\nСумма").encode("cp1251")
    assert read(content).unread == {"ВидОплаты": 1}


def test_the_first_equals_sign_divides():
    assert only(raw(document(НазначениеПлатежа="a=b=c"))).purpose == "a=b=c"


def test_the_first_value_that_is_not_empty_counts():
    twice = document().replace("Номер=17\n", "Номер=\nНомер=18\nНомер=19\n")
    assert only(raw(twice)).number == "18"


def test_a_purpose_may_come_in_six_pieces():
    pieces = document(НазначениеПлатежа="", НазначениеПлатежа1="Оплата", НазначениеПлатежа2="заказа 7")
    assert only(raw(pieces)).purpose == "Оплата заказа 7"


def test_a_purpose_may_go_on_in_a_line_without_a_key():
    assert only(raw(document(НазначениеПлатежа="Оплата\nзаказа 7"))).purpose == "Оплата заказа 7"


def test_a_line_that_says_nothing_known_is_told_of():
    statement = read(raw(document(Номер="17\nчто это")))
    assert statement.warnings == ("lines that are no key with a value are left out: 10",)


def test_the_signature_typed_with_cyrillic_letters_is_one():
    assert only(text(document()).replace("1CClient", "1СClient").encode("cp1251"))


def test_two_files_in_one_are_both_read():
    both = text(document()) + text(document(Номер="18"))
    assert [one.number for one in read(both.encode("cp1251")).documents] == ["17", "18"]


SUMS = {
    "2500": "2500.00",
    "1 234,50": "1234.50",
    "1\u00a0234.50": "1234.50",
    "1,234.50": "1234.50",
    "1.234.567,89": "1234567.89",
    "-100.00": "100.00",
    "1000.00+234.5": "1234.50",
    "231.7400": "231.74",
    "1234-50": "1234.50",
}


@pytest.mark.parametrize(("said", "sum_of"), SUMS.items())
def test_a_sum_is_read_however_it_is_written(said, sum_of):
    assert only(raw(document(Сумма=said))).amount == Decimal(sum_of)


DAYS = {"05.10.2026": 2026, "5.10.26": 2026, "05.10.67": 1967, "2026-10-05": 2026, "05.10.2026 10:28:35": 2026}


@pytest.mark.parametrize(("said", "year"), DAYS.items())
def test_a_day_is_read_however_it_is_written(said, year):
    assert only(raw(document(Дата=said))).dated == date(year, 10, 5)


@pytest.mark.parametrize("zeros", ["0", "0000000000", "000000000000", ""])
def test_an_inn_of_zeros_is_none(zeros):
    one = only(raw(document(ПлательщикИНН=zeros, ПлательщикКПП="0")))
    assert (one.payer.inn, one.payer.kpp) == (None, None)


NAMES = {
    f'{INN}, ООО "Роза"': 'ООО "Роза"',
    f"ИНН {INN} ООО Роза": "ООО Роза",
    "ООО Роза, Москва": "ООО Роза, Москва",
    "1000 мелочей": "1000 мелочей",
}


@pytest.mark.parametrize(("said", "name"), NAMES.items())
def test_a_name_loses_the_inn_before_it(said, name):
    assert only(raw(document(Плательщик=said, Плательщик1=None))).payer.name == name


def test_where_banks_settle_through_a_third_the_clients_own_account_counts_too():
    one = only(raw(document(ПолучательСчет="30101810400000000225", ПолучательРасчСчет=OURS)))
    assert one.payee.among([OURS])


def test_a_payment_identifier_is_read_and_zero_is_none():
    assert only(raw(document(Код="18810000000000000001"))).code == "18810000000000000001"
    assert only(raw(document(Код="0"))).code is None


def test_several_accounts_and_missing_sections_are_read():
    statement = read(raw(document(), head=f"РасчСчет={OURS_TOO}\n"))
    assert (statement.accounts, statement.balances) == ((OURS_TOO, OURS), ())


# --- what cannot be read ---

FAULTS = {
    "no sum": ({"Сумма": None}, "line 8: Сумма: missing"),
    "no number of a sum": ({"Сумма": "сто"}, "line 11: Сумма: not a sum"),
    "parts of a kopeck": ({"Сумма": "1.234"}, "line 11: Сумма: not a sum in roubles and kopecks"),
    "no day": ({"Дата": "00.00.0000"}, "line 10: Дата: missing"),
    "no such day": ({"Дата": "31.02.2026"}, "line 10: Дата: "),
    "no accounts": (
        {"ПлательщикСчет": None, "ПолучательСчет": None},
        "line 8: ПлательщикСчет: missing, and so is ПолучательСчет",
    ),
}


@pytest.mark.parametrize(("changes", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_a_document_that_cannot_be_read_is_named_by_line_and_key_and_the_others_stand(changes, fault):
    statement = read(raw(document(**changes), document(Номер="18")))
    assert [one.number for one in statement.documents] == ["18"]
    assert str(statement.faults[0]).startswith(fault)


def test_a_fault_never_shows_the_value():
    statement = read(raw(document(Сумма="Иванов", Дата="Петров")))
    assert "ванов" not in str(statement.faults) + str(statement.warnings)


def test_a_date_that_may_be_missing_is_left_out_when_it_cannot_be_read():
    statement = read(raw(document(ДатаПоступило="вчера")))
    assert statement.documents[0].credited is None
    assert statement.warnings == ("line 17: ДатаПоступило: not a day: write dd.mm.yyyy; taken as not said",)


def test_a_document_that_the_file_ends_within_is_not_taken():
    cut = raw(document(), document(Номер="18"))
    statement = read(cut[: cut.rindex("Получатель1".encode("cp1251"))])
    assert [one.number for one in statement.documents] == ["17"]
    assert "the file ends within this document" in str(statement.faults[0])
    assert "КонецФайла is missing" in statement.warnings[0]


def test_a_document_that_is_not_ended_ends_where_the_next_begins():
    statement = read(raw(document().replace("КонецДокумента\n", ""), document(Номер="18")))
    assert [one.number for one in statement.documents] == ["17", "18"]


NOT_STATEMENTS = {"nothing": b"", "a spreadsheet": b"PK\x03\x04", "xml": "<?xml?><Выписка/>".encode("cp1251")}


@pytest.mark.parametrize("content", NOT_STATEMENTS.values(), ids=NOT_STATEMENTS.keys())
def test_a_file_of_another_kind_is_refused_in_plain_words(content):
    with pytest.raises(BadInput, match="line 1: not a bank statement"):
        read(content)
    assert not bank_lines.is_statement(content)


def test_a_file_that_is_too_long_is_refused():
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return bytes(size)

    with pytest.raises(BadInput, match="longer than 64 MB"):
        bank_statement.read(Endless())


# --- totals ---


def test_a_statement_that_adds_up_warns_of_nothing():
    section = balance(received="100.00", paid="30.00", closing="1070.00")
    assert read(raw(document(), paid(Сумма="30.00"), accounts=section)).warnings == ()


TOTALS = {
    "balance": (balance(received="100.00", closing="1000.00"), "the closing balance is off by -100.00"),
    "received": (balance(received="150.00", closing="1150.00"), "the documents differ by -50.00 from all that was rec"),
    "paid": (
        balance(received="100.00", paid="5.00", closing="1095.00"),
        "the documents differ by -5.00 from all that was paid",
    ),
    "days that do not meet": (
        balance(received="100.00", closing="1100.00") + balance(opening="1200.00", closing="1200.00", day="06.10.2026"),
        "it opens with another balance than line 8 closes with",
    ),
}


@pytest.mark.parametrize(("sections", "warning"), TOTALS.values(), ids=TOTALS.keys())
def test_what_does_not_add_up_is_told_and_the_documents_stand(sections, warning):
    statement = read(raw(document(), accounts=sections))
    assert len(statement.documents) == 1
    assert [warning in one for one in statement.warnings] == [True]


def test_an_overdrawn_account_adds_up():
    section = balance(opening="-500.00", received="100.00", closing="-400.00")
    assert read(raw(document(), accounts=section)).warnings == ()


def test_money_between_two_accounts_of_one_file_adds_up_for_both():
    sections = balance(paid="100.00", closing="900.00") + balance(
        received="100.00", closing="1100.00", account=OURS_TOO
    )
    between = {"ПлательщикСчет": OURS, "ПолучательСчет": OURS_TOO}
    once = document(**between, ДатаСписано="05.10.2026")
    each = (document(**between, ДатаПоступило=None, ДатаСписано="05.10.2026"), document(**between))
    assert read(raw(once, accounts=sections)).warnings == ()
    assert read(raw(*each, accounts=sections)).warnings == ()


# --- real files ---


@pytest.mark.skipif(not REAL.exists(), reason="the real files are not here")
def test_real_statements_are_read_without_loss():
    for path in sorted(REAL.glob("kl_to_1c*")):
        content = path.read_bytes()
        statement = read(content)
        values = sum(1 for line in content.decode("cp1251").splitlines() if line.partition("=")[2].strip())
        read_values = [
            value.text
            for section in bank_lines.read(content).sections
            for some in section.values.values()
            for value in some
        ]
        titles = len(statement.documents)
        assert statement.faults == ()
        assert len(statement.documents) == content.count("СекцияДокумент".encode("cp1251"))
        assert sum(map(bool, read_values)) + titles == values
