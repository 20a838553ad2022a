"""Purposes: the orders and invoices that the words of a payment name, and when two numbers are one in print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LETTERS = "0-9A-Za-zА-Яа-яЁё"
_NUMBER = rf"[{_LETTERS}](?:[{_LETTERS}/_\-]|\.(?=[0-9]))*"
_SIGN = r"(?:№+|N(?=[\s0-9])|No\.?(?=[\s0-9])|#|номер(?:а|ам|у)?)"
_CASES = "(?:а|у|ом|е|ы|ов|ам|ами|ах)?(?![а-яё])"
_WHAT = rf"(?:заказ{_CASES}|зак\.|сч[её]т{_CASES}(?:-(?:договор|оферт)[а-яё]*)?|сч\.|orders?|invoices?)"
_OF_WHOM = (
    r"(?:клиента|покупателя|поставщику|на\s+(?:пред)?оплату"
    r"|(?:(?:в|на|из|с)\s+)?(?:сайт[а-я]*|интернет[- ]?магазин[а-я]*))"
)
_DATE = r"(?:от|dated)\s*[0-9]{1,2}\.[0-9]{1,2}\.(?P<year>[0-9]{4}|[0-9]{2})\s*(?:г\.?)?"
_ORDERS = re.compile(
    rf"(?<![a-zа-яё/])(?P<what>{_WHAT})\s*(?:{_OF_WHOM}\s*)*(?:{_DATE}\s*)?(?:{_SIGN}\s*)*[:\-]?\s*"
    rf"(?P<number>{_NUMBER})(?=(?P<rest>.{{0,200}}))",
    re.IGNORECASE | re.DOTALL,
)
_MANY = re.compile(r"(?:(?:заказ|сч[её]т)(?:ы|ов|ам|ами|ах)|счета|s)$", re.IGNORECASE)
_NEXT = re.compile(rf"\s*(?:,|;|и\b|and\b)\s*(?:{_SIGN}\s*)*(?P<number>[0-9][{_LETTERS}/_\-]*)", re.IGNORECASE)
_DATED = re.compile(rf"\s*{_DATE}", re.IGNORECASE)
_ACCOUNT = re.compile(r"[0-9]{20}")
_ALIKE = str.maketrans("ABCEHKMOPTXY", "АВСЕНКМОРТХУ")
_BACK = str.maketrans("АВСЕНКМОРТХУ", "ABCEHKMOPTXY")


@dataclass(frozen=True, slots=True)
class Named:
    """A number that a purpose names as an order's or an invoice's, and the year of its date where there is one."""

    number: str
    year: int | None = None


_ORDER = re.compile(r"(?<![a-zа-яё/])(?:зак|order)", re.IGNORECASE)


def names_an_order(purpose: str) -> bool:
    """Is one of them called an order? Of an invoice nobody may ever tell us, of an order somebody will."""
    return any(_ORDER.match(match["what"]) and any(_named(match)) for match in _ORDERS.finditer(purpose))


def orders(purpose: str) -> list[Named]:
    """The orders and invoices that a purpose names, each once, in order. A bank account is no invoice."""
    found: dict[Named, None] = {}
    for match in _ORDERS.finditer(purpose):
        for named in _named(match):
            found.setdefault(named)
    return list(found)


def _named(match: re.Match[str]) -> Iterator[Named]:
    number, rest = match["number"].rstrip("./-_"), match["rest"]
    if not any(character.isdigit() for character in number) or _ACCOUNT.fullmatch(number):
        return
    dated = _DATED.match(rest)
    yield Named(number, _year(match["year"] or (dated and dated["year"])))
    while _MANY.search(match["what"]) and (following := _NEXT.match(rest, dated.end() if dated else 0)):
        rest = rest[following.end() :]
        dated = _DATED.match(rest)
        yield Named(following["number"].rstrip("/-_"), _year(dated and dated["year"]))


def _year(said: str | None) -> int | None:
    if not said:
        return None
    return int(said) + (2000 if len(said) == 2 else 0)  # noqa: PLR2004 - digits


def spellings(number: str) -> list[str]:
    """How a number may stand in a system that means the same: in capitals, with Latin letters or Cyrillic, unpadded."""
    upper = number.upper()
    found = [number, upper, upper.translate(_ALIKE), upper.translate(_BACK)]
    return list(dict.fromkeys([*found, *(one.lstrip("0") for one in found if one.strip("0"))]))


def same(printed: str, number: str) -> bool:
    """Whether a number in print is this one: 1C prints "ТДЦБ-000002" as "ТДЦБ-2", and people leave the prefix out."""
    short, full = _bare(printed), _bare(number)
    prefixed = re.fullmatch(r"[^0-9]+-([0-9]+)", full)
    return bool(short) and (short == full or (prefixed is not None and short == prefixed[1]))


def _bare(number: str) -> str:
    """Its words and figures, these without zeros before them; capitals that look alike are one."""
    parts = re.findall(r"[0-9]+|[^\W\d_]+", number.upper().translate(_ALIKE))
    bare = (part.lstrip("0") if part.isdigit() else part for part in parts)
    return "-".join(part for part in bare if part)
