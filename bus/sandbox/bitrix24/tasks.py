"""Tasks of both REST versions: one table, tasks.task.* with upper-case fields (v2) and typed ones (REST 3.0)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus.sandbox.bitrix24.schema import typed
from bus.sandbox.bitrix24.users import Users
from bus.sandbox.envelope import Row, number
from bus.sandbox.phpform import as_list
from bus.sandbox.site import Hit
from bus.sandbox.store import Table

PENDING, COMPLETED = 2, 5
STATUSES = {2: "pending", 3: "in_progress", 4: "supposedly_completed", 5: "completed", 6: "deferred"}
KINDS = {
    "id": "integer",
    "parentId": "integer",
    "title": "string",
    "description": "string",
    "mark": "string",
    "priority": "integer",
    "createdBy": "integer",
    "createdDate": "datetime",
    "responsibleId": "integer",
    "changedBy": "integer",
    "changedDate": "datetime",
    "statusChangedBy": "integer",
    "statusChangedDate": "datetime",
    "closedBy": "integer",
    "closedDate": "datetime",
    "activityDate": "datetime",
    "deadline": "datetime",
    "xmlId": "string",
    "groupId": "integer",
    "status": "integer",
    "auditors": "integers",
    "accomplices": "integers",
    "ufCrmTask": "strings",
    "tags": "strings",
}
_STAMPS = frozenset({"id", "createdDate", "changedBy", "changedDate", "statusChangedBy", "statusChangedDate"})
_UNSAID = frozenset({*_STAMPS, "closedBy", "closedDate", "activityDate"})
"""What a client does not set."""


class Wrong(Exception):
    """A field with a value that a task may not have; each REST version says it in its own words."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(f"{field}: {what}")
        self.field = field
        self.what = what


class Tasks:
    """The table and its saves. Bindings are CRM ids with a letter: D_10, CO_5, C_3, L_1."""

    def __init__(self, now: Callable[[], str], users: Users) -> None:
        self._now = now
        self.users = users
        self.table = Table(first_id=8001, indexed=("responsibleId", "status"), modified="changedDate")

    def get(self, key: Any) -> Row | None:
        return self.table.rows.get(number(key))

    def add(self, said: Row, hit: Hit) -> Row:
        """`said` under the names of this table. Raises Wrong."""
        fields = self._clean(said)
        for name in ("title", "responsibleId"):
            if not fields.get(name):
                raise Wrong(name, "missing")
        now = self._now()
        row: Row = {name: [] if kind in ("integers", "strings") else None for name, kind in KINDS.items()}
        row |= {"id": self.table.new_id(), "description": "", "priority": 1, "status": PENDING, "groupId": 0}
        row |= {"createdBy": hit.user, "createdDate": now, "changedBy": hit.user, "changedDate": now}
        row |= {"statusChangedDate": now, "activityDate": now}
        row |= {name: value for name, value in fields.items() if value is not None}
        self.table.put(row)
        _tell("ADD", row["id"], hit)
        return row

    def update(self, row: Row, said: Row, hit: Hit) -> Row:
        """Save what differs; nothing differs: no save and no event. Raises Wrong."""
        fields = self._clean(said)
        changed = {name: value for name, value in fields.items() if row[name] != value}
        if "title" in changed and not changed["title"]:
            raise Wrong("title", "missing")
        if not changed:
            return row
        now = self._now()
        if "status" in changed:
            closed = changed["status"] == COMPLETED
            changed |= {"statusChangedBy": hit.user, "statusChangedDate": now}
            changed |= {"closedBy": hit.user if closed else 0, "closedDate": now if closed else None}
        fresh = {**row, **changed, "changedBy": hit.user, "changedDate": now, "activityDate": now}
        self.table.put(fresh)
        _tell("UPDATE", row["id"], hit)
        return fresh

    def delete(self, key: int, hit: Hit) -> None:
        self.table.remove(key)
        _tell("DELETE", key, hit)

    def _clean(self, said: Row) -> Row:
        """Values in the kinds of their fields; a status or a person that does not exist is refused."""
        fields: Row = {}
        for name, value in said.items():
            kind = KINDS.get(name)
            if kind and name not in _UNSAID:
                fields[name] = [str(item) for item in as_list(value)] if kind == "strings" else typed(kind, value)
        if "status" in fields and fields["status"] not in STATUSES:
            raise Wrong("status", "invalid")
        for name in ("responsibleId", "createdBy"):
            if fields.get(name) and not self.users.works(fields[name]):
                raise Wrong(name, "absent")
        return fields


def _tell(what: str, key: int, hit: Hit) -> None:
    """Both sides carry the id only; a task that is not there yet, or no longer, is `undefined` (Bitrix24 docs)."""
    before = "undefined" if what == "ADD" else {"ID": key}
    after = "undefined" if what == "DELETE" else {"ID": key}
    data = {"FIELDS_BEFORE": before, "FIELDS_AFTER": after}
    data |= {"IS_ACCESSIBLE_BEFORE": "undefined", "IS_ACCESSIBLE_AFTER": "undefined"}
    hit.raise_event(f"ONTASK{what}", (key,), data)
