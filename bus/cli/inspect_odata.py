"""What a 1C base told by OData, as a file: its $metadata, or a feed of changes; which properties the bus reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lxml import etree
from lxml.etree import _Element as Element

from bus.cli.inspected import Inspected
from bus.errors import BadInput, Permanent
from bus.systems import onec_metadata
from bus.systems.onec_calls import KEY
from bus.systems.onec_names import CONFIGURATIONS, NO_FIELDS, Names, names_of

_NOT_FIELDS = frozenset({"set", "rows", "operation_is", "company", "person"})
_ROW = "row_"
_ROW_TYPE = "_RowType"
_VALUES = "http://schemas.microsoft.com/ado/2007/08/dataservices"
_SPACE = f"{_VALUES}/metadata"


def is_feed(head: bytes) -> bool:
    """Whether a file that begins so is an Atom feed of OData."""
    return b"<feed" in head[:2000] and _VALUES.encode() in head


def is_metadata(head: bytes) -> bool:
    """Whether a file that begins so is the $metadata of an OData service."""
    return b"Edmx" in head[:2000]


def describe_feed(path: Path, settings: Mapping[str, str] | None = None) -> Inspected:
    """Every property of every entry, tabular sections row by row."""
    found = Inspected("OData feed of changes")
    elements: list[str] = []
    try:
        for set_, paths in _entries(path):
            found.found[set_] += 1
            elements += paths
    except etree.XMLSyntaxError as error:
        found.troubles.append(f"line {error.lineno}: not well-formed XML: the answer was cut")
    names = _fitting({path.partition("/")[0] for path in elements}, settings)
    found.count(elements, read_by(names[1]))
    found.facts = {"configuration": names[0]}
    return found


def describe_metadata(path: Path, settings: Mapping[str, str] | None = None) -> Inspected:
    """Every property of every set, and the names of ours that the base lacks."""
    try:
        base = onec_metadata.published(path.read_bytes())
    except Permanent as error:
        raise BadInput(f"{path}: {error}") from None
    configuration, names = _fitting(base.sets, settings)
    found = Inspected("OData $metadata", {"configuration": configuration, "checksum": base.checksum})
    found.found["entity sets"] = len(base.sets)
    for type_, properties in sorted(base.properties.items()):
        where = _place(type_, base.sets)
        found.count((f"{where}/{one}" for one in sorted(properties)), read_by(names))
    for for_, name in onec_metadata.missing(names, base):
        without = "the bus cannot do without it" if onec_metadata.needed(for_) else "it is left alone"
        found.warnings.append(f"{for_}: the base does not publish {name}; {without}")
    return found


def read_by(names: Names) -> frozenset[str]:
    """Properties that the bus reads or writes, as "set/property" or "set/section/property"."""
    paths = set()
    for thing, table in names.table.items():
        set_ = table.get("set")
        if set_ and thing not in NO_FIELDS:
            paths |= {f"{set_}/{one}" for one in _of(table, names)}
    return frozenset(paths)


def _of(table: Mapping[str, str | None], names: Names) -> Iterator[str]:
    yield KEY
    rows = table.get("rows")
    for role, name in table.items():
        if name is None or role in _NOT_FIELDS:
            continue
        yield f"{rows}/{name}" if role.startswith(_ROW) else name
        if role == "contacts":
            yield from (f"{name}/{one}" for one in names.table["contacts"].values() if one)


def _fitting(sets: set[str], settings: Mapping[str, str] | None) -> tuple[str, Names]:
    """The names of the base as it is configured; else of the configuration that knows most of its sets."""
    if settings is not None:
        return settings.get("configuration", "as configured"), names_of(settings)
    known = {name: names_of({"configuration": name}) for name in CONFIGURATIONS}
    best = max(known, key=lambda name: len({table.get("set") for table in known[name].table.values()} & sets))
    return best, known[best]


def _entries(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The set of each entry, and the paths of its properties."""
    parsed = etree.iterparse(path, events=("end",), resolve_entities=False, no_network=True, huge_tree=True)
    term = ""
    for _, element in parsed:
        name = etree.QName(element).localname
        if name == "category":
            term = (element.get("term") or "").rpartition(".")[2]
        elif name == "properties" and etree.QName(element).namespace == _SPACE:
            yield term, list(_leaves(element, term))
            element.clear()
        elif name == "deleted-entry":
            yield "deleted", []


def _leaves(element: Element, where: str) -> Iterator[str]:
    for child in element:
        name = etree.QName(child).localname
        inner = where if name == "element" else f"{where}/{name}"
        if len(child):
            yield from _leaves(child, inner)
        else:
            yield inner


def _place(type_: str, sets: set[str]) -> str:
    """Where the properties of a type stand: a tabular section's row belongs to its set."""
    if not type_.endswith(_ROW_TYPE):
        return type_
    whole = type_.removesuffix(_ROW_TYPE)
    owner = max((set_ for set_ in sets if whole.startswith(f"{set_}_")), key=len, default="")
    return f"{owner}/{whole[len(owner) + 1 :]}" if owner else type_
