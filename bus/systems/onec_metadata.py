"""What a 1C base publishes ($metadata), and which of the names that we use it lacks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO

from lxml import etree

from bus.errors import Permanent
from bus.systems.onec_names import NO_FIELDS, Names

_ROW = "row_"
_WANTED = ("order", "counterparty", "receipt")
_OPTIONAL = frozenset({"version", "owner_type"})


@dataclass
class Published:
    """Entity sets, and the properties of each type: "Catalog_Контрагенты", "…_КонтактнаяИнформация_RowType"."""

    checksum: str
    sets: set[str] = field(default_factory=set)
    properties: dict[str, set[str]] = field(default_factory=dict)


def published(content: bytes) -> Published:
    """Read $metadata in constant memory: a stock base's has 17 MB. Raises Permanent when it is no such document."""
    found = Published(hashlib.sha256(content).hexdigest()[:16])
    try:
        parsed = etree.iterparse(
            BytesIO(content), events=("end",), resolve_entities=False, no_network=True, huge_tree=True
        )
        for _, element in parsed:
            name = etree.QName(element).localname
            if name in ("EntityType", "ComplexType"):
                found.properties[element.get("Name") or ""] = set(_properties(element))
                element.clear()
            elif name == "EntitySet":
                found.sets.add(element.get("Name") or "")
    except etree.XMLSyntaxError:
        raise Permanent("$metadata: the answer is no metadata", cause="$metadata no XML") from None
    return found


def missing(names: Names, base: Published) -> Iterator[tuple[str, str]]:
    """Names of ours that the base lacks, by what they are for ("order.uip", "ИдентификаторПлатежа").

    Of objects that are not published at all only the set is told.
    """
    for thing, table in names.table.items():
        set_ = table.get("set")
        if thing == "directories":
            yield from ((f"directories.{key}", str(one)) for key, one in table.items() if one and one not in base.sets)
        elif set_ and set_ not in base.sets:
            yield f"{thing}.set", set_
        elif set_ and thing not in NO_FIELDS:
            yield from _fields(thing, table, base.properties.get(set_, set()), _rows(set_, table, base))


def needed(for_: str) -> bool:
    """Whether the bus can do nothing with this base without the name: the others are left alone where they lack."""
    return for_ in {f"{thing}.set" for thing in _WANTED} or for_.startswith(tuple(f"{thing}." for thing in _WANTED))


def _fields(thing: str, table: Mapping[str, str | None], own: set[str], rows: set[str]) -> Iterator[tuple[str, str]]:
    for role, name in table.items():
        if name is None or role in _OPTIONAL or role in ("set", "operation_is", "company", "person"):
            continue
        if name not in (rows if role.startswith(_ROW) else own):
            yield f"{thing}.{role}", name


def _rows(set_: str, table: Mapping[str, str | None], base: Published) -> set[str]:
    return base.properties.get(f"{set_}_{table.get('rows')}_RowType", set())


def _properties(element: etree._Element) -> Iterator[str]:
    return (one.get("Name") or "" for one in element if etree.QName(one).localname == "Property")
