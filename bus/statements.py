"""Statements: what a bank tells of money becomes payments, each for its order; what is no payment is listed.

The same document makes the same event, from whatever file and however often: its key is what 1C itself knows bank
documents by (account, date, number, kind, the other side's account, INN and KPP, sum), since banks use numbers anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

import structlog

from bus import assigning, points, requisites
from bus.assigning import Assigned, Assigner, Received
from bus.config import Config
from bus.envelope import Event, parse
from bus.errors import BadInput, Transient
from bus.ledger import questions
from bus.ledger.database import Connection, Ledger
from bus.ledger.questions import Question
from bus.model import Json, PaymentState
from bus.ports import Accepted
from bus.publisher import Publisher
from bus.systems.bank_documents import Document, Statement

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_CURRENCIES = {
    "810": "RUB", "643": "RUB", "840": "USD", "978": "EUR", "156": "CNY", "826": "GBP", "756": "CHF", "392": "JPY",
    "398": "KZT", "933": "BYN", "974": "BYN", "949": "TRY", "784": "AED", "344": "HKD", "356": "INR", "417": "KGS",
    "860": "UZS", "051": "AMD", "944": "AZN", "981": "GEL", "972": "TJS", "498": "MDL",
}  # fmt: skip
"""Places 6 to 8 of an account."""
_ACCOUNT_DIGITS = 20
_RETURN = ("возврат", "возвращ")


class Way(StrEnum):
    """What a document is to us, in words for a person."""

    IN = "received"
    BACK = "given back"
    OUT = "paid"
    BETWEEN = "between own accounts"
    FOREIGN = "between accounts of others"
    NOTHING = "no money moved"


@dataclass(frozen=True, slots=True)
class Listed:
    """A document that made no payment, or one that nobody could assign, and why."""

    document: Document
    why: str


@dataclass(slots=True)
class Taken:
    """What a statement came to."""

    documents: int
    accepted: Accepted = field(default_factory=lambda: Accepted(0, 0))
    assigned: list[Listed] = field(default_factory=list)
    asked: list[Listed] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def report(self) -> list[str]:
        """For a person, line by line: counts first, then what may need him. No names, no purposes."""
        counts = (
            f"{self.documents} documents: {self.accepted.new} payments are new, {self.accepted.known} known, "
            f"{len(self.listed)} are no payments, {len(self.faults)} could not be read"
        )
        asked = [_said(one, "for which order?") for one in self.asked]
        return [counts, *self.faults, *self.warnings, *asked, *(_said(one) for one in self.listed)]


@dataclass(frozen=True, slots=True)
class _Payment:
    """A document that is a payment, and all that its event says but the order."""

    document: Document
    key: str
    received: Received
    at: datetime

    def event(self, system: str, order: Json) -> Event:
        """Its id follows from what the bank says: that it was assigned meanwhile is no news of the bank's."""
        said = self._said()
        content = hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest()[:16]
        return parse(
            {
                "source": system,
                "type": "payment.changed",
                "subject": f"payment/{self.key}",
                "id": f"{self.key}:{content}",
                "time": self.at,
                "data": said | ({"order": order} if order else {}),
            }
        )

    def _said(self) -> dict[str, Json]:
        one, received = self.document, self.received
        same = requisites.money_key(one.dated, one.number, one.amount, received.inn)
        state = PaymentState.REFUND if received.gives_back else PaymentState.PAID
        return {
            "amount": {"amount": f"{received.amount:.2f}", "currency": received.currency},
            "method": "bank",
            "status": state.value,
            "paid_at": self.at.isoformat(),
            "external_number": one.number or None,
            "records": [{"system": "money", "type": "payment", "id": same}],
        }


class Statements:
    """Takes bank statements, one after the other: what is taken twice is known the second time."""

    def __init__(self, ledger: Ledger, config: Config, publisher: Publisher) -> None:
        self._ledger, self._config, self._publisher = ledger, config, publisher

    def system(self, name: str | None) -> str:
        """The bank that is meant; the only one where none is named. Raises BadInput."""
        banks = [known for known, system in self._config.systems.items() if system.kind == "bank"]
        if name in banks or (name is None and len(banks) == 1):
            return name or banks[0]
        if not banks:
            raise BadInput("no system of bus.yaml is of kind bank; name one to import statements", field="system")
        raise BadInput(f"--system must name a system of kind bank: {', '.join(banks)}", field="system")

    def take(self, system: str, statement: Statement, *, dry_run: bool = False) -> Taken:
        """Publish its payments.

        Raises BadInput while payments of this bank are switched off: they would be known ever after, and never taken.
        Raises Transient while someone else takes a statement, or without a ledger.
        """
        if not self._config.route(system, "payment").inward.creates:
            raise BadInput(
                f"payments from {system} are switched off: set routes.payment.in of it to full, then import it again",
                field="routes",
            )
        with self._ledger.alone(assigning.LOCK) as mine:
            if not mine:
                raise Transient("another bank statement is being read just now; try again in a moment")
            return self._take(system, statement, dry_run=dry_run)

    def _take(self, system: str, statement: Statement, *, dry_run: bool) -> Taken:
        taken = Taken(len(statement.documents))
        payments = self._payments(system, statement, taken)
        with self._ledger.transaction() as connection:
            events, asked = self._assigned(connection, system, payments, taken)
            if asked and not dry_run:
                questions.ask(connection, asked, seconds=self._config.limits.wait_deadline_s)
        if __debug__:
            points.here("statement.assigned")
        if not dry_run:
            taken.accepted = self._publisher.publish(events)
        taken.faults = tuple(map(str, statement.faults)) + taken.faults
        taken.warnings = statement.warnings + taken.warnings
        log.info("statement.taken", system=system, documents=taken.documents, new=taken.accepted.new, dry_run=dry_run)
        return taken

    def _payments(self, system: str, statement: Statement, taken: Taken) -> list[_Payment]:
        """Documents that are payments, each once; the others are listed."""
        known = self._config.systems[system]
        own = frozenset(map(_digits, known.accounts)) or frozenset(statement.accounts)
        taken.warnings += tuple(_about_accounts(system, own, statement.accounts))
        found: dict[str, _Payment] = {}
        for document in statement.documents:
            way = way_of(document, own)
            if way not in (Way.IN, Way.BACK):
                taken.listed.append(Listed(document, way.value))
                continue
            try:
                payment = _payment(document, way, ZoneInfo(known.zone))
                payment.event(system, None)
            except BadInput as error:
                taken.faults += (f"line {document.line}: {error}",)
                continue
            if first := found.get(payment.key):
                where = f"line {document.line}: the same document as in line {first.document.line}"
                taken.warnings += (f"{where}, by everything a bank tells them apart by; taken once",)
            found.setdefault(payment.key, payment)
        return list(found.values())

    def _assigned(
        self, connection: Connection, system: str, payments: Sequence[_Payment], taken: Taken
    ) -> tuple[list[Event], list[Question]]:
        """Their events, and what a person is to be asked. What is known already keeps its order."""
        plain = {payment.key: payment.event(system, None) for payment in payments}
        told = assigning.told(connection, plain.values())
        new = [payment for payment in payments if plain[payment.key].subject not in told]
        assigner = Assigner(connection, self._config, [payment.received for payment in new])
        events, asked = [], []
        for payment in payments:
            if plain[payment.key].subject in told:
                events.append(plain[payment.key])
                continue
            answer = assigner.assign(payment.received)
            if answer.order is None and payment.received.gives_back and not answer.candidates:
                taken.listed.append(Listed(payment.document, "given back, to no customer of an order that we know"))
                continue
            if answer.order is None:
                asked.append(_question(system, payment, answer))
            (taken.asked if answer.order is None else taken.assigned).append(Listed(payment.document, answer.why))
            order = answer.order.model_dump(mode="json", exclude_none=True) if answer.order else None
            events.append(payment.event(system, order))
        return events, asked


def _about_accounts(system: str, own: Collection[str], named: Collection[str]) -> Iterator[str]:
    if not own:
        yield f"the file names no account of its own: write `accounts` of {system} in bus.yaml, then import it again"
    if strange := [one for one in named if one not in own]:
        ends = ", ".join(f"…{one[-4:]}" for one in strange)
        yield f"not among the accounts of {system} in bus.yaml: {ends}; nothing of them is taken"


def way_of(document: Document, own: Collection[str]) -> Way:
    """Which way the money went, by the company's own accounts."""
    to_us, from_us = document.payee.among(own), document.payer.among(own)
    if not document.amount:
        return Way.NOTHING
    if to_us and from_us:
        return Way.BETWEEN
    if to_us:
        return Way.IN
    if not from_us:
        return Way.FOREIGN
    returns = any(word in document.purpose.lower() for word in _RETURN)
    return Way.BACK if returns else Way.OUT


def key_of(document: Document, way: Way) -> str:
    """What a bank document is known by for ever."""
    ours, other = (document.payee, document.payer) if way is Way.IN else (document.payer, document.payee)
    kind = " ".join(document.kind.lower().replace("ё", "е").split())
    number = document.number.lstrip("0")
    parts = (ours.account, f"{document.dated:%Y-%m-%d}", number, kind, other.account, other.inn, other.kpp)
    named = "\n".join([*(part or "" for part in parts), f"{document.amount:.2f}"])
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def _payment(document: Document, way: Way, zone: ZoneInfo) -> _Payment:
    """Raises BadInput for an account in a currency that is not known."""
    ours, other = (document.payee, document.payer) if way is Way.IN else (document.payer, document.payee)
    posted = (document.credited if way is Way.IN else document.debited) or document.receipt or document.dated
    received = Received(
        document.amount,
        _currency(ours.account),
        document.dated,
        other.inn,
        document.code,
        document.purpose,
        gives_back=way is Way.BACK,
    )
    return _Payment(document, key_of(document, way), received, datetime.combine(posted, time(), zone))


def _currency(account: str) -> str:
    """By the account's number; roubles where it is not of Russia's form. Raises BadInput for an unknown code."""
    if len(account) != _ACCOUNT_DIGITS or not account.isdigit():
        return "RUB"
    if known := _CURRENCIES.get(account[5:8]):
        return known
    raise BadInput(f"the account's currency code {account[5:8]} is not known", field="account")


def _question(system: str, payment: _Payment, answer: Assigned) -> Question:
    """For which order is this? With what a person needs to tell."""
    one, received = payment.document, payment.received
    payer = one.payee if received.gives_back else one.payer
    said = {"paid_at": payment.at.isoformat(), "external_number": one.number, "payer": payer.name}
    about = assigning.about(received, answer.why, said)
    return Question("order", system, f"payment/{payment.key}", answer.candidates, about)


def _digits(account: str) -> str:
    return "".join(account.split())


def _said(one: Listed, what: str = "") -> str:
    document = one.document
    sum_of = f"№ {document.number or '-'} of {document.dated:%d.%m.%Y}, {document.amount:.2f}"
    return f"line {document.line}: {sum_of}: {' '.join(part for part in (what, one.why) if part)}"
