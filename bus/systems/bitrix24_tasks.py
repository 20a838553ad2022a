"""Tasks of Bitrix24: made once for a key, by REST 3.0 where there is one, else looked for by the key in their title."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from bus.config import System
from bus.errors import Permanent, UnknownOutcome
from bus.model import Json
from bus.ports import Task
from bus.systems.bitrix_errors import NoRest3, NotFound
from bus.systems.bitrix_rest import Rest, rows_of

_OWNERS = {"deal": (2, "D"), "company": (4, "CO"), "contact": (3, "C")}
"""Kind of record -> its number in crm.item.*, and its letter in bindings of tasks (UF_CRM_TASK: D_10, CO_5, C_3)."""
_COMPLETED = "5"


class Bitrix24Tasks:
    """bus.ports.Tasks of one portal."""

    def __init__(self, rest: Rest, zone: str, creator: str | None) -> None:
        """`creator`: the webhook's own user, whom REST 3.0 wants named; without it the portal is asked who that is."""
        self._rest, self._zone, self._creator = rest, ZoneInfo(zone), creator

    def find(self, key: str) -> str | None:
        """By the mark that every title of ours ends with."""
        asked = {"filter": {"%TITLE": _mark(key)}, "select": ["ID", "TITLE"], "order": {"ID": "asc"}}
        found = rows_of(self._rest.call("tasks.task.list", asked), "tasks")
        return next((str(one["id"]) for one in found if _mark(key) in str(one.get("title", ""))), None)

    def add(self, task: Task) -> str:
        """Under an Idempotency-Key where the portal knows REST 3.0.

        For whoever is in charge of the record, unless he has left the company: then for `responsible`.
        """
        owner = _owner(task.record)
        in_charge = self._in_charge(owner)
        return self._made(task, owner, in_charge if in_charge and self._works(in_charge) else task.responsible)

    def _made(self, task: Task, owner: tuple[int, str, str] | None, responsible: str) -> str:
        title, deadline = f"{task.title} {_mark(task.key)}", task.deadline.astimezone(self._zone).isoformat()
        bindings = [f"{owner[1]}_{owner[2]}"] if owner else []
        person = int(responsible)
        modern = {"title": title, "description": task.text, "responsibleId": person, "deadline": deadline}
        modern |= {"creatorId": self._own_id(), "crmItemIds": bindings}
        try:
            return _id(self._rest.keyed("tasks.task.add", {"fields": modern}, task.key))
        except NoRest3:
            classic = {"TITLE": title, "DESCRIPTION": task.text, "RESPONSIBLE_ID": person, "DEADLINE": deadline}
            return _id(self._rest.call("tasks.task.add", {"fields": {**classic, "UF_CRM_TASK": bindings}}))

    def _works(self, user: str) -> bool:
        """Whether he is still there; a webhook without the scope `user` cannot ask, and takes it for granted."""
        try:
            return bool(self._rest.call("user.get", {"filter": {"ID": user, "ACTIVE": True}}))
        except Permanent:
            return True

    def _own_id(self) -> int:
        return int(self._creator or self._rest.call("profile", {})["ID"])

    def follow(self, config: System) -> Callable[[], None]:
        """Get ready for the webhook that the configuration has now; what is returned takes it."""
        return self._rest.follow(config)

    def hand_over(self, task_id: str, responsible: str) -> None:
        """Give it to somebody else."""
        self._rest.call("tasks.task.update", {"taskId": task_id, "fields": {"RESPONSIBLE_ID": int(responsible)}})

    def complete(self, task_id: str) -> None:
        """Done; one that somebody has closed or deleted (the portal then says nothing of it) stays as it is."""
        said = self._rest.call("tasks.task.get", {"taskId": task_id, "select": ["ID", "STATUS"]})
        task = said.get("task") if isinstance(said, dict) else None
        if task and str(task.get("status")) != _COMPLETED:
            self._rest.call("tasks.task.update", {"taskId": task_id, "fields": {"STATUS": int(_COMPLETED)}})

    def _in_charge(self, owner: tuple[int, str, str] | None) -> str | None:
        """Who is in charge of the record, as the portal has it."""
        if owner is None:
            return None
        try:
            item = self._rest.call("crm.item.get", {"entityTypeId": owner[0], "id": int(owner[2])})["item"]
        except NotFound:
            return None
        return str(item["assignedById"]) if item.get("assignedById") else None


def _owner(record: tuple[str, str] | None) -> tuple[int, str, str] | None:
    """Number, letter and id of a record: ("deal", "759"), ("party", "company:12")."""
    if record is None:
        return None
    kind, _, external_id = record[1].rpartition(":")
    known = _OWNERS.get(kind or record[0])
    return (*known, external_id) if known and external_id.isdecimal() else None


def _mark(key: str) -> str:
    return f"[{key[:8]}]"


def _id(made: Json) -> str:
    """`task.id` of the older REST, `item.id` or `id` of REST 3.0."""
    said = made.get("task") or made.get("item") or made if isinstance(made, dict) else {}
    if not isinstance(said, dict) or not said.get("id"):
        raise UnknownOutcome("tasks.task.add: the answer has no id", cause="tasks.task.add no id")
    return str(said["id"])
