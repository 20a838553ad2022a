"""Answers to a 1C that asks as of a site: the orders it is given, and the site's directories; strict in form.

UTF-8 with its declaration first, no byte order mark, LF, no namespace, elements in the schema's sequence; never an
empty element or a control character. UT is given orders only: one payment would make it refuse everything. UNF has
payments inside their order, as card operations that are paid; BUS has all in a container, joined by Основание.
Sources: onec.md 1.4-1.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lxml import etree
from lxml.etree import _Element as Element

from bus.errors import Permanent
from bus.model import Json
from bus.ports import Raw
from bus.systems import commerceml_shape as shape
from bus.systems.commerceml_raw import Profile, is_true, requisite, text

_VERSIONS: Mapping[str, str] = {"unf": "2.10", "bus": "3.1"}
_PLAIN_VERSION = "2.05"
_NUMBER = {"unf": 50, "bus": 50}
_NUMBER_UT = 11
"""UT cuts the site's number to so many characters: two longer ones become one order."""
_CARD = "Эквайринговая операция"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_FORBIDDEN = re.compile(r"[^\t\n\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""What XML 1.0 has no place for, and a carriage return, which would come back as a line feed."""

_TEXTS: Mapping[str, int] = {"Комментарий": 3000, "Значение": 1000, "Представление": 500}
_TEXT = 250
"""Longest text of an element, in characters: a schema of 1C's refuses more."""

_DOCUMENT = [
    "Ид",
    "Номер",
    "Дата",
    "ХозОперация",
    "Роль",
    "Валюта",
    "Курс",
    "Сумма",
    "Контрагенты",
    "Время",
    "СрокПлатежа",
    "Комментарий",
    "Налоги",
    "Скидки",
    "ДопРасходы",
    "Склады",
    "Товары",
    "ЗначенияРеквизитов",
    "Основание",
    "ПодчиненныеДокументы",
]
_ORDER: Mapping[str, Sequence[str]] = {
    "Документ": _DOCUMENT,
    shape.PART_OF: _DOCUMENT,
    "Контрагент": [
        "Ид",
        "Наименование",
        "ОфициальноеНаименование",
        "ЮридическийАдрес",
        "ПолноеНаименование",
        "АдресРегистрации",
        "ИНН",
        "КПП",
        "ОКПО",
        "РасчетныеСчета",
        "Адрес",
        "Контакты",
        "Представители",
        "Роль",
    ],
    "Товар": [
        "Ид",
        "Артикул",
        "Наименование",
        "БазоваяЕдиница",
        "Единица",
        "ЦенаЗаЕдиницу",
        "Цена",
        "Количество",
        "Сумма",
        "Налоги",
        "Скидки",
        "СтавкиНалогов",
        "ЗначенияРеквизитов",
    ],
}
"""Sequence of the schema, where it is told; elsewhere as a document has it."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An order to be given, and those of its payments that 1C may know of: whole documents of the translators."""

    order: Raw
    payments: tuple[Raw, ...] = ()


def tells_payments(profile: Profile) -> bool:
    """Whether payments go along: UT refuses the whole answer for one."""
    return profile in ("unf", "bus")


def takes(payment: Raw, profile: Profile) -> bool:
    """Whether 1C takes this payment: UNF only one that is paid, and no money given back."""
    if profile == "unf":
        return is_true(requisite(payment, "Оплачено")) and not is_true(requisite(payment, "ПризнакВозврата"))
    return tells_payments(profile)


def number(order: Raw) -> str:
    """The number that 1C gets to know the order by."""
    return text(order.get("Номер"))


def check(document: Outgoing, profile: Profile) -> None:
    """Raises Permanent, which names the field and what to do, when 1C could not take this order."""
    order, known = document.order, number(document.order)
    longest = _NUMBER.get(profile, _NUMBER_UT)
    if not known:
        raise Permanent(
            "number: the order has none, and no deal or entity to make one of", cause="order without number"
        )
    if len(known) > longest:
        raise Permanent(
            f"number: {known!r} has {len(known)} characters, 1C keeps {longest} and would mix orders up; number orders "
            "shorter in the shop",
            cause="order number too long",
        )
    for name, field in (("Ид", "@origin"), ("Валюта", "total"), ("Сумма", "total")):
        if not text(order.get(name)):
            raise Permanent(f"{field}: {known!r} has none, and 1C takes no order without {name}", cause=f"no {name}")
    if not order.get("Товары"):
        raise Permanent(f"lines: {known!r} has none, and 1C posts no order without goods", cause="order without goods")


def write_orders(documents: Sequence[Outgoing], profile: Profile, now: datetime) -> bytes:
    """The answer to `query`; without orders it is a root without documents, which means "nothing new".

    `now` by 1C's own clock: the time of the answer, and of orders that have none. Raises Permanent for an order that
    `check` refuses, and for two of one number.
    """
    seen: set[str] = set()
    root = _root(_VERSIONS.get(profile, _PLAIN_VERSION), now)
    for document in documents:
        check(document, profile)
        if number(document.order) in seen:
            raise Permanent(f"number: {number(document.order)!r} is of two orders", cause="order number taken")
        seen.add(number(document.order))
        _FORMS.get(profile, _plain)(root, document, now)
    return _bytes(root)


def write_statuses(statuses: Mapping[str, str], methods: Mapping[str, str], deliveries: Mapping[str, str]) -> bytes:
    """The answer to `info`: ids with names. The C of Cтатусы is Latin, as Bitrix writes it and 1C looks for it."""
    root = etree.Element("Справочник")
    for name, items in (("Cтатусы", statuses), ("ПлатежныеСистемы", methods), ("СлужбыДоставки", deliveries)):
        box = etree.SubElement(root, name)
        for key, title in items.items():
            item = etree.SubElement(box, "Элемент")
            _put(item, "Ид", key)
            _put(item, "Название", title)
    return _bytes(root)


# --- forms ------------------------------------------------------------------------------------------------------------


def _plain(root: Element, document: Outgoing, now: datetime) -> None:
    """An order alone; that it is paid, and how, stands among its requisites."""
    paid = next((one for one in document.payments if is_true(requisite(one, "Оплачено"))), None)
    how = {name: requisite(paid, name) for name in ("Метод оплаты", "Дата оплаты")} if paid else {}
    known = document.order.get(shape.REQUISITES) or {}
    _put(root, "Документ", _dated(document.order, now) | {shape.REQUISITES: known | how})


def _with_parts(root: Element, document: Outgoing, now: datetime) -> None:
    """UNF takes a site's payments as card operations."""
    inside = [
        {name: value for name, value in _dated(one, now).items() if name != "Основание"} | {"ХозОперация": _CARD}
        for one in document.payments
        if takes(one, "unf")
    ]
    _put(root, "Документ", _dated(document.order, now) | {shape.PARTS: inside})


def _container(root: Element, document: Outgoing, now: datetime) -> None:
    """BUS looks into containers only, and has other names for a price and a unit."""
    order = _dated(document.order, now)
    box = etree.SubElement(root, "Контейнер")
    _put(box, "Документ", order | {"Товары": [_item_3(one) for one in order.get("Товары") or []]})
    for one in document.payments:
        _put(box, "Документ", _dated(one, now) | {"Основание": text(order.get("Ид"))})


_FORMS = {"unf": _with_parts, "bus": _container}


def _item_3(item: Raw) -> Raw:
    unit = item.get("БазоваяЕдиница")
    unit = unit if isinstance(unit, dict) else {}
    code, short, whole = unit.get("@Код"), unit.get("#"), unit.get("@НаименованиеПолное")
    renamed = {"Единица": {"Ид": code, "НаименованиеКраткое": short, "Код": code, "НаименованиеПолное": whole}}
    renamed["Цена"] = item.get("ЦенаЗаЕдиницу") or {}
    return {name: value for name, value in item.items() if name not in ("БазоваяЕдиница", "ЦенаЗаЕдиницу")} | renamed


def _dated(document: Raw, now: datetime) -> Raw:
    """1C dates the order as the site does; one whose time nobody knows has the answer's."""
    return {"Дата": f"{now:%Y-%m-%d}", "Время": f"{now:%H:%M:%S}"} | document


# --- XML --------------------------------------------------------------------------------------------------------------


def _root(version: str, now: datetime) -> Element:
    return etree.Element(shape.ROOT, {"ВерсияСхемы": version, "ДатаФормирования": f"{now:%Y-%m-%dT%H:%M:%S}"})


def _bytes(root: Element) -> bytes:
    return _DECLARATION + etree.tostring(root, encoding="UTF-8")


def _put(parent: Element, name: str, value: Json) -> None:
    """An element and what is in it; nothing for an empty one."""
    if isinstance(value, list):
        _put_list(parent, name, value)
    elif name == shape.REQUISITES:
        _put_requisites(parent, value)
    elif isinstance(value, dict):
        _put_inner(parent, name, value)
    elif said := fitting(value, _TEXTS.get(name, _TEXT)):
        etree.SubElement(parent, name).text = said


def _put_list(parent: Element, name: str, items: list[Json]) -> None:
    box = etree.SubElement(parent, name)
    for item in items:
        _put(box, shape.LISTS[name], item)
    _unless_empty(parent, box)


def _put_requisites(parent: Element, values: Raw) -> None:
    """UT gives an empty requisite the value of the one before it: there is none."""
    box = etree.SubElement(parent, shape.REQUISITES)
    for name, value in values.items():
        if said := fitting(value, _TEXTS["Значение"]):
            one = etree.SubElement(box, shape.REQUISITE)
            _put(one, "Наименование", name)
            etree.SubElement(one, "Значение").text = said
    _unless_empty(parent, box)


def _put_inner(parent: Element, name: str, value: Raw) -> None:
    box = etree.SubElement(parent, name)
    for key, inner in _in_order(name, value):
        if key == "#":
            box.text = fitting(inner, _TEXT)
        elif key.startswith("@"):
            box.set(key[1:], fitting(inner, _TEXT))
        else:
            _put(box, key, inner)
    _unless_empty(parent, box)


def _in_order(name: str, value: Raw) -> Iterator[tuple[str, Json]]:
    sequence = _ORDER.get(name)
    if sequence is None:
        yield from value.items()
        return
    yield from ((key, value[key]) for key in sequence if key in value)


def _unless_empty(parent: Element, box: Element) -> None:
    if len(box) == 0 and not box.text:
        parent.remove(box)


def fitting(value: Json, longest: int) -> str:
    """Text that 1C takes: no control characters, no blanks around it, cut at a word where it is too long."""
    said = _FORBIDDEN.sub("", str(value).replace("\r\n", "\n").replace("\r", "\n")).strip() if value is not None else ""
    if len(said) <= longest:
        return said
    cut = said[: longest - 1]
    at_word = cut.rpartition(" ")[0] if " " in cut[longest // 2 :] else cut
    return f"{at_word.rstrip()}…"
