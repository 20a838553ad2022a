"""CommerceML as bytes: whatever encoding 1C or a site wrote, as UTF-8; a document type (DTD) is refused before parsing.

The encoding is told by the byte order mark; else by the bytes themselves, since Russian text in windows-1251 is never
valid UTF-8 (1C declares the one and writes the other); else by the declaration; else it is windows-1251.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from bus.errors import BadInput

_HEAD = 4096
_PROLOG = 65_536
"""Characters within which the root element must begin."""
SLICE = 65_536
"""So many bytes are parsed at once: what was read ahead of us never grows beyond them."""
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ENCODINGS = frozenset(
    {"cp1251", "cp866", "koi8-r", "koi8-u", "iso8859-5", "mac-cyrillic"}
    | {"cp1252", "iso8859-1", "ascii", "utf-16", "utf-16-le", "utf-16-be"}
)
"""Those that a file may declare. Python has more: some unpack what they read (zlib), some make no text of it (hex)."""
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_ROOT = re.compile(r"<[^!?\s]")


class BrokenFile(BadInput):
    """The file cannot be read on; the message names the line and what to do. What came before it has been handed on."""


class Utf8:
    """The chunks of a file as UTF-8 without a mark, in slices; `encoding` is known once the first has come."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.encoding = ""
        self.lines = 1
        """Of what was handed on: the line that is being read."""

    def __iter__(self) -> Iterator[bytes]:
        """Raises BrokenFile for an empty file, a DTD, or bytes that are not of its encoding."""
        head = self._head()
        if not head.strip():
            raise BrokenFile("the file is empty; let 1C send it again")
        self.encoding, mark = encoding_of(head[:_HEAD])
        guard = _Prolog()
        for text in self._decoded(self._parts(head[mark:])):
            guard.look(text)
            self.lines += text.count("\n")
            if text:
                yield text.encode("utf-8")

    def _head(self) -> bytes:
        head = b""
        for chunk in self._chunks:
            head += chunk
            if len(head) >= _HEAD:
                break
        return head

    def _parts(self, head: bytes) -> Iterator[bytes]:
        for chunk in chain([head], self._chunks):
            yield from _sliced(chunk)

    def _decoded(self, parts: Iterable[bytes]) -> Iterator[str]:
        """As text, as far as it goes: what stands before a spoiled byte is handed on before that is told."""
        decoder = codecs.getincrementaldecoder(self.encoding)()
        try:
            for part in parts:
                yield decoder.decode(part)
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            yield error.object[: error.start].decode(self.encoding)
            raise BrokenFile(
                f"line {self.lines}: bytes that are not {self.encoding}, as the file begins; it was cut or put "
                "together wrongly on its way: let 1C send it again"
            ) from None


class _Prolog:
    """Looks at what stands before the root element: no DTD, so no entities; and a root within reason."""

    def __init__(self) -> None:
        self._seen: str | None = ""

    def look(self, text: str) -> None:
        """Raises BrokenFile."""
        if self._seen is None:
            return
        self._seen += text
        root = _ROOT.search(self._seen)
        if "<!DOCTYPE" in self._seen[: root.start() if root else None]:
            raise BrokenFile("it declares a document type (DTD), which 1C never does and we never follow: refused")
        if root is None and len(self._seen) > _PROLOG:
            raise BrokenFile(f"no XML element in its first {_PROLOG} characters: this is not CommerceML")
        if root:
            self._seen = None


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding of a file that begins so, and the length of its byte order mark."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name, len(mark)
    if _utf8(head):
        return "utf-8", 0
    found = _DECLARED.match(head)
    declared = found[1].decode("ascii").lower() if found else ""
    return (declared if _fits(declared, head) else "cp1251"), 0


def _utf8(head: bytes) -> bool:
    """Valid UTF-8, a character cut in two at the end not counted."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _fits(name: str, head: bytes) -> bool:
    """An encoding that 1C or a site may write, not the one the bytes have just failed, and that makes text of them."""
    try:
        if not name or codecs.lookup(name).name not in _ENCODINGS:
            return False
        codecs.getincrementaldecoder(name)().decode(head)
    except (LookupError, UnicodeError):  # not its subclass alone: utf-16 without its mark is the plain one
        return False
    return True


def _sliced(chunk: bytes) -> Iterator[bytes]:
    view = memoryview(chunk)
    for start in range(0, len(chunk), SLICE):
        yield bytes(view[start : start + SLICE])
