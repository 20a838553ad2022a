"""Atom, the interface's default form: entries and feeds as a real base writes them, and entries that clients send."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from bus.sandbox.envelope import RestError
from bus.sandbox.onec.odata import errors
from bus.sandbox.onec.odata.published import address
from bus.sandbox.onec.odata.reading import Page
from bus.sandbox.onec.schema import EntitySet, Row

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_D = "http://schemas.microsoft.com/ado/2007/08/dataservices"
_M = f"{_D}/metadata"
_TOMBSTONES = "http://purl.org/atompub/tombstones/1.0"
_NAMESPACES = f'xmlns="http://www.w3.org/2005/Atom" xmlns:at="{_TOMBSTONES}" xmlns:d="{_D}" xmlns:m="{_M}"'
_ENTRY_TYPE = "application/atom+xml;type=entry;charset=utf-8"
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def feed(root: str, now: str, page: Page) -> str:
    """A set; `root` is the interface's whole address."""
    count = f"<m:count>{page.total}</m:count>" if page.total is not None else ""
    return DECLARATION + frame(root, count + "".join(_shown(root, now, page, row) for row in page.rows))


def frame(root: str, inside: str) -> str:
    """The feed element around entries and tombstones, checked for characters XML cannot carry."""
    return checked(f"<feed {_NAMESPACES} xml:base={quoteattr(root + '/')}>{inside}</feed>")


def single(root: str, now: str, page: Page) -> str:
    """One entity."""
    text = _shown(root, now, page, page.rows[0]).replace(
        "<entry>", f"<entry {_NAMESPACES} xml:base={quoteattr(root + '/')}>", 1
    )
    return DECLARATION + checked(text)


def entry(root: str, now: str, schema: EntitySet, row: Row, shown: Row, links: tuple[str, ...]) -> str:
    """One entry; `shown` is the row in its outgoing shape."""
    at = escape(address(schema, row))
    related = "".join(_link(at, name, shown.get(name)) for name in links)
    kept = "".join(_value(schema, name, value) for name, value in shown.items() if name not in links)
    return (
        f"<entry><id>{escape(root)}/{at}</id>"
        f'<category term="{schema.type_name}" scheme="{_D}/scheme"/><title type="text"/>'
        f"<updated>{now}</updated><author/><summary/>{related}"
        f'<link rel="edit" href="{at}" title="edit-link"/>'
        f"{_content_of(kept)}</entry>"
    )


def deleted(root: str, now: str, at: str) -> str:
    """The tombstone of an object that was taken away."""
    return f'<at:deleted-entry ref="{escape(root)}/{escape(at)}" when="{now}"/>'


def checked(text: str) -> str:
    """The text, or the 400 a base answers when its data holds a control character."""
    found = _FORBIDDEN.search(text)
    if found:
        raise RestError("-1", f"Недопустимый символ 0x{ord(found[0]):02X} в данных XML", 400)
    return text


def read(body: bytes) -> Row:
    """The properties of an entry that a client sent; raises code -1 for what is none."""
    try:
        tree = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise errors.internal(f"Ошибка разбора XML: {error.msg}") from None
    found = next(tree.iter(f"{{{_M}}}properties"), None)
    if found is None:
        raise errors.internal("Ошибка разбора XML: нет properties")
    return _properties(found)


def _properties(element: etree._Element) -> Row:
    return {etree.QName(child).localname: _content(child) for child in element.iterchildren("*")}


def _content(element: etree._Element) -> Any:
    if element.get(f"{{{_M}}}null") == "true":
        return None
    lines = list(element.iterchildren(f"{{{_D}}}element"))
    if lines or str(element.get(f"{{{_M}}}type", "")).startswith("Collection("):
        return [_properties(line) for line in lines]
    return element.text or ""


def _shown(root: str, now: str, page: Page, row: Row) -> str:
    return entry(root, now, page.schema, row, page.shape.of(row), page.shape.links)


def _link(at: str, name: str, inline: Row | None) -> str:
    """A reference as a link; an expanded one carries the entry inside."""
    head = f'<link rel="{_D}/related/{name}" href="{at}/{name}" type="{_ENTRY_TYPE}" title="{name}"'
    if inline is None:
        return f"{head}/>"
    inside = "".join(_scalar(field, value) for field, value in inline.items() if not isinstance(value, list | dict))
    return f"{head}><m:inline><entry>{_content_of(inside)}</entry></m:inline></link>"


def _content_of(fields: str) -> str:
    properties = f'<m:properties xmlns:d="{_D}" xmlns:m="{_M}">{fields}</m:properties>'
    return f'<content type="application/xml">{properties}</content>'


def _value(schema: EntitySet, name: str, value: Any) -> str:
    if name not in schema.by_section:
        return _scalar(name, value)
    kind = f"StandardODATA.{schema.name}_{name}_RowType"
    lines = "".join(f'<d:element m:type="{kind}">{_line(line)}</d:element>' for line in value)
    head = f'<d:{name} m:type="Collection({kind})"'
    return f"{head}>{lines}</d:{name}>" if lines else f"{head}/>"


def _line(line: Row) -> str:
    """A line of a section; its owner's key is not repeated in Atom."""
    return "".join(_scalar(name, value) for name, value in line.items() if name != "Ref_Key")


def _scalar(name: str, value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<d:{name}>{escape(text)}</d:{name}>" if text else f"<d:{name}/>"
