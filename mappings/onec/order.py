"""An order of a 1C base and the canonical order: ЗаказКлиента of УТ and ERP, ЗаказПокупателя of УНФ, an invoice in БП.

Raw: the document as OData gives it, with "@read_at" and what was read along in "@related" ({"currencies": {key: …},
"counterparties": …, "items": …, "states": …}). A document with a deletion mark is not read at all: its order counts as
removed here.

1C's order says how far it was agreed on, not what was paid or shipped: those are other documents. So "paid" and
"shipped" are told to it as "accepted", and an accepted one means them. Cancelled is an order each of whose rows is.
"""

from __future__ import annotations

from collections.abc import Collection

from bus import requisites
from bus.errors import UnknownCode
from bus.model import Fields, Json, Kind, OrderStatus, PartyType, nest
from bus.ports import Held, Raw, Tables, Translation
from mappings import values
from mappings.onec import reading
from mappings.onec.reading import Flag, Key, Party, Record, Row, Stamp
from mappings.tables import meaning
from mappings.values import Sum, Text

KIND: Kind = "order"
EVENT = "order"

_THING = "order"
_LIKE = {OrderStatus.PAID.value: OrderStatus.ACCEPTED.value, OrderStatus.SHIPPED.value: OrderStatus.ACCEPTED.value}
"""What an order here can say of states that are other documents' to tell."""
_STATUS, _STATE = "order_status", "order_state"
"""Code tables: of УТ's enumeration, and of УНФ's catalogue of states, by their names."""
_NUMBER = 30
_PERSON = PartyType.PERSON.value
_BUYER = {"customer.company": "company", "customer.inn": "inn", "customer.kpp": "kpp"}
_PLAIN = {"number": "number", "comment": "comment", "delivery.address": "address"}
"""Canonical fields that are texts of the document, by what they are called in the table of names."""


class _Order(Record):
    number_1c: Text = None
    at: Stamp = None
    number: Text = None
    status: Text = None
    total: Sum = None
    currency: Key = None
    comment: Text = None
    uip: Text = None
    counterparty: Key = None
    address: Text = None
    marker: Text = None
    posted: Flag = None


def carries(tables: Tables) -> frozenset[str]:
    """What this configuration's document can hold."""
    plain = {field for field, role in _PLAIN.items() if tables.name(_THING, role)}
    status = {"status"} if tables.name(_THING, "status") else set[str]()
    return frozenset({"total", "lines", *_BUYER, *plain, *status})


def writes(tables: Tables) -> frozenset[str]:
    """All but for whom it is, which is chosen when the order is made, and its sum, which follows from its rows.

    What delivery costs is a row of its own: where the settings name an item for it, the sum can be told.
    """
    total = set[str]() if tables.name("links", "delivery_item") else {"total"}
    return carries(tables) - set(_BUYER) - total


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """What is read along, by requests of its own: goods of the rows, the counterparty."""
    del tables
    parts = {"items"} if "lines" in fields else set[str]()
    return frozenset(parts | ({"counterparties"} if set(_BUYER) & set(fields) else set()))


def means(field: str, said: Json, wanted: Json) -> bool:
    """An accepted order means a paid one; rows mean the same goods by product or name; a long number is cut."""
    if field == "status":
        return bool(said == wanted or (said is not None and said == _LIKE.get(wanted)))
    if field == "lines":
        return _same_lines(said or [], wanted or [])
    if field == "number":
        return (said or None) == ((wanted or "")[:_NUMBER].strip() or None)
    return bool(said == wanted)


def to_canonical(raw: Raw, tables: Tables) -> Translation:
    """The order as the base tells it. Its version is opaque; it was so, at the latest, when it was read."""
    order = _Order.model_validate(reading.roles(raw, tables, _THING, _Order))
    said, held = reading.held(_says(order, raw, tables))
    data = nest(said)
    if records := _records(order, tables):
        data["records"] = records
    return Translation(data=data, version=order.stamp, modified_at=order.modified_at, held=held)


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:
    """What to write so that the order says `fields`: {"fields", "goods", "total", "buyer", "currency", "cancelled"}.

    Each only where needed. "goods" are rows by product and name, for which the adapter finds the items; "buyer" is
    whom a new order is for. A status nobody mapped is never left. Raises UnknownCode for a status without a code here.
    """
    order = _Order.model_validate(reading.roles(present, tables, _THING, _Order)) if present is not None else None
    says = _says(order, present or {}, tables) if order else {}
    wanted = {name: value for name, value in fields.items() if name in writes(tables)}
    due = {name: value for name, value in wanted.items() if not means(name, says.get(name), value)}
    if says.get("status") == OrderStatus.CANCELLED and "status" not in due:
        due = {name: value for name, value in due.items() if name not in ("total", "lines")}
    own = _texts(due, order, tables) | _status(due.get("status"), order, says, tables)
    change: Raw = {"fields": own, "goods": _goods(due)}
    if {"total", "lines"} & due.keys() and fields.get("total"):
        change["total"] = fields["total"]["amount"]
    if order is None:
        change["buyer"] = {name: fields[field] for field, name in _BUYER.items() if fields.get(field)}
        change["currency"] = (fields.get("total") or {}).get("currency")
    change = {name: part for name, part in change.items() if part or (name == "goods" and "lines" in due)}
    return change | _cancelled(due.get("status"), says, tables)


def _says(order: _Order, raw: Raw, tables: Tables) -> Fields:
    """Every canonical field the order says, or what of it is held; its rows only where their items were read along."""
    goods = reading.rows(raw, tables, _THING)
    said = _said_status(order, raw, goods, tables)
    if order.says("number"):
        said["number"] = values.short(order.number)
    total = reading.sum_of(order.total, raw, order.currency, tables, "total")
    if total is not None and said.get("status") != OrderStatus.CANCELLED:  # without its rows it comes to nothing
        said["total"] = total
    if goods is not None and "items" in raw.get("@related", {}):
        said["lines"] = [_line(row, raw) for row in _counting(goods, raw)]
    if order.says("comment"):
        said["comment"] = values.long(reading.unmarked(order.comment))
    if order.says("address"):
        said["delivery.address"] = values.long(order.address)
    return said | _said_buyer(order, raw, tables)


def _said_status(order: _Order, raw: Raw, goods: list[Row] | None, tables: Tables) -> Fields:
    if not tables.name(_THING, "status"):
        return {}
    if goods and _all_cancelled(goods):
        return {"status": OrderStatus.CANCELLED.value}
    code = _code(order, raw, tables)
    return {"status": meaning(tables, _table(tables), code, field="status")} if code else {}


def _table(tables: Tables) -> str:
    """УНФ points to a state, УТ has one of a fixed set."""
    return _STATE if (tables.name(_THING, "status") or "").endswith("_Key") else _STATUS


def _code(order: _Order, raw: Raw, tables: Tables) -> str | None:
    """The status as the table knows it: the value's name, or the name of the state that it points to."""
    if _table(tables) == _STATE:
        state = reading.related(raw, "states", reading.key(order.status))
        return values.text(state.get("Description"))
    return order.status


def _all_cancelled(goods: list[Row]) -> bool:
    return all(row.cancelled for row in goods)


def _counting(goods: list[Row], raw: Raw) -> list[Row]:
    """Rows of goods: cancelled ones count only where all are, and what delivery costs is no goods."""
    delivered = [row for row in goods if not reading.related(raw, "items", row.item).get("delivery")]
    return delivered if _all_cancelled(goods) else [row for row in delivered if not row.cancelled]


def _line(row: Row, raw: Raw) -> Json:
    """A product is called by its article; one without an article by its key, with its variant's, as CommerceML does."""
    item = reading.related(raw, "items", row.item)
    own = "#".join(part for part in (row.item, row.variant) if part)
    article, title = values.text(item.get("article")), values.text(item.get("name"))
    return values.line(article or own or None, title or row.text, row.quantity, row.paid_each)


def _said_buyer(order: _Order, raw: Raw, tables: Tables) -> Fields:
    """For whom, where a company or sole trader was read along; a person's name, or the one all share, is no company."""
    found = reading.related(raw, "counterparties", order.counterparty)
    party = Party.model_validate(found)
    if not found or found.get("shared") or meaning(tables, "party_type", party.type or "", field="type") == _PERSON:
        return {}
    said: Fields = {"customer.inn": requisites.clean(party.inn), "customer.kpp": requisites.clean(party.kpp)}
    return said | {"customer.company": values.short(party.legal_name or party.name)}


def _records(order: _Order, tables: Tables) -> list[Json]:
    """Its number here, which is unique within a year; the code that payers give; and the order it was created for."""
    found: list[Json] = []
    if order.uip:
        found.append({"system": "uip", "type": KIND, "id": order.uip})
    if order.number_1c and order.at and (own := tables.name("links", "self")):
        found.append({"system": own, "number": f"{order.at:%Y}:{order.number_1c}"})
    return found + reading.ours(order, order.marker or order.comment, KIND)


def _texts(due: Fields, order: _Order | None, tables: Tables) -> Raw:
    """Plain texts. An address that is text now has no fields of its own any more: they would say the old one."""
    written: Raw = {}
    for field, role in _PLAIN.items():
        name = tables.name(_THING, role)
        if name and field in due:
            written[name] = str(due[field] or "")
    if "number" in due and (name := tables.name(_THING, "number")):
        written[name] = str(due["number"] or "")[:_NUMBER].strip()
    if "delivery.address" in due:
        stale = (tables.name(_THING, role) for role in ("address_xml", "address_json"))
        written |= {name: "" for name in stale if name}
    if "comment" in due and order is not None:
        written[str(tables.name(_THING, "comment"))] = reading.marked(due["comment"], order.comment)
    return written


def _status(status: Json, order: _Order | None, says: Fields, tables: Tables) -> Raw:
    """The value that makes the order say `status`. Closing is what cancelling means, beside cancelling its rows.

    Where there is no code for cancelled, its rows alone say it. An order without any status gets that of a new one:
    or it would say nothing, once somebody gives it rows that count.
    """
    name = tables.name(_THING, "status")
    if status is None or name is None or isinstance(says.get("status"), Held):
        return {}
    try:
        code = tables.codes(_table(tables), status, field="status")[0]
    except UnknownCode:
        if status == OrderStatus.CANCELLED and tables.name(_THING, "row_cancelled"):
            if order is not None and order.status:
                return {}
            status = OrderStatus.NEW.value
        code = tables.codes(_table(tables), str(_LIKE.get(status, status)), field="status")[0]
    present = order.status if order else None
    if _table(tables) == _STATE:
        return {name: {"@state": code}}
    return {} if present == code else {name: code}


def _cancelled(status: Json, says: Fields, tables: Tables) -> Raw:
    """Whether its rows are to be cancelled, or to be revived."""
    if status is None or not tables.name(_THING, "row_cancelled"):
        return {}
    wanted, present = status == OrderStatus.CANCELLED, says.get("status") == OrderStatus.CANCELLED
    return {"cancelled": wanted} if wanted != present else {}


def _goods(due: Fields) -> list[Raw]:
    return [dict(line) for line in due.get("lines") or []]


def _same_lines(said: list[Json], wanted: list[Json]) -> bool:
    return len(said) == len(wanted) and all(_same_line(one, other) for one, other in zip(said, wanted, strict=True))


def _same_line(said: Json, wanted: Json) -> bool:
    """The same goods, by either of their names, as many and for as much."""
    one, other = (values.comparable("lines", [line])[0] for line in (said, wanted))
    called = one["product"] == other["product"] or one["name"] == other["name"]
    return called and all(one[name] == other[name] for name in ("quantity", "price"))
