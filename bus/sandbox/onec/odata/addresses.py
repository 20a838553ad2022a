"""The path behind the interface's root: a set, an entity by its key, and what stands after it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bus.sandbox.onec.odata import errors, tokens

_SEGMENT = re.compile(r"(?P<name>[^()]+)(?:\((?P<inside>.*)\))?", re.DOTALL)
_NAMED = re.compile(r"\s*([^\W\d]\w*)\s*=\s*((?:guid|datetime)?'(?:[^']|'')*'|[^,']+)\s*(?:,|$)")
Key = dict[str, str]
"""By the key's property names; a key without a name is under ""."""


@dataclass(frozen=True)
class Address:
    """`Set(key)/tail(arguments)`; the parts that are not there are empty or None."""

    set: str
    key: Key | None = None
    tail: str = ""
    arguments: Key | None = None


def read(path: str) -> Address:
    """Raises code 6 for a path that 1C does not have, code 1 for a key that cannot be read."""
    parts = _segments(path.strip("/"))
    if len(parts) > 2:  # noqa: PLR2004  # an entity and what stands after it
        raise errors.no_segment(parts[2])
    name, inside = _parsed(parts[0])
    if len(parts) == 1:
        return Address(name, inside)
    tail, arguments = _parsed(parts[1])
    return Address(name, inside, tail, arguments)


def _segments(path: str) -> list[str]:
    """Split at slashes that stand outside of quotes."""
    parts, quoted = [""], False
    for sign in path:
        quoted ^= sign == "'"
        if sign == "/" and not quoted:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _parsed(segment: str) -> tuple[str, Key | None]:
    match = _SEGMENT.fullmatch(segment)
    if match is None:
        raise errors.no_segment(segment)
    inside = match["inside"]
    return match["name"], None if inside is None else _key(inside)


def _key(inside: str) -> Key:
    if not inside.strip():
        return {}
    if "=" not in inside.split("'", 1)[0]:
        return {"": _value(inside.strip())}
    found, at = {}, 0
    while at < len(inside):
        match = _NAMED.match(inside, at)
        if match is None:
            raise errors.bad_text("key", inside)
        found[match[1]] = _value(match[2].strip())
        at = match.end()
    return found


def _value(text: str) -> str:
    if text.startswith("guid'"):
        return tokens.guid(text[5:-1])
    if text.startswith("datetime'"):
        return tokens.date(text[9:-1])
    return text[1:-1].replace("''", "'") if text.startswith("'") else text
