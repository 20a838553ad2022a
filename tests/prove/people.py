"""People: what customers, managers, accountants and banks do in a history, out of small pools, so that acts collide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bus.systems.statements import THEIRS, document, raw
from tests.prove import seen
from tests.prove.chronicle import Chronicle
from tests.prove.house import NEW_STAGE, House
from tests.stories.world import OWN_ACCOUNT

Row = dict[str, Any]

NAMES = ("Анна Белова", "Борис Ветров", "Вера Гусева")
COMMENTS = ("call first", "leave at the door", "gift")
ADDRESSES = ("Садовая 1", "Лесная 5", "Речная 9")
EMAILS = ("a@example.com", "b@example.com", "c@example.com")
METHODS = ("Courier", "Pickup", "Post")
BASKETS: tuple[tuple[Row, ...], ...] = (
    ({"name": "Kettle", "price": 980, "quantity": 1, "productId": 348},),
    ({"name": "Cup", "price": 150, "quantity": 4, "productId": 351},),
    ({"name": "Kettle", "price": 980, "quantity": 2, "productId": 348}, {"name": "Tea", "price": 120, "quantity": 1}),
)
SHOP_CODES = ("N", "A", "P", "S", "F")
STAGES = ("NEW", "PREPARATION", "PREPAYMENT_INVOICE", "EXECUTING", "FINAL_INVOICE", "WON", "LOSE", NEW_STAGE)
BOOKS_CODES = ("НеСогласован", "КОбеспечению", "КОтгрузке", "Закрыт")
SHARES = ("1", "0.5", "0.25")
FIRMS: tuple[Row, ...] = (
    {"name": "Ромашка", "full": 'ООО "Ромашка"', "inn": "7707083893", "kpp": "773601001"},
    {"name": "Лютик", "full": 'ООО "Лютик"', "inn": "7728168971", "kpp": "770801001"},
)
TITLES = ("Ромашка", "Ромашка Юг", "Лютик")
FULL_NAMES = ('ООО "Ромашка"', 'АО "Ромашка"', 'ООО "Лютик"')
MEETING = ("comment", "address", "name", "phone", "email", "status", "firm address", "firm title", "firm phones")
"""What two people may change at once."""
OF_A_CONTACT = ("name", "phone", "email")
"""What stands on a deal's contact: to change it does not save the deal."""
MOST = 3
"""Orders that people of one side begin, and counterparties likewise: few, so that what happens happens to the same."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One person's change of one field: of which record, what it showed him before, what he wrote, when by its wall."""

    system: str
    record: str
    """`order/1`, `deal/1001`, `party/company:301`: as the ledger calls it."""
    field: str
    before: Any
    value: Any
    at: float


@dataclass
class People:
    """Everybody who is not the bus."""

    house: House
    edits: list[Edit] = field(default_factory=list)
    acts: int = 0
    refunds: int = 0
    """Acts that take money back: refunds, documents unposted or marked, orders deleted."""
    ordered: int = 0
    """Orders that customers have begun, those that were deleted since among them."""
    bank: list[Row] = field(default_factory=list)
    """Payments that the bank tells of, as events."""
    documents: list[str] = field(default_factory=list)
    """What stood in the bank's files."""
    tainted: set[str] = field(default_factory=set)
    """Deals whose derived fields somebody wrote over."""

    def __post_init__(self) -> None:
        self.chronicle = Chronicle(self.house)

    # ---- the shop

    def shop_orders(self) -> list[Row]:
        """Orders, the oldest first."""
        return list(self.house.shop.orders.table.rows.values())

    def order(self, name: int, basket: int, firm: int | None) -> bool:
        """A customer orders; of a company, where one is named."""
        if len(self.shop_orders()) >= MOST:
            return False
        number, self.ordered = self.ordered, self.ordered + 1
        phone = f"+790100000{number:02}"
        act: Row = {"do": "create_order", "lines": [*BASKETS[basket]], "delivery": {"id": 1 + basket}}
        email = f"order{number}@example.com"
        customer = {
            "fio": self._own(NAMES, name),
            "phone": phone,
            "email": email,
            "address": self._own(ADDRESSES, name),
        }
        if firm is None:
            self._shop({**act, "customer": customer})
            return True
        company = {"name": FIRMS[firm]["full"], "inn": FIRMS[firm]["inn"], "kpp": FIRMS[firm]["kpp"]}
        person = {
            "contact": self._own(NAMES, name),
            "phone": phone,
            "email": email,
            "delivery": self._own(ADDRESSES, name),
        }
        self._shop({**act, "company": company | person})
        return True

    def edit_order(self, which: int, what: str, value: int) -> bool:
        """A customer or the shop's manager changes one field."""
        row = _one(self.shop_orders(), which)
        if row is None:
            return False
        codes = {one["code"] for one in row["propertyValues"]}
        before, key = seen.shop_order(row), int(row["id"])
        said: dict[str, tuple[str, Row]] = {
            "comment": ("comment", {"fields": {"comments": self._own(COMMENTS, value)}}),
            "name": (
                "customer.name",
                {"properties": {_first(codes, "FIO", "CONTACT_PERSON"): self._own(NAMES, value)}},
            ),
            "email": ("customer.email", {"properties": {"EMAIL": f"order{key}.{value}@example.com"}}),
            "phone": ("customer.phone", {"properties": {"PHONE": f"+790200000{key}{value}"}}),
            "address": ("delivery.address", {"properties": {"ADDRESS": self._own(ADDRESSES, value)}}),
            "lines": ("lines", {"lines": [*BASKETS[value]]}),
            "method": ("delivery.method", {"delivery": {"id": 1 + value}}),
        }
        name, act = said[what]
        self._shop({"do": "edit_order", "id": key, **act})
        after = seen.shop_order(self.house.shop.orders.table.rows[key])
        self._edited("shop", f"order/{key}", name, before, after)
        self._edited("shop", f"order/{key}", "total", before, after)
        return True

    def order_status(self, which: int, code: str) -> bool:
        """The shop's manager sets a status, cancels, or takes that back."""
        row = _one(self.shop_orders(), which)
        if row is None:
            return False
        key, before = int(row["id"]), seen.shop_order(row)
        act: Row = {"do": "set_status", "status": code}
        if code in ("cancel", "undo"):
            act = {"do": "cancel_order", "undo": code == "undo"}
        self._shop({"id": key, **act})
        self._edited("shop", f"order/{key}", "status", before, seen.shop_order(self.house.shop.orders.table.rows[key]))
        return True

    def pay(self, which: int, share: str) -> bool:
        """A buyer pays the order, or a part of what is open.

        No part while the bank's money for that order may be on its way: the shop then makes the very payment smaller
        that the bank's was taken for, and which of the two sums is meant only a person can tell (README, Known limits).
        """
        row = _one([one for one in self.shop_orders() if _open_payment(one)], which)
        if row is None or (share != "1" and str(row["accountNumber"]) in {told["order"] for told in self.bank}):
            return False
        key, before = int(row["id"]), seen.shop_order(row)
        amount = {} if share == "1" else {"amount": round(float(_open_payment(row)["sum"]) * float(share), 2)}
        self._shop({"do": "pay_order", "id": key, **amount})
        self._edited("shop", f"order/{key}", "status", before, seen.shop_order(self.house.shop.orders.table.rows[key]))
        return True

    def open_sum(self, number: str) -> str | None:
        """What the order of this number has still to be paid in one sum; None: there is none, or nothing."""
        row = next((one for one in self.shop_orders() if str(one["accountNumber"]) == number), None)
        expected = _open_payment(row) if row else {}
        return f"{seen.money(expected['sum']):.2f}" if expected else None

    def refund(self, which: int) -> bool:
        """The shop gives the last payment back."""
        row = _one([one for one in self.shop_orders() if any(p["paid"] == "Y" for p in one["payments"])], which)
        if row is None:
            return False
        self.refunds += 1
        self._shop({"do": "refund_payment", "id": row["id"]})
        return True

    def delete_order(self, which: int) -> bool:
        """Somebody deletes an order in the shop."""
        row = _one(self.shop_orders(), which)
        if row is None:
            return False
        self.refunds += 1
        self._shop({"do": "delete_order", "id": row["id"]})
        return True

    # ---- the CRM

    def deals(self) -> list[Row]:
        """Deals, the oldest first."""
        with self.house.portal.lock:
            return list(self.house.portal.state({"of": "deals"})["deals"])

    def contact_of(self, deal: Row) -> Row | None:
        """The deal's contact."""
        found = self.house.portal.state({"of": "contacts"})["contacts"]
        return next((row for row in found if row["id"] == deal.get("contactId")), None)

    def deal(self, name: int, basket: int, stage: str) -> bool:
        """A manager enters a deal of his own."""
        if sum(not row["originId"] for row in self.deals()) >= MOST - 1:
            return False
        contact = self._portal(
            {
                "do": "create_contact",
                "fields": {"name": self._own(NAMES, name)},
                "emails": [f"deal{self.acts}@example.com"],
            }
        )
        rows = [
            {"productName": one["name"], "price": one["price"], "quantity": one["quantity"]} for one in BASKETS[basket]
        ]
        fields = {
            "title": "By phone",
            "stageId": stage,
            "contactId": contact["id"],
            "COMMENTS": self._own(COMMENTS, name),
        }
        self._portal({"do": "create_deal", "fields": fields, "rows": rows})
        return True

    def edit_deal(self, which: int, what: str, value: int) -> bool:
        """A manager changes one field of a deal."""
        row = _one(self.deals(), which)
        if row is None:
            return False
        key = int(row["id"])
        said: dict[str, tuple[str, Row]] = {
            "comment": ("comment", {"COMMENTS": self._own(COMMENTS, value)}),
            "address": ("delivery.address", {"UF_CRM_DELIVERY_ADDRESS": self._own(ADDRESSES, value)}),
            "method": ("delivery.method", {"UF_CRM_DELIVERY_METHOD": METHODS[value]}),
            "number": ("number", {"UF_CRM_ORDER_NUMBER": f"X-{value}"}),
            "total": ("total", {"opportunity": 100 * (1 + value), "isManualOpportunity": "Y"}),
            "paid": ("paid_total", {"UF_CRM_PAID_TOTAL": 10 * (1 + value)}),
        }
        before = self._deal_says(key)
        if what == "lines":
            rows = [
                {"productName": one["name"], "price": one["price"], "quantity": one["quantity"]}
                for one in BASKETS[value]
            ]
            self._portal({"do": "set_rows", "id": key, "rows": rows})
            name = "lines"
        else:
            name, fields = said[what]
            self._portal({"do": "edit_deal", "id": key, "fields": fields})
        if what == "paid":
            self.tainted.add(str(key))
            return True
        after = self._deal_says(key)
        self._edited("crm", f"deal/{key}", name, before, after)
        self._edited("crm", f"deal/{key}", "total", before, after)
        return True

    def move_deal(self, which: int, stage: str) -> bool:
        """A manager moves a deal."""
        row = _one(self.deals(), which)
        if row is None:
            return False
        key = int(row["id"])
        before = self._deal_says(key)
        self._portal({"do": "move_deal", "id": key, "stage": stage})
        self._edited("crm", f"deal/{key}", "status", before, self._deal_says(key))
        return True

    def edit_contact(self, which: int, what: str, value: int) -> bool:
        """A manager corrects the customer's name, phone or e-mail."""
        row = _one([one for one in self.deals() if one.get("contactId")], which)
        if row is None:
            return False
        key, contact = int(row["id"]), int(row["contactId"])
        act: dict[str, Row] = {
            "name": {"fields": {"name": self._own(NAMES, value), "lastName": ""}},
            "phone": {"phones": [f"+790300000{contact % 10}{value}"]},
            "email": {"emails": [f"contact{contact}.{value}@example.com"]},
        }
        before = self._deal_says(key)
        self._portal({"do": "edit_contact", "id": contact, **act[what]})
        self._edited("crm", f"deal/{key}", f"customer.{what}", before, self._deal_says(key))
        return True

    def delete_deal(self, which: int) -> bool:
        """A manager deletes a deal."""
        row = _one(self.deals(), which)
        if row is None:
            return False
        self._portal({"do": "delete_deal", "id": row["id"]})
        return True

    def companies(self) -> list[Row]:
        """Companies, the oldest first."""
        return list(self.house.portal.state({"of": "companies"})["companies"])

    def company(self, firm: int, *, card: bool) -> bool:
        """A manager enters a company, with its requisite or without."""
        if len(self.companies()) >= MOST:
            return False
        one = FIRMS[firm]
        act: Row = {"do": "create_company", "fields": {"title": one["name"]}, "phones": [f"+7495000000{firm}"]}
        if card:
            act["requisites"] = [
                {"preset": "legal", "RQ_INN": one["inn"], "RQ_KPP": one["kpp"], "RQ_COMPANY_FULL_NAME": one["full"]}
            ]
        self._portal(act)
        return True

    def edit_company(self, which: int, what: str, value: int) -> bool:
        """A manager changes a company's card."""
        row = _one(self.companies(), which)
        if row is None:
            return False
        key = int(row["id"])
        requisite = seen.requisite_of(self.house.portal.state({}), key)
        if what in ("full_name", "address") and requisite is None:
            return False
        card = {"id": requisite["id"]} if requisite else {}
        acts: dict[str, tuple[str, Row]] = {
            "title": ("name", {"fields": {"title": self._own(TITLES, value)}}),
            "phones": ("phones", {"phones": [f"+749500000{value}{value}"]}),
            "emails": ("emails", {"emails": [EMAILS[value]]}),
            "full_name": (
                "legal_name",
                {"requisites": [{**card, "RQ_COMPANY_FULL_NAME": self._own(FULL_NAMES, value)}]},
            ),
            "address": (
                "address",
                {"requisites": [{**card, "addresses": [{"TYPE_ID": 1, "ADDRESS_1": self._own(ADDRESSES, value)}]}]},
            ),
        }
        before = self._company_says(key)
        name, act = acts[what]
        self._portal({"do": "edit_company", "id": key, **act})
        self._edited("crm", f"party/company:{key}", name, before, self._company_says(key))
        return True

    def merge_companies(self) -> bool:
        """A manager merges the two oldest companies."""
        found = self.companies()
        if len(found) < 2:
            return False
        self._portal({"do": "merge_company", "id": found[0]["id"], "losers": [found[1]["id"]]})
        return True

    # ---- the books

    def books_orders(self) -> list[Row]:
        """Customer orders without a deletion mark, the oldest first."""
        found = self.house.base.state({"of": "Document_ЗаказКлиента"})["Document_ЗаказКлиента"]
        return sorted((row for row in found if not row["DeletionMark"]), key=lambda row: row["Number"])

    def books_order(self, basket: int, firm: int) -> bool:
        """An accountant enters an order."""
        born = [row for row in self.books_orders() if not row["НомерПоДаннымКлиента"]]
        parties = seen.people(self._books("Catalog_Контрагенты"))
        if len(born) >= MOST - 1:
            return False
        party = {"counterparty": parties[firm % len(parties)]["Ref_Key"]} if parties else {}
        lines = [{"name": one["name"], "price": one["price"], "quantity": one["quantity"]} for one in BASKETS[basket]]
        new = {"new_counterparty": _card(firm)} if not party else {}
        self._base({"do": "create_order", "lines": lines, **party, **new})
        return True

    def edit_books_order(self, which: int, what: str, value: int) -> bool:
        """An accountant changes one field of an order."""
        row = _one(self.books_orders(), which)
        if row is None:
            return False
        key = str(row["Ref_Key"])
        lines = [{"name": one["name"], "price": one["price"], "quantity": one["quantity"]} for one in BASKETS[value]]
        acts: dict[str, tuple[str, Row]] = {
            "comment": ("comment", {"comment": self._own(COMMENTS, value)}),
            "address": ("delivery.address", {"delivery_address": self._own(ADDRESSES, value)}),
            "number": ("number", {"client_number": f"Y-{value}"}),
            "status": ("status", {"status": BOOKS_CODES[value]}),
            "lines": ("lines", {"lines": lines}),
        }
        name, act = acts[what]
        before = self.books_says(row)
        self._base({"do": "edit_order", "id": key, **act})
        after = self.books_says(self._books("Document_ЗаказКлиента", key)[0])
        self._edited("onec", f"order/{key}", name, before, after)
        self._edited("onec", f"order/{key}", "total", before, after)
        return True

    def mark_books_order(self, which: int) -> bool:
        """An accountant marks an order for deletion."""
        row = _one(self.books_orders(), which)
        if row is None:
            return False
        self._base({"do": "delete_order", "id": row["Ref_Key"]})
        return True

    def books_payment(self, which: int, share: str, *, back: bool) -> bool:
        """An accountant enters money for an order, or money given back."""
        row = _one([one for one in self.books_orders() if seen.money(one["СуммаДокумента"]) > 0], which)
        if row is None:
            return False
        amount = str(seen.money(float(row["СуммаДокумента"]) * float(share)))
        self.refunds += back
        do = "create_refund" if back else "create_payment"
        self._base({"do": do, "order": row["Ref_Key"], "amount": amount, "number": str(100 + self.acts)})
        return True

    def money_of_the_books(self, which: int, share: str) -> str | None:
        """An accountant enters money for an order that began in the books. The document's key; None: no such order."""
        row = _one([one for one in self.books_orders() if not one["НомерПоДаннымКлиента"]], which)
        if row is None:
            return None
        amount = str(seen.money(float(row["СуммаДокумента"]) * float(share)))
        act = {"do": "create_payment", "order": row["Ref_Key"], "amount": amount, "number": str(100 + self.acts)}
        return str(self._base(act)["id"])

    def receipts(self, order: str) -> list[Row]:
        """All receipts of money for an order of the books, as they stand."""
        found = self._books("Document_ПоступлениеБезналичныхДенежныхСредств")
        return [
            one for one in found if order in {str(row.get("ОснованиеПлатежа")) for row in one["РасшифровкаПлатежа"]}
        ]

    def mark_money(self, key: str) -> None:
        """An accountant marks a receipt of money for deletion."""
        self.refunds += 1
        self._base({"do": "delete_payment", "id": key})

    def unpost(self, which: int) -> bool:
        """An accountant takes a receipt of money back."""
        found = self._books("Document_ПоступлениеБезналичныхДенежныхСредств")
        row = _one(sorted((one for one in found if one["Posted"]), key=lambda one: str(one["Number"])), which)
        if row is None:
            return False
        self.refunds += 1
        self._base({"do": "unpost_payment", "id": row["Ref_Key"]})
        return True

    def counterparty(self, firm: int) -> bool:
        """An accountant enters a counterparty."""
        if len(seen.people(self._books("Catalog_Контрагенты"))) >= MOST + 1:
            return False
        self._base({"do": "create_counterparty", **_card(firm)})
        return True

    def edit_counterparty(self, which: int, what: str, value: int) -> bool:
        """An accountant changes a counterparty."""
        found = seen.people(self._books("Catalog_Контрагенты"))
        row = _one(found, which)
        if row is None:
            return False
        key = str(row["Ref_Key"])
        acts: dict[str, tuple[str, Row]] = {
            "title": ("name", {"name": self._own(TITLES, value)}),
            "full_name": ("legal_name", {"full_name": self._own(FULL_NAMES, value)}),
            "phones": ("phones", {"phones": [f"+749900000{value}{value}"]}),
            "emails": ("emails", {"emails": [EMAILS[value]]}),
            "address": ("address", {"address": self._own(ADDRESSES, value)}),
        }
        name, act = acts[what]
        before = seen.books_party(row)
        self._base({"do": "edit_counterparty", "id": key, **act})
        after = seen.books_party(self._books("Catalog_Контрагенты", key)[0])
        self._edited("onec", f"counterparty/{key}", name, before, after)
        return True

    def merge_counterparties(self) -> bool:
        """An accountant merges two counterparties of his."""
        found = seen.people(self._books("Catalog_Контрагенты"))
        if len(found) < 2:
            return False
        self._base({"do": "merge_counterparties", "keep": found[0]["Ref_Key"], "drop": found[1]["Ref_Key"]})
        return True

    def statement(self, which: int, amount: str, *, named: bool, back: bool) -> bytes:
        """A bank's file with one document of a firm's money, and what was in it the day before, once more."""
        firm = FIRMS[which % len(FIRMS)]
        purpose = f"Оплата заказа №{1001 + which}" if named else "Оплата по счёту"
        day = self.house.bus.ledger.now().strftime("%d.%m.%Y")
        said = {"Номер": str(20 + len(self.documents)), "Дата": day, "Сумма": amount, "НазначениеПлатежа": purpose}
        us, them = ("Получатель", "Плательщик")
        if back:
            us, them, said["НазначениеПлатежа"] = them, us, f"Возврат оплаты, {purpose}"
            self.refunds += 1
        moved = "ДатаСписано" if back else "ДатаПоступило"
        said |= {f"{us}Счет": OWN_ACCOUNT, f"{us}1": "ООО Песочница", f"{us}ИНН": "", f"{us}КПП": "", moved: day}
        said |= {f"{them}Счет": THEIRS, f"{them}1": firm["full"], f"{them}ИНН": firm["inn"], f"{them}КПП": firm["kpp"]}
        said |= {"ДатаСписано" if not back else "ДатаПоступило": None}
        self.documents.append(document(**said))
        if named and not back:
            self.bank.append({"id": "", "order": str(1001 + which)})
        return raw(*self.documents[-2:], accounts="")

    def books_says(self, row: Row) -> Row:
        """What an order of the books says."""
        goods = {one["Ref_Key"]: one for one in self._books("Catalog_Номенклатура")}
        return seen.books_order(row, goods)

    # ---- both at once

    def both(self, which: int, what: str, value: int, other: int, *, shop_first: bool) -> bool:
        """One order's field is changed in the shop and in the CRM, or one company's in the CRM and in the books."""
        acts = (
            self._firm_acts(what, value, other)
            if what.startswith("firm ")
            else self._order_acts(which, what, value, other)
        )
        if acts is None:
            return False
        one, two = acts if shop_first else acts[::-1]
        one()
        two()
        return True

    def edit_disputed(self, system: str, value: int) -> None:
        """Of the firm that both have, somebody at one of them writes the address once more."""
        acts = self._firm_acts("firm address", value, value)
        if acts is not None:
            acts[system == "onec"]()

    def _order_acts(self, which: int, what: str, value: int, other: int) -> tuple[Callable[[], object], ...] | None:
        order = _one(self.shop_orders(), which)
        at = [number for number, row in enumerate(self.deals()) if order and row["UF_CRM_ORDER_ID"] == str(order["id"])]
        if order is None or not at:
            return None
        here = next(number for number, row in enumerate(self.shop_orders()) if row is order)
        if what == "status":
            return lambda: self.order_status(here, SHOP_CODES[value]), lambda: self.move_deal(at[0], STAGES[other + 3])
        there = self.edit_contact if what in OF_A_CONTACT else self.edit_deal
        return lambda: self.edit_order(here, what, value), lambda: there(at[0], what, other)

    def _firm_acts(self, what: str, value: int, other: int) -> tuple[Callable[[], object], ...] | None:
        state, field_ = self.house.portal.state({}), what.removeprefix("firm ")
        cards = [seen.requisite_of(state, int(row["id"])) for row in self.companies()]
        parties = [row["ИНН"] for row in seen.people(self._books("Catalog_Контрагенты"))]
        for at, card in enumerate(cards):
            if card and card["rqInn"] in parties:
                there = parties.index(card["rqInn"])
                return (
                    lambda: self.edit_company(at, field_, value),  # noqa: B023 - called before the next turn
                    lambda: self.edit_counterparty(there, field_, other),  # noqa: B023
                )
        return None

    # ---- how it is done

    def _books(self, name: str, key: str = "") -> list[Row]:
        found = self.house.base.state({"of": name, **({"ids": key} if key else {})})
        return list(found[name])

    def _deal_says(self, key: int) -> Row:
        row = next(one for one in self.deals() if int(one["id"]) == key)
        return seen.deal(row, self.contact_of(row))

    def _company_says(self, key: int) -> Row:
        state = self.house.portal.state({})
        row = next(one for one in state["companies"] if int(one["id"]) == key)
        requisite = seen.requisite_of(state, key)
        return seen.company(row, requisite, addresses_of(state, requisite))

    def _edited(self, system: str, record: str, name: str, before: Row, after: Row) -> None:
        if before.get(name) != after.get(name):
            at = self.house.walls[system]()
            self.edits.append(Edit(system, record, name, before.get(name), after.get(name), at))

    def _shop(self, act: Row) -> Row:
        return self._act(self.house.shop.act, act)

    def _portal(self, act: Row) -> Row:
        return self._act(self.house.portal.act, act)

    def _base(self, act: Row) -> Row:
        return self._act(self.house.base.act, act)

    def _act(self, do: Callable[[Row], Row], act: Row) -> Row:
        self.acts += 1
        self.house.let_pass(0.4)
        self.chronicle.before()
        answer = do(act)
        self.chronicle.after(act, answer)
        return answer

    def _own(self, pool: Sequence[str], which: int) -> str:
        """A text of the pool; mostly one that nobody wrote before, so that it can be told whose it is."""
        return pool[which] if which == len(pool) - 1 else f"{pool[which]} {self.acts}"


def addresses_of(state: Row, requisite: Row | None) -> list[Row]:
    """The addresses of a requisite."""
    own = 8  # the type of a requisite among the owners of addresses
    if requisite is None:
        return []
    return [
        one
        for one in state["addresses"]
        if int(one["ENTITY_TYPE_ID"]) == own and int(one["ENTITY_ID"]) == int(requisite["id"])
    ]


def _one(rows: Sequence[Row], which: int) -> Row | None:
    return rows[which % len(rows)] if rows else None


def _first(codes: set[str], *names: str) -> str:
    return next(name for name in names if name in codes)


def _open_payment(order: Row) -> Row:
    return next((one for one in order["payments"] if one["paid"] != "Y" and one["isReturn"] != "Y"), {})


def _card(firm: int) -> Row:
    one = FIRMS[firm]
    phones = [f"+7495000000{firm}"]
    return {"name": one["name"], "full_name": one["full"], "inn": one["inn"], "kpp": one["kpp"], "phones": phones}
