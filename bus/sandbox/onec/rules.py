"""The configuration's handlers: what УТ does, and refuses, when an object is written or posted (code -1, HTTP 500)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from bus.sandbox.envelope import RestError
from bus.sandbox.onec import catalogs, documents
from bus.sandbox.onec.numbers import exact, number
from bus.sandbox.onec.schema import ZERO_GUID, Row
from bus.sandbox.onec.switches import Switches

if TYPE_CHECKING:
    from bus.sandbox.onec.objects import Objects


class Rules:
    """Called with a complete row before it is written. There is no fill check: OData does not run it."""

    def __init__(self, objects: Objects, switches: Switches) -> None:
        self._objects = objects
        self.switches = switches

    def before_write(self, name: str, row: Row, old: Row | None) -> Row:
        """The row as the handlers leave it; raises RestError when one of them refuses."""
        if name == catalogs.COUNTERPARTIES.name:
            self._check_counterparty(row)
            return {**row, "ГоловнойКонтрагент_Key": row["Ref_Key"]} if _headless(row) else row
        if "Posted" in row:
            self._check_period(row, old)
            if row["Posted"] and row["DeletionMark"]:
                raise refused("Проведенный документ не может быть помечен на удаление")
        return _ordered(row) if name == documents.ORDER.name else row

    def before_posting(self, name: str, row: Row) -> None:
        """What an invalid document meets at last."""
        if row["DeletionMark"]:
            raise refused("Помеченный на удаление документ не может быть проведен")
        for field in ("Организация_Key", "Контрагент_Key", "Партнер_Key", "Валюта_Key"):
            if row.get(field, "-") == ZERO_GUID:
                raise refused(f"Не заполнено поле {field.removesuffix('_Key')}")
        if name in (documents.ORDER.name, documents.SHIPMENT.name) and not row["Товары"]:
            raise refused("Не введено ни одной строки в список Товары")
        split = row.get("РасшифровкаПлатежа")
        if split and sum((exact(line["Сумма"]) for line in split), Decimal()) != exact(row["СуммаДокумента"]):
            raise refused("Сумма по строкам в табличной части Расшифровка платежа не равна сумме документа")

    def _check_counterparty(self, row: Row) -> None:
        if self.switches.partner_required and row["Партнер_Key"] == ZERO_GUID:
            raise refused("Не указан партнер контрагента")
        if not self.switches.unique_inn or not row["ИНН"] or row["DeletionMark"]:
            return
        same = self._objects.find(catalogs.COUNTERPARTIES.name, ИНН=row["ИНН"], КПП=row["КПП"])
        if any(one["Ref_Key"] != row["Ref_Key"] for one in same):
            raise refused(f"Контрагент с ИНН {row['ИНН']} и КПП {row['КПП']} уже существует")

    def _check_period(self, row: Row, old: Row | None) -> None:
        closed = self.switches.closed_until
        dates = [one["Date"] for one in (row, old) if one]
        if closed and any(date[:10] <= closed for date in dates):
            raise refused(f"Запрещено изменение данных до {closed}: период закрыт датой запрета")


def refused(text: str) -> RestError:
    """A handler's refusal: the whole write is rolled back."""
    return RestError("-1", text, 500)


def _headless(row: Row) -> bool:
    return bool(row["ГоловнойКонтрагент_Key"] == ZERO_GUID)


def _ordered(order: Row) -> Row:
    """An order's own sums and codes: the total of its lines, line codes, the payment identifier by its number."""
    lines, last = [], order["МаксимальныйКодСтроки"]
    for line in order["Товары"]:
        last += not line["КодСтроки"]
        lines.append(line if line["КодСтроки"] else {**line, "КодСтроки": last})
    order = {**order, "Товары": lines, "МаксимальныйКодСтроки": max([last, *(line["КодСтроки"] for line in lines)])}
    if lines:
        kept = [exact(line["СуммаСНДС"] or line["Сумма"]) for line in lines if not line["Отменено"]]
        order["СуммаДокумента"] = number(sum(kept, Decimal()))
    if not order["ИдентификаторПлатежа"]:
        order["ИдентификаторПлатежа"] = payment_identifier(order)
    return order


def payment_identifier(order: Row) -> str:
    """`ЗК2606ТДЦБ0000020000` for ТДЦБ-000002 of June 2026: what a client may put into his payment."""
    return f"ЗК{order['Date'][2:4]}{order['Date'][5:7]}{order['Number'].replace('-', '')}0000"
