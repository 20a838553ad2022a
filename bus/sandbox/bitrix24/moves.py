"""Which stages a record has gone through: crm.stagehistory.list (Bitrix24 docs). Who moved it is not told there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.sandbox import filters
from bus.sandbox.bitrix24.schema import DEAL, INVOICE, LEAD
from bus.sandbox.envelope import Page, Params, RestError, Row, number, required
from bus.sandbox.store import Table

if TYPE_CHECKING:
    from bus.sandbox.site import Hit, Method

_CREATED, _MOVED, _FINAL, _FUNNEL = 1, 2, 3, 5
_TOLD = (DEAL, INVOICE, LEAD)
_KINDS = {
    **dict.fromkeys(("ID", "TYPE_ID", "OWNER_ID", "CATEGORY_ID"), "integer"),
    **dict.fromkeys(("STAGE_ID", "STAGE_SEMANTIC_ID", "STATUS_ID", "STATUS_SEMANTIC_ID"), "string"),
    "CREATED_TIME": "datetime",
}


class Moves:
    """The stories of all records that have stages."""

    def __init__(self, now: Callable[[], str]) -> None:
        self._now = now
        self._tables = {kind: Table(first_id=5001, indexed=("OWNER_ID",)) for kind in _TOLD}

    def methods(self) -> dict[str, Method]:
        return {"crm.stagehistory.list": self.find}

    def note(self, kind: int, old: Row | None, row: Row) -> None:
        """A record was created, or came to another stage or funnel."""
        if kind not in self._tables or (old and _place(old) == _place(row)):
            return
        key, semantics = self._tables[kind].new_id(), row["stageSemanticId"]
        how = _MOVED if semantics == "P" else _FINAL
        if old is None:
            how = _CREATED
        elif old.get("categoryId") != row.get("categoryId"):
            how = _FUNNEL
        said = {"id": key, "ID": key, "TYPE_ID": how, "OWNER_ID": row["id"], "CREATED_TIME": self._now()}
        if kind == LEAD:
            said |= {"STATUS_ID": row["stageId"], "STATUS_SEMANTIC_ID": semantics}
        else:
            said |= {"STAGE_ID": row["stageId"], "STAGE_SEMANTIC_ID": semantics, "CATEGORY_ID": row["categoryId"]}
        self._tables[kind].put(said)

    def forget(self, kind: int, key: int) -> None:
        """The story of a record that was deleted goes with it."""
        if kind in self._tables:
            for one in list(self._tables[kind].lookup("OWNER_ID", "=", key) or ()):
                self._tables[kind].remove(one)

    def find(self, params: Params, hit: Hit) -> Page:
        """By exact values, lists and comparisons; there is no LIKE."""
        del hit
        required(params, "entityTypeId")
        table = self._tables.get(number(params["entityTypeId"]))
        if table is None:
            raise RestError("ENTITY_TYPE_NOT_SUPPORTED", "Entity type is not supported")
        where = filters.parse(params.get("filter"), _named)
        order = filters.parse_order(params.get("order") or {"ID": "ASC"}, _named)
        found = filters.find(table, where, order, filters.offset(params))
        return Page({"items": [_shown(row, params.get("select")) for row in found.rows]}, found.total, found.next)


def _place(row: Row) -> tuple[object, object]:
    return row["stageId"], row.get("categoryId")


def _named(name: str) -> tuple[str, str] | None:
    return ("id" if name == "ID" else name, _KINDS[name]) if name in _KINDS else None


def _shown(row: Row, select: object) -> Row:
    names = select if isinstance(select, list) and "*" not in select else list(_KINDS)
    return {name: value for name, value in row.items() if name in names}
