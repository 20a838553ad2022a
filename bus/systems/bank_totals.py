"""Totals: whether a statement adds up. What does not is told to a person; the documents are taken as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal

from bus.systems.bank_documents import Balance, Document

_NOTHING = Decimal(0)


def differences(balances: Sequence[Balance], documents: Sequence[Document], *, complete: bool) -> list[str]:
    """What does not add up; `complete`: every document was read, so that their sums can be compared."""
    found = [*_each(balances), *_one_after_another(balances)]
    if complete:
        found += _sums(balances, documents)
    return found


def _each(balances: Iterable[Balance]) -> Iterator[str]:
    """Opening + received - paid = closing."""
    for one in balances:
        if one.opening is None or one.received is None or one.paid is None or one.closing is None:
            continue
        if off := one.closing - (one.opening + one.received - one.paid):
            yield f"line {one.line}: the closing balance is off by {off:.2f} from opening, received and paid"


def _one_after_another(balances: Iterable[Balance]) -> Iterator[str]:
    """Where there is a section for each day, one opens with what the one before closed with."""
    last: dict[str, Balance] = {}
    for one in sorted(balances, key=lambda one: (one.begins or date.max, one.line)):
        before = last.get(one.account)
        if before and before.closing is not None and one.opening is not None and before.closing != one.opening:
            yield f"line {one.line}: it opens with another balance than line {before.line} closes with"
        last[one.account] = one


def _sums(balances: Iterable[Balance], documents: Sequence[Document]) -> Iterator[str]:
    """Over all of a period the documents are what was received and paid."""
    accounts: dict[str, list[Balance]] = {}
    for one in balances:
        accounts.setdefault(one.account, []).append(one)
    for account, some in accounts.items():
        said = {"received": [one.received for one in some], "paid": [one.paid for one in some]}
        for what, sums in said.items():
            counted = sum((one.amount for one in documents if _moved(one, account, what, accounts)), _NOTHING)
            off = counted - sum((value or _NOTHING for value in sums), _NOTHING)
            if None not in sums and off:
                yield f"line {some[0].line}: the documents differ by {off:.2f} from all that was {what}"


def _moved(one: Document, account: str, what: str, own: Collection[str]) -> bool:
    """Whether a document is part of an account's total.

    Money between two accounts of one file may stand in it once, or once for each, by the date that is filled in.
    """
    between = one.payer.among(own) and one.payee.among(own)
    if what == "received":
        return one.payee.among([account]) and not (between and one.debited and not one.credited)
    return one.payer.among([account]) and not (between and one.credited and not one.debited)
