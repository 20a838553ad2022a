"""Files made to hurt: entities, bombs, lies about sizes, depth, and texts that take a reader forever."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest

from bus import exchange_archives
from bus.errors import BadInput
from bus.exchange_names import cleaned
from bus.files import columns
from bus.systems import bank_statement, sheets, written
from bus.systems.commerceml import BrokenFile, Document, Reader
from tests.bus.exchanging import file_of, returned
from tests.bus.hostile import bounded
from tests.bus.systems import statements
from tests.fuzz import seeds


def read(body: bytes) -> list[Document]:
    return list(Reader([body]))


def complaint(body: bytes) -> str:
    """Why the file is refused; nothing where it is taken."""
    try:
        read(body)
    except BrokenFile as broken:
        return str(broken)
    return ""


# --- XML --------------------------------------------------------------------------------------------------------------

ROOT = '<КоммерческаяИнформация ВерсияСхемы="2.07">{}</КоммерческаяИнформация>'
LAUGHS = "".join(f'<!ENTITY l{at} "{f"&l{at - 1};" * 10}">' for at in range(1, 12))
DTD = {
    "an external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
    "one from the network": '<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>',
    "a billion laughs": f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>',
    "a quadratic blow-up": f'<!DOCTYPE a [<!ENTITY x "{"a" * 100_000}">]>',
    "parameter entities": '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]>',
    "an external DTD": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">',
    "one behind a long remark": f'<!--{"-a" * 10_000}--><!DOCTYPE a [<!ENTITY x "y">]>',
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1251"])
@pytest.mark.parametrize("dtd", DTD.values(), ids=DTD.keys())
def test_a_document_type_is_refused_whatever_it_is_for_and_however_it_is_written(dtd: str, encoding: str) -> None:
    body = f'<?xml version="1.0" encoding="{encoding}"?>{dtd}{ROOT.format("&x;&l11;" * 1000)}'.encode(encoding)
    with bounded(), pytest.raises(BrokenFile, match="DTD"):
        read(body)


def test_an_entity_that_nobody_declared_is_refused() -> None:
    with bounded(), pytest.raises(BrokenFile, match="undeclared entity"):
        read(ROOT.format("<Документ><Ид>&x;</Ид></Документ>").encode())


DEEP = {
    "elements in elements": "<a>" * 100_000,
    "documents in documents": "<Документ>" * 100_000,
    "a remark without an end": "<!--" + "-" * 1_000_000,
    "many attributes": "<Документ " + " ".join(f'a{at}="1"' for at in range(100_000)) + "/>",
    "one long name": "<" + "a" * 1_000_000 + "/>",
    "many namespaces": "<Документ " + " ".join(f'xmlns:a{at}="urn:{at}"' for at in range(5_000)) + "/>",
    "one long text": "<Документ><Ид>" + "1" * 12_000_000 + "</Ид></Документ>",
}


@pytest.mark.parametrize("inside", DEEP.values(), ids=DEEP.keys())
def test_xml_without_measure_ends_soon(inside: str) -> None:
    with bounded(seconds=4.0):
        said = complaint(ROOT.format(inside).encode())
    assert len(said) < 20_000


@pytest.mark.parametrize(
    "name", ["zlib", "hex", "bz2", "base64", "idna", "unicode_escape", "utf-7", "utf-16", "utf-32"]
)
def test_an_encoding_that_unpacks_or_is_no_text_is_not_followed(name: str) -> None:
    """The bytes are none of UTF-8, so that the declaration is looked at."""
    body = f'<?xml version="1.0" encoding="{name}"?>'.encode() + ROOT.format("").encode("cp1251")
    with bounded():
        assert read(body) == []


REPEATED = {
    "a second list of goods": "<Товары><Товар><Ид>1</Ид></Товар></Товары><Товары><Товар><Ид>2</Ид></Товар></Товары>",
    "a second block of requisites": "".join(
        f"<ЗначенияРеквизитов><ЗначениеРеквизита><Наименование>{name}</Наименование><Значение>{said}</Значение>"
        "</ЗначениеРеквизита></ЗначенияРеквизитов>"
        for name, said in (("Отменен", "1"), ("Оплачен", "2"))
    ),
    "two values in one requisite": "<ЗначенияРеквизитов><ЗначениеРеквизита><Наименование>Отменен</Наименование>"
    "<Значение>1</Значение><Значение>2</Значение></ЗначениеРеквизита></ЗначенияРеквизитов>",
    "a requisite in place of its parts": "<ЗначенияРеквизитов><ЗначениеРеквизита>1</ЗначениеРеквизита>"
    "<ЗначениеРеквизита к='2'/></ЗначенияРеквизитов>",
    "text and marks of lists": "<Налоги к='1'>2</Налоги>",
    "attributes of a value": "<ЗначенияРеквизитов><ЗначениеРеквизита><Наименование>Отменен</Наименование>"
    "<Значение к='1'>2</Значение></ЗначениеРеквизита></ЗначенияРеквизитов>",
}


@pytest.mark.parametrize("inside", REPEATED.values(), ids=REPEATED.keys())
def test_what_stands_in_an_odd_place_is_kept_or_counted(inside: str) -> None:
    [document] = read(ROOT.format(f"<Документ>{inside}</Документ>").encode())
    said = str(document.raw)
    assert "'1'" in said
    assert "'2'" in said


def test_a_namespace_that_is_no_address_breaks_nothing() -> None:
    body = ROOT.format("<Документ><Ид>1</Ид></Документ>").replace("ВерсияСхемы", 'xmlns="a}b c" ВерсияСхемы')
    assert "not well-formed" in complaint(body.encode())


# --- archives ---------------------------------------------------------------------------------------------------------


def packed(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, body in files:
            archive.writestr(name, body)
    return made.getvalue()


def unpacked(body: bytes, most: int = 50_000_000) -> dict[str, int]:
    return {
        name: sum(map(len, pieces))
        for name, pieces in exchange_archives.files([body], lambda name: name.endswith(".xml"), most=most)
    }


def test_a_bomb_is_refused_before_much_of_it_is_unpacked() -> None:
    with bounded(megabytes=50), pytest.raises(BadInput, match="300 bytes"):
        unpacked(packed(("a.xml", bytes(40_000_000))))


def test_many_small_bombs_together_have_a_limit() -> None:
    with bounded(megabytes=50), pytest.raises(BadInput, match="holds more than"):
        unpacked(packed(*((f"{at}.xml", bytes(9_000_000)) for at in range(10))))


def test_an_archive_in_an_archive_stays_packed() -> None:
    inner = packed(("a.xml", bytes(9_000_000)))
    with bounded():
        assert unpacked(packed(("inner.zip", inner), ("b.xml", b"<a/>"))) == {"b.xml": 4}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_way_of_packing_is_refused_unseen(method: int) -> None:
    with bounded(), pytest.raises(BadInput, match="deflate"):
        unpacked(packed(("a.xml", b"<a/>"), method=method))


@pytest.mark.parametrize("size", [0, 1, 0x7FFFFFFF, 0xFFFFFFFE])
def test_a_lie_about_a_size_is_refused_or_shows_no_more_than_there_is(size: int) -> None:
    body = bytearray(packed(("a.xml", b"<a/>" * 100)))
    at = body.rindex(b"PK\x01\x02")
    body[at + 24 : at + 28] = struct.pack("<I", size)
    with bounded():
        try:
            found = unpacked(bytes(body))
        except BadInput:
            return
    assert found["a.xml"] <= 400


def test_a_file_without_a_name_is_passed_over() -> None:
    body = packed(("a.xml", b"<a/>")).replace(b"a.xml", b"\x00.xml")
    assert unpacked(body) == {}


ODD_NAMES = {
    "../../etc/passwd": "etc/passwd",
    "..\\..\\boot.ini": "boot.ini",
    "/etc/passwd": "etc/passwd",
    "//host/share/a.xml": "host/share/a.xml",
    "a/./../b.xml": "a/b.xml",
    "....//a.xml": "..../a.xml",
    "a\x00.xml": "a.xml",
    " .. /a.xml": "a.xml",
    "C:\\1C\\tmp\\orders.xml": "C:/1C/tmp/orders.xml",
    "..": "",
    "tmp/../tmp/../x.xml": "tmp/x.xml",
    "%2e%2e/a.xml": "%2e%2e/a.xml",
}


@pytest.mark.parametrize(("name", "kept"), ODD_NAMES.items())
def test_a_name_leads_nowhere(name: str, kept: str) -> None:
    assert cleaned(name) == kept


# --- tables and statements --------------------------------------------------------------------------------------------

WANTED = columns.wanted("counterparties", {})
TEXTS = f'<worksheet {seeds.MAIN}><sheetData><row><c t="s"><v>0</v></c></row></sheetData></worksheet>'.encode()
"""A sheet with one text of those that a workbook has in common."""


def table(folder: Path, body: bytes) -> list[tuple[int, list[str]]]:
    path = folder / "table"
    path.write_bytes(body)
    with sheets.opened(path, WANTED) as found:
        return list(found.rows)


def workbook(**parts: bytes) -> bytes:
    """A workbook with parts of it replaced, by the first word of their names."""
    return seeds.workbook(seeds.xlsx_files()[0], **parts)


BAD_BOOKS = {
    "an unknown attribute": workbook(
        workbook=b'<workbook xmlns="urn:x" a="1"><bookViews><workbookView z="1"/></bookViews></workbook>'
    ),
    "no workbook": workbook(Content_Types=b"<Types/>"),
    "entities": workbook(sheet1=f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><worksheet>&l11;</worksheet>'.encode()),
    "strings that are none": workbook(
        sheet1=TEXTS, sharedStrings=f"<sst {seeds.MAIN}><si><t>&x;</t></si></sst>".encode()
    ),
    "elements in elements": workbook(sheet1=b"<worksheet>" + b"<a>" * 50_000),
    "styles that are none": workbook(styles=b"<styleSheet><cellXfs><xf numFmtId='x'/></cellXfs></styleSheet>"),
}


@pytest.mark.parametrize("body", BAD_BOOKS.values(), ids=BAD_BOOKS.keys())
def test_a_spoiled_workbook_is_refused_in_plain_words(tmp_path: Path, body: bytes) -> None:
    with bounded(), pytest.raises(BadInput, match=r"\.csv|no known|names a known|no sheet"):
        table(tmp_path, body)


def test_a_workbook_of_strings_without_measure_ends_soon(tmp_path: Path) -> None:
    strings = f"<sst {seeds.MAIN}>".encode() + b"<si><t/></si>" * 3_000_000 + b"</sst>"
    with bounded(seconds=4.0, megabytes=100), pytest.raises(BadInput, match="unpacks to more"):
        table(tmp_path, workbook(sheet1=TEXTS, sharedStrings=strings))


@pytest.mark.parametrize(
    "cell", ["T" * 130_000, "1" * 130_000, "1+" * 60_000, "." * 130_000, "05.10.2026 " + "T" * 10_000]
)
def test_a_cell_that_looks_like_a_number_or_a_day_for_ever_is_refused_at_once(cell: str) -> None:
    with bounded(seconds=0.5):
        for parse in (written.amount, written.day):
            with pytest.raises(ValueError, match="not a"):
                parse(cell)


def test_a_purpose_of_lines_without_end_ends_soon() -> None:
    document = statements.document(НазначениеПлатежа="Оплата\n" + "a\n" * 200_000)
    with bounded(seconds=6.0, megabytes=300):
        found = bank_statement.read(io.BytesIO(statements.raw(document)))
    assert len(found.documents[0].purpose) <= 5_002
    assert any("left out" in warning for warning in found.warnings)


def test_a_statement_of_nothing_but_sections_ends_soon() -> None:
    with bounded(seconds=6.0, megabytes=300):
        found = bank_statement.read(io.BytesIO(statements.raw("СекцияДокумент=\n" * 10_000)))
    assert len(found.faults) == 10_000


def test_orders_in_the_thousands_take_no_more_memory_than_one() -> None:
    body = file_of(*(returned(str(number)) for number in range(600)))
    with bounded(seconds=8.0, megabytes=30):
        assert sum(1 for _ in Reader([body])) == 600
