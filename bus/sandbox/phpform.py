"""PHP's array notation in forms and queries: `fields[PHONE][0][VALUE]=…` to nested values and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode


def parse(text: str, rewrite: Callable[[str], str] | None = None) -> dict[str, Any]:
    """Read a query as parse_str() does. `rewrite` sees every decoded key and value first (batch references)."""
    root: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        path = _path(rewrite(key) if rewrite else key)
        _put(root, path, rewrite(value) if rewrite else value)
    return {key: _settle(value) for key, value in root.items()}


def encode(data: Mapping[str, Any]) -> str:
    """Write nested values in PHP brackets, in the order given; None becomes an empty string."""
    return urlencode(list(_flat(data, "")))


def php_array(values: Mapping[str, Any]) -> Any:
    """What json_encode() makes of a PHP array: `[]` when empty, a list when the keys are exactly 0..n-1 in order.

    Bitrix24 docs, batch: this is why a client that uses numeric keys may lose them.
    """
    if not values or all(str(index) == key for index, key in enumerate(values)):
        return list(values.values())
    return dict(values)


def as_list(value: Any) -> list[Any]:
    """A PHP array where only the values matter."""
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def _path(key: str) -> list[str]:
    head, bracket, rest = key.partition("[")
    if not bracket or not head or "]" not in rest:
        return [key]
    parts, tail = [head], bracket + rest
    while tail.startswith("[") and "]" in tail:
        part, _, tail = tail[1:].partition("]")
        parts.append(part)
    return parts


def _put(node: dict[str, Any], path: list[str], value: str) -> None:
    for index, part in enumerate(path):
        name = _next_index(node) if part == "" and index else part
        if index == len(path) - 1:
            node[name] = value
            return
        child = node.get(name)
        if not isinstance(child, dict):
            child = node[name] = {}
        node = child


def _next_index(node: dict[str, Any]) -> str:
    numbers = [int(key) for key in node if key.isdigit()]
    return str(max(numbers) + 1 if numbers else 0)


def _settle(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return php_array({key: _settle(child) for key, child in value.items()})


def _flat(value: Any, prefix: str) -> list[tuple[str, str]]:
    pairs = (
        enumerate(value) if isinstance(value, list | tuple) else value.items() if isinstance(value, Mapping) else None
    )
    if pairs is None:
        return [(prefix, "" if value is None else str(value))]
    flat: list[tuple[str, str]] = []
    for key, child in pairs:
        flat.extend(_flat(child, f"{prefix}[{key}]" if prefix else str(key)))
    return flat
