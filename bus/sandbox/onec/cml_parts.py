"""Pieces of a document that all three writers share: requisites, taxes, lines, the root."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from lxml import etree

from bus.sandbox.onec.cml_values import Line
from bus.sandbox.onec.cml_xml import Element, amount, moment, put

_XS: dict[str | None, str] = {
    "xs": "http://www.w3.org/2001/XMLSchema",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}
NAME_LENGTH = 250
DATE_LENGTH = len("2026-01-01T00:00:00")


def root(namespace: str, version: str, at: datetime, **attributes: str) -> Element:
    """КоммерческаяИнформация in its namespace."""
    spaces = _XS | {None: namespace}
    made = etree.Element(f"{{{namespace}}}КоммерческаяИнформация", nsmap=spaces)  # type: ignore[arg-type]  # None: the default
    for name, text in {"ВерсияСхемы": version, "ДатаФормирования": moment(at), **attributes}.items():
        made.set(name, text)
    return made


def put_requisites(parent: Element, pairs: Iterable[tuple[str, str]]) -> None:
    """ЗначенияРеквизитов, when there are any; no pair is left out here."""
    found = list(pairs)
    if not found:
        return
    box = put(parent, "ЗначенияРеквизитов")
    for name, text in found:
        pair = put(box, "ЗначениеРеквизита")
        put(pair, "Наименование", name)
        put(pair, "Значение", text)


def put_vat(parent: Element, vat: Decimal, *, included: bool, tax: str = "НДС") -> None:
    """Налоги with the one tax there is."""
    made = put(put(parent, "Налоги"), "Налог")
    put(made, "Наименование", tax)
    put(made, "УчтеноВСумме", "true" if included else "false")
    put(made, "Сумма", amount(vat))


def put_line(parent: Element, line: Line, *, included: bool) -> Element:
    """Товар as schemas 2.07 to 2.10 have it."""
    made = put(parent, "Товар")
    put(made, "Ид", line.item)
    if line.article:
        put(made, "Артикул", line.article)
    put(made, "Наименование", line.name[:NAME_LENGTH])
    put(made, "БазоваяЕдиница", line.unit, Код=line.unit_code, НаименованиеПолное=line.unit)
    rate = put(put(made, "СтавкиНалогов"), "СтавкаНалога")
    put(rate, "Наименование", "НДС")
    put(rate, "Ставка", line.rate)
    put(made, "ЦенаЗаЕдиницу", amount(line.price))
    put(made, "Количество", amount(line.quantity))
    put(made, "Сумма", amount(line.amount))
    put_vat(made, line.vat, included=included)
    return made


def vat_of(lines: Iterable[Line]) -> Decimal:
    return sum((line.vat for line in lines if not line.cancelled), Decimal(0))
