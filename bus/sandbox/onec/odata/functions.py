"""The functions of $filter that 1C has; the rest of OData's it answers with code 21."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

NOT_IMPLEMENTED = frozenset(
    [
        "length",
        "indexof",
        "replace",
        "tolower",
        "toupper",
        "trim",
        "years",
        "days",
        "hours",
        "seconds",
        "floor",
        "ceiling",
        "round",
    ],
)
Function = Callable[..., Any]


def same(text: Any) -> str:
    """1C compares strings without regard to case."""
    return str(text).upper()


def _like(text: Any, pattern: str) -> bool:
    return _pattern(pattern).fullmatch(str(text)) is not None


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    """`%` any run, `_` any character, `[a-z]` and `[^a-z]` as in 1C's ПОДОБНО."""
    parts = re.split(r"(%|_|\[\^?[^\]]*\])", pattern)
    plain = {"%": ".*", "_": "."}
    said = [plain.get(part, part if part.startswith("[") else re.escape(part)) for part in parts]
    return re.compile("".join(said), re.IGNORECASE | re.DOTALL)


def _part(start: int, end: int) -> Function:
    return lambda moment: int(moment[start:end])


TABLE: dict[str, tuple[str, tuple[str, ...], Function]] = {
    "substringof": ("bool", ("string", "string"), lambda needle, text: same(needle) in same(text)),
    "startswith": ("bool", ("string", "string"), lambda text, start: same(text).startswith(same(start))),
    "endswith": ("bool", ("string", "string"), lambda text, end: same(text).endswith(same(end))),
    "like": ("bool", ("string", "string"), _like),
    "concat": ("string", ("string", "string"), lambda left, right: f"{left}{right}"),
    "substring": ("string", ("string", "number", "number"), lambda text, at, count: text[int(at) :][: int(count)]),
    "year": ("number", ("date",), _part(0, 4)),
    "month": ("number", ("date",), _part(5, 7)),
    "day": ("number", ("date",), _part(8, 10)),
    "hour": ("number", ("date",), _part(11, 13)),
    "minute": ("number", ("date",), _part(14, 16)),
    "second": ("number", ("date",), _part(17, 19)),
}
"""By name: the kind of the result, the kinds of the arguments, the function itself."""
