"""Bank statements as banks write them for 1C (`kl_to_1c.txt`, formats 1.01 to 1.03), with the liberties they take.

`write` makes the bytes of one file out of movements; `movements` takes these from the money documents of a base.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from bus.sandbox.onec import catalogs, documents
from bus.sandbox.onec.base import Base
from bus.sandbox.onec.numbers import exact
from bus.sandbox.onec.schema import ZERO_DATE, Row

ORDER, BANK_ORDER = "Платежное поручение", "Банковский ордер"
VERSIONS = ("1.01", "1.02", "1.03")
_CODES = {ORDER: "01", BANK_ORDER: "17"}
_ENCODINGS = {"cp1251": "Windows", "cp866": "DOS", "utf-8-sig": "Windows"}  # UTF-8 has no name of its own there
_PURPOSE_LINES = 6
_TAIL = (
    "СтатусСоставителя ПоказательКБК ОКАТО ПоказательОснования ПоказательПериода ПоказательНомера ПоказательДаты "
    "ПоказательТипа"
)
_BIC, _CORRESPONDENT, _BANK = "044525225", "30101810400000000225", "БАНК ПЕСОЧНИЦЫ"


@dataclass(frozen=True)
class Side:
    """Whose account money leaves or comes to."""

    account: str
    name: str = ""
    inn: str = ""
    kpp: str = ""
    bic: str = _BIC
    bank: str = _BANK
    correspondent: str = _CORRESPONDENT


@dataclass(frozen=True)
class Movement:
    """One document of a statement. `booked`: when the bank moved the money; by default on the document's own day."""

    number: str
    day: date
    amount: Decimal
    payer: Side
    payee: Side
    purpose: str = ""
    uip: str = ""
    kind: str = ORDER
    booked: date | None = None

    @property
    def on(self) -> date:
        return self.booked or self.day

    def returned(self, number: str, day: date) -> Movement:
        """The same money going back, as a document of its own."""
        purpose = f"Возврат по платежному поручению №{self.number} от {_day(self.day)}"
        turned = {"number": number, "day": day, "payer": self.payee, "payee": self.payer}
        return replace(self, **turned, purpose=purpose, uip="", booked=None)  # type: ignore[arg-type]  # as named


@dataclass(frozen=True)
class Style:
    """A bank's way of writing. The defaults are a big bank's of today."""

    version: str = "1.03"
    encoding: str = "cp1251"
    sections: bool = True  # off: СекцияРасчСчет is missing
    daily: bool = False  # a section for each day instead of one for the period
    long_names: bool = True  # Плательщик=ИНН, имя besides Плательщик1
    purpose_width: int = 0  # the purpose in lines 1 to 6 of this width; 0: whole
    number_digits: int = 0  # numbers are cut to their last digits; 0: whole
    no_credit_date: bool = False  # ДатаПоступило stays empty
    zero_requisites: bool = False  # ИНН and КПП that nobody has are written as zeros
    blank_lines: bool = False  # between the sections
    newline: str = "\r\n"
    total_error: Decimal = field(default=Decimal(0))  # ВсегоПоступило is wrong by it

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ValueError(f"unknown version {self.version!r}; known: {', '.join(VERSIONS)}")
        if self.encoding not in _ENCODINGS:
            raise ValueError(f"unknown encoding {self.encoding!r}; known: {', '.join(_ENCODINGS)}")


DEFAULT = Style()


def write(
    found: Iterable[Movement],
    accounts: Mapping[str, Decimal],
    *,
    since: date,
    until: date,
    style: Style = DEFAULT,
    at: datetime | None = None,
) -> bytes:
    """One file for own accounts (number → balance before `since`) with what was booked from `since` to `until`.

    A transfer between two own accounts stands in it twice: once as it left, once as it came.
    """
    own = [one for one in found if since <= one.on <= until and {one.payer.account, one.payee.account} & set(accounts)]
    lines = [*_head(accounts, since, until, style, at)]
    if style.sections:
        for account, opening in accounts.items():
            lines += _sections(account, opening, own, (since, until), style)
    for one in own:
        for incoming in _ways(one, accounts):
            lines += _document(one, style, incoming=incoming)
    text = style.newline.join([*lines, "КонецФайла", ""])
    return text.encode(style.encoding, errors="replace")


def movements(base: Base) -> tuple[list[Movement], dict[str, Decimal]]:
    """The posted non-cash money of a base, oldest first, and its own accounts with nothing on them before.

    The УИП is the payment identifier of the order that the money is for, as a client copies it from the invoice.
    """
    with base.lock:
        rows = [
            (name, row)
            for name in (documents.RECEIPT.name, documents.WRITE_OFF.name)
            for row in base.objects.rows(name)
            if row["Posted"] and not row["DeletionMark"]
        ]
        own = base.objects.rows(catalogs.ORGANISATION_ACCOUNTS.name)
        found = [_movement(base, name, row) for name, row in rows]
    return sorted(found, key=lambda one: one.on), {row["НомерСчета"]: Decimal(0) for row in own}


def _head(accounts: Iterable[str], since: date, until: date, style: Style, at: datetime | None) -> Iterator[str]:
    yield "1CClientBankExchange"
    yield f"ВерсияФормата={style.version}"
    yield f"Кодировка={_ENCODINGS[style.encoding]}"
    yield "Отправитель=Банк Клиент Онлайн"
    yield "Получатель=1С:Предприятие"
    made = at or datetime.combine(until, datetime.min.time()) + timedelta(hours=23)
    yield f"ДатаСоздания={_day(made)}"
    yield f"ВремяСоздания={made:%H:%M:%S}"
    yield from _period(since, until)
    for account in accounts:
        yield f"РасчСчет={account}"


def _sections(
    account: str, opening: Decimal, own: Sequence[Movement], period: tuple[date, date], style: Style
) -> Iterator[str]:
    since, until = period
    spans = [(since, until)]
    if style.daily:
        days = (until - since).days + 1
        spans = [(since + timedelta(days=number),) * 2 for number in range(days)]
    for begin, end in spans:
        within = [one for one in own if begin <= one.on <= end]
        came = sum((one.amount for one in within if one.payee.account == account), Decimal(0))
        left = sum((one.amount for one in within if one.payer.account == account), Decimal(0))
        yield from _section(account, (begin, end), (opening, came, left), style)
        opening += came - left


def _section(
    account: str, span: tuple[date, date], money: tuple[Decimal, Decimal, Decimal], style: Style
) -> Iterator[str]:
    opening, came, left = money
    if style.blank_lines:
        yield ""
    yield "СекцияРасчСчет"
    yield from _period(*span)
    yield f"РасчСчет={account}"
    yield f"НачальныйОстаток={opening:.2f}"
    yield f"ВсегоПоступило={came + style.total_error:.2f}"
    yield f"ВсегоСписано={left:.2f}"
    yield f"КонечныйОстаток={opening + came - left:.2f}"
    yield "КонецРасчСчет"


def _ways(one: Movement, accounts: Iterable[str]) -> Iterator[bool]:
    """Whether it is written as money that left, that came, or as both."""
    known = set(accounts)
    if one.payer.account in known:
        yield False
    if one.payee.account in known:
        yield True


def _document(one: Movement, style: Style, *, incoming: bool) -> Iterator[str]:
    if style.blank_lines:
        yield ""
    yield f"СекцияДокумент={one.kind}"
    yield f"Номер={one.number[-style.number_digits :] if style.number_digits else one.number}"
    yield f"Дата={_day(one.day)}"
    yield f"Сумма={one.amount:.2f}"
    yield from (f"КвитанцияДата={_day(one.on)}", "КвитанцияВремя=00:00:00", "КвитанцияСодержание=")
    yield from _side("Плательщик", one.payer, style, "ДатаСписано", "" if incoming else _day(one.on))
    credited = _day(one.on) if incoming and not style.no_credit_date else ""
    yield from _side("Получатель", one.payee, style, "ДатаПоступило", credited)
    yield "ВидПлатежа="
    if style.version == "1.03":
        yield "КодНазПлатежа="
    yield f"ВидОплаты={_CODES.get(one.kind, '')}"
    if style.version != "1.01":
        yield f"Код={one.uip}"
    yield from _purpose(one.purpose, style)
    yield from (f"{name}=" for name in _TAIL.split())
    yield "Очередность=5"
    yield "КонецДокумента"


def _side(word: str, side: Side, style: Style, date_key: str, day: str) -> Iterator[str]:
    inn = side.inn or ("0000000000" if style.zero_requisites else "")
    yield f"{word}Счет={side.account}"
    yield f"{date_key}={day}"
    if style.long_names:
        yield f"{word}={f'{side.inn}, ' if side.inn else ''}{side.name}"
    yield f"{word}ИНН={inn}"
    yield f"{word}КПП={side.kpp or ('0' if style.zero_requisites else '')}"
    yield f"{word}1={side.name}"
    yield f"{word}РасчСчет={side.account}"
    yield f"{word}Банк1={side.bank}"
    yield f"{word}Банк2="
    yield f"{word}БИК={side.bic}"
    yield f"{word}Корсчет={side.correspondent}"


def _purpose(text: str, style: Style) -> Iterator[str]:
    """Whole, or cut into lines at words, as the old forms had it."""
    if not style.purpose_width:
        yield f"НазначениеПлатежа={text}"
        return
    yield "НазначениеПлатежа="
    for number, piece in enumerate(_wrapped(text, style.purpose_width), 1):
        yield f"НазначениеПлатежа{number}={piece}"


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width and len(lines) < _PURPOSE_LINES:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _period(since: date, until: date) -> tuple[str, str]:
    return f"ДатаНачала={_day(since)}", f"ДатаКонца={_day(until)}"


def _day(at: date) -> str:
    return f"{at:%d.%m.%Y}"


# out of a base


def _movement(base: Base, name: str, row: Row) -> Movement:
    incoming = name == documents.RECEIPT.name
    number, day = (
        ("НомерВходящегоДокумента", "ДатаВходящегоДокумента")
        if incoming
        else ("НомерПоДаннымБанка", "ДатаПоДаннымБанка")
    )
    own, other = _own_side(base, row), _other_side(base, row)
    return Movement(
        number=row[number] or row["Number"],
        day=_date(row[day] if row[day] != ZERO_DATE else row["Date"]),
        amount=exact(row["СуммаДокумента"]),
        payer=other if incoming else own,
        payee=own if incoming else other,
        purpose=row["НазначениеПлатежа"],
        uip=(row["ИдентификаторПлатежа"] or _identifier(base, row)) if incoming else "",
        booked=_date(row["ДатаПроведенияБанком"] if row["ДатаПроведенияБанком"] != ZERO_DATE else row["Date"]),
    )


def _date(text: str) -> date:
    return date.fromisoformat(text[:10])


def _identifier(base: Base, row: Row) -> str:
    named = (line["ОснованиеПлатежа"] for line in row["РасшифровкаПлатежа"])
    orders = filter(None, (base.objects.row(documents.ORDER.name, key) for key in named))
    return next((str(order["ИдентификаторПлатежа"]) for order in orders), "")


def _own_side(base: Base, row: Row) -> Side:
    account = base.objects.row(catalogs.ORGANISATION_ACCOUNTS.name, row["БанковскийСчет_Key"])
    party = base.objects.row(catalogs.ORGANISATIONS.name, row["Организация_Key"])
    return _described(account or {}, party or {})


def _other_side(base: Base, row: Row) -> Side:
    """The account named in the document, else the party's first, else one that is made up for it."""
    key = row["Контрагент_Key"]
    account = base.objects.row(catalogs.COUNTERPARTY_ACCOUNTS.name, row["БанковскийСчетКонтрагента_Key"])
    of_party = base.objects.find(catalogs.COUNTERPARTY_ACCOUNTS.name, Owner_Key=key)
    made_up = {"НомерСчета": f"407028100{uuid.UUID(key).int % 10**11:011d}"}
    return _described(
        account or (of_party[0] if of_party else made_up), base.objects.row(catalogs.COUNTERPARTIES.name, key) or {}
    )


def _described(account: Row, party: Row) -> Side:
    return Side(
        account=account.get("НомерСчета", ""),
        name=party.get("НаименованиеПолное") or party.get("Description", ""),
        inn=party.get("ИНН", ""),
        kpp=party.get("КПП", ""),
        bic=account.get("БИКБанка") or _BIC,
        bank=account.get("НаименованиеБанка") or _BANK,
        correspondent=account.get("КоррСчетБанка") or _CORRESPONDENT,
    )
