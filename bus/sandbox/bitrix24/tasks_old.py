"""tasks.task.* of REST v2: upper-case fields in, camelCase strings out (Bitrix24 docs, tasks)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox import filters
from bus.sandbox.bitrix24.tasks import COMPLETED, KINDS, PENDING, Tasks, Wrong
from bus.sandbox.envelope import Page, Params, RestError, Row, number
from bus.sandbox.phpform import as_list

if TYPE_CHECKING:
    from bus.sandbox.site import Hit, Method

_ASKED = frozenset({"ufCrmTask", "tags"})
"""Shown only when they are selected."""
_FILTERED = {name: "string" if kind == "strings" else kind for name, kind in KINDS.items()}
_TEXTS = {
    ("title", "missing"): "Task title not specified<br>",
    ("responsibleId", "missing"): "Assignee not specified<br>",
    ("responsibleId", "absent"): 'User specified in the "Assignee" field not found<br>',
    ("createdBy", "absent"): 'User specified in the "Creator" field not found<br>',
    ("status", "invalid"): "Invalid status<br>",
}


class OldTasks:
    """The handlers."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def methods(self) -> dict[str, Method]:
        return {
            "tasks.task.add": self.add,
            "tasks.task.get": self.get,
            "tasks.task.list": self.find,
            "tasks.task.update": self.update,
            "tasks.task.complete": lambda params, hit: self._move(params, hit, COMPLETED),
            "tasks.task.renew": lambda params, hit: self._move(params, hit, PENDING),
            "tasks.task.delete": self.delete,
        }

    def add(self, params: Params, hit: Hit) -> Row:
        """Nothing makes a repeated add harmless; RESPONSIBLE_ID must be a user of the portal."""
        said = _fields(params)
        try:
            return {"task": self.shown(self._tasks.add(said, hit))}
        except Wrong as wrong:
            raise _refusal(wrong) from None

    def get(self, params: Params, hit: Hit) -> Any:
        """A task that is not there is no error: the result is `[]`."""
        row = self._tasks.get(_task_id(params))
        if row is None:
            return []
        hit.seen.append(row["id"])
        return {"task": self.shown(row, params.get("select"))}

    def find(self, params: Params, hit: Hit) -> Page:
        """The newest first. TITLE may be a pattern; UF_CRM_TASK asks whether a binding is among the task's."""
        conditions = params.get("filter")
        said = conditions if isinstance(conditions, dict) else {}
        where = filters.parse(dict(_condition(str(name), value) for name, value in said.items()), _named)
        order = filters.parse_order(params.get("order") or {"ID": "desc"}, _named)
        found = filters.find(self._tasks.table, where, order, filters.offset(params))
        hit.seen.extend(row["id"] for row in found.rows)
        return Page({"tasks": [self.shown(row, params.get("select")) for row in found.rows]}, found.total, found.next)

    def update(self, params: Params, hit: Hit) -> Row:
        row = self._existing(params)
        try:
            return {"task": self.shown(self._tasks.update(row, _fields(params), hit))}
        except Wrong as wrong:
            raise _refusal(wrong) from None

    def delete(self, params: Params, hit: Hit) -> Row:
        self._tasks.delete(self._existing(params)["id"], hit)
        return {"task": True}

    def shown(self, row: Row, select: Any = None) -> Row:
        """A task as v2 says it: strings, lists, and the people with their names."""
        wanted = {camel(str(name)) for name in as_list(select)}
        whole = not wanted or "*" in wanted
        names = [name for name in KINDS if name in wanted or (whole and name not in _ASKED)]
        task: Row = {"id": str(row["id"])}
        task |= {name: _text(row[name]) for name in names}
        for name, person in (("creator", "createdBy"), ("responsible", "responsibleId")):
            if whole or person in wanted:
                task[name] = self._tasks.users.called(row[person])
        return task

    def _move(self, params: Params, hit: Hit, status: int) -> Row:
        row = self._existing(params)
        if row["status"] == status:
            raise _forbidden()
        return {"task": self.shown(self._tasks.update(row, {"status": status}, hit))}

    def _existing(self, params: Params) -> Row:
        row = self._tasks.get(_task_id(params))
        if row is None:
            raise _forbidden()
        return row


def camel(name: str) -> str:
    """RESPONSIBLE_ID is responsibleId; what is camelCase already stays."""
    if not name.isupper():
        return name
    if name == "REAL_STATUS":
        return "status"
    head, *parts = name.lower().split("_")
    return head + "".join(part.capitalize() for part in parts)


def _task_id(params: Params) -> int:
    said = params.get("taskId", params.get("taskid"))
    if said is None:
        text = "CTaskItem All parameters in the constructor must have real class type (internal error)"
        raise RestError("100", text)
    if number(said) <= 0:
        raise RestError("0", "wrong task id")
    return number(said)


def _fields(params: Params) -> Row:
    said = params.get("fields")
    if not isinstance(said, dict) or not said:
        raise RestError("100", "Could not find value for parameter {fields} (internal error)")
    return {camel(str(name).upper()): value for name, value in said.items()}


def _condition(name: str, value: Any) -> tuple[str, Any]:
    if name.upper() == "TITLE" and isinstance(value, str) and "%" in value:
        return "=%TITLE", value
    return name, value


def _named(name: str) -> tuple[str, str] | None:
    stored = camel(name.upper())
    return (stored, _FILTERED[stored]) if stored in _FILTERED else None


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [str(item) for item in value]
    return None if value is None else str(value)


def _refusal(wrong: Wrong) -> RestError:
    return RestError("ERROR_CORE", _TEXTS[(wrong.field, wrong.what)])


def _forbidden() -> RestError:
    return RestError("0", "Action on the task is not allowed")
