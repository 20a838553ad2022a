"""The portal: its data, its methods, its outgoing webhooks, and what a person can do in it."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.routing import BaseRoute, Route

from bus.sandbox import phpform, system
from bus.sandbox.bitrix24 import classic
from bus.sandbox.bitrix24.acts import Acts
from bus.sandbox.bitrix24.addresses import Addresses
from bus.sandbox.bitrix24.chosen import Chosen
from bus.sandbox.bitrix24.duplicates import Duplicates
from bus.sandbox.bitrix24.items import Items
from bus.sandbox.bitrix24.links import Links
from bus.sandbox.bitrix24.parties import Parties
from bus.sandbox.bitrix24.presets import Presets
from bus.sandbox.bitrix24.products import Products
from bus.sandbox.bitrix24.records import Records
from bus.sandbox.bitrix24.requisites import Requisites
from bus.sandbox.bitrix24.rest3 import MODES, ModernDoor, Replays
from bus.sandbox.bitrix24.schema import BANK, COMPANY, CONTACT, DEAL, INVOICE, LEAD, QUOTE, REQUISITE
from bus.sandbox.bitrix24.stages import Stages
from bus.sandbox.bitrix24.tasks import Tasks
from bus.sandbox.bitrix24.tasks_new import NewTasks
from bus.sandbox.bitrix24.tasks_old import OldTasks
from bus.sandbox.bitrix24.users import Users
from bus.sandbox.envelope import Row
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
        self.presets = Presets(self.records.now())
        self.requisites = Requisites(self.records, self.presets)
        self.addresses = Addresses(self.records)
        self.chosen = Chosen(self.records)
        self.duplicates = Duplicates(self.records, self.requisites, self.addresses)
        self.parties = Parties(self.records, self.requisites, self.addresses)
        self.users = Users(self.records.now(), self.user)
        self.tasks = Tasks(self.records.now, self.users)
        self.rest3 = "full"
        self.replays = Replays(self.clock)
        self.modern = NewTasks(self.tasks).methods()
        self.records.deleted = self._forget
        for name, kind_id in _STATES.items():
            self.records.tables[kind_id].watch = partial(self.changes.note, name)
        self.methods = (
            Items(self.records).methods()
            | classic.methods(self.records)
            | self.products.methods()
            | self.links.methods()
            | self.records.moves.methods()
            | self.requisites.methods()
            | self.presets.methods()
            | self.addresses.methods()
            | self.chosen.methods()
            | self.duplicates.methods()
            | OldTasks(self.tasks).methods()
            | system.methods(self)
            | self.users.methods()
            | {
                "crm.status.list": self.stages.list_statuses,
                "crm.category.list": self.stages.list_categories,
                "crm.dealcategory.list": self.stages.list_deal_categories,
                "crm.dealcategory.stage.list": self.stages.list_deal_stages,
            }
        )

    def doors(self) -> list[BaseRoute]:
        """REST 3.0, beside the old door that every site has."""
        return [Route("/rest/api/{user:int}/{code}/{method:path}", ModernDoor(self))]

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
        """See acts.py."""
        return Acts(self).perform(act, hit)

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
            found |= {"comments": self.links.comments, "tasks": list(self.tasks.table.rows.values())}
            found |= {"addresses": list(self.addresses.sheet.table.rows.values())}
            found |= {"users": list(self.users.rows.values())}
        return found

    def settings(self, spec: Row) -> Row:
        """`stages`: [{category, id, name, semantics}], `categories`: [{id, name}], `fields`: {UF_CRM_X: kind}.

        `presets`: [{id, name, xmlId, country}] instead of all; `users`: [{ID, NAME, ACTIVE, …}]; `rest3`: see rest3.py.
        """
        if spec.get("presets"):
            self.presets.replace(spec["presets"])
        for row in spec.get("users", ()):
            self.users.put(row)
        if spec.get("rest3", self.rest3) not in MODES:
            raise ValueError(f"rest3: {spec['rest3']!r} is not one of {', '.join(MODES)}")
        self.rest3 = str(spec.get("rest3", self.rest3))
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
        return {"fields": self.records.user_fields[DEAL], "stages": codes, "rest3": self.rest3}

    def _dump(self, kind: int, ids: set[int] | None, fields: set[str] | None) -> list[Row]:
        table = self.records.tables[kind].rows
        rows = list(table.values()) if ids is None else [table[key] for key in sorted(ids) if key in table]
        if fields:
            return [{name: row.get(name) for name in sorted(fields)} for row in rows]
        return [{**row, "productRows": self.products.of(kind, row["id"])} if kind == DEAL else row for row in rows]

    def _forget(self, kind: int, key: int, hit: Hit) -> None:
        self.products.forget(kind, key)
        self.links.forget(kind, key)
        self.chosen.forget(kind, key)
        self.addresses.forget(kind, key, hit)
        self.requisites.forget(kind, key, hit)

    def _letter(self, event: Event, hook: Row) -> Letter:
        def compose() -> tuple[bytes, dict[str, str]]:
            payload: dict[str, Any] = {
                "event": event.name,
                "event_handler_id": hook["id"],
                "data": event.data if "FIELDS_AFTER" in event.data else {"FIELDS": event.data},
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
