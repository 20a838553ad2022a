"""A payment of the Bitrix CMS shop (sale.payment.get, or nested in its order) and the canonical payment.

The method is text for people: the canonical name in the table `payment_method` where the pay system has one, else the
pay system's own name. A new pay system therefore never blocks a payment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from bus.errors import BadInput, UnknownCode
from bus.model import Fields, Json, Kind, PaymentState
from bus.ports import Raw, RawRecord, Tables, Translation
from mappings import values
from mappings.tables import meaning
from mappings.values import Id, Read, Stamp, Sum, Text

KIND: Kind = "payment"
EVENT = "payment"

_METHOD = "payment_method"
_NEVER = datetime.fromtimestamp(0, UTC)


class _Payment(Read):
    """`order_*` is what `parts` copies from the order, whose version counts its payments' changes too."""

    order_id: Id = None
    order_currency: Text = None
    order_version: Id = None
    order_date_update: Stamp = None
    sum: Sum = None
    currency: Text = None
    paid: Text = None
    is_return: Text = None
    date_paid: Stamp = None
    date_bill: Stamp = None
    pay_return_date: Stamp = None
    pay_voucher_num: Text = None
    pay_system_id: Id = None
    pay_system_name: Text = None
    emp_paid_id: Id = None
    xml_id: Text = None


def holds(fields: Fields) -> bool:
    """The shop marks a payment itself as given back; a document of its own that gives money back has no place there."""
    return bool(fields.get("status") != PaymentState.REFUND)


def parts(order: RawRecord) -> list[RawRecord]:
    """The payments that an order's raw record holds, each with what only the order knows."""
    known = {
        "orderId": order.id,
        "orderCurrency": order.raw.get("currency"),
        "orderVersion": order.raw.get("version"),
        "orderDateUpdate": order.raw.get("dateUpdate"),
    }
    payments = values.listed(order.raw.get("payments")) or []
    if not isinstance(payments, list) or not all(isinstance(payment, Mapping) for payment in payments):
        raise BadInput("order.payments: not a list of payments", field="order.payments")
    found = [(values.identifier(payment.get("id")), payment) for payment in payments]
    return [RawRecord("payment", key, {**payment, **known}) for key, payment in found if key]


def carries(tables: Tables) -> frozenset[str]:  # noqa: ARG001 - every shop keeps the same
    """Everything of a payment."""
    return frozenset({"amount", "method", "status", "paid_at", "external_number"})


def writes(tables: Tables) -> frozenset[str]:
    """What a payment that exists can be told: its pay system is the shop's own."""
    return carries(tables) - {"method"}


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """Nothing: it comes whole."""
    del fields, tables
    return frozenset()


def means(field: str, said: Json, wanted: Json) -> bool:
    """It says what it means."""
    del field
    return bool(said == wanted)


def to_canonical(raw: Raw, tables: Tables) -> Translation:
    """The payment as the shop tells it. Its order's version is its version; one read without its order has none."""
    payment = _Payment.model_validate(raw)
    data = _says(payment, tables)
    if payment.order_id and (own := tables.name("links", "self")):
        data["order"] = {"system": own, "type": "order", "id": payment.order_id}
    if ours := values.origin(payment.xml_id, KIND):
        data["records"] = ours
    modified_at = _modified_at(payment)
    return Translation(
        data=data,
        version=payment.order_version or f"t{int(modified_at.timestamp())}",
        modified_at=modified_at,
        actor=f"user:{payment.emp_paid_id}" if payment.emp_paid_id else None,
    )


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:
    """What to write so that the payment says `fields`: {"fields": ...}, or nothing when it already does.

    "currency" beside them is the sum's: a payment has its order's there, and a sum in another one is refused. A new
    payment gets the pay system of its method where the table knows one; else the system's settings decide.
    """
    payment = _Payment.model_validate(present) if present is not None else None
    says = _says(payment, tables) if payment else {}
    due = values.differing({name: value for name, value in fields.items() if name in writes(tables)}, says)
    written = _status(due.get("status"), payment)
    if due.get("amount"):
        written["sum"] = due["amount"]["amount"]
    if due.get("paid_at"):  # the shop dates a payment by itself and does not let the date be cleared
        written["datePaid"] = _native(due["paid_at"])
    if "external_number" in due:
        written["payVoucherNum"] = due["external_number"] or ""
    if payment is None:
        written |= _pay_system(fields.get("method"), tables)
    currency = {"currency": due["amount"]["currency"]} if due.get("amount") else {}
    return {"fields": written, **currency} if written else {}


def _says(payment: _Payment, tables: Tables) -> Fields:
    said: Fields = {}
    currency = payment.currency or payment.order_currency
    if payment.sum is not None and currency:
        said["amount"] = values.amount(payment.sum, currency)
    if method := _method(payment, tables):
        said["method"] = method
    if payment.paid or payment.is_return:
        said["status"] = _state(payment).value
    if payment.says("date_paid"):
        said["paid_at"] = values.moment(payment.date_paid)
    if payment.says("pay_voucher_num"):
        said["external_number"] = values.short(payment.pay_voucher_num)
    return said


def _state(payment: _Payment) -> PaymentState:
    """Given back, to the inner account (Y) or through the pay system (P), outweighs the flag `paid`."""
    if payment.is_return in ("Y", "P"):
        return PaymentState.REFUNDED
    return PaymentState.PAID if payment.paid == "Y" else PaymentState.PENDING


def _method(payment: _Payment, tables: Tables) -> str | None:
    found = meaning(tables, _METHOD, payment.pay_system_id or "", field="method")
    return found if isinstance(found, str) else values.short(payment.pay_system_name)


def _modified_at(payment: _Payment) -> datetime:
    """The latest time known: a payment has no modification time of its own."""
    known = (payment.order_date_update, payment.date_paid, payment.pay_return_date, payment.date_bill)
    return max((one.astimezone(UTC) for one in known if one), default=_NEVER)


def _status(status: Json, payment: _Payment | None) -> Raw:
    if status is None:
        return {}
    if status == PaymentState.REFUNDED:
        return {"paid": "N", "isReturn": "Y"}
    returned = payment is not None and payment.is_return in ("Y", "P")
    return {"paid": "Y" if status == PaymentState.PAID else "N"} | ({"isReturn": "N"} if returned else {})


def _native(moment: Json) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat(timespec="seconds")


def _pay_system(method: Json, tables: Tables) -> Raw:
    try:
        return {"paySystemId": tables.codes(_METHOD, method or "", field="method")[0]}
    except UnknownCode:
        return {}
