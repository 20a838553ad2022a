"""An order of CommerceML and the canonical order: what 1C says of it, and the whole document that 1C is given.

A document is given whole: CommerceML has no change of a part. `fields` may bring, besides canonical fields:

    @origin   the entity's id          @records  the records linked to it ({"crm": {"deal": "759"}})
    @id       its external id here     @at       when it became known (ISO): the order's date in 1C

Facts: onec.md 1.4-1.9.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from bus.model import Fields, Json, Kind, OrderStatus, PaymentStatus, nest
from bus.ports import Held, Raw, Tables, Translation
from bus.systems.commerceml_raw import OURS, born_there, version_of
from mappings import values
from mappings.commerceml import counterparty, goods, names
from mappings.commerceml.counterparty import Party
from mappings.commerceml.goods import Line
from mappings.commerceml.names import Listed, Read, Requisites, Sum, Word, filled, flag, guid, said_only
from mappings.tables import meaning

KIND: Kind = "order"
EVENT = "order"

_STATUS = "order_status"
_LIFE = [one.value for one in (OrderStatus.NEW, OrderStatus.ACCEPTED, OrderStatus.PAID, OrderStatus.SHIPPED)]
"""What a shipment outweighs: an order that is shipped is at least that."""
_SITE_MARK = re.compile(r"^\[Номер документа на сайте:[^\]]*\]\s*")
"""What the BUS module puts before a comment."""
_INVENTED = re.compile(r"C\d+|B[0-9a-f]{10}")
"""Numbers that we make for orders that have none: no customer knows them."""
_READ_ONLY = frozenset({"settled", "number"})


class _Order(Read):
    read_at: AwareDatetime = Field(alias="@read_at")
    version: str = Field(default="", alias="@version")
    profile: str = Field(default="ut", alias="@profile")
    id: Word = Field(default=None, alias="Ид")
    number: Word = Field(default=None, alias="Номер")
    number_1c: Word = Field(default=None, alias="Номер1С")
    date: Word = Field(default=None, alias="Дата")
    date_1c: Word = Field(default=None, alias="Дата1С")
    currency: Word = Field(default=None, alias="Валюта")
    total: Sum = Field(default=None, alias="Сумма")
    comment: Word = Field(default=None, alias="Комментарий")
    parties: Annotated[list[Party], Listed] = Field(default=[], alias="Контрагенты")
    lines: Annotated[list[Line], Listed] = Field(default=[], alias="Товары")
    requisites: Requisites = Field(default={}, alias="ЗначенияРеквизитов")

    def said(self, *requisites: str) -> str | None:
        """The first of these requisites that says something."""
        return next((one for one in map(self.requisites.get, requisites) if one), None)

    @property
    def posted(self) -> bool:
        """Whether 1C counts the document: UT leaves a false flag out, the others write it."""
        return flag(self.said("Проведен")) is not False


def carries(tables: Tables) -> frozenset[str]:  # noqa: ARG001 - every 1C keeps the same
    """Everything of an order; of its payments UT keeps only that it is paid."""
    return frozenset(
        {
            "number",
            "status",
            "total",
            "lines",
            "comment",
            "settled",
            "customer.name",
            "customer.phone",
            "customer.email",
            "customer.company",
            "customer.inn",
            "customer.kpp",
            "delivery.method",
            "delivery.address",
            "payment_status",
        }
    )


def writes(tables: Tables) -> frozenset[str]:
    """What 1C is told of an order that it has: nothing by a profile that drops such news in silence."""
    return carries(tables) - _READ_ONLY if names.updates(tables) else frozenset()


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """Nothing: it comes whole."""
    del fields, tables
    return frozenset()


def means(field: str, said: Json, wanted: Json) -> bool:
    """1C calls goods by ids of its own: lines that differ in nothing else are the same."""
    if field == "lines" and said and wanted:
        return bool(goods.nameless(said) == goods.nameless(wanted))
    return bool(said == wanted)


def to_canonical(raw: Raw, tables: Tables) -> Translation:
    """What 1C says of the order. An empty element clears nothing; a status or currency that nobody mapped is held."""
    order = _Order.model_validate(raw)
    data = nest(_says(order, raw, tables))
    if records := _records(order, raw, tables):
        data["records"] = records
    return Translation(
        data=data, version=order.version or version_of(raw), modified_at=order.read_at, held=tuple(_held(order, tables))
    )


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:
    """The whole document that says `fields`, or nothing where `present` says them already.

    Raises UnknownCode when a status or a currency has no word here.
    """
    says = _says(_Order.model_validate(present), present, tables) if present is not None else {}
    wanted = {name: value for name, value in fields.items() if name in carries(tables) - {"settled"}}
    if present is not None and not _differing(wanted, says):
        return {}
    known = present or {}
    return _document(says | wanted | {name: fields.get(name) for name in fields if name[0] == "@"}, known, tables)


def _differing(wanted: Fields, says: Fields) -> Fields:
    due = values.differing(wanted, says)
    return {name: value for name, value in due.items() if not means(name, says.get(name), value)}


# --- read -------------------------------------------------------------------------------------------------------------


def _says(order: _Order, raw: Raw, tables: Tables) -> Fields:
    """Every canonical field the order says."""
    buyer = next((party for party in order.parties if not party.sells), None)
    comment = _SITE_MARK.sub("", order.comment or "") or order.said("Комментарии покупателя")
    lines = [goods.read(one, tables) for one in order.lines if not goods.is_delivery(one, tables)]
    status = _status(order, tables)
    return said_only(
        {
            "number": values.short(order.number) if _from_site(order, raw) else None,
            "status": status if isinstance(status, str) else None,
            "total": names.amount(order.total, names.currency(order.currency, tables)),
            "lines": lines or None,
            "comment": values.long(comment),
            "settled": _settled(order),
            "delivery.method": values.short(order.said("Способ доставки")),
            "delivery.address": values.long(order.said("Адрес доставки")),
            **(counterparty.customer(buyer) if buyer else {}),
        }
    )


def _from_site(order: _Order, raw: Raw) -> bool:
    """Whether Номер is a site's number: not 1C's own, which the BUS module repeats there, nor one that we made up."""
    if _INVENTED.fullmatch(order.number or ""):
        return False
    return not born_there(raw) or (order.number_1c is not None and order.number != order.number_1c)


def _settled(order: _Order) -> bool | None:
    """UT says "paid in full" by naming the last payment, and leaves out what is false; the others have a flag."""
    own = flag(order.said("Оплачен", "Оплачено"))
    if own is not None:
        return own
    if order.said("Номер оплаты по 1С", "Дата оплаты по 1С"):
        return True
    return False if order.profile == "ut" else None


def _status(order: _Order, tables: Tables) -> str | Held | None:
    """Cancelled outweighs everything, a status of its own what is not beyond it, and all shipped what comes before."""
    if flag(order.said("Отменен")):
        return OrderStatus.CANCELLED.value
    own = _own_status(order, tables)
    if isinstance(own, Held) or not _shipped(order):
        return own
    return OrderStatus.SHIPPED.value if own is None or own in _LIFE else own


def _own_status(order: _Order, tables: Tables) -> str | Held | None:
    """By id, by name («[N] Принят»), or by the BUS module's requisite; the first that anybody mapped."""
    said = [one for one in map(order.said, ("Статуса заказа ИД", "Статус заказа", "СтатусЗаказа")) if one]
    found = [meaning(tables, _STATUS, one, field="status") for one in said]
    return next((one for one in found if isinstance(one, str)), next(iter(found), None))


def _shipped(order: _Order) -> bool:
    own = flag(order.said("Отгружен"))
    if own is not None:
        return own and order.posted
    return order.posted and bool(order.said("Номер отгрузки по 1С", "Дата отгрузки по 1С"))


def _held(order: _Order, tables: Tables) -> list[Held]:
    status, currency = _status(order, tables), names.currency(order.currency, tables)
    return [one for one in (status, currency) if isinstance(one, Held)]


def _records(order: _Order, raw: Raw, tables: Tables) -> list[Json]:
    """What else this order is known by: our own entity, 1C's reference, and 1C's number, which repeats every year."""
    own = tables.name("links", "self")
    found: list[Json] = []
    if ours := OURS.fullmatch(order.id or ""):
        found.append({"system": "bus", "type": "order", "id": ours[1]})
    elif (ref := guid(order.id)) and not born_there(raw):
        found.append({"system": own, "type": "guid", "id": ref})
    number = order.number_1c or order.said("Номер по 1С")
    day = names.moment(order.date_1c or order.said("Дата по 1С"), tables)
    if number and day:
        year = names.written(day, tables).year
        found.append({"system": tables.name("links", "base") or own, "number": f"{year}:{number}"})
    return found


# --- written ----------------------------------------------------------------------------------------------------------


def _document(fields: Fields, present: Raw, tables: Tables) -> Raw:
    number = _number(fields, present, tables)
    total = fields.get("total") or {}
    return filled(
        {
            "Ид": _id(fields, present),
            "Номер": number,
            **_dated(fields, present, tables),
            "ХозОперация": "Заказ товара",
            "Роль": "Продавец",
            "Валюта": names.currency_name(total["currency"], tables) if total else None,
            "Курс": "1",
            "Сумма": total.get("amount"),
            "Контрагенты": [counterparty.of_customer(fields, number)],
            "Комментарий": fields.get("comment"),
            "Налоги": [goods.tax(total.get("amount"), tables)],
            "Товары": goods.written(fields, tables),
            "ЗначенияРеквизитов": _requisites(fields, tables),
        }
    )


def _id(fields: Fields, present: Raw) -> str | None:
    """Ours, or 1C's own for an order that was made there."""
    known = fields.get("@id")
    if known and (guid(known) or OURS.fullmatch(known)):
        return str(known)
    return f"bus-{fields['@origin']}" if fields.get("@origin") else present.get("Ид")


def _number(fields: Fields, present: Raw, tables: Tables) -> str:
    """The number that 1C has it under already; else the customer's; else of the deal; else of our own entity."""
    known = fields.get("@id") or present.get("Номер")
    if known and not guid(known) and not OURS.fullmatch(known):
        return str(known)
    deal = fields.get("@records", {}).get(tables.name("links", "crm"), {}).get("deal")
    own = str(fields.get("@origin") or "").replace("-", "")[:10]
    return str(fields.get("number") or (f"C{deal}" if deal else f"B{own}" if own else ""))


def _dated(fields: Fields, present: Raw, tables: Tables) -> Raw:
    if fields.get("@at"):
        at = names.written(datetime.fromisoformat(fields["@at"]), tables)
        return {"Дата": f"{at:%Y-%m-%d}", "Время": f"{at:%H:%M:%S}"}
    return {name: present[name] for name in ("Дата", "Время") if name in present}


def _requisites(fields: Fields, tables: Tables) -> Raw:
    """Never an empty one: UT gives it its neighbour's value."""
    status = fields.get("status")
    code = tables.codes(_STATUS, status, field="status")[0] if status else None
    paid = fields.get("payment_status")
    return filled(
        {
            "Статуса заказа ИД": code,
            "Статус заказа": code,
            "Отменен": _written(status == OrderStatus.CANCELLED) if status else None,
            "Заказ оплачен": _written(paid == PaymentStatus.PAID) if paid else None,
            "Способ доставки": fields.get("delivery.method"),
            "Адрес доставки": fields.get("delivery.address"),
            "Комментарии покупателя": fields.get("comment"),
        }
    )


def _written(fact: bool) -> str:
    return "true" if fact else "false"
