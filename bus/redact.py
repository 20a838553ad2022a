"""Redaction: what of a payload may be shown to an operator: codes, ids, amounts and shapes, never a person's data."""

from __future__ import annotations

import re

from bus.model import Json

_CODE = re.compile(r"^[A-Za-z0-9_:.\-]{1,40}$")
_PHONE = re.compile(r"^[+\d()\-. ]*$")
_DIGITS_OF_A_PHONE = 9


def redact(value: Json) -> Json:
    """The same structure with every text masked that is not plainly a code, an id or a number."""
    if isinstance(value, dict):
        return {str(key): redact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return _masked(value) if isinstance(value, str) else value


def _masked(text: str) -> str:
    digits = sum(sign.isdigit() for sign in text)
    phone = digits >= _DIGITS_OF_A_PHONE and _PHONE.match(text)
    return text if _CODE.match(text) and not phone and "@" not in text else f"<{len(text)} characters>"
