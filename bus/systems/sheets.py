"""Sheets: the rows of a CSV or XLSX file as texts, one after the other, however long the file is.

A CSV may come from any program: its encoding is known by its mark or by whether it is UTF-8, else it is Windows-1251;
of the dividers the one that shows the most of the wanted columns is right.
"""

from __future__ import annotations

import codecs
import csv
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from bus.errors import POISON, BadInput

Row = list[str]
Wanted = Callable[[Sequence[str]], int]
"""How many of the wanted columns a row names: by that the header is known."""

_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_DIVIDERS = ";\t,|"
_BLOCK = 1 << 20
_HEADER_WITHIN = 30
"""Rows: titles, dates and blanks stand above the header of a report."""
_OLD_EXCEL, _ZIP = b"\xd0\xcf\x11\xe0", b"PK"
_MOST_STRINGS, _MOST_UNPACKED, _MOST_RATIO = 256_000_000, 10_000_000, 200
"""Bytes: openpyxl holds all shared strings at once; a sheet this large that was packed this small is no sheet."""
_DAMAGED = (
    *(*POISON, AttributeError, OSError, RuntimeError, SyntaxError, EOFError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""What openpyxl, its XML parser and zipfile raise for a file that is not as it should be: whatever their insides do."""
_WHOLE_DIGITS = 1e15


@dataclass(slots=True)
class Sheet:
    """A file that is being read: the header, the rows below it, and how far the reading has come."""

    header: Row
    rows: Iterator[tuple[int, Row]]
    """Each with its number in the file, blank ones left out."""
    size: int | None
    """Bytes to read, where that tells anything."""
    at: Callable[[], int] = field(default=lambda: 0)
    """Bytes read so far."""


@contextmanager
def opened(path: Path, wanted: Wanted, sheet: str | None = None) -> Iterator[Sheet]:
    """A file's first sheet with a header, or the named one. Raises BadInput when it is no table that we know of."""
    with path.open("rb") as source:
        head = source.read(8)
        source.seek(0)
        if head.startswith(_OLD_EXCEL):
            raise BadInput(f"{path}: an old .xls, or one that asks for a password; save it as .xlsx or .csv")
        if head.startswith(_ZIP):
            with _workbook(path, source, wanted, sheet) as found:
                yield found
        elif sheet is not None:
            raise BadInput(f"{path}: only an .xlsx has sheets", field="sheet")
        else:
            with _csv(path, source, wanted) as found:
                yield found


# --- CSV --------------------------------------------------------------------------------------------------------------


@contextmanager
def _csv(path: Path, source: BinaryIO, wanted: Wanted) -> Iterator[Sheet]:
    encoding = _encoding(source)
    divider = _divider(_head(source, encoding), wanted)
    with _text_of(source, encoding) as stream:
        header, below = _below(enumerate(_records(stream, divider, path), 1), wanted, path)
        yield Sheet(header, below, path.stat().st_size, source.tell)


def _head(source: BinaryIO, encoding: str) -> list[str]:
    with _text_of(source, encoding) as stream:
        return list(islice(stream, _HEADER_WITHIN))


@contextmanager
def _text_of(source: BinaryIO, encoding: str) -> Iterator[io.TextIOWrapper]:
    """The file as text, from its beginning. The file stays open: a wrapper that is forgotten would close it."""
    source.seek(0)
    stream = io.TextIOWrapper(source, encoding, errors="replace", newline="")
    try:
        yield stream
    finally:
        stream.detach()


def _divider(head: Sequence[str], wanted: Wanted) -> str:
    """As Excel's own first line says ("sep=;"), else the one that shows the most of the wanted columns."""
    first = head[0].strip("\ufeff\r\n") if head else ""
    if first.lower().startswith("sep=") and len(first) == len("sep=;"):
        return first[-1]
    return max(_DIVIDERS, key=lambda one: max(map(wanted, _records(iter(head), one)), default=0))


def _encoding(source: BinaryIO) -> str:
    """By the mark at its beginning, or by whether all of it is UTF-8."""
    block = source.read(_BLOCK)
    if marked := next((name for bom, name in _BOMS.items() if block.startswith(bom)), None):
        return marked
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block:
            decoder.decode(block)
            block = source.read(_BLOCK)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1251"
    return "utf-8"


def _records(lines: Iterator[str], divider: str, path: Path | None = None) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=divider)
    try:
        for record in reader:
            yield [cell.strip() for cell in record]
    except csv.Error as error:
        if path is None:  # only the beginning was tried
            return
        raise BadInput(f"{path}, line {reader.line_num}: {error}; is a quotation mark opened and not closed?") from None


# --- XLSX -------------------------------------------------------------------------------------------------------------


@contextmanager
def _workbook(path: Path, source: BinaryIO, wanted: Wanted, name: str | None) -> Iterator[Sheet]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and validations that it leaves out
        with _read_as_xlsx(path):
            _refuse_bombs(path, source)
            import openpyxl  # noqa: PLC0415 - 50 ms and 14 MB in each process, for who reads a workbook

            book = openpyxl.load_workbook(source, read_only=True, data_only=True)
        try:
            with _read_as_xlsx(path):
                title = _title(path, book, wanted, name)
            header, below = _below(enumerate(_texts(path, book[title]), 1), wanted, path)
            yield Sheet(header, below, None)
        finally:
            book.close()


@contextmanager
def _read_as_xlsx(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise BadInput(
            f"{path}: not an .xlsx that can be read ({type(error).__name__}); save it anew, or as .csv"
        ) from None


def _refuse_bombs(path: Path, source: BinaryIO) -> None:
    with zipfile.ZipFile(source) as packed:
        for part in packed.infolist():
            small = part.file_size > _MOST_UNPACKED and part.file_size > _MOST_RATIO * max(part.compress_size, 1)
            if small or (part.filename.endswith("sharedStrings.xml") and part.file_size > _MOST_STRINGS):
                raise BadInput(f"{path}: unpacks to more than is sound; save it as .csv")


def _title(path: Path, book: Any, wanted: Wanted, name: str | None) -> str:
    """The sheet of this name, or the first that is shown and has a header; the first of all where none has."""
    if name is not None:
        if name not in book.sheetnames:
            raise BadInput(f"{path}: no sheet {name!r}; there are: {', '.join(book.sheetnames)}", field="sheet")
        return name
    for sheet in book.worksheets:
        head = islice(_texts(path, sheet), _HEADER_WITHIN)
        if sheet.sheet_state == "visible" and any(map(wanted, head)):
            return str(sheet.title)
    if not book.worksheets:
        raise BadInput(f"{path}: has no sheet with cells")
    return str(book.worksheets[0].title)


def _texts(path: Path, sheet: Any) -> Iterator[Row]:
    sheet.reset_dimensions()  # what a file says of its size is often wrong, and then rows would be missing
    with _read_as_xlsx(path):
        for cells in sheet.iter_rows(values_only=True):
            yield [_text(value) for value in cells]


def _text(value: Any) -> str:
    """A cell as it would stand in a CSV: whole numbers without a point, days and times as ISO 8601."""
    match value:
        case None:
            return ""
        case bool():
            return "да" if value else "нет"
        case float():
            return _number(value)
        case datetime():
            return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ", timespec="seconds")
        case date():
            return value.isoformat()
    return str(value).strip()


def _number(value: float) -> str:
    """Without the dust of binary fractions."""
    if value != value or abs(value) == float("inf"):  # noqa: PLR0124 - not a number
        return ""
    exact = Decimal(repr(value)) if abs(value) >= _WHOLE_DIGITS else Decimal(repr(round(value, 6)))
    return format(exact, "f").rstrip("0").rstrip(".") if exact % 1 else format(exact, ".0f")


# --- both -------------------------------------------------------------------------------------------------------------


def _below(rows: Iterator[tuple[int, Row]], wanted: Wanted, path: Path) -> tuple[Row, Iterator[tuple[int, Row]]]:
    """The row that names the most of the wanted columns, and all that is not blank below it.

    Raises BadInput when no row near the beginning names any.
    """
    first = list(islice(rows, _HEADER_WITHIN))
    best = max(range(len(first)), key=lambda at: (wanted(first[at][1]), -at), default=None)
    if best is None or not wanted(first[best][1]):
        raise BadInput(
            f"{path}: none of its first {_HEADER_WITHIN} rows names a known column; say with --map which is which"
        )
    return first[best][1], (row for row in chain(first[best + 1 :], rows) if any(row[1]))
