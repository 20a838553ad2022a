"""XML as 1C writes and reads it: elements by local name, amounts without spaces, dates without a zone."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from lxml import etree

Element: TypeAlias = etree._Element  # noqa: SLF001  # lxml's only public way to name its element type

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_SPACES = dict.fromkeys(map(ord, " \u00a0\u202f\u2009"))


def parse(text: str) -> Element:
    """The root of a text that is already decoded, whatever its declaration says; raises ValueError."""
    reader = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(_DECLARATION.sub("", text, count=1).encode("utf-8"), reader)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"the XML cannot be read: {error.msg}") from None


def local(element: Element) -> str:
    """The name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element | None, name: str) -> list[Element]:
    """The direct children of that local name."""
    return [] if element is None else [child for child in element if local(child) == name]


def child(element: Element | None, *path: str) -> Element | None:
    """The first element down a path of local names."""
    for name in path:
        element = next(iter(children(element, name)), None)
    return element


def value(element: Element | None, *path: str) -> str:
    """The text down a path; "" when there is none."""
    found = child(element, *path)
    return "" if found is None else (found.text or "").strip()


def number(text: str) -> Decimal:
    """An amount with spaces of any kind and a comma; 0 when it is empty or no number."""
    try:
        return Decimal(text.translate(_SPACES).replace(",", ".") or "0")
    except InvalidOperation:
        return Decimal(0)


def is_true(text: str) -> bool:
    """1C's truth: `true`, `1`, `Да`."""
    return text.strip().lower() in {"true", "1", "да"}


def put(parent: Element, name: str, text: str | None = None, **attributes: str) -> Element:
    """Add a child in the parent's own namespace."""
    space = etree.QName(parent).namespace
    made = etree.SubElement(parent, f"{{{space}}}{name}" if space else name, dict(attributes))
    made.text = text
    return made


def amount(money: Decimal) -> str:
    """As XMLСтрока writes it: no exponent, no zeros at the end."""
    return format(money.normalize(), "f") if money else "0"


def truth(fact: bool) -> str:
    return "true" if fact else "false"


def day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d")


def hour(at: datetime) -> str:
    return at.strftime("%H:%M:%S")


def moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S")


def dump(root: Element, *, bom: bool = False) -> bytes:
    """The file: UTF-8, tabs, with or without a BOM."""
    etree.indent(root, space="\t")
    body = etree.tostring(root, encoding="unicode")
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'
    return text.encode("utf-8-sig" if bom else "utf-8")
