"""Product rows: replace-all writes that recompute the record's sum (Bitrix24 docs, crm.item.productrow.set)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox import filters
from bus.sandbox.bitrix24.schema import DEAL, LETTERS, TYPES, tidy, typed
from bus.sandbox.envelope import Page, Params, RestError, Row, number, required
from bus.sandbox.phpform import as_list

if TYPE_CHECKING:
    from bus.sandbox.bitrix24.records import Records
    from bus.sandbox.site import Hit, Method

_NUMBERS = ("price", "quantity", "discountRate", "discountSum", "taxRate")
_IGNORED = frozenset({"id", "ownerId", "ownerType"})


class Products:
    """The rows of every record that may have them."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._rows: dict[tuple[int, int], list[Row]] = {}
        self._next = 9001

    def methods(self) -> dict[str, Method]:
        return {
            "crm.item.productrow.set": self.set,
            "crm.item.productrow.add": self.add,
            "crm.item.productrow.list": self.find,
            "crm.deal.productrows.set": self.set_old,
            "crm.deal.productrows.get": self.get_old,
        }

    def of(self, kind: int, key: int) -> list[Row]:
        return self._rows.get((kind, key), [])

    def forget(self, kind: int, key: int) -> None:
        self._rows.pop((kind, key), None)

    def total(self, kind: int, key: int) -> float | None:
        """The sum of the rows; None without rows."""
        rows = self.of(kind, key)
        return round(sum(_cost(row) for row in rows), 2) if rows else None

    def set(self, params: Params, hit: Hit) -> Row:
        kind, key = self._owner(params, "productRows")
        self.replace(kind, key, as_list(params["productRows"]), hit)
        return {"productRows": [_shown(row) for row in self.of(kind, key)]}

    def add(self, params: Params, hit: Hit) -> Row:
        required(params, "fields")
        said = params["fields"]
        kind, key = self._owner(said, "ownerId")
        kept = self.of(kind, key)
        self.replace(kind, key, [*kept, {name: value for name, value in said.items() if name not in _IGNORED}], hit)
        return {"productRow": _shown(self.of(kind, key)[-1])}

    def find(self, params: Params, hit: Hit) -> Page:
        del hit
        kinds = {"ownerId": "integer", "id": "integer", "price": "double", "quantity": "double"}
        where = filters.parse(params.get("filter"), lambda name: (name, kinds.get(name, "string")))
        owners = self._owners(where)
        if owners is None:
            raise RestError("INVALID_ARG_VALUE", "Filter by ownerType and ownerId is required")
        rows = [row for owner in owners for row in self.of(*owner) if where.holds(row)]
        found = filters.cut(rows, filters.offset(params))
        return Page({"productRows": [_shown(row) for row in found.rows]}, found.total, found.next)

    def set_old(self, params: Params, hit: Hit) -> bool:
        """crm.deal.productrows.set: upper-case names; rows that are the same are not saved again."""
        key = self._deal(params)
        said = [{_camel(name): value for name, value in row.items()} for row in as_list(params.get("rows"))]
        old = [_content(row) for row in self.of(DEAL, key)]
        fresh = [self._row(DEAL, key, entry) for entry in said]
        if [_content(row) for row in fresh] != old:
            self.replace(DEAL, key, said, hit)
        return True

    def get_old(self, params: Params, hit: Hit) -> list[Row]:
        key = self._deal(params)
        hit.seen.append(key)
        return [{_upper(name): _old_value(name, value) for name, value in row.items()} for row in self.of(DEAL, key)]

    def replace(self, kind: int, key: int, said: list[Any], hit: Hit) -> None:
        """Rows that are absent are deleted; a row without id is new, so only equal rows with ids are no change."""
        old = self.of(kind, key)
        fresh = [self._row(kind, key, entry, old) for entry in said]
        if fresh == old:
            return
        for row in fresh:
            if row["id"] == 0:
                row["id"] = self._next
                self._next += 1
        self._rows[(kind, key)] = fresh
        record = self._records.tables[kind].rows[key]
        manual = record["isManualOpportunity"] == "Y"
        changes = {} if manual else {"opportunity": self.total(kind, key) or 0.0, "taxValue": _taxes(fresh)}
        self._records.touch(kind, key, changes, hit)

    def _row(self, kind: int, key: int, said: Any, old: list[Row] | None = None) -> Row:
        entry = said if isinstance(said, dict) else {}
        if not entry.get("productName") and not number(entry.get("productId")):
            raise RestError("INVALID_ARG_VALUE", "productId or productName is required")
        known = {row["id"] for row in old or ()}
        row_id = number(entry.get("id"))
        row: Row = {
            "id": row_id if row_id in known else 0,
            "ownerId": key,
            "ownerType": TYPES[kind].letter,
            "productId": number(entry.get("productId")),
            "productName": str(entry.get("productName") or f"Product {entry.get('productId')}"),
        }
        row |= {name: typed("double", entry.get(name)) for name in _NUMBERS}
        row["price"] = row["price"] or 0.0
        row["quantity"] = 1.0 if row["quantity"] is None else row["quantity"]
        row |= {"discountRate": row["discountRate"] or 0.0, "discountSum": row["discountSum"] or 0.0}
        row["discountTypeId"] = number(entry.get("discountTypeId"), 2)
        row["taxIncluded"] = "Y" if entry.get("taxIncluded") in ("Y", True) else "N"
        row["measureCode"] = number(entry.get("measureCode"), 796)
        row["sort"] = number(entry.get("sort"), 10)
        return row

    def _owner(self, params: Params, needed: str) -> tuple[int, int]:
        required(params, "ownerId", "ownerType", needed)
        kind = LETTERS.get(str(params["ownerType"]))
        key = number(params["ownerId"])
        if kind is None or self._records.get(kind, key) is None:
            raise RestError("OWNER_NOT_FOUND", "Owner was not found")
        return kind, key

    def _deal(self, params: Params) -> int:
        key = number(params.get("id"))
        if key <= 0:
            raise RestError("", "The parameter id is invalid or not defined.")
        if self._records.get(DEAL, key) is None:
            raise RestError("", "Not found")
        return key

    def _owners(self, where: filters.Where) -> list[tuple[int, int]] | None:
        said = {part.field: part for part in where.parts if isinstance(part, filters.Condition)}
        letter, owner = said.get("ownerType"), said.get("ownerId")
        kind = LETTERS.get(str(letter.wanted)) if letter and letter.op == "=" else None
        if kind is None or owner is None or owner.op not in ("=", "@"):
            return None
        keys = owner.wanted if owner.op == "@" else (owner.wanted,)
        return [(kind, int(key)) for key in keys if key is not None]


def _cost(row: Row) -> float:
    price = float(row["price"])
    if row["taxIncluded"] == "N" and row["taxRate"]:
        price *= 1 + float(row["taxRate"]) / 100
    return float(price * float(row["quantity"]))


def _taxes(rows: list[Row]) -> float:
    taxes = (_cost(row) * row["taxRate"] / (100 + row["taxRate"]) for row in rows if row["taxRate"])
    return float(round(sum(taxes), 2))


def _shown(row: Row) -> Row:
    price = row["price"]
    derived = {"priceAccount": price, "priceExclusive": price, "priceNetto": price, "priceBrutto": price}
    fixed = {"taxName": "", "customized": "Y", "measureName": "pcs", "xmlId": "", "type": 4}
    return {name: tidy(value) for name, value in {**row, **derived, **fixed}.items()}


def _content(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "id"}


def _old_value(name: str, value: Any) -> Any:
    return str(value) if name in ("id", "ownerId") else tidy(value)


def _camel(name: str) -> str:
    head, *parts = name.lower().split("_")
    return head + "".join(part.capitalize() for part in parts)


def _upper(name: str) -> str:
    return "".join(f"_{char}" if char.isupper() else char.upper() for char in name)
