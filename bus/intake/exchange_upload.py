"""The body of `mode=file`: taken as it is, whatever it is called and however large, straight into the ledger.

It is written in pieces while it arrives, apart from its file, and becomes part of the file in one transaction when it
is here whole. A connection that is cut leaves nothing behind that a later chunk could be appended to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from bus.errors import BusError
from bus.intake.exchange_call import Failure
from bus.ledger import exchange
from bus.ledger.database import Connection, Ledger
from bus.ledger.exchange import File, Place

PIECE = 1_000_000
"""Bytes in one row of the ledger at most."""
STALL_S = 60.0
"""So long nothing may come of a body that has not ended."""
BUSY = "Файл уже передан и загружается. Начните обмен заново."


class Upload:
    """One body on its way into its file."""

    def __init__(self, ledger: Ledger, place: Place, profile: str, *, most: int, stall_s: float = STALL_S) -> None:
        """`most`: bytes the file may have, with what it has already."""
        self._ledger, self._place, self._profile, self._most = ledger, place, profile, most
        self._stall_s = stall_s
        self._staged: int | None = None
        self._length = 0

    async def take(self, request: Request) -> File:
        """The file with this body at its end, after the commit. Raises Failure when it is not taken.

        Raises ClientDisconnect when the body broke off; then nothing of it is kept.
        """
        self._length = await run_in_threadpool(self._there)
        try:
            last = b""
            async for piece in _pieces(request, self._stall_s):
                self._count(piece)
                if last:
                    await run_in_threadpool(self._stage, last)
                last = piece
            return await run_in_threadpool(self._finish, last)
        except BaseException:
            with suppress(BusError):
                await run_in_threadpool(self._drop)
            raise

    def _there(self) -> int:
        """Bytes that the file has. Raises Failure for one that is being imported."""
        with self._ledger.transaction() as connection:
            file = exchange.find(connection, self._place)
        if file and file.state in ("waiting", "importing"):
            raise Failure(BUSY)
        return file.bytes if file and file.state == "receiving" else 0

    def _count(self, piece: bytes) -> None:
        """Raises Failure when the file would become too large."""
        self._length += len(piece)
        if self._length > self._most:
            raise Failure(f"Файл больше {self._most} байт. Выгружайте меньшими частями.")

    def _stage(self, piece: bytes) -> None:
        def write(connection: Connection) -> int:
            staged = self._staged or exchange.stage(connection, self._place, self._profile)
            exchange.add(connection, staged, piece)
            return staged

        self._staged = self._ledger.run(write)

    def _finish(self, last: bytes) -> File:
        place, profile, staged = self._place, self._profile, self._staged
        file = self._ledger.run(lambda connection: exchange.append(connection, place, profile, staged, last))
        if file.state != "receiving":
            raise Failure(BUSY)
        self._staged = None
        return file

    def _drop(self) -> None:
        if self._staged is not None:
            staged = self._staged
            self._ledger.run(lambda connection: exchange.drop(connection, staged))


async def _pieces(request: Request, stall_s: float) -> AsyncIterator[bytes]:
    """The body in pieces of one size, the last one as long as it is. Raises Failure when nothing more comes."""
    buffer = bytearray()
    async for part in _parts(request, stall_s):
        buffer += part
        while len(buffer) >= PIECE:
            yield bytes(buffer[:PIECE])
            del buffer[:PIECE]
    if buffer:
        yield bytes(buffer)


async def _parts(request: Request, stall_s: float) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(stall_s):
                part = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Failure("Передача файла прервалась. Начните обмен заново.") from None
        yield part
