"""Bank statements in the exchange format of 1C (kl_to_1c.txt, 1.01-1.03): accounts, balances and documents.

Read as 1C reads them: the sign of a document's sum is dropped, "a+b" is summed, an INN of zeros is none. What has to be
there and cannot be read makes a fault of that document, named by line and key; the other documents stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import BinaryIO, TypeVar

from bus.errors import BadInput
from bus.systems import bank_lines, bank_totals, written
from bus.systems.bank_documents import Balance, Document, Fault, Party, Statement
from bus.systems.bank_lines import Lines, Section

MOST_BYTES = 64_000_000
"""Forty thousand documents and more; all of a file is held at once."""

_PAYER, _PAYEE = "плательщик", "получатель"
_READ = {
    "": {"версияформата", "кодировка", "отправитель", "получатель", "датасоздания", "времясоздания"}
    | {"датаначала", "датаконца", "расчсчет", "документ"},
    "account": {"датаначала", "датаконца", "расчсчет"}
    | {"начальныйостаток", "всегопоступило", "всегосписано", "конечныйостаток"},
    "document": {"номер", "дата", "сумма", "датасписано", "датапоступило", "квитанциядата", "код"}
    | {"назначениеплатежа"}
    | {f"назначениеплатежа{at}" for at in range(1, 7)}
    | {f"{who}{what}" for who in (_PAYER, _PAYEE) for what in ("", "1", "счет", "расчсчет", "инн", "кпп", "бик")},
}
"""Keys that are read, of each kind of section."""

T = TypeVar("T")


def read(source: BinaryIO) -> Statement:
    """Read a file. Raises BadInput when it is no bank statement, or larger than is taken."""
    content = source.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BadInput(f"longer than {MOST_BYTES // 1_000_000} MB: ask the bank for a shorter period")
    return _Reading(bank_lines.read(content)).statement()


class _Refused(Exception):
    """A fault on its way to the list."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class _Reading:
    """What is gathered on the way through the sections."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.warnings = _oddities(lines)
        self.faults: list[Fault] = []
        self.unread: Counter[str] = Counter()

    def statement(self) -> Statement:
        header, *sections = self.lines.sections
        self._count(header, _READ[""])
        balances = tuple(self._balance(section) for section in sections if section.is_account)
        documents = tuple(one for section in sections if section.is_document for one in self._documents(section))
        named = [value.text for value in header.values.get("расчсчет", ()) if value.text]
        accounts = tuple(dict.fromkeys([*map(_tight, named), *(one.account for one in balances if one.account)]))
        self.warnings += bank_totals.differences(balances, documents, complete=not self.faults)
        return Statement(
            header.text("версияформата"),
            self.lines.encoding,
            accounts,
            balances,
            documents,
            tuple(self.faults),
            tuple(self.warnings),
            dict(self.unread),
        )

    def _balance(self, section: Section) -> Balance:
        self._count(section, _READ["account"])
        return Balance(
            section.line,
            _tight(section.text("расчсчет")),
            self._soft(section, "датаначала", written.day),
            self._soft(section, "датаконца", written.day),
            self._soft(section, "начальныйостаток", written.amount),
            _unsigned(self._soft(section, "всегопоступило", written.amount)),
            _unsigned(self._soft(section, "всегосписано", written.amount)),
            self._soft(section, "конечныйостаток", written.amount),
        )

    def _documents(self, section: Section) -> list[Document]:
        """The document, or none and a fault."""
        rest = self._count(section, _READ["document"])
        try:
            return [self._document(section, rest)]
        except _Refused as refused:
            self.faults.append(refused.fault)
            return []

    def _document(self, section: Section, rest: Mapping[str, str]) -> Document:
        if not section.closed and section is self.lines.sections[-1]:
            raise _Refused(Fault(section.line, "КонецДокумента", "the file ends within this document: it was cut off"))
        payer, payee = _party(section, _PAYER), _party(section, _PAYEE)
        if not (payer.account or payee.account):
            raise _Refused(Fault(section.line, "ПлательщикСчет", "missing, and so is ПолучательСчет"))
        return Document(
            section.line,
            section.title,
            section.text("номер"),
            _needed(section, "дата", "Дата", written.day),
            abs(_needed(section, "сумма", "Сумма", written.amount)),
            payer,
            payee,
            self._soft(section, "датасписано", written.day),
            self._soft(section, "датапоступило", written.day),
            self._soft(section, "квитанциядата", written.day),
            _nonzero(section.text("код")),
            _purpose(section),
            rest,
        )

    def _soft(self, section: Section, key: str, parse: Callable[[str], T | None]) -> T | None:
        """A value that may be missing. One that cannot be read is told of, and is missing."""
        found = section.first(key)
        try:
            return parse(found.text) if found else None
        except ValueError as error:
            where = f"line {found.line}: {found.key}" if found else key
            self.warnings.append(f"{where}: {error}; taken as not said")
            return None

    def _count(self, section: Section, read: set[str]) -> dict[str, str]:
        """What is said besides what is read, by the keys as they are written."""
        rest = {value.key: value.text for key in section.values if key not in read if (value := section.first(key))}
        self.unread.update(rest.keys())
        return rest


def _oddities(lines: Lines) -> list[str]:
    warnings = []
    if lines.unreadable:
        warnings.append(f"{lines.unreadable} characters are none of {lines.encoding}")
    if lines.stray:
        some = ", ".join(map(str, lines.stray[:10]))
        warnings.append(f"lines that are no key with a value are left out: {some}")
    if not lines.ended:
        warnings.append("КонецФайла is missing: the end of the file may be cut off")
    return warnings


def _needed(section: Section, key: str, name: str, parse: Callable[[str], T | None]) -> T:
    found = section.first(key)
    try:
        value = parse(found.text) if found else None
    except ValueError as error:
        raise _Refused(Fault(found.line if found else section.line, name, str(error))) from None
    if value is None:
        raise _Refused(Fault(found.line if found else section.line, name, "missing"))
    return value


def _party(section: Section, who: str) -> Party:
    settlement = _tight(section.text(f"{who}расчсчет"))
    account = _tight(section.text(f"{who}счет")) or settlement
    inn, kpp, bic = (_nonzero(_tight(section.text(f"{who}{what}"))) for what in ("инн", "кпп", "бик"))
    name = section.text(f"{who}1") or _without_inn(section.text(who))
    return Party(account, settlement, name, inn, kpp, bic)


def _without_inn(name: str) -> str:
    """'7707083893, ООО "Ромашка"' without the number: banks put it there."""
    head, comma, tail = name.removeprefix("ИНН").lstrip().partition(",")
    if comma and head.strip().isdigit():
        return tail.strip()
    first, _, rest = name.removeprefix("ИНН").lstrip().partition(" ")
    return rest.strip() if first.isdigit() and len(first) in (10, 12) else name


def _purpose(section: Section) -> str:
    """In one piece, or in up to six."""
    parts = [section.text(f"назначениеплатежа{at}") for at in range(1, 7)]
    return section.text("назначениеплатежа") or " ".join(part for part in parts if part)


def _tight(text: str) -> str:
    return "".join(text.split())


def _nonzero(text: str) -> str | None:
    """None for nothing and for zeros, by which banks say "none"."""
    return text if text.strip("0 ") else None


def _unsigned(value: Decimal | None) -> Decimal | None:
    return None if value is None else abs(value)
