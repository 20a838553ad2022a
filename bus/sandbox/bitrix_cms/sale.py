"""sale.*: the shop's REST methods over the orders (Bitrix24 docs, sale); error codes are numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bus.sandbox import filters
from bus.sandbox.bitrix_cms import shapes
from bus.sandbox.bitrix_cms.orders import ABSENT, PAYMENT_ABSENT, Orders
from bus.sandbox.envelope import Page, Params, RestError, Row, number, required
from bus.sandbox.phpform import as_list

if TYPE_CHECKING:
    from bus.sandbox.site import Hit, Method

_DATES = ("dateInsert", "dateUpdate", "dateStatus", "dateCanceled", "datePaid", "dateBill", "dateMarked")
_NUMBERS = ("id", "orderId", "price", "sum", "version", "userId", "personTypeId", "paySystemId", "orderPropsId", "sort")


class Sale:
    """The handlers."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def methods(self) -> dict[str, Method]:
        catalog = self._orders.catalog
        return {
            "sale.order.add": self.add_order,
            "sale.order.get": self.get_order,
            "sale.order.list": self.list_orders,
            "sale.order.update": self.update_order,
            "sale.order.delete": self.delete_order,
            "sale.order.getfields": _fields("order", shapes.ORDER, shapes.WRITABLE),
            "sale.payment.add": self.add_payment,
            "sale.payment.get": self.get_payment,
            "sale.payment.list": self._parts("payments"),
            "sale.payment.update": self.update_payment,
            "sale.payment.delete": self.delete_payment,
            "sale.payment.getfields": _fields("payment", shapes.PAYMENT, shapes.PAYMENT_WRITABLE),
            "sale.basketitem.add": self.add_basket_item,
            "sale.basketitem.list": self._parts("basketItems"),
            "sale.shipment.list": self._parts("shipments"),
            "sale.shipment.update": self.update_shipment,
            "sale.propertyvalue.list": self._parts("propertyValues"),
            "sale.propertyvalue.modify": self.modify_property_values,
            "sale.property.list": _reference("properties", lambda: catalog.properties),
            "sale.persontype.list": _reference("personTypes", lambda: catalog.person_types),
            "sale.status.list": _reference("statuses", lambda: list(catalog.statuses.values())),
            "sale.status.get": self.get_status,
            "sale.status.add": self.add_status,
            "sale.statuslang.list": _reference("statusLangs", catalog.status_langs),
            "sale.paysystem.list": self.list_pay_systems,
            "sale.delivery.getlist": self.list_deliveries,
        }

    def add_order(self, params: Params, hit: Hit) -> Row:
        """Needs lid, personTypeId, currency; goods come by sale.basketitem.add."""
        said = _said(params, "lid", "personTypeId", "currency")
        if number(said["personTypeId"]) not in {row["id"] for row in self._orders.catalog.person_types}:
            raise RestError(0, "Person type does not exist")
        allowed = shapes.WRITABLE | {"lid", "currency", "price", "accountNumber"}
        fields = {name: shapes.typed(name, value) for name, value in said.items() if name in allowed}
        fields.pop("updated1c", None)
        if not self._orders.catalog.is_order_status(fields.get("statusId", "N")):
            raise RestError(0, f"Status {fields['statusId']!r} does not exist")
        return {"order": self._orders.create(fields, hit)}

    def get_order(self, params: Params, hit: Hit) -> Row:
        required(params, "id")
        order = self._orders.get(params["id"])
        hit.seen.append(order["id"])
        return {"order": order}

    def list_orders(self, params: Params, hit: Hit) -> Page:
        """The orders' own fields; the parts are in sale.order.get only."""
        where = filters.parse(params.get("filter"), _named)
        order = filters.parse_order(params.get("order"), _named)
        found = filters.find(self._orders.table, where, order, filters.offset(params))
        hit.seen.extend(row["id"] for row in found.rows)
        rows = [_cut({name: row[name] for name in row if name not in shapes.PARTS}, params) for row in found.rows]
        return Page({"orders": rows}, found.total, found.next)

    def update_order(self, params: Params, hit: Hit) -> Row:
        required(params, "id")
        said = _said(params)
        with self._orders.saving(params["id"], hit) as order:
            self._orders.set_fields(order, said, hit)
        return {"order": self._orders.get(params["id"])}

    def delete_order(self, params: Params, hit: Hit) -> bool:
        required(params, "id")
        self._orders.delete(params["id"], hit)
        return True

    def add_payment(self, params: Params, hit: Hit) -> Row:
        said = _said(params, "orderId", "paySystemId")
        with self._orders.saving(said["orderId"], hit) as order:
            payment = self._orders.add_payment(order, said)
            self._orders.set_payment(payment, {"paid": said.get("paid", "N"), "datePaid": said.get("datePaid")}, hit)
        return {"payment": payment}

    def get_payment(self, params: Params, hit: Hit) -> Row:
        required(params, "id")
        order_id, key = self._payment(params["id"])
        hit.seen.append(order_id)
        return {"payment": _part(self._orders.get(order_id), "payments", key)}

    def update_payment(self, params: Params, hit: Hit) -> Row:
        """PaySystemId is required each time."""
        required(params, "id")
        order_id, key = self._payment(params["id"])
        said = _said(params, "paySystemId")
        with self._orders.saving(order_id, hit) as order:
            self._orders.set_payment(_part(order, "payments", key), said, hit)
        return {"payment": _part(self._orders.get(order_id), "payments", key)}

    def delete_payment(self, params: Params, hit: Hit) -> bool:
        required(params, "id")
        order_id, key = self._payment(params["id"])
        with self._orders.saving(order_id, hit) as order:
            if _part(order, "payments", key)["paid"] == "Y":
                raise RestError(0, "A paid payment cannot be deleted")
            order["payments"] = [row for row in order["payments"] if row["id"] != key]
        return True

    def add_basket_item(self, params: Params, hit: Hit) -> Row:
        """The currency must be the order's. The product is 0 for goods that are not in the shop's own catalogue."""
        said = _said(params, "orderId", "productId", "quantity", "currency")
        if said["currency"] != self._orders.get(said["orderId"])["currency"]:
            raise RestError(200140400011, "Currency must be the currency of the order")
        with self._orders.saving(said["orderId"], hit) as order:
            item = self._orders.add_basket_item(order, said)
        return {"basketItem": item}

    def update_shipment(self, params: Params, hit: Hit) -> Row:
        required(params, "id")
        order_id, key = self._orders.part("shipments", params["id"], 201240400001, "shipment does not exist")
        said = _said(params)
        with self._orders.saving(order_id, hit) as order:
            shipment = _part(order, "shipments", key)
            shipment |= {name: shapes.typed(name, said[name]) for name in said if name in shapes.SHIPMENT_WRITABLE}
        return {"shipment": _part(self._orders.get(order_id), "shipments", key)}

    def modify_property_values(self, params: Params, hit: Hit) -> Row:
        """Send them all: what is omitted is erased."""
        said = _said(params, "order")["order"]
        values = as_list(said.get("propertyValues"))
        with self._orders.saving(said.get("id"), hit) as order:
            self._orders.modify_properties(order, values)
        return {"propertyValues": self._orders.get(said["id"])["propertyValues"]}

    def get_status(self, params: Params, hit: Hit) -> Row:
        del hit
        required(params, "id")
        status = self._orders.catalog.statuses.get(str(params["id"]))
        if status is None:
            raise RestError(201240400001, "status does not exist")
        return {"status": status}

    def add_status(self, params: Params, hit: Hit) -> Row:
        del hit
        said = _said(params, "id", "type")
        sort = number(said.get("sort"), 500)
        return {"status": self._orders.catalog.add_status(str(said["id"]), str(said["type"]), sort, str(said["id"]))}

    def list_pay_systems(self, params: Params, hit: Hit) -> list[Row]:
        """The old upper-case form, without pages."""
        del params, hit
        rows = self._orders.catalog.pay_systems.values()
        return [{"ID": str(row["id"]), "NAME": row["name"], "IS_CASH": row["cash"], "ACTIVE": "Y"} for row in rows]

    def list_deliveries(self, params: Params, hit: Hit) -> list[Row]:
        """The old upper-case form, without pages."""
        del params, hit
        rows = self._orders.catalog.deliveries.values()
        return [{"ID": str(row["id"]), "NAME": row["name"], "ACTIVE": "Y", "CURRENCY": "RUB"} for row in rows]

    def _payment(self, key: Any) -> tuple[int, int]:
        return self._orders.part("payments", key, PAYMENT_ABSENT, "payment is not exists")

    def _parts(self, name: str) -> Method:
        """A list of parts over all orders, quick where the filter names orderId or the part's own id."""

        def handler(params: Params, hit: Hit) -> Page:
            where = filters.parse(params.get("filter"), _named)
            order = filters.parse_order(params.get("order"), _named)
            rows = [_numbered(row, owner["id"]) for owner in self._owners(name, where) for row in owner[name]]
            matching = [row for row in rows if where.holds(row)]
            found = filters.cut(filters.arrange(matching, order), filters.offset(params))
            hit.seen.extend(row["orderId"] for row in found.rows)
            return Page({name: [_cut(row, params) for row in found.rows]}, found.total, found.next)

        return handler

    def _owners(self, name: str, where: filters.Where) -> list[Row]:
        rows = self._orders.table.rows
        for part in () if where.any else where.parts:
            if isinstance(part, filters.Condition) and part.op in ("=", "@"):
                wanted = part.wanted if part.op == "@" else (part.wanted,)
                keys = [int(key) for key in wanted if isinstance(key, int | float)]
                if part.field == "id" and name in self._orders.owners:
                    keys = [self._orders.owners[name].get(key, 0) for key in keys]
                elif part.field != "orderId":
                    continue
                return [rows[key] for key in dict.fromkeys(keys) if key in rows]
        return list(rows.values())


def _named(name: str) -> tuple[str, str] | None:
    if name in _DATES:
        return name, "datetime"
    return (name, "integer") if name in _NUMBERS else (name, "string")


def _said(params: Params, *names: str) -> Row:
    fields = params.get("fields")
    if not isinstance(fields, dict):
        raise RestError(100, "Could not find value for parameter {fields}")
    missing = [name for name in names if fields.get(name) in (None, "")]
    if missing:
        raise RestError(0, f"Required fields: {', '.join(missing)}")
    return fields


def _part(order: Row, name: str, key: int) -> Row:
    for row in order[name]:
        if int(row["id"]) == key:
            found: Row = row
            return found
    raise RestError(ABSENT, "order does not exist")


def _cut(row: Row, params: Params) -> Row:
    select = [str(name) for name in as_list(params.get("select"))]
    return row if not select or "*" in select else {name: row[name] for name in select if name in row}


def _numbered(row: Row, order_id: int) -> Row:
    """A part in a list has numbers for ids, even where the order's own basket says strings."""
    return {**row, "id": int(row["id"]), "orderId": order_id}


def _reference(name: str, rows: Callable[[], list[Row]]) -> Method:
    """The list method of a reference list."""

    def handler(params: Params, hit: Hit) -> Page:
        del hit
        where = filters.parse(params.get("filter"), _named)
        order = filters.parse_order(params.get("order"), _named)
        matching = [row for row in rows() if where.holds(row)]
        found = filters.cut(filters.arrange(matching, order), filters.offset(params))
        return Page({name: [_cut(row, params) for row in found.rows]}, found.total, found.next)

    return handler


def _fields(name: str, shape: Row, writable: frozenset[str]) -> Method:
    """A getFields method."""
    described = {
        field: {"type": _type(field), "isReadOnly": field not in writable, "isRequired": False, "isImmutable": False}
        for field in sorted({*shape, *writable, "id"})
    }

    def handler(params: Params, hit: Hit) -> Row:
        del params, hit
        return {name: described}

    return handler


def _type(field: str) -> str:
    if field in shapes.MONEY:
        return "double"
    if field in shapes.NUMERIC or field in ("id", "version"):
        return "integer"
    return "datetime" if field.startswith("date") else "string"
