"""Goods, orders and shipments, as people enter them."""

from __future__ import annotations

from decimal import Decimal

from bus.sandbox.onec import catalogs, documents, predefined
from bus.sandbox.onec.entries import answered, coded, moment, named
from bus.sandbox.onec.numbers import exact, number
from bus.sandbox.onec.objects import Objects
from bus.sandbox.onec.parties import Parties
from bus.sandbox.onec.schema import Row

_ORDER = {
    "date": "Date",
    "status": "Статус",
    "comment": "Комментарий",
    "client_number": "НомерПоДаннымКлиента",
    "client_date": "ДатаПоДаннымКлиента",
    "delivery_address": "АдресДоставки",
    "manager": "Менеджер_Key",
    "currency": "Валюта_Key",
    "ship_by": "ДатаОтгрузки",
}
_SAME = (
    "Партнер_Key",
    "Контрагент_Key",
    "Организация_Key",
    "Соглашение_Key",
    "Валюта_Key",
    "Склад_Key",
    "Менеджер_Key",
    "ЦенаВключаетНДС",
)
"""What a shipment takes over from its order."""


class Orders:
    """Each public method takes an act."""

    def __init__(self, objects: Objects, parties: Parties) -> None:
        self._objects = objects
        self._parties = parties

    def create_product(self, act: Row) -> Row:
        """name, full_name, article; `fields`."""
        return answered(self._enter_product(act))

    def _enter_product(self, act: Row) -> Row:
        fields = {
            "Description": str(act.get("name", "Товар")),
            "НаименованиеПолное": str(act.get("full_name") or act.get("name", "Товар")),
            "Артикул": str(act.get("article", "")),
            "ТипНоменклатуры": "Товар",
            "ЕдиницаИзмерения_Key": predefined.PIECE,
            "СтавкаНДС_Key": predefined.VAT_20,
        }
        return coded(self._objects, catalogs.GOODS.name, fields | (act.get("fields") or {}))

    def create(self, act: Row) -> Row:
        """An order with the usual head of УТ.

        counterparty (or new_counterparty: {…}), lines [{name | product, price, quantity, vat, cancelled, supply}],
        status, client_number, client_date, date, advance, prepay (amounts), comment, post (default true).
        """
        party = self._parties.of(act)
        act = {"lines": ({"name": "Чайник", "price": 980, "quantity": 1},), **act}
        fields = self._head() | self._parties.belongs(party["Ref_Key"]) | self.fields(act, None)
        row = self._objects.create(documents.ORDER.name, fields | (act.get("fields") or {}))
        if act.get("post", True):
            row = self._objects.post(documents.ORDER.name, row["Ref_Key"])
        return answered(row) | {"counterparty": party["Ref_Key"], "total": row["СуммаДокумента"]}

    def _head(self) -> Row:
        return {
            "Date": self._objects.now(),
            "Организация_Key": predefined.ORGANISATION,
            "Соглашение_Key": predefined.AGREEMENT,
            "Валюта_Key": predefined.RUB,
            "Склад_Key": predefined.STORE,
            "Менеджер_Key": predefined.MANAGER,
            "Автор": predefined.MANAGER,
            "Автор_Type": catalogs.USERS.type_name,
            "БанковскийСчет_Key": predefined.ORGANISATION_ACCOUNT,
            "Статус": "КОбеспечению",
            "ЦенаВключаетНДС": True,
            "НалогообложениеНДС": "ПродажаОблагаетсяНДС",
            "ХозяйственнаяОперация": "РеализацияКлиенту",
            "ПорядокРасчетов": "ПоЗаказам",
            "СпособДоставки": "Самовывоз",
        }

    def fields(self, act: Row, before: Row | None) -> Row:
        """The act's keys as fields; `lines` replace the goods and the payment schedule."""
        fields = named(_ORDER, act)
        for name in {"Date", "ДатаПоДаннымКлиента", "ДатаОтгрузки"} & set(fields):
            fields[name] = moment(fields[name])
        if "counterparty" in act and before is not None:
            fields |= self._parties.belongs(str(act["counterparty"]))
        if "lines" in act:
            fields["Товары"] = [self._line(line) for line in act["lines"]]
            total = sum((exact(line["СуммаСНДС"]) for line in fields["Товары"] if not line["Отменено"]), Decimal())
            fields["ЭтапыГрафикаОплаты"] = _stages(act, total, str(fields.get("Date") or self._objects.now()))
        return fields

    def _line(self, line: Row) -> Row:
        """A line with VAT in its price, 20 % unless `vat` says 0."""
        product = str(line.get("product") or self._product(line))
        amount = number(exact(line["price"]) * exact(line.get("quantity", 1)))
        rate = exact(line.get("vat", 20))
        return {
            "Номенклатура_Key": product,
            "Количество": number(line.get("quantity", 1), 3),
            "КоличествоУпаковок": number(line.get("quantity", 1), 3),
            "Цена": number(line["price"]),
            "Сумма": amount,
            "СтавкаНДС_Key": predefined.VAT_20 if rate else predefined.VAT_NONE,
            "СуммаНДС": number(exact(amount) * rate / (100 + rate)),
            "СуммаСНДС": amount,
            "Отменено": bool(line.get("cancelled", False)),
            "Склад_Key": predefined.STORE,
            "ВариантОбеспечения": str(line.get("supply", "Отгрузить")),
        }

    def _product(self, line: Row) -> str:
        """The product of that name, entered if there is none."""
        known = self._objects.find(catalogs.GOODS.name, Description=str(line["name"]))
        return str((known[0] if known else self._enter_product(line))["Ref_Key"])

    def ship(self, act: Row) -> Row:
        """`id`; `quantities` (by line, from the first) for a part of the order; `date`; `post` default true."""
        order = self._objects.existing(documents.ORDER.name, str(act["id"]))
        kept = [line for line in order["Товары"] if not line["Отменено"]]
        wanted = act.get("quantities") or [line["Количество"] for line in kept]
        lines = [
            _shipped(line, exact(quantity), order["Ref_Key"])
            for line, quantity in zip(kept, wanted, strict=False)
            if exact(quantity)
        ]
        fields = {name: order[name] for name in _SAME} | {
            "Date": moment(str(act.get("date") or self._objects.now())),
            "РеализацияПоЗаказам": True,
            "Статус": "Отгружено",
            "ХозяйственнаяОперация": "РеализацияКлиенту",
            "ЗаказКлиента": order["Ref_Key"],
            "ЗаказКлиента_Type": documents.ORDER.type_name,
            "СуммаДокумента": number(sum((exact(line["СуммаСНДС"]) for line in lines), Decimal())),
            "Товары": lines,
        }
        row = self._objects.create(documents.SHIPMENT.name, fields)
        if act.get("post", True):
            row = self._objects.post(documents.SHIPMENT.name, row["Ref_Key"])
        return answered(row)


def _stages(act: Row, total: Decimal, date: str) -> list[Row]:
    """The payment schedule: `advance` before provision, `prepay` before shipment, the rest on credit."""
    parts = (
        ("АвансДоОбеспечения", exact(act.get("advance", 0))),
        ("ПредоплатаДоОтгрузки", exact(act.get("prepay", 0))),
    )
    rest = total - sum((amount for _, amount in parts), Decimal())
    return [
        {
            "ВариантОплаты": kind,
            "ДатаПлатежа": f"{date[:10]}T00:00:00",
            "ПроцентПлатежа": number(amount * 100 / total) if total else 0,
            "СуммаПлатежа": number(amount),
            "ВариантОтсчета": "ОтДатыЗаказа",
        }
        for kind, amount in (*parts, ("КредитПослеОтгрузки", rest))
        if amount > 0
    ]


def _shipped(line: Row, count: Decimal, order: str) -> Row:
    share = count / exact(line["Количество"])
    return {
        "Номенклатура_Key": line["Номенклатура_Key"],
        "Количество": number(count, 3),
        "КоличествоУпаковок": number(count, 3),
        "Цена": line["Цена"],
        "Сумма": number(exact(line["Сумма"]) * share),
        "СтавкаНДС_Key": line["СтавкаНДС_Key"],
        "СуммаНДС": number(exact(line["СуммаНДС"]) * share),
        "СуммаСНДС": number(exact(line["СуммаСНДС"]) * share),
        "КодСтроки": line["КодСтроки"],
        "ЗаказКлиента": order,
        "ЗаказКлиента_Type": documents.ORDER.type_name,
    }
