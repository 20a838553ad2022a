"""Rows of an order's goods: items found, or made where the settings let us; rows that stay keep what we do not know."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from bus.errors import Permanent
from bus.ports import Raw
from bus.systems.onec_calls import KEY, is_key
from bus.systems.onec_figures import cents, exact, unit_price
from bus.systems.onec_finding import Finder, key_of
from bus.systems.onec_making import NAME, Maker

_ARTICLE = 25
_DISCOUNT = "Скидк"
"""In the name of every field of a row that says a discount."""


class Goods:
    """The table of an order's goods, with what the order's sum follows from."""

    def __init__(self, maker: Maker, finder: Finder) -> None:
        self._maker, self._finder = maker, finder
        self._reader, self._names, self._settings = maker.reader, maker.names, maker.settings

    def new(self, change: Raw) -> Raw:
        """The rows of a new order, and its sum; of one that was cancelled before it came here, cancelled rows."""
        goods = self._rows([], list(change.get("goods") or []))
        return self._whole(self._marked([*goods, *self._delivery([], goods, change.get("total"))], change))

    def changed(self, order: Raw, change: Raw) -> Raw:
        """What is to be written of a present order's rows; nothing where the change is of other things."""
        rows = [dict(row) for row in order.get(self._section) or []]
        if "goods" in change:
            cancelled = self._names.get("order", "row_cancelled")
            gone = [row for row in rows if cancelled and row.get(cancelled) and "cancelled" not in change]
            paid, goods = self._parted([row for row in rows if row not in gone])
            made = self._rows(goods, list(change["goods"]))
            rows = [*made, *self._delivery(paid, made, change.get("total")), *gone]
        elif "total" in change:
            paid, goods = self._parted(rows)
            rows = [*goods, *self._delivery(paid, goods, change["total"])]
        elif "cancelled" not in change:
            return {}
        return self._whole(self._marked(rows, change))

    def _marked(self, rows: Sequence[Raw], change: Raw) -> Sequence[Raw]:
        """An order is cancelled by cancelling each of its rows."""
        if "cancelled" not in change:
            return rows
        return [row | {self._names.need("order", "row_cancelled"): change["cancelled"]} for row in rows]

    @property
    def _section(self) -> str:
        return self._names.need("order", "rows")

    def _whole(self, rows: Sequence[Raw]) -> Raw:
        """The table with its line numbers, and the sum of what counts in it: forms compute that, the interface not."""
        numbered = [
            {name: value for name, value in row.items() if name != KEY} | {"LineNumber": str(at)}
            for at, row in enumerate(rows, 1)
        ]
        if not numbered:
            return {}
        cancelled = self._names.get("order", "row_cancelled")
        counting = [row for row in rows if not (cancelled and row.get(cancelled))]
        total = sum((self._sum(row) for row in counting), Decimal(0))
        return {self._section: numbered, self._names.need("order", "total"): float(total)}

    def _sum(self, row: Raw) -> Decimal:
        with_tax = self._names.get("order", "row_sum_with_tax")
        return exact(row.get(with_tax or "")) or exact(row.get(self._names.need("order", "row_sum")))

    def _rows(self, present: Sequence[Raw], lines: Sequence[Raw]) -> list[Raw]:
        """A row for each line: a present one of the same item as it is, with new figures; else a new one."""
        items = self._items(lines)
        field = self._names.need("order", "row_item")
        left = list(present)
        rows = []
        for line in lines:
            item = items[_name(line)]
            found = next((row for row in left if str(row.get(field)).lower() == item), None)
            if found is not None:
                left.remove(found)
            rows.append(self._figures(dict(found or self._fresh(item, line)), line))
        return rows

    def _items(self, lines: Sequence[Raw]) -> dict[tuple[str, str], str]:
        found = self._finder.goods(lines)
        for line in lines:
            called = _name(line)
            if called not in found:
                found[called] = self._new_item(line)
        return found

    def _new_item(self, line: Raw) -> str:
        """Raises Permanent that names the article, unless the settings say create_goods: yes."""
        product, name = _name(line)
        set_ = self._names.need("item")
        if self._settings.get("create_goods") != "yes":
            say = f"{set_}: no item has the article {product!r}, or the very name: create it in the base, then retry"
            raise Permanent(f"{say}; or say settings.create_goods: yes", cause="no such item")
        body = {self._names.need("item", "name"): name[:NAME], self._names.need("item", "legal_name"): name}
        if product and not is_key(product.partition("#")[0]):
            body[self._names.need("item", "article")] = product[:_ARTICLE]
        return self._maker.beside("item", key_of("item", product or name), body)

    def _fresh(self, item: str, line: Raw) -> Raw:
        row: Raw = {self._names.need("order", "row_item"): item}
        variant, own = self._names.get("order", "row_variant"), str(line.get("product") or "").partition("#")[2]
        if variant and is_key(own):
            row[variant] = own.lower()
        rate, of_item = self._names.get("order", "row_tax_rate"), self._reader.tax_rate(item)
        return row | ({rate: of_item} if rate and of_item else {})

    def _figures(self, row: Raw, line: Raw) -> Raw:
        """Quantity, price and sums with tax; a row that says them already stays as it is, with its discounts.

        Of a row that is changed the tax stays the same share; of a new one the base computes it when it is posted.
        """
        need = self._names
        quantity, price = exact(line["quantity"]), exact(line["price"])
        before, said = self._sum(row), exact(row.get(need.need("order", "row_quantity")))
        if (
            before
            and said == quantity
            and unit_price(said, exact(row.get(need.need("order", "row_price"))), before) == price
        ):
            return row
        amount = cents(quantity * price)
        plain = cents(amount * exact(row.get(need.need("order", "row_sum"))) / before) if before else amount
        values = {"row_quantity": quantity, "row_packs": quantity, "row_price": price, "row_sum_with_tax": amount}
        if need.get("order", "row_sum_with_tax"):
            values |= {"row_sum": plain, "row_price": price if plain == amount else cents(plain / quantity)}
        else:
            values["row_sum"] = amount
        tax = need.get("order", "row_tax")
        if tax and tax in row and before:
            row[tax] = float(cents(exact(row[tax]) * amount / before))
        row |= {name: 0 for name, value in row.items() if _DISCOUNT in name and isinstance(value, int | float)}
        return row | {name: float(value) for role, value in values.items() if (name := need.get("order", role))}

    def _parted(self, rows: Sequence[Raw]) -> tuple[list[Raw], list[Raw]]:
        """Rows of delivery, and rows of goods."""
        field = self._names.need("order", "row_item")
        items = self._reader.items(str(row.get(field)).lower() for row in rows)
        paid = [row for row in rows if items.get(str(row.get(field)).lower(), {}).get("delivery")]
        return paid, [row for row in rows if row not in paid]

    def _delivery(self, present: Sequence[Raw], goods: Sequence[Raw], total: object) -> list[Raw]:
        """What the order costs beyond its goods, as a row of the item that the settings name for delivery."""
        called = self._settings.get("delivery_item")
        if not called or total is None:
            return list(present)
        more = Decimal(str(total)) - sum((self._sum(row) for row in goods), Decimal(0))
        if more <= 0:
            return []
        line = {"product": called, "name": called, "quantity": "1", "price": f"{more:.2f}"}
        return self._rows(present, [line])


def _name(line: Raw) -> tuple[str, str]:
    return str(line.get("product") or ""), str(line["name"])
