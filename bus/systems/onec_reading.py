"""Reading a 1C base: objects with what belongs to them, which is read for many at once, never one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import chain

from bus.errors import ConfigError
from bus.model import Json
from bus.ports import Raw, RawRecord
from bus.systems.onec_calls import KEY, Calls, is_key
from bus.systems.onec_errors import Unpublished
from bus.systems.onec_figures import exact
from bus.systems.onec_names import Names
from bus.systems.onec_shelf import EMPTY, Shelf

RECORDS = ("order", "payment", "counterparty")
PARTS = frozenset({"items", "counterparties", "accounts"})
MONEY: Mapping[str, tuple[str, ...]] = {
    "bank": ("receipt", "refund"),
    "cash": ("cash", "cash_refund"),
}
"""Documents of money by what they go through: settings.payments names which of them the bus reads."""
_CODED = ("currencies", "units")
"""Directories whose elements have a code that means something outside of the base."""
_PREDEFINED = ("PredefinedDataName", "ИмяПредопределенногоВида")
_PARTY = ("name", "legal_name", "inn", "kpp", "type")
_ORDER_TYPE = "StandardODATA."


Accounts = dict[str, list[Raw]]
"""Bank accounts by their owner's key."""


class Reader:
    """Objects of one base as its translators read them: the row, "@read_at", and what was read along."""

    def __init__(self, calls: Calls, names: Names, settings: Mapping[str, str], shelf: Shelf) -> None:
        self.calls, self.names, self.shelf = calls, names, shelf
        self._settings = settings
        self.money = money_of(settings, names)

    def fetch(self, record_type: str, ids: Sequence[str], parts: Collection[str] | None) -> dict[str, Raw]:
        """Present records; those with a deletion mark count as removed, and so are left out."""
        wanted = PARTS if parts is None else frozenset(parts)
        if record_type == "payment":
            return self._payments(ids)
        if record_type not in RECORDS:
            raise ConfigError(f"onec has no records of type {record_type!r}, only {', '.join(RECORDS)}")
        rows = self.calls.by_keys(self.names.need(record_type), ids)
        return {record.id: record.raw for record in self.records(record_type, rows, wanted)}

    def records(
        self, thing: str, rows: Sequence[Raw], parts: Collection[str] = PARTS, accounts: Accounts | None = None
    ) -> list[RawRecord]:
        """Rows of a set as records, complete; `thing` is what the set is for, of a payment which document it is.

        `accounts`: all bank accounts of the base, where they were read before.
        """
        rows = [row for row in rows if not self.removed(thing, row)]
        if thing == "order":
            return [RawRecord("order", _key(row), raw) for row, raw in self._orders(rows, parts)]
        if thing == "counterparty":
            return [
                RawRecord("counterparty", _key(row), raw) for row, raw in self._counterparties(rows, parts, accounts)
            ]
        return self._split(thing, rows)

    def gone(self, thing: str, rows: Sequence[Raw]) -> list[RawRecord]:
        """Of these rows the records that do not count any more: marked for deletion, a refund that is not posted."""
        rows = [row for row in rows if self.removed(thing, row) and not self._nobody(thing, row)]
        versions = {_key(row): {"@version": row.get("DataVersion")} for row in rows}
        if thing in RECORDS:
            return [RawRecord(thing, key, version, gone=True) for key, version in versions.items()]
        parts = self._split(thing, rows) if rows else []
        return [RawRecord(part.type, part.id, versions[part.id.partition(":")[0]], gone=True) for part in parts]

    def rest(self, thing: str, rows: Sequence[Raw]) -> list[RawRecord]:
        """What else documents of money were, before somebody moved them to other orders: that is gone, whatever it was.

        Which orders that were is not in the base any more.
        """
        if thing in RECORDS:
            return []
        versions = {f"{_key(row)}:": {"@version": row.get("DataVersion")} for row in rows}
        return [RawRecord("payment", key, version, gone=True, rest=True) for key, version in versions.items()]

    def removed(self, thing: str, row: Raw) -> bool:
        """Marked for deletion, made one of another operation, or no record at all; refunds count only when posted."""
        marked = self.names.get(thing, "deleted")
        if (marked and row.get(marked)) or self._nobody(thing, row) or self.of_another_operation(thing, row):
            return True
        return thing in ("refund", "cash_refund") and not row.get(self.names.need(thing, "posted"))

    def _nobody(self, thing: str, row: Raw) -> bool:
        """A folder of counterparties, or the one that stands for all buyers without an INN."""
        folder = self.names.get(thing, "folder")
        shared = self._settings.get("retail_counterparty", "").lower()
        return bool(folder and row.get(folder)) or (thing == "counterparty" and _key(row) == shared)

    def operation(self, thing: str) -> str:
        """The condition that a document of money is of customers' orders at all; empty where there is none."""
        name, value = self.names.get(thing, "operation"), self.names.get(thing, "operation_is")
        return f"{name} eq '{value}'" if name and value else ""

    def of_another_operation(self, thing: str, row: Raw) -> bool:
        """Does a document of money not fulfil that condition (any more)?"""
        return bool(self.operation(thing)) and row.get(self.names.need(thing, "operation")) != self.names.get(
            thing, "operation_is"
        )

    def currency_key(self, code: str) -> str | None:
        """The base's currency of an ISO code, by name or number."""
        wanted = (code, _NUMBERS.get(code))
        rows = self.directory("currencies")
        return next((key for key, row in rows.items() if {row.get("Description"), row.get("Code")} & set(wanted)), None)

    def directory(self, name: str) -> dict[str, Raw]:
        """A small catalogue whole: currencies, organisations."""
        set_ = self.names.need("directories", name)
        select = [KEY, "Description", *(["Code"] if name in _CODED else [])]
        return self.shelf.all(name, lambda: self.calls.rows(set_, {"$select": ",".join(select)}))

    def kinds(self) -> dict[str, str]:
        """Kinds of contacts by key, as far as they mean something to us: by predefined name, else by their own."""
        return {key: str(row["@is"]) for key, row in self.shelf.all("kinds", self._kinds).items()}

    def parties(self, keys: Iterable[str]) -> dict[str, Raw]:
        """What documents tell of their counterparties, by key, in roles."""
        names = {role: self.names.get("counterparty", role) for role in _PARTY}
        select = [KEY, *(name for name in names.values() if name)]
        rows = self.calls.by_keys(self.names.need("counterparty"), [key for key in keys if key != EMPTY], select=select)
        shared = self._settings.get("retail_counterparty", "").lower()
        return {
            _key(row): {role: row.get(name) for role, name in names.items() if name}
            | ({"shared": True} if _key(row) == shared else {})
            for row in rows
        }

    def items(self, keys: Iterable[str]) -> dict[str, Raw]:
        """Goods by key, in roles."""
        roles = ("name", "article", "tax_rate")
        names = {role: name for role in roles if (name := self.names.get("item", role))}
        set_ = self.names.need("item")
        rows = self.shelf.some("item", keys, lambda some: self.calls.by_keys(set_, some, select=[KEY, *names.values()]))
        return {
            key: self._item(key, {role: row.get(name) for role, name in names.items()}) for key, row in rows.items()
        }

    def tax_rate(self, item: str) -> str | None:
        """The rate that an item is taxed by, where the base keeps it as a reference."""
        rate = self.items([item]).get(item, {}).get("tax_rate")
        return str(rate) if rate and rate != EMPTY else None

    def _item(self, key: str, item: Raw) -> Raw:
        """Goods, told from what delivery costs: the item that the settings name for that by key or article."""
        delivery = self._settings.get("delivery_item", "").lower()
        called = delivery and delivery in (key, str(item.get("article") or "").lower())
        return item | ({"delivery": True} if called else {})

    def _orders(self, rows: Sequence[Raw], parts: Collection[str]) -> list[tuple[Raw, Raw]]:
        name = {role: self.names.get("order", role) for role in ("currency", "counterparty", "rows", "row_item")}
        related: dict[str, dict[str, Raw]] = {"currencies": self.directory("currencies") if rows else {}}
        if "counterparties" in parts:
            related["counterparties"] = self.parties(str(row.get(name["counterparty"] or "")) for row in rows)
        if "items" in parts:
            goods = [one for row in rows for one in row.get(name["rows"] or "") or []]
            related["items"] = self.items(str(one.get(name["row_item"] or "")).lower() for one in goods)
        if self.names.has("states") and rows:
            related["states"] = self.states()
        return [(row, self._raw(row, related)) for row in rows]

    def accounts(self) -> Accounts:
        """All bank accounts of counterparties, by pages: for many owners that is less than asking by each of them."""
        set_ = self.names.get("account", "set")
        return self._by_owner(self._or_none(set_, lambda: list(chain(*self.calls.pages(set_))))) if set_ else {}

    def _counterparties(
        self, rows: Sequence[Raw], parts: Collection[str], accounts: Accounts | None
    ) -> list[tuple[Raw, Raw]]:
        kinds = self.kinds() if rows else {}
        if accounts is None and "accounts" in parts and rows:
            accounts = self._accounts([_key(row) for row in rows])
        return [
            (
                row,
                self._raw(row, {})
                | {"@kinds": kinds}
                | ({"@accounts": accounts.get(_key(row), [])} if accounts is not None else {}),
            )
            for row in rows
        ]

    def _payments(self, ids: Sequence[str]) -> dict[str, Raw]:
        """Payments are parts of documents, and which kind of document one is a part of is not in its id."""
        left, found = {one.partition(":")[0] for one in ids}, dict[str, Raw]()
        for thing in self.money:
            rows = self.calls.by_keys(self.names.need(thing), sorted(left)) if left else []
            left -= {_key(row) for row in rows}
            found |= {record.id: record.raw for record in self.records(thing, rows)}
        return {one: found[one] for one in ids if one in found}

    def _split(self, thing: str, rows: Sequence[Raw]) -> list[RawRecord]:
        """A payment for each order that a document is split over; its rows of one order are one sum."""
        bases = self.settled_by(thing, rows)
        name = {role: self.names.get(thing, role) for role in ("counterparty", "rows", "row_amount")}
        related: dict[str, dict[str, Raw]] = {"currencies": self.directory("currencies") if rows else {}}
        related["counterparties"] = self.parties(str(row.get(name["counterparty"] or "")) for row in rows)
        records: list[RawRecord] = []
        for row in rows:
            sums: dict[str, Decimal] = {}
            for part in row.get(name["rows"] or "") or []:
                order = self.order_of(thing, part, bases)
                if order:
                    sums[order] = sums.get(order, Decimal(0)) + exact(part.get(name["row_amount"] or ""))
            first = max(sums, key=lambda order: sums[order], default="")
            for order, amount in sums.items():
                raw = self._part(thing, row, related, order, amount, first=first == order)
                records.append(RawRecord("payment", f"{_key(row)}:{order}", raw))
        return records

    def order_of(self, thing: str, part: Raw, settled: Mapping[str, str]) -> str | None:
        """The order that a row of a payment is for: said at once, or through the object of settlements."""
        field, settlement = self.names.need(thing, "row_order"), self.names.get(thing, "row_settlement")
        said = str(part.get(field) or EMPTY).lower()
        kind = part.get(f"{field}_Type")
        if said != EMPTY and is_key(said) and (kind is None or kind == _ORDER_TYPE + self.names.need("order")):
            return said
        return settled.get(str(part.get(settlement or "") or "").lower())

    def settled_by(self, thing: str, rows: Sequence[Raw]) -> dict[str, str]:
        """Orders by object of settlements, for rows that name no order themselves."""
        settlement, section = self.names.get(thing, "row_settlement"), self.names.need(thing, "rows")
        if not settlement or not self.names.has("settlements"):
            return {}
        parts = [part for row in rows for part in row.get(section) or [] if self.order_of(thing, part, {}) is None]
        keys = {str(part.get(settlement) or EMPTY).lower() for part in parts} - {EMPTY}
        field = self.names.need("settlements", "object")
        found = self._beside(self.names.need("settlements"), sorted(keys))
        kind = _ORDER_TYPE + self.names.need("order")
        return {_key(row): str(row.get(field)).lower() for row in found if row.get(f"{field}_Type") == kind}

    def _part(self, thing: str, row: Raw, related: Raw, order: str, amount: Decimal, *, first: bool) -> Raw:
        own = {"@thing": thing, "@order": order, "@amount": f"{amount:f}", "@first": first}
        return self._raw(row, related) | own

    def _raw(self, row: Raw, related: Mapping[str, Mapping[str, Raw]]) -> Raw:
        """The row with what it points to, and nothing of what its neighbours point to."""
        pointed = {str(value).lower() for value in _leaves(row)}
        mine = {name: {key: one for key, one in found.items() if key in pointed} for name, found in related.items()}
        return row | {"@related": mine, "@read_at": self.calls.now().isoformat()}

    def states(self) -> dict[str, Raw]:
        """States of УНФ's orders."""
        set_ = self.names.need("states")
        return self.shelf.all("states", lambda: self.calls.rows(set_, {"$select": f"{KEY},Description"}))

    def _kinds(self) -> list[Raw]:
        """Kinds of contacts of counterparties: those with predefined names, else those that are called so."""
        set_ = self.names.need("contact_kinds")
        rows = [] if self.shelf.lacks(set_) else self._or_none(set_, lambda: self.calls.rows(set_, {}))
        found: list[Raw] = []
        for role in ("phone", "email", "legal_address", "address"):
            named, _, called = (self.names.get("contact_kinds", role) or "").partition("|")
            sure = [row for row in rows if named in (row.get(name) for name in _PREDEFINED)]
            alike = [row for row in rows if called and row.get("Description") == called and not row.get("DeletionMark")]
            found += [row | {"@is": role} for row in sure or alike]
        return found

    def _accounts(self, owners: Sequence[str]) -> Accounts:
        """Bank accounts of some counterparties."""
        if not self.names.has("account"):
            return {}
        owner, set_, party = (
            self.names.need("account", "owner"),
            self.names.need("account"),
            self.names.need("counterparty"),
        )
        asked = [f"{owner} eq guid'{key}'" for key in owners if is_key(key)]
        if self.names.get("account", "owner_type"):
            asked = [f"{owner} eq cast(guid'{key}', '{party}')" for key in owners if is_key(key)]
        rows = [] if self.shelf.lacks(set_) else self._or_none(set_, lambda: self.calls.any_of(set_, asked))
        return self._by_owner(rows)

    def _by_owner(self, rows: Sequence[Raw]) -> Accounts:
        """Accounts in roles, by number, without those that are marked for deletion."""
        name = {role: self.names.get("account", role) or "" for role in ("owner", "account", "deleted", "bank")}
        rows = [row for row in rows if not row.get(name["deleted"])]
        banks = self._banks(str(row.get(name["bank"]) or EMPTY) for row in rows)
        found: Accounts = {}
        for row in sorted(rows, key=lambda one: str(one.get(name["account"]) or "")):
            account = self._account(row, banks.get(str(row.get(name["bank"]) or ""), {}))
            found.setdefault(str(row.get(name["owner"])).lower(), []).append(account)
        return found

    def _account(self, row: Raw, bank: Raw) -> Raw:
        """Of an account its number and bank: of the directory of banks, or as somebody wrote it into the account."""
        own = {role: row.get(self.names.get("account", role) or "") for role in ("account", "bic", "bank_name")}
        bic, called = own["bic"] or bank.get("Code"), own["bank_name"] or bank.get("Description")
        return {"account": own["account"] or "", "bic": bic or None, "bank": called or None}

    def _banks(self, keys: Iterable[str]) -> dict[str, Raw]:
        set_ = self.names.get("directories", "banks")
        if set_ is None:
            return {}
        select = [KEY, "Code", "Description"]
        return self.shelf.some("bank", keys, lambda some: self._beside(set_, some, select))

    def _beside(self, set_: str, keys: Sequence[str], select: Sequence[str] = ()) -> list[Raw]:
        """Objects without which a record can still be told; none where the base does not publish them."""
        if not keys or self.shelf.lacks(set_):
            return []
        return self._or_none(set_, lambda: self.calls.by_keys(set_, keys, select=select))

    def _or_none(self, set_: str, read: Callable[[], list[Raw]]) -> list[Raw]:
        try:
            return read()
        except Unpublished:
            self.shelf.lacking(set_)
            return []


def money_of(settings: Mapping[str, str], names: Names) -> tuple[str, ...]:
    """The documents that are payments here. Raises ConfigError for a word that is none of ours."""
    said = settings.get("payments", "bank").split()
    if unknown := [word for word in said if word not in MONEY]:
        raise ConfigError(f"settings.payments: {unknown[0]!r} is not known; write one or more of {', '.join(MONEY)}")
    return tuple(thing for word in said for thing in MONEY[word] if names.has(thing))


def _key(row: Raw) -> str:
    return str(row[KEY]).lower()


def _leaves(row: Raw) -> Iterable[Json]:
    for value in row.values():
        if isinstance(value, list):
            for part in value:
                yield from part.values() if isinstance(part, dict) else (part,)
        else:
            yield value


_NUMBERS: Mapping[str, str] = {
    "RUB": "643",
    "USD": "840",
    "EUR": "978",
    "CNY": "156",
    "KZT": "398",
    "BYN": "933",
}
"""ISO 4217 numbers of currencies: bases often name theirs in words of their own."""
