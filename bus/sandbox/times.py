"""Times as the portals say them: ISO-8601, whole seconds, the portal's own offset (+03:00)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

ZONE = timezone(timedelta(hours=3))


def iso(at: float) -> str:
    """Unix time as the portal prints it."""
    return datetime.fromtimestamp(int(at), ZONE).isoformat()


def utc(at: float) -> datetime:
    """Unix time as an aware UTC datetime."""
    return datetime.fromtimestamp(at, UTC)


def normal(value: Any) -> str | None:
    """Any date a client may send, as the portal prints it; a date without an offset is local. None if it is no date."""
    if value in (None, ""):
        return None
    text = str(value).strip()
    for parse in (datetime.fromisoformat, _russian):
        try:
            found = parse(text)
        except ValueError:
            continue
        aware = found if found.tzinfo else found.replace(tzinfo=ZONE)
        return aware.astimezone(ZONE).replace(microsecond=0).isoformat()
    return None


def _russian(text: str) -> datetime:
    return datetime.strptime(text, "%d.%m.%Y %H:%M:%S" if " " in text else "%d.%m.%Y").replace(tzinfo=ZONE)
