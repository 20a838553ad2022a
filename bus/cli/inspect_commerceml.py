"""A CommerceML file: its documents, which of their elements are read, which codes would hold a field."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from bus import translate
from bus.cli.inspected import Inspected
from bus.errors import BusError
from bus.ports import Mappings
from bus.systems.commerceml import Document, Profile, Reader
from bus.systems.commerceml_shape import ROOT
from bus.systems.commerceml_text import BrokenFile, encoding_of

_CHUNK = 1_000_000


def recognise(head: bytes) -> bool:
    """Whether a file that begins so is XML: what is no CommerceML is told by the reader, by its root."""
    encoding, mark = encoding_of(head[:4096])
    text = head[mark:].decode(encoding, errors="replace").lstrip()
    return text.startswith("<")


def describe(path: Path, mappings: Mappings, system: str, profile: Profile) -> Inspected:
    """Read all of it, as an exchange would; nothing is published."""
    found = Inspected("CommerceML")
    with path.open("rb") as source:
        reader = Reader(_chunks(source), profile=profile, read_at=datetime.now(UTC))
        try:
            for document in reader:
                _take(found, document, mappings, system)
        except BrokenFile as error:
            found.troubles.append(str(error))
    if reader.root:
        root = reader.root
        found.what = f"CommerceML {root.version or '(no version)'}, in the manner of {_MANNERS[root.profile]}"
        found.facts = {"encoding": root.encoding, "namespace": root.namespace or "none", "formed": root.formed_at}
        found.mapped.update(f"{ROOT}/@{name}" for name in root.read)
        found.unmapped.update(f"{ROOT}/@{name}" for name in root.unread)
    return found


_MANNERS = {
    "ut": "УТ, КА, ERP or a site (ut)",
    "unf": "УНФ (unf)",
    "bus": "the 1C-Bitrix module (bus)",
    "auto": "an unknown client",
}


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk


def _take(found: Inspected, document: Document, mappings: Mappings, system: str) -> None:
    found.found[document.type] += 1
    if items := document.raw.get("@count"):
        found.found["goods items, set aside"] += items
    found.mapped.update(document.mapped)
    found.unmapped.update(document.unmapped)
    found.found.update(f"{kind} gone (marked as deleted, or a refund not posted)" for kind, _ in document.removed)
    if document.error:
        found.troubles.append(document.error)
    if document.record is None:
        return
    try:
        entries = translate.entries(system, "commerceml", document.record, mappings)
    except BusError as error:
        found.troubles.append(f"line {document.line}: {error}")
        return
    found.found.update(f"{entry.event.record_type} record" for entry in entries)
    found.held.update(f"{held.field}: {held.table} {held.code!r}" for entry in entries for held in entry.held)
