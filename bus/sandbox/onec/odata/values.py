"""What a client sends into a property, as 1C takes it: cut, ignored, refused, but seldom questioned."""

from __future__ import annotations

import re
from typing import Any

from bus.sandbox.onec.numbers import number
from bus.sandbox.onec.odata import errors
from bus.sandbox.onec.odata.published import Published
from bus.sandbox.onec.schema import NAMESPACE, UNDEFINED, ZERO_GUID, EntitySet, Property, Row, Section

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_BIND = re.compile(r"(?P<set>\w+)\(guid'(?P<key>[^']+)'\)")
STANDARD = frozenset({"Ref_Key", "DataVersion", "Posted", "Predefined", "PredefinedDataName"})
"""Nobody writes these by PATCH; what is sent for them is ignored."""

Taken = tuple[Any, bool]
"""The value to store, and whether to store it at all."""


def taken(published: Published, where: EntitySet | Section, sent: Row) -> Row:
    """The fields to store of what was sent: unknown names are ignored, text in a number is ignored too."""
    found: Row = {}
    for name, value in sent.items():
        bound = name.removesuffix("@odata.bind")
        one = where.by_name.get(f"{bound}_Key" if bound != name else name)
        if one is None or one.name in STANDARD:
            continue
        stored, kept = _bound(one, value) if bound != name else _scalar(one, value)
        if kept:
            found[one.name] = stored
    _check_composites(published, where, found)
    return found


def section(published: Published, lines: Section, sent: Any) -> list[Row]:
    """The rows of a section, which replace all it had: LineNumber is wanted in each, from 1 without a gap."""
    if not isinstance(sent, list):
        raise errors.internal(f"Ошибка преобразования данных: {lines.name}")
    rows = []
    for at, line in enumerate(sent, 1):
        if not isinstance(line, dict) or "LineNumber" not in line:
            raise errors.internal(f"Не задан номер строки табличной части {lines.name}")
        if str(line["LineNumber"]) != str(at):
            raise errors.bad_value(f"{lines.name}/LineNumber", line["LineNumber"])
        rows.append(lines.blank() | taken(published, lines, line) | {"LineNumber": at})
    return rows


def _scalar(one: Property, value: Any) -> Taken:
    if isinstance(value, list | dict):
        raise errors.internal(f"Ошибка преобразования данных: {one.name}")
    if value is None:
        return one.empty, True
    if one.edm == "String":
        return _text(one, value), True
    if one.edm == "Boolean":
        return _flag(one, value), True
    if one.edm in ("Guid", "DateTime"):
        return _formal(one, value), True
    return _number(one, value)


def _text(one: Property, value: Any) -> str:
    """Too long is cut in silence; an enumeration takes its own names only."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if one.values and text and text not in one.values:
        raise errors.bad_value(one.name, text)
    return text[: one.length] if one.length else text


def _flag(one: Property, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() not in ("true", "false"):
        raise errors.bad_text(one.name, value)
    return str(value).lower() == "true"


def _formal(one: Property, value: Any) -> str:
    if one.edm == "Guid":
        return guid(one.name, value)
    if not _DATE.fullmatch(str(value)):
        raise errors.bad_text(one.name, value)
    return str(value)


def guid(name: str, value: Any) -> str:
    """A GUID in small letters, or code 1 with the value in its text."""
    if not _GUID.fullmatch(str(value)):
        raise errors.bad_text(name, value)
    return str(value).lower()


def _number(one: Property, value: Any) -> Taken:
    """Text, or a boolean, in a number changes nothing, and nobody is told."""
    try:
        return number(value, one.scale), True
    except ArithmeticError:
        return None, False


def _bound(one: Property, value: Any) -> Taken:
    """`Организация@odata.bind`: `Catalog_Организации(guid'…')`, or the same with its whole address."""
    match = _BIND.fullmatch(str(value).rpartition("/")[2])
    if match is None or match["set"] != one.target:
        raise errors.bad_text(f"{one.navigation}@odata.bind", value)
    return _formal(one, match["key"]), True


def _check_composites(published: Published, where: EntitySet | Section, found: Row) -> None:
    """A composite's type must exist, and a reference in it must be a GUID."""
    for name in [name for name in found if name.endswith("_Type") and where.by_name[name].composite]:
        kind = found[name]
        if kind == UNDEFINED or kind.startswith(("Edm.", "UnavailableEntities.")):
            continue
        if kind.removeprefix(f"{NAMESPACE}.") not in published.sets or not kind.startswith(NAMESPACE):
            raise errors.no_type(kind)
        value = found.get(name.removesuffix("_Type"), ZERO_GUID)
        if not _GUID.fullmatch(value):
            raise errors.bad_text(name.removesuffix("_Type"), value)
