"""The query string as 1C reads it: `%20` is a space and `+` is not."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from bus.sandbox.onec.odata import errors


@dataclass(frozen=True)
class Options:
    """System options as they were sent; `top` None is no limit."""

    filter: str | None = None
    select: str | None = None
    expand: str | None = None
    orderby: str | None = None
    top: int | None = None
    skip: int = 0
    counted: bool = False
    allowed_only: bool = False
    format: str = ""


def pairs(query: str) -> dict[str, str]:
    """The parameters, the last of a name winning."""
    found = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        found[unquote(name)] = unquote(value)
    return found


def read(given: dict[str, str]) -> Options:
    """Raises code 14 for a number that is none."""
    return Options(
        filter=given.get("$filter") or None,
        select=given.get("$select") or None,
        expand=given.get("$expand") or None,
        orderby=given.get("$orderby") or None,
        top=_count("$top", given["$top"]) if "$top" in given else None,
        skip=_count("$skip", given.get("$skip", "0")),
        counted=given.get("$inlinecount") == "allpages",
        allowed_only=given.get("allowedOnly", "").lower() == "true",
        format=given.get("$format", ""),
    )


def _count(option: str, text: str) -> int:
    if not text.isdigit():
        raise errors.bad_option(option, text)
    return int(text)
