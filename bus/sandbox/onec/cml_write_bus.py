"""What the BUS module posts: schema 3.1, an order and its payments and shipments side by side in a container."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from bus.sandbox.onec.cml_parts import put_requisites, root
from bus.sandbox.onec.cml_schema import ORDER_OF_GOODS
from bus.sandbox.onec.cml_values import Account, Line, Party, Payment, Said, Shipment
from bus.sandbox.onec.cml_write_unf import GIVEN_BACK_BY, PAID_BY, SHIPPED
from bus.sandbox.onec.cml_xml import Element, amount, day, dump, hour, moment, put, truth

NAMESPACE = "urn:1C.ru:commerceml_3"
VERSION = "3.1"
_NUMBER_WIDTH = 11
_UNIT_CODE_WIDTH = 4


def write_orders(orders: Sequence[Said], at: datetime, *, backwards: bool = False) -> bytes:
    """One file of containers. `backwards`: payments and shipments stand before the order they belong to."""
    made = _root(at)
    for order in orders:
        box = put(made, "Контейнер")
        documents = [*_documents(box, order)]
        if backwards:
            box[:] = reversed(documents)
    return dump(made, bom=True)


def write_parties(parties: Sequence[Party], at: datetime, *, only_changes: bool = True) -> bytes:
    """contragents.xml: every party with its bank accounts and its deletion mark."""
    made = _root(at)
    box = put(made, "Контрагенты", СодержитТолькоИзменения=truth(only_changes))
    for party in parties:
        _party(box, party, whole=True)
    return dump(made, bom=True)


def _root(at: datetime) -> Element:
    return root(NAMESPACE, VERSION, at, Ид="Обмен с сайтом")


def _documents(box: Element, order: Said) -> Iterator[Element]:
    yield _order(put(box, "Документ"), order)
    for payment in order.payments:
        yield _payment(put(box, "Документ"), payment, order)
    for shipment in order.shipments:
        yield _shipment(put(box, "Документ"), shipment, order)


def _order(made: Element, order: Said) -> Element:
    number = order.site_number or order.number
    _head(made, order.site_id or order.ref, order.version, number, order, deleted=order.deleted)
    put(made, "ХозОперация", ORDER_OF_GOODS)
    _party(put(made, "Контрагенты"), order.party, whole=False)
    _money(made, amount(order.total), order)
    site = f"[Номер документа на сайте: {order.site_number}] " if order.site_number else ""
    put(made, "Комментарий", f"{site}{order.comment}")
    put_requisites(made, _requisites(order))
    _goods(made, order.lines)
    put(made, "Склады")
    return made


def _head(
    made: Element, name: str, version: str, number: str, source: Said | Payment | Shipment, *, deleted: bool
) -> None:
    """The site's own number and date, and beside them 1C's: padded to the width of its field."""
    at = getattr(source, "site_at", None) or source.at
    put(made, "Ид", name)
    put(made, "НомерВерсии", version)
    put(made, "ПометкаУдаления", truth(deleted))
    put(made, "Номер", number)
    put(made, "Номер1С", source.number.ljust(_NUMBER_WIDTH))
    put(made, "Дата", day(at))
    put(made, "Дата1С", day(source.at))
    put(made, "Время", hour(at))


def _money(made: Element, total: str, order: Said) -> None:
    put(made, "Валюта", order.currency_name[:3])
    put(made, "Курс", "1")
    put(made, "Сумма", total)
    put(made, "Роль", "Продавец")


def _goods(made: Element, lines: Sequence[Line]) -> None:
    goods = put(made, "Товары")
    for line in lines:
        _line(put(goods, "Товар"), line)


def _line(made: Element, line: Line) -> None:
    put(made, "Ид", line.item)
    put(made, "Артикул", line.article)
    put(made, "Наименование", line.name)
    unit = put(made, "Единица")
    put(unit, "Ид", line.unit_code.ljust(_UNIT_CODE_WIDTH))
    put(unit, "НаименованиеКраткое", line.unit)
    put(unit, "Код", line.unit_code.ljust(_UNIT_CODE_WIDTH))
    put(unit, "НаименованиеПолное", line.unit)
    rate = put(put(made, "СтавкиНалогов"), "СтавкаНалога")
    put(rate, "Наименование", "НДС")
    put(rate, "Ставка", line.rate)
    put(made, "Количество", amount(line.quantity))
    put(made, "Цена", amount(line.price))
    put(made, "Сумма", amount(line.amount))


def _payment(made: Element, payment: Payment, order: Said) -> Element:
    _head(made, payment.ref, payment.version, payment.number, payment, deleted=payment.deleted)
    put(made, "ХозОперация", (GIVEN_BACK_BY if payment.refund else PAID_BY)[payment.means])
    put(made, "Основание", order.site_id or order.ref)
    _money(made, amount(payment.amount), order)
    pairs = [
        ("Проведен", truth(payment.posted)),
        ("Оплачен", truth(payment.posted)),
        ("Номер оплаты по 1С", payment.number),
        ("Дата оплаты по 1С", moment(payment.at)),
    ]
    put_requisites(made, pairs + ([("ПризнакВозврата", "true")] if payment.refund else []))
    return made


def _shipment(made: Element, shipment: Shipment, order: Said) -> Element:
    _head(made, shipment.ref, shipment.version, shipment.number, shipment, deleted=shipment.deleted)
    put(made, "ХозОперация", SHIPPED)
    put(made, "Основание", order.site_id or order.ref)
    _money(made, amount(shipment.amount), order)
    pairs = [
        ("Проведен", truth(shipment.posted)),
        ("Отгружен", truth(shipment.posted)),
        ("Номер отгрузки по 1С", shipment.number),
        ("Дата отгрузки по 1С", moment(shipment.at)),
    ]
    put_requisites(made, pairs + ([("Идентификатор отправления", shipment.tracking)] if shipment.tracking else []))
    _goods(made, shipment.lines)
    return made


def _requisites(order: Said) -> Iterator[tuple[str, str]]:
    yield "Проведен", truth(order.posted)
    yield "Отменен", truth(order.cancelled)
    yield "Отгружен", truth(order.shipped)
    if order.status:
        yield "СтатусЗаказа", order.status
    yield from order.more.items()
    shipments = [shipment for shipment in order.shipments if shipment.posted]
    if shipments:
        gone = max(shipments, key=lambda shipment: shipment.at)
        yield "Номер отгрузки по 1С", gone.number
        yield "Дата отгрузки по 1С", moment(gone.at)
    payments = [payment for payment in order.payments if payment.posted]
    if order.paid and payments:
        last = max(payments, key=lambda payment: payment.at)
        yield "Номер оплаты по 1С", last.number
        yield "Дата оплаты по 1С", moment(last.at)


def _party(parent: Element, party: Party, *, whole: bool) -> None:
    """As the module writes it: empty ИНН, КПП and КодПоОКПО stand there all the same."""
    made = put(parent, "Контрагент")
    put(made, "Ид", party.site_id or party.ref)
    put(made, "НомерВерсии", party.version)
    put(made, "ПометкаУдаления", truth(party.deleted))
    put(made, "Наименование", party.name)
    put(made, "ОфициальноеНаименование" if party.legal else "ПолноеНаименование", party.full_name or party.name)
    put(made, "Роль", "Покупатель")
    for name, text in (("ИНН", party.inn), ("КПП", party.kpp), ("КодПоОКПО", party.okpo)):
        put(made, name, text)
    if whole and party.accounts:
        _accounts(put(made, "РасчетныеСчета"), party.accounts)
    _people(made, party)


def _people(made: Element, party: Party) -> None:
    """The representative, the address and the contacts; a nameless representative is written as `<>`."""
    if party.contact is not None:
        person = put(put(made, "Представители"), "Представитель")
        put(person, "Отношение", "Контактное лицо")
        put(person, "Наименование", party.contact or "<>")
    if party.address:
        put(put(made, "АдресРегистрации"), "Представление", party.address)
    box = put(made, "Контакты")
    known = [("Телефон рабочий", phone) for phone in party.phones] + [("Почта", mail) for mail in party.emails]
    for kind, text in known:
        contact = put(box, "Контакт")
        put(contact, "Тип", kind)
        put(contact, "Значение", text)


def _accounts(box: Element, accounts: Sequence[Account]) -> None:
    for account in accounts:
        made = put(box, "РасчетныйСчет")
        put(made, "НомерСчета", account.number)
        bank = put(made, "Банк")
        put(bank, "БИК", account.bic)
        put(bank, "Наименование", account.bank)
        put(bank, "СчетКорреспондентский", account.correspondent)
