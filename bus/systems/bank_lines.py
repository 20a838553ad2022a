"""Lines of a bank statement (1CClientBankExchange): which encoding they are in, and the sections that they make.

As lenient as 1C's own reader (facts of ERP's): keys without regard to case, blank and // lines skipped, the first "="
divides, the first value that is not empty counts. A bank's form says "Windows" over UTF-8 as readily as over cp1251.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bus.errors import BadInput

SIGNATURE = "1cclientbankexchange"
_ACCOUNT, _DOCUMENT = "секциярасчсчет", "секциядокумент"
_ENDS = {_ACCOUNT: "конецрасчсчет", _DOCUMENT: "конецдокумента"}
_END = "конецфайла"
_PURPOSE = "назначениеплатежа"
_LONGEST_PURPOSE = 5_000
"""Characters; the rules of banks end at 210. Lines that would make it longer belong to nothing."""
_ALIKE = str.maketrans("сеё", "cee")
"""The signature is Latin; typed by hand it may begin with Cyrillic letters."""

_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_ENCODINGS = ("utf-8", "cp1251", "cp866")
_DECLARED = {"windows": "cp1251", "dos": "cp866", "utf-8": "utf-8", "utf8": "utf-8"}
_COMMON = frozenset(
    {"версияформата", "кодировка", "отправитель", "получатель", "датасоздания", "времясоздания", "датаначала"}
    | {"датаконца", "расчсчет", "документ", "начальныйостаток", "всегопоступило", "всегосписано", "конечныйостаток"}
    | {"номер", "дата", "сумма", "плательщиксчет", "датасписано", "плательщик", "плательщикинн", "плательщик1"}
    | {"получательсчет", "датапоступило", "получательинн", "получатель1", "видоплаты", "назначениеплатежа"}
    | {_END, *_ENDS, *_ENDS.values()}
)
"""Keys by whose sight an encoding is known."""
_HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Value:
    """What one line says, and where."""

    line: int
    key: str
    text: str


@dataclass(slots=True)
class Section:
    """The file's header (no kind), one account's balance or one document: each key with its values, in order."""

    kind: str
    title: str
    line: int
    values: dict[str, list[Value]] = field(default_factory=dict)
    closed: bool = False

    def first(self, key: str) -> Value | None:
        """The first value of a key that is not empty."""
        return next((value for value in self.values.get(key, ()) if value.text), None)

    def text(self, key: str) -> str:
        """Its text, empty where there is none."""
        found = self.first(key)
        return found.text if found else ""

    @property
    def is_account(self) -> bool:
        return self.kind == _ACCOUNT

    @property
    def is_document(self) -> bool:
        return self.kind == _DOCUMENT


@dataclass(slots=True)
class Lines:
    """All of a file: its sections, the header first, and what was odd in its lines."""

    encoding: str
    sections: list[Section]
    stray: list[int] = field(default_factory=list)
    """Lines that are neither a key with a value nor known words."""
    unreadable: int = 0
    """Characters that the encoding does not have."""
    ended: bool = False


def fold(key: str) -> str:
    """A key as keys are compared."""
    return key.strip().lower().replace("ё", "е")


def is_statement(head: bytes) -> bool:
    """Is this the beginning of a bank statement in this format?"""
    text = head[:400].decode(_by_bom(head) or "cp1251", errors="replace")
    return _signed(next((line for line in text.splitlines() if line.strip()), ""))


def read(content: bytes) -> Lines:
    """The sections of a file. Raises BadInput when it is no bank statement."""
    if not is_statement(content):
        raise BadInput(
            "line 1: not a bank statement: it must be 1CClientBankExchange; ask the bank for the exchange with 1C",
            field="1CClientBankExchange",
        )
    encoding = encoding_of(content[:_HEAD])
    found = Lines(encoding, [Section("", "", 1)])
    stream = io.TextIOWrapper(io.BytesIO(content), encoding, errors="replace", newline=None)
    _divide(found, enumerate(stream, 1))
    return found


def encoding_of(head: bytes) -> str:
    """By its mark, else the one in which most lines begin with a key that is known; the declared one breaks a tie."""
    if marked := _by_bom(head):
        return marked
    texts = {encoding: head.decode(encoding, errors="replace") for encoding in _ENCODINGS}
    declared = next((name for text in texts.values() if (name := _declared(text))), None)
    return max(_ENCODINGS, key=lambda name: (_known(texts[name]), name == declared, -_ENCODINGS.index(name)))


def _by_bom(head: bytes) -> str | None:
    return next((name for bom, name in _BOMS.items() if head.startswith(bom)), None)


def _declared(text: str) -> str | None:
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if fold(key) == "кодировка":
            return _DECLARED.get(fold(value))
    return None


def _known(text: str) -> int:
    return sum(fold(line.partition("=")[0]) in _COMMON for line in text.splitlines())


def _signed(line: str) -> bool:
    return fold(line.strip("\ufeff")).translate(_ALIKE) == SIGNATURE


def _divide(found: Lines, lines: Iterable[tuple[int, str]]) -> None:
    """Put every line where it belongs. A section that is not ended ends where the next begins."""
    section, last = found.sections[0], None
    for number, line in _worded(found, lines):
        key, divided, text = line.partition("=")
        word = fold(key)
        if word in _ENDS:
            section, last = Section(word, text.strip(), number), None
            found.sections.append(section)
        elif word in _ENDS.values() or word == _END:
            section.closed = section.closed or _ENDS.get(section.kind) == word
            found.ended = found.ended or word == _END
            section, last = found.sections[0], None
        elif divided:
            last = Value(number, key.strip(), text.strip())
            section.values.setdefault(word, []).append(last)
        elif last and fold(last.key).startswith(_PURPOSE) and len(last.text) < _LONGEST_PURPOSE:
            last = _longer(section, last, line)
        else:
            found.stray.append(number)


def _worded(found: Lines, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines that say something: not blank, no remark, not the signature (which several files in one repeat)."""
    for number, line in lines:
        found.unreadable += line.count("\ufffd")
        if line.strip() and not line.lstrip().startswith("//") and not _signed(line):
            yield number, line


def _longer(section: Section, last: Value, line: str) -> Value:
    """A purpose of several lines, though a value has one: the rest of it."""
    longer = Value(last.line, last.key, f"{last.text} {line.strip()}")
    section.values[fold(last.key)][-1] = longer
    return longer
