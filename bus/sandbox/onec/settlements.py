"""Settlements by order: what was paid, given back and shipped, and the order state that 1C derives from it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from bus.sandbox.onec import catalogs, documents
from bus.sandbox.onec.numbers import exact, number
from bus.sandbox.onec.schema import Row

if TYPE_CHECKING:
    from bus.sandbox.onec.objects import Objects

ORDER_TYPE = documents.ORDER.type_name
_RELATED = (*documents.MONEY_IN, documents.WRITE_OFF.name, documents.SHIPMENT.name)
_UNSETTLED = "ОжидаетсяСогласование"


class Settlements:
    """Kept up to date by every write; the register of order states is never written by hand."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._related: dict[str, dict[str, str]] = {}

    def documents(self, order: str) -> list[tuple[str, Row]]:
        """The posted documents that pay, give back or ship an order, oldest first, each with its set."""
        found = [
            (name, row)
            for key, name in self._related.get(order, {}).items()
            if (row := self._objects.row(name, key)) and row["Posted"] and not row["DeletionMark"]
        ]
        return sorted(found, key=lambda one: (one[1]["Date"], one[1]["Number"]))

    def amount(self, name: str, row: Row, order: str) -> Decimal:
        """What one document says about one order: money (given back: negative) or the value of goods."""
        if name == documents.SHIPMENT.name:
            own = [line for line in row["Товары"] if (line["ЗаказКлиента"] or row["ЗаказКлиента"]) == order]
            return sum((exact(line["СуммаСНДС"]) for line in own), Decimal())
        total = sum(
            (exact(line["Сумма"]) for line in row["РасшифровкаПлатежа"] if line["ОснованиеПлатежа"] == order), Decimal()
        )
        return -total if name == documents.WRITE_OFF.name else total

    def paid(self, order: str) -> Decimal:
        """All money for an order, less what was given back."""
        money = [one for one in self.documents(order) if one[0] != documents.SHIPMENT.name]
        return sum((self.amount(name, row, order) for name, row in money), Decimal())

    def shipped(self, order: str) -> Decimal:
        """The value, with VAT, of what was shipped."""
        goods = [one for one in self.documents(order) if one[0] == documents.SHIPMENT.name]
        return sum((self.amount(name, row, order) for name, row in goods), Decimal())

    def state(self, order: str) -> str:
        """The order's state, one of the ten; "" when there is none (no such order, or marked for deletion)."""
        row = self._objects.row(catalogs.ORDER_STATES.name, _register_key(order))
        return str(row["Состояние"]) if row else ""

    def follow(self, name: str, old: Row | None, new: Row | None) -> None:
        """A document was written: refresh the states of the orders it names, or named before."""
        if name == documents.ORDER.name:
            self._refresh(str((new or old or {})["Ref_Key"]))
        elif name in _RELATED:
            for order in sorted(_orders(old) | _orders(new)):
                self._relate(order, name, old, new)
                self._refresh(order)

    def _relate(self, order: str, name: str, old: Row | None, new: Row | None) -> None:
        related = self._related.setdefault(order, {})
        if order in _orders(new):
            related[str((new or {})["Ref_Key"])] = name
        else:
            related.pop(str((old or {})["Ref_Key"]), None)

    def _refresh(self, order: str) -> None:
        objects, register = self._objects, catalogs.ORDER_STATES
        key = _register_key(order)
        before = objects.row(register.name, key)
        row = objects.row(documents.ORDER.name, order)
        after = self._derived(row) if row and not row["DeletionMark"] else None
        if after is None and before is None:
            return
        if after and before and after == before | {"ДатаСобытия": after["ДатаСобытия"]}:
            return
        objects.put(register.name, key, after)

    def _derived(self, order: Row) -> Row:
        key, total = order["Ref_Key"], exact(order["СуммаДокумента"])
        paid, shipped = self.paid(key), self.shipped(key)
        return catalogs.ORDER_STATES.blank() | {
            "Заказ": key,
            "Заказ_Type": ORDER_TYPE,
            "Состояние": state(order, total, paid, shipped),
            "ДатаСобытия": self._objects.now(),
            "ПроцентОплаты": _percent(paid, total),
            "ПроцентОтгрузки": _percent(shipped, total),
            "ПроцентДолга": max(0, number(_percent(shipped, total) - _percent(paid, total))),
        }


def state(order: Row, total: Decimal, paid: Decimal, shipped: Decimal) -> str:  # noqa: PLR0911  # one line per state
    """The state as УТ 11 derives it, from the order's own status, its schedule, its money and its goods."""
    if not order["Posted"] or order["Статус"] in ("", "НеСогласован"):
        return _UNSETTLED
    if order["Статус"] == "Закрыт":
        return "Закрыт"
    if total > 0 and shipped >= total:
        return "ГотовКЗакрытию" if paid >= total else "ОжидаетсяОплатаПослеОтгрузки"
    if shipped > 0:
        return "ВПроцессеОтгрузки"
    advance = _scheduled(order, "АвансДоОбеспечения")
    if paid < advance:
        return "ОжидаетсяАвансДоОбеспечения"
    if order["Статус"] == "КОбеспечению":
        return "ОжидаетсяОбеспечение" if any(map(_provided, order["Товары"])) else "ГотовКОбеспечению"
    prepaid = advance + _scheduled(order, "ПредоплатаДоОтгрузки")
    return "ОжидаетсяПредоплатаДоОтгрузки" if paid < prepaid else "ГотовКОтгрузке"


def _provided(line: Row) -> bool:
    return line["ВариантОбеспечения"] in ("КОбеспечению", "СоСклада")


def _scheduled(order: Row, kind: str) -> Decimal:
    stages = [stage for stage in order["ЭтапыГрафикаОплаты"] if stage["ВариантОплаты"] == kind]
    return sum((exact(stage["СуммаПлатежа"]) for stage in stages), Decimal())


def _orders(row: Row | None) -> set[str]:
    """The orders that a document names in its rows or its head."""
    if row is None:
        return set()
    lines = [*row.get("РасшифровкаПлатежа", ()), *row.get("Товары", ()), row]
    fields = ("ОснованиеПлатежа", "ЗаказКлиента")
    return {str(line[field]) for line in lines for field in fields if _is_order(line, field)}


def _is_order(line: Row, name: str) -> bool:
    return bool(line.get(name)) and line.get(f"{name}_Type") == ORDER_TYPE


def _percent(part: Decimal, whole: Decimal) -> float | int:
    return number(part * 100 / whole) if whole else 0


def _register_key(order: str) -> str:
    return f"{order}|{ORDER_TYPE}"
