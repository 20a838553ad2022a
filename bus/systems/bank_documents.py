"""Bank documents: what a statement tells of accounts and of money that moved, parsed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Party:
    """Who pays or is paid, and the account that the bank moves money at.

    Where two banks settle through a third one that may be the bank's; `settlement` is the client's own then.
    """

    account: str = ""
    settlement: str = ""
    name: str = ""
    inn: str | None = None
    kpp: str | None = None
    bic: str | None = None

    def among(self, accounts: Collection[str]) -> bool:
        """Is it one of these who own an account?"""
        return self.account in accounts or self.settlement in accounts


@dataclass(frozen=True, slots=True)
class Document:
    """One movement of money, as the bank has it. The sum has no sign: what it means follows from whose accounts."""

    line: int
    kind: str
    number: str
    dated: date
    amount: Decimal
    payer: Party
    payee: Party
    debited: date | None = None
    credited: date | None = None
    receipt: date | None = None
    """When the bank took it; some banks give no other date of theirs."""
    code: str | None = None
    """УИП, the payment identifier that the payee gave the payer."""
    purpose: str = ""
    rest: Mapping[str, str] = field(default_factory=dict)
    """Everything else that it says, by key."""


@dataclass(frozen=True, slots=True)
class Balance:
    """One account over some days; what the bank leaves out is None."""

    line: int
    account: str
    begins: date | None = None
    ends: date | None = None
    opening: Decimal | None = None
    received: Decimal | None = None
    paid: Decimal | None = None
    closing: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a document was not read: the line, the key and the trouble; never the value."""

    line: int
    key: str
    trouble: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.key}: {self.trouble}"


@dataclass(frozen=True, slots=True)
class Statement:
    """A file. `warnings` are for a person to look at; `unread` counts the keys whose values nobody uses."""

    version: str
    encoding: str
    accounts: tuple[str, ...]
    balances: tuple[Balance, ...]
    documents: tuple[Document, ...]
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]
    unread: Mapping[str, int]
