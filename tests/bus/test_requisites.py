"""Requisites: checksums as laws, the published pairs as tables, names and phones as people really write them."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.ru import inn as stdnum_inn
from stdnum.ru import ogrn as stdnum_ogrn

from bus import requisites
from bus.requisites import (
    account,
    bic,
    clean,
    doubts,
    emails,
    inn,
    kpp,
    legal_form,
    name_key,
    natural_key,
    ogrn,
    phones,
)

INN, PERSON, KPP = "7707083893", "500100732259", "773601001"
OGRN, OGRNIP = "1027700132195", "304500116000157"


def weighed(digits: str, weights: str) -> int:
    return sum(int(digit) * int(weight) for digit, weight in zip(digits, weights.split(), strict=True)) % 11


def legal_inn(nine: str) -> tuple[str, int]:
    """An INN by its first nine digits, and the remainder that its check digit was cut from."""
    rest = weighed(nine, "2 4 10 3 5 9 4 6 8")
    return f"{nine}{rest % 10}", rest


def personal_inn(ten: str) -> str:
    eleven = f"{ten}{weighed(ten, '7 2 4 10 3 5 9 4 6 8') % 10}"
    return f"{eleven}{weighed(eleven, '3 7 2 4 10 3 5 9 4 6 8') % 10}"


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count).filter(lambda text: text.strip("0"))


def altered(value: str, at: int, by: int) -> str:
    return f"{value[:at]}{(int(value[at]) + by) % 10}{value[at + 1 :]}"


BY = st.integers(1, 9)


# --- checksums --------------------------------------------------------------------------------------------------------


@given(digits(9), st.integers(0, 8), BY)
def test_an_inn_of_ten_digits_passes_and_with_one_digit_changed_fails_where_its_remainder_tells(nine, at, by):
    valid, rest = legal_inn(nine)
    assert inn(valid)
    other = altered(nine, at, by)
    _, changed = legal_inn(other)
    assert changed != rest
    assert inn(f"{other}{valid[-1]}") == (changed % 10 == rest % 10 and bool(other.strip("0")))


@given(digits(9), BY)
def test_a_changed_check_digit_of_an_inn_always_fails(nine, by):
    assert not inn(altered(legal_inn(nine)[0], 9, by))


@given(digits(10), st.sampled_from([10, 11]), BY)
def test_an_inn_of_twelve_digits_passes_and_fails_with_either_check_digit_changed(ten, at, by):
    valid = personal_inn(ten)
    assert inn(valid)
    assert not inn(altered(valid, at, by))


@given(digits(10))
def test_inn_agrees_with_stdnum_but_for_zeros(nine):
    assert inn(nine) == stdnum_inn.is_valid(nine)
    assert stdnum_inn.is_valid("0" * 10)
    assert not inn("0" * 10)
    assert not inn("0" * 12)


@given(digits(11), st.sampled_from("15"), BY)
def test_an_ogrn_passes_and_fails_with_its_check_digit_changed(eleven, first, by):
    body = f"{first}{eleven}"
    valid = f"{body}{int(body) % 11 % 10}"
    assert ogrn(valid)
    assert stdnum_ogrn.is_valid(valid)
    assert not ogrn(altered(valid, 12, by))


@given(digits(13), BY)
def test_an_ogrnip_passes_also_where_stdnum_forgets_the_last_mod_ten(thirteen, by):
    body = f"3{thirteen}"
    rest = int(body) % 13
    valid = f"{body}{rest % 10}"
    assert ogrn(valid)
    assert not ogrn(altered(valid, 14, by))
    assert stdnum_ogrn.is_valid(valid) == (rest < 10), "the known fault of python-stdnum 2.2; mend this test with it"


@given(digits(3), digits(17), st.integers(0, 19), BY)
def test_an_account_has_one_key_and_no_digit_of_it_can_change(bank, rest, at, by):
    bank = f"0445257{bank[:2]}"
    made = [number for key in range(10) if account(bank, number := f"407{rest[:5]}{key}{rest[5:]}"[:20])]
    assert len(made) == 1
    other = altered(made[0], at, by)
    assert not account(bank, other) or other.startswith(("03", "30101", "30125", "40102"))


@pytest.mark.parametrize(
    "pair",
    [
        "044525225/30101810400000000225",
        "044525187/30101810700000000187",
        "044525593/30101810200000000593",
        "042202603/30101810900000000603",
        "048073770/40503810101400000001",
        "045004774/40702810423000009235",
        "017003983/40102810445370000059",
        "015004950/03214643000000015113",  # a treasury's personal account: its key is of no published rule
    ],
)
def test_accounts_that_are_published_with_their_bank_fit_it(pair):
    assert account(*pair.split("/"))


@pytest.mark.parametrize(
    ("bank", "number"),
    [
        ("045004775", "40702810423000009235"),
        ("045004774", "40702810423000009236"),
        ("045004774", "4070281042300000923"),
        ("45004774", "40702810423000009235"),
        ("045004774", "00000000000000000000"),
        ("015004950", "0321464300000001511"),
    ],
)
def test_an_account_that_cannot_be_kept_there_is_told(bank, number):
    assert not account(bank, number)


def test_the_published_examples_are_right():
    assert all(map(inn, [INN, PERSON]))
    assert all(map(ogrn, [OGRN, OGRNIP]))
    assert not ogrn("2027700132195"), "a record's number, not an entity's"


@pytest.mark.parametrize(
    ("value", "can_be"),
    [("773601001", True), ("7736AB001", True), ("77360100", False), ("7736ab001", False), ("000000000", False)],
)
def test_a_kpp_is_told_by_its_form(value, can_be):
    assert kpp(value) is can_be


@pytest.mark.parametrize(
    ("value", "can_be"),
    [("044525225", True), ("004525988", True), ("017003983", True), ("024501901", True), ("04452522", False)],
)
def test_a_bic_need_not_begin_with_04(value, can_be):
    assert bic(value) is can_be


@pytest.mark.parametrize("value", ["", "７７０７０８３８９３", "77070838 93", "7707083893.0", "ИНН", "77-07083893"])
def test_only_plain_digits_make_an_inn(value):
    assert not inn(value)


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (" 7707 083893\xa0", "7707083893"),
        (7707083893, "7707083893"),
        (7707083893.0, "7707083893"),
        ("\ufeff0411000000\u200b", "0411000000"),
        ("ИНН7707", "ИНН7707"),
        ("7736ab001", "7736ab001"),
        ("—", None),
        ("  ", None),
        (None, None),
    ],
)
def test_a_requisite_is_kept_as_written_without_blanks(written, kept):
    assert clean(written) == kept


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"inn": INN, "kpp": KPP}, "inn/7707083893/773601001"),
        ({"inn": " 7707083893 ", "kpp": "7736 01001"}, "inn/7707083893/773601001"),
        ({"inn": INN}, None),
        ({"inn": INN, "kpp": "12"}, None),
        ({"inn": "7707083894", "kpp": KPP}, None),
        ({"inn": PERSON}, "inn/500100732259/-"),
        ({"inn": PERSON, "kpp": KPP}, "inn/500100732259/-"),
        ({"kpp": KPP}, None),
        ({}, None),
    ],
)
def test_a_natural_key_needs_requisites_that_can_be_right(fields, key):
    assert natural_key(fields) == key


@pytest.mark.parametrize(
    ("number", "payer", "key"),
    [
        ("000123", INN, "2026-09-01:123:1500.00:7707083893"),
        ("123", " 7707083893", "2026-09-01:123:1500.00:7707083893"),
        ("123", None, "2026-09-01:123:1500.00:-"),
        ("123", "0", "2026-09-01:123:1500.00:-"),
        ("", INN, "2026-09-01:-:1500.00:7707083893"),
    ],
)
def test_one_movement_of_money_has_one_key_in_statement_and_books(number, payer, key):
    assert requisites.money_key(date(2026, 9, 1), number, Decimal("1500.0"), payer) == key


# --- doubts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "doubted"),
    [
        ({"inn": INN, "kpp": KPP, "ogrn": OGRN, "okpo": "00032537", "type": "legal_entity"}, {}),
        ({"inn": PERSON, "ogrn": OGRNIP, "type": "sole_trader"}, {}),
        ({"inn": None, "kpp": "", "accounts": None}, {}),
        ({"inn": "7707083894"}, {"inn": "check digit"}),
        ({"inn": "770708389"}, {"inn": "not an INN"}),
        ({"inn": INN, "type": "sole_trader"}, {"inn": "legal entity's, not a person's"}),
        ({"inn": PERSON, "type": "legal_entity"}, {"inn": "person's, not a legal entity's"}),
        ({"kpp": "7736"}, {"kpp": "not a KPP"}),
        ({"kpp": KPP, "type": "person"}, {"kpp": "none"}),
        ({"ogrn": "1027700132196"}, {"ogrn": "check digit"}),
        ({"ogrn": "10277"}, {"ogrn": "not an OGRN"}),
        ({"ogrn": OGRN, "type": "sole_trader"}, {"ogrn": "legal entity's"}),
        ({"ogrn": OGRNIP, "type": "legal_entity"}, {"ogrn": "sole trader's"}),
        ({"okpo": "123"}, {"okpo": "not an OKPO"}),
        ({"accounts": [{"account": "40702810423000009235", "bic": "045004774"}]}, {}),
        ({"accounts": [{"account": "40702810423000009235"}]}, {}),
        (
            {"accounts": [{"account": "40702810423000009235", "bic": "045004774"}, {"account": "4070"}]},
            {"accounts": "account 2 is not 20 digits"},
        ),
        (
            {"accounts": [{"account": "40702810423000009236", "bic": "045004774"}]},
            {"accounts": "account 1 does not fit"},
        ),
        ({"accounts": [{"account": "40702810423000009235", "bic": "0450"}]}, {"accounts": "not 9 digits"}),
        ({"phones": ["+79887085850", "позвонить"]}, {"phones": "phone 2 is not a telephone number"}),
        ({"emails": ["anna@example.ru", "нет"]}, {"emails": "e-mail 2 is not an address"}),
    ],
)
def test_what_cannot_be_right_is_told_by_field(fields, doubted):
    told = doubts(fields)
    assert told.keys() == doubted.keys()
    assert all(part in told[field] for field, part in doubted.items())


def test_a_doubt_never_shows_the_value():
    secret = {"inn": "7707083894", "kpp": "987", "phones": ["звонить 22 44"], "emails": ["тайна"], "ogrn": "555"}
    said = " ".join(doubts(secret).values())
    assert not any(value in said for value in ["7707083894", "987", "22 44", "тайна", "555"])


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "ООО Ромашка",
        "РОМАШКА ООО",
        'ООО "РОМАШКА"',
        "«Ромашка», ООО",
        "ООО “Ромашка” ",
        "ООО\xa0„Ромашка“",
        "Общество  с ограниченной ответственностью «Ромашка»",
        "Общество c ограниченной ответственностью «Ромашка»",  # a Latin c, as in a real file
        "OOO Ромашка",  # all Latin
        "Рoмaшкa",  # Latin o and a
        "ООО Ромашка (ООО)",
        "ромашка",
    ],
)
def test_one_name_in_its_many_spellings_has_one_key(written):
    assert name_key(written) == "ромашка"


@pytest.mark.parametrize(
    ("written", "key", "form"),
    [
        ("Открытое акционерное общество «Звёздочка»", "звездочка", "ОАО"),
        ("ПАО Сбербанк", "сбербанк", "ПАО"),
        ("Индивидуальный предприниматель Иванов И.И.", "иванов и и", "ИП"),
        ("Иванов И.И. ИП", "иванов и и", "ИП"),
        ("ФГБУ «НИИ»", "нии", "ФГБУ"),
        ("АО Google", "google", "АО"),
        ("Завод имени ООО Ромашка и К", "завод имени ооо ромашка и к", None),
        ("Ипотека", "ипотека", None),
        ("KOMET", "комет", None),
        ("Komet", "комет", None),
        ("ООО", None, "ООО"),
        (" — ", None, None),
    ],
)
def test_a_name_is_told_from_its_legal_form(written, key, form):
    assert name_key(written) == key
    assert legal_form(written) == form


@given(st.text("абвёЁАБВabcABCXYZxyz019 «»\"'.,-()\xa0", max_size=60) | st.sampled_from(["ООО АО Ива", "Ива ИП ЗАО"]))
def test_the_key_of_a_key_is_itself(name):
    key = name_key(name)
    assert key is None or name_key(key) == key


# --- phones and e-mails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("89887085850", ["+79887085850"]),
        (" +7928 506-66-96", ["+79285066696"]),
        ("8 960 786 50 46", ["+79607865046"]),
        ("(831) 228-0-239", ["+78312280239"]),
        ("+7-962-425-73-33", ["+79624257333"]),
        ("8 960 786 50 46 8 988 708 58 50", ["+79607865046", "+79887085850"]),
        ("8 960 786 50 46, 8(988)708-58-50;", ["+79607865046", "+79887085850"]),
        ("8 960 786 50 46 и 89607865046", ["+79607865046"]),
        ("+7 960 786 50 46 +375 29 123 45 67", ["+79607865046", "+375291234567"]),
        ("8 (831) 228-02-39, доб. 12", ["8 (831) 228-02-39, доб. 12"]),
        ("звонить после обеда", ["звонить после обеда"]),
        ("", []),
    ],
)
def test_phones_of_a_text_are_e164_where_they_parse_and_as_written_where_not(written, said):
    assert phones(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Anna@Example.RU", ["Anna@example.ru"]),
        ("a@x.ru; b@X.ru ,a@x.ru", ["a@x.ru", "b@x.ru"]),
        ("нет", ["нет"]),
        (" ; ", []),
    ],
)
def test_emails_of_a_text_are_split_where_1c_joins_them(written, said):
    assert emails(written) == said


@given(st.text(max_size=40))
def test_phones_read_again_are_the_same(text):
    once = phones(text)
    assert [phone for one in once for phone in phones(one)] == once
