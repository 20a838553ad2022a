"""What came back compared with what was sent: the interface ignores unknown fields, cuts long texts, and says 200."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation

from bus.errors import Dropped
from bus.model import Json
from bus.ports import Raw

_MIDNIGHT = "T00:00:00"


def kept(set_: str, sent: Mapping[str, Json], answered: Raw) -> Dropped | None:
    """The error that names every field that does not say what was sent; None: all of them do."""
    told = [complaint for name, value in sent.items() if (complaint := _complaint(name, value, answered))]
    if not told:
        return None
    names = ", ".join(name for name, _ in told)
    say = "; ".join(f"{name}: {why}" for name, why in told)
    return Dropped(
        f"{set_}: the base answered success, and kept something else: {say}", cause=f"{set_} dropped {names}"
    )


def _complaint(name: str, value: Json, answered: Raw) -> tuple[str, str] | None:
    if name not in answered:
        return name, "no such field: compare settings.configuration with the base"
    found = answered[name]
    if isinstance(value, list):
        return _of_rows(name, value, found)
    return None if same(value, found) else (name, _why(value, found))


def _of_rows(name: str, sent: list[Json], answered: Json) -> tuple[str, str] | None:
    """A section is replaced whole, so each of its rows says what was sent."""
    if not isinstance(answered, list) or len(answered) != len(sent):
        return name, f"{len(answered) if isinstance(answered, list) else 'no'} rows of {len(sent)}"
    for at, (row, now) in enumerate(zip(sent, answered, strict=True), 1):
        for field, value in row.items():
            if field not in now:
                return f"{name}.{field}", "no such field: compare settings.configuration with the base"
            if not same(value, now[field]):
                return f"{name}.{field}", f"row {at}: {_why(value, now[field])}"
    return None


def _why(sent: Json, found: Json) -> str:
    if isinstance(sent, str) and isinstance(found, str) and found and sent.startswith(found):
        return f"cut at {len(found)} characters"
    return "left as it was, or set by the configuration"


def same(sent: Json, found: Json) -> bool:
    """One value in two spellings: 1.0 and "1", a text with blanks around it, a time in a field that keeps only days."""
    if isinstance(sent, bool) or isinstance(found, bool):
        return sent is found
    if sent in (None, "") or found in (None, ""):
        return (sent or "") == (found or "")
    if isinstance(sent, int | float | Decimal) or isinstance(found, int | float | Decimal):
        return _number(sent) == _number(found)
    one, other = (str(value).strip().replace("\r\n", "\n") for value in (sent, found))
    return one.lower() == other.lower() if _reference(one) else one == other or _day(one, other)


def _number(value: Json) -> Decimal | None:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _reference(value: str) -> bool:
    return len(value) == 36 and value.count("-") == 4  # noqa: PLR2004 - the form of a GUID


def _day(sent: str, found: str) -> bool:
    """A field of type date keeps the day of what it is given."""
    if not found.endswith(_MIDNIGHT):
        return False
    try:
        return datetime.fromisoformat(sent).date() == datetime.fromisoformat(found).date()
    except ValueError:
        return False
