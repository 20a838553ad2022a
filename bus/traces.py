"""Traces: what tells a person in any text, however it is written: for Python's and PostgreSQL's regular expressions.

Sure is what nobody else has: a phone, an e-mail, an INN, an account. A name or an address may be somebody else's too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bus.model import Fields

_DIGITS_OF_A_PHONE = 10
"""Without the country's code, which is written as +7, 7 or 8, or left out."""
_LONG_ENOUGH = 5
_OVERLAP = 1024
_ENCODINGS = ("utf-8", "cp1251")
_NUMBERS = ("inn", "ogrn", "customer.inn")
_PHONES, _EMAILS = ("phones", "customer.phone"), ("emails", "customer.email")
_WORDS = ("name", "legal_name", "customer.name", "customer.company", "address", "legal_address", "delivery.address")


@dataclass(frozen=True, slots=True)
class Traces:
    """Regular expressions; `sure` alone tells the person."""

    sure: frozenset[str]
    likely: frozenset[str]

    @property
    def certain(self) -> str | None:
        """One expression for what is sure; None where there is nothing."""
        return "|".join(sorted(self.sure)) or None

    @property
    def any(self) -> str | None:
        """One expression for everything."""
        return "|".join(sorted(self.sure | self.likely)) or None


def of(said: Iterable[Fields]) -> Traces:
    """What tells whoever says all this."""
    sure: set[str] = set()
    likely: set[str] = set()
    for fields in said:
        sure |= {_alone(number) for number in _of(fields, _NUMBERS)}
        sure |= {_phone(phone) for phone in _of(fields, _PHONES)}
        sure |= {re.escape(email) for email in _of(fields, _EMAILS) if "@" in email}
        sure |= {_alone(str(one.get("account") or "")) for one in fields.get("accounts") or []}
        likely |= {_spaced(words) for words in _of(fields, _WORDS)}
    return Traces(frozenset(sure - {""}), frozenset(likely - {""}))


def found(pattern: str, chunks: Iterable[bytes]) -> bool:
    """Is it in a text that comes in pieces, in UTF-8 or Windows-1251?"""
    search, before = re.compile(pattern, re.IGNORECASE), b""
    for chunk in chunks:
        whole = before + chunk
        if any(search.search(whole.decode(encoding, "ignore")) for encoding in _ENCODINGS):
            return True
        before = whole[-_OVERLAP:]
    return False


def words(name: str | None) -> frozenset[str]:
    """What two spellings of a name share: its words, whatever their order."""
    return frozenset(word for word in re.findall(r"\w{3,}", (name or "").lower().replace("ё", "е")))


def _of(fields: Fields, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        value = fields.get(name)
        yield from (str(one).strip() for one in (value if isinstance(value, list) else [value]) if one)


def _alone(number: str) -> str:
    """A number that is not a part of a longer one."""
    digits = re.sub(r"\D", "", number)
    return rf"(?<![0-9]){digits}(?![0-9])" if len(digits) >= _DIGITS_OF_A_PHONE else ""


def _phone(phone: str) -> str:
    digits = re.sub(r"\D", "", phone)[-_DIGITS_OF_A_PHONE:]
    return "[^0-9]{0,3}".join(digits) + "(?![0-9])" if len(digits) == _DIGITS_OF_A_PHONE else ""


def _spaced(text: str) -> str:
    """The words of a text, with any blanks between."""
    return r"\s+".join(re.escape(word) for word in text.split()) if len(text) >= _LONG_ENOUGH else ""
