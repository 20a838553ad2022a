"""What stock UT and ERP post back of an order: schema 2.07, the order's GUID under the site's own number.

No status, no contacts, no partial payment and no partial shipment; a fact that is false is not written at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bus.sandbox.onec import cml_schema
from bus.sandbox.onec.cml_parts import put_line, put_requisites, put_vat, root, vat_of
from bus.sandbox.onec.cml_values import Party, Said
from bus.sandbox.onec.cml_xml import Element, amount, day, dump, hour, moment, put, truth

VERSION = "2.07"
_COMMENT = 3000
_INN, _KPP, _OKPO = (10, 12), (9,), (8, 10)


@dataclass(frozen=True)
class Words:
    """The texts that go through НСтр, so that an English interface writes others."""

    operation: str = cml_schema.ORDER_OF_GOODS
    seller: str = "Продавец"
    buyer: str = "Покупатель"
    number: str = "Номер по 1С"
    date: str = "Дата по 1С"
    deleted: str = "ПометкаУдаления"
    posted: str = "Проведен"
    payment_number: str = "Номер оплаты по 1С"
    payment_date: str = "Дата оплаты по 1С"
    shipment_number: str = "Номер отгрузки по 1С"
    shipment_date: str = "Дата отгрузки по 1С"


RUSSIAN = Words()
ENGLISH = Words(  # seen: operation, seller, number, payment_date; the others are formed after them
    operation="Goods order",
    seller="Seller",
    buyer="Buyer",
    number="Number by 1C",
    date="Date by 1C",
    deleted="DeletionMark",
    posted="Posted",
    payment_number="Payments number by 1C",
    payment_date="Payments date by 1C",
    shipment_number="Shipment number by 1C",
    shipment_date="Shipment date by 1C",
)


class NotWritten(Exception):
    """1C's own schema refuses the document: nothing of the message goes out."""


def write(orders: Sequence[Said], at: datetime, words: Words = RUSSIAN) -> bytes:
    """One file; raises NotWritten when the package would not take a document of it."""
    made = root(cml_schema.NAMESPACE, VERSION, at)
    for order in orders:
        document = _document(made, order, words)
        wrong = cml_schema.check(document) if words is RUSSIAN else []
        if wrong:
            raise NotWritten(f"order {order.number}: {'; '.join(wrong)}")
    return dump(made)


def _document(parent: Element, order: Said, words: Words) -> Element:
    made = put(parent, "Документ")
    at = order.site_at or order.at
    put(made, "Ид", order.ref)
    put(made, "Номер", order.site_number)
    put(made, "Дата", day(at))
    put(made, "ХозОперация", words.operation)
    put(made, "Роль", words.seller)
    put(made, "Валюта", order.currency_code[:3])
    put(made, "Курс", "1")
    put(made, "Сумма", amount(order.total))
    _party(put(made, "Контрагенты"), order.party, words)
    put(made, "Время", hour(at))
    if order.comment:
        put(made, "Комментарий", order.comment[:_COMMENT])
    put_vat(made, vat_of(order.lines), included=order.vat_included)
    goods = put(made, "Товары")
    for line in order.lines:
        if not line.cancelled:
            put_line(goods, line, included=order.vat_included)
    put_requisites(made, _requisites(order, words))
    return made


def _party(parent: Element, party: Party, words: Words) -> None:
    """ИНН and КПП only at the lengths the schema takes; ОфициальноеНаименование is the mark of a legal entity."""
    made = put(parent, "Контрагент")
    put(made, "Ид", party.ref)
    put(made, "Наименование", party.name)
    put(made, "ОфициальноеНаименование" if party.legal else "ПолноеНаименование", party.full_name or party.name)
    if len(party.inn) in _INN:
        put(made, "ИНН", party.inn)
    if party.legal and len(party.kpp) in _KPP:
        put(made, "КПП", party.kpp)
    if len(party.okpo) in _OKPO:
        put(made, "ОКПО", party.okpo)
    put(made, "Роль", words.buyer)


def _requisites(order: Said, words: Words) -> Iterator[tuple[str, str]]:
    yield words.number, order.number
    yield words.date, moment(order.at)
    for name, fact in ((words.deleted, order.deleted), (words.posted, order.posted)):
        if fact:
            yield name, truth(fact)
    paid_by = [payment for payment in order.payments if payment.posted and not payment.refund]
    if order.posted and order.paid and paid_by:
        last = max(paid_by, key=lambda payment: payment.at)
        yield words.payment_number, last.number
        yield words.payment_date, moment(last.at)
    shipments = [shipment for shipment in order.shipments if shipment.posted]
    if order.shipped and shipments:
        gone = max(shipments, key=lambda shipment: shipment.at)
        yield words.shipment_number, gone.number
        yield words.shipment_date, moment(gone.at)
