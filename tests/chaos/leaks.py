r"""Leaks: were planted secrets, or planted people's data, written where they do not belong?

    planted = Planted(secrets={"webhook code": code}, people={"phone": phones, "name": names})
    planted.find(text)                       # {"webhook code"}: secrets and people's data
    planted.find(text, people=False)         # secrets only: a channel's messages carry events by design

Found as they are, and as JSON (\u0438), URLs (%D0%B8), HTTP Basic and other base64 would spell them; a phone in any of
the ways that people write it. What is found is told by its name, never by its value.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from bus.model import Json

_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_QUOTED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s()+-]+(?=\d)")
_WORD = re.compile(r"\w+")
_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]{16,}")
_PHONE_DIGITS = 10
_SHORTEST = 5
"""A shorter text would be found by chance."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Something planted was found where it does not belong."""

    place: str
    what: str


@dataclass(frozen=True)
class Planted:
    """What was planted, each under a name that may be told: secrets by name, people's data by kind."""

    secrets: Mapping[str, str]
    people: Mapping[str, Collection[str]]

    def __post_init__(self) -> None:
        short = [name for name, value in self.secrets.items() if len(value) < _SHORTEST]
        short += [kind for kind, values in self.people.items() if any(len(value) < _SHORTEST for value in values)]
        if short:
            raise ValueError(f"too short to be looked for: {', '.join(sorted(set(short)))}")

    def find(self, text: str, *, people: bool = True) -> set[str]:
        """The names of what a text holds."""
        found = {name for name, spellings in self._spellings.items() if any(one in text for one in spellings)}
        return found | (self._people(text) if people else set())

    def within(self, place: str, text: str, *, people: bool = True) -> set[Leak]:
        """The same, with the place."""
        return {Leak(place, what) for what in self.find(text, people=people)}

    @cached_property
    def _spellings(self) -> dict[str, set[str]]:
        return {name: _spelled(value) for name, value in self.secrets.items()}

    @cached_property
    def _by_word(self) -> dict[str, list[tuple[str, str]]]:
        """Kind and value by the longest word of the value: a text is looked through once, however many are planted."""
        index: dict[str, list[tuple[str, str]]] = {}
        for kind, values in self.people.items():
            for value in values:
                plain = _plain(value)
                index.setdefault(max(_words(plain), key=len, default=plain), []).append((kind, plain))
        return index

    def _people(self, text: str) -> set[str]:
        found: set[str] = set()
        for line in text.splitlines():
            plain = _plain(line)
            for word in self._by_word.keys() & _words(plain):
                found |= {kind for kind, value in self._by_word[word] if value in plain}
        return found


def of_message(message: str) -> tuple[str, str]:
    """A Celery message as the broker keeps it, parted: what carries the event, and everything else (headers).

    What is no such message is all "else".
    """
    try:
        parsed = json.loads(message)
        envelope: dict[str, Any] = parsed[0] if isinstance(parsed, list) else parsed
        body = base64.b64decode(envelope["body"], validate=True).decode()
        others = {name: value for name, value in envelope.items() if name != "body"}
    except (ValueError, KeyError, TypeError, IndexError):
        return "", message
    return body, json.dumps(others, ensure_ascii=False)


def of_rows(rows: Iterable[Mapping[str, Json]]) -> str:
    """Rows of the ledger as text, one a line."""
    return "\n".join(json.dumps(dict(row), ensure_ascii=False, default=str) for row in rows)


def _spelled(secret: str) -> set[str]:
    """As logs, URLs, JSON, repr() and HTTP Basic would write it. A signing key also without its prefix."""
    plain = {secret, secret.removeprefix("whsec_")}
    plain |= {base64.b64encode(f"{user}:{secret}".encode()).decode().rstrip("=") for user in ("bus", "")}
    return plain | {quote(one, safe="") for one in plain} | {json.dumps(one)[1:-1] for one in plain}


def _plain(text: str) -> str:
    """Escapes undone, and phones without what stands between their digits."""
    if "\\" in text:
        text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    if "%" in text:
        text = _QUOTED.sub(lambda found: unquote(found[0]), text)
    return _BETWEEN_DIGITS.sub("", text)


def _words(text: str) -> set[str]:
    """Words; of a long number its last ten digits too, a phone without its country."""
    words = set(_WORD.findall(text))
    return words | {word[-_PHONE_DIGITS:] for word in words if word.isdigit() and len(word) > _PHONE_DIGITS}
