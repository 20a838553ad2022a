"""What stock UNF posts back: schema 2.10, payments and shipments as documents inside their order, with amounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from bus.sandbox.onec.cml_parts import put_line, put_requisites, put_vat, root, vat_of
from bus.sandbox.onec.cml_schema import ORDER_OF_GOODS
from bus.sandbox.onec.cml_values import Means, Party, Payment, Said, Shipment
from bus.sandbox.onec.cml_xml import Element, amount, day, dump, hour, moment, put, truth

NAMESPACE = "urn:1C.ru:commerceml_210"
VERSION = "2.10"
PAID_BY = {
    Means.CASH: "Выплата наличных денег",
    Means.BANK: "Выплата безналичных денег",
    Means.CARD: "Эквайринговая операция",
}
GIVEN_BACK_BY = {**PAID_BY, Means.CASH: "Возврат наличных денег", Means.BANK: "Возврат безналичных денег"}
SHIPPED = "Отпуск товара"
DELIVERY = "ORDER_DELIVERY"
_METHOD_IDS = {Means.CASH: "1", Means.CARD: "2", Means.BANK: "3"}
_METHODS = {Means.CASH: "Наличные", Means.CARD: "Банковская карта", Means.BANK: "Банковский перевод"}


def write(orders: Sequence[Said], at: datetime, *, echo_id: bool = True) -> bytes:
    """One file. `echo_id`: an order that came from the site keeps the site's Ид, otherwise all have their GUID."""
    made = root(NAMESPACE, VERSION, at)
    for order in orders:
        _document(made, order, order.site_id if echo_id and order.site_id else order.ref)
    return dump(made)


def _document(parent: Element, order: Said, name: str) -> None:
    made = put(parent, "Документ")
    at = order.site_at or order.at
    _head(made, name, order.site_number or order.number, at, ORDER_OF_GOODS)
    _sum(made, amount(order.total), order)
    _party(put(made, "Контрагенты"), order.party)
    put(made, "Время", hour(at))
    if order.comment:
        put(made, "Комментарий", order.comment)
    put_vat(made, vat_of(order.lines), included=order.vat_included)
    _goods(made, order)
    put_requisites(made, _requisites(order))
    _subordinate(made, order)


def _subordinate(made: Element, order: Said) -> None:
    """Its posted documents; one that is unposted or marked for deletion is simply there no more."""
    payments = [payment for payment in order.payments if payment.posted]
    shipments = [shipment for shipment in order.shipments if shipment.posted]
    if not payments and not shipments:
        return
    box = put(made, "ПодчиненныеДокументы")
    for payment in payments:
        _payment(put(box, "ПодчиненныйДокумент"), payment, order)
    for shipment in shipments:
        _shipment(put(box, "ПодчиненныйДокумент"), shipment, order)


def _head(made: Element, name: str, number: str, at: datetime, operation: str) -> None:
    put(made, "Ид", name)
    put(made, "Номер", number)
    put(made, "Дата", day(at))
    put(made, "ХозОперация", operation)
    put(made, "Роль", "Продавец")


def _sum(made: Element, total: str, order: Said) -> None:
    put(made, "Валюта", order.currency_name[:3])
    put(made, "Курс", "1")
    put(made, "Сумма", total)


def _goods(made: Element, order: Said) -> None:
    goods = put(made, "Товары")
    for line in order.lines:
        put_line(goods, line, included=order.vat_included)


def _party(parent: Element, party: Party) -> None:
    made = put(parent, "Контрагент")
    put(made, "Ид", party.ref)
    put(made, "Наименование", party.name)
    put(made, "ОфициальноеНаименование" if party.legal else "ПолноеНаименование", party.full_name or party.name)
    for name, text in (("ИНН", party.inn), ("КПП", party.kpp)):
        if text:
            put(made, name, text)
    if party.address:
        put(put(made, "ЮридическийАдрес" if party.legal else "АдресРегистрации"), "Представление", party.address)
    _contacts(made, party)
    put(made, "Роль", "Покупатель")


def _contacts(made: Element, party: Party) -> None:
    known = [("Телефон рабочий", phone) for phone in party.phones] + [("Почта", mail) for mail in party.emails]
    if not known:
        return
    box = put(made, "Контакты")
    for kind, text in known:
        contact = put(box, "Контакт")
        put(contact, "Тип", kind)
        put(contact, "Значение", text)


def _payment(made: Element, payment: Payment, order: Said) -> None:
    operation = (GIVEN_BACK_BY if payment.refund else PAID_BY)[payment.means]
    _head(made, payment.ref, payment.number, payment.at, operation)
    _sum(made, amount(payment.amount), order)
    put(made, "Время", hour(payment.at))
    put_requisites(made, _payment_requisites(payment))


def _payment_requisites(payment: Payment) -> Iterator[tuple[str, str]]:
    yield "Номер оплаты по 1С", payment.number
    yield "Дата оплаты по 1С", moment(payment.at)
    yield "Оплачен", truth(payment.posted)
    if payment.document:
        yield "Номер платежного документа", payment.document
    if payment.receipt:
        yield "Номер чека", payment.receipt
    yield "Дата оплаты", moment(payment.at)
    yield "Метод оплаты ИД", _METHOD_IDS[payment.means]
    yield "Метод оплаты", _METHODS[payment.means]


def _shipment(made: Element, shipment: Shipment, order: Said) -> None:
    _head(made, shipment.ref, shipment.number, shipment.at, SHIPPED)
    _sum(made, amount(shipment.amount), order)
    put(made, "Время", hour(shipment.at))
    goods = put(made, "Товары")
    for line in shipment.lines:
        put_line(goods, line, included=order.vat_included)
    known = [("Номер документа отгрузки", shipment.number), ("Отгружен", truth(shipment.posted))]
    tracking = [("Идентификатор отправления", shipment.tracking)] if shipment.tracking else []
    put_requisites(made, known + tracking)


def _requisites(order: Said) -> Iterator[tuple[str, str]]:
    yield "Номер по 1С", order.number
    yield "Дата по 1С", moment(order.at)
    yield "ПометкаУдаления", truth(order.deleted)
    yield "Проведен", truth(order.posted)
    yield "Оплачен", truth(order.paid)
    yield "Отгружен", truth(order.shipped)
    yield "Отменен", truth(order.cancelled)
    if order.status:
        yield "Статуса заказа ИД", order.status_id  # the typing error is the contract
        yield "Статус заказа", order.status
    yield from order.more.items()
