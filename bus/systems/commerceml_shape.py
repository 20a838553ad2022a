"""The vocabulary of CommerceML as we read it: lists, synonyms, and which elements of a document somebody reads.

Facts: onec.md 1.4-1.9. Requisites stand in paths by their name: "ЗначенияРеквизитов[Отменен]". Names are NStr texts of
1C, so that an English interface writes English ones; they are read as the Russian ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from bus.model import Json

DocumentType = Literal["order", "payment", "shipment", "counterparty", "goods", "other"]

ROOT = "КоммерческаяИнформация"
REQUISITES, REQUISITE = "ЗначенияРеквизитов", "ЗначениеРеквизита"
PART_OF, PARTS = "ПодчиненныйДокумент", "ПодчиненныеДокументы"

LISTS: Mapping[str, str] = {
    "Контрагенты": "Контрагент",
    "Товары": "Товар",
    "Налоги": "Налог",
    "Скидки": "Скидка",
    "ДопРасходы": "ДопРасход",
    "СтавкиНалогов": "СтавкаНалога",
    "Склады": "Склад",
    "Контакты": "Контакт",
    "Представители": "Представитель",
    "РасчетныеСчета": "РасчетныйСчет",
    PARTS: PART_OF,
}
"""Elements that hold a list, with the name of what they hold."""

_OPERATIONS: Mapping[str, DocumentType] = {
    "заказ товара": "order",
    "goods order": "order",
    "выплата наличных денег": "payment",
    "возврат наличных денег": "payment",
    "выплата безналичных денег": "payment",
    "возврат безналичных денег": "payment",
    "эквайринговая операция": "payment",
    "отпуск товара": "shipment",
}

_ENGLISH: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"number by 1c", "Номер по 1С"),
        (r"date by 1c", "Дата по 1С"),
        (r"payments? number by 1c", "Номер оплаты по 1С"),
        (r"payments? date by 1c", "Дата оплаты по 1С"),
        (r"shipments? number by 1c", "Номер отгрузки по 1С"),
        (r"shipments? date by 1c", "Дата отгрузки по 1С"),
        (r"deletion ?mark", "ПометкаУдаления"),
        (r"posted", "Проведен"),
        (r"cancell?ed", "Отменен"),
    )
)

_PARTY = frozenset(
    {
        "Ид",
        "НомерВерсии",
        "ПометкаУдаления",
        "Наименование",
        "ОфициальноеНаименование",
        "ПолноеНаименование",
        "Роль",
        "ИНН",
        "КПП",
        "ОГРН",
        "ОКПО",
        "КодПоОКПО",
        "ЮридическийАдрес/Представление",
        "АдресРегистрации/Представление",
        "Адрес/Представление",
        "Контакты/Контакт/Тип",
        "Контакты/Контакт/Значение",
        "Представители/Представитель/Наименование",
        "Представители/Представитель/Контрагент/Наименование",
        "РасчетныеСчета/РасчетныйСчет/НомерСчета",
        "РасчетныеСчета/РасчетныйСчет/Банк/БИК",
        "РасчетныеСчета/РасчетныйСчет/Банк/Наименование",
    }
)
_HEAD = frozenset(
    {
        "Ид",
        "НомерВерсии",
        "ПометкаУдаления",
        "Номер",
        "Номер1С",
        "Дата",
        "Дата1С",
        "Время",
        "ХозОперация",
        "Валюта",
        "Сумма",
    }
)
_LINE = frozenset(
    {
        "Ид",
        "Артикул",
        "Наименование",
        "Количество",
        "ЦенаЗаЕдиницу",
        "Цена",
        "Сумма",
        "Скидки/Скидка/Сумма",
        "Скидки/Скидка/Процент",
        "Скидки/Скидка/УчтеноВСумме",
        "Налоги/Налог/Сумма",
        "Налоги/Налог/УчтеноВСумме",
    }
)
ORDER_REQUISITES = frozenset(
    {
        "Номер по 1С",
        "Дата по 1С",
        "ПометкаУдаления",
        "Проведен",
        "Отменен",
        "Оплачен",
        "Оплачено",
        "Отгружен",
        "Номер оплаты по 1С",
        "Дата оплаты по 1С",
        "Номер отгрузки по 1С",
        "Дата отгрузки по 1С",
        "Статуса заказа ИД",
        "Статус заказа",
        "СтатусЗаказа",
        "Способ доставки",
        "Адрес доставки",
        "Комментарии покупателя",
    }
)
PAYMENT_REQUISITES = frozenset(
    {
        "ПометкаУдаления",
        "Проведен",
        "Отменен",
        "Оплачен",
        "Оплачено",
        "ПризнакВозврата",
        "Номер платежного документа",
        "Номер оплаты по 1С",
        "Дата оплаты",
        "Дата оплаты по 1С",
        "Метод оплаты",
    }
)


def _under(prefix: str, paths: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{prefix}/{path}" for path in paths)


def _requisites(names: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{REQUISITES}[{name}]" for name in names)


READ: Mapping[DocumentType, frozenset[str]] = {
    "order": _HEAD
    | _under("Контрагенты/Контрагент", _PARTY)
    | _under("Товары/Товар", _LINE)
    | _requisites(ORDER_REQUISITES)
    | {"Комментарий"},
    "payment": _HEAD | _requisites(PAYMENT_REQUISITES) | {"Основание"},
    "shipment": frozenset({"Ид", "ХозОперация", "Основание"}),
    "counterparty": _PARTY,
    "goods": frozenset(),
    "other": frozenset(),
}
"""Elements of a document that a translator or the reader itself makes use of, by the document's type."""


def document_type(operation: str) -> DocumentType:
    """What a ХозОперация makes of its document; invoices, returns of goods and the like are set aside."""
    return _OPERATIONS.get(" ".join(operation.split()).lower(), "other")


def requisite(name: str) -> str:
    """A requisite's name in Russian."""
    plain = " ".join(name.split())
    return next((russian for pattern, russian in _ENGLISH if pattern.fullmatch(plain)), plain)


def leaves(raw: Json, path: str = "") -> Iterator[str]:
    """The path of each element and attribute that holds a value, and of each empty one."""
    if isinstance(raw, list):
        for item in raw:
            yield from leaves(item, path)
        if not raw:
            yield path
    elif isinstance(raw, dict):
        yield from _children(raw, path)
    else:
        yield path


def _children(raw: dict[str, Json], path: str) -> Iterator[str]:
    for name, value in raw.items():
        if name == "#":
            yield path
        elif name == REQUISITES:
            for one, said in value.items():
                yield from [f"{path}/{name}[{one}]".lstrip("/")] * (len(said) if isinstance(said, list) else 1)
            if not value:
                yield f"{path}/{name}".lstrip("/")
        else:
            inner = f"{path}/{name}".lstrip("/")
            yield from leaves(value, f"{inner}/{LISTS[name]}" if name in LISTS and value else inner)


def counted(raw: dict[str, Json], kind: DocumentType, where: str) -> tuple[dict[str, int], dict[str, int]]:
    """How often each element of a document stands there: those that somebody reads, and the others.

    A document inside it is counted by its own type.
    """
    inside = raw.get(PARTS)
    parts = [one for one in inside if isinstance(one, dict)] if isinstance(inside, list) else []
    plain = {name: value for name, value in raw.items() if name != PARTS or not parts}
    mapped: Counter[str] = Counter()
    unmapped: Counter[str] = Counter()
    for path in leaves(plain):
        (mapped if is_read(path, kind) else unmapped)[f"{where}/{path}".rstrip("/")] += 1
    for part in parts:
        read, other = counted(part, document_type(_operation(part)), f"{where}/{PARTS}/{PART_OF}")
        mapped.update(read)
        unmapped.update(other)
    return dict(mapped), dict(unmapped)


def _operation(raw: dict[str, Json]) -> str:
    said = raw.get("ХозОперация")
    return said if isinstance(said, str) else ""


def is_read(path: str, kind: DocumentType) -> bool:
    """Whether somebody reads this element; one that stands empty where something readable could be counts too."""
    known = READ[kind]
    return path in known or any(one.startswith((f"{path}/", f"{path}[")) for one in known)
