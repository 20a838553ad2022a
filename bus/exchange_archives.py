"""Archives of an exchange: the files within, in constant memory; what is no archive, or is a bomb, is refused.

An archive is read from its end, so it is put into a temporary file first. What it says of the sizes of its files is not
believed: what comes out is counted.
"""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from bus.errors import POISON, BadInput
from bus.exchange_names import cleaned

RATIO = 300
"""So many bytes may come of one. Real exports in XML shrink to a tenth or a fiftieth; a bomb to a thousandth."""
_UNSUSPECTED = 10_000_000
"""Bytes that may come of a file before its ratio is looked at."""
_FILES = 20_000
_PIECE = 256_000
_ENCRYPTED = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""What 1C packs with. Others may ask for gigabytes of memory before the first byte comes out."""
_BROKEN = (*POISON, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error)
"""What zipfile raises for what is no archive, or no longer one."""


def files(
    chunks: Iterable[bytes], wanted: Callable[[str], bool], *, most: int
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The wanted files of an archive, by name, in its order; each to be read before the next. Raises BadInput.

    `most`: bytes they may come to together.
    """
    with tempfile.TemporaryFile() as spool:
        for chunk in chunks:
            spool.write(chunk)
        with _opened(spool) as archive:
            left = _Left(most)
            for entry in sorted(archive.infolist(), key=lambda one: one.filename):
                name = cleaned(_name(entry))
                if name and not entry.is_dir() and wanted(name):
                    yield name, _pieces(archive, entry, left)


class _Left:
    """How much may still come out of an archive."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def take(self, count: int) -> None:
        """Raises BadInput when it is more than there may be."""
        self._left -= count
        if self._left < 0:
            raise BadInput(f"the archive holds more than {self._most} bytes; send it in parts")


def _opened(spool: IO[bytes]) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(spool)
    except _BROKEN:
        raise BadInput("not a whole ZIP archive; have it sent again") from None
    if len(archive.infolist()) > _FILES:
        archive.close()
        raise BadInput(f"the archive holds more than {_FILES} files; send it in parts")
    return archive


def _name(entry: zipfile.ZipInfo) -> str:
    """Names are in the DOS code page unless a flag says UTF-8; 1C on Windows means the Russian one."""
    unicode_flag = 0x800
    if entry.flag_bits & unicode_flag:
        return entry.filename
    return entry.filename.encode("cp437", "replace").decode("cp866", "replace")


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, left: _Left) -> Iterator[bytes]:
    if entry.flag_bits & _ENCRYPTED:
        raise BadInput("the archive has a password; 1C sends none, so it is none of ours")
    if entry.compress_type not in _METHODS:
        raise BadInput("the archive is packed in another way than deflate, which is what 1C uses; send it so")
    given = 0
    try:
        with archive.open(entry) as stream:
            while piece := stream.read(_PIECE):
                given += len(piece)
                left.take(len(piece))
                if given > max(_UNSUSPECTED, RATIO * entry.compress_size):
                    raise BadInput(f"more than {RATIO} bytes come of each byte of the archive; it was not unpacked")
                yield piece
    except _BROKEN:
        raise BadInput("the archive is damaged; have it sent again") from None
