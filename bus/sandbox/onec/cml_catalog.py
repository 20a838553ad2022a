"""The goods files that 1C sends before anything else when the node exchanges goods: import, offers, a picture."""

from __future__ import annotations

from datetime import datetime

from bus.sandbox.onec import catalogs
from bus.sandbox.onec.cml_parts import root
from bus.sandbox.onec.cml_schema import NAMESPACE
from bus.sandbox.onec.cml_xml import Element, dump, put
from bus.sandbox.onec.objects import Objects
from bus.sandbox.onec.schema import Row

IMPORT, OFFERS = "import0_1.xml", "offers0_1.xml"
_VERSION = "2.07"
_CATALOG = "bd72d8f9-55bc-11d9-848a-00112f43529a"
_DOT = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")


def files(objects: Objects, at: datetime) -> dict[str, bytes]:
    """By name, in the order in which they are sent; the same names in every run."""
    goods = objects.find(catalogs.GOODS.name)
    return {
        IMPORT: _import(goods, at),
        OFFERS: _offers(goods, at),
        **({f"import_files/{goods[0]['Ref_Key'][:2]}/{goods[0]['Ref_Key']}.jpg": _DOT} if goods else {}),
    }


def _import(goods: list[Row], at: datetime) -> bytes:
    made = root(NAMESPACE, _VERSION, at)
    catalog = put(made, "Каталог", СодержитТолькоИзменения="false")
    for name, text in (("Ид", _CATALOG), ("ИдКлассификатора", _CATALOG), ("Наименование", "Основной каталог товаров")):
        put(catalog, name, text)
    _items(put(catalog, "Товары"), "Товар", goods)
    return dump(made)


def _offers(goods: list[Row], at: datetime) -> bytes:
    made = root(NAMESPACE, _VERSION, at)
    pack = put(made, "ПакетПредложений", СодержитТолькоИзменения="false")
    for name, text in (("Ид", f"{_CATALOG}#"), ("Наименование", "Пакет предложений"), ("ИдКаталога", _CATALOG)):
        put(pack, name, text)
    _items(put(pack, "Предложения"), "Предложение", goods)
    return dump(made)


def _items(box: Element, name: str, goods: list[Row]) -> None:
    for row in goods:
        made = put(box, name)
        put(made, "Ид", row["Ref_Key"])
        put(made, "Артикул", row["Артикул"])
        put(made, "Наименование", row["Description"])
        put(made, "БазоваяЕдиница", "шт", Код="796")
