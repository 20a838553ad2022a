"""The company's people: user.get, user.current, department.get (Bitrix24 docs, user and departments)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox import filters
from bus.sandbox.bitrix24.schema import typed
from bus.sandbox.envelope import Page, Params, Row, number

if TYPE_CHECKING:
    from bus.sandbox.site import Hit, Method

_KINDS = {
    "ID": "integer",
    "ACTIVE": "char",
    "NAME": "string",
    "LAST_NAME": "string",
    "SECOND_NAME": "string",
    "EMAIL": "string",
    "WORK_POSITION": "string",
    "WORK_PHONE": "string",
    "PERSONAL_MOBILE": "string",
    "XML_ID": "string",
    "UF_DEPARTMENT": "integers",
    "USER_TYPE": "string",
    "DATE_REGISTER": "datetime",
}
_DEPARTMENT = {"ID": "integer", "NAME": "string", "SORT": "integer", "PARENT": "integer", "UF_HEAD": "integer"}
_BORN: tuple[Row, ...] = (
    {"ID": 1, "NAME": "Bus", "LAST_NAME": "Integration", "EMAIL": "bus@example.com", "UF_DEPARTMENT": [1]},
    {"ID": 5, "NAME": "Olga", "LAST_NAME": "Orlova", "EMAIL": "orlova@example.com", "UF_DEPARTMENT": [2]},
    {"ID": 7, "NAME": "Ivan", "LAST_NAME": "Petrov", "EMAIL": "petrov@example.com", "UF_DEPARTMENT": [3]},
    {"ID": 9, "NAME": "Anna", "LAST_NAME": "Smirnova", "EMAIL": "smirnova@example.com", "UF_DEPARTMENT": [3]},
    {"ID": 11, "NAME": "Pavel", "LAST_NAME": "Gone", "EMAIL": "gone@example.com", "UF_DEPARTMENT": [3], "ACTIVE": "N"},
)
_DEPARTMENTS: tuple[Row, ...] = (
    {"ID": 1, "NAME": "Company", "SORT": 100, "PARENT": None, "UF_HEAD": 5},
    {"ID": 2, "NAME": "Accounting", "SORT": 500, "PARENT": 1, "UF_HEAD": 5},
    {"ID": 3, "NAME": "Sales", "SORT": 500, "PARENT": 1, "UF_HEAD": 7},
)


class Users:
    """The employees and the departments. User 1 is the hook's, 11 was dismissed."""

    def __init__(self, now: str, hook: int) -> None:
        self._now = now
        self.rows: dict[int, Row] = {}
        self.departments = [dict(row) for row in _DEPARTMENTS]
        for row in (*_BORN, {"ID": hook}):
            self.put(row)

    def put(self, said: Row) -> Row:
        """A user by his ID, new or changed; `ACTIVE` N is a dismissed one."""
        key = number(said["ID"])
        new = {"ID": key, "ACTIVE": "Y", "USER_TYPE": "employee", "UF_DEPARTMENT": [1], "DATE_REGISTER": self._now}
        old = self.rows.get(key) or dict.fromkeys(_KINDS, "") | new
        fresh = {name: typed(_KINDS[name], value) for name, value in said.items() if name in _KINDS}
        self.rows[key] = old | fresh
        return self.rows[key]

    def works(self, key: Any) -> bool:
        """Whether there is such a user, dismissed or not."""
        return number(key) in self.rows

    def called(self, key: Any) -> Row:
        """How a task shows a user."""
        row = self.rows.get(number(key), {})
        name = " ".join(filter(None, (row.get("NAME"), row.get("LAST_NAME"))))
        return {
            "id": str(key),
            "name": name,
            "link": f"/company/personal/user/{key}/",
            "icon": "/bitrix/images/tasks/default_avatar.png",
            "workPosition": row.get("WORK_POSITION", ""),
        }

    def methods(self) -> dict[str, Method]:
        return {"user.get": self.find, "user.current": self.current, "department.get": self.find_departments}

    def current(self, params: Params, hit: Hit) -> Row:
        del params
        return _shown(self.rows[hit.user])

    def find(self, params: Params, hit: Hit) -> Page:
        """Pages of 50. Conditions stand in `filter`, or, as in old clients, beside `sort` and `order`."""
        del hit
        found = _page(list(self.rows.values()), params, _KINDS)
        return Page([_shown(row) for row in found.rows], found.total, found.next)

    def find_departments(self, params: Params, hit: Hit) -> Page:
        """SORT is a number, the ids are strings; the head of the company has no PARENT."""
        del hit
        found = _page(self.departments, params, _DEPARTMENT)
        return Page([_department(row) for row in found.rows], found.total, found.next)


def _page(rows: list[Row], params: Params, kinds: dict[str, str]) -> filters.Found:
    said = {str(name).upper(): value for name, value in params.items()}

    def named(name: str) -> tuple[str, str] | None:
        known = kinds.get(name.upper())
        return (name.upper(), known) if known else None

    asked = said.get("FILTER")
    bare = {name: value for name, value in said.items() if name in kinds and name != "SORT"}
    conditions = {**bare, **(asked if isinstance(asked, dict) else {})}
    where = filters.parse(dict(_condition(name, value) for name, value in conditions.items()), named)
    column = str(said.get("SORT") or "ID").upper()
    order = {column if column in kinds else "ID": str(said.get("ORDER") or "ASC")}
    chosen = filters.arrange([row for row in rows if where.holds(row)], filters.parse_order(order, named))
    return filters.cut(chosen, max(0, filters.offset({"start": said.get("START")})))


def _condition(name: str, value: Any) -> tuple[str, Any]:
    """ACTIVE is asked for as true, "true", 1 or Y; a text with % in it is a pattern without a prefix too."""
    if name.upper().lstrip("=") == "ACTIVE":
        return "ACTIVE", "Y" if str(value).lower() in ("true", "1", "y") else "N"
    if name[:1].isalpha() and isinstance(value, str) and "%" in value:
        return f"=%{name}", value
    return name, value


def _shown(row: Row) -> Row:
    shown = {name: "" if value is None else value for name, value in row.items()}
    return shown | {"ID": str(row["ID"]), "ACTIVE": row["ACTIVE"] == "Y", "IS_ONLINE": "N"}


def _department(row: Row) -> Row:
    ids = {name: str(row[name]) for name in ("ID", "PARENT", "UF_HEAD") if row.get(name)}
    return {**ids, "NAME": row["NAME"], "SORT": row["SORT"]}
