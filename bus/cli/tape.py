"""Tape: a file of lines, and how far of it was published, kept beside it so that the same command goes on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from bus.errors import BadInput

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands in the file; of one that is longer than is taken, its beginning."""

    number: int
    content: bytes
    too_long: bool = False


class Position(BaseModel):
    """How far a file was published: so many bytes and lines, which hash to `head`, and what came of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset: int = 0
    lines: int = 0
    head: str = hashlib.sha256().hexdigest()
    new: int = 0
    known: int = 0
    rejected: int = 0
    rejects_bytes: int = 0
    """Length of the file of rejects at that moment: what was written after it is written again."""


class Tape:
    """Reads lines of at most `most` bytes, and knows how much was read and what it hashes to."""

    def __init__(self, source: BinaryIO, most: int) -> None:
        self._source, self._most, self._hash = source, most, hashlib.sha256()
        self.offset = self.number = 0

    def wind(self, to: Position) -> bool:
        """Go to a position. False when what lies before it is not what was published then."""
        while self.offset < to.offset and self._taken(self._source.read(min(_BLOCK, to.offset - self.offset))):
            pass
        self.number = to.lines
        return self.head == to.head

    @property
    def head(self) -> str:
        """The hash of all that was read."""
        return self._hash.hexdigest()

    def lines(self) -> Iterator[Line]:
        """The lines from here on."""
        while content := self._taken(self._source.readline(self._most + 1)):
            self.number += 1
            too_long = len(content) > self._most and not content.endswith(b"\n")
            rest = content
            while too_long and rest and not rest.endswith(b"\n"):
                rest = self._taken(self._source.readline(_BLOCK))
            yield Line(self.number, content, too_long)

    def _taken(self, content: bytes) -> bytes:
        self._hash.update(content)
        self.offset += len(content)
        return content


def load(path: Path) -> Position:
    """The position kept in a side file; the beginning where there is none. Raises BadInput for one that is damaged."""
    try:
        return Position.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Position()
    except ValidationError:
        raise BadInput(f"{path} is damaged; begin anew with --restart, what is known stays known") from None


def save(path: Path, position: Position) -> None:
    """Keep a position, all of it or none."""
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(position.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
