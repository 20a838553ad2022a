"""Figures of a base's rows: exact numbers, and what a unit really costs there, with tax and after discounts."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from bus.model import Json

_CENT = Decimal("0.01")


def exact(value: Json) -> Decimal:
    """A number of the base's JSON: as it is written there, not as a machine's binary fraction."""
    return Decimal(str(value or 0))


def cents(value: Decimal) -> Decimal:
    """A sum of money."""
    return value.quantize(_CENT, rounding=ROUND_HALF_UP)


def unit_price(quantity: Decimal, price: Decimal, total: Decimal) -> Decimal:
    """What a unit costs the customer: the price, or his share of the row's sum where discounts or tax make it another.

    `total` is the row's sum with tax; 0 where the row does not say it.
    """
    if not total or not quantity or cents(quantity * price) == cents(total):
        return price
    return cents(total / quantity)
