"""JSON that everything behind the door can hold: PostgreSQL's jsonb, Python's recursion, other readers of a text.

What RFC 8259 leaves open is refused here: NaN, numbers beyond any sense, doubled names, NUL and lone surrogates (jsonb
stores neither), nesting deeper than any document of ours.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from http import HTTPStatus

from bus.errors import BadInput
from bus.intake.problems import Refused
from bus.model import MAX_DEPTH, Json, too_deep

MAX_DIGITS = 19

_SUSPICIOUS = re.compile(r"\\u(?:0000|d)", re.IGNORECASE)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def loads(text: str, root: str = "") -> Json:
    """Parse `text`. Raises Refused 400 when it is no (sane) JSON, BadInput when a text in it cannot be stored.

    `root` names the document in complaints: "events" gives "events[3].data".
    """
    try:
        document = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _refused(f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise _too_deep() from None
    if too_deep(document):
        raise _too_deep()
    if _SUSPICIOUS.search(text):
        _refuse_unstorable(document, root)
    return document


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _refused("a name stands twice in one object; readers would disagree on its value")
    return made


def _int(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise _refused(f"a number has more than {MAX_DIGITS} digits; send it as text")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _refused("a number is too large; send it as text")
    return value


def _constant(name: str) -> Json:
    raise _refused(f"not JSON: {name} is no number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant)


def _refuse_unstorable(document: Json, root: str) -> None:
    for field, text in _texts(document, root):
        if _UNSTORABLE.search(text):
            raise BadInput(f"{field}: holds \\u0000 or half a surrogate pair, which cannot be stored", field=field)


def _texts(node: Json, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield field or "body", node
    elif isinstance(node, list):
        for at, item in enumerate(node):
            yield from _texts(item, f"{field}[{at}]")
    elif isinstance(node, dict):
        for key, item in node.items():
            yield f"a name in {field or 'body'}", key
            yield from _texts(item, f"{field}.{key}".lstrip("."))


def _refused(message: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, message)


def _too_deep() -> Refused:
    return _refused(f"nested deeper than {MAX_DEPTH} levels")
