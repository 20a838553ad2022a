"""Seen: what the stand-ins hold, in the words of the glossary. From what the systems are, not from mappings/."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tests.stories.world import DELIVERY, RETAIL

Row = dict[str, Any]
Said = dict[str, Any]

SHOP_STATUS = {"N": "new", "A": "accepted", "P": "paid", "S": "shipped", "F": "completed"}
STAGE = {
    "NEW": "new",
    "PREPARATION": "accepted",
    "PREPAYMENT_INVOICE": "accepted",
    "UC_NEGOTIATION": "accepted",
    "EXECUTING": "paid",
    "FINAL_INVOICE": "shipped",
    "WON": "completed",
    "LOSE": "cancelled",
    "APOLOGY": "cancelled",
}
BOOKS_STATUS = {"НеСогласован": "new", "КОбеспечению": "accepted", "КОтгрузке": "accepted", "Закрыт": "completed"}
PAID_WORDS = {"Не оплачен": "unpaid", "Оплачен частично": "partial", "Оплачен": "paid", "Возврат": "refunded"}
_MARK = re.compile(r"\s*\[bus:[^\]]*\]")
_PHONE, _EMAIL, _ADDRESS = "Телефон", "АдресЭлектроннойПочты", "Адрес"
_COMPANY = 4


def shop_order(order: Row) -> Said:
    """An order of the shop."""
    said = {row["code"]: row["value"] for row in order["propertyValues"]}
    return {
        "number": order["accountNumber"],
        "status": "cancelled" if order["canceled"] == "Y" else SHOP_STATUS[order["statusId"]],
        "total": money(order["price"]),
        "lines": _lines((row["name"], row["quantity"], row["price"]) for row in order["basketItems"]),
        "customer.name": said.get("FIO") or said.get("CONTACT_PERSON") or None,
        "customer.phone": digits(said.get("PHONE")),
        "customer.email": said.get("EMAIL") or None,
        "delivery.method": next((one["deliveryName"] for one in order["shipments"]), None),
        "delivery.address": said.get("ADDRESS") or None,
        "comment": order["comments"] or None,
    }


def deal(row: Row, contact: Row | None) -> Said:
    """A deal with its contact."""
    said: Said = {
        "number": row["UF_CRM_ORDER_NUMBER"] or None,
        "status": STAGE[row["stageId"]],
        "total": money(row["opportunity"]),
        "lines": _lines((one["productName"], one["quantity"], one["price"]) for one in row["productRows"]),
        "delivery.method": row["UF_CRM_DELIVERY_METHOD"] or None,
        "delivery.address": row["UF_CRM_DELIVERY_ADDRESS"] or None,
        "comment": row["comments"] or None,
    }
    return said | (_contact(contact) if contact else {})


def shown_payment(row: Row) -> tuple[Decimal, str]:
    """What a deal shows of its payments: the sum, and the word."""
    return money(row["UF_CRM_PAID_TOTAL"]), PAID_WORDS.get(row["UF_CRM_PAYMENT_STATUS"] or "", "")


def _contact(row: Row) -> Said:
    phones = [one["value"] for one in row.get("fm") or () if one["typeId"] == "PHONE"]
    emails = [one["value"] for one in row.get("fm") or () if one["typeId"] == "EMAIL"]
    name = " ".join(part for part in (row.get("name"), row.get("secondName"), row.get("lastName")) if part)
    return {
        "customer.name": name or None,
        "customer.phone": digits(phones[0]) if phones else None,
        "customer.email": emails[0] if emails else None,
    }


def books_order(row: Row, goods: dict[str, Row]) -> Said:
    """A customer order of 1C. Cancelled is one all of whose rows are; what it is then worth it does not say."""
    rows = [one for one in row["Товары"] if one["Номенклатура_Key"] != DELIVERY]
    cancelled = bool(row["Товары"]) and all(one["Отменено"] for one in row["Товары"])
    counting = [one for one in rows if cancelled or not one["Отменено"]]
    said: Said = {
        "number": row["НомерПоДаннымКлиента"] or None,
        "status": "cancelled" if cancelled else BOOKS_STATUS.get(row["Статус"]),
        "lines": _lines(
            (goods[one["Номенклатура_Key"]]["Description"], one["Количество"], _each(one)) for one in counting
        ),
        "delivery.address": row["АдресДоставки"] or None,
        "comment": _MARK.sub("", row["Комментарий"] or "").strip() or None,
    }
    return said if cancelled else said | {"total": money(row["СуммаДокумента"])}


def _each(line: Row) -> Decimal:
    return Decimal(str(line["СуммаСНДС"])) / Decimal(str(line["Количество"]))


def company(row: Row, requisite: Row | None, addresses: Iterable[Row]) -> Said:
    """A company of the CRM with its requisite."""
    multi = row.get("fm") or []
    said: Said = {
        "name": row["title"] or None,
        "phones": sorted(filter(None, (digits(one["value"]) for one in multi if one["typeId"] == "PHONE"))),
        "emails": sorted(one["value"] for one in multi if one["typeId"] == "EMAIL"),
    }
    if requisite is None:
        return said
    kinds = {int(one["TYPE_ID"]): one["ADDRESS_1"] for one in addresses}
    return said | {
        "inn": requisite["rqInn"] or None,
        "kpp": requisite["rqKpp"] or None,
        "legal_name": requisite["rqCompanyFullName"] or None,
        "address": kinds.get(1) or None,
    }


def books_party(row: Row) -> Said:
    """A counterparty of 1C."""
    contacts = row["КонтактнаяИнформация"]
    addresses = [one["Представление"] for one in contacts if one["Тип"] == _ADDRESS and one["Вид_Key"] == _ACTUAL]
    return {
        "name": row["Description"] or None,
        "phones": sorted(filter(None, (digits(one["Представление"]) for one in contacts if one["Тип"] == _PHONE))),
        "emails": sorted(one["Представление"] for one in contacts if one["Тип"] == _EMAIL),
        "inn": row["ИНН"] or None,
        "kpp": row["КПП"] or None,
        "legal_name": row["НаименованиеПолное"] or None,
        "address": next(iter(addresses), None) or None,
    }


_ACTUAL = "00000062-0000-11ee-8000-00000000ba5e"
"""The kind of contact that is a counterparty's actual address (bus.sandbox.onec.predefined.ADDRESS)."""


_OURS = "integration-bus"
"""How the portal names who made a requisite of the bus's."""


def requisite_of(state: Row, key: int) -> Row | None:
    """The requisite of a company that counts: a merger brings it another one's, the bus goes on with its own.

    Of several of the bus's it is the one that the company was made with.
    """
    own = [row for row in state["requisites"] if int(row["entityTypeId"]) == _COMPANY and int(row["entityId"]) == key]
    made = [row for row in state["companies"] if int(row["id"]) == key and row["originatorId"] == _OURS]
    names = {row["originId"] for row in made}
    return min(own, key=lambda row: (row["xmlId"] not in names, row["originatorId"] != _OURS), default=None)


def people(counterparties: Iterable[Row]) -> list[Row]:
    """Those of 1C's counterparties that somebody is: not the one of all buyers, not marked for deletion."""
    return [row for row in counterparties if row["Ref_Key"] != RETAIL and not row["DeletionMark"]]


def money(value: Any) -> Decimal:
    """An amount in two decimals; of "1480|RUB" the figure."""
    return Decimal(str(value or 0).partition("|")[0]).quantize(Decimal("0.01"))


def digits(value: str | None) -> str | None:
    """The ten digits that a Russian number has in any spelling."""
    return "".join(sign for sign in value or "" if sign.isdigit())[-10:] or None


def _lines(rows: Iterable[tuple[str, Any, Any]]) -> list[tuple[str, Decimal, Decimal]]:
    return sorted((name, Decimal(str(count)).normalize(), money(price)) for name, count, price in rows)
