"""What hangs on a deal: its shop order (crm.orderentity.*), payments, timeline comments (Bitrix24 docs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox import filters
from bus.sandbox.bitrix24.schema import DEAL, INVOICE, TYPES, tidy, typed
from bus.sandbox.envelope import Page, Params, RestError, Row, number, required
from bus.sandbox.store import Table

if TYPE_CHECKING:
    from bus.sandbox.bitrix24.records import Records
    from bus.sandbox.site import Hit, Method


class Links:
    """The handlers and their tables. An order has one owner: a new link takes the old one's place."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.orders: dict[int, tuple[int, int]] = {}
        self.payments = Table(first_id=3001, indexed=("entityId",))
        self.comments: list[Row] = []

    def methods(self) -> dict[str, Method]:
        return {
            "crm.orderentity.add": self.add_order,
            "crm.orderentity.list": self.list_orders,
            "crm.orderentity.deletebyfilter": self.delete_order,
            "crm.item.payment.add": self.add_payment,
            "crm.item.payment.get": self.get_payment,
            "crm.item.payment.list": self.list_payments,
            "crm.item.payment.pay": lambda params, hit: self._pay(params, hit, paid=True),
            "crm.item.payment.unpay": lambda params, hit: self._pay(params, hit, paid=False),
            "crm.timeline.comment.add": self.add_comment,
        }

    def forget(self, kind: int, key: int) -> None:
        """A record was deleted."""
        self.orders = {order: owner for order, owner in self.orders.items() if owner != (kind, key)}

    def add_order(self, params: Params, hit: Hit) -> Row:
        del hit
        order, owner = _link(params)
        if self.orders.get(order) == owner:
            raise RestError("201650000001", "Duplicate entry for key [ownerId, ownerTypeId, orderId]")
        if self._records.get(*owner) is None:
            raise RestError("0", "Owner was not found")
        self.orders[order] = owner
        return {"dealOrder": {"orderId": order, "ownerId": owner[1], "ownerTypeId": owner[0]}}

    def list_orders(self, params: Params, hit: Hit) -> Page:
        """start=-1 gives all rows at once, an exception among the lists."""
        del hit
        where = filters.parse(params.get("filter"), lambda name: (name, "integer"))
        order = filters.parse_order(params.get("order") or {"ownerId": "asc"}, lambda name: (name, "integer"))
        rows = [row for row in self._candidates(where) if where.holds(row)]
        rows = filters.arrange(rows, order)
        start = filters.offset(params)
        found = filters.cut(rows, start) if start >= 0 else filters.Found(rows, None, None)
        select = params.get("select") or ("orderId", "ownerId", "ownerTypeId")
        return Page(
            {"orderEntity": [{name: row[name] for name in select if name in row} for row in found.rows]},
            found.total,
            found.next,
        )

    def delete_order(self, params: Params, hit: Hit) -> bool:
        del hit
        order, owner = _link(params)
        if self.orders.get(order) != owner:
            raise RestError("201640400004", "entity relation is not exists")
        del self.orders[order]
        return True

    def add_payment(self, params: Params, hit: Hit) -> int:
        """Answers the id. A sandbox convenience: `sum` and `paySystemId` may be said."""
        del hit
        required(params, "entityId", "entityTypeId")
        owner = self._records.get(_payable(params), number(params["entityId"]))
        if owner is None:
            raise RestError("0", "Entity not found")
        key = self.payments.new_id()
        amount = typed("double", params.get("sum"))
        self.payments.put(
            {
                "id": key,
                "entityId": owner["id"],
                "entityTypeId": _payable(params),
                "accountNumber": f"{owner['id']}/{key}",
                "paid": "N",
                "datePaid": None,
                "empPaidId": None,
                "paySystemId": number(params.get("paySystemId"), 6),
                "sum": owner["opportunity"] if amount is None else amount,
                "currency": owner["currencyId"],
                "paySystemName": "Cash",
            },
        )
        return key

    def get_payment(self, params: Params, hit: Hit) -> Row:
        del hit
        return _payment(self._find_payment(params))

    def list_payments(self, params: Params, hit: Hit) -> list[Row]:
        del hit
        required(params, "entityId", "entityTypeId")
        keys = self.payments.lookup("entityId", "=", number(params["entityId"])) or ()
        where = filters.parse(
            params.get("filter"), lambda name: (name, "integer" if name.lower().endswith("id") else "string")
        )
        rows = [self.payments.rows[key] for key in keys]
        return [_payment(row) for row in rows if row["entityTypeId"] == _payable(params) and where.holds(row)]

    def add_comment(self, params: Params, hit: Hit) -> int:
        said = params.get("fields")
        if not isinstance(said, dict) or not said.get("ENTITY_ID") or not said.get("COMMENT"):
            raise RestError("", "Required fields: ENTITY_ID, ENTITY_TYPE, COMMENT")
        comment = {"ID": 7001 + len(self.comments), "AUTHOR_ID": hit.user, "CREATED": self._records.now(), **said}
        self.comments.append(comment)
        hit.raise_event("ONCRMTIMELINECOMMENTADD", (comment["ID"],), {"ID": comment["ID"]})
        return int(comment["ID"])

    def _candidates(self, where: filters.Where) -> list[Row]:
        """All links, or only the orders that the filter names."""
        said = [part for part in where.parts if isinstance(part, filters.Condition) and part.field == "orderId"]
        exact = [part for part in said if part.op in ("=", "@")] if not where.any else []
        keys: Any = self.orders
        if exact:
            wanted = exact[0].wanted if exact[0].op == "@" else (exact[0].wanted,)
            keys = [int(key) for key in wanted if isinstance(key, int | float) and int(key) in self.orders]
        return [{"orderId": key, "ownerId": self.orders[key][1], "ownerTypeId": self.orders[key][0]} for key in keys]

    def _find_payment(self, params: Params) -> Row:
        required(params, "id")
        row = self.payments.rows.get(number(params["id"]))
        if row is None:
            raise RestError("0", "Payment not found")
        return row

    def _pay(self, params: Params, hit: Hit, *, paid: bool) -> bool:
        row = self._find_payment(params)
        now = self._records.now()
        changes = {"paid": "Y", "datePaid": now, "empPaidId": hit.user} if paid else {"paid": "N", "datePaid": None}
        self.payments.put({**row, **changes})
        return True


def _link(params: Params) -> tuple[int, tuple[int, int]]:
    said = params.get("fields")
    fields = said if isinstance(said, dict) else {}
    missing = [name for name in ("orderId", "ownerId", "ownerTypeId") if not fields.get(name)]
    if missing:
        raise RestError("0", f"Required fields: {', '.join(missing)}")
    kind = number(fields["ownerTypeId"])
    if kind not in (DEAL, INVOICE):
        raise RestError("0", "Binding is only possible to a deal or invoice")
    return number(fields["orderId"]), (kind, number(fields["ownerId"]))


def _payable(params: Params) -> int:
    kind = number(params["entityTypeId"])
    if kind not in TYPES or not TYPES[kind].funnels:
        raise RestError("0", "Payments are not supported for this entity type")
    return kind


def _payment(row: Row) -> Row:
    return {name: tidy(value) for name, value in row.items() if name not in ("entityId", "entityTypeId")}
