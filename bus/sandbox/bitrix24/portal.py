"""The portal: its data, its methods, its outgoing webhooks, and what a person can do in it."""

from __future__ import annotations

from functools import partial
from typing import Any

from bus.sandbox import phpform, system
from bus.sandbox.bitrix24 import classic
from bus.sandbox.bitrix24.items import Items
from bus.sandbox.bitrix24.links import Links
from bus.sandbox.bitrix24.products import Products
from bus.sandbox.bitrix24.records import Records
from bus.sandbox.bitrix24.schema import BANK, COMPANY, CONTACT, DEAL, INVOICE, LEAD, QUOTE, REQUISITE, TYPES
from bus.sandbox.bitrix24.stages import Stages
from bus.sandbox.envelope import RestError, Row, number
from bus.sandbox.outbox import Letter
from bus.sandbox.site import Event, Hit, Site

DOMAIN = "portal.sandbox.test"
MEMBER = "a223c6b3710f85df22e9377d6c4f7553"
_STATES = {
    "leads": LEAD,
    "deals": DEAL,
    "contacts": CONTACT,
    "companies": COMPANY,
    "quotes": QUOTE,
    "invoices": INVOICE,
    "requisites": REQUISITE,
    "bankdetails": BANK,
}
_NOUNS = {"deal": DEAL, "lead": LEAD, "contact": CONTACT, "company": COMPANY, "quote": QUOTE, "invoice": INVOICE}


class Portal(Site):
    """A stand-in Bitrix24: cloud by default, `cloud=False` is a box without limits."""

    kind = "bitrix24"
    person = 7

    def blank(self) -> None:
        self.stages = Stages()
        self.records = Records(self.clock, self.stages)
        self.products = Products(self.records)
        self.records.row_total = self.products.total
        self.links = Links(self.records)
        self.records.deleted = self._forget
        for name, kind_id in _STATES.items():
            self.records.tables[kind_id].watch = partial(self.changes.note, name)
        self.methods = (
            Items(self.records).methods()
            | classic.methods(self.records)
            | self.products.methods()
            | self.links.methods()
            | system.methods(self)
            | {
                "crm.status.list": self.stages.list_statuses,
                "crm.category.list": self.stages.list_categories,
                "crm.dealcategory.list": self.stages.list_deal_categories,
                "crm.dealcategory.stage.list": self.stages.list_deal_stages,
                "crm.duplicate.findbycomm": classic.duplicates(self.records),
            }
        )

    def letters(self, event: Event, hit: Hit) -> list[Letter]:
        """An outgoing webhook: a form with the ID only, sent once, whoever made the change (Bitrix24 docs, events)."""
        del hit
        return [
            self._letter(event, hook)
            for hook in self.webhooks
            if not hook.get("events") or event.name in hook["events"]
        ]

    def check_webhook(self, hook: Row) -> None:
        """An outgoing webhook needs no more than its address."""

    def perform(self, act: Row, hit: Hit) -> Row:
        """create_, edit_, move_ and delete_ for deal, lead, contact, company, quote, invoice; set_rows."""
        verb, _, noun = str(act.get("do")).partition("_")
        if verb == "set" and noun == "rows":
            kind = _NOUNS[str(act.get("of", "deal"))]
            self.products.replace(kind, self._existing(kind, act), list(act["rows"]), hit)
            return {"ok": True}
        kind = _NOUNS.get(noun, 0)
        if not kind or verb not in ("create", "edit", "move", "delete"):
            known = f"create_, edit_, move_, delete_ + {', '.join(_NOUNS)}; set_rows"
            raise RestError("UNKNOWN_ACT", f"unknown act {act.get('do')!r}; known: {known}")
        if verb == "create":
            return self._create(kind, act, hit)
        key = self._existing(kind, act)
        if verb == "delete":
            return {"ok": self.records.delete(kind, key, hit)}
        fields = self.records.coerce(kind, self._stored(kind, act.get("fields") or {}))
        if verb == "move":
            fields |= {"stageId": act["stage"]}
            fields |= {"categoryId": number(act["category"])} if "category" in act else {}
        changed = self.records.update(kind, key, fields, hit, move=True)
        return {"ok": True, "id": key, "changed": changed}

    def state(self, what: Row) -> Row:
        """`of`: some of the tables; `ids`: those records; `fields`: only these, and no links, comments or tasks.

        `count`: no rows, but how many there are of each value of that field.
        """
        if what.get("count"):
            names = str(what.get("of", "deals")).split(",")
            return {name: self.records.tables[_STATES[name]].counts(what["count"]) for name in names}
        ids = {int(key) for key in str(what["ids"]).split(",")} if what.get("ids") else None
        fields = set(str(what["fields"]).split(",")) | {"id"} if what.get("fields") else None
        names = str(what["of"]).split(",") if what.get("of") else ["deals"] if ids or fields else list(_STATES)
        found: Row = {name: self._dump(_STATES[name], ids, fields) for name in names if name in _STATES}
        if not ids and not fields:
            found["links"] = [
                {"orderId": order, "ownerTypeId": owner[0], "ownerId": owner[1]}
                for order, owner in self.links.orders.items()
            ]
            found["payments"] = list(self.links.payments.rows.values())
            found |= {"comments": self.links.comments, "tasks": self.links.tasks}
        return found

    def settings(self, spec: Row) -> Row:
        """`stages`: [{category, id, name, semantics}], `categories`: [{id, name}], `fields`: {UF_CRM_X: kind}."""
        for row in spec.get("categories", ()):
            self.stages.add_funnel(DEAL, int(row["id"]), str(row["name"]))
        for row in spec.get("stages", ()):
            category = int(row.get("category", 0))
            kind, code = int(row.get("type", DEAL)), str(row["id"])
            self.stages.add(kind, category, code, str(row.get("name", code)), row.get("semantics"))
        for name, field_kind in (spec.get("fields") or {}).items():
            self.records.user_fields[int(spec.get("type", DEAL))][str(name)] = str(field_kind)
        codes: Row = {}
        for row in self.stages.rows:
            codes.setdefault(row["ENTITY_ID"], []).append(row["STATUS_ID"])
        return {"fields": self.records.user_fields[DEAL], "stages": codes}

    def _create(self, kind: int, act: Row, hit: Hit) -> Row:
        row = self.records.create(kind, self.records.coerce(kind, self._stored(kind, act.get("fields") or {})), hit)
        if act.get("rows"):
            self.products.replace(kind, row["id"], list(act["rows"]), hit)
        return {"ok": True, "id": row["id"]}

    def _stored(self, kind: int, fields: Row) -> Row:
        """A person's fields may have either the new or the old names."""
        old = TYPES[kind].by_old
        return {old[name].name if name in old else name: value for name, value in fields.items()}

    def _existing(self, kind: int, act: Row) -> int:
        key = number(act.get("id"))
        if self.records.get(kind, key) is None:
            raise RestError("NOT_FOUND", f"{TYPES[kind].title} {act.get('id')} does not exist", 404)
        return key

    def _dump(self, kind: int, ids: set[int] | None, fields: set[str] | None) -> list[Row]:
        table = self.records.tables[kind].rows
        rows = list(table.values()) if ids is None else [table[key] for key in sorted(ids) if key in table]
        if fields:
            return [{name: row.get(name) for name in sorted(fields)} for row in rows]
        return [{**row, "productRows": self.products.of(kind, row["id"])} if kind == DEAL else row for row in rows]

    def _forget(self, kind: int, key: int) -> None:
        self.products.forget(kind, key)
        self.links.forget(kind, key)

    def _letter(self, event: Event, hook: Row) -> Letter:
        def compose() -> tuple[bytes, dict[str, str]]:
            payload: dict[str, Any] = {
                "event": event.name,
                "event_handler_id": hook["id"],
                "data": {"FIELDS": event.data},
                "ts": int(self.clock()),
                "auth": {
                    "domain": DOMAIN,
                    "client_endpoint": f"https://{DOMAIN}/rest/",
                    "server_endpoint": "https://oauth.bitrix.info/rest/",
                    "member_id": hook.get("member_id", MEMBER),
                    "application_token": hook.get("application_token", ""),
                },
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Bitrix24 Webhook Engine"}
            return phpform.encode(payload).encode(), headers

        return Letter(event.name, str(hook["url"]), compose)
