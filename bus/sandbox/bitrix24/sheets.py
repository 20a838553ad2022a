"""Small tables under the old upper-case names: typed inside, strings outside, with filter, order, select and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.sandbox import filters
from bus.sandbox.bitrix24.schema import classic, typed
from bus.sandbox.envelope import Page, Params, Row
from bus.sandbox.phpform import as_list
from bus.sandbox.store import Table

if TYPE_CHECKING:
    from collections.abc import Iterable


class Sheet:
    """Rows by a number of their own (`id`, never shown unless it is a column); `kinds` are the columns in order."""

    def __init__(self, kinds: dict[str, str], *, first_id: int = 1, indexed: Iterable[str] = ()) -> None:
        self.kinds = kinds
        self.table = Table(first_id=first_id, indexed=indexed)

    def put(self, key: int, said: Row) -> Row:
        """A row, or the new one in the place of `key`'s; columns that are not said stay, or are None."""
        old = self.table.rows.get(key) or dict.fromkeys(self.kinds)
        row = {**old, **{name: typed(self.kinds[name], value) for name, value in said.items() if name in self.kinds}}
        self.table.put({**row, "id": key})
        return self.table.rows[key]

    def find(self, params: Params, order: Row | None = None) -> Page:
        """One page. Unknown names in filter, order and select are ignored."""
        where = filters.parse(params.get("filter"), self._named)
        sort = filters.parse_order(params.get("order") or order, self._named)
        found = filters.find(self.table, where, sort, filters.offset(params))
        return Page([self.shown(row, params.get("select")) for row in found.rows], found.total, found.next)

    def shown(self, row: Row, select: object = None) -> Row:
        """As the old methods say it; `select` empty or with `*` is everything."""
        wanted = {str(name).upper() for name in as_list(select)} & {*self.kinds, "*"}
        names = [name for name in self.kinds if not wanted or "*" in wanted or name in wanted]
        return {name: classic(self.kinds[name], row[name]) for name in names}

    def described(self) -> Row:
        """The columns, as `….fields` tells them."""
        return {name: {"type": kind, "title": name} for name, kind in self.kinds.items()}

    def _named(self, name: str) -> tuple[str, str] | None:
        name = name.upper()
        return (name, self.kinds[name]) if name in self.kinds else None


def columns(text: str) -> dict[str, str]:
    """Columns from `NAME kind` pairs; a name alone is a string."""
    kinds = {}
    for word in text.split():
        name, _, kind = word.partition(":")
        kinds[name] = kind or "string"
    return kinds
