"""CommerceML 2.03-3.1 as a stream of documents: orders, payments and counterparties, each a JSON-able raw record.

A gigabyte is read in constant memory: an element is dropped as soon as it has been handed on or counted. No entity, DTD
or network is ever followed. Elements are known by their local name, whatever the namespace. A raw record keeps every
element and attribute of its document, trimmed, lists as lists, requisites as a dictionary; four names are ours:

    @profile   how this 1C speaks: ut, unf, bus             @version   "v" + НомерВерсии, else "h" + a hash of it all
    @read_at   when the file was received                   @order     (of a payment) the order it belongs to

Profiles and shapes: facts, onec.md 1.4-1.8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from lxml import etree
from lxml.etree import _Element as Element

from bus.ports import Raw, RawRecord
from bus.systems import commerceml_shape as shape
from bus.systems.commerceml_elements import local, local_name, value_of
from bus.systems.commerceml_raw import Profile, gone, payments, record_id, text, version_of
from bus.systems.commerceml_shape import DocumentType
from bus.systems.commerceml_text import BrokenFile, Utf8

__all__ = ["BrokenFile", "Document", "Profile", "Reader", "Root", "documents"]

_DOCUMENT, _CONTAINER, _PARTIES, _PARTY = "Документ", "Контейнер", "Контрагенты", "Контрагент"
_GOODS = frozenset(
    {
        "Классификатор",
        "Каталог",
        "ПакетПредложений",
        "ИзмененияПакетаПредложений",
        "Товары",
        "Предложения",
        "Группы",
        "ТипыЦен",
        "Склады",
        "ЕдиницыИзмерения",
        "Единицы",
        "Свойства",
        "ОписаниеТипаТовара",
    }
)
"""Sections of goods files, which are set aside."""
_ITEMS = frozenset({"Товар", "Предложение"})
_ROOT_READ = frozenset({"ВерсияСхемы", "ДатаФормирования"})
_ATTRIBUTES = 200
"""Of one element; CommerceML knows a handful. Reading them takes time by the square of them."""
_DEEP = 2
"""Path of a section: the root and itself."""


@dataclass(frozen=True, slots=True)
class Root:
    """What the file says of itself."""

    version: str
    namespace: str
    formed_at: str
    encoding: str
    profile: Profile
    """As it was given, or as the file shows it."""
    read: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    """Attributes of the root, by name."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of the file. `id` is the external id of its record, "" where there is none."""

    type: DocumentType
    id: str
    raw: Raw
    line: int
    mapped: Mapping[str, int] = field(default_factory=dict)
    """Elements that are read, how often each stands there."""
    unmapped: Mapping[str, int] = field(default_factory=dict)
    """Elements nobody reads."""
    removed: tuple[tuple[str, str], ...] = ()
    """What is no record (any more), itself or payments in it: (record type, id)."""
    error: str | None = None
    """Why this one document cannot be taken; names elements, never their content."""

    @property
    def version(self) -> str:
        """Of its state: equal for equal states, without an order."""
        return str(self.raw.get("@version", ""))

    @property
    def record(self) -> RawRecord | None:
        """What to translate; None for what is set aside, gone or unreadable."""
        known = self.type in ("order", "payment", "counterparty")
        if not known or self.error or (self.type, self.id) in self.removed:
            return None
        return RawRecord(self.type, self.id, self.raw)


def documents(
    chunks: Iterable[bytes], *, profile: Profile = "auto", read_at: datetime | None = None
) -> Iterator[Document]:
    """The documents of a file, in its order. Raises BrokenFile after those before the break were handed on."""
    yield from Reader(chunks, profile=profile, read_at=read_at)


class Reader:
    """One file being read; `root` is known once the first document, or the end, has come."""

    def __init__(self, chunks: Iterable[bytes], *, profile: Profile = "auto", read_at: datetime | None = None) -> None:
        self._text = Utf8(chunks)
        self._profile = profile
        self._read_at = read_at
        self._path: list[str] = []
        self._record: Element | None = None
        self._section = _Section()
        self.root: Root | None = None

    def __iter__(self) -> Iterator[Document]:
        """Raises BrokenFile."""
        parser = etree.XMLPullParser(
            ("start", "end"),
            encoding="utf-8",
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            for part in self._text:
                parser.feed(part)
                yield from self._documents(parser)
                self._look_for_errors(parser)
            parser.close()
        except etree.XMLSyntaxError as error:
            yield from self._documents(parser)
            raise self._broken(parser, error.lineno or self._text.lines) from None
        yield from self._documents(parser)

    def _look_for_errors(self, parser: Any) -> None:  # the published types know nothing of its log
        """An entity that nobody declared ends the parsing without an exception, and the next bytes would be blamed."""
        if len(parser.feed_error_log.filter_from_errors()):  # a warning is none: a namespace that is no address
            raise self._broken(parser, self._text.lines)

    def _broken(self, parser: Any, line: int) -> BrokenFile:
        """Of what this parser found wrong, the first; never its own words, which may repeat what the file says.

        An exception's log is the thread's: it may begin with the errors of a file that was read before.
        """
        log = parser.feed_error_log.filter_from_errors()
        kind = log[0].type_name.removeprefix("ERR_").replace("_", " ").lower() if len(log) else "cut off"
        line = log[0].line if len(log) else line
        if self.root:
            where = f"inside {'/'.join(self._path)}" if self._path else "behind its end"
            return BrokenFile(
                f"line {line}: not well-formed XML ({kind}) {where}; the file was cut or put together wrongly on its "
                "way: let 1C send it again"
            )
        return BrokenFile(f"line {line}: not well-formed XML ({kind}): this is not CommerceML")

    def _documents(self, parser: etree.XMLPullParser) -> Iterator[Document]:
        for event, element in parser.read_events():
            if isinstance(element, Element) and event == "start":
                self._begin(element)
            elif isinstance(element, Element):
                yield from self._end(element)

    def _begin(self, element: Element) -> None:
        if len(element.attrib) > _ATTRIBUTES:
            raise BrokenFile(f"line {_line(element)}: an element with more than {_ATTRIBUTES} attributes: refused")
        name = local(element)
        self._path.append(name)
        if len(self._path) == 1:
            self.root = self._root_of(element)
        elif self._record is None and self._is_record(name):
            self._record = element
        elif len(self._path) == _DEEP:
            self._section = _Section()

    def _root_of(self, element: Element) -> Root:
        name = local(element)
        if name != shape.ROOT:
            raise BrokenFile(f"the file begins with <{name[:80]}>, CommerceML begins with <{shape.ROOT}>")
        space = str(element.tag).rpartition("}")[0].removeprefix("{")
        version = element.get("ВерсияСхемы", "").strip()
        profile = self._profile if self._profile != "auto" else profile_of(version, space)
        names = [local_name(str(name)) for name in element.attrib]
        return Root(
            version,
            space,
            element.get("ДатаФормирования", "").strip(),
            self._text.encoding,
            profile,
            tuple(name for name in names if name in _ROOT_READ),
            tuple(name for name in names if name not in _ROOT_READ),
        )

    def _is_record(self, name: str) -> bool:
        if name == _PARTY:
            return self._path[1:-1] == [_PARTIES]
        return name in (_DOCUMENT, _CONTAINER) and len(self._path) == _DEEP

    def _end(self, element: Element) -> Iterator[Document]:
        path = tuple(self._path)
        self._path.pop()
        if element is self._record:
            self._record = None
            yield from self._taken(element, path)
            _drop(element)
        elif self._record is None:
            self._section.count(element, path)
            if len(path) == _DEEP and self._section.elements:
                yield self._section.document(path[-1], _line(element))
            if len(path) > 1:
                _drop(element)

    def _taken(self, element: Element, path: tuple[str, ...]) -> Iterator[Document]:
        where = "/".join(path[1:])
        if path[-1] == _CONTAINER:
            inside = [self._document(one, f"{where}/{local(one)}") for one in element]
            yield from map(self._finished, _joined(inside))
        else:
            yield self._finished(self._document(element, where))

    def _document(self, element: Element, where: str) -> Document:
        raw = value_of(element)
        raw = raw if isinstance(raw, dict) else {"#": raw}
        kind = _type_of(local(element), raw)
        mapped, unmapped = shape.counted(raw, kind, where)
        return Document(kind, "", raw, _line(element), mapped, unmapped)

    def _finished(self, document: Document) -> Document:
        """With its version, its id, and what of it is gone."""
        profile = self.root.profile if self.root else "ut"
        raw = document.raw | {"@profile": profile, "@version": version_of(document.raw)}
        if self._read_at:
            raw["@read_at"] = self._read_at.isoformat()
        known = record_id(document.type, raw, profile)
        removed = tuple(_removed(document.type, known, raw))
        error = None
        if not known and document.type in ("order", "payment", "counterparty"):
            error = f"line {document.line}: neither Ид nor Номер says which {document.type} this is"
        return replace(document, id=known, raw=raw, removed=removed, error=error)


class _Section:
    """A section that is set aside: what stands in it is counted, nothing is kept."""

    def __init__(self) -> None:
        self.elements: Counter[str] = Counter()
        self._items = 0

    def count(self, element: Element, path: tuple[str, ...]) -> None:
        where = "/".join(path[1:])
        if len(path) > 1 and len(element) == 0:
            self.elements[where] += 1
        if path[-1] in _ITEMS:
            self._items += 1
        for name in element.attrib:
            if len(path) > 1:
                self.elements[f"{where}/@{local_name(str(name))}"] += 1

    def document(self, name: str, line: int) -> Document:
        kind: DocumentType = "goods" if name in _GOODS or self._items else "other"
        raw: Raw = {"@section": name, "@count": self._items}
        return Document(kind, "", raw, line, {}, dict(self.elements))


def profile_of(version: str, namespace: str) -> Profile:
    """How a 1C speaks, by what its file says of itself: schema 3 is the BUS module's, 2.08 and 2.10 are UNF's."""
    if version.startswith("3") or namespace.endswith("commerceml_3"):
        return "bus"
    if version in ("2.08", "2.09", "2.10") or namespace.endswith(("_208", "_210", "_205")):
        return "unf"
    return "ut"


def _line(element: Element) -> int:
    known: Any = element.sourceline  # the published types know nothing of it
    return int(known or 0)


def _type_of(name: str, raw: Raw) -> DocumentType:
    return "counterparty" if name == _PARTY else shape.document_type(text(raw.get("ХозОперация")))


def _removed(kind: DocumentType, known: str, raw: Raw) -> Iterator[tuple[str, str]]:
    if kind in ("order", "payment", "counterparty") and known and gone(kind, raw):
        yield kind, known
    if kind == "order":
        for one in payments(raw):
            if gone("payment", one):
                yield "payment", record_id("payment", one, raw.get("@profile", "ut"))


def _joined(inside: Sequence[Document]) -> list[Document]:
    """A container's documents, an order together with the payments and shipments that name it, in whatever order.

    Where there is but one order, it is meant by those that name none.
    """
    orders = [one for one in inside if one.type == "order"]
    by_id = {text(one.raw.get("Ид")): at for at, one in enumerate(orders)}
    parts: list[list[Document]] = [[] for _ in orders]
    alone = []
    for one in inside:
        basis = text(one.raw.get("Основание"))
        at = by_id.get(basis, 0 if len(orders) == 1 and not basis else None)
        if one.type in ("payment", "shipment") and at is not None:
            parts[at].append(one)
        elif one.type != "order":
            alone.append(one)
    return [_with_parts(order, some) for order, some in zip(orders, parts, strict=True)] + alone


def _with_parts(order: Document, parts: Sequence[Document]) -> Document:
    if not parts:
        return order
    inside = order.raw.get(shape.PARTS)
    raw = order.raw | {shape.PARTS: [*(inside if isinstance(inside, list) else []), *(one.raw for one in parts)]}
    everything = [order, *parts]
    return replace(
        order,
        raw=raw,
        mapped=dict(sum((Counter(one.mapped) for one in everything), Counter())),
        unmapped=dict(sum((Counter(one.unmapped) for one in everything), Counter())),
    )


def _drop(element: Element) -> None:
    """Free an element that has ended, and what stood before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
