"""What a person can do in the portal: records by verb and noun, cards with requisites inline, merges, tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.sandbox.bitrix24.schema import BANK, COMPANY, CONTACT, DEAL, INVOICE, LEAD, QUOTE, REQUISITE, TYPES
from bus.sandbox.bitrix24.tasks import COMPLETED, Wrong
from bus.sandbox.bitrix24.tasks_old import camel
from bus.sandbox.envelope import RestError, Row, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from bus.sandbox.bitrix24.portal import Portal
    from bus.sandbox.site import Hit

_CREATED = {"deal": DEAL, "lead": LEAD, "contact": CONTACT, "company": COMPANY, "quote": QUOTE, "invoice": INVOICE}
_NOUNS = _CREATED | {"requisite": REQUISITE, "bankdetail": BANK}
_MERGED = (LEAD, CONTACT, COMPANY)
_VERBS = ("create", "edit", "move", "merge", "delete")


class Acts:
    """The acts, by the part of `do` before the first underscore."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._records = portal.records
        self._verbs: dict[str, Callable[[int, Row, Hit], Row]] = {
            "create": self._create,
            "edit": self._edit,
            "move": self._edit,
            "merge": self._merge,
            "delete": self._delete,
        }

    def perform(self, act: Row, hit: Hit) -> Row:
        """Raises RestError when there is no such act or record."""
        name = str(act.get("do"))
        verb, _, noun = name.partition("_")
        if name == "set_rows":
            kind = _NOUNS[str(act.get("of", "deal"))]
            self._portal.products.replace(kind, self._existing(kind, act), list(act["rows"]), hit)
            return {"ok": True}
        if noun == "task":
            return self._task(verb, act, hit)
        kind = (_CREATED if verb == "create" else _NOUNS).get(noun, 0)
        if not kind or verb not in self._verbs or (verb == "merge" and kind not in _MERGED):
            known = f"{'_, '.join(_VERBS)}_ + {', '.join(_NOUNS)}; set_rows; create_, edit_, complete_, delete_task"
            raise RestError("UNKNOWN_ACT", f"unknown act {name!r}; known: {known}")
        return self._verbs[verb](kind, act, hit)

    def _create(self, kind: int, act: Row, hit: Hit) -> Row:
        row = self._records.create(kind, self._said(kind, act), hit)
        if act.get("rows"):
            self._portal.products.replace(kind, row["id"], list(act["rows"]), hit)
        return {"ok": True, "id": row["id"], **self._portal.parties.edit(kind, row["id"], act, hit)}

    def _edit(self, kind: int, act: Row, hit: Hit) -> Row:
        """Any field; a stage by `stage`, with `category` in another funnel."""
        key = self._existing(kind, act)
        fields = self._said(kind, act, self._records.get(kind, key))
        fields |= {"stageId": act["stage"]} if "stage" in act else {}
        fields |= {"categoryId": number(act["category"])} if "category" in act else {}
        changed = self._records.update(kind, key, fields, hit, move=True)
        return {"ok": True, "id": key, "changed": changed, **self._portal.parties.edit(kind, key, act, hit)}

    def _merge(self, kind: int, act: Row, hit: Hit) -> Row:
        """`id` stays, the `losers` go; what is different in both a person has decided for the one that stays."""
        key = self._existing(kind, act)
        losers = [self._existing(kind, {"id": loser}) for loser in act["losers"]]
        self._portal.duplicates.merge(kind, key, losers, hit)
        return {"ok": True, "id": key}

    def _delete(self, kind: int, act: Row, hit: Hit) -> Row:
        return {"ok": self._records.delete(kind, self._existing(kind, act), hit)}

    def _task(self, verb: str, act: Row, hit: Hit) -> Row:
        """`fields` in upper case as tasks.task.add takes them."""
        tasks = self._portal.tasks
        fields = {camel(str(name)): value for name, value in (act.get("fields") or {}).items()}
        try:
            if verb == "create":
                return {"ok": True, "id": tasks.add({"responsibleId": hit.user, **fields}, hit)["id"]}
            row = tasks.get(act.get("id"))
            if row is None:
                raise RestError("NOT_FOUND", f"Task {act.get('id')} does not exist", 404)
            if verb == "delete":
                tasks.delete(row["id"], hit)
                return {"ok": True}
            tasks.update(row, {"status": COMPLETED} if verb == "complete" else fields, hit)
        except Wrong as wrong:
            raise RestError("BAD_ACT", str(wrong)) from None
        return {"ok": True, "id": row["id"]}

    def _said(self, kind: int, act: Row, row: Row | None = None) -> Row:
        """The fields of an act, typed, under new names or old; with its `phones` and `emails`."""
        old = TYPES[kind].by_old
        named = {old[name].name if name in old else name: value for name, value in (act.get("fields") or {}).items()}
        fields = self._records.coerce(kind, named)
        communications = self._portal.parties.communications(act, row)
        return fields | ({"fm": [*fields.get("fm", ()), *communications]} if communications else {})

    def _existing(self, kind: int, act: Row) -> int:
        key = number(act.get("id"))
        if self._records.get(kind, key) is None:
            raise RestError("NOT_FOUND", f"{TYPES[kind].title} {act.get('id')} does not exist", 404)
        return key
