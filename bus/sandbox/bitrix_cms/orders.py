"""Saving orders: version, computed PAYED and price, the status a payment sets, and no save without a change."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bus.sandbox import times
from bus.sandbox.bitrix_cms import shapes
from bus.sandbox.bitrix_cms.catalog import Catalog
from bus.sandbox.envelope import RestError, Row, number
from bus.sandbox.store import Table

if TYPE_CHECKING:
    from bus.sandbox.site import Hit

ABSENT = 200540400001
PAYMENT_ABSENT = 200640400001
_OWN = frozenset({"version", "dateUpdate", "updated1c"})


class Orders:
    """The orders, each with its parts inside, and where each part lives."""

    def __init__(self, clock: Callable[[], float], rng: random.Random, catalog: Catalog) -> None:
        self._clock = clock
        self._rng = rng
        self.catalog = catalog
        self.status_on_paid: str | None = "P"
        self.table = Table(indexed=("xmlId", "accountNumber", "userId", "statusId"), modified="dateUpdate")
        self.owners: dict[str, dict[int, int]] = {"payments": {}, "shipments": {}, "basketItems": {}}
        self._ids = {"payments": 501, "shipments": 301, "basketItems": 2001, "propertyValues": 4001}

    def now(self) -> str:
        return times.iso(self._clock())

    def get(self, key: Any) -> Row:
        row = self.table.rows.get(number(key))
        if row is None:
            raise RestError(ABSENT, "order does not exist")
        return row

    def create(self, fields: Row, hit: Hit, fill: Callable[[Row], None] | None = None) -> Row:
        """A new order; `fill` adds its parts before the one save that raises the event."""
        key = self.table.new_id()
        now = self.now()
        person_type = number(fields.get("personTypeId"), 1)
        order: Row = {**shapes.ORDER, "id": key, "accountNumber": str(1000 + key), "xmlId": self.xml_id()}
        order |= {"personTypeId": person_type, "userId": 1, "price": 0, "dateInsert": now, "dateUpdate": now}
        order |= {"dateStatus": now, "empStatusId": hit.user}
        order |= {name: [] for name in shapes.PARTS if name != "requisiteLink"}
        order["requisiteLink"] = {"bankDetailId": 0, "mcBankDetailId": 0, "mcRequisiteId": 0, "requisiteId": 0}
        order["propertyValues"] = [self._property_value(row) for row in self.catalog.properties_of(person_type)]
        order |= {name: value for name, value in fields.items() if value is not None}
        if fill:
            fill(order)
        self._compute(order, order, hit)
        order["version"] = 1
        self._store(order)
        self._raise(order, hit)
        return order

    @contextmanager
    def saving(self, key: Any, hit: Hit) -> Iterator[Row]:
        """Change the order that is given; at the end it is saved if anything differs: version + 1, dateUpdate, event.

        Any change but updated1c itself says that 1C has not seen the order yet (Bitrix kernel, Order::save).
        """
        before = self.get(key)
        order = json.loads(json.dumps(before))
        yield order
        self._compute(before, order, hit)
        changed = {name for name, value in order.items() if name not in _OWN and before.get(name) != value}
        marked = order["updated1c"] != before["updated1c"]
        if not changed and not marked:
            return
        if changed:
            order["updated1c"] = "N"
        order |= {"version": before["version"] + 1, "dateUpdate": self.now()}
        self._store(order)
        self._raise(order, hit)

    def set_fields(self, order: Row, fields: Row, hit: Hit) -> None:
        """sale.order.update: what may not be set is ignored; an unknown status is refused."""
        said = {name: shapes.typed(name, value) for name, value in fields.items() if name in shapes.WRITABLE}
        status = said.get("statusId", order["statusId"])
        if not self.catalog.is_order_status(status):
            raise RestError(0, f"Status {status!r} does not exist")
        if status != order["statusId"]:
            order |= {"dateStatus": self.now(), "empStatusId": hit.user}
        if said.get("canceled", order["canceled"]) != order["canceled"]:
            order |= {"dateCanceled": self.now(), "empCanceledId": hit.user}
        order |= said

    def delete(self, key: Any, hit: Hit) -> Row:
        order = self.get(key)
        self.table.remove(order["id"])
        for name, owners in self.owners.items():
            for part in order[name]:
                owners.pop(int(part["id"]), None)
        hit.raise_event("order.deleted", (order["id"], order["version"]), order)
        return order

    def add_payment(self, order: Row, fields: Row) -> Row:
        key = self._id("payments")
        said = {name: shapes.typed(name, value) for name, value in fields.items() if name in shapes.PAYMENT_WRITABLE}
        said.pop("paid", None)
        payment = {**shapes.PAYMENT, "id": key, "orderId": order["id"], "currency": order["currency"]}
        payment |= {"accountNumber": f"{order['accountNumber']}/{len(order['payments']) + 1}", "dateBill": self.now()}
        payment |= {"xmlId": self.xml_id(), **said}
        self._pay_system(payment)
        order["payments"].append(payment)
        return payment

    def set_payment(self, payment: Row, fields: Row, hit: Hit) -> None:
        """paid=Y stamps who and when; paid=N takes the stamp away."""
        said = {name: shapes.typed(name, value) for name, value in fields.items() if name in shapes.PAYMENT_WRITABLE}
        if said.get("datePaid"):
            said["datePaid"] = times.normal(said["datePaid"])
        paid = said.get("paid", payment["paid"])
        if paid != payment["paid"]:
            stamp = said.get("datePaid") or self.now()
            said |= {"datePaid": stamp if paid == "Y" else None, "empPaidId": hit.user}
        elif "datePaid" in said and not said["datePaid"]:
            del said["datePaid"]
        payment |= said
        self._pay_system(payment)

    def add_shipment(self, order: Row, delivery_id: int, price: float | None = None, name: str | None = None) -> Row:
        service: Row = self.catalog.deliveries.get(delivery_id, {"name": name or "Delivery", "price": 0})
        cost = shapes.tidy(service["price"] if price is None else price)
        key = self._id("shipments")
        shipment = {**shapes.SHIPMENT, "id": key, "orderId": order["id"], "currency": order["currency"]}
        shipment |= {
            "accountNumber": f"{order['accountNumber']}/{len(order['shipments']) + 1}",
            "dateInsert": self.now(),
        }
        shipment |= {"deliveryId": delivery_id, "deliveryName": name or service["name"], "priceDelivery": cost}
        shipment |= {"basePriceDelivery": cost, "xmlId": self.xml_id()}
        order["shipments"].append(shipment)
        return shipment

    def add_basket_item(self, order: Row, fields: Row) -> Row:
        key = self._id("basketItems")
        said = {name: shapes.typed(name, value) for name, value in fields.items() if name in shapes.MONEY}
        price = said.get("price") or 0
        item = {**shapes.BASKET, "id": str(key), "orderId": str(order["id"]), "currency": order["currency"]}
        item |= {"dateInsert": self.now(), "dateUpdate": self.now(), "xmlId": str(fields.get("xmlId") or self.xml_id())}
        item |= {"name": str(fields.get("name") or f"Product {fields.get('productId')}")}
        item |= {"productId": number(fields.get("productId")), "productXmlId": str(fields.get("productXmlId") or "")}
        item |= {"basePrice": price, **said, "price": price, "quantity": said.get("quantity") or 1}
        item["customPrice"] = "Y" if fields.get("customPrice") == "Y" else "N"
        if fields.get("measureCode"):
            item["measureCode"] = str(fields["measureCode"])
        order["basketItems"].append(item)
        return item

    def set_property(self, order: Row, code: str, value: Any) -> None:
        for row in order["propertyValues"]:
            if row["code"] == code:
                row["value"] = None if value is None else str(value)

    def modify_properties(self, order: Row, values: list[Any]) -> None:
        """sale.propertyvalue.modify: all properties at once; what is not sent is erased."""
        said = {number(row.get("orderPropsId")): row.get("value") for row in values if isinstance(row, dict)}
        for row in order["propertyValues"]:
            value = said.get(row["orderPropsId"])
            row["value"] = None if value is None else str(value)

    def part(self, name: str, key: Any, code: int, text: str) -> tuple[int, int]:
        """(order id, part id) of a payment, shipment or basket item."""
        part_id = number(key)
        if part_id not in self.owners[name]:
            raise RestError(code, text)
        return self.owners[name][part_id], part_id

    def xml_id(self) -> str:
        return f"bx_{self._rng.getrandbits(52):013x}"

    def _compute(self, before: Row, order: Row, hit: Hit) -> None:
        """Price from basket and delivery; PAYED when the paid payments cover it; then the status set by payment."""
        if order["basketItems"] or order["shipments"]:
            goods = sum(item["price"] * item["quantity"] for item in order["basketItems"])
            order["price"] = shapes.tidy(round(goods + sum(row["priceDelivery"] for row in order["shipments"]), 2))
        paid = round(sum(row["sum"] or 0 for row in order["payments"] if row["paid"] == "Y"), 2)
        covered = any(row["paid"] == "Y" for row in order["payments"]) and paid >= order["price"]
        order["payed"] = "Y" if covered else "N"
        order["deducted"] = (
            "Y" if order["shipments"] and all(row["deducted"] == "Y" for row in order["shipments"]) else "N"
        )
        became_paid = order["payed"] == "Y" and (before is order or before["payed"] != "Y")
        wanted = self.status_on_paid
        if became_paid and wanted in self.catalog.statuses and self.catalog.before(order["statusId"], wanted):
            order |= {"statusId": wanted, "dateStatus": self.now(), "empStatusId": hit.user}

    def _store(self, order: Row) -> None:
        old = self.table.rows.get(order["id"])
        for name, owners in self.owners.items():
            for part in old[name] if old else ():
                owners.pop(int(part["id"]), None)
            for part in order[name]:
                owners[int(part["id"])] = order["id"]
        self.table.put(order)

    def _raise(self, order: Row, hit: Hit) -> None:
        hit.raise_event("order.saved", (order["id"], order["version"]), order)

    def _property_value(self, row: Row) -> Row:
        return {
            "id": self._id("propertyValues"),
            "orderPropsId": row["id"],
            "code": row["code"],
            "name": row["name"],
            "orderPropsXmlId": row["xmlId"],
            "value": None,
        }

    def _pay_system(self, payment: Row) -> None:
        system = self.catalog.pay_systems.get(payment.get("paySystemId") or 0)
        if system is None:
            raise RestError(0, f"Pay system {payment.get('paySystemId')} does not exist")
        payment |= {"paySystemName": system["name"], "paySystemIsCash": system["cash"]}
        payment["paySystemXmlId"] = f"bx_paysystem_{system['id']}"

    def _id(self, name: str) -> int:
        self._ids[name] += 1
        return self._ids[name] - 1
