"""crm.deal.*, crm.contact.*, crm.company.* …: the old methods, upper-case names and strings (Bitrix24 docs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox import filters
from bus.sandbox.bitrix24.multifields import TYPES as MULTI
from bus.sandbox.bitrix24.schema import COMPANY, CONTACT, DEAL, LEAD, QUOTE, TYPES, classic
from bus.sandbox.envelope import Page, Params, RestError, Row, number
from bus.sandbox.phpform import as_list

if TYPE_CHECKING:
    from bus.sandbox.bitrix24.records import Records
    from bus.sandbox.site import Hit, Method

PREFIXES = {
    "crm.lead": LEAD,
    "crm.deal": DEAL,
    "crm.contact": CONTACT,
    "crm.company": COMPANY,
    "crm.quote": QUOTE,
}
_READ_ONLY = {DEAL: frozenset({"leadId", "quoteId"})}
"""Settable by crm.item.* but dropped by the old methods."""


def methods(records: Records) -> dict[str, Method]:
    """The methods of every old family."""
    return {name: method for prefix, kind in PREFIXES.items() for name, method in Family(records, kind).methods(prefix)}


class Family:
    """The methods of one object type. Refusals are HTTP 400 with an empty code and a text."""

    def __init__(self, records: Records, kind: int) -> None:
        self._records = records
        self._kind = kind
        self._fields = TYPES[kind].by_old
        self._multi = "fm" in TYPES[kind].by_name

    def methods(self, prefix: str) -> list[tuple[str, Method]]:
        """The methods under their full names."""
        handlers = (self.add, self.get, self.list, self.update, self.delete, self.fields)
        return [(f"{prefix}.{handler.__name__}", handler) for handler in handlers]

    def admit(self, fields: Row) -> None:
        """Refuse an add that lacks what its type needs; may complete `fields`."""

    def missing(self, key: int) -> RestError:
        del key
        return RestError("", "Not found")

    def add(self, params: Params, hit: Hit) -> int:
        """Answers the id. There is no key to make a repeated add harmless."""
        fields = self._incoming(params)
        self.admit(fields)
        return int(self._records.create(self._kind, fields, hit)["id"])

    def get(self, params: Params, hit: Hit) -> Row:
        row = self._row(params)
        hit.seen.append(row["id"])
        return self._outgoing(row, None, custom=True, multi=True)

    def update(self, params: Params, hit: Hit) -> bool:
        """Answers true even when nothing was saved: an unknown stage and CATEGORY_ID are ignored."""
        row = self._row(params)
        self._records.update(self._kind, row["id"], self._incoming(params), hit)
        return True

    def delete(self, params: Params, hit: Hit) -> bool:
        self._records.delete(self._kind, self._row(params)["id"], hit)
        return True

    def list(self, params: Params, hit: Hit) -> Page:
        """Unknown filter fields are ignored. Custom fields and phones come only when they are selected."""
        where = filters.parse(self._owners(params.get("filter")), self._named)
        order = filters.parse_order(params.get("order"), self._named)
        found = filters.find(self._records.tables[self._kind], where, order, filters.offset(params))
        hit.seen.extend(row["id"] for row in found.rows)
        select = {str(name).upper() for name in as_list(params.get("select"))}
        whole = not select or "*" in select
        custom = "UF_*" in select
        rows = [
            self._outgoing(row, None if whole else select, custom=custom, multi=False, named=select)
            for row in found.rows
        ]
        return Page(rows, found.total, found.next)

    def fields(self, params: Params, hit: Hit) -> Row:
        del params, hit
        described: Row = {}
        for field in self._fields.values():
            writable = field.writable and field.name not in _READ_ONLY.get(self._kind, ())
            described[field.old] = _described(field.kind, field.old, writable=writable)
        for name, kind in self._records.user_fields[self._kind].items():
            described[name] = _described(kind, name, writable=True) | {"isDynamic": True}
        for name in MULTI if self._multi else ():
            described[name] = _described("multifield", name, writable=True)
        return described

    def _row(self, params: Params) -> Row:
        key = number(params.get("id", params.get("ID")))
        if key <= 0:
            raise RestError("", "ID is not defined or invalid.")
        row = self._records.get(self._kind, key)
        if row is None:
            raise self.missing(key)
        return row

    def _named(self, name: str) -> tuple[str, str] | None:
        stored = self._stored(name.upper())
        return (stored, self._records.kind_of(self._kind, stored) or "string") if stored else None

    def _owners(self, said: Any) -> Any:
        """A filter by PHONE or EMAIL, letter by letter as they were entered, as a filter by the ids of the owners."""
        if not self._multi or not isinstance(said, dict):
            return said
        filtered: Row = {}
        for name, value in said.items():
            kind = str(name).lstrip("=@").upper()
            if kind in MULTI:
                owners = {"@ID": self._records.multifields.owners(self._kind, kind, as_list(value))}
                filtered |= owners if "@ID" not in filtered else {str(len(filtered)): owners}
            else:
                filtered[name] = value
        return filtered

    def _stored(self, old: str) -> str | None:
        if old in self._records.user_fields[self._kind]:
            return old
        return self._fields[old].name if old in self._fields else None

    def _incoming(self, params: Params) -> Row:
        said = params.get("fields", params.get("FIELDS"))
        if isinstance(said, list) and not said:
            said = {}
        if not isinstance(said, dict):
            raise RestError("", "Parameter 'fields' must be array.")
        fields: Row = {}
        phones: list[Row] = []
        for old, value in said.items():
            name = self._stored(str(old).upper())
            if self._multi and str(old).upper() in MULTI:
                phones += [
                    {**entry, "TYPE_ID": str(old).upper()} for entry in as_list(value) if isinstance(entry, dict)
                ]
            elif name and name not in _READ_ONLY.get(self._kind, ()):
                fields[name] = value
        return self._records.coerce(self._kind, fields) | ({"fm": phones} if phones else {})

    def _outgoing(
        self,
        row: Row,
        wanted: set[str] | None,
        *,
        custom: bool,
        multi: bool,
        named: set[str] | None = None,
    ) -> Row:
        shown: Row = {}
        for old, field in self._fields.items():
            if field.kind in ("integers", "multifield"):
                continue
            if wanted is None or old in wanted or old == "ID":
                shown[old] = classic(field.kind, row[field.name])
        for name, kind in self._records.user_fields[self._kind].items():
            if custom or (named and name in named):
                shown[name] = classic(kind, row.get(name))
        if self._multi:
            shown |= self._multifields(row, named or set(), every=multi)
        return shown

    def _multifields(self, row: Row, named: set[str], *, every: bool) -> Row:
        shown: Row = {}
        for name in MULTI:
            entries = [entry for entry in row["fm"] if entry["typeId"] == name]
            if entries and (every or name in named):
                shown[name] = [
                    {"ID": str(entry["id"]), "VALUE_TYPE": entry["valueType"], "VALUE": entry["value"], "TYPE_ID": name}
                    for entry in entries
                ]
        if every:
            kinds = {entry["typeId"] for entry in row["fm"]}
            shown |= {f"HAS_{name}": "Y" if name in kinds else "N" for name in ("PHONE", "EMAIL")}
        return shown


def _described(kind: str, title: str, *, writable: bool) -> Row:
    return {
        "type": {"integers": "integer", "multifield": "crm_multifield"}.get(kind, kind),
        "isRequired": False,
        "isReadOnly": not writable,
        "isImmutable": False,
        "isMultiple": kind in ("integers", "multifield"),
        "isDynamic": False,
        "title": title,
    }
