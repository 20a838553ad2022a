"""A bank statement, or a table of counterparties or payments: what it holds, and which keys or columns are read."""

from __future__ import annotations

import zipfile
from pathlib import Path

from bus.cli.inspected import Inspected
from bus.errors import BadInput
from bus.files import columns
from bus.files.columns import Table
from bus.systems import bank_lines, bank_statement, sheets

_ZIP = b"PK\x03\x04"
_BOOK = "xl/workbook.xml"


def is_statement(head: bytes) -> bool:
    """Whether a file that begins so is a bank statement in 1C's format."""
    return bank_lines.is_statement(head)


def describe_statement(path: Path) -> Inspected:
    """Every key of every section. Raises BadInput when it is no statement after all."""
    with path.open("rb") as source:
        statement = bank_statement.read(source)
    found = Inspected(f"bank statement 1CClientBankExchange {statement.version or '(no version)'}")
    found.facts = {"encoding": statement.encoding, "accounts": str(len(statement.accounts))}
    found.found["document"] = len(statement.documents)
    found.found["balance"] = len(statement.balances)
    keys = [
        one.key
        for section in bank_lines.read(path.read_bytes()).sections
        for values in section.values.values()
        for one in [next((value for value in values if value.text), None)]
        if one
    ]
    found.count(keys, set(keys) - set(statement.unread))
    found.troubles = [str(fault) for fault in statement.faults]
    found.warnings = list(statement.warnings)
    return found


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so is a ZIP, which an XLSX is too."""
    return head.startswith(_ZIP)


def describe_archive(path: Path) -> Inspected:
    """A workbook; raises BadInput for any other archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            book = _BOOK in archive.namelist()
    except zipfile.BadZipFile:
        raise BadInput(f"{path}: a ZIP that was cut or damaged on its way") from None
    if not book:
        raise BadInput(f"{path}: an archive; unpack it and inspect the files that are in it")
    return describe_table(path)


def describe_table(path: Path) -> Inspected:
    """The columns of a table, read as the kind that knows most of them. Raises BadInput when it is no table."""
    kinds: tuple[Table, ...] = ("counterparties", "payments")
    known = {kind: columns.wanted(kind, {}) for kind in kinds}
    with sheets.opened(path, lambda row: max(one(row) for one in known.values())) as sheet:
        kind = max(kinds, key=lambda one: known[one](sheet.header))
        placed = columns.placed(kind, sheet.header, {})
        found = Inspected(f"table of {kind}, by its columns")
        found.found["row"] = sum(1 for _ in sheet.rows)
    found.mapped.update(str(sheet.header[at]) for places in placed.places.values() for at in places)
    found.unmapped.update(placed.unread)
    return found
