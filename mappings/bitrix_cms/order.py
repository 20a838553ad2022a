"""An order of the Bitrix CMS shop (sale.order.get) and the canonical order.

Cancelled is a flag beside the status, not a status. Basket, total, number and delivery service are the shop's own: they
are read, and a basket is written only when an order is created.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC
from typing import Annotated

from pydantic import AwareDatetime

from bus.model import Fields, Json, Kind, OrderStatus, nest
from bus.ports import Held, Raw, Tables, Translation
from mappings import values
from mappings.tables import meaning
from mappings.values import Id, Listed, Read, Sum, Text

KIND: Kind = "order"
EVENT = "order"

_STATUS = "order_status"
_REASON = "Отменён через интеграционную шину"
_PROPERTIES = {
    "customer.name": "name",
    "customer.phone": "phone",
    "customer.email": "email",
    "customer.company": "company",
    "customer.inn": "inn",
    "customer.kpp": "kpp",
    "delivery.address": "address",
}
"""Canonical fields that live in order properties, by their key in the table of names `properties`."""
_READERS = {
    "customer.name": values.name,
    "customer.phone": values.phone,
    "customer.email": values.email,
    "customer.company": values.name,
    "customer.inn": values.requisite,
    "customer.kpp": values.requisite,
    "delivery.address": values.long,
}


class _Basket(Read):
    product_id: Id = None
    product_xml_id: Id = None
    name: Text = None
    quantity: Sum = None
    price: Sum = None


class _Shipment(Read):
    system: Text = None
    delivery_name: Text = None


class _Property(Read):
    code: Text = None
    value: Text = None


class _Order(Read):
    date_update: AwareDatetime
    version: Id = None
    xml_id: Text = None
    updated_by: Id = None
    emp_status_id: Id = None
    account_number: Text = None
    status_id: Text = None
    canceled: Text = None
    price: Sum = None
    currency: Text = None
    comments: Text = None
    basket_items: Annotated[list[_Basket] | None, Listed] = None
    shipments: Annotated[list[_Shipment] | None, Listed] = None
    property_values: Annotated[list[_Property] | None, Listed] = None


def carries(tables: Tables) -> frozenset[str]:
    """Everything but what this shop has no order property for."""
    held = {field for field, key in _PROPERTIES.items() if tables.name("properties", key)}
    return frozenset({"number", "status", "total", "lines", "delivery.method", "comment", *held})


def writes(tables: Tables) -> frozenset[str]:
    """What an order that exists can be told."""
    return carries(tables) - {"number", "total", "lines", "delivery.method"}


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """Nothing: it comes whole."""
    del fields, tables
    return frozenset()


def means(field: str, said: Json, wanted: Json) -> bool:
    """It says what it means."""
    del field
    return bool(said == wanted)


def to_canonical(raw: Raw, tables: Tables) -> Translation:
    """The order as the shop tells it. Its version is the shop's own counter, which grows with every change."""
    order = _Order.model_validate(raw)
    data = nest(_says(order, tables))
    if records := _records(order, tables):
        data["records"] = records
    actor = order.updated_by or order.emp_status_id
    return Translation(
        data=data,
        version=order.version or f"t{int(order.date_update.timestamp())}",
        modified_at=order.date_update.astimezone(UTC),
        actor=f"user:{actor}" if actor else None,
        held=_held(order, tables),
    )


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:
    """What to write so that the order says `fields`: {"fields", "properties", "basket"}, each only where needed.

    `fields["@records"]` names the linked records ({"crm": {"deal": "759"}}). A status nobody mapped is never left.
    Raises UnknownCode when a status has no code here.
    """
    order = _Order.model_validate(present) if present is not None else None
    says = _says(order, tables) if order else {}
    due = values.differing({name: value for name, value in fields.items() if name in writes(tables)}, says)
    own = _status(due.get("status"), order, tables)
    if "comment" in due:
        own["comments"] = due["comment"] or ""
    basket = _basket(fields) if order is None else []
    change: Raw = {"fields": own, "properties": _properties(due, fields, order, tables), "basket": basket}
    return {name: part for name, part in change.items() if part}


def _says(order: _Order, tables: Tables) -> Fields:
    """Every canonical field the order says: what a write is compared with."""
    said = _said_status(order, tables) | _said_properties(order, tables)
    if order.says("account_number"):
        said["number"] = values.short(order.account_number)
    if order.price is not None and order.currency:
        said["total"] = values.amount(order.price, order.currency)
    if order.basket_items is not None:
        said["lines"] = [
            values.line(item.product_xml_id or item.product_id, item.name, item.quantity, item.price)
            for item in order.basket_items
        ]
    if order.shipments is not None:
        said["delivery.method"] = _method(order.shipments)
    if order.says("comments"):
        said["comment"] = values.long(order.comments)
    return said


def _said_status(order: _Order, tables: Tables) -> Fields:
    if order.canceled == "Y":
        return {"status": OrderStatus.CANCELLED.value}
    found = _meaning(order, tables)
    return {"status": found} if isinstance(found, str) else {}


def _held(order: _Order, tables: Tables) -> tuple[Held, ...]:
    """The status of a cancelled order does not matter, known or not."""
    found = _meaning(order, tables) if order.canceled != "Y" else None
    return (found,) if isinstance(found, Held) else ()


def _meaning(order: _Order, tables: Tables) -> str | Held | None:
    return meaning(tables, _STATUS, order.status_id, field="status") if order.status_id else None


def _said_properties(order: _Order, tables: Tables) -> Fields:
    said: Fields = {}
    for field, key in _PROPERTIES.items():
        found = _property(order, tables.name("properties", key))
        if found:
            said[field] = _READERS[field](found.value)
    return said


def _property(order: _Order, names: str | None) -> _Property | None:
    """The order's property of that code; of several codes (`FIO CONTACT_PERSON`) the first that the order has."""
    by_code = {one.code: one for one in order.property_values or []}
    return next((by_code[code] for code in (names or "").split() if code in by_code), None)


def _method(shipments: list[_Shipment]) -> str | None:
    """The system shipment only holds what is not in a real one."""
    names = (one.delivery_name for one in shipments if one.system != "Y")
    return values.short(next((name for name in names if name), None))


def _records(order: _Order, tables: Tables) -> list[Json]:
    crm = tables.name("links", "crm")
    found = _property(order, tables.name("properties", "deal_id"))
    deal = values.identifier(found.value) if found else None
    ours = values.origin(order.xml_id, KIND)
    return ([{"system": crm, "type": "deal", "id": deal}] if crm and deal else []) + ours


def _status(status: Json, order: _Order | None, tables: Tables) -> Raw:
    """Flag and code that make the order say `status`; the present code stays where it means the same."""
    if status is None:
        return {}
    if status == OrderStatus.CANCELLED:
        return {"canceled": "Y", "reasonCanceled": _REASON}
    code = order.status_id if order else None
    revived = order is not None and order.canceled == "Y"
    if order and code and not revived and _held(order, tables):
        return {}
    codes = tables.codes(_STATUS, status, field="status")
    return ({"canceled": "N"} if revived else {}) | ({} if code in codes else {"statusId": codes[0]})


def _properties(due: Fields, fields: Fields, order: _Order | None, tables: Tables) -> Raw:
    written: Raw = {}
    for field, key in _PROPERTIES.items():
        if field in due and (code := _code(order, tables.name("properties", key))):
            written[code] = due[field] or ""
    deal = values.identifier(fields.get("@records", {}).get(tables.name("links", "crm"), {}).get("deal"))
    code = _code(order, tables.name("properties", "deal_id"))
    found = _property(order, code) if order else None
    if code and deal and deal != (found and found.value):
        written[code] = deal
    return written


def _code(order: _Order | None, names: str | None) -> str | None:
    """The code to write by: the property that the order has, else the first that the table names."""
    found = _property(order, names) if order else None
    return found.code if found else next(iter((names or "").split()), None)


def _basket(fields: Fields) -> list[Raw]:
    """A new order's basket. A product is given by its external code, and by id where it is a number."""
    currency = (fields.get("total") or {}).get("currency")
    basket = []
    for line in fields.get("lines") or []:
        item = {key: line[key] for key in ("name", "quantity", "price")}
        product = line.get("product")
        item |= {"currency": currency} if currency else {}
        item |= {"productXmlId": product} if product else {}
        basket.append(item | ({"productId": product} if product and product.isdigit() else {}))
    return basket
