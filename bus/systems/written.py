"""Written: sums and days as people, banks and spreadsheets write them."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

_BLANKS = re.compile(r"[\s\u00a0\u2007\u2009\u200b\u202f\ufeff'’]+")
_CURRENCY = re.compile(r"(?:руб(?:лей|ля|ль)?\.?|р\.?|₽|rub)$", re.IGNORECASE)
_PLAIN = re.compile(r"(?P<sign>[-\u2212\u2013]?)(?P<whole>[0-9]*)(?:[.,-](?P<part>[0-9]*))?")
_GROUPED = re.compile(
    r"[-\u2212\u2013]?[0-9]{1,3}(?P<mark>[.,])[0-9]{3}(?:(?P=mark)[0-9]{3})*(?:(?!(?P=mark))[.,][0-9]+)?"
)
_CENTS = 2
_MOST_DIGITS = 16
"""Before the cents: what the ledger's money holds."""

_RUSSIAN = re.compile(r"(?P<day>[0-9]{1,2})[./-](?P<month>[0-9]{1,2})[./-](?P<year>[0-9]{4}|[0-9]{2})")
_ISO = re.compile(r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})")
_TIME = re.compile(
    r"[T ]+(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]+)?(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})?$"
)
_PIVOT = 50
"""A year of two digits below it is of this century, as 1C reads it."""
_LONGEST = 200
"""Characters: no sum and no day has more, and looking for either takes time by the square of them."""
_EMPTY_YEAR = 1
"""1C's empty date is the first day of it; others fill a form's places with zeros."""


def amount(text: str) -> Decimal | None:
    """A sum with its sign; None for nothing. "1 234,50", "1,234.50", "1234-50" and "1000+234.50" are all one.

    Raises ValueError for what is no sum, or has parts of a cent.
    """
    if len(text) > _LONGEST:
        raise ValueError("not a sum: too long")
    said = _CURRENCY.sub("", _BLANKS.sub("", text)).lstrip("+")
    return sum((_term(term) for term in said.split("+")), Decimal(0)) if said else None


def _term(said: str) -> Decimal:
    """One number of a sum. A mark that stands once divides the cents; one that stands between all threes does not."""
    grouped = _GROUPED.fullmatch(said)
    if grouped and (said.count(grouped["mark"]) > 1 or len(set(said) & {".", ","}) > 1):
        said = said.replace(grouped["mark"], "")
    found = _PLAIN.fullmatch(said.rstrip("="))
    if found is None or not (found["whole"] or found["part"]):
        raise ValueError("not a sum")
    cents = (found["part"] or "").rstrip("0")
    if len(cents) > _CENTS or len(found["whole"]) > _MOST_DIGITS:
        raise ValueError("not a sum in roubles and kopecks")
    value = Decimal(f"{found['whole'] or 0}.{cents or 0}")
    return -value if found["sign"] else value


def day(text: str) -> date | None:
    """A day; None for nothing and for an empty date (00.00.0000, 01.01.0001). A time that follows it is left out.

    Raises ValueError for what is no day.
    """
    if len(text) > _LONGEST:
        raise ValueError("not a day: too long")
    said = _TIME.sub("", _BLANKS.sub(" ", text).strip())
    if not said.strip(" ./-0"):
        return None
    found = _RUSSIAN.fullmatch(said) or _ISO.fullmatch(said)
    if found is None:
        raise ValueError("not a day: write dd.mm.yyyy")
    year = int(found["year"])
    if len(found["year"]) == 2:  # noqa: PLR2004 - digits
        year += 2000 if year < _PIVOT else 1900
    return None if year == _EMPTY_YEAR else date(year, int(found["month"]), int(found["day"]))


def moment(text: str, zone: ZoneInfo) -> datetime | None:
    """A day with its time, midnight where there is none, in `zone` unless it names another. Raises ValueError."""
    on = day(text)
    found = _TIME.search(_BLANKS.sub(" ", text).strip())
    if on is None or found is None:
        return datetime.combine(on, time(), zone) if on else None
    at = time.fromisoformat(found["time"].rjust(5 if found["time"].count(":") == 1 else 8, "0"))
    offset = datetime.fromisoformat(f"2000-01-01T00:00{found['offset']}").tzinfo if found["offset"] else None
    return datetime.combine(on, at, offset or zone)
