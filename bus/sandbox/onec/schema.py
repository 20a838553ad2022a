"""What a 1C base knows of its own objects: sets, properties with their types and lengths, tabular sections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bus.sandbox.onec.enums import ENUMS

ZERO_GUID = "00000000-0000-0000-0000-000000000000"
ZERO_DATE = "0001-01-01T00:00:00"
NAMESPACE = "StandardODATA"
UNDEFINED = f"{NAMESPACE}.Undefined"
Row = dict[str, Any]

_EMPTY: dict[str, Any] = {
    "Boolean": False,
    "DateTime": ZERO_DATE,
    "Double": 0,
    "Guid": ZERO_GUID,
    "Int16": 0,
    "Int64": 0,
    "String": "",
}


@dataclass(frozen=True)
class Property:
    """One property as OData names it (`Партнер_Key`); `length` 0 is a string without end, `scale` counts decimals."""

    name: str
    edm: str
    length: int = 0
    scale: int = 0
    target: str = ""
    values: tuple[str, ...] = ()
    composite: bool = False

    @property
    def navigation(self) -> str:
        """The navigation property that goes with a reference; "" for anything else."""
        return self.name.removesuffix("_Key") if self.target else ""

    @property
    def empty(self) -> Any:
        """What 1C shows where nothing was entered: it has no null."""
        return UNDEFINED if self.name.endswith("_Type") and self.composite else _EMPTY[self.edm]


@dataclass(frozen=True)
class Section:
    """A tabular section; its rows have LineNumber besides."""

    name: str
    properties: tuple[Property, ...]

    @cached_property
    def by_name(self) -> dict[str, Property]:
        return {one.name: one for one in (LINE_NUMBER, *self.properties)}

    def blank(self) -> Row:
        return {one.name: one.empty for one in self.properties}


@dataclass(frozen=True)
class EntitySet:
    """One set of the interface. Only catalogs, documents and exchange plans have a Ref_Key, marks and versions."""

    name: str
    properties: tuple[Property, ...]
    sections: tuple[Section, ...] = ()
    keys: tuple[str, ...] = ("Ref_Key",)
    derived: bool = field(default=False, compare=False)

    @property
    def kind(self) -> str:
        """Catalog, Document, InformationRegister, ExchangePlan."""
        return self.name.partition("_")[0]

    @property
    def referable(self) -> bool:
        return self.keys == ("Ref_Key",)

    @property
    def type_name(self) -> str:
        return f"{NAMESPACE}.{self.name}"

    @cached_property
    def by_name(self) -> dict[str, Property]:
        return {one.name: one for one in self.properties}

    @cached_property
    def by_section(self) -> dict[str, Section]:
        return {one.name: one for one in self.sections}

    @cached_property
    def navigations(self) -> dict[str, Property]:
        return {one.navigation: one for one in self.properties if one.target}

    def blank(self) -> Row:
        """A row with nothing in it, in the order of the schema."""
        return {one.name: one.empty for one in self.properties} | {one.name: [] for one in self.sections}


LINE_NUMBER = Property("LineNumber", "Int64")
REF_KEY = Property("Ref_Key", "Guid")
_VERSION = (Property("DataVersion", "String"), Property("DeletionMark", "Boolean"))
_PREDEFINED = (Property("Predefined", "Boolean"), Property("PredefinedDataName", "String"))


def catalog(
    name: str, body: str, *, code: int = 0, description: int = 100, folders: bool = False, owner: str = ""
) -> EntitySet:
    """`body`: a line per property, `[Section]` opens a tabular section. Lengths of 0 leave Code or Description out."""
    standard = [REF_KEY, *_VERSION]
    standard += [Property("Owner_Key", "Guid", target=owner)] if owner else []
    if folders:
        standard += [Property("Parent_Key", "Guid", target=f"Catalog_{name}"), Property("IsFolder", "Boolean")]
    standard += [Property("Code", "String", code)] if code else []
    standard += [Property("Description", "String", description)] if description else []
    return _build(f"Catalog_{name}", [*standard, *_PREDEFINED], body)


def document(name: str, body: str) -> EntitySet:
    """A document; its Number has 11 characters and begins again every year."""
    standard = [REF_KEY, *_VERSION, Property("Number", "String", 11), Property("Date", "DateTime")]
    return _build(f"Document_{name}", [*standard, Property("Posted", "Boolean")], body)


def register(name: str, keys: Iterable[str], body: str, *, derived: bool = False) -> EntitySet:
    """An independent information register: rows by their dimensions, no version, no mark."""
    return _build(f"InformationRegister_{name}", [], body, keys=tuple(keys), derived=derived)


def plan(name: str) -> EntitySet:
    """An exchange plan: a row is a node, message numbers are Int64."""
    standard = [REF_KEY, *_VERSION, Property("Code", "String", 36), Property("Description", "String", 100)]
    numbers = [Property("SentNo", "Int64"), Property("ReceivedNo", "Int64")]
    return _build(f"ExchangePlan_{name}", [*standard, *_PREDEFINED, *numbers, Property("ExchangeDate", "DateTime")], "")


def _build(
    name: str, standard: list[Property], body: str, *, keys: tuple[str, ...] = ("Ref_Key",), derived: bool = False
) -> EntitySet:
    own: list[Property] = []
    sections: dict[str, list[Property]] = {}
    into = own
    for line in filter(None, map(str.strip, body.splitlines())):
        if line.startswith("["):
            into = sections.setdefault(line.strip("[]"), [])
        else:
            into.extend(_read(line))
    parts = tuple(Section(title, tuple(_types_last(rows))) for title, rows in sections.items())
    return EntitySet(name, tuple(_types_last([*standard, *own])), parts, keys, derived)


def _types_last(found: list[Property]) -> list[Property]:
    """The `_Type` halves of composite properties stand at the end, as in a real $metadata."""
    return sorted(found, key=lambda one: one.composite and one.name.endswith("_Type"))


def _read(line: str) -> list[Property]:
    """`Name string 100`, `text`, `enum E`, `bool`, `number 2`, `int16`, `int64`, `date`, `ref Set`, `any`."""
    name, kind, *rest = line.split()
    if kind == "ref":
        return [Property(f"{name}_Key", "Guid", target=rest[0] if rest else "Unavailable")]
    if kind == "any":
        kind_of = Property(f"{name}_Type", "String", composite=True)
        return [Property(name, "String", composite=True), kind_of]
    if kind == "enum":
        return [Property(name, "String", values=ENUMS[rest[0]])]
    if kind == "number":
        return [Property(name, "Double", scale=int(rest[0]))]
    plain = {"text": "String", "string": "String", "bool": "Boolean", "date": "DateTime"}
    edm = plain.get(kind) or {"int16": "Int16", "int64": "Int64"}[kind]
    return [Property(name, edm, length=int(rest[0]) if kind == "string" else 0)]
