"""Mutations: seeds changed at random, repeatably; what is used where atheris is not there, and in the tests."""

from __future__ import annotations

import copy
import io
import zipfile
import zlib
from collections.abc import Sequence
from random import Random
from typing import Any

from lxml import etree

from bus.errors import POISON

_LONGEST_RUN = 64
_TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "1e5",
    "99999999999999999999",
    "0.001",
    "true",
    "Заказ товара",
    "236",
    "\u2028",
    "a" * 300,
)
_NAMES = ("Код", "xmlns", "version", "profile", "order", "read_at", "ВерсияСхемы")
_ODD = (0x00, 0x01, 0x0A, 0x20, 0x22, 0x25, 0x26, 0x3C, 0x3E, 0x5B, 0x5D, 0x7F, 0x80, 0xC0, 0xD8, 0xFE, 0xFF)


class Mutations:
    """Inputs made of seeds and words."""

    def __init__(self, seeds: Sequence[bytes], words: Sequence[bytes], random: Random, longest: int) -> None:
        self._seeds, self._words, self._random, self._longest = seeds, words, random, longest

    def next(self) -> bytes:
        """One more input."""
        return self.of(self._random.choice(self._seeds))

    def of(self, data: bytes) -> bytes:
        """Another input made of this one: every second time by its own kind, whole itself."""
        if self._random.randrange(2):
            return self._changed(data)
        try:
            made = self._inside(data) if data.startswith(b"PK") else self._grown(data)
        except (etree.XMLSyntaxError, zipfile.BadZipFile, *POISON, EOFError, OSError, RuntimeError, zlib.error):
            return self._changed(data)
        return made if len(made) <= self._longest else self._changed(data)

    def _grown(self, data: bytes) -> bytes:
        """A tree of XML with branches taken away, repeated, moved and renamed."""
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
        names = [one.tag for one in root.iter(etree.Element)]
        for _ in range(1 << self._random.randrange(4)):
            one = self._random.choice([*root.iter(etree.Element)])
            parent = one.getparent()
            if parent is not None:
                self._branch(root, parent, one, names)
        return etree.tostring(root, encoding=self._random.choice(["utf-8", "cp1251"]))

    def _branch(self, root: Any, parent: Any, one: Any, names: Sequence[str]) -> None:
        match self._random.randrange(7):
            case 0:
                parent.remove(one)
            case 1:
                parent.insert(self._random.randrange(len(parent) + 1), copy.deepcopy(one))
            case 2:
                self._random.choice([*root.iter(etree.Element)]).append(copy.deepcopy(one))
            case 3:
                one.tag = self._random.choice(names)
            case 4:
                one.text = self._random.choice(_TEXTS)
            case 5:
                one.set(self._random.choice(_NAMES), self._random.choice(_TEXTS))
            case _:
                etree.SubElement(one, self._random.choice(names)).text = self._random.choice(_TEXTS)

    def _inside(self, archive: bytes) -> bytes:
        """The archive with a changed file in it, whole itself."""
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
            names = old.namelist()
            spoiled = self._random.choice(names)
            for name in names:
                new.writestr(name, self._changed(old.read(name)) if name == spoiled else old.read(name))
        return made.getvalue()

    def _changed(self, data: bytes) -> bytes:
        made = bytearray(data)
        for _ in range(1 << self._random.randrange(5)):
            self._random.choice(_CHANGES)(self, made)
        return bytes(made[: max(self._longest, len(data))])

    def _at(self, data: bytearray) -> int:
        return self._random.randrange(len(data) + 1)

    def _set(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] = self._random.choice(_ODD)

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)

    def _delete(self, data: bytearray) -> None:
        at = self._at(data)
        del data[at : at + self._random.randrange(1, _LONGEST_RUN)]

    def _cut(self, data: bytearray) -> None:
        if self._random.randrange(8) == 0:
            del data[self._at(data) :]

    def _word(self, data: bytearray) -> None:
        if self._words:
            at = self._at(data)
            data[at:at] = self._random.choice(self._words)

    def _repeat(self, data: bytearray) -> None:
        """A part of it once more, somewhere else."""
        start, at = self._at(data), self._at(data)
        data[at:at] = data[start : start + self._random.randrange(1, 4 * _LONGEST_RUN)]

    def _cross(self, data: bytearray) -> None:
        """A part of another seed."""
        other = self._random.choice(self._seeds)
        start, at = self._random.randrange(len(other) + 1), self._at(data)
        data[at:at] = other[start : start + self._random.randrange(1, 8 * _LONGEST_RUN)]

    def _insert(self, data: bytearray) -> None:
        at = self._at(data)
        data[at:at] = bytes([self._random.choice(_ODD)]) * self._random.randrange(1, 9)


_CHANGES = (
    Mutations._set, Mutations._flip, Mutations._delete, Mutations._cut, Mutations._word, Mutations._repeat,
    Mutations._cross, Mutations._insert,
)  # fmt: skip
