"""crm.item.*: the universal methods, camelCase and typed (Bitrix24 docs, crm/universal)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox import filters
from bus.sandbox.bitrix24.schema import TYPES, camel, tidy
from bus.sandbox.envelope import Page, Params, RestError, Row, number, required

if TYPE_CHECKING:
    from bus.sandbox.bitrix24.records import Records
    from bus.sandbox.site import Hit, Method


class Items:
    """The handlers. Custom fields are ufCrmOrderId, or UF_CRM_ORDER_ID with useOriginalUfNames=Y, never both."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def methods(self) -> dict[str, Method]:
        return {
            "crm.item.add": self.add,
            "crm.item.get": self.get,
            "crm.item.list": self.list,
            "crm.item.update": self.update,
            "crm.item.delete": self.delete,
            "crm.item.fields": self.fields,
        }

    def add(self, params: Params, hit: Hit) -> Row:
        kind = _kind(params)
        required(params, "fields")
        row = self._records.create(kind, self._incoming(kind, params), hit)
        return {"item": self._outgoing(kind, row, _original(params))}

    def get(self, params: Params, hit: Hit) -> Row:
        kind, row = self._row(params)
        hit.seen.append(row["id"])
        return {"item": self._outgoing(kind, row, _original(params))}

    def update(self, params: Params, hit: Hit) -> Row:
        kind, row = self._row(params)
        required(params, "fields")
        self._records.update(kind, row["id"], self._incoming(kind, params), hit, move=True)
        return {"item": self._outgoing(kind, self._records.tables[kind].rows[row["id"]], _original(params))}

    def delete(self, params: Params, hit: Hit) -> list[Any]:
        kind, row = self._row(params)
        self._records.delete(kind, row["id"], hit)
        return []

    def list(self, params: Params, hit: Hit) -> Page:
        """Fields that do not exist are refused in the filter; total counts all that match."""
        kind = _kind(params)
        names = self._names(kind, original=_original(params))

        def named(name: str) -> tuple[str, str] | None:
            stored = names.get(name)
            return (stored, self._records.kind_of(kind, stored) or "string") if stored else None

        def strict(name: str) -> tuple[str, str] | None:
            found = named(name)
            if found is None:
                raise RestError("INVALID_ARG_VALUE", f"Invalid filter: field '{name}' is not allowed in filter")
            return found

        where = filters.parse(params.get("filter"), strict)
        order = filters.parse_order(params.get("order"), named)
        found = filters.find(self._records.tables[kind], where, order, filters.offset(params))
        hit.seen.extend(row["id"] for row in found.rows)
        wanted = _selected(params.get("select"))
        items = [self._outgoing(kind, row, _original(params), wanted) for row in found.rows]
        return Page({"items": items}, found.total, found.next)

    def fields(self, params: Params, hit: Hit) -> Row:
        del hit
        kind = _kind(params)
        described: Row = {}
        for field in TYPES[kind].fields:
            described[field.name] = _described(field.kind, field.old, writable=field.writable)
        for name, field_kind in self._records.user_fields[kind].items():
            shown = name if _original(params) else camel(name)
            described[shown] = _described(field_kind, name, writable=True) | {"isDynamic": True}
        return {"fields": described}

    def _row(self, params: Params) -> tuple[int, Row]:
        kind = _kind(params)
        required(params, "id")
        row = self._records.get(kind, number(params["id"]))
        if row is None:
            raise RestError("NOT_FOUND", "Element not found")
        return kind, row

    def _names(self, kind: int, *, original: bool) -> Row:
        """The client's names to the stored ones."""
        names: Row = {name: name for name in TYPES[kind].by_name}
        for name in self._records.user_fields[kind]:
            names[name if original else camel(name)] = name
        return names

    def _incoming(self, kind: int, params: Params) -> Row:
        said = params["fields"] if isinstance(params["fields"], dict) else {}
        names = self._names(kind, original=_original(params))
        return self._records.coerce(kind, {names[name]: value for name, value in said.items() if name in names})

    def _outgoing(self, kind: int, row: Row, original: bool, wanted: frozenset[str] | None = None) -> Row:
        custom = self._records.user_fields[kind]
        item: Row = {}
        for stored, value in row.items():
            name = stored if original or stored not in custom else camel(stored)
            if wanted is None or name in wanted or name == "id":
                item[name] = tidy(value)
        if wanted is None:
            item["entityTypeId"] = kind
        return item


def _kind(params: Params) -> int:
    required(params, "entityTypeId")
    kind = number(params["entityTypeId"])
    if kind == 5:  # noqa: PLR2004  # the old invoice
        raise RestError("ENTITY_TYPE_NOT_SUPPORTED", "Entity type is not supported")
    if kind not in TYPES or not TYPES[kind].universal:
        raise RestError("NOT_FOUND", "SPA not found")
    return kind


def _original(params: Params) -> bool:
    return params.get("useOriginalUfNames") in ("Y", True, "true", "1", 1)


def _selected(select: Any) -> frozenset[str] | None:
    names = select.values() if isinstance(select, dict) else select or ()
    chosen = frozenset(str(name) for name in names)
    return None if not chosen or "*" in chosen else chosen


def _described(kind: str, old: str, *, writable: bool) -> Row:
    shown = {"integers": "integer", "multifield": "crm_multifield"}.get(kind, kind)
    return {
        "type": shown,
        "isRequired": False,
        "isReadOnly": not writable,
        "isImmutable": False,
        "isMultiple": kind in ("integers", "multifield"),
        "isDynamic": False,
        "title": old,
        "upperName": old,
    }
