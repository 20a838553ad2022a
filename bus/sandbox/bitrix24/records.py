"""Saving CRM objects: what a save changes by itself, when it is no save at all, and which event it raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bus.sandbox import times
from bus.sandbox.bitrix24 import multifields
from bus.sandbox.bitrix24.moves import Moves
from bus.sandbox.bitrix24.schema import DEAL, INDEXED, INVOICE, TYPES, USER_FIELDS, Type, typed
from bus.sandbox.bitrix24.stages import Stages
from bus.sandbox.envelope import Row
from bus.sandbox.store import Table

if TYPE_CHECKING:
    from bus.sandbox.site import Hit


class Records:
    """The tables of all types. Values are stored typed, under the names of crm.item.*; user fields under their own."""

    def __init__(self, clock: Callable[[], float], stages: Stages) -> None:
        self._clock = clock
        self.stages = stages
        self.moves = Moves(self.now)
        self.tables = {
            kind.id: Table(
                first_id=kind.first_id, indexed=INDEXED[kind.id], modified="" if kind.plain else "updatedTime"
            )
            for kind in TYPES.values()
        }
        self.user_fields: dict[int, dict[str, str]] = {kind: dict(USER_FIELDS.get(kind, {})) for kind in TYPES}
        self.multifields = multifields.Multifields()
        self.row_total: Callable[[int, int], float | None] = lambda kind, key: None  # noqa: ARG005  # no rows at all
        self.deleted: Callable[[int, int, Hit], None] = lambda kind, key, hit: None  # noqa: ARG005  # nothing hangs on it

    def now(self) -> str:
        return times.iso(self._clock())

    def get(self, kind: int, key: int) -> Row | None:
        return self.tables[kind].rows.get(key)

    def create(self, kind: int, fields: Row, hit: Hit) -> Row:
        """A new record; values that are not said get the portal's defaults. `fields` are already typed."""
        described = TYPES[kind]
        key = self.tables[kind].new_id()
        row: Row = {field.name: field.default for field in described.fields}
        row |= dict.fromkeys(self.user_fields[kind])
        now = self.now()
        row |= {"id": key, "createdTime": now, "createdBy": hit.user}
        if not described.plain:
            row |= {"updatedTime": now, "updatedBy": hit.user, "lastActivityBy": hit.user, "lastActivityTime": now}
        chosen = {name: value for name, value in fields.items() if value is not None}
        phones = chosen.pop("fm", None)
        row |= chosen
        if described.staged:
            self._place(described, row, hit, now)
        _link(row, chosen)
        if "title" in row and not row["title"]:
            row["title"] = f"{described.title} #{key}"
        row["fm"] = self.multifields.merge(kind, key, [], phones) if "fm" in row else None
        if row["fm"] is None:
            del row["fm"]
        self.tables[kind].put(row)
        if described.staged:
            self.moves.note(kind, None, row)
        self._raise("ADD", described, row, hit)
        return row

    def update(self, kind: int, key: int, fields: Row, hit: Hit, *, move: bool = False) -> bool:
        """Save what differs. Nothing differs: no save, no updatedTime, no event (Bitrix24 kernel, update operation).

        `move` allows another funnel (crm.item.update only); that raises MOVETOCATEGORY and not UPDATE.
        """
        described = TYPES[kind]
        row = self.tables[kind].rows[key]
        if described.plain:
            self._save(described, row, fields, hit, "UPDATE")
            return True
        changed = {name: value for name, value in fields.items() if not _equal(row.get(name), value)}
        moved = self._stage_changes(described, row, changed, move=move) if described.staged else False
        phones = changed.pop("fm", None)
        if phones is not None:
            merged = self.multifields.merge(kind, key, row["fm"], phones)
            if merged != row["fm"]:
                changed["fm"] = merged
        self._recount(kind, row, changed)
        if not changed:
            return False
        self._save(described, row, changed, hit, "MOVETOCATEGORY" if moved else "UPDATE")
        return True

    def rebind(self, kind: int, key: int, changes: Row) -> None:
        """A change as a merge makes it, in SQL: no event, no updatedTime; assumed, not verified."""
        fresh = {**self.tables[kind].rows[key], **changes}
        _link(fresh, changes)
        self.tables[kind].put(fresh)

    def touch(self, kind: int, key: int, changes: Row, hit: Hit) -> None:
        """A save that is certain: product rows were replaced."""
        self._save(TYPES[kind], self.tables[kind].rows[key], changes, hit, "UPDATE")

    def delete(self, kind: int, key: int, hit: Hit) -> bool:
        row = self.tables[kind].remove(key)
        if row is None:
            return False
        self.multifields.merge(kind, key, row.get("fm") or [], None)
        self.moves.forget(kind, key)
        self.deleted(kind, key, hit)
        self._raise("DELETE", TYPES[kind], row, hit)
        return True

    def coerce(self, kind: int, fields: Row) -> Row:
        """Values in the kinds of their fields; what has no such field, or is not writable, is left out."""
        known = TYPES[kind].by_name
        custom = self.user_fields[kind]
        clean: Row = {}
        for name, value in fields.items():
            if name in custom:
                clean[name] = typed(custom[name], value)
            elif name in known and known[name].writable:
                clean[name] = value if name == "fm" else typed(known[name].kind, value)
        return clean

    def kind_of(self, kind: int, name: str) -> str | None:
        """The kind of a field under its stored name."""
        if name in self.user_fields[kind]:
            return self.user_fields[kind][name]
        field = TYPES[kind].by_name.get(name)
        return field.kind if field else None

    def _save(self, described: Type, row: Row, changed: Row, hit: Hit, event: str) -> None:
        now = self.now()
        fresh = {**row, **changed, "updatedTime": now, "updatedBy": hit.user}
        _link(fresh, changed)
        if "stageId" in changed:
            fresh |= {"movedBy": hit.user, "movedTime": now}
            fresh |= {"previousStageId": row["stageId"]} if "previousStageId" in row else {}
            self._close(described, fresh)
        self.tables[described.id].put(fresh)
        if described.staged:
            self.moves.note(described.id, row, fresh)
        self._raise(event, described, fresh, hit)

    def _recount(self, kind: int, row: Row, changed: Row) -> None:
        """While the sum is not manual it follows the product rows, whatever a client says."""
        if not changed.keys() & {"opportunity", "isManualOpportunity"}:
            return
        total = self.row_total(kind, row["id"])
        if total is not None and changed.get("isManualOpportunity", row["isManualOpportunity"]) != "Y":
            changed["opportunity"] = total
            if _equal(row["opportunity"], total):
                del changed["opportunity"]

    def _place(self, described: Type, row: Row, hit: Hit, now: str) -> None:
        category = int(row.get("categoryId") or 0)
        if not self.stages.has_funnel(described.id, category):
            category = self.stages.default_funnel(described.id)
        if described.funnels:
            row["categoryId"] = category
        if not self.stages.known(described.id, category, row["stageId"]):
            row["stageId"] = self.stages.first(described.id, category)
        row |= {"movedBy": hit.user, "movedTime": now}
        self._close(described, row)

    def _close(self, described: Type, row: Row) -> None:
        category = int(row.get("categoryId") or 0)
        row["stageSemanticId"] = self.stages.semantics(described.id, category, row["stageId"])
        if described.id == DEAL:
            row["closed"] = "N" if row["stageSemanticId"] == "P" else "Y"

    def _stage_changes(self, described: Type, row: Row, changed: Row, *, move: bool) -> bool:
        """Keep only the stage changes the portal accepts: a stage of another funnel is ignored, silently."""
        category = int(row.get("categoryId") or 0)
        wanted = changed.pop("categoryId", None) if described.funnels else None
        moved = move and wanted is not None and self.stages.has_funnel(described.id, wanted)
        if moved and wanted is not None:
            category = changed["categoryId"] = int(wanted)
        if moved and not self.stages.known(described.id, category, changed.get("stageId")):
            changed["stageId"] = self.stages.first(described.id, category)
        elif "stageId" in changed and not self.stages.known(described.id, category, changed["stageId"]):
            del changed["stageId"]
        return bool(moved)

    def _raise(self, what: str, described: Type, row: Row, hit: Hit) -> None:
        """The ID only; a funnel move adds CATEGORY_ID and STAGE_ID, an item of a dynamic type its type."""
        data: Row = {"ID": row["id"]}
        if what == "MOVETOCATEGORY":
            data |= {"CATEGORY_ID": row["categoryId"], "STAGE_ID": row["stageId"]}
        if described.id == INVOICE:
            data["ENTITY_TYPE_ID"] = INVOICE
        hit.raise_event(f"ONCRM{described.event}{what}", (row["id"],), data)


_FIRSTS = (("contactIds", "contactId"), ("companyIds", "companyId"))


def _link(row: Row, said: Row) -> None:
    """The first of contactIds is contactId, the first of companyIds companyId."""
    for several, first in _FIRSTS:
        if several not in row:
            continue
        if several in said:
            row[first] = row[several][0] if row[several] else 0
        elif first in said and row[first] not in row[several]:
            row[several] = [row[first]] if row[first] else []


def _equal(old: Any, new: Any) -> bool:
    """Whether a save would change anything; empty is empty, whatever its form."""
    if old in (None, "", 0) and new in (None, "", 0):
        return True
    if old == new:
        return True
    return isinstance(old, float | int) and isinstance(new, float | int) and abs(old - new) < 1e-9  # noqa: PLR2004
