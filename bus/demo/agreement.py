"""Agreement: do the two systems say the same, and what the day made of them? Asked of the systems, not of the ledger.

Pure: takes what the stand-ins hold (their GET state) and what the scenario promises, gives what differs. The tables
here are written anew, without a look at mappings/, so that a wrong line there is found and not repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bus.demo.scenario import PAYS, Story

_SHOP_STATUS = {"N": "new", "A": "accepted", "P": "paid", "S": "shipped", "F": "completed"}
_STAGE = {
    "NEW": "new",
    "PREPARATION": "accepted",
    "PREPAYMENT_INVOICE": "accepted",
    "EXECUTING": "paid",
    "FINAL_INVOICE": "shipped",
    "WON": "completed",
    "LOSE": "cancelled",
    "APOLOGY": "cancelled",
}
_SHOWN = {"unpaid": "Не оплачен", "partial": "Оплачен частично", "paid": "Оплачен", "refunded": "Возврат"}

Row = dict[str, Any]
Fields = dict[str, Any]
FIELDS = (
    *("status", "total", "lines", "number", "comment", "paid", "payment status"),
    *("name", "phone", "email", "address", "delivery"),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be. `order` is the shop's order, None for what belongs to none."""

    order: int | None
    field: str
    shop: Any
    crm: Any
    expected: Any = None


@dataclass(slots=True)
class Verdict:
    """What was compared, and what was found."""

    orders: int = 0
    compared: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    lost: list[Difference] = field(default_factory=list)
    """Acts whose result is not to be seen in both systems."""
    duplicates: list[Difference] = field(default_factory=list)
    """Second deals, payments and contacts of one thing, and deals of nothing."""

    @property
    def in_sync(self) -> int:
        """Orders of which nothing at all is wrong."""
        wrong = {one.order for one in (*self.differences, *self.lost, *self.duplicates)}
        return self.orders - len(wrong - {None})


def judge(shop: Row, crm: Row, stories: Mapping[int, Story], leads: Iterable[int]) -> Verdict:
    """Compare all orders with their deals; `stories` by shop order, `leads` the deals made on purpose without one."""
    orders = {int(order["id"]): order for order in shop["orders"]}
    contacts = {int(contact["id"]): contact for contact in crm["contacts"]}
    deals: dict[int, list[Row]] = {key: [] for key in orders}
    verdict = Verdict(orders=len(orders))
    for deal in crm["deals"]:
        key = _number(deal["UF_CRM_ORDER_ID"])
        if key in deals:
            deals[key].append(deal)
        elif int(deal["id"]) not in set(leads):
            verdict.duplicates.append(Difference(None, "deal without an order", deal["UF_CRM_ORDER_ID"], deal["id"]))
    for key, order in orders.items():
        _judge_order(verdict, order, deals[key], contacts, stories.get(key))
    verdict.duplicates += _twin_contacts(crm["contacts"])
    return verdict


def _judge_order(
    verdict: Verdict, order: Row, deals: list[Row], contacts: Mapping[int, Row], story: Story | None
) -> None:
    key = int(order["id"])
    verdict.compared["deal"] += 1
    if not deals:
        verdict.lost.append(Difference(key, "deal", order["accountNumber"], None))
        return
    for second in deals[1:]:
        verdict.duplicates.append(Difference(key, "second deal", order["accountNumber"], second["id"]))
    deal = deals[0]
    here, there = of_order(order), of_deal(deal, contacts.get(_number(deal["contactId"]) or 0))
    for name in FIELDS:
        verdict.compared[name] += 1
        if here[name] != there[name]:
            verdict.differences.append(Difference(key, name, here[name], there[name]))
    if story:
        verdict.lost += _lost(key, story, here, there)
        _payments(verdict, key, story, order)


def _lost(key: int, story: Story, here: Fields, there: Fields) -> list[Difference]:
    """What the scenario's last writer set and one of the systems does not say."""
    wanted = {name: (value,) for name, value in story.expected.items()} | story.either
    return [
        Difference(key, name, here[name], there[name], values[0] if len(values) == 1 else values)
        for name, values in ((name, tuple(_said(name, value) for value in values)) for name, values in wanted.items())
        if here[name] not in values or there[name] not in values
    ]


def _said(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    """A promised value in the form that systems are compared in."""
    if name == "lines":
        return sorted((title, Decimal(quantity), Decimal(price)) for title, quantity, price in value)
    return Decimal(value) if name in ("total", "paid") else value


def of_order(order: Row) -> Fields:
    """What the shop says of an order."""
    properties = {row["code"]: row["value"] for row in order["propertyValues"]}
    paid = sum((_money(one["sum"]) for one in order["payments"] if one["paid"] == "Y"), Decimal(0))
    returned = any(one["isReturn"] == "Y" for one in order["payments"])
    return {
        "status": "cancelled" if order["canceled"] == "Y" else _SHOP_STATUS.get(order["statusId"], order["statusId"]),
        "total": _money(order["price"]),
        "lines": _lines(order["basketItems"], "name"),
        "number": order["accountNumber"],
        "comment": order["comments"] or "",
        "name": properties.get("FIO") or "",
        "phone": _digits(properties.get("PHONE")),
        "email": properties.get("EMAIL") or "",
        "address": properties.get("ADDRESS") or "",
        "delivery": next((one["deliveryName"] for one in order["shipments"]), ""),
        "paid": paid,
        "payment status": _payment_status(paid, _money(order["price"]), returned=returned),
    }


def of_deal(deal: Row, contact: Row | None) -> Fields:
    """What the portal says of a deal and its contact."""
    person = contact or {}
    phones = [one["value"] for one in person.get("fm", ()) if one["typeId"] == "PHONE"]
    emails = [one["value"] for one in person.get("fm", ()) if one["typeId"] == "EMAIL"]
    return {
        "status": _STAGE.get(deal["stageId"], deal["stageId"]),
        "total": _money(deal["opportunity"]),
        "lines": _lines(deal["productRows"], "productName"),
        "number": deal["UF_CRM_ORDER_NUMBER"] or "",
        "comment": deal["comments"] or "",
        "name": " ".join(part for part in (person.get(name) for name in ("name", "secondName", "lastName")) if part),
        "phone": _digits(phones[0] if phones else ""),
        "email": emails[0] if emails else "",
        "address": deal["UF_CRM_DELIVERY_ADDRESS"] or "",
        "delivery": deal["UF_CRM_DELIVERY_METHOD"] or "",
        "paid": _money(deal["UF_CRM_PAID_TOTAL"]),
        "payment status": deal["UF_CRM_PAYMENT_STATUS"] or "",
    }


def _payment_status(paid: Decimal, price: Decimal, *, returned: bool) -> str:
    if paid > 0:
        return _SHOWN["paid" if paid >= price else "partial"]
    return _SHOWN["refunded" if returned else "unpaid"]


def _payments(verdict: Verdict, key: int, story: Story, order: Row) -> None:
    """Every payment is there once: those that customers made in the shop, and the one that the bank told of."""
    taken = [one for one in order["payments"] if one["paid"] == "Y" or one["isReturn"] == "Y"]
    made = sum(step.do in PAYS for step in story.steps)
    told = sum(one["payVoucherNum"] == story.bank for one in taken)
    if story.bank and not told:
        verdict.lost.append(Difference(key, "bank payment", None, None, story.bank))
    if story.bank and told > 1:
        verdict.duplicates.append(Difference(key, "payment", f"{told} times {story.bank}", None, 1))
    elif len(taken) > made:
        verdict.duplicates.append(Difference(key, "payments", len(taken), None, made))


def _twin_contacts(contacts: Iterable[Row]) -> list[Difference]:
    phones = Counter(_digits(one["value"]) for contact in contacts for one in contact["fm"] if one["typeId"] == "PHONE")
    twins = [phone for phone, count in phones.items() for _ in range(count - 1)]
    return [Difference(None, "contact with the same phone", None, f"…{phone[-4:]}") for phone in twins]


def _lines(rows: Iterable[Row], name: str) -> list[tuple[str, Decimal, Decimal]]:
    return sorted((row[name], Decimal(str(row["quantity"])), _money(row["price"])) for row in rows)


def _money(value: Any) -> Decimal:  # noqa: ANN401 - whatever a system writes
    return Decimal(str(value or 0)).quantize(Decimal("0.01"))


def _digits(value: str | None) -> str:
    """The ten digits that a Russian number has in any spelling."""
    return "".join(letter for letter in value or "" if letter.isdigit())[-10:]


def _number(value: Any) -> int | None:  # noqa: ANN401 - an id as text, a number, or nothing
    return int(value) if str(value or "").isdigit() and int(value) else None
