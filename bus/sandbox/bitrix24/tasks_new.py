"""tasks.task.* of REST 3.0: typed camelCase fields, words for statuses, related objects by a dot (Bitrix24 docs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox import filters, times
from bus.sandbox.bitrix24.rest3 import Refusal, invalid
from bus.sandbox.bitrix24.tasks import STATUSES, Tasks, Wrong
from bus.sandbox.envelope import Params, Row, number

if TYPE_CHECKING:
    from bus.sandbox.site import Hit, Method

_STORED = {
    "id": "id",
    "title": "title",
    "description": "description",
    "deadline": "deadline",
    "priority": "priority",
    "status": "status",
    "statusChanged": "statusChangedDate",
    "parentId": "parentId",
    "creatorId": "createdBy",
    "responsibleId": "responsibleId",
    "created": "createdDate",
    "changed": "changedDate",
    "closed": "closedDate",
    "activity": "activityDate",
    "groupId": "groupId",
    "xmlId": "xmlId",
    "crmItemIds": "ufCrmTask",
}
_TYPES = {
    "title": "string",
    "description": "string",
    "xmlId": "string",
    "deadline": "DateTime",
    "priority": "string",
    "status": "string",
    "parentId": "int",
    "groupId": "int",
    "creatorId": "int",
    "responsibleId": "int",
    "crmItemIds": "array",
}
"""What a client may set."""
_REQUIRED = ("title", "creatorId", "responsibleId")
_STATUS_CODES = {word: code for code, word in STATUSES.items()}
_PRIORITIES = ("low", "average", "high")
_PEOPLE = {"responsible": "responsibleId", "creator": "createdBy"}
_PERSON = {"id": "ID", "name": "NAME", "lastName": "LAST_NAME", "email": "EMAIL"}
_OPERATORS = {"=": "=", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<=", "in": "@"}
_PAGE, _MOST = 50, 1000


class NewTasks:
    """The handlers."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def methods(self) -> dict[str, Method]:
        return {
            "tasks.task.add": self.add,
            "tasks.task.get": self.get,
            "tasks.task.list": self.find,
            "tasks.task.update": self.update,
            "tasks.task.delete": self.delete,
            "rest.documentation.openapi": self.documentation,
            "documentation": self.documentation,
        }

    def add(self, params: Params, hit: Hit) -> Row:
        """Answers the whole task. Title, creator and responsible must be said; there are no strings for numbers."""
        fields = _fields(params)
        missing = [name for name in _REQUIRED if fields.get(name) in (None, "")]
        if missing:
            raise invalid(*((name, f"Required field `{name}` is missing") for name in missing))
        try:
            row = self._tasks.add(_incoming(fields), hit)
        except Wrong as wrong:
            raise _refusal(wrong) from None
        return {"item": self._shown(row)}

    def get(self, params: Params, hit: Hit) -> Row:
        row = self._tasks.get(_id(params))
        if row is None:
            raise Refusal("ENTITYNOTFOUNDEXCEPTION", f"Record with ID = `{params['id']}` not found")
        hit.seen.append(row["id"])
        return {"item": self._shown(row, params.get("select"))}

    def find(self, params: Params, hit: Hit) -> Row:
        """Filtered by id only; without `select` only ids come; no total."""
        del hit
        parts = tuple(_condition(part) for part in params.get("filter") or ())
        rows = [row for key in self._tasks.table.ids if filters.Where(parts).holds(row := self._tasks.table.rows[key])]
        said = {_STORED[name]: value for name, value in (params.get("order") or {}).items() if name in _STORED}
        rows = filters.arrange(rows, filters.parse_order(said, lambda name: (name, "string")))
        start, limit = _window(params.get("pagination") or {})
        select = params.get("select") or ["id"]
        return {"items": [self._shown(row, select) for row in rows[start : start + limit]]}

    def update(self, params: Params, hit: Hit) -> Row:
        """Answers `{"result": true}`; the creator cannot be changed."""
        key, fields = _id(params), _fields(params)
        if "creatorId" in fields:
            text = "In DTO `TaskDto`, the field `creatorId` requires the presence of the `Editable` attribute"
            raise invalid(("creatorId", f"{text} for such a request"))
        try:
            self._tasks.update(self._own(key), _incoming(fields), hit)
        except Wrong as wrong:
            raise _refusal(wrong) from None
        return {"result": True}

    def delete(self, params: Params, hit: Hit) -> Row:
        self._tasks.delete(self._own(_id(params))["id"], hit)
        return {"result": True}

    def documentation(self, params: Params, hit: Hit) -> Row:
        """What a client asks to learn which methods there are."""
        del params, hit
        info = {"title": "Bitrix24 REST V3 API", "version": "1.0.0"}
        return {"openapi": "3.0.0", "info": info, "paths": {f"/{name}": {} for name in self.methods()}}

    def _own(self, key: int) -> Row:
        row = self._tasks.get(key)
        if row is None:
            raise Refusal("ACCESSDENIEDEXCEPTION", "Access denied", 403)
        return row

    def _shown(self, row: Row, select: Any = None) -> Row:
        """Unknown names in `select` are left out silently, unknown fields of a related object are refused."""
        task = {name: row[stored] for name, stored in _STORED.items()}
        task |= {"status": STATUSES[row["status"]], "priority": _PRIORITIES[row["priority"] or 0]}
        task["link"] = f"/company/personal/user/{row['responsibleId']}/tasks/task/view/{row['id']}/"
        if not isinstance(select, list) or not select:
            return task
        shown: Row = {}
        for name in map(str, select):
            head, dot, tail = name.partition(".")
            if dot and head in _PEOPLE:
                shown.setdefault(head, {})[tail] = self._person(row[_PEOPLE[head]], tail)
            elif name in task:
                shown[name] = task[name]
        return shown

    def _person(self, key: int, name: str) -> Any:
        if name not in _PERSON:
            raise Refusal("UNKNOWNDTOPROPERTYEXCEPTION", f"Unknown field `{name}` for entity `UserDto`")
        return self._tasks.users.rows.get(key, {}).get(_PERSON[name])


def _fields(params: Params) -> Row:
    fields = params.get("fields")
    if not isinstance(fields, dict) or not fields:
        raise invalid(("fields", "Required field `fields` is missing"))
    wrong = [
        (name, f"Field `{name}` requires data type `{_TYPES[name]}` for this request")
        for name, value in fields.items()
        if name in _TYPES and value is not None and not _fits(_TYPES[name], value)
    ]
    if wrong:
        raise invalid(*wrong)
    return fields


def _fits(kind: str, value: Any) -> bool:
    match kind:
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "DateTime":
            return isinstance(value, str) and times.normal(value) is not None
        case _:
            return isinstance(value, str)


def _incoming(fields: Row) -> Row:
    """Under the names of the table; words as codes, an unknown word stays and is refused there."""
    said = {_STORED[name]: value for name, value in fields.items() if name in _TYPES}
    if "status" in said:
        said["status"] = _STATUS_CODES.get(said["status"], -1)
    if said.get("priority") in _PRIORITIES:
        said["priority"] = _PRIORITIES.index(said["priority"])
    return said


def _id(params: Params) -> int:
    key = params.get("id")
    if key is None:
        raise invalid(("id", "Required field `id` is missing"))
    if not _fits("int", key):
        raise invalid(("id", "Field `id` requires data type `int` for this request"))
    return int(key)


def _condition(part: Any) -> filters.Condition:
    """`["id", ">", 5]`, or `["id", 5]`, or `["id", [5, 6]]`."""
    if not isinstance(part, list) or len(part) not in (2, 3):
        raise Refusal("INVALIDFILTEREXCEPTION", "Unable to recognize the filter")
    wanted = part[-1]
    op = part[1] if len(part) == 3 else "in" if isinstance(wanted, list) else "="  # noqa: PLR2004
    if part[0] not in _STORED:
        raise Refusal("UNKNOWNDTOPROPERTYEXCEPTION", f"Unknown field `{part[0]}` for entity `TaskDto`")
    if part[0] != "id":
        text = f"In DTO `TaskDto`, the `{part[0]}` field requires the `Filterable` attribute for such a request"
        raise invalid((str(part[0]), text))
    if op not in _OPERATORS:
        raise Refusal("UNKNOWNFILTEROPERATOREXCEPTION", f"Unknown filter operator `{op}`")
    return filters.Condition("id", _OPERATORS[op], tuple(wanted) if op == "in" else wanted)


def _window(said: Row) -> tuple[int, int]:
    """(offset, limit)."""
    limit = min(number(said.get("limit", _PAGE)), _MOST)
    if limit <= 0:
        raise Refusal("INVALIDPAGINATIONEXCEPTION", "Unable to recognize the pagination parameter")
    page = number(said.get("page"))
    return ((page - 1) * limit if page > 0 else number(said.get("offset"))), limit


def _refusal(wrong: Wrong) -> Refusal:
    name = {"createdBy": "creatorId"}.get(wrong.field, wrong.field)
    if wrong.what == "missing":
        return invalid((name, f"Required field `{name}` is missing"))
    return invalid((name, 'User specified in the "Executor" field not found' if wrong.what == "absent" else "Invalid"))
