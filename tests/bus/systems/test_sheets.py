import csv
import subprocess
import sys
import zipfile
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest

from bus.errors import BadInput
from bus.files import columns
from bus.systems import sheets

HEADER = ["ИНН", "КПП", "Наименование"]
ROW = ["7707083893", "773601001", "Роза, и К"]
WANTED = columns.wanted("counterparties", {})


def read(path: Path, sheet: str | None = None) -> list[tuple[int, list[str]]]:
    with sheets.opened(path, WANTED, sheet) as found:
        return list(found.rows)


def csv_file(folder: Path, *rows: list[str], codec: str = "utf-8", divider: str = ";") -> Path:
    path = folder / "list.csv"
    with path.open("w", encoding=codec, newline="") as file:
        csv.writer(file, delimiter=divider).writerows(rows)
    return path


def workbook(folder: Path, **of_sheet: list[list[object]]) -> Path:
    book = openpyxl.Workbook(write_only=True)
    for title, rows in of_sheet.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(folder / "list.xlsx")
    return folder / "list.xlsx"


CSV = {
    "cp1251 by semicolons": ("cp1251", ";"),
    "utf-8 by commas": ("utf-8", ","),
    "utf-8 with a mark by tabs": ("utf-8-sig", "\t"),
    "utf-16 by tabs": ("utf-16", "\t"),
    "bars": ("utf-8", "|"),
}


@pytest.mark.parametrize(("codec", "divider"), CSV.values(), ids=CSV.keys())
def test_encoding_and_divider_are_found(tmp_path, codec, divider):
    assert read(csv_file(tmp_path, HEADER, ROW, codec=codec, divider=divider)) == [(2, ROW)]


def test_excels_own_first_line_says_the_divider(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("sep=,\nИНН,Имя;КПП\n1,2\n", encoding="utf-8")
    assert read(path) == [(3, ["1", "2"])]


def test_a_letter_that_is_no_utf8_far_down_makes_the_file_cp1251(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes(b"inn;name\n" + b"1;x\n" * 300_000 + "2;Роза\n".encode("cp1251"))
    assert read(path)[-1] == (300_002, ["2", "Роза"])


def test_a_value_over_several_lines_is_one(tmp_path):
    assert read(csv_file(tmp_path, HEADER, ["1", "2", "Роза\nи К"], ROW)) == [(2, ["1", "2", "Роза\nи К"]), (3, ROW)]


def test_the_header_is_found_below_titles_and_blank_rows_are_left_out(tmp_path):
    rows = [["Контрагенты"], [""], ["на", "05.10.2026"], HEADER, ["", "", ""], ROW]
    assert read(csv_file(tmp_path, *rows)) == [(6, ROW)]


def test_how_far_the_reading_has_come_is_told(tmp_path):
    path = csv_file(tmp_path, HEADER, *[ROW] * 10_000)
    with sheets.opened(path, WANTED) as found:
        next(found.rows)
        early = found.at()
        assert len(list(found.rows)) == 9_999
        assert 0 < early < found.at() == found.size == path.stat().st_size


CELLS = {
    "nothing": (None, ""),
    "text": (" Роза ", "Роза"),
    "a whole number": (7707083893, "7707083893"),
    "a whole number with a point": (7707083893.0, "7707083893"),
    "a sum": (1234.5, "1234.5"),
    "dust of fractions": (0.1 + 0.2, "0.3"),
    "a long number": (4.0702810900000000e19, "40702810900000000000"),
    "a day": (datetime.fromisoformat("2026-10-05T00:00:00"), "2026-10-05"),
    "a moment": (datetime.fromisoformat("2026-10-05T10:28:35"), "2026-10-05 10:28:35"),
    "a day alone": (date(2026, 10, 5), "2026-10-05"),
    "yes": (True, "да"),
}


@pytest.mark.parametrize(("value", "text"), CELLS.values(), ids=CELLS.keys())
def test_a_cell_is_read_as_it_would_stand_in_a_csv(tmp_path, value, text):
    assert read(workbook(tmp_path, one=[HEADER, [value, "x"]])) == [(2, [text, "x"])]


def test_of_several_sheets_the_first_with_a_header_is_read_or_the_named_one(tmp_path):
    path = workbook(tmp_path, about=[["Отчет"]], first=[HEADER, ROW], second=[HEADER, ["1", "2", "3"]])
    assert read(path) == [(2, ROW)]
    assert read(path, "second") == [(2, ["1", "2", "3"])]
    with pytest.raises(BadInput, match="no sheet 'third'; there are: about, first, second"):
        read(path, "third")


def test_what_an_xlsx_says_of_its_own_size_is_not_believed(tmp_path):
    source, target = workbook(tmp_path, one=[HEADER, ROW, ROW]), tmp_path / "small.xlsx"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for part in old.infolist():
            body = old.read(part)
            if part.filename.endswith("sheet1.xml"):
                body = body.replace(b"<sheetData>", b'<dimension ref="A1:A2"/><sheetData>')
            new.writestr(part, body)
    assert read(target) == [(2, ROW), (3, ROW)]


NO_TABLES = {
    "an old excel": (b"\xd0\xcf\x11\xe0\xa1\xb1", "save it as .xlsx or .csv"),
    "a damaged xlsx": (b"PK\x03\x04nothing", "not an .xlsx that can be read"),
    "no header": ("а;б\n1;2\n".encode(), "names a known column"),
    "nothing": (b"", "names a known column"),
    "an open quotation mark": ('ИНН\n"Роза\n'.encode() + b"x" * 200_000, "a quotation mark opened and not closed"),
}


@pytest.mark.parametrize(("content", "why"), NO_TABLES.values(), ids=NO_TABLES.keys())
def test_what_is_no_table_is_refused_in_plain_words(tmp_path, content, why):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=why):
        read(path)


def test_another_kind_of_archive_is_no_xlsx(tmp_path):
    path = tmp_path / "list.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.xml", "<office/>")
    with pytest.raises(BadInput, match=r"not an \.xlsx that can be read"):
        read(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "list.xlsx"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w") as part,
    ):
        for _ in range(110):
            part.write(bytes(1_000_000))
    with pytest.raises(BadInput, match="unpacks to more than is sound"):
        read(path)


def test_an_xlsx_that_breaks_off_is_refused_where_it_does(tmp_path):
    source, target = workbook(tmp_path, one=[HEADER, *[ROW] * 500]), tmp_path / "cut.xlsx"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for part in old.infolist():
            body = old.read(part)
            new.writestr(part, body[: len(body) // 2] if part.filename.endswith("sheet1.xml") else body)
    with pytest.raises(BadInput, match=r"not an \.xlsx that can be read"):
        read(target)


_READ = """
import resource, sys
from pathlib import Path
from bus.files import columns
from bus.systems import sheets
with sheets.opened(Path(sys.argv[1]), columns.wanted("counterparties", {})) as sheet:
    for _ in range(1000):
        next(sheet.rows)
    early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 1000 + sum(1 for _ in sheet.rows)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early)
"""


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_fifty_thousand_rows_are_read_in_constant_memory(tmp_path, kind):
    rows = [HEADER, *([str(7_700_000_000 + number), "773601001", f"Роза {number}"] for number in range(50_000))]
    path = workbook(tmp_path, one=rows) if kind == "xlsx" else csv_file(tmp_path, *rows)
    command = [sys.executable, "-c", _READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(sheets.__file__).parents[2])
    count, grown_kb = map(int, done.stdout.split())
    assert (count, grown_kb < 8_000) == (50_000, True), f"{grown_kb} KB more after the first thousand rows"
