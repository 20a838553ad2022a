"""Russian requisites: what can be right, which key they make, and names, phones and e-mails in the form compared by.

Checks tell whether a value can be right, by its own digits; whether it exists, only the tax office knows. Rules: INN by
the Federal Tax Service's order, account keys by the Bank of Russia's order 515 of 1997. Nothing here repairs a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal

import phonenumbers

from bus.model import Json, PartyType

_REGION = "RU"
_INN10 = (2, 4, 10, 3, 5, 9, 4, 6, 8)
_INN11 = (7, *_INN10)
_INN12 = (3, *_INN11)
_KEY = (7, 1, 3)
_LEGAL, _OWN = 10, 12
"""Digits of an INN: a legal entity's, a person's."""
_DIGITS = re.compile(r"[0-9]+")
_KPP = re.compile(r"[0-9]{4}[0-9A-Z]{2}[0-9]{3}")
_UNSEEN = re.compile(r"[\s\u00ad\u200b-\u200f\u2060\ufeff]+")
_AT_CENTRAL_BANK = ("30101", "30125", "40102")
"""Correspondent accounts and the treasury's unified ones: they are kept at the Bank of Russia."""
_SETTLEMENT_CENTRES = ("000", "001", "002")
_TREASURY = "03"
"""Treasury personal accounts: their key is not of order 515."""


def clean(value: Json) -> str | None:
    """A requisite as it was written, without blanks; a spreadsheet's 7707083893.0 is 7707083893; "-" says nothing."""
    said = _UNSEEN.sub("", re.sub(r"^([0-9]+)\.0+$", r"\1", str(value))) if value is not None else ""
    return said if any(character.isalnum() for character in said) else None


def inn(value: str) -> bool:
    """Whether this can be an INN: 10 digits of a legal entity or 12 of a person, by their checksums."""
    figures = _figures(value, _LEGAL, _OWN)
    if len(figures) == _LEGAL:
        return _checked(figures, _INN10)
    return len(figures) == _OWN and _checked(figures[:-1], _INN11) and _checked(figures, _INN12)


def kpp(value: str) -> bool:
    """Whether this can be a KPP. It has no checksum, and all zeros are a form's filler."""
    return bool(_KPP.fullmatch(value)) and bool(value.strip("0"))


def ogrn(value: str) -> bool:
    """Whether this can be an OGRN (13 digits) or a sole trader's OGRNIP (15), by their check digit.

    The rest of the division is taken mod 10 for both: python-stdnum leaves that out for OGRNIP, and refuses every
    fourth valid one. Numbers that begin with 2 are of later records, not of the entity.
    """
    figures = _figures(value, 13, 15)
    if not figures:
        return False
    base = 11 if len(figures) == 13 else 13  # noqa: PLR2004 - digits of an OGRN
    first = figures[0] in ((1, 5) if base == 11 else (3,))  # noqa: PLR2004 - the divisor of an OGRN
    return first and int(value[:-1]) % base % 10 == figures[-1]


def bic(value: str) -> bool:
    """Whether this can be a BIC: 9 digits. Banks' begin with 04, the treasury's with 00, 01 or 02."""
    return bool(_figures(value, 9))


def account(bank: str, number: str) -> bool:
    """Whether an account of 20 digits can be kept at the bank of this BIC, by the account's key."""
    figures = _figures(number, 20)
    if not bic(bank) or not figures:
        return False
    if number.startswith(_TREASURY):
        return True
    central = number.startswith(_AT_CENTRAL_BANK) or bank.endswith(_SETTLEMENT_CENTRES)
    prefix = "0" + bank[4:6] if central else bank[-3:]
    return sum(int(figure) * _KEY[at % 3] % 10 for at, figure in enumerate(prefix + number)) % 10 == 0


def _figures(value: str, *lengths: int) -> list[int]:
    """The digits of a number of one of these lengths; none for other lengths or characters, or nothing but zeros."""
    fits = len(value) in lengths and _DIGITS.fullmatch(value) and value.strip("0")
    return [int(figure) for figure in value] if fits else []


def _checked(figures: list[int], weights: tuple[int, ...]) -> bool:
    total = sum(figure * weight for figure, weight in zip(figures, weights, strict=False))
    return total % 11 % 10 == figures[-1]


def natural_key(fields: Mapping[str, Json]) -> str | None:
    """What a counterparty is one by: "inn/7707083893/773601001", "inn/500100732259/-" for a person or sole trader.

    None where that cannot be told: an INN that is missing or wrong, or a legal entity's without its KPP: branches share
    one INN.
    """
    number, branch = clean(fields.get("inn")), clean(fields.get("kpp"))
    if not number or not inn(number):
        return None
    if len(number) == _OWN:
        return f"inn/{number}/-"
    return f"inn/{number}/{branch}" if branch and kpp(branch) else None


def money_key(on: date, number: str, amount: Decimal, payer: str | None) -> str:
    """What one movement of money is the same by in a statement and in the books: date, number, sum and payer's INN.

    Banks and books write a number with or without leading zeros; an INN that cannot be one counts as not known.
    """
    known = clean(payer)
    who = known if known and inn(known) else "-"
    return f"{on:%Y-%m-%d}:{(clean(number) or '').lstrip('0') or '-'}:{amount:.2f}:{who}"


# --- what is doubtful -------------------------------------------------------------------------------------------------


def doubts(fields: Mapping[str, Json]) -> dict[str, str]:
    """Fields that cannot be right, each with what is wrong; never with the value. They are kept as they are."""
    trader = fields.get("type") in (PartyType.SOLE_TRADER, PartyType.PERSON)
    legal = fields.get("type") == PartyType.LEGAL_ENTITY
    found = {
        "inn": _inn_doubt(clean(fields.get("inn")), trader=trader, legal=legal),
        "kpp": _kpp_doubt(clean(fields.get("kpp")), trader=trader),
        "ogrn": _ogrn_doubt(clean(fields.get("ogrn")), trader=trader, legal=legal),
        "okpo": _okpo_doubt(clean(fields.get("okpo"))),
        "accounts": _each("account", map(_account_doubt, fields.get("accounts") or [])),
        "phones": _each("phone", map(_phone_doubt, fields.get("phones") or [])),
        "emails": _each("e-mail", map(_email_doubt, fields.get("emails") or [])),
    }
    return {field: doubt for field, doubt in found.items() if doubt}


def _inn_doubt(value: str | None, *, trader: bool, legal: bool) -> str | None:
    if value is None:
        return None
    if not _figures(value, _LEGAL, _OWN):
        return "not an INN: 10 digits of a legal entity or 12 of a person"
    if not inn(value):
        return "its check digit is wrong: a digit was mistyped"
    if trader and len(value) == _LEGAL:
        return "10 digits are a legal entity's, not a person's"
    return "12 digits are a person's, not a legal entity's" if legal and len(value) == _OWN else None


def _kpp_doubt(value: str | None, *, trader: bool) -> str | None:
    if value is None:
        return None
    if not kpp(value):
        return "not a KPP: 4 digits, 2 digits or capital letters, 3 digits"
    return "persons and sole traders have none" if trader else None


def _ogrn_doubt(value: str | None, *, trader: bool, legal: bool) -> str | None:
    if value is None:
        return None
    if not _figures(value, 13, 15):
        return "not an OGRN: 13 digits of a legal entity or 15 of a sole trader"
    if not ogrn(value):
        return "its first or its check digit is wrong: a digit was mistyped"
    if trader and len(value) == 13:  # noqa: PLR2004 - digits of an OGRN
        return "13 digits are a legal entity's, not a sole trader's"
    return "15 digits are a sole trader's, not a legal entity's" if legal and len(value) == 15 else None  # noqa: PLR2004


def _okpo_doubt(value: str | None) -> str | None:
    return None if value is None or _figures(value, 8, 10) else "not an OKPO: 8 digits, or 10 of a sole trader"


def _account_doubt(one: Mapping[str, Json]) -> str | None:
    number, bank = clean(one.get("account")) or "", clean(one.get("bic"))
    if not _figures(number, 20):
        return "is not 20 digits"
    if bank is None:
        return None
    if not bic(bank):
        return "has a BIC that is not 9 digits"
    return None if account(bank, number) else "does not fit its BIC: a digit was mistyped, or it is another bank's"


def _phone_doubt(value: str) -> str | None:
    return None if phone(value).startswith("+") else "is not a telephone number that could be dialled"


def _email_doubt(value: str) -> str | None:
    return None if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value) else "is not an address"


def _each(what: str, found: Iterable[str | None]) -> str | None:
    """Doubts of a list's items, which are named by their place."""
    return "; ".join(f"{what} {at} {doubt}" for at, doubt in enumerate(found, 1) if doubt) or None


# --- phones and e-mails -----------------------------------------------------------------------------------------------


_BETWEEN_PHONES = re.compile(r"[;,\n|/](?!\s*(?:доб|ext))|\sи\s|\s(?=\+)")
_PHONE = re.compile(r"(?:\+?7|8)(?:[\s()-]*[0-9]){10}")
_PHONES = re.compile(rf"(?:{_PHONE.pattern}\s+)+{_PHONE.pattern}")


def phone(value: str) -> str:
    """E.164 where the number is a possible one (Russia unless it says otherwise), else as it was written, trimmed."""
    said = value.strip()
    try:
        number = phonenumbers.parse(said, _REGION)
    except phonenumbers.NumberParseException:
        return said
    reason = phonenumbers.is_possible_number_with_reason(number)
    if number.extension or reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        return said
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def email(value: str) -> str:
    """An address with its domain in lower case; the part before the @ may matter to its server and stays."""
    name, at, domain = value.strip().rpartition("@")
    return f"{name}{at}{domain.lower()}"


def phones(text: str) -> list[str]:
    """Every phone of a text, each once, in order; what is none stays as it was written."""
    return _distinct(phone(one) for part in _BETWEEN_PHONES.split(text) for one in _run_together(part.strip()))


def emails(text: str) -> list[str]:
    """Every address of a text with several, each once, in order."""
    return _distinct(email(part) for part in re.split(r"[;,\n|]", text))


def _run_together(text: str) -> list[str]:
    """Russian numbers that nothing but blanks divides; any other text is one."""
    return _PHONE.findall(text) if _PHONES.fullmatch(text) else [text]


def _distinct(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(item for item in items if item))


# --- names ------------------------------------------------------------------------------------------------------------

_FORMS: Mapping[str, str] = {
    "общество с ограниченной ответственностью": "ООО",
    "публичное акционерное общество": "ПАО",
    "открытое акционерное общество": "ОАО",
    "закрытое акционерное общество": "ЗАО",
    "непубличное акционерное общество": "НАО",
    "акционерное общество": "АО",
    "индивидуальный предприниматель": "ИП",
    "предприниматель без образования юридического лица": "ИП",
    "пбоюл": "ИП",
    "чп": "ИП",
    "федеральное государственное бюджетное учреждение": "ФГБУ",
    "федеральное государственное бюджетное образовательное учреждение": "ФГБОУ",
    "федеральное государственное унитарное предприятие": "ФГУП",
    "федеральное казенное учреждение": "ФКУ",
    "государственное бюджетное учреждение": "ГБУ",
    "государственное унитарное предприятие": "ГУП",
    "муниципальное бюджетное учреждение": "МБУ",
    "муниципальное унитарное предприятие": "МУП",
    "муниципальное казенное учреждение": "МКУ",
    "автономная некоммерческая организация": "АНО",
    "некоммерческое партнерство": "НП",
    "товарищество собственников жилья": "ТСЖ",
    "крестьянское фермерское хозяйство": "КФХ",
    "производственный кооператив": "ПК",
}
"""Legal forms in full, in small letters with е for ё, and how they are cut short."""
_BY_WORDS = sorted(
    ((tuple(full.split()), short) for full, short in [*_FORMS.items(), *((s.lower(), s) for s in _FORMS.values())]),
    key=lambda form: -len(form[0]),
)
"""The longest first, so that an open joint-stock company is not read as a joint-stock one."""
_LOOK_ALIKE = str.maketrans("ABCEHKMOPTXY", "АВСЕНКМОРТХУ")
_LATIN = re.compile(r"[A-Z]")
_ONLY_ALIKE = re.compile(r"[0-9ABCEHKMOPTXY]+")
_CYRILLIC = re.compile(r"[А-Я]")


def name_key(name: str) -> str | None:
    """A name as names are compared, and never shown: without its legal form, quotes, double blanks and look-alikes.

    Two names with one key may still be two companies. None for a name that has nothing but its form.
    """
    words, _ = _split(name)
    return " ".join(words) or None


def legal_form(name: str) -> str | None:
    """The legal form that a name begins or ends with, cut short: "ООО", "ИП"; None where there is none."""
    return _split(name)[1]


def _split(name: str) -> tuple[list[str], str | None]:
    """The words of a name without its legal form, and that form; it may be said both before and after the name."""
    words, form = _words(name), None
    found: str | None = ""
    while found is not None:
        words, found = _without_form(words)
        form = form or found
    return words, form


def _without_form(words: list[str]) -> tuple[list[str], str | None]:
    for form, short in _BY_WORDS:
        size = len(form)
        if tuple(words[:size]) == form:
            return words[size:], short
        if tuple(words[-size:]) == form:
            return words[:-size], short
    return words, None


def _words(name: str) -> list[str]:
    """Words in small Cyrillic letters where they could be meant so; what is no letter and no digit divides them."""
    shouted = name.upper().replace("Ё", "Е")
    return [_folded(word).lower() for word in re.findall(r"[^\W_]+", shouted)]


def _folded(word: str) -> str:
    """Latin letters that look Cyrillic as Cyrillic, in a word that has such ones or could be one; else as it is."""
    if not _LATIN.search(word) or not (_CYRILLIC.search(word) or _ONLY_ALIKE.fullmatch(word)):
        return word
    return word.translate(_LOOK_ALIKE)
