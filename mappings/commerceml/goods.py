"""Lines of goods in an order of CommerceML: what a piece really costs, by what the goods are known, the delivery."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from bus.model import Fields, Json
from bus.ports import Raw, Tables
from mappings import values
from mappings.commerceml import names
from mappings.commerceml.names import Listed, Read, Sum, Word, filled, flag, guid

_PIECE = {"@Код": "796", "@НаименованиеПолное": "Штука", "@МеждународноеСокращение": "PCE", "#": "шт"}
_CENT = Decimal("0.01")
_DELIVERY_FROM = Decimal(1)
"""A total that exceeds its lines by so much has a delivery in it; by less, it was rounded."""


class _Reduction(Read):
    sum: Sum = Field(default=None, alias="Сумма")
    percent: Sum = Field(default=None, alias="Процент")
    included: Word = Field(default=None, alias="УчтеноВСумме")


class _Tax(Read):
    sum: Sum = Field(default=None, alias="Сумма")
    included: Word = Field(default=None, alias="УчтеноВСумме")


class Line(Read):
    """A Товар of an order."""

    id: Word = Field(default=None, alias="Ид")
    article: Word = Field(default=None, alias="Артикул")
    name: Word = Field(default=None, alias="Наименование")
    quantity: Sum = Field(default=None, alias="Количество")
    price: Sum = Field(default=None, alias="ЦенаЗаЕдиницу")
    price_3: Sum = Field(default=None, alias="Цена")
    sum: Sum = Field(default=None, alias="Сумма")
    reductions: Annotated[list[_Reduction], Listed] = Field(default=[], alias="Скидки")
    taxes: Annotated[list[_Tax], Listed] = Field(default=[], alias="Налоги")


def read(one: Line, tables: Tables) -> Json:
    """A line at the price that is really paid: reductions taken off, and a tax that comes on top added."""
    quantity = Decimal(1) if one.quantity is None else one.quantity
    price = one.price if one.price is not None else one.price_3
    return values.line(_product(one, tables), one.name, quantity, _paid_price(one, quantity, price))


def _paid_price(one: Line, quantity: Decimal, price: Decimal | None) -> Decimal | None:
    """What a line costs is its own sum; where price times quantity comes to the same, the price is exact."""
    plain = price * quantity if price is not None else None
    cost = one.sum if one.sum is not None else plain
    if cost is None or not quantity:
        return price
    for reduction in one.reductions:
        cost -= _reduced(reduction, plain if plain is not None else cost)
    cost += sum((tax.sum or Decimal(0) for tax in one.taxes if flag(tax.included) is False), Decimal(0))
    if plain is not None and abs(plain - cost) < _CENT:
        return price
    return (cost / quantity).quantize(_CENT)


def _reduced(one: _Reduction, plain: Decimal) -> Decimal:
    """A reduction that the sum does not have yet; UT takes one for that which says nothing of it (onec.md 1.5)."""
    if flag(one.included):
        return Decimal(0)
    return one.sum if one.sum is not None else plain * (one.percent or Decimal(0)) / 100


def _product(one: Line, tables: Tables) -> str | None:
    """The shop's product: what tables.yaml says it is known by here; a GUID that we made up for a name is none."""
    if _by_article(tables):
        return one.article
    return None if one.id == names.invented(one.name or "") else one.id or one.article


def _by_article(tables: Tables) -> bool:
    return tables.name("lines", "product") == "Артикул"


def is_delivery(one: Line, tables: Tables) -> bool:
    item, title = tables.name("lines", "delivery"), tables.name("lines", "delivery_name")
    return bool((item and one.id == item) or (title and one.name == title))


def nameless(lines: Json) -> Json:
    return [{**line, "product": None} for line in values.comparable("lines", lines)]


def written(fields: Fields, tables: Tables) -> list[Raw]:
    lines = fields.get("lines") or []
    return [_item(one, tables) for one in lines] + _delivery(fields, tables)


def _item(line: Json, tables: Tables) -> Raw:
    price, quantity = Decimal(line["price"]), Decimal(line["quantity"])
    return _good(_known_by(line, tables), line["name"], price, quantity, "Товар", tables)


def _known_by(line: Json, tables: Tables) -> Raw:
    """UT looks for goods by Ид, then by Артикул, then by name, and makes what it does not find under the Ид."""
    product = line.get("product")
    if product and not _by_article(tables):
        return {"Ид": product} | ({} if guid(product.partition("#")[0]) else {"Артикул": product})
    return {"Ид": names.invented(product or line["name"])} | ({"Артикул": product} if product else {})


def _delivery(fields: Fields, tables: Tables) -> list[Raw]:
    """What a total has beyond its lines is the delivery, which 1C keeps as a line; without it the sums would differ."""
    item, total, lines = tables.name("lines", "delivery"), fields.get("total"), fields.get("lines")
    if not item or not total or not lines:
        return []
    rest = Decimal(total["amount"]) - sum(Decimal(one["price"]) * Decimal(one["quantity"]) for one in lines)
    if rest < _DELIVERY_FROM:
        return []
    title = tables.name("lines", "delivery_name") or "Доставка"
    return [_good({"Ид": item}, title, rest.quantize(_CENT), Decimal(1), "Услуга", tables)]


def _good(known: Raw, title: str, price: Decimal, quantity: Decimal, kind: str, tables: Tables) -> Raw:
    rate = tables.name("links", "vat")
    return filled(
        {
            **known,
            "Наименование": title,
            "БазоваяЕдиница": _PIECE,
            "ЦенаЗаЕдиницу": f"{price:.2f}",
            "Количество": f"{quantity.normalize():f}",
            "Сумма": f"{(price * quantity).quantize(_CENT)}",
            "СтавкиНалогов": [{"Наименование": "НДС", "Ставка": rate}] if rate else [],
            "ЗначенияРеквизитов": {"ВидНоменклатуры": kind, "ТипНоменклатуры": kind},
        }
    )


def tax(total: str | None, tables: Tables) -> Raw:
    """Prices have their tax in them; what it comes to is told where the settings name the one rate of this company."""
    rate = _rate(tables)
    made = {"Наименование": "НДС", "УчтеноВСумме": "true"}
    if rate is None or total is None:
        return made
    return made | {"Сумма": f"{(Decimal(total) * rate / (100 + rate)).quantize(_CENT)}"}


def _rate(tables: Tables) -> Decimal | None:
    said = tables.name("links", "vat") or ""
    return Decimal(said) if said.isdigit() else None
