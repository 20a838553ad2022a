"""Redaction: what of a payload may be shown to an operator: codes, ids, amounts and shapes, never a person's data."""

from __future__ import annotations

import re

from bus.model import Json

_CODE = re.compile(r"^[A-Za-z0-9_:.\-]{1,40}$")
_PHONE = re.compile(r"^[+\d()\-. ]*$")
_DIGITS_OF_A_PHONE = 9
_SHORTER_THAN_A_PHONE = 10**8
_PERSONAL = re.compile(r"(?i)name|fio|phone|mail|address|comment|title|description|^value$|^fm$")
"""Keys under which systems keep what people say of themselves, whatever it looks like."""


_SAID = "said"
"""The key under which adapters keep a system's own words of refusal: shown, without names, quotes and numbers."""
_QUOTED = re.compile(r"\"[^\"]*\"|«[^»]*»|“[^”]*”|'[^']*'|\([^)]*\)")
_TOKEN = re.compile(r"\S+")
_PLAIN = re.compile(r"[a-zа-яё-]+[,.:;!?]*")
_CODED = re.compile(r"[(\[]?[A-Z][A-Z0-9]*(?:[_.:][A-Z0-9_.:]+|[A-Z0-9]+)[)\],.:;!?]*|UF_\w+", re.ASCII)
"""TITLE, UF_CRM_17, ERROR_CORE: Latin capitals, of which no name is made in these systems' words."""
_FIRST = re.compile(r"[A-ZА-ЯЁ][a-zа-яё-]*[,.:;!?]*")
_WORDS = 60


def redact(value: Json) -> Json:
    """The same structure with everything masked that is not plainly a code, an id or a number."""
    return _redacted(value, personal=False)


def _redacted(value: Json, *, personal: bool) -> Json:
    if isinstance(value, dict):
        return {
            str(key): worded(item)
            if key == _SAID and isinstance(item, str)
            else _redacted(item, personal=personal or bool(_PERSONAL.search(str(key))))
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_redacted(item, personal=personal) for item in value]
    if value is None or isinstance(value, bool) or (isinstance(value, (int, float)) and not personal and _short(value)):
        return value
    return f"<{len(str(value))} characters>" if personal else _masked(str(value))


def worded(text: str) -> str:
    """A system's own words: plain words of a sentence stay; what may be a name, a number or a quotation does not.

    "Не указан ИНН контрагента Иванов" -> "Не указан … контрагента …". Codes stay: "Field 'TITLE' is required".
    """
    shown, opens = [], True
    for token in _TOKEN.findall(_QUOTED.sub(_unquoted, text))[:_WORDS]:
        plain = _PLAIN.fullmatch(token) or _CODED.fullmatch(token) or (opens and _FIRST.fullmatch(token))
        shown.append(token if plain else "…")
        opens = token[-1] in ".:!?"
    return " ".join(word for at, word in enumerate(shown) if word != "…" or shown[at - 1 : at] != ["…"])


def _unquoted(found: re.Match[str]) -> str:
    inside = found[0][1:-1]
    return f" {inside} " if _CODED.fullmatch(inside) else " … "


def _short(value: float) -> bool:
    return abs(value) < _SHORTER_THAN_A_PHONE


def _masked(text: str) -> str:
    digits = sum(sign.isdigit() for sign in text)
    phone = digits >= _DIGITS_OF_A_PHONE and (_PHONE.match(text) or text.lower().startswith("tel"))
    return text if _CODE.match(text) and not phone and "@" not in text else f"<{len(text)} characters>"
