"""The shop: its orders, its REST methods, the bus's PHP handler in it, and what customers and managers can do."""

from __future__ import annotations

import json
import uuid
from functools import partial
from typing import Any

from standardwebhooks.webhooks import Webhook

from bus.sandbox import phpform, system, times
from bus.sandbox.bitrix_cms.catalog import INDIVIDUAL, LEGAL, Catalog
from bus.sandbox.bitrix_cms.orders import Orders
from bus.sandbox.bitrix_cms.sale import Sale
from bus.sandbox.envelope import RestError, Row, number
from bus.sandbox.outbox import Letter
from bus.sandbox.site import Event, Hit, Site

RESEND_SECONDS = 0.5
_EVENTS = {"order.saved": "ONSALEORDERSAVED", "order.deleted": "ONSALEBEFOREORDERDELETE"}


class Shop(Site):
    """A stand-in Bitrix CMS with module sale; no limits, as on any box."""

    kind = "bitrix_cms"
    person = 5

    def __init__(self, *, cloud: bool = False, **options: Any) -> None:
        super().__init__(cloud=cloud, **options)

    def blank(self) -> None:
        self.resend_seconds = RESEND_SECONDS
        self.catalog = Catalog()
        self.orders = Orders(self.clock, self.rng, self.catalog)
        self.orders.table.watch = partial(self.changes.note, "orders")
        self.methods = Sale(self.orders).methods() | system.methods(self)

    def letters(self, event: Event, hit: Hit) -> list[Letter]:
        """The PHP handler's signed JSON, or with `"form": "rest"` the REST webhook with the ID only."""
        return [
            self._rest(event, hook) if hook.get("form") == "rest" else self._signed(event, hook, hit)
            for hook in self.webhooks
        ]

    def check_webhook(self, hook: Row) -> None:
        """The signed form needs a secret that can sign."""
        if hook.get("form") != "rest":
            Webhook(str(hook["secret"]))

    def retry(self, letter: Letter, status: int | None) -> float | None:
        """The handler's outbox sends again until a 2xx, under the same webhook-id; a REST webhook is sent once."""
        del status
        return None if letter.event.isupper() else self.resend_seconds

    def perform(self, act: Row, hit: Hit) -> Row:
        """create_order, edit_order, set_status, cancel_order, pay_order, refund_payment, ship_order, delete_order."""
        acts = {
            "create_order": self._create,
            "edit_order": self._edit,
            "set_status": lambda act, hit: self._edit({**act, "fields": {"statusId": act["status"]}}, hit),
            "cancel_order": self._cancel,
            "pay_order": self._pay,
            "refund_payment": self._refund,
            "ship_order": self._ship,
            "delete_order": self._delete,
        }
        name = str(act.get("do"))
        if name not in acts:
            raise RestError("UNKNOWN_ACT", f"unknown act {name!r}; known: {', '.join(acts)}")
        return acts[name](act, hit)

    def state(self, what: Row) -> Row:
        """All orders as sale.order.get gives them; `ids` and `fields` make it less, `count` counts a field's values."""
        if what.get("count"):
            return {"orders": self.orders.table.counts(what["count"])}
        ids = {int(key) for key in str(what["ids"]).split(",")} if what.get("ids") else None
        fields = [*str(what["fields"]).split(","), "id"] if what.get("fields") else None
        rows = [row for key, row in self.orders.table.rows.items() if ids is None or key in ids]
        return {"orders": [{name: row.get(name) for name in fields} for row in rows] if fields else rows}

    def settings(self, spec: Row) -> Row:
        """`status_on_paid`: a code or null; `resend_seconds`; `statuses`: [{id, type, sort, name}]."""
        if "status_on_paid" in spec:
            self.orders.status_on_paid = spec["status_on_paid"]
        self.resend_seconds = float(spec.get("resend_seconds", self.resend_seconds))
        for row in spec.get("statuses", ()):
            self.catalog.add_status(
                str(row["id"]), str(row.get("type", "O")), int(row["sort"]), str(row.get("name", row["id"]))
            )
        return {
            "status_on_paid": self.orders.status_on_paid,
            "resend_seconds": self.resend_seconds,
            "statuses": list(self.catalog.statuses),
        }

    def _create(self, act: Row, hit: Hit) -> Row:
        """`customer`: {fio, phone, email, address}; `lines`: [{name, price, quantity, …}].

        `company`: {name, inn, kpp, address, contact, phone, email, delivery} makes an order of a legal entity; so does
        a `customer` with inn, kpp, company.
        """
        customer = {**(act.get("customer") or {}), **_of_company(act.get("company") or {})}
        legal = bool(customer.get("inn") or customer.get("company"))
        if legal and "fio" in customer:
            customer.setdefault("contact_person", customer["fio"])
        fields = {
            "personTypeId": number(act.get("personTypeId"), LEGAL if legal else INDIVIDUAL),
            "userId": number(act.get("userId"), 11),
            "userDescription": str(act.get("comment") or ""),
            "currency": str(act.get("currency") or "RUB"),
            "xmlId": act.get("xmlId"),
        }

        def fill(order: Row) -> None:
            for code, value in {**customer, **(act.get("properties") or {})}.items():
                self.orders.set_property(order, str(code).upper(), value)
            for line in act.get("lines") or ({"name": "Kettle", "price": 980, "quantity": 1, "productId": 348},):
                self.orders.add_basket_item(order, line)
            delivery = act.get("delivery", {})
            if delivery is not None:
                self.orders.add_shipment(
                    order, number(delivery.get("id"), 1), delivery.get("price"), delivery.get("name")
                )
            total = sum(item["price"] * item["quantity"] for item in order["basketItems"])
            total += sum(row["priceDelivery"] for row in order["shipments"])
            payment = self.orders.add_payment(order, {"paySystemId": number(act.get("paySystemId"), 2), "sum": total})
            if act.get("paid"):
                self.orders.set_payment(payment, {"paid": "Y"}, hit)

        order = self.orders.create(fields, hit, fill)
        return {
            "ok": True,
            "id": order["id"],
            "accountNumber": order["accountNumber"],
            "price": order["price"],
            "payments": [row["id"] for row in order["payments"]],
        }

    def _edit(self, act: Row, hit: Hit) -> Row:
        """`fields` of the order, `properties` by code, `lines` replace the basket, `delivery` the shipment."""
        before = self._version(act)
        with self.orders.saving(act.get("id"), hit) as order:
            self.orders.set_fields(order, act.get("fields") or {}, hit)
            for code, value in (act.get("properties") or {}).items():
                self.orders.set_property(order, str(code).upper(), value)
            if "lines" in act:
                order["basketItems"] = []
                for line in act["lines"]:
                    self.orders.add_basket_item(order, line)
            if act.get("delivery"):
                delivery = act["delivery"]
                order["shipments"] = []
                self.orders.add_shipment(
                    order, number(delivery.get("id"), 1), delivery.get("price"), delivery.get("name")
                )
        return self._done(act, before)

    def _cancel(self, act: Row, hit: Hit) -> Row:
        flag = "N" if act.get("undo") else "Y"
        fields = {"canceled": flag, "reasonCanceled": str(act.get("reason") or "")}
        return self._edit({"id": act.get("id"), "fields": fields}, hit)

    def _pay(self, act: Row, hit: Hit) -> Row:
        """Pay the first unpaid payment; with `amount` less than its sum the rest stays as a new unpaid payment."""
        before = self._version(act)
        with self.orders.saving(act.get("id"), hit) as order:
            unpaid = [row for row in order["payments"] if row["paid"] != "Y" and row["isReturn"] != "Y"]
            system_id = number(act.get("paySystemId"), unpaid[0]["paySystemId"] if unpaid else 2)
            amount = act.get("amount")
            payment = (
                unpaid[0]
                if unpaid
                else self.orders.add_payment(order, {"paySystemId": system_id, "sum": order["price"]})
            )
            rest = 0.0 if amount is None else round(payment["sum"] - float(amount), 2)
            fields = {"paid": "Y", "paySystemId": system_id, "payVoucherNum": str(act.get("voucher") or "")}
            fields |= {"sum": float(amount)} if amount is not None else {}
            self.orders.set_payment(payment, fields, hit)
            if rest > 0:
                self.orders.add_payment(order, {"paySystemId": system_id, "sum": rest})
        return self._done(act, before) | {"payment": payment["id"]}

    def _refund(self, act: Row, hit: Hit) -> Row:
        """By payment id, or the last paid payment of order `id`: no longer paid, marked as returned."""
        order_id = act.get("id")
        if act.get("payment"):
            order_id, _ = self.orders.part("payments", act["payment"], 200640400001, "payment is not exists")
        act = {**act, "id": order_id}
        before = self._version(act)
        with self.orders.saving(order_id, hit) as order:
            paid = [
                row for row in order["payments"] if row["paid"] == "Y" and act.get("payment", row["id"]) == row["id"]
            ]
            if not paid:
                raise RestError("NOTHING_TO_REFUND", "no paid payment")
            self.orders.set_payment(paid[-1], {"paid": "N", "isReturn": "Y"}, hit)
            paid[-1] |= {"payReturnDate": self.orders.now(), "empReturnId": hit.user}
        return self._done(act, before) | {"payment": paid[-1]["id"]}

    def _ship(self, act: Row, hit: Hit) -> Row:
        before = self._version(act)
        with self.orders.saving(act.get("id"), hit) as order:
            for row in order["shipments"]:
                row |= {"allowDelivery": "Y", "deducted": "Y", "statusId": "DF", "dateDeducted": self.orders.now()}
                row |= {"empDeductedId": hit.user, "trackingNumber": str(act.get("tracking") or row["trackingNumber"])}
        return self._done(act, before)

    def _delete(self, act: Row, hit: Hit) -> Row:
        return {"ok": True, "id": self.orders.delete(act.get("id"), hit)["id"]}

    def _version(self, act: Row) -> int:
        return int(self.orders.get(act.get("id"))["version"])

    def _done(self, act: Row, before: int) -> Row:
        order = self.orders.get(act.get("id"))
        return {"ok": True, "id": order["id"], "version": order["version"], "changed": order["version"] != before}

    def _signed(self, event: Event, hook: Row, hit: Hit) -> Letter:
        """Standard Webhooks: the signature is made at each sending, the id and the body stay."""
        message = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        body = {
            "id": message,
            "event": event.name,
            "occurred_at": times.iso(self.clock()),
            "user_id": hit.user,
            "order": event.data,
        }
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        signer = Webhook(str(hook["secret"]))

        def compose() -> tuple[bytes, dict[str, str]]:
            now = times.utc(self.clock())
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "bus-handler",
                "webhook-id": message,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signer.sign(message, now, text),
            }
            return text.encode(), headers

        return Letter(event.name, str(hook["url"]), compose)

    def _rest(self, event: Event, hook: Row) -> Letter:
        """ONSALEORDERSAVED carries ID, XML_ID and ACTION (Bitrix24 docs, sale events)."""

        def compose() -> tuple[bytes, dict[str, str]]:
            fields = {
                "ID": event.data["id"],
                "XML_ID": event.data["xmlId"],
                "ACTION": event.name.partition(".")[2][:-1],
            }
            auth = {"domain": "shop.sandbox.test", "application_token": hook.get("application_token", "")}
            payload = {
                "event": _EVENTS[event.name],
                "event_handler_id": hook["id"],
                "data": {"FIELDS": fields},
                "ts": int(self.clock()),
                "auth": auth,
            }
            return phpform.encode(payload).encode(), {"Content-Type": "application/x-www-form-urlencoded"}

        return Letter(_EVENTS[event.name], str(hook["url"]), compose)


_OF_COMPANY = {"name": "company", "address": "company_adr", "contact": "contact_person", "delivery": "address"}


def _of_company(company: Row) -> Row:
    """A company's card as the order properties of person type 2; `address` is the legal one."""
    return {_OF_COMPANY.get(name, name): value for name, value in company.items()}
