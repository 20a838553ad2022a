"""What the exchange says of a base's data, free of both the base's field names and the dialects of XML."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

CENT = Decimal("0.01")


class Means(StrEnum):
    """How money moved: it decides the ХозОперация of a payment document."""

    CASH = "cash"
    BANK = "bank"
    CARD = "card"


@dataclass(frozen=True)
class Account:
    """A settlement account of a counterparty."""

    number: str
    bic: str = ""
    bank: str = ""
    correspondent: str = ""


@dataclass(frozen=True)
class Party:
    """A counterparty. `site_id` is what the site called it, when it came from there."""

    ref: str
    name: str
    full_name: str = ""
    legal: bool = True
    inn: str = ""
    kpp: str = ""
    okpo: str = ""
    address: str = ""
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    accounts: tuple[Account, ...] = ()
    contact: str | None = None
    """A representative's name; "" is written all the same, None means that there is none."""
    deleted: bool = False
    site_id: str = ""
    version: str = ""


@dataclass(frozen=True)
class Line:
    """One line of goods. `rate` is the VAT rate as 1C names it: `20`, or `Без налога`."""

    item: str
    name: str
    price: Decimal
    quantity: Decimal
    amount: Decimal
    article: str = ""
    unit: str = "шт"
    unit_code: str = "796"
    rate: str = "20"
    vat: Decimal = Decimal(0)
    cancelled: bool = False


@dataclass(frozen=True)
class Payment:
    """A payment document, or the part of one that belongs to an order."""

    ref: str
    number: str
    at: datetime
    amount: Decimal
    means: Means = Means.BANK
    refund: bool = False
    posted: bool = True
    deleted: bool = False
    document: str = ""
    receipt: str = ""
    version: str = ""


@dataclass(frozen=True)
class Shipment:
    """A shipment of an order."""

    ref: str
    number: str
    at: datetime
    amount: Decimal
    lines: tuple[Line, ...] = ()
    posted: bool = True
    deleted: bool = False
    tracking: str = ""
    version: str = ""


@dataclass(frozen=True)
class Said:
    """An order with all that hangs on it. `site_number` is "" when it was born in 1C."""

    ref: str
    number: str
    at: datetime
    total: Decimal
    party: Party
    lines: tuple[Line, ...]
    site_number: str = ""
    site_at: datetime | None = None
    site_id: str = ""
    posted: bool = True
    deleted: bool = False
    cancelled: bool = False
    paid: bool = False
    shipped: bool = False
    vat_included: bool = True
    status: str = ""
    status_id: str = ""
    comment: str = ""
    currency_code: str = "643"
    currency_name: str = "руб"
    version: str = ""
    payments: tuple[Payment, ...] = ()
    shipments: tuple[Shipment, ...] = ()
    more: dict[str, str] = field(default_factory=dict)
    """Further requisites by name."""
