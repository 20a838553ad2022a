"""Finding the goods of a site's order line: by GUID, article, name; entered with the site's GUID when nothing fits."""

from __future__ import annotations

import re
from collections import defaultdict
from decimal import Decimal

from bus.sandbox.onec import catalogs, predefined
from bus.sandbox.onec.cml_read import SiteLine
from bus.sandbox.onec.numbers import number
from bus.sandbox.onec.objects import Objects
from bus.sandbox.onec.schema import ZERO_GUID, Row

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NAME, _ARTICLE = 100, 25
_HUNDRED = Decimal(100)


class Goods:
    """The goods of one load."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[tuple[str, str], list[str]] = defaultdict(list)
        for row in objects.find(catalogs.GOODS.name):
            self._learn(row)

    def line(self, wanted: SiteLine, *, included: bool) -> Row:
        """A row of an order. VAT that only the line knows of (`included` false) comes on top of its sum."""
        rate, share = self._rate(wanted.rate)
        vat = wanted.amount * share / (_HUNDRED + share) if included else wanted.amount * share / _HUNDRED
        item, _, feature = wanted.item.partition("#")
        return {
            "Номенклатура_Key": self._item(wanted, item),
            "Характеристика_Key": feature.lower() if _GUID.fullmatch(feature) else ZERO_GUID,
            "Количество": number(wanted.quantity, 3),
            "КоличествоУпаковок": number(wanted.quantity, 3),
            "Цена": number(wanted.price),
            "Сумма": number(wanted.amount),
            "СтавкаНДС_Key": rate,
            "СуммаНДС": number(vat),
            "СуммаСНДС": number(wanted.amount if included else wanted.amount + vat),
            "Склад_Key": predefined.STORE,
            "ВариантОбеспечения": "НеТребуется" if wanted.service else "Отгрузить",
        }

    def _item(self, wanted: SiteLine, item: str) -> str:
        if self._objects.row(catalogs.GOODS.name, item.lower()):
            return item.lower()
        for way in (("article", wanted.article), ("name", wanted.name)):
            if way[1] and self._known.get(way):
                return self._known[way][0]
        row = self._objects.create(catalogs.GOODS.name, self._fields(wanted, item))
        self._learn(row)
        return str(row["Ref_Key"])

    def _fields(self, wanted: SiteLine, item: str) -> Row:
        own = {"Ref_Key": item.lower()} if _GUID.fullmatch(item) else {}
        return own | {
            "Code": f"00-{len(self._objects.rows(catalogs.GOODS.name)) + 1:08d}",
            "Description": wanted.name[:_NAME],
            "НаименованиеПолное": wanted.name,
            "Артикул": wanted.article[:_ARTICLE],
            "ТипНоменклатуры": "Услуга" if wanted.service else "Товар",
            "ЕдиницаИзмерения_Key": self._unit(wanted),
            "СтавкаНДС_Key": self._rate(wanted.rate)[0],
        }

    def _unit(self, wanted: SiteLine) -> str:
        """By the code of the unit; an unknown code is a new unit, none is a piece."""
        if not wanted.unit_code:
            return predefined.PIECE
        found = self._objects.find(catalogs.UNITS.name, Code=wanted.unit_code)
        if found:
            return str(found[0]["Ref_Key"])
        row = self._objects.create(catalogs.UNITS.name, {"Code": wanted.unit_code, "Description": wanted.unit})
        return str(row["Ref_Key"])

    def _rate(self, text: str) -> tuple[str, Decimal]:
        """The rate and its per cent; words («Без налога») and nothing are «Без НДС»."""
        bare = text.rstrip("% ").strip()
        if not bare.isdigit():
            return predefined.VAT_NONE, Decimal(0)
        found = self._objects.find(catalogs.VAT_RATES.name, Ставка=int(bare), ПеречислениеСтавкаНДС=f"{bare}%")
        if found:
            return str(found[0]["Ref_Key"]), Decimal(bare)
        fields = {"Description": f"{bare}%", "Ставка": int(bare), "ПеречислениеСтавкаНДС": f"{bare}%"}
        return str(self._objects.create(catalogs.VAT_RATES.name, fields)["Ref_Key"]), Decimal(bare)

    def _learn(self, row: Row) -> None:
        keys = (("article", row["Артикул"]), ("name", row["Description"]))
        for key in keys:
            if key[1]:
                self._known[key].append(row["Ref_Key"])
