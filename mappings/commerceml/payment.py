"""A payment of CommerceML and the canonical payment: a document inside its order (UNF), or beside it (BUS).

What an order's flag alone tells (UT) is no payment. A document that gives money back is a refund, and no record at all
before that has happened; a payment's flag of a return says that it was given back. `fields` may bring, besides
canonical fields, "@origin" (the entity's id), "@id" (its external id here) and "@parent" (the order's).
Facts: onec.md 1.7, 1.8.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, Field

from bus import requisites
from bus.errors import UnknownCode
from bus.model import Fields, Json, Kind, PaymentState
from bus.ports import Held, Raw, RawRecord, Tables, Translation
from bus.systems import commerceml_raw
from bus.systems.commerceml_raw import OURS, version_of
from mappings import values
from mappings.commerceml import names
from mappings.commerceml.counterparty import Party
from mappings.commerceml.names import Listed, Read, Requisites, Sum, Word, filled, flag, said_only
from mappings.tables import meaning

KIND: Kind = "payment"
EVENT = "payment"

_METHOD = "payment_method"
_BANK, _BACK = "Выплата безналичных денег", "Возврат безналичных денег"
_CASHLESS = frozenset({_BANK.lower(), _BACK.lower()})
_RETURNED = (PaymentState.REFUND, PaymentState.REFUNDED)


class _Payment(Read):
    read_at: AwareDatetime = Field(alias="@read_at")
    version: str = Field(default="", alias="@version")
    order: Word = Field(default=None, alias="@order")
    payer: Word = Field(default=None, alias="@payer")
    id: Word = Field(default=None, alias="Ид")
    number: Word = Field(default=None, alias="Номер")
    number_1c: Word = Field(default=None, alias="Номер1С")
    date: Word = Field(default=None, alias="Дата")
    date_1c: Word = Field(default=None, alias="Дата1С")
    time: Word = Field(default=None, alias="Время")
    operation: Word = Field(default=None, alias="ХозОперация")
    basis: Word = Field(default=None, alias="Основание")
    currency: Word = Field(default=None, alias="Валюта")
    sum: Sum = Field(default=None, alias="Сумма")
    requisites: Requisites = Field(default={}, alias="ЗначенияРеквизитов")

    def said(self, *requisites: str) -> str | None:
        """The first of these requisites that says something."""
        return next((one for one in map(self.requisites.get, requisites) if one), None)


class _Parties(Read):
    parties: Annotated[list[Party], Listed] = Field(default=[], alias="Контрагенты")


def parts(order: RawRecord) -> list[RawRecord]:
    """The payments that an order's raw record holds, each with what only the order knows; gone ones left out."""
    payer = next((one.inn for one in _Parties.model_validate(order.raw).parties if not one.sells), None)
    profile = order.raw.get("@profile", "ut")
    return [
        RawRecord(KIND, commerceml_raw.record_id(KIND, one, profile), one | filled({"@payer": payer}))
        for one in commerceml_raw.payments(order.raw)
        if not commerceml_raw.gone(KIND, one)
    ]


def carries(tables: Tables) -> frozenset[str]:
    """Everything of a payment; nothing by a profile that knows no payments."""
    known = frozenset({"amount", "method", "status", "paid_at", "external_number"})
    return frozenset() if names.profile(tables) == "ut" else known


def writes(tables: Tables) -> frozenset[str]:
    """What 1C is told of a payment that it has: the books' own documents are theirs."""
    return carries(tables) - {"method"} if names.updates(tables) else frozenset()


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """Nothing: it comes whole."""
    del fields, tables
    return frozenset()


def means(field: str, said: Json, wanted: Json) -> bool:
    """It says what it means."""
    del field
    return bool(said == wanted)


def to_canonical(raw: Raw, tables: Tables) -> Translation:
    """The payment as 1C tells it."""
    payment = _Payment.model_validate(raw)
    data: Json = _says(payment, tables)
    if order := _order(payment, tables):
        data["order"] = order
    if records := _records(payment, data, tables):
        data["records"] = records
    currency = names.currency(payment.currency, tables)
    return Translation(
        data=data,
        version=payment.version or version_of(raw),
        modified_at=payment.read_at,
        held=(Held("amount", currency.table, currency.code, currency.message),) if isinstance(currency, Held) else (),
    )


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:
    """The whole document that says `fields`, or nothing where `present` says them already.

    Raises UnknownCode for a currency without a word here.
    """
    says = _says(_Payment.model_validate(present), tables) if present is not None else {}
    if present is not None and not values.differing(fields, says):
        return {}
    said, known = says | fields, present or {}
    at = datetime.fromisoformat(said["paid_at"]) if said.get("paid_at") else None
    local = names.written(at, tables) if at else None
    amount = said.get("amount") or {}
    return filled(
        {
            "Ид": fields.get("@id") or (f"bus-{fields['@origin']}" if fields.get("@origin") else known.get("Ид")),
            "Номер": said.get("external_number") or str(fields.get("@origin") or "")[:8] or known.get("Номер"),
            "Дата": f"{local:%Y-%m-%d}" if local else known.get("Дата"),
            "Время": f"{local:%H:%M:%S}" if local else known.get("Время"),
            "ХозОперация": _operation(said, tables),
            "Роль": "Продавец",
            "Основание": fields.get("@parent") or known.get("Основание"),
            "Валюта": names.currency_name(amount["currency"], tables) if amount else None,
            "Курс": "1",
            "Сумма": amount.get("amount"),
            "ЗначенияРеквизитов": _written(said, local),
        }
    )


def _written(said: Fields, local: datetime | None) -> Raw:
    paid = "true" if said.get("status") in (PaymentState.PAID, PaymentState.REFUND) else "false"
    return filled(
        {
            "Оплачен": paid,
            "Оплачено": paid,
            "ПризнакВозврата": "true" if said.get("status") in _RETURNED else None,
            "Дата оплаты": f"{local:%Y-%m-%dT%H:%M:%S}" if local else None,
            "Номер платежного документа": said.get("external_number"),
            "Метод оплаты": said.get("method"),
        }
    )


def _operation(said: Fields, tables: Tables) -> str:
    if said.get("status") == PaymentState.REFUND:
        return _BACK
    try:
        return tables.codes(_METHOD, said.get("method") or "", field="method")[0]
    except UnknownCode:
        return _BANK


def _says(payment: _Payment, tables: Tables) -> Fields:
    day, clock = payment.date, payment.time
    at = names.moment(payment.said("Дата оплаты", "Дата оплаты по 1С"), tables) or names.moment(day, tables, clock)
    return said_only(
        {
            "amount": names.amount(
                abs(payment.sum) if payment.sum is not None else None, names.currency(payment.currency, tables)
            ),
            "method": _method(payment, tables),
            "status": _state(payment).value,
            "paid_at": values.moment(at),
            "external_number": values.short(_number(payment)),
        }
    )


def _state(payment: _Payment) -> PaymentState:
    """A document that gives money back is a refund, and no record before it has happened (commerceml_raw.gone).

    One that took it and bears the flag of a return took it and gave it back.
    """
    if commerceml_raw.gives_back(payment.operation or ""):
        return PaymentState.REFUND
    if flag(payment.said("ПризнакВозврата")):
        return PaymentState.REFUNDED
    paid, cancelled = payment.said("Оплачен", "Оплачено") or "", payment.said("Отменен") or ""
    happened = commerceml_raw.happened(paid, cancelled, payment.said("Проведен") or "")
    return PaymentState.PAID if happened else PaymentState.PENDING


def _method(payment: _Payment, tables: Tables) -> str | None:
    """As the site or 1C calls it, else by what kind of document it is: words for people, nothing waits for them."""
    found = meaning(tables, _METHOD, payment.operation or "", field="method")
    return values.short(payment.said("Метод оплаты")) or (found if isinstance(found, str) else None)


def _number(payment: _Payment) -> str | None:
    return payment.said("Номер платежного документа", "Номер оплаты по 1С") or payment.number_1c or payment.number


def _order(payment: _Payment, tables: Tables) -> Json:
    """The order it stands in, or the one that its Основание names: by our own entity where that is ours."""
    if payment.order:
        return {"system": tables.name("links", "self"), "type": "order", "id": payment.order}
    if ours := OURS.fullmatch(payment.basis or ""):
        return {"system": "bus", "type": "order", "id": ours[1]}
    own = tables.name("links", "self")
    return {"system": own, "type": "order", "id": payment.basis} if payment.basis else None


def _records(payment: _Payment, data: Json, tables: Tables) -> list[Json]:
    """Our own payment, where this is one; and the movement of money by which a bank's statement tells of it too."""
    ours = OURS.fullmatch(payment.id or "")
    found: list[Json] = [{"system": "bus", "type": KIND, "id": ours[1]}] if ours else []
    number, day = payment.said("Номер платежного документа"), _day(payment, tables)
    cashless = (payment.operation or "").lower() in _CASHLESS
    if cashless and number and day and data.get("amount"):
        key = requisites.money_key(day, number, Decimal(data["amount"]["amount"]), payment.payer)
        found.append({"system": "money", "type": KIND, "id": key})
    return found


def _day(payment: _Payment, tables: Tables) -> date | None:
    at = names.moment(payment.said("Дата оплаты"), tables)
    return names.written(at, tables).date() if at else None
