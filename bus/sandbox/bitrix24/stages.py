"""Stages, funnels and other reference lists: crm.status.list, crm.category.list (Bitrix24 docs)."""

from __future__ import annotations

from typing import Any

from bus.sandbox import filters
from bus.sandbox.bitrix24.schema import DEAL, INVOICE, LEAD, QUOTE
from bus.sandbox.envelope import Page, Params, RestError, Row, number, required

_DEAL = (
    ("NEW", "New", None),
    ("PREPARATION", "Preparation of documents", None),
    ("PREPAYMENT_INVOICE", "Invoice for prepayment", None),
    ("EXECUTING", "In progress", None),
    ("FINAL_INVOICE", "Final invoice", None),
    ("WON", "Deal won", "S"),
    ("LOSE", "Deal lost", "F"),
    ("APOLOGY", "Analysis of failure", "F"),
)
_LEAD = (
    ("NEW", "Unassigned", None),
    ("IN_PROCESS", "In progress", None),
    ("PROCESSED", "Processed", None),
    ("CONVERTED", "Good lead", "S"),
    ("JUNK", "Bad lead", "F"),
)
_QUOTE = (
    ("DRAFT", "Draft", None),
    ("SENT", "Sent", None),
    ("APPROVED", "Approved", "S"),
    ("DECLAINED", "Declined", "F"),
    ("APOLOGY", "Analysis of failure", "F"),
)
_INVOICE = (("N", "New", None), ("S", "Sent", None), ("P", "Paid", "S"), ("D", "Not paid", "F"))
_SOURCES = (("CALL", "Call"), ("EMAIL", "E-mail"), ("WEB", "Website"), ("STORE", "Online store"), ("OTHER", "Other"))
_LISTS: dict[str, tuple[tuple[str, str], ...]] = {
    "SOURCE": _SOURCES,
    "COMPANY_TYPE": (("CUSTOMER", "Customer"), ("SUPPLIER", "Supplier"), ("PARTNER", "Partner"), ("OTHER", "Other")),
    "CONTACT_TYPE": (("CLIENT", "Client"), ("SUPPLIER", "Supplier"), ("PARTNER", "Partner"), ("OTHER", "Other")),
}
INVOICE_FUNNEL = 13


class Stages:
    """The portal's reference lists; what stages a funnel has, and which of them are final."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.funnels: dict[int, list[Row]] = {DEAL: [], INVOICE: []}
        self._semantics: dict[tuple[int, int], dict[str, str]] = {}
        self._defaults()

    def add_funnel(self, kind: int, category: int, name: str) -> None:
        """A funnel without stages."""
        row = {"id": category, "name": name, "sort": 100 * (len(self.funnels[kind]) + 1), "entityTypeId": kind}
        row |= {"isDefault": "N" if self.funnels[kind] else "Y", "originId": "", "originatorId": ""}
        self.funnels[kind].append(row)

    def add(self, kind: int, category: int, code: str, name: str, semantics: str | None = None) -> Row:
        """A stage of a funnel; `code` with its prefix (`C1:NEW`)."""
        entity = entity_id(kind, category)
        stages = self._semantics.setdefault((kind, category), {})
        if code not in stages:
            place = category if kind in self.funnels else None
            self._row(entity, code, name, 10 * (len(stages) + 1), semantics=semantics, category=place)
            stages[code] = semantics or "P"
        return next(row for row in self.rows if row["ENTITY_ID"] == entity and row["STATUS_ID"] == code)

    def known(self, kind: int, category: int, code: Any) -> bool:
        return code in self._semantics.get((kind, category), {})

    def has_funnel(self, kind: int, category: int) -> bool:
        return (kind, category) in self._semantics

    def first(self, kind: int, category: int) -> str:
        return next(iter(self._semantics[(kind, category)]))

    def semantics(self, kind: int, category: int, code: str) -> str:
        """P in progress, S success, F failure."""
        return self._semantics[(kind, category)][code]

    def default_funnel(self, kind: int) -> int:
        return int(self.funnels[kind][0]["id"]) if kind in self.funnels else 0

    def list_statuses(self, params: Params, hit: Any) -> Page:
        """crm.status.list: no pages, all rows that match."""
        del hit
        where = filters.parse(params.get("filter"), lambda name: (name, "string"))
        order = filters.parse_order(params.get("order") or {"SORT": "ASC"}, lambda name: (name, "string"))
        rows = filters.arrange([row for row in self.rows if where.holds(row)], order)
        return Page([{**row, "SORT": str(row["SORT"])} for row in rows], len(rows))

    def list_categories(self, params: Params, hit: Any) -> Page:
        del hit
        required(params, "entityTypeId")
        rows = self.funnels.get(number(params["entityTypeId"]))
        if rows is None:
            raise RestError("ENTITY_TYPE_NOT_SUPPORTED", "Entity type is not supported")
        return Page({"categories": rows}, len(rows))

    def list_deal_categories(self, params: Params, hit: Any) -> Page:
        """crm.dealcategory.list: the old form, without the general funnel."""
        del params, hit
        rows = [row for row in self.funnels[DEAL] if row["id"]]
        return Page([{"ID": str(row["id"]), "NAME": row["name"], "SORT": str(row["sort"])} for row in rows], len(rows))

    def list_deal_stages(self, params: Params, hit: Any) -> list[Row]:
        """crm.dealcategory.stage.list: the old form."""
        del hit
        entity = entity_id(DEAL, number(params.get("id")))
        rows = [row for row in self.rows if row["ENTITY_ID"] == entity]
        return [{"NAME": row["NAME"], "SORT": row["SORT"], "STATUS_ID": row["STATUS_ID"]} for row in rows]

    def _defaults(self) -> None:
        self.add_funnel(DEAL, 0, "General")
        self.add_funnel(DEAL, 1, "Wholesale")
        self.add_funnel(INVOICE, INVOICE_FUNNEL, "General")
        for code, name, semantics in _DEAL:
            self.add(DEAL, 0, code, name, semantics)
            self.add(DEAL, 1, f"C1:{code}", name, semantics)
        for code, name, semantics in _LEAD:
            self.add(LEAD, 0, code, name, semantics)
        for code, name, semantics in _QUOTE:
            self.add(QUOTE, 0, code, name, semantics)
        for code, name, semantics in _INVOICE:
            self.add(INVOICE, INVOICE_FUNNEL, f"DT31_{INVOICE_FUNNEL}:{code}", name, semantics)
        for entity, codes in _LISTS.items():
            for index, (code, name) in enumerate(codes):
                self._row(entity, code, name, 10 * (index + 1), semantics=None, category=None)

    def _row(
        self, entity: str, code: str, name: str, sort: int, *, semantics: str | None, category: int | None
    ) -> None:
        self.rows.append(
            {
                "ID": str(100 + len(self.rows)),
                "ENTITY_ID": entity,
                "STATUS_ID": code,
                "NAME": name,
                "NAME_INIT": name,
                "SORT": sort,
                "SYSTEM": "N" if ":" in code or code.startswith("UC_") else "Y",
                "COLOR": "#39A8EF",
                "SEMANTICS": semantics,
                "CATEGORY_ID": None if category is None else str(category),
                "EXTRA": {
                    "SEMANTICS": {"S": "success", "F": "failure"}.get(semantics or "", "process"),
                    "COLOR": "#39A8EF",
                },
            },
        )


def entity_id(kind: int, category: int) -> str:
    """ENTITY_ID of a funnel's stages in crm.status.list."""
    match kind:
        case 1:
            return "STATUS"
        case 2:
            return f"DEAL_STAGE_{category}" if category else "DEAL_STAGE"
        case 7:
            return "QUOTE_STATUS"
        case _:
            return f"SMART_INVOICE_STAGE_{category}"
