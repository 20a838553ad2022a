"""The stock XDTO package of CommerceML 2.0x, as far as orders go: what it demands of a document, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

from bus.sandbox.onec.cml_xml import Element, child, children, local, value

NAMESPACE = "urn:1C.ru:commerceml_2"
ORDER_OF_GOODS = "Заказ товара"

DOCUMENT = (
    "Ид", "Номер", "Дата", "ХозОперация", "Роль", "Валюта", "Курс", "Сумма", "Контрагенты", "Время", "СрокПлатежа",
    "Комментарий", "Налоги", "Скидки", "ДопРасходы", "Склады", "Товары", "ЗначенияРеквизитов", "Подписанты",
)  # fmt: skip
REQUIRED = frozenset(DOCUMENT[: DOCUMENT.index("Контрагенты") + 1])
OPERATIONS = frozenset({
    ORDER_OF_GOODS, "Счет на оплату", "Отпуск товара", "Счет-фактура", "Возврат товара",
    "Передача товара на комиссию", "Возврат комиссионного товара", "Отчет комиссионера о продажах товара",
    "Отчет комиссионера о списании товара", "Выплата наличных денег", "Возврат наличных денег",
    "Выплата безналичных денег", "Возврат безналичных денег", "Переоценка товаров", "Передача прав", "Прочие",
})  # fmt: skip
ROLES = frozenset({
    "Продавец", "Покупатель", "Плательщик", "Получатель", "Комитент", "Комиссионер", "Лицензиар", "Лицензиат",
})  # fmt: skip
_LONGEST = {"Ид": 40, "Номер": 255, "Валюта": 3, "Комментарий": 3000}
_VALUE_LONGEST = 1000
_INN, _KPP, _BIC, _ACCOUNT = (10, 11, 12), (9,), (9,), (20,)


def check(document: Element) -> list[str]:
    """What the package would refuse in one Документ; names of elements only, never their contents."""
    return [
        *_sequence(document),
        *(f"{name} is missing" for name in DOCUMENT if name in REQUIRED and child(document, name) is None),
        *(f"{name} is longer than {most}" for name, most in _LONGEST.items() if len(value(document, name)) > most),
        *_words(document),
        *_parties(document),
        *_requisites(document),
    ]


def _sequence(document: Element) -> Iterator[str]:
    last = 0
    for element in document:
        name = local(element)
        if name not in DOCUMENT:
            yield f"{name} is not in the schema"
        elif DOCUMENT.index(name) < last:
            yield f"{name} is out of order"
        else:
            last = DOCUMENT.index(name)


def _words(document: Element) -> Iterator[str]:
    if value(document, "ХозОперация") not in OPERATIONS:
        yield "ХозОперация is not one of the schema's"
    if value(document, "Роль") not in ROLES:
        yield "Роль is not one of the schema's"


def _parties(document: Element) -> Iterator[str]:
    for party in children(child(document, "Контрагенты"), "Контрагент"):
        yield from _sized(party, "ИНН", _INN)
        yield from _sized(party, "КПП", _KPP)
        for account in children(child(party, "РасчетныеСчета"), "РасчетныйСчет"):
            yield from _sized(account, "НомерСчета", _ACCOUNT)
            yield from _sized(child(account, "Банк"), "БИК", _BIC)


def _sized(element: Element | None, name: str, lengths: tuple[int, ...]) -> Iterator[str]:
    if child(element, name) is not None and len(value(element, name)) not in lengths:
        yield f"{name} has a length that the schema does not take"


def _requisites(document: Element) -> Iterator[str]:
    for pair in children(child(document, "ЗначенияРеквизитов"), "ЗначениеРеквизита"):
        if len(value(pair, "Значение")) > _VALUE_LONGEST:
            yield f"Значение is longer than {_VALUE_LONGEST}"
