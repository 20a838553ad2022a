"""The base's rows as the exchange sees them: orders with their settlements, parties with their contacts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property

from bus.sandbox import times
from bus.sandbox.onec import catalogs, documents, predefined
from bus.sandbox.onec.cml_values import Account, Line, Means, Party, Payment, Said, Shipment
from bus.sandbox.onec.numbers import exact
from bus.sandbox.onec.objects import Objects
from bus.sandbox.onec.schema import ZERO_GUID, Row

SITE_NUMBER, SITE_DATE = predefined.SITE_NUMBER, predefined.SITE_DATE
SITE_ID, PARTY_SITE_ID = predefined.key(0x7A), predefined.key(0x7B)
"""Where UNF and the BUS module keep the site's own Ид: in registers of their own; here in additional requisites too."""

RELATED = (*documents.MONEY_IN, documents.WRITE_OFF.name, documents.SHIPMENT.name)
"""Documents that hang on orders."""
_MEANS = {documents.CASH_RECEIPT.name: Means.CASH, documents.CARD_PAYMENT.name: Means.CARD}
_BY_CARD = "ПоступлениеОплатыОтКлиентаПоПлатежнойКарте"
_TYPES = {"phones": "Телефон", "emails": "АдресЭлектроннойПочты", "address": "Адрес"}


def extra(row: Row, prop: str) -> str:
    """The value of an additional requisite; "" when the row has none."""
    return next((str(one["Значение"]) for one in row["ДополнительныеРеквизиты"] if one["Свойство_Key"] == prop), "")


def extras(values: Mapping[str, tuple[str, str]]) -> list[Row]:
    """Rows of additional requisites: property → (value, Edm type)."""
    return [
        {"Свойство_Key": prop, "Значение": value, "Значение_Type": f"Edm.{kind}", "ТекстоваяСтрока": ""}
        for prop, (value, kind) in values.items()
        if value
    ]


def orders_of(row: Row) -> set[str]:
    """The orders that a document of money or goods names, in its lines or its head."""
    lines = row.get("РасшифровкаПлатежа", ()) or row.get("Товары", ())
    named = {line.get("ОснованиеПлатежа") or line.get("ЗаказКлиента") for line in lines} | {row.get("ЗаказКлиента")}
    return {str(key) for key in named if key}


def when(text: str) -> datetime:
    """A base's local time, made aware."""
    return datetime.fromisoformat(text).replace(tzinfo=times.ZONE)


class Books:
    """Reads for one message; whoever calls holds the lock. `statuses`: 1C's status → (the site's id, the text)."""

    def __init__(self, objects: Objects, statuses: Mapping[str, tuple[str, str]]) -> None:
        self._objects = objects
        self._statuses = statuses

    def order(self, key: str) -> Said | None:
        """One order with everything on it."""
        row = self._objects.row(documents.ORDER.name, key)
        return None if row is None else self._said(row)

    def party(self, key: str) -> Party | None:
        """One counterparty with its accounts."""
        row = self._objects.row(catalogs.COUNTERPARTIES.name, key)
        return None if row is None else self._party(row, self._accounts.get(key, ()))

    def _said(self, row: Row) -> Said:
        key, total = row["Ref_Key"], exact(row["СуммаДокумента"])
        settled = self._objects.settlements
        cancelled = bool(row["Товары"]) and all(line["Отменено"] for line in row["Товары"])
        status_id, status = self._statuses.get("Отменен" if cancelled else row["Статус"], ("", ""))
        site_date = extra(row, SITE_DATE)
        return Said(
            ref=key,
            number=row["Number"],
            at=when(row["Date"]),
            total=total,
            party=self._buyer(row),
            lines=tuple(self._lines(row)),
            site_number=extra(row, SITE_NUMBER),
            site_at=when(site_date) if site_date else None,
            site_id=extra(row, SITE_ID),
            posted=row["Posted"],
            deleted=row["DeletionMark"],
            cancelled=cancelled,
            paid=total > 0 and settled.paid(key) >= total,
            shipped=total > 0 and settled.shipped(key) >= total,
            vat_included=row["ЦенаВключаетНДС"],
            status=status,
            status_id=status_id,
            comment=row["Комментарий"],
            currency_code=self._text(catalogs.CURRENCIES.name, row["Валюта_Key"], "Code") or "643",
            version=row["DataVersion"],
            payments=tuple(self._payments(key)),
            shipments=tuple(self._shipments(key)),
            more={"Адрес доставки": row["АдресДоставки"]} if row["АдресДоставки"] else {},
        )

    def _buyer(self, order: Row) -> Party:
        row = self._objects.row(catalogs.COUNTERPARTIES.name, order["Контрагент_Key"])
        return Party(ref=order["Контрагент_Key"], name="", legal=False) if row is None else self._party(row, ())

    def _party(self, row: Row, accounts: Iterable[Account]) -> Party:
        return Party(
            ref=row["Ref_Key"],
            name=row["Description"],
            full_name=row["НаименованиеПолное"],
            legal=row["ЮрФизЛицо"] in ("", "ЮрЛицо", "ЮрЛицоНеРезидент"),
            inn=row["ИНН"],
            kpp=row["КПП"],
            okpo=row["КодПоОКПО"],
            address=next(_contacts(row, "address"), ""),
            phones=tuple(_contacts(row, "phones")),
            emails=tuple(_contacts(row, "emails")),
            accounts=tuple(accounts),
            deleted=row["DeletionMark"],
            site_id=extra(row, PARTY_SITE_ID),
            version=row["DataVersion"],
        )

    @cached_property
    def _accounts(self) -> dict[str, list[Account]]:
        """By owner, looked up once: a full export asks for thousands."""
        found: dict[str, list[Account]] = defaultdict(list)
        for row in self._objects.find(catalogs.COUNTERPARTY_ACCOUNTS.name):
            account = Account(row["НомерСчета"], row["БИКБанка"], row["НаименованиеБанка"], row["КоррСчетБанка"])
            found[row["Owner_Key"]].append(account)
        return found

    def _lines(self, document: Row) -> Iterator[Line]:
        for row in document["Товары"]:
            goods = self._objects.row(catalogs.GOODS.name, row["Номенклатура_Key"])
            unit = (goods or {}).get("ЕдиницаИзмерения_Key", "")
            feature = row["Характеристика_Key"]
            yield Line(
                item=row["Номенклатура_Key"] + (f"#{feature}" if feature != ZERO_GUID else ""),
                name=str((goods or {}).get("Description", "")),
                article=str((goods or {}).get("Артикул", "")),
                unit=self._text(catalogs.UNITS.name, unit, "Description") or "шт",
                unit_code=self._text(catalogs.UNITS.name, unit, "Code") or "796",
                price=exact(row["Цена"]),
                quantity=exact(row["Количество"]),
                amount=exact(row["Сумма"]),
                rate=self._rate(row["СтавкаНДС_Key"]),
                vat=exact(row["СуммаНДС"]),
                cancelled=bool(row.get("Отменено")),
            )

    def _rate(self, key: str) -> str:
        row = self._objects.row(catalogs.VAT_RATES.name, key)
        return "Без налога" if row is None or row["Description"] == "Без НДС" else f"{row['Ставка']:g}"

    def _payments(self, order: str) -> Iterator[Payment]:
        for name, row in self._related(order):
            if name == documents.SHIPMENT.name:
                continue
            yield Payment(
                ref=row["Ref_Key"],
                number=row["Number"],
                at=when(row["Date"]),
                amount=abs(self._objects.settlements.amount(name, row, order)),
                means=Means.CARD if row["ХозяйственнаяОперация"] == _BY_CARD else _MEANS.get(name, Means.BANK),
                refund=name == documents.WRITE_OFF.name,
                posted=row["Posted"],
                deleted=row["DeletionMark"],
                document=row.get("НомерВходящегоДокумента", ""),
                version=row["DataVersion"],
            )

    def _shipments(self, order: str) -> Iterator[Shipment]:
        for name, row in self._related(order):
            if name == documents.SHIPMENT.name:
                yield Shipment(
                    ref=row["Ref_Key"],
                    number=row["Number"],
                    at=when(row["Date"]),
                    amount=self._objects.settlements.amount(name, row, order),
                    lines=tuple(self._lines(row)),
                    posted=row["Posted"],
                    deleted=row["DeletionMark"],
                    version=row["DataVersion"],
                )

    def _related(self, order: str) -> Iterator[tuple[str, Row]]:
        """The documents that count, then those that do not: unposted, or marked for deletion."""
        yield from self._objects.settlements.documents(order)
        yield from self._idle.get(order, ())

    @cached_property
    def _idle(self) -> dict[str, list[tuple[str, Row]]]:
        found: dict[str, list[tuple[str, Row]]] = defaultdict(list)
        for name in RELATED:
            for row in self._objects.rows(name):
                if not row["Posted"] or row["DeletionMark"]:
                    for order in orders_of(row):
                        found[order].append((name, row))
        return found

    def _text(self, name: str, key: str, field: str) -> str:
        row = self._objects.row(name, key)
        return str(row[field]) if row else ""


def _contacts(row: Row, kind: str) -> Iterator[str]:
    return (one["Представление"] for one in row["КонтактнаяИнформация"] if one["Тип"] == _TYPES[kind])
