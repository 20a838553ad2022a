"""Reads: filter, order, skip then top, count; one entity; what stands behind its references; slices of registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bus.sandbox.onec.objects import register_key, storage_order
from bus.sandbox.onec.odata import errors, filters
from bus.sandbox.onec.odata.addresses import Key
from bus.sandbox.onec.odata.functions import same
from bus.sandbox.onec.odata.options import Options
from bus.sandbox.onec.odata.paths import Term, resolve
from bus.sandbox.onec.odata.published import Published
from bus.sandbox.onec.odata.shapes import Shape, shape
from bus.sandbox.onec.schema import EntitySet, Row
from bus.sandbox.onec.switches import Switches


@dataclass(frozen=True)
class Page:
    """Rows of one set to be shown in one shape; `total` when $inlinecount asked for it."""

    schema: EntitySet
    shape: Shape
    rows: list[Row]
    total: int | None = None


@dataclass(frozen=True)
class Reader:
    """Reads what is published; rows hidden by row-level security refuse the read, or drop out with allowedOnly."""

    published: Published
    switches: Switches

    def page(self, name: str, options: Options) -> Page:
        schema = self.published.of(name)
        form = shape(self.published, schema, options.select, options.expand)
        return self._cut(schema, form, self._found(schema, self.published.rows(name), options), options)

    def count(self, name: str, options: Options) -> int:
        schema = self.published.of(name)
        return len(self._found(schema, self.published.rows(name), options))

    def entity(self, name: str, key: Key, options: Options) -> Page:
        """One entity; $expand does not work here, and says nothing."""
        schema = self.published.of(name)
        row = self.one(schema, key)
        self._check_rights([row], schema)
        return Page(schema, shape(self.published, schema, options.select), [row])

    def behind(self, name: str, key: Key, link: str, options: Options) -> Page:
        """The entity that a navigation property leads to."""
        schema = self.published.of(name)
        one = schema.navigations.get(link)
        target = self.published.target(one) if one else None
        if one is None or target is None:
            raise errors.no_segment(link)
        return self.entity(target.name, {"": self.one(schema, key)[one.name]}, options)

    def slice(self, name: str, arguments: Key, options: Options, *, last: bool) -> Page:
        """SliceLast and SliceFirst of a periodic register: the nearest row of each combination of dimensions."""
        schema = self.published.of(name)
        if "Period" not in schema.keys:
            raise errors.no_method(f"{name}/{'SliceLast' if last else 'SliceFirst'}")
        rows = sorted(self.published.rows(name), key=lambda row: str(row["Period"]), reverse=not last)
        period = arguments.get("Period")
        if period:
            rows = [row for row in rows if (row["Period"] <= period if last else row["Period"] >= period)]
        nearest = {tuple(row[part] for part in schema.keys if part != "Period"): row for row in rows}
        narrowed = replace(options, filter=arguments.get("Condition") or options.filter)
        form = shape(self.published, schema, options.select, options.expand)
        return self._cut(schema, form, self._found(schema, list(nearest.values()), narrowed), options)

    def one(self, schema: EntitySet, key: Key) -> Row:
        """The row under a key, or code 9; code 7 when the key says too little."""
        wanted = {schema.keys[0]: key[""]} if "" in key and len(schema.keys) == 1 else key
        if set(wanted) != set(schema.keys):
            raise errors.bad_key(schema.name)
        found = (
            next((row for row in self.published.rows(schema.name) if _bears(row, wanted)), None)
            if schema.name in self.published.tabular
            else self.published.objects.row(schema.name, register_key(schema, wanted))
        )
        if found is None:
            raise errors.no_entity(schema.name, ", ".join(wanted.values()))
        return found

    def _found(self, schema: EntitySet, rows: list[Row], options: Options) -> list[Row]:
        if options.filter:
            test = filters.compiled(options.filter, self.published, schema)
            rows = [row for row in rows if _tested(test, row)]
        if options.allowed_only:
            return [row for row in rows if row.get("Ref_Key") not in self.switches.hidden]
        self._check_rights(rows, schema)
        return rows

    def _check_rights(self, rows: list[Row], schema: EntitySet) -> None:
        if self.switches.hidden and any(row.get("Ref_Key") in self.switches.hidden for row in rows):
            raise errors.no_rights(schema.name)

    def _cut(self, schema: EntitySet, form: Shape, rows: list[Row], options: Options) -> Page:
        total = len(rows) if options.counted else None
        if options.orderby:
            rows = self._ordered(schema, rows, options.orderby)
        end = None if options.top is None else options.skip + options.top
        return Page(schema, form, rows[options.skip : end], total)

    def _ordered(self, schema: EntitySet, rows: list[Row], orderby: str) -> list[Row]:
        """Stable, from the last term to the first; references have an order of their own, not that of their GUIDs."""
        for item in reversed(orderby.split(",")):
            path, _, direction = item.strip().partition(" ")
            if direction.strip() not in ("", "asc", "desc"):
                raise errors.bad_option("$orderby", item)
            term = resolve(self.published, schema, path)
            rows = sorted(rows, key=_comparable(term), reverse=direction.strip() == "desc")
        return rows


def _tested(test: filters.Test, row: Row) -> bool:
    try:
        return test(row)
    except (ArithmeticError, ValueError) as error:
        raise errors.internal(f"Ошибка вычисления выражения: {error}") from None


def _bears(row: Row, wanted: Key) -> bool:
    return all(str(row[name]) == value for name, value in wanted.items())


def _comparable(term: Term) -> Callable[[Row], Any]:
    """What a row is sorted by; nothing behind an empty reference comes first."""

    def key(row: Row) -> tuple[bool, Any]:
        value = term.get({"": row})
        return (False, None) if value is None else (True, _sortable(term.kind, value))

    return key


def _sortable(kind: str, value: Any) -> Any:
    if kind == "guid":
        return storage_order(str(value))
    if kind == "any":
        return (str(value[1]), storage_order(str(value[0])))
    return same(value) if kind == "string" else value
