"""List filters: the operator prefixes, nested `logic: OR`, order and pages of 50 (Bitrix24 docs, list methods)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bus.sandbox import times
from bus.sandbox.envelope import Row, number
from bus.sandbox.phpform import as_list
from bus.sandbox.store import Table

PAGE = 50
_KEY = re.compile(r"^(!=%|!%=|!@|!=|!%|!|>=|<=|=%|%=|><|>|<|=|@|%)?(.*)$", re.DOTALL)

Named = Callable[[str], tuple[str, str] | None]
"""Gives a client's field name its (stored name, kind), or None when there is no such field."""


@dataclass(frozen=True)
class Condition:
    """One comparison; `wanted` is already in the kind of the field."""

    field: str
    op: str
    wanted: Any

    def holds(self, row: Row) -> bool:
        value = row.get(self.field)
        if isinstance(value, list):
            return any(_test(self.op, item, self.wanted) for item in value) or (not value and _empty_wanted(self))
        return _test(self.op, value, self.wanted)


@dataclass(frozen=True)
class Where:
    """Conditions joined by AND, or by OR."""

    parts: tuple[Condition | Where, ...]
    any: bool = False

    def holds(self, row: Row) -> bool:
        test = any if self.any else all
        return test(part.holds(row) for part in self.parts) if self.parts else True


@dataclass(frozen=True)
class Found:
    """The rows of one page."""

    rows: list[Row]
    total: int | None
    next: int | None


def parse(raw: Any, named: Named) -> Where:
    """Read a filter; a name that `named` does not know is left out (a caller that must refuse raises there)."""
    if not raw:
        return Where(())
    pairs = raw.items() if isinstance(raw, dict) else enumerate(raw)
    parts: list[Condition | Where] = []
    either = False
    for key, value in pairs:
        if str(key).lower() == "logic":
            either = str(value).upper() == "OR"
        elif str(key).isdigit():
            parts.append(parse(value, named))
        else:
            part = _condition(str(key), value, named)
            if part is not None:
                parts.append(part)
    return Where(tuple(parts), either)


def find(table: Table, where: Where, order: list[tuple[str, bool]], start: int) -> Found:
    """One page. start=-1 counts nothing: no total, no next (Bitrix24 docs, huge data)."""
    ids, rest = narrow(table, where)
    by_id = not order or order[0] == ("id", False)
    if start < 0 and by_id:
        return Found(_first(table, ids, rest), None, None)
    rows = [table.rows[key] for key in ids]
    if rest.parts:
        rows = [row for row in rows if rest.holds(row)]
    if not by_id:
        rows = arrange(rows, order)
    return cut(rows, start)


def cut(rows: list[Row], start: int) -> Found:
    """The page of `rows` at offset `start`."""
    if start < 0:
        return Found(rows[:PAGE], None, None)
    page = rows[start : start + PAGE]
    following = start + PAGE if start + PAGE < len(rows) else None
    return Found(page, len(rows), following)


def arrange(rows: list[Row], order: list[tuple[str, bool]]) -> list[Row]:
    """Sort by several fields; None comes first, as in MySQL."""
    for name, descending in reversed(order):
        rows = sorted(rows, key=lambda row: _sortable(row.get(name)), reverse=descending)
    return rows


def parse_order(raw: Any, named: Named) -> list[tuple[str, bool]]:
    """`{"id": "DESC"}` as [(stored name, descending)]; unknown names are left out."""
    if not isinstance(raw, dict):
        return []
    order = [(named(str(key)), str(value).upper().startswith("DESC")) for key, value in raw.items()]
    return [(name[0], descending) for name, descending in order if name]


def offset(params: Row) -> int:
    """The `start` argument; pages begin at multiples of 50 only."""
    start = number(params.get("start"))
    return start if start < 0 else start - start % PAGE


def narrow(table: Table, where: Where) -> tuple[Iterable[int], Where]:
    """The ids, ascending, that the indexes leave over, and the conditions still to be tested on them."""
    if where.any:
        return table.ids, where
    for part in where.parts:
        if isinstance(part, Condition):
            ids = table.lookup(part.field, part.op, part.wanted)
            if ids is not None:
                return ids, Where(tuple(other for other in where.parts if other is not part))
    return table.ids, where


def _first(table: Table, ids: Iterable[int], rest: Where) -> list[Row]:
    rows: list[Row] = []
    for key in ids:
        row = table.rows[key]
        if rest.holds(row):
            rows.append(row)
            if len(rows) == PAGE:
                break
    return rows


def _condition(key: str, value: Any, named: Named) -> Condition | None:
    match = _KEY.match(key)
    op, name = (match.group(1) or "=", match.group(2)) if match else ("=", key)
    known = named(name)
    if known is None:
        return None
    stored, kind = known
    if isinstance(value, list | dict | tuple):
        op = {"=": "@", "!": "!@", "!=": "!@"}.get(op, op)
        return Condition(stored, op, tuple(_typed(item, kind) for item in as_list(value)))
    wanted = _typed(value, kind)
    if op in ("@", "!@"):
        return Condition(stored, op, (wanted,))
    return Condition(stored, "!=" if op == "!" else op, wanted)


def _typed(value: Any, kind: str) -> Any:
    if value is None or value == "":
        return None
    if kind in ("integer", "double", "integers"):
        try:
            return float(value)
        except (TypeError, ValueError):
            return value
    if kind in ("datetime", "date"):
        return times.normal(value) or str(value)
    if kind == "char" and isinstance(value, bool):
        return "Y" if value else "N"
    return str(value)


def _test(op: str, value: Any, wanted: Any) -> bool:  # noqa: PLR0911  # one line per operator
    value = None if value == "" else value
    match op:
        case "=":
            return _same(value, wanted)
        case "!=":
            return not _same(value, wanted)
        case "@":
            return any(_same(value, item) for item in wanted)
        case "!@":
            return not any(_same(value, item) for item in wanted)
        case ">" | ">=" | "<" | "<=":
            return _compare(op, value, wanted)
        case "%":
            return _like(value, f"%{wanted}%")
        case "!%":
            return not _like(value, f"%{wanted}%")
        case "=%" | "%=":
            return _like(value, str(wanted))
        case "!=%" | "!%=":
            return not _like(value, str(wanted))
        case _:
            return True


def _same(value: Any, wanted: Any) -> bool:
    if wanted is None:
        return value is None or value == 0
    if isinstance(value, int | float):
        return bool(value == wanted) or str(value) == str(wanted)
    return value is not None and str(value) == str(wanted)


def _compare(op: str, value: Any, wanted: Any) -> bool:
    if value is None or wanted is None:
        return False
    if not isinstance(value, int | float) or not isinstance(wanted, int | float):
        value, wanted = str(value), str(wanted)
    return bool({">": value > wanted, ">=": value >= wanted, "<": value < wanted, "<=": value <= wanted}[op])


def _like(value: Any, pattern: str) -> bool:
    regex = "".join(".*" if part == "%" else re.escape(part) for part in re.split("(%)", pattern))
    return re.fullmatch(regex, "" if value is None else str(value), re.IGNORECASE | re.DOTALL) is not None


def _empty_wanted(condition: Condition) -> bool:
    return _test(condition.op, None, condition.wanted)


def _sortable(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    return (1, value) if isinstance(value, int | float) else (2, str(value))
