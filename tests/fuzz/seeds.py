"""Seeds: real files to begin with, from the golden samples and from the stand-in systems themselves."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import openpyxl

from bus.sandbox.onec import Base, cml_catalog, predefined
from bus.sandbox.onec.cml_books import SITE_ID, extras
from bus.sandbox.onec.cml_faults import Faults
from bus.sandbox.onec.cml_outgoing import Outgoing
from bus.sandbox.onec.cml_registry import Registry
from bus.sandbox.onec.cml_settings import Settings
from bus.sandbox.onec.statement import Style, movements, write
from tests.bus.systems import statements

GOLDEN = Path(__file__).parents[1] / "mappings" / "golden"
PROFILES = ("ut", "unf", "bus")
PARTY = {
    "name": "Ромашка",
    "full_name": 'ООО "Ромашка"',
    "inn": "7707083893",
    "kpp": "773601001",
    "phones": ["+79120000100"],
    "accounts": [{"account": "40702810423000009235", "bic": "045004774"}],
}


@cache
def base() -> Base:
    """A stand-in 1C with a sold, paid and half given back order."""
    made = Base(clock=lambda: 1_790_000_000.0)
    came = {
        predefined.SITE_NUMBER: ("10057", "String"),
        predefined.SITE_DATE: ("2026-09-01T10:00:00", "DateTime"),
        SITE_ID: ("bus-10057", "String"),
    }
    lines = [{"name": "Чайник", "price": 600, "quantity": 2}]
    order = made.act(
        {
            "do": "create_order",
            "new_counterparty": PARTY,
            "lines": lines,
            "fields": {"ДополнительныеРеквизиты": extras(came)},
        }
    )
    paid = {"order": order["id"], "amount": 500, "number": "17", "date": "2026-10-05T12:00:00", "purpose": "Оплата"}
    made.act({"do": "create_payment", **paid})
    made.act({"do": "create_refund", **paid, "amount": 200, "number": "3"})
    return made


def commerceml() -> list[bytes]:
    """Orders, counterparties and goods as UT, UNF and the module write them."""
    found = [file.read_bytes() for file in sorted((GOLDEN / "commerceml").glob("*.xml"))]
    for profile in PROFILES:
        node = Settings.of(profile)
        outgoing = Outgoing(base(), profile, node, Registry(base(), profile), Faults())
        found += [one.content for one in outgoing.files(uuid.UUID(int=1, version=4))]
    found += cml_catalog.files(base().objects, outgoing.now()).values()
    return [*found, *(one.decode().encode("cp1251") for one in found[:2])]


def bank() -> list[bytes]:
    """Statements of a stand-in's money in every version and encoding, and those of the tests."""
    moved, accounts = movements(base())
    styles = [Style(), Style(version="1.02", encoding="cp866"), Style(encoding="utf-8-sig")]
    days = {"since": date(2026, 10, 1), "until": date(2026, 10, 31)}
    mine = [statements.raw(statements.document(), statements.paid(), accounts=statements.balance())]
    return mine + [write(moved, accounts, style=style, **days) for style in styles]


TABLE = [
    ["ИНН", "КПП", "Наименование", "Телефон", "E-mail", "Сумма", "Дата", "Номер", "Назначение", "Заказ", "Статус"],
    ["7707083893", "773601001", "Роза, и К", "8 912 000-01-00", "a@b.ru", "1 234,50", "05.10.2026", "17", "Оплата"],
    ["500100732259", "", "ИП Лютиков", "", "", "100", "2026-10-05", "18", "Возврат", "236", "возврат"],
]


def csv_files() -> list[bytes]:
    """A table by every divider and in every encoding."""
    plain = [(";", "cp1251"), (",", "utf-8"), ("\t", "utf-16"), ("|", "utf-8-sig")]
    return ["\r\n".join(divider.join(row) for row in TABLE).encode(codec) for divider, codec in plain]


def xlsx_files() -> list[bytes]:
    """The same as a workbook, as a library writes it, and with its texts apart, as Excel does."""
    book = openpyxl.Workbook()
    for row in TABLE:
        book.worksheets[0].append(row)
    made = io.BytesIO()
    book.save(made)
    texts = list(dict.fromkeys(cell for row in TABLE for cell in row))
    rows = "".join(f"<row>{''.join(_shared(texts.index(cell)) for cell in row)}</row>" for row in TABLE)
    shared = "".join(f"<si><t>{text}</t></si>" for text in texts)
    sheet = f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>".encode()
    strings = f"<sst {MAIN}>{shared}</sst>".encode()
    return [made.getvalue(), workbook(made.getvalue(), sheet1=sheet, sharedStrings=strings)]


MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_STRINGS = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"


def _shared(at: int) -> str:
    return f'<c t="s"><v>{at}</v></c>'


def workbook(plain: bytes, **parts: bytes) -> bytes:
    """A workbook with parts of it replaced, by the first word of their names; shared strings are added."""
    made = io.BytesIO()
    override = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{_STRINGS}"/></Types>'.encode()
    with zipfile.ZipFile(io.BytesIO(plain)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = parts.get(Path(name).stem.strip("[]"), old.read(name))
            new.writestr(name, content.replace(b"</Types>", override) if "sharedStrings" in parts else content)
        if "sharedStrings" in parts:
            new.writestr("xl/sharedStrings.xml", parts["sharedStrings"])
    return made.getvalue()


def archives() -> list[bytes]:
    """Archives of exchange files: packed, stored, in folders, with names in two encodings."""
    return [_packed(zipfile.ZIP_DEFLATED), _packed(zipfile.ZIP_STORED)]


def _packed(method: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("webdata/заказы.xml", b"<a>" * 50)
        archive.writestr("orders-1.xml", b"<b/>" * 50)
        archive.writestr("../import.xml", b"")
        archive.writestr("pictures/a.jpg", b"\xff\xd8")
    return made.getvalue()


def forms() -> list[bytes]:
    """A portal's webhooks."""
    return [
        b"event=ONCRMDEALUPDATE&data%5BFIELDS%5D%5BID%5D=759&ts=1736405807&auth%5Bapplication_token%5D=token&auth%5Bx%5D=1",
        b"event=ONCRMADDRESSREGISTER&data[FIELDS][ANCHOR_TYPE_ID]=4&data[FIELDS][ANCHOR_ID]=12&a[]=1&a[]=2&a[x][]=+%20",
    ]


EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "bank",
    "type": "payment.changed",
    "subject": "payment/236",
    "time": "2026-03-01T11:59:00Z",
    "data": {"amount": {"amount": "1990.00", "currency": "RUB"}, "order": {"number": "236"}, "status": "paid"},
}


def documents() -> list[bytes]:
    """Events, shop orders and odd JSON."""
    golden = [json.loads(file.read_text(encoding="utf-8"))["raw"] for file in sorted(GOLDEN.glob("*.json"))[:4]]
    odd: list[Any] = [[EVENT, EVENT], {"a": [1.5, -2e10, True, None, "\u0416\u2028"]}, "x"]
    return [json.dumps(one, ensure_ascii=bool(at % 2)).encode() for at, one in enumerate([EVENT, *odd, *golden])]
