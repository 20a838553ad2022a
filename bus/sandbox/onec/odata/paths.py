"""Paths in $filter, $orderby and $select: a property, or one behind references (`Контрагент/Партнер/Code`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bus.sandbox.onec.odata import errors
from bus.sandbox.onec.odata.published import Published
from bus.sandbox.onec.schema import NAMESPACE, EntitySet, Property, Row, Section

KINDS = {
    "String": "string",
    "Guid": "guid",
    "Boolean": "bool",
    "DateTime": "date",
    "Double": "number",
    "Int16": "number",
    "Int64": "number",
}
Scope = Mapping[str, Row]
"""Rows by the name of their lambda variable; the row that is asked about is under ""."""


@dataclass(frozen=True)
class Term:
    """A value in an expression: `kind` is one of KINDS, `any` (value and type name), `bool` of a test, or `null`."""

    kind: str
    get: Callable[[Scope], Any]


def resolve(published: Published, where: EntitySet | Section, path: str, variable: str = "") -> Term:
    """The term of a path that begins at a row of `where`; raises code 10 for a name it does not have."""
    head, _, rest = path.partition("/")
    one = where.by_name.get(head)
    if one is not None and not rest:
        return _composite(one, variable) if one.composite and head in _heads(where) else _plain(one, variable)
    link = one if one and one.target else _reference(where, head)
    target = published.target(link) if link else None
    if link is None or target is None or (one is not None and rest):
        raise errors.no_property(path)
    if not rest:
        return Term("any", lambda scope: (scope[variable][link.name], f"{NAMESPACE}.{link.target}"))
    return _behind(published, link, resolve(published, target, rest), variable)


def _behind(published: Published, link: Property, inner: Term, variable: str) -> Term:
    def get(scope: Scope) -> Any:
        row = published.objects.row(link.target, str(scope[variable][link.name]))
        return None if row is None else inner.get({"": row})

    return Term(inner.kind, get)


def _plain(one: Property, variable: str) -> Term:
    return Term(KINDS[one.edm], lambda scope: scope[variable][one.name])


def _composite(one: Property, variable: str) -> Term:
    return Term("any", lambda scope: (scope[variable][one.name], scope[variable][f"{one.name}_Type"]))


def _heads(where: EntitySet | Section) -> set[str]:
    return {one.name for one in where.properties if one.composite and not one.name.endswith("_Type")}


def _reference(where: EntitySet | Section, name: str) -> Property | None:
    return where.by_name.get(f"{name}_Key")
