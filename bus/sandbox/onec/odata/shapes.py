"""$select and $expand: what of a row goes out, with Int64 as strings and presentations on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bus.sandbox.onec.odata import errors
from bus.sandbox.onec.odata.published import Published
from bus.sandbox.onec.schema import EntitySet, Property, Row, Section

PRESENTATION = "____Presentation"
Tree = dict[str, "Tree"]
Column = tuple[str, Callable[[Row], Any]]


@dataclass(frozen=True)
class Shape:
    """`of` makes the outgoing form of a row; `links` are the references it was asked to show as links."""

    columns: tuple[Column, ...]
    links: tuple[str, ...]

    def of(self, row: Row) -> Row:
        return {name: get(row) for name, get in self.columns}


def shape(published: Published, schema: EntitySet, select: str | None = None, expand: str | None = None) -> Shape:
    """The shape that the options ask for; raises code 10 for a name the set does not have."""
    return _Shaper(published).of(schema, _items(select), _tree(expand))


class _Shaper:
    def __init__(self, published: Published) -> None:
        self._published = published

    def of(self, schema: EntitySet, select: list[str], expand: Tree) -> Shape:
        self._check(schema, expand)
        asked = _tree(",".join(select))
        columns: dict[str, Callable[[Row], Any]] = {}
        for name, inner in asked.items() if select else {"*": {}}.items():
            columns |= self._column(schema, name, inner, expand)
        everything = not select or "*" in asked or "**" in asked
        links = [name for name in self._navigations(schema) if everything or name in asked]
        return Shape(tuple(columns.items()), tuple(links))

    def _check(self, schema: EntitySet, expand: Tree) -> None:
        for name in expand:
            if name not in self._navigations(schema):
                raise errors.no_property(name)

    def _navigations(self, schema: EntitySet) -> dict[str, Property]:
        return {name: one for name, one in schema.navigations.items() if self._published.target(one)}

    def _column(self, schema: EntitySet, name: str, inner: Tree, expand: Tree) -> dict[str, Callable[[Row], Any]]:
        if name in ("*", "**"):
            return self._all(schema, expand, sections=name == "*")
        if name.endswith(PRESENTATION):
            return self._presentations(schema, name.removesuffix(PRESENTATION))
        if name in schema.by_section:
            lines = self._lines(schema.by_section[name], inner)
            return {name: lambda row: [lines(row, line) for line in row[name]]}
        links = self._navigations(schema)
        if name in links and (inner or name in expand):
            return {name: self._nested(links[name], inner, expand.get(name, {}))}
        if name in links and name not in schema.by_name:
            return {}  # the field is a link only: without $expand nothing of it is shown
        if inner or name not in schema.by_name:
            raise errors.no_property("/".join([name, *inner]))
        return {name: self._value(schema.by_name[name])}

    def _all(self, schema: EntitySet, expand: Tree, *, sections: bool) -> dict[str, Callable[[Row], Any]]:
        columns = {one.name: self._value(one) for one in schema.properties}
        for section in schema.sections if sections else ():
            columns |= self._column(schema, section.name, {}, {})
        links = self._navigations(schema)
        return columns | {name: self._nested(links[name], {}, inner) for name, inner in expand.items()}

    def _value(self, one: Property) -> Callable[[Row], Any]:
        name = one.name
        if one.edm == "Int64":
            return lambda row: str(row[name])
        if one.composite and name.endswith("_Type"):
            return lambda row: self._published.shown_type(row[name])
        return lambda row: row[name]

    def _lines(self, section: Section, inner: Tree) -> Callable[[Row, Row], Row]:
        """Lines bear their owner's key and a LineNumber; `Товары/Цена` asks for some fields of them."""
        for name in inner:
            if name not in section.by_name:
                raise errors.no_property(f"{section.name}/{name}")
        columns = [(name, self._value(one)) for name, one in section.by_name.items() if not inner or name in inner]
        keyed: Callable[[Row], Row] = (lambda _: {}) if inner else (lambda row: {"Ref_Key": row["Ref_Key"]})
        return lambda row, line: keyed(row) | {name: get(line) for name, get in columns}

    def _nested(self, link: Property, inner: Tree, expand: Tree) -> Callable[[Row], Any]:
        target = self._published.of(link.target)
        inside = self.of(target, _paths(inner), expand)

        def get(row: Row) -> Row | None:
            found = self._published.objects.row(target.name, str(row[link.name]))
            return None if found is None else inside.of(found)

        return get

    def _presentations(self, schema: EntitySet, name: str) -> dict[str, Callable[[Row], Any]]:
        if name == "*":
            names = [one.navigation for one in schema.properties if one.target]
            return {f"{one}{PRESENTATION}": self._presentation(schema, one) for one in names}
        return {f"{name}{PRESENTATION}": self._presentation(schema, name.removesuffix("_Key"))}

    def _presentation(self, schema: EntitySet, name: str) -> Callable[[Row], Any]:
        link = schema.navigations.get(name)
        if link:
            return lambda row: self._published.objects.presentation(link.target, str(row[link.name]))
        if name not in schema.by_name:
            raise errors.no_property(f"{name}{PRESENTATION}")
        return lambda row: str(row[name])


def _items(text: str | None) -> list[str]:
    return [item.strip() for item in (text or "").split(",") if item.strip()]


def _tree(text: str | None) -> Tree:
    """`A/B,C` as {A: {B: {}}, C: {}}, in the order asked."""
    tree: Tree = {}
    for item in _items(text):
        at = tree
        for part in item.split("/"):
            at = at.setdefault(part.strip(), {})
    return tree


def _paths(tree: Mapping[str, Tree]) -> list[str]:
    return [path for name, inner in tree.items() for path in ([f"{name}/{rest}" for rest in _paths(inner)] or [name])]
