"""Parsers under fuzz: bytes in; what is read is whole and accounted for, what is refused is refused in words."""

from __future__ import annotations

import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from lxml import etree

from bus import exchange_archives, statements
from bus.envelope import Event, has_nul
from bus.errors import BadInput
from bus.files import columns, rows
from bus.files.rows import Told
from bus.files.takers import Counterparties
from bus.intake import php_form, strict_json
from bus.intake.problems import Refused
from bus.ports import Accepted
from bus.systems import bank_lines, bank_statement, commerceml_shape, sheets
from bus.systems.commerceml import BrokenFile, Document, Reader
from bus.systems.commerceml_text import Utf8
from tests.fuzz import seeds
from tests.fuzz.target import Check, Target, must

REFUSED, TAKEN = "refused", "taken"
ZONE = ZoneInfo("Europe/Moscow")


def _plain(check: Check) -> Callable[[], Any]:
    """A check that needs nothing to be opened."""

    @contextmanager
    def opened() -> Iterator[Check]:
        yield check

    return opened


# --- CommerceML -------------------------------------------------------------------------------------------------------


def commerceml(data: bytes) -> str:
    """Read whole and in pieces it is the same; of a whole file no text of a document is lost."""
    whole, error = _documents([data])
    size = 1 + (len(data) + sum(data[:8])) % 97
    pieces, again = _documents(data[at : at + size] for at in range(0, len(data), size))
    both = min(len(whole), len(pieces)) if error else max(len(whole), len(pieces))
    must(
        [_said(one) for one in whole[:both]] == [_said(one) for one in pieces[:both]],
        "pieces tell other documents than the whole",
    )
    must(bool(error) == bool(again), "broken whole and whole in pieces, or the other way round")
    for one in whole:
        json.dumps(one.raw).encode()
        must(not has_nul(one.raw), "a NUL came through")
    if error:
        must(str(error), "refused without a word")
        return REFUSED
    _account(data, whole)
    return TAKEN


def _documents(chunks: Iterable[bytes]) -> tuple[list[Document], BrokenFile | None]:
    found: list[Document] = []
    try:
        found.extend(Reader(chunks))
    except BrokenFile as error:
        return found, error
    return found, None


def _said(one: Document) -> tuple[object, ...]:
    return one.type, one.id, one.raw, one.removed, one.error, dict(one.mapped), dict(one.unmapped)


def _account(data: bytes, found: Iterable[Document]) -> None:
    """Every text that stands in a document, by another reading of the file, stands in a raw record too."""
    text = b"".join(Utf8([data]))
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
    )
    root = etree.fromstring(text, parser)
    there = Counter(value for record in _records(root) for value in _texts(record))
    kept = Counter(value for one in found for value in _values(one.raw))
    lost = there - kept
    must(not lost, f"{sum(lost.values())} texts of documents are in no record")


def _records(root: Any) -> Iterator[Any]:
    for part in root:
        if _local(part) == "Документ":
            yield part
        elif _local(part) == "Контейнер":
            yield from part
        elif _local(part) == "Контрагенты":
            yield from (one for one in part if _local(one) == "Контрагент")


def _texts(record: Any) -> Iterator[str]:
    """Texts of elements that hold nothing else, a requisite's name apart, and of attributes."""
    for element in record.iter():
        own = {_name(name): str(value).strip() for name, value in element.attrib.items()}
        if element is record:  # names of ours come first
            own = {name: value for name, value in own.items() if name not in ("profile", "version", "read_at")}
        text = (element.text or "").strip() if len(element) == 0 else ""
        named = _local(element) == "Наименование" and _local(_above(element)) == commerceml_shape.REQUISITES
        yield from (value for value in [*own.values(), "" if named else text] if value)


def _values(raw: Any) -> Iterator[str]:
    if isinstance(raw, str):
        yield raw
    for inner in raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ():
        yield from _values(inner)


def _above(element: Any) -> Any:
    """What it is in, and that is in."""
    return element.getparent().getparent() if element.getparent() is not None else None


def _local(element: Any) -> str:
    return _name(element.tag) if element is not None else ""


def _name(name: Any) -> str:
    return str(name).rpartition("}")[2]


# --- bank statements --------------------------------------------------------------------------------------------------


def statement(data: bytes) -> str:
    """Each document is read, or its fault is told; each line is read, counted as unread, or told of."""
    try:
        found = bank_statement.read(io.BytesIO(data))
    except BadInput as error:
        must(str(error), "refused without a word")
        return REFUSED
    sections = [one for one in bank_lines.read(data).sections if one.is_document]
    must(len(sections) == len(found.documents) + len(found.faults), "a document is neither read nor a fault")
    said = sum(len({key for key in one.values if one.first(key)}) for one in sections)
    must(said <= sum(found.unread.values()) + sum(map(_read_of, sections)), "a key is neither read nor unread")
    for one in found.documents:
        must(one.amount.is_finite() and one.amount >= 0, "a sum that is none")
        must(one.amount == round(one.amount, 2), "parts of a cent")
        _payment(one, frozenset(found.accounts))
    return TAKEN


def _read_of(section: bank_lines.Section) -> int:
    return sum(key in bank_statement._READ["document"] and bool(section.first(key)) for key in section.values)


def _payment(one: Any, own: frozenset[str]) -> None:
    """What a document is to us; a payment becomes an event, or is refused by itself."""
    way = statements.way_of(one, own)
    if way in (statements.Way.IN, statements.Way.BACK):
        try:
            event = statements._payment(one, way, ZONE).event("bank", None)
        except BadInput:
            return
        must(Decimal(event.data["amount"]["amount"]) == one.amount, "another sum than the bank's")


# --- forms and JSON ---------------------------------------------------------------------------------------------------


def form(data: bytes) -> str:
    """What is taken can be written again and read to the same."""
    try:
        found = php_form.parse(data)
    except Refused as refused:
        must(refused.status == 400, "refused with another status")
        return REFUSED
    again = php_form.parse("&".join(_pairs(found)).encode())
    must(again == found, "written and read again it is another form")
    return TAKEN


def _pairs(node: Any, path: str = "") -> Iterator[str]:
    for key, value in node.items():
        quoted = quote(key, safe="")
        here = f"{path}[{quoted}]" if path else quoted
        if isinstance(value, dict):
            yield from _pairs(value, here)
        else:
            yield f"{here}={quote(value, safe='')}"


def strict(data: bytes) -> str:
    """What is taken is what any reader takes it for, can be stored, and is not deep."""
    try:
        text = data.decode()
        found = strict_json.loads(text, root="events")
    except (UnicodeDecodeError, Refused, BadInput):
        return REFUSED
    written = json.dumps(found, ensure_ascii=False)
    written.encode()
    must(not has_nul(found), "a NUL came through")
    must(strict_json.loads(written) == found, "written and read again it is another document")
    must(json.loads(text) == found, "another reader takes it for something else")
    return TAKEN


# --- archives and tables ----------------------------------------------------------------------------------------------

MOST = 2_000_000


def archive(data: bytes) -> str:
    """Names lead nowhere; what comes out is no more than was allowed, and nothing comes out of what is damaged."""
    total = 0
    try:
        for name, pieces in exchange_archives.files([data], lambda _: True, most=MOST):
            must(".." not in name.split("/") and not name.startswith("/"), "a way out of the folder")
            must(len(name) <= 255 and name.isprintable() | all(ord(one) > 31 for one in name), "a name that is none")
            total += sum(map(len, pieces))
    except BadInput:
        must(total <= MOST, "more came out than was allowed")
        return REFUSED
    must(total <= MOST, "more came out than was allowed")
    return TAKEN


@dataclass
class _Shelf:
    """A door that only counts."""

    taken: int = 0

    def publish(self, events: Any) -> Accepted:
        self.taken += len(events)
        return Accepted(len(events), 0)


TOLD = Told("books", datetime(2026, 10, 5, tzinfo=UTC), ZONE)


@contextmanager
def tables() -> Iterator[Check]:
    """A file in a folder of its own, as a person names one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"

        def check(data: bytes) -> str:
            path.write_bytes(data)
            return table(path)

        yield check


def table(path: Path) -> str:
    """Each column is placed or named as unread; each row is taken or handed back with a reason."""
    try:
        with sheets.opened(path, columns.wanted("counterparties", {})) as sheet:
            found = list(sheet.rows)
            placed = columns.placed("counterparties", sheet.header, {})
            named = {at for places in placed.places.values() for at in places}
            must(len(named) + len(placed.unread) == sum(map(bool, sheet.header)), "a column is lost")
            money = columns.placed("payments", sheet.header, {})
    except BadInput as error:
        must(str(error), "refused without a word")
        return REFUSED
    shelf = _Shelf()
    batch = Counterparties(shelf, placed, TOLD).take(found)
    must(batch.read == len(found) == shelf.taken + len(batch.rejects), "a row is neither taken nor handed back")
    for row in found:
        _as_payment(money.texts(row[1]))
    return TAKEN


def _as_payment(texts: Any) -> None:
    try:
        event = rows.payment(texts, TOLD).event("books", None)
    except BadInput:
        return
    must(isinstance(event, Event), "no event")


# --- all --------------------------------------------------------------------------------------------------------------

_XML_WORDS = [
    word.encode()
    for word in (
        "<Документ>", "</Документ>", "<Контейнер>", "</Контейнер>", "<Контрагенты>", "</Контрагенты>", "<Контрагент>",
        "</Контрагент>", "<Ид>1</Ид>", "<Номер>236</Номер>", "<ХозОперация>Заказ товара</ХозОперация>", "<Товары>",
        "</Товары>", "<Товар>", "</Товар>", "<ЗначенияРеквизитов>", "</ЗначенияРеквизитов>", "<ЗначениеРеквизита>",
        "</ЗначениеРеквизита>", "<Наименование>Отменен</Наименование>", "<Значение>true</Значение>", "<Налоги/>",
        "<ПодчиненныеДокументы>", "</ПодчиненныеДокументы>", "<ПодчиненныйДокумент>", "<Основание>1</Основание>",
        "<ХозОперация>Эквайринговая операция</ХозОперация>", ' a="1"', ' xmlns="urn:x"', "<!--", "-->", "<![CDATA[",
        "]]>", "<!DOCTYPE a [", "<!ENTITY b 'c'>", "&b;", "&#1;", "&#xFFFF;", "\ufeff", "<?xml encoding='utf-16'?>",
        "<Классификатор>", "<Каталог>", "<ПометкаУдаления>true</ПометкаУдаления>", "<НомерВерсии>9</НомерВерсии>",
    )
]  # fmt: skip
_BANK_WORDS = [
    word.encode("cp1251")
    for word in (
        "1CClientBankExchange\r\n", "СекцияДокумент=", "КонецДокумента\r\n", "СекцияРасчСчет\r\n", "КонецРасчСчет\r\n",
        "КонецФайла", "Сумма=", "Дата=05.10.2026", "Кодировка=DOS", "Номер=", "ПлательщикСчет=", "ПолучательСчет=",
        "НазначениеПлатежа=", "ПлательщикИНН=", "1+1", "-0", "99999999999999999", "0.001", "31.02.2026", "//",
    )
]  # fmt: skip
_JSON_WORDS = [
    b'"\\u0000"',
    b'"\\ud800"',
    b"\\u",
    b"1e999",
    b"-0",
    b"[[[[",
    b"]]]]",
    b'{"a":1,"a":2}',
    b"NaN",
    b"9" * 20,
]
_FORM_WORDS = [
    b"[",
    b"]",
    b"[]",
    b"&",
    b"=",
    b"%00",
    b"%",
    b"%5B",
    b"%5D",
    b"a[0]=1",
    b"auth[application_token]=",
    b"+",
]
_TABLE_WORDS = [
    b";",
    b"\r\n",
    b'"',
    "ИНН;КПП;Наименование\r\n".encode(),
    b"sep=,",
    b"\xff\xfe",
    b"\x00",
    b"1e400",
]
_ZIP_WORDS = [
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"../",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
]

TARGETS = [
    Target(
        "commerceml",
        "read in pieces as in one; refused by BrokenFile alone; every text of a document is in a record",
        _plain(commerceml),
        seeds.commerceml,
        _XML_WORDS,
    ),
    Target(
        "statement",
        "refused by BadInput alone; each document is read or a fault, each key read or unread",
        _plain(statement),
        seeds.bank,
        _BANK_WORDS,
    ),
    Target("form", "refused with 400 alone; written again it is the same", _plain(form), seeds.forms, _FORM_WORDS),
    Target(
        "strict_json",
        "refused with 400 or 422 alone; any reader takes it for the same, and it can be stored",
        _plain(strict),
        seeds.documents,
        _JSON_WORDS,
    ),
    Target(
        "archive",
        "refused by BadInput alone; never more than allowed comes out; no name leads out of its folder",
        _plain(archive),
        seeds.archives,
        _ZIP_WORDS,
    ),
    Target(
        "csv",
        "refused by BadInput alone; each column is placed or unread, each row taken or handed back",
        tables,
        seeds.csv_files,
        _TABLE_WORDS,
    ),
    Target(
        "xlsx",
        "as csv",
        tables,
        seeds.xlsx_files,
        [*_ZIP_WORDS, b"<row>", b"</row>", b"<c t='s'>", b"<v>9</v>", b"sharedStrings.xml"],
    ),
]
