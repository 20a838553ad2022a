"""What all CommerceML translators share: how its elements are read and written, and how its times and sums are meant.

Empty elements say nothing: 1C and sites write them for what they do not know.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict

from bus.errors import UnknownCode
from bus.model import Fields, Json
from bus.ports import Held, Raw, Tables
from mappings import values
from mappings.tables import meaning

UPDATES_OFF = frozenset({"ut", "auto"})
"""Profiles whose existing orders are not told of changes unless the settings say so: UT takes them before an order is
approved only, and silently drops them after (facts, onec.md 1.5)."""

_NOTHING = frozenset({"", "<>", "-"})
_TRUE = frozenset({"true", "истина", "1", "да", "yes", "y"})
_FALSE = frozenset({"false", "ложь", "0", "нет", "no", "n"})
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WRITTEN = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?")
_LOCAL = re.compile(r"(\d\d)\.(\d\d)\.(\d{4})(?: +(\d{1,2}):(\d\d)(?::(\d\d))?)?")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
_FIRST_YEAR = 1970
"""1C's empty date is 0001-01-01."""


def _word(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("#")
    said = values.text(value) if isinstance(value, str) else None
    return None if said is None or said in _NOTHING else said


def _requisites(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return {}
    return {
        name: next((word for word in map(_word, said if isinstance(said, list) else [said]) if word), None)
        for name, said in value.items()
    }


Word = Annotated[str | None, BeforeValidator(_word)]
"""Trimmed text; nothing for what is empty, `<>` or a dash."""
Sum = Annotated[values.Sum, BeforeValidator(_word)]
"""A number in any spelling: 1 234,50 with any blanks, 231.7400."""
Requisites = Annotated[dict[str, Word], BeforeValidator(_requisites)]
"""By name, of several of one name the first that says something."""
Listed = BeforeValidator(lambda value: value if isinstance(value, list) else [])
"""An empty element for a list."""
Inner = BeforeValidator(lambda value: value if isinstance(value, Mapping) else {})
"""An empty element for one that holds others."""


class Read(BaseModel):
    """The part of a document that is read: elements by their own names, everything else ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def says(self, name: str) -> bool:
        """Whether the element stands there, be it empty."""
        return name in self.model_fields_set


def flag(said: str | None) -> bool | None:
    """A flag among the requisites; None where nothing is said, or nothing that is a flag."""
    plain = (said or "").lower()
    return True if plain in _TRUE else False if plain in _FALSE else None


def guid(value: str | None) -> str | None:
    """A reference of 1C's, in small letters; None for any other id."""
    return value.lower() if value and _GUID.fullmatch(value) else None


def zone(tables: Tables) -> ZoneInfo:
    """Where 1C's clock stands: it writes times without a zone."""
    return ZoneInfo(tables.name("links", "zone") or "Europe/Moscow")


def moment(day: str | None, tables: Tables, clock: str | None = None) -> datetime | None:
    """A time of 1C's: 2026-10-05, 2026-10-05T12:00:00 or 05.10.2026 12:00, with the hour that stands elsewhere."""
    said = day or ""
    if found := _WRITTEN.match(said):
        year, month, date, *rest = found.groups()
    elif found := _LOCAL.match(said):
        date, month, year, *rest = found.groups()
    else:
        return None
    if rest[0] is None and clock and (hour := _CLOCK.match(clock)):
        rest = list(hour.groups())
    if int(year) < _FIRST_YEAR:
        return None
    hours, minutes, seconds = (int(part or 0) for part in rest)
    try:
        local = datetime(int(year), int(month), int(date), hours, minutes, seconds, tzinfo=zone(tables))
    except ValueError:
        return None
    return local.astimezone(UTC)


def written(at: datetime, tables: Tables) -> datetime:
    """A moment by 1C's own clock."""
    return at.astimezone(zone(tables))


def currency(said: str | None, tables: Tables) -> str | Held | None:
    """The ISO code of a currency that 1C calls RUB, руб., or 643; one that nobody mapped is held."""
    if said is None:
        return None
    for spelling in (said, said.rstrip(".").lower(), said.upper()):
        try:
            return tables.canonical("currencies", spelling, field="total")
        except UnknownCode:
            continue
    return meaning(tables, "currencies", said, field="total")


def currency_name(code: str, tables: Tables) -> str:
    """What 1C calls a currency: UT looks for it by its name. Raises UnknownCode."""
    return tables.codes("currencies", code, field="total")[0]


def amount(value: Decimal | None, code: str | Held | None) -> Json:
    """A canonical sum, where both halves are known."""
    return values.amount(value, code) if isinstance(code, str) else None


def profile(tables: Tables) -> str:
    """How this 1C speaks, as it was configured: ut, unf, bus or auto."""
    return tables.name("links", "profile") or "auto"


def updates(tables: Tables) -> bool:
    """Whether an order that 1C has already is told of changes."""
    wanted = tables.name("links", "updates")
    return wanted == "yes" or (wanted != "no" and profile(tables) not in UPDATES_OFF)


def invented(text: str) -> str:
    """A GUID for goods that have none: 1C makes the item under it, and finds it by it the next time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"integration-bus/goods/{text}"))


def said_only(fields: Fields) -> Fields:
    """What a document says: an element that is missing or empty clears nothing."""
    return {name: value for name, value in fields.items() if value is not None}


def filled(raw: Raw) -> Raw:
    """A document's part without what is empty: UT gives an empty requisite its neighbour's value."""
    return {name: value for name, value in raw.items() if value not in (None, "", [], {})}
