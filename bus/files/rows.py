"""Rows: a row of a table of counterparties or payments as canonical data. Pure: texts in, an event out.

What fails a check is kept as it is and flagged later (the derived field `doubts`). Only a row that cannot be read is
refused: nobody is named, a sum is no sum, a day no day, or nobody knows what its words make of the money.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from bus import requisites
from bus.assigning import Received
from bus.envelope import Event, parse
from bus.errors import BadInput
from bus.files import columns
from bus.model import Json, PaymentState
from bus.systems import written

_KPP_DIGITS, _BIC_DIGITS = 9, 9


@dataclass(frozen=True, slots=True)
class Told:
    """By whom a file is told, and when what it says was so."""

    source: str
    as_of: datetime
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as its row tells it; its order is named, or is to be found."""

    data: Mapping[str, Json]
    subject: str
    at: datetime
    received: Received
    order: str | None

    def event(self, source: str, order: Json) -> Event:
        """Its id follows from the row alone: that its order was found meanwhile is no news of the file's."""
        content = hashlib.sha256(repr(sorted(self.data.items())).encode()).hexdigest()[:16]
        data = {**self.data, **({"order": order} if order else {})}
        return parse(
            {
                "source": source,
                "type": "payment.changed",
                "subject": self.subject,
                "id": f"{self.subject.partition('/')[2]}:{content}",
                "time": self.at,
                "data": data,
            }
        )


def counterparty(texts: Mapping[str, str], told: Told, row: int) -> tuple[Event, str | None]:
    """The event of one row, and what of it was left out. Raises BadInput that says why the row cannot be read.

    Of two rows for one counterparty the lower one is a microsecond later, and so the one that counts.
    """
    data = _party(texts)
    if not (data.get("name") or data.get("legal_name") or data.get("inn")):
        raise BadInput("neither a name nor an INN: nobody is named", field="name")
    left_out = None
    try:
        data |= {"type": columns.meant("type", texts["type"])} if "type" in texts else {}
    except BadInput as error:
        left_out = str(error)
    known = texts.get("id") or _natural(data)
    event = {"source": told.source, "type": "counterparty.changed", "subject": f"counterparty/{known}"}
    return parse({**event, "time": told.as_of + timedelta(microseconds=row), "data": data}), left_out


def _party(texts: Mapping[str, str]) -> dict[str, Json]:
    inn, _, kpp = texts.get("inn_kpp", "").partition("/")
    number = _inn(texts.get("inn") or inn)
    account = requisites.clean(texts.get("account"))
    plain = ("name", "legal_name", "legal_address", "address", "responsible", "credit_terms")
    data: dict[str, Json] = {name: texts.get(name) for name in plain}
    data |= {
        "inn": number,
        "kpp": _padded(requisites.clean(texts.get("kpp") or kpp), _KPP_DIGITS),
        "ogrn": requisites.clean(texts.get("ogrn")),
        "okpo": requisites.clean(texts.get("okpo")),
        "phones": requisites.phones(texts.get("phones", "")),
        "emails": requisites.emails(texts.get("emails", "")),
    }
    if account:
        bic = _padded(requisites.clean(texts.get("bic")), _BIC_DIGITS)
        data["accounts"] = [{"account": account, "bic": bic, "bank": texts.get("bank")}]
    return {name: value for name, value in data.items() if value}


def payment(texts: Mapping[str, str], told: Told) -> Payment:
    """One row. Raises BadInput that says why it cannot be read."""
    amount, at = _amount(texts.get("amount", "")), _moment(texts.get("date", ""), told.zone)
    inn, number = _inn(texts.get("inn", "")), texts.get("number")
    currency = columns.meant("currency", texts.get("currency", "RUB"))
    state = PaymentState(columns.meant("status", texts.get("status", "paid")))
    data: dict[str, Json] = {
        "amount": {"amount": f"{amount:.2f}", "currency": currency},
        "method": texts.get("method"),
        "status": state.value,
        "paid_at": at.isoformat() if state is not PaymentState.PENDING else None,
        "external_number": number,
    }
    if number:
        same = requisites.money_key(at.date(), number, amount, inn)
        data["records"] = [{"system": "money", "type": "payment", "id": same}]
    gives_back = state is PaymentState.REFUND
    received = Received(
        amount, currency, at.date(), inn, texts.get("code"), texts.get("purpose", ""), gives_back=gives_back
    )
    known = texts.get("id") or _hash(at.date(), number, amount, currency, inn, texts.get("order"), texts.get("purpose"))
    said = {name: value for name, value in data.items() if value}
    return Payment(said, f"payment/{known}", at, received, texts.get("order"))


def _amount(text: str) -> Decimal:
    try:
        amount = written.amount(text)
    except ValueError as error:
        raise BadInput(f"the sum: {error}", field="amount") from None
    if amount is None or amount <= 0:
        raise BadInput(
            "the sum is missing, zero or negative; what is given back is a positive sum with the status возврат",
            field="amount",
        )
    return amount


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        at = written.moment(text, zone)
    except ValueError as error:
        raise BadInput(f"the day: {error}", field="date") from None
    if at is None:
        raise BadInput("the day is missing", field="date")
    return at


def _inn(text: str) -> str | None:
    """An INN; a spreadsheet that took it for a number has lost the zero before it."""
    said = requisites.clean(text)
    return f"0{said}" if said and requisites.inn(f"0{said}") else said


def _padded(text: str | None, digits: int) -> str | None:
    """A code of so many digits whose zero in front a spreadsheet has lost."""
    return text.zfill(digits) if text and text.isdigit() and len(text) == digits - 1 else text


def _natural(data: Mapping[str, Json]) -> str:
    """What a row without an id of its own is known by, each time the same."""
    if data.get("inn"):
        return f"inn-{data['inn']}-{data.get('kpp') or '-'}"
    name = str(data.get("name") or data.get("legal_name"))
    return f"name-{_hash(requisites.name_key(name) or name)}"


def _hash(*parts: object) -> str:
    return hashlib.sha256("\n".join(str(part or "") for part in parts).encode()).hexdigest()[:32]
