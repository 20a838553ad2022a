"""A payment of a 1C base and the canonical payment: one for each order that a bank document is split over.

Raw: the document as OData gives it, with "@thing" (receipt, refund, cash, cash_refund), "@order" (key of the order),
"@amount" (the sum of its rows, as text), "@first" (whether they are the document's largest), "@read_at", "@related";
"@was" where it is known that these rows were another order's before.
An unposted receipt is a payment that is expected; a refund that is not posted, and a document with a deletion mark, is
not read at all.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from bus import requisites
from bus.model import Fields, Json, Kind, PaymentState
from bus.ports import WAS, Raw, Tables, Translation
from mappings import values
from mappings.onec import reading
from mappings.onec.reading import Flag, Key, Record, Stamp
from mappings.values import Sum, Text

KIND: Kind = "payment"
EVENT = "payment"

_RECEIPT = "receipt"
_REFUNDS = ("refund", "cash_refund")
_NUMBER = 11
"""Length of the number of an incoming document."""


class _Payment(Record):
    order: Key = None
    amount: Sum = None
    first: Flag = None
    total: Sum = None
    number_1c: Text = None
    at: Stamp = None
    posted: Flag = None
    currency: Key = None
    counterparty: Key = None
    number: Text = None
    date: Stamp = None
    banked: Flag = None
    banked_at: Stamp = None
    marker: Text = None


def carries(tables: Tables) -> frozenset[str]:
    """What a payment is; by what means it was paid is not kept in one form in the books."""
    number = {"external_number"} if tables.name(_RECEIPT, "number") else set[str]()
    return frozenset({"amount", "status", "paid_at", *number})


def writes(tables: Tables) -> frozenset[str]:
    """What a document that exists can be told: when it was paid is the bank's to say, and posting is the books'."""
    return carries(tables) - {"status", "paid_at"}


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """Nothing: it comes whole."""
    del fields, tables
    return frozenset()


def means(field: str, said: Json, wanted: Json) -> bool:
    """A long number is cut."""
    if field == "external_number":
        return (said or None) == _cut(wanted)
    return bool(said == wanted)


def to_canonical(raw: Raw, tables: Tables) -> Translation:
    """The payment as the books tell it. A split document's version is that of each of its payments."""
    payment = _read(raw, tables)
    data, held = reading.held(_says(payment, raw, tables))
    own = tables.name("links", "self")
    if payment.order and own:
        data["order"] = {"system": own, "type": "order", "id": payment.order}
    if records := [*_former(raw, own), *_records(payment, raw)]:
        data["records"] = records
    return Translation(data=data, version=payment.stamp, modified_at=payment.modified_at, held=held)


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:
    """What to write so that the payment says `fields`: {"fields", "amount", "currency", "post", "thing"}.

    Each only where needed. A new one is a receipt, or a refund; "post": to be posted, where the settings let us.
    """
    payment = _read(present, tables) if present is not None else None
    says = _says(payment, present or {}, tables) if payment else {}
    wanted = fields if payment is None else {name: fields[name] for name in fields.keys() & writes(tables)}
    due = {name: value for name, value in wanted.items() if not means(name, says.get(name), value)}
    thing = (present or {}).get("@thing") or _thing(fields)
    change: Raw = {"fields": _fields(due, thing, tables, new=payment is None)}
    if due.get("amount"):
        change["amount"] = due["amount"]["amount"]
    if payment is None:
        change["currency"] = (fields.get("amount") or {}).get("currency")
        change["post"] = fields.get("status") != PaymentState.PENDING
    change = {name: part for name, part in change.items() if part}
    return change | {"thing": thing} if change else {}


def _read(raw: Raw, tables: Tables) -> _Payment:
    own = {"order": raw.get("@order"), "amount": raw.get("@amount"), "first": raw.get("@first")}
    return _Payment.model_validate(reading.roles(raw, tables, raw.get("@thing") or _RECEIPT, _Payment) | own)


def _says(payment: _Payment, raw: Raw, tables: Tables) -> Fields:
    said: Fields = {"status": _state(payment, raw).value}
    amount = reading.sum_of(payment.amount, raw, payment.currency, tables, "amount")
    if amount is not None:
        said["amount"] = amount
    if payment.says("number"):
        said["external_number"] = values.short(payment.number)
    if payment.says("at"):
        said["paid_at"] = reading.moment(_paid_at(payment), tables)
    return said


def _state(payment: _Payment, raw: Raw) -> PaymentState:
    """Money has come when the document is posted and, where the books wait for the bank, carried out by it."""
    if raw.get("@thing") in _REFUNDS:
        return PaymentState.REFUND
    received = payment.posted and payment.banked is not False
    return PaymentState.PAID if received else PaymentState.PENDING


def _paid_at(payment: _Payment) -> datetime | None:
    """The bank's day, with the document's time where that is of the same day; only a posted document has one."""
    if not payment.posted or payment.banked is False:
        return None
    day = payment.banked_at or payment.date
    same = payment.at is not None and (day is None or day.date() == payment.at.date())
    return payment.at if same else day


def _former(raw: Raw, own: str | None) -> list[Json]:
    """What it was before the accountant moved it here from another order: it is the same money."""
    return [{"system": own, "type": KIND, "id": raw[WAS]}] if own and raw.get(WAS) else []


def _records(payment: _Payment, raw: Raw) -> list[Json]:
    """What the same money is known by in a bank's statement, on the document's largest part; and our own key."""
    found: list[Json] = []
    day = payment.date or payment.banked_at or payment.at
    if payment.first and payment.number and day and payment.total is not None:
        payer = reading.related(raw, "counterparties", payment.counterparty).get("inn")
        money = requisites.money_key(day.date(), payment.number, payment.total, payer)
        found.append({"system": "money", "type": KIND, "id": money})
    return found + (reading.ours(payment, payment.marker, KIND) if payment.first else [])


def _thing(fields: Fields) -> str:
    return "refund" if fields.get("status") == PaymentState.REFUND else _RECEIPT


def _fields(due: Fields, thing: str, tables: Tables, *, new: bool) -> Raw:
    written: Raw = {}
    if "external_number" in due and (name := tables.name(thing, "number")):
        written[name] = _cut(due["external_number"]) or ""
    if new and due.get("paid_at"):
        at = reading.native(due["paid_at"], tables)
        written |= dict.fromkeys(_named(thing, tables, "at", "date"), at)
        if due.get("status") != PaymentState.PENDING:
            written |= dict.fromkeys(_named(thing, tables, "banked"), True)
            written |= dict.fromkeys(_named(thing, tables, "banked_at"), at)
    return written


def _named(thing: str, tables: Tables, *roles: str) -> list[str]:
    return [name for role in roles if (name := tables.name(thing, role))]


def _cut(number: Json) -> str | None:
    return (values.text(number) or "")[:_NUMBER].strip() or None
