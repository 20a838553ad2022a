"""Forms in PHP's brackets, `auth[application_token]=…`, as http_build_query() writes them and Bitrix24 sends them.

Stricter than PHP: where two readers might disagree (a name twice, a name that is a value and an array, half a bracket,
half an escape) the form is refused instead of guessed at.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from bus.intake.problems import Refused

Form = dict[str, "str | Form"]

MAX_FIELDS = 200
MAX_DEPTH = 8

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEYS = re.compile(r"\[([^\[\]]*)\]")
_HALF_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def parse(body: bytes) -> Form:
    """The nested fields of a form; arrays are mappings with "0", "1"… as keys. Raises Refused 400."""
    if body.count(b"&") >= MAX_FIELDS:
        raise _refused(f"more than {MAX_FIELDS} fields")
    form: Form = {}
    for pair in filter(None, body.split(b"&")):
        name, _, value = pair.partition(b"=")
        _put(form, _path(_decoded(name)), _decoded(value))
    return form


def text(form: Form, *path: str) -> str:
    """The value under `path`; empty where there is none or an array stands there."""
    node: str | Form = form
    for key in path:
        node = node.get(key, "") if isinstance(node, dict) else ""
    return node if isinstance(node, str) else ""


def _decoded(quoted: bytes) -> str:
    if _HALF_ESCAPE.search(quoted):
        raise _refused("a % without its two digits")
    try:
        plain = unquote_to_bytes(quoted.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise _refused("not UTF-8") from None
    if "\x00" in plain:
        raise _refused("a NUL character")
    return plain


def _path(name: str) -> list[str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise _refused("a name with unbalanced brackets, or none")
    path = [found[1], *_KEYS.findall(found[2])]
    if len(path) > MAX_DEPTH:
        raise _refused(f"nested deeper than {MAX_DEPTH} levels")
    return path


def _put(form: Form, path: list[str], value: str) -> None:
    node = form
    for key in path[:-1]:
        child = node.setdefault(key or _next_index(node), {})
        if isinstance(child, str):
            raise _refused("a name is both a value and an array")
        node = child
    last = path[-1] or _next_index(node)
    if last in node:
        raise _refused("a name stands twice")
    node[last] = value


def _next_index(node: Form) -> str:
    return str(1 + max((int(key) for key in node if _INDEX.fullmatch(key)), default=-1))


def _refused(message: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, f"the form cannot be read: {message}")
