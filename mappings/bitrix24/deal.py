"""A deal of Bitrix24 and the canonical order: how the CRM sees an order.

Raw: {"item": crm.item of type 2, "rows": product rows, "contact": crm.item of type 3 or null, "company": {"item",
"requisite"} or null, "order_ids": [...], "moves": its stages, the last one first}. A key that is absent was not read
and says nothing. A deal without a contact says nothing about the customer: somebody who unlinks a contact does not
mean to erase the buyer's phone in the shop.

For whom an order is, a deal says by the company that it is linked to. A new deal is linked to the one that has the
order's INN and KPP, if there is one; later that is the managers' to change, and only read.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from bus.errors import UnknownCode
from bus.model import DERIVED, Fields, Json, Kind, nest
from bus.ports import Former, Held, Raw, Tables, Translation
from mappings import values
from mappings.tables import funnel_of, meaning
from mappings.values import Id, Listed, Read, Sum, Text

KIND: Kind = "order"
EVENT = "deal"
RETRACED = frozenset({"status"})
"""Of which fields a portal tells what they said before: `moves`."""
ORIGINATOR = "integration-bus"
"""Who made the deals that the bus creates, in their field originatorId."""

_STAGE, _PAID = "deal_stage", "payment_status"
_CUSTOMER = ("name", "phone", "email")
_COMPANY = ("company", "inn", "kpp")
_NAMED = {
    "number": "number",
    "delivery.method": "delivery_method",
    "delivery.address": "delivery_address",
    "paid_total": "paid_total",
    "payment_status": "payment_status",
}
"""Canonical fields that live in user fields, by their key in the table of names `fields`."""


_PRODUCTS = TypeAdapter(dict[str, list[str | None]])


class _Item(Read):
    updated_time: AwareDatetime
    updated_by: Id = None
    moved_by: Id = None
    stage_id: Text = None
    category_id: Id = None
    opportunity: Sum = None
    currency_id: Text = None
    is_manual_opportunity: Text = None
    comments: Text = None
    originator_id: Text = None
    origin_id: Text = None


class _Row(Read):
    product_name: Text = None
    price: Sum = None
    quantity: Sum = None


class _Multi(Read):
    type_id: Text = None
    value: Text = None


class _Contact(Read):
    updated_time: AwareDatetime | None = None
    name: Text = None
    second_name: Text = None
    last_name: Text = None
    fm: Annotated[list[_Multi] | None, Listed] = None


class _Named(Read):
    title: Text = None


class _Requisite(Read):
    inn: Text = Field(default=None, alias="RQ_INN")
    kpp: Text = Field(default=None, alias="RQ_KPP")


class _Company(Read):
    item: _Named
    requisite: _Requisite | None = None


class _Move(Read):
    stage_id: Text = Field(default=None, alias="STAGE_ID")
    created_time: AwareDatetime = Field(alias="CREATED_TIME")


_MOVES = TypeAdapter(Annotated[list[_Move], Listed])


class _Deal(Read):
    item: _Item
    rows: Annotated[list[_Row] | None, Listed] = None
    contact: _Contact | None = None
    company: _Company | None = None
    order_ids: Annotated[list[Id] | None, Listed] = Field(default=None, alias="order_ids")


def carries(tables: Tables) -> frozenset[str]:
    """Everything but what has no user field in this portal."""
    named = {field for field, key in _NAMED.items() if tables.name("fields", key)}
    customer = (f"customer.{key}" for key in (*_CUSTOMER, *_COMPANY))
    return frozenset({"status", "total", "lines", "comment", *customer, *named})


def writes(tables: Tables) -> frozenset[str]:
    """A deal takes everything that it holds, but for another company."""
    return carries(tables) - {f"customer.{key}" for key in _COMPANY}


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """Product rows, contact and company are read by calls of their own, and so are the portal's links of orders."""
    parts = {"rows"} if "lines" in fields else set[str]()
    parts |= {"contact"} if any(f"customer.{key}" in fields for key in _CUSTOMER) else set()
    parts |= {"company"} if any(f"customer.{key}" in fields for key in _COMPANY) else set()
    if tables.name("fields", "order_links"):
        parts.add("links")
    return frozenset(parts)


def means(field: str, said: Json, wanted: Json) -> bool:
    """Rows without the shop's products, in a portal that keeps none, mean the same rows; the comment is plain text."""
    if field == "lines" and said and wanted and not any(line.get("product") for line in said):
        return bool(said == [{**line, "product": None} for line in wanted])
    if field == "comment":
        return (said or None) in (wanted or None, values.plain(wanted))
    return bool(said == wanted)


def to_canonical(raw: Raw, tables: Tables) -> Translation:
    """The order a deal tells of. Its version is the second of its last change: Bitrix24 counts nothing finer.

    Its contact changes without it and counts in the time of modification, not in the version: a deal that is read
    without its contact, as after a write, would else be older than itself.
    """
    deal = _Deal.model_validate(raw)
    said = _says(deal, raw, tables)
    data = nest({name: value for name, value in said.items() if name not in DERIVED[KIND]})
    if records := _records(deal, raw, tables):
        data["records"] = records
    item = deal.item
    return Translation(
        data=data,
        version=str(int(item.updated_time.timestamp())),
        modified_at=_modified(deal).astimezone(UTC),
        actor=f"user:{item.updated_by}" if item.updated_by else None,
        held=_held(item, tables),
        derived={name: value for name, value in said.items() if name in DERIVED[KIND]},
        former=_former(raw, item, tables),
    )


def _former(raw: Raw, item: _Item, tables: Tables) -> Former | None:
    """The status before the deal came to its stage, and who brought it there: the story itself names nobody.

    A story that is not of the shape that the portal promises, or has gone on meanwhile, tells nothing.
    """
    try:
        last, before = _MOVES.validate_python(raw.get("moves") or [])[:2]
    except ValueError:
        return None
    found = meaning(tables, _STAGE, before.stage_id, field="status") if before.stage_id else None
    if last.stage_id != item.stage_id or not isinstance(found, str):
        return None
    moved_by = f"user:{item.moved_by}" if item.moved_by else None
    return Former({"status": found}, before.created_time.astimezone(UTC), moved_by)


def _modified(deal: _Deal) -> datetime:
    """When the deal or its contact was last saved: what it says of the customer is no older than the contact."""
    contact = deal.contact.updated_time if deal.contact else None
    return max(deal.item.updated_time, contact or deal.item.updated_time)


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:
    """What to write so that the deal says `fields`: {"item", "rows", "contact", "order_id"}, each only where needed.

    A new deal also says whose requisites its company should have: {"company": {"inn", "kpp"}}.
    `fields["@records"]` names the linked records ({"shop": {"order": "236"}}). A stage nobody mapped is never left:
    the status is then not written. A total is never cleared. Raises UnknownCode when a status has no stage in the
    deal's funnel.
    """
    deal = _Deal.model_validate(present) if present is not None else None
    says = _says(deal, present or {}, tables) if deal else {}
    due = values.differing(_wanted(fields, says, present, tables), says)
    order_id = _order_id(fields, tables)
    item = {
        **_stage(due, says, deal, tables),
        **_total(due, fields, deal),
        **({"comments": _rich(due["comment"])} if "comment" in due else {}),
        **_user_fields(due, tables),
        **_rows_products(due, present, tables),
        **_order_field(order_id, present, tables),
        **_title(fields, present),
    }
    change: Raw = {"item": item, "contact": _contact(due), "rows": _rows(due), "company": _whose(fields, present)}
    change = {name: part for name, part in change.items() if part or (name == "rows" and "lines" in due)}
    return change | _link(order_id, deal, present, tables)


def _says(deal: _Deal, raw: Raw, tables: Tables) -> Fields:
    """Every canonical field the deal says, the derived ones included: what a write is compared with."""
    item = deal.item
    said = _status(item, tables) | _own(raw.get("item", {}), item, tables)
    if item.says("opportunity") and item.currency_id:
        said["total"] = values.amount(item.opportunity or Decimal(0), item.currency_id)
    if item.says("comments"):
        said["comment"] = values.plain(item.comments)
    if deal.rows is not None:
        said["lines"] = _lines(deal.rows, _products(raw["item"], tables))
    if deal.contact:
        said |= _customer(deal.contact)
    if deal.company:
        said |= _client(deal.company)
    return said


def _status(item: _Item, tables: Tables) -> Fields:
    found = _meaning(item, tables)
    return {"status": found} if isinstance(found, str) else {}


def _held(item: _Item, tables: Tables) -> tuple[Held, ...]:
    found = _meaning(item, tables)
    return (found,) if isinstance(found, Held) else ()


def _meaning(item: _Item, tables: Tables) -> str | Held | None:
    return meaning(tables, _STAGE, item.stage_id, field="status") if item.stage_id else None


def _own(raw_item: Raw, item: _Item, tables: Tables) -> Fields:
    """What the portal's user fields say."""
    said: Fields = {}
    for field, key in _NAMED.items():
        name = tables.name("fields", key)
        if name and name in raw_item:
            said[field] = _own_value(field, raw_item[name], item, tables)
    return said


def _own_value(field: str, value: Json, item: _Item, tables: Tables) -> Json:
    if field == "paid_total":
        return _user_money(values.text(value), item.currency_id)
    if field == "payment_status":
        found = meaning(tables, _PAID, values.text(value) or "", field=field)
        return found if isinstance(found, str) else None
    return values.long(value) if field == "delivery.address" else values.short(value)


def _user_money(value: str | None, currency: str | None) -> Json:
    """A money field is "1480|RUB"; a number field takes the deal's currency. What is no sum counts as empty."""
    figure, _, own = (value or "").partition("|")
    if not re.fullmatch(r"\d+(\.\d+)?", figure):
        return None
    return values.amount(Decimal(figure), own or currency)


def _lines(rows: list[_Row], products: dict[str, list[str | None]]) -> list[Json]:
    """A row's own productId is of the CRM's catalogue; the shop's product is found by the row's name."""
    left = {name: list(ids) for name, ids in products.items()}
    lines = []
    for row in rows:
        known = left.get(row.product_name or "")
        lines.append(values.line(known.pop(0) if known else None, row.product_name, row.quantity, row.price))
    return lines


def _products(raw_item: Raw, tables: Tables) -> dict[str, list[str | None]]:
    """The shop's products by the name of their rows, in order; a field that somebody spoiled counts as empty."""
    own = tables.name("fields", "products")
    try:
        return _PRODUCTS.validate_json(raw_item.get(own) or "{}") if own else {}
    except ValidationError:
        return {}


def _customer(contact: _Contact) -> Fields:
    said: Fields = {}
    if contact.says("name") or contact.says("last_name"):
        parts = (contact.name, contact.second_name, contact.last_name)
        said["customer.name"] = values.name(" ".join(part for part in parts if part))
    if contact.fm is not None:
        said["customer.phone"] = values.phone(_first(contact.fm, "PHONE"))
        said["customer.email"] = values.email(_first(contact.fm, "EMAIL"))
    return said


def _client(company: _Company) -> Fields:
    """The linked company; one without a requisite says only its name."""
    said: Fields = {"customer.company": values.name(company.item.title)}
    if row := company.requisite:
        said |= {"customer.inn": values.requisite(row.inn), "customer.kpp": values.requisite(row.kpp)}
    return said


def _first(multis: list[_Multi], kind: str) -> str | None:
    return next((multi.value for multi in multis if multi.type_id == kind and multi.value), None)


def _records(deal: _Deal, raw: Raw, tables: Tables) -> list[Json]:
    """What this deal belongs to: the shop's orders, and the order that the bus created it for.

    The shop's orders are named by its own field and, where the portal links orders, by the links.
    """
    shop = tables.name("links", "shop")
    own = tables.name("fields", "order_id")
    linked = (deal.order_ids or []) if tables.name("fields", "order_links") else []
    found = [values.identifier(raw["item"].get(own)) if own else None, *linked]
    shops = [{"system": shop, "type": "order", "id": one} for one in dict.fromkeys(found) if one and shop]
    ours = values.origin(deal.item.origin_id, KIND) if deal.item.originator_id == ORIGINATOR else []
    return shops + ours


def _wanted(fields: Fields, says: Fields, present: Raw | None, tables: Tables) -> Fields:
    """`fields` as a deal can hold them: the comment as plain text, lines without products where no field keeps them."""
    wanted = {name: value for name, value in fields.items() if name in writes(tables)}
    if "comment" in wanted and wanted["comment"] != says.get("comment"):
        wanted["comment"] = values.plain(wanted["comment"])
    if wanted.get("lines") and not _keeps(present, tables):
        wanted["lines"] = [{**line, "product": None} for line in wanted["lines"]]
    return wanted


def _keeps(present: Raw | None, tables: Tables) -> bool:
    own = tables.name("fields", "products")
    return own is not None and (present is None or own in present["item"])


def _stage(due: Fields, says: Fields, deal: _Deal | None, tables: Tables) -> Raw:
    status = due.get("status")
    unmapped = deal is not None and deal.item.stage_id is not None and "status" not in says
    if status is None or unmapped:
        return {}
    funnel = _funnel(deal, tables)
    for code in tables.codes(_STAGE, status, field="status"):
        if funnel_of(code) == funnel:
            return {"stageId": code}
    raise UnknownCode(_STAGE, f"{status} in funnel {funnel}", field="status")


def _funnel(deal: _Deal | None, tables: Tables) -> int:
    """The deal's own funnel; for a new deal the one that the system's settings name."""
    if deal is None:
        return int(tables.name("links", "category") or 0)
    if deal.item.says("category_id"):
        return int(deal.item.category_id or 0)
    return funnel_of(deal.item.stage_id or "")


def _total(due: Fields, fields: Fields, deal: _Deal | None) -> Raw:
    """A manual amount is not recomputed from the rows; without it, writing rows would change the total behind us."""
    total = fields.get("total")
    recomputed = "lines" in due and (deal is None or deal.item.is_manual_opportunity != "Y")
    if not total or not ("total" in due or recomputed):
        return {}
    return {"opportunity": total["amount"], "currencyId": total["currency"], "isManualOpportunity": "Y"}


def _rich(comment: str | None) -> str:
    """A plain comment as a rich text that reads as it: what would pass for tags or entities there is escaped."""
    return (comment or "") if values.plain(comment) == comment else html.escape(comment or "", quote=False)


def _user_fields(due: Fields, tables: Tables) -> Raw:
    written: Raw = {}
    for field, key in _NAMED.items():
        name = tables.name("fields", key)
        if name and field in due:
            written[name] = _user_value(field, due[field], tables)
    return written


def _user_value(field: str, value: Json, tables: Tables) -> str:
    if value is None:
        return ""
    if field == "paid_total":
        return f"{value['amount']}|{value['currency']}"
    return tables.codes(_PAID, value, field=field)[0] if field == "payment_status" else str(value)


def _contact(due: Fields) -> Raw:
    return {key: due[f"customer.{key}"] for key in _CUSTOMER if f"customer.{key}" in due}


def _whose(fields: Fields, present: Raw | None) -> Raw:
    inn = fields.get("customer.inn") if present is None else None
    return {"inn": inn, "kpp": fields.get("customer.kpp")} if inn else {}


def _rows(due: Fields) -> list[Raw]:
    return [
        {"productName": line["name"], "price": line["price"], "quantity": line["quantity"]}
        for line in due.get("lines") or []
    ]


def _rows_products(due: Fields, present: Raw | None, tables: Tables) -> Raw:
    """Which of the shop's products the written rows are: rows themselves can only name products of the CRM."""
    own = tables.name("fields", "products")
    if not own or "lines" not in due or not _keeps(present, tables):
        return {}
    products: dict[str, list[str | None]] = {}
    for line in due["lines"] or []:
        products.setdefault(line["name"], []).append(line.get("product"))
    return {own: json.dumps(products, ensure_ascii=False)}


def _order_id(fields: Fields, tables: Tables) -> str | None:
    shop = tables.name("links", "shop")
    return values.identifier(fields.get("@records", {}).get(shop, {}).get("order"))


def _order_field(order_id: str | None, present: Raw | None, tables: Tables) -> Raw:
    own = tables.name("fields", "order_id")
    now = (present or {}).get("item", {}).get(own) if own else None
    return {own: order_id} if own and order_id and values.identifier(now) != order_id else {}


def _link(order_id: str | None, deal: _Deal | None, present: Raw | None, tables: Tables) -> Raw:
    """The portal's own order link; links that were not read are written again only with the deal's own field."""
    if not order_id or not tables.name("fields", "order_links"):
        return {}
    if deal and deal.order_ids is None:
        missing = bool(_order_field(order_id, present, tables))
    else:
        missing = not deal or order_id not in (deal.order_ids or [])
    return {"order_id": order_id} if missing else {}


def _title(fields: Fields, present: Raw | None) -> Raw:
    number = fields.get("number")
    return {"title": f"Заказ №{number}"} if present is None and number else {}
