"""The words of $filter: literals, names, signs. A `+` is no space here, and no sign either."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bus.sandbox.onec.odata import errors
from bus.sandbox.onec.schema import ZERO_DATE

_WORDS = re.compile(
    r"""\s*(?:
    guid'(?P<guid>[^']*)'
    | datetime'(?P<date>[^']*)'
    | '(?P<string>(?:[^']|'')*)'
    | (?P<number>-?\d+(?:\.\d+)?)[dDmMfFlL]?(?!\w)
    | (?P<name>[^\W\d]\w*(?:/[^\W\d]\w*)*)
    | (?P<sign>[(),:])
    )""",
    re.VERBOSE,
)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?)?")


@dataclass(frozen=True)
class Token:
    """`kind`: guid, date, string, number, name, sign; `value` is read already."""

    kind: str
    value: Any


def split(text: str) -> list[Token]:
    """All words of an expression; raises code 14 where it cannot go on, code 1 for a literal that is none."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _WORDS.match(text, at)
        if match is None or match.lastgroup is None:
            raise errors.bad_option("$filter", f"позиция {at + 1}")
        found.append(Token(match.lastgroup, _read(match.lastgroup, match[match.lastgroup])))
        at = match.end()
    return found


def _read(kind: str, text: str) -> Any:
    if kind == "guid":
        return guid(text)
    if kind == "date":
        return date(text)
    if kind == "string":
        return text.replace("''", "'")
    return float(text) if kind == "number" else text


def guid(text: str) -> str:
    if not _GUID.fullmatch(text.lower()):
        raise errors.bad_text("guid", text)
    return text.lower()


def date(text: str) -> str:
    """A moment to the second; the day alone is its midnight."""
    if not _DATE.fullmatch(text):
        raise errors.bad_text("datetime", text)
    return text + ZERO_DATE[len(text) :]
