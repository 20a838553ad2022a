"""Canonical models: what an order, a payment and a counterparty are to every system; parsed at the edge, flat inside.

Models are partial: a field that was not set was not said, a field set to None was cleared. Inside the bus a record is
`Fields`, a flat mapping of dotted names to JSON values ("customer.phone": "+79991234567"), which is what merges, bases
and history work on. Lists and money are one value each.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

Json = Any
MAX_DEPTH = 32
"""Levels of objects and lists in what anybody sends us; an event has five."""
Fields = dict[str, Json]
Kind = Literal["order", "payment", "counterparty"]

_CENT = Decimal("0.01")
_FIRST_YEAR, _LAST_YEAR = 1970, 2200


def _cents(value: Decimal) -> Decimal:
    return value.quantize(_CENT, rounding=ROUND_HALF_UP)


def _plain(value: Decimal) -> str:
    """Decimals as text without exponent and without trailing zeros: 1.500 and 1.5 are one quantity."""
    text = format(value.normalize(), "f")
    return "0" if text in ("-0", "") else text


Amount = Annotated[
    Decimal, Field(max_digits=18, allow_inf_nan=False), AfterValidator(_cents), PlainSerializer(lambda v: f"{v:.2f}")
]
Quantity = Annotated[Decimal, Field(max_digits=18, allow_inf_nan=False), PlainSerializer(_plain)]


def in_range(at: datetime) -> datetime:
    """Refuse a time that no system means: 1C's empty date is year 1, which in UTC is before all time."""
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise ValueError(f"the year is not between {_FIRST_YEAR} and {_LAST_YEAR}")
    return at


Moment = Annotated[
    AwareDatetime,
    AfterValidator(in_range),
    PlainSerializer(lambda at: at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")),
]
Text = Annotated[str, Field(max_length=4000)]
ShortText = Annotated[str, Field(max_length=255)]


class OrderStatus(StrEnum):
    """The canonical life of an order; a portal's stages and a shop's statuses map onto it many to one."""

    NEW = "new"
    ACCEPTED = "accepted"
    PAID = "paid"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class PaymentState(StrEnum):
    """A single payment: expected, received, given back; or a payment of its own that gives money back.

    A shop marks the payment itself as returned (`refunded`); the books and the bank write a second document (`refund`),
    whose amount counts against what was received.
    """

    PENDING = "pending"
    PAID = "paid"
    REFUNDED = "refunded"
    REFUND = "refund"


class PaymentStatus(StrEnum):
    """An order's payment status, derived from its payments."""

    UNPAID = "unpaid"
    PARTIAL = "partial"
    PAID = "paid"
    REFUNDED = "refunded"


class PartyType(StrEnum):
    """What a counterparty is by law."""

    LEGAL_ENTITY = "legal_entity"
    SOLE_TRADER = "sole_trader"
    PERSON = "person"


class Model(BaseModel):
    """A frozen value that refuses unknown keys, so that a producer's typo is told and not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Money(Model):
    """An amount with two decimals, rounded half up, in an ISO 4217 currency. Never negative: a refund is a state."""

    amount: Annotated[Amount, Field(ge=0)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Ref(Model):
    """A pointer to an order: a record of a system, or an order number (in the numbering of `system`)."""

    system: ShortText | None = None
    type: ShortText = "order"
    id: ShortText | None = None
    number: ShortText | None = None

    @model_validator(mode="after")
    def _points_somewhere(self) -> Ref:
        if (self.id is None) == (self.number is None):
            raise ValueError("give either system and id, or number")
        if self.id is not None and self.system is None:
            raise ValueError("an id needs the system it belongs to")
        return self


class Line(Model):
    """One line of an order; `product` is the shop's product id or SKU where it has one."""

    product: ShortText | None = None
    name: ShortText
    quantity: Quantity
    price: Amount


class Customer(Model):
    """Who bought: the contact on the order, and for whom: the counterparty's name and requisites as the order has them.

    Phones are E.164 where they parse.
    """

    name: ShortText | None = None
    phone: ShortText | None = None
    email: ShortText | None = None
    company: ShortText | None = None
    inn: ShortText | None = None
    kpp: ShortText | None = None


class Delivery(Model):
    """How the order reaches the customer."""

    method: ShortText | None = None
    address: Text | None = None


class Order(Model):
    """The order in the shop, the deal in the CRM, the customer order in 1C."""

    number: ShortText | None = None
    status: OrderStatus | None = None
    total: Money | None = None
    lines: list[Line] | None = None
    customer: Customer | None = None
    delivery: Delivery | None = None
    comment: Text | None = None
    settled: bool | None = Field(default=None, description="the books say: paid in full, by whatever payments")
    records: list[Ref] | None = Field(default=None, description="other systems' records of this very order")


class Payment(Model):
    """Money received (or expected, or given back) for one order. Amounts are positive, the state tells the rest."""

    order: Ref | None = None
    amount: Money | None = None
    method: ShortText | None = None
    status: PaymentState | None = None
    paid_at: Moment | None = None
    external_number: ShortText | None = None
    records: list[Ref] | None = Field(default=None, description="other systems' records of this very payment")


def _said(value: Json) -> Json:
    """An empty list says what null says: there is none."""
    return value or None if isinstance(value, list) else value


Texts = Annotated[list[ShortText] | None, BeforeValidator(_said)]


class BankAccount(Model):
    """Bank details of a counterparty."""

    account: ShortText
    bic: ShortText | None = None
    bank: ShortText | None = None


class Counterparty(Model):
    """A legal entity, sole trader or person with its requisites and contacts.

    Requisites are as they were written, digits without spaces; whether they can be right is told in the derived field
    `doubts`. Phones are E.164 where they parse.
    """

    type: PartyType | None = None
    name: ShortText | None = None
    legal_name: Text | None = None
    inn: ShortText | None = None
    kpp: ShortText | None = None
    ogrn: ShortText | None = None
    okpo: ShortText | None = None
    legal_address: Text | None = None
    address: Text | None = None
    phones: Texts = None
    emails: Texts = None
    accounts: Annotated[list[BankAccount] | None, BeforeValidator(_said)] = None
    responsible: ShortText | None = Field(default=None, description="the manager in charge, by e-mail or name")
    credit_terms: ShortText | None = None
    records: list[Ref] | None = Field(default=None, description="other systems' records of this very counterparty")


MODELS: dict[Kind, type[Model]] = {"order": Order, "payment": Payment, "counterparty": Counterparty}

#: Said in an event, but identity rather than state: never merged, never delivered as a field.
REFERENCES: dict[Kind, frozenset[str]] = {
    "order": frozenset({"records"}),
    "payment": frozenset({"order", "records"}),
    "counterparty": frozenset({"records"}),
}

#: Computed after every merge, an order's from its payments, a counterparty's from its requisites; shown to systems,
#: never accepted from them.
DERIVED: dict[Kind, frozenset[str]] = {
    "order": frozenset({"paid_total", "payment_status"}),
    "payment": frozenset(),
    "counterparty": frozenset({"doubts"}),
}

#: Where two records meet that did not know of each other, neither list is an older state of the other: both are kept.
UNITED: dict[Kind, frozenset[str]] = {
    "order": frozenset(),
    "payment": frozenset(),
    "counterparty": frozenset({"phones", "emails"}),
}

#: What a record says of a person: it goes when the person is erased; sums, dates, numbers and statuses stay.
PERSONAL: dict[Kind, frozenset[str]] = {
    "order": frozenset({*(f"customer.{name}" for name in Customer.model_fields), "delivery.address", "comment"}),
    "payment": frozenset(),
    "counterparty": frozenset({*Counterparty.model_fields, "doubts"} - REFERENCES["counterparty"]),
}

_NESTED = ("customer", "delivery")


def too_deep(document: Json) -> bool:
    """Is a document nested deeper than MAX_DEPTH levels? Asked level by level: what is, would end a recursion."""
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
    return bool(level)


def _children(node: Json) -> list[Json]:
    within = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [child for child in within if isinstance(child, dict | list)]


def flatten(kind: Kind, data: Mapping[str, Json]) -> Fields:
    """Validate canonical `data` of `kind` and flatten it to dotted fields; references are left out.

    Raises pydantic.ValidationError for an unknown key or a bad value.
    """
    return flat(kind, MODELS[kind].model_validate(data))


def flat(kind: Kind, model: Model) -> Fields:
    """Fields of a validated model; a nested object given as null clears each of its fields."""
    said = model.model_dump(mode="json", exclude_unset=True)
    fields: Fields = {}
    for name, value in said.items():
        if name in REFERENCES[kind]:
            continue
        if name in _NESTED:
            inner = value if value is not None else dict.fromkeys(_nested_fields(name))
            fields |= {f"{name}.{key}": item for key, item in inner.items()}
        else:
            fields[name] = value
    return fields


def _nested_fields(name: str) -> list[str]:
    models: dict[str, type[Model]] = {"customer": Customer, "delivery": Delivery}
    return list(models[name].model_fields)


def field_names(kind: Kind) -> frozenset[str]:
    """Every canonical field of `kind`, dotted, derived ones included."""
    names: set[str] = set(DERIVED[kind])
    for name in MODELS[kind].model_fields:
        if name in REFERENCES[kind]:
            continue
        names |= {f"{name}.{key}" for key in _nested_fields(name)} if name in _NESTED else {name}
    return frozenset(names)


def nest(fields: Mapping[str, Json]) -> dict[str, Json]:
    """The opposite of `flatten`: dotted fields back to the nested form that events carry."""
    data: dict[str, Json] = {}
    for name, value in fields.items():
        head, _, tail = name.partition(".")
        if tail:
            data.setdefault(head, {})[tail] = value
        else:
            data[name] = value
    return data


def money(value: Json) -> Decimal:
    """The amount of a money field in `Fields`; zero for None."""
    return Decimal(value["amount"]) if value else Decimal(0)
