"""What the interface shows: the sets an administrator chose, and how rows are addressed in it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bus.sandbox.onec import documents
from bus.sandbox.onec.objects import SCHEMA, Objects
from bus.sandbox.onec.odata import errors
from bus.sandbox.onec.schema import LINE_NUMBER, NAMESPACE, REF_KEY, EntitySet, Property, Row
from bus.sandbox.onec.switches import Switches

ROOT = "/base/odata/standard.odata"


@dataclass(frozen=True)
class Published:
    """The sets by name; tabular sections are sets of their own, for reading."""

    objects: Objects
    sets: Mapping[str, EntitySet]
    tabular: Mapping[str, tuple[EntitySet, str]]

    def of(self, name: str) -> EntitySet:
        """The set of that name, or code 6."""
        found = self.sets.get(name)
        if found is None and name in self.tabular:
            return self.tabular[name][0]
        if found is None:
            raise errors.no_segment(name)
        return found

    def rows(self, name: str) -> list[Row]:
        """The rows of a set as the database lays them."""
        if name not in self.tabular:
            return list(self.objects.stored(name))
        owner, section = self.owner(name)
        return [{"Ref_Key": row["Ref_Key"], **line} for row in self.objects.stored(owner.name) for line in row[section]]

    def owner(self, name: str) -> tuple[EntitySet, str]:
        """Whose section a tabular set is, and which."""
        _, section = self.tabular[name]
        return self.sets[name.removesuffix(f"_{section}")], section

    def target(self, one: Property) -> EntitySet | None:
        """The set a reference leads to, if it is published."""
        return self.sets.get(one.target)

    def shown_type(self, name: str) -> str:
        """A composite's type; one of a set that is not published is `UnavailableEntities.UnavailableEntity_…`."""
        bare = name.removeprefix(f"{NAMESPACE}.")
        if bare in (name, "Undefined") or bare in self.sets:
            return name
        return f"UnavailableEntities.UnavailableEntity_{uuid.uuid5(uuid.NAMESPACE_OID, bare)}"


def published(objects: Objects, switches: Switches) -> Published:
    """The interface as it is set up now: without `unpublished` sets and `without` properties."""
    hidden = {*switches.unpublished} | (set() if switches.plan else {documents.PLAN.name})
    sets = {name: _pruned(one, switches.without) for name, one in SCHEMA.items() if name not in hidden}
    tabular = {
        f"{one.name}_{part.name}": (_as_set(one, part.name), part.name)
        for one in sets.values()
        for part in one.sections
    }
    return Published(objects, sets, tabular)


def address(schema: EntitySet, row: Row) -> str:
    """`Set(guid'…')`, or `Set(Name=…,Other=…)` for other keys."""
    if schema.referable:
        return f"{schema.name}(guid'{row['Ref_Key']}')"
    keys = ", ".join(f"{name}={_literal(schema.by_name[name], row[name])}" for name in schema.keys)
    return f"{schema.name}({keys})"


def _literal(one: Property, value: object) -> str:
    prefix = {"Guid": "guid", "DateTime": "datetime"}.get(one.edm, "")
    return str(value) if one.edm == "Int64" else f"{prefix}'{value}'"


def _pruned(schema: EntitySet, without: list[str]) -> EntitySet:
    if not any(path.startswith(f"{schema.name}.") for path in without):
        return schema
    gone = {path.partition(".")[2] for path in without if path.startswith(f"{schema.name}.")}
    return replace(
        schema,
        properties=tuple(one for one in schema.properties if one.name not in gone),
        sections=tuple(one for one in schema.sections if one.name not in gone),
    )


def _as_set(schema: EntitySet, section: str) -> EntitySet:
    lines = schema.by_section[section]
    return EntitySet(
        f"{schema.name}_{section}", (REF_KEY, LINE_NUMBER, *lines.properties), keys=("Ref_Key", "LineNumber")
    )
