"""Bank statements for tests, put together from documents; invented parties, the public test INN of facts 6."""

from __future__ import annotations

from typing import Any

OURS, OURS_TOO, THEIRS = "40702810400000000001", "40702810700000000002", "40702810900000000077"
INN, KPP = "7707083893", "773601001"


def text(*documents: str, version: str = "1.03", encoding: str = "Windows", accounts: str = "", head: str = "") -> str:
    """A whole file."""
    begin = f"1CClientBankExchange\nВерсияФормата={version}\nКодировка={encoding}\nОтправитель=Банк\n{head}"
    days = f"ДатаНачала=01.10.2026\nДатаКонца=05.10.2026\nРасчСчет={OURS}\n"
    return f"{begin}{days}{accounts}{''.join(documents)}КонецФайла\n"


def raw(*documents: str, codec: str = "cp1251", **changes: Any) -> bytes:
    """The same as a bank writes it: CRLF, in a Windows encoding."""
    return text(*documents, **changes).replace("\n", "\r\n").encode(codec)


def balance(
    opening: str = "1000.00",
    received: str = "0.00",
    paid: str = "0.00",
    closing: str = "1000.00",
    account: str = OURS,
    day: str = "05.10.2026",
) -> str:
    """The section of an account."""
    sums = f"НачальныйОстаток={opening}\nВсегоПоступило={received}\nВсегоСписано={paid}\nКонечныйОстаток={closing}\n"
    return f"СекцияРасчСчет\nДатаНачала={day}\nДатаКонца={day}\nРасчСчет={account}\n{sums}КонецРасчСчет\n"


def document(kind: str = "Платежное поручение", **changes: str | None) -> str:
    """One document: money received from a customer; `changes` by key, None leaves the key out."""
    said: dict[str, str | None] = {
        "Номер": "17",
        "Дата": "05.10.2026",
        "Сумма": "100.00",
        "ПлательщикСчет": THEIRS,
        "ПлательщикИНН": INN,
        "ПлательщикКПП": KPP,
        "Плательщик1": 'ООО "Ромашка"',
        "ПолучательСчет": OURS,
        "ДатаПоступило": "05.10.2026",
        "ПолучательИНН": "500100732259",
        "Получатель1": "ИП Лютиков",
        "ВидОплаты": "01",
        "НазначениеПлатежа": "Оплата по договору",
    } | changes
    lines = "".join(f"{key}={value}\n" for key, value in said.items() if value is not None)
    return f"СекцияДокумент={kind}\n{lines}КонецДокумента\n"


def paid(**changes: str | None) -> str:
    """Money that left our account."""
    return document(
        **{
            "ПлательщикСчет": OURS,
            "ПлательщикИНН": "500100732259",
            "ПлательщикКПП": None,
            "ПолучательСчет": THEIRS,
            "ПолучательИНН": INN,
            "ДатаПоступило": None,
            "ДатаСписано": "05.10.2026",
        }
        | changes
    )
