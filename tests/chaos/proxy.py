"""A TCP proxy that can be told to behave badly: between the bus and its engines, its stand-ins, and those who call it.

    with Proxies() as proxies:
        link = proxies.open("crm", target=8001)
        link.become(Hole())

What is wrong with a link lasts until it is told to `become(Pass())`.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
_CHUNK = 65_536
_LIMIT = 4 * _CHUNK
_START_S = 10.0


@dataclass(frozen=True, slots=True)
class Pass:
    """Everything goes through."""


@dataclass(frozen=True, slots=True)
class Slow:
    """Each portion comes `delay_s` later, and no more than `bytes_s` go through in a second."""

    delay_s: float = 0.3
    bytes_s: int = 200_000


@dataclass(frozen=True, slots=True)
class Cut:
    """What was connected is reset, and so is who connects."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Connections are taken, nothing goes through either way and nobody is told.

    When it ends, what was on its way arrives, on connections that neither side has given up meanwhile; the others are
    reset, and what they had on their way is gone.
    """


@dataclass(frozen=True, slots=True)
class Half:
    """After so many bytes of answers a connection's way back is closed: the client is left with half of one.

    What it sends goes on to the server, which has answered in full as far as it knows.
    """

    after: int = 2_000


Mode = Pass | Slow | Cut | Hole | Half


class Link:
    """One proxied way: listens on `port`, leads to `target`."""

    def __init__(self, name: str, target: int, loop: asyncio.AbstractEventLoop) -> None:
        self.name, self.target, self.port = name, target, 0
        self.mode: Mode = Pass()
        self.taken = self.failed = 0
        """Connections that came, and those of them that found nobody at the target."""
        self._loop = loop
        self._changed = asyncio.Event()
        self._open: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    def become(self, mode: Mode) -> None:
        """Behave so from now on; returns when every connection does. From any thread."""
        asyncio.run_coroutine_threadsafe(self._become(mode), self._loop).result(_START_S)

    @property
    def abandoned(self) -> int:
        """Connections that are open towards the target only: their client has closed."""
        return sum(one.given_up for one in list(self._open))

    async def listen(self) -> None:
        """Begin to take connections."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port, limit=_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Take no more, and end what is open."""
        if self._server:
            self._server.close()
        await self._become(Cut())

    async def passable(self) -> Mode:
        """How to behave, once anything may go through."""
        while isinstance(self.mode, Hole):
            await self._changed.wait()
        return self.mode

    async def _become(self, mode: Mode) -> None:
        was, self.mode = self.mode, mode
        if isinstance(was, Hole) and not isinstance(mode, Hole):
            for one in list(self._open):
                one.end_if_given_up()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if isinstance(mode, Cut):
            for one in list(self._open):
                one.reset()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        connection = _Connection(self, reader, writer)
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)


class _Connection:
    """One connection of a client, and the one to the target that goes with it."""

    def __init__(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._link, self._reader, self._writer = link, reader, writer
        self._there: asyncio.StreamWriter | None = None
        self._back = 0

    async def run(self) -> None:
        """Carry both ways until both have ended. Whatever breaks ends it."""
        try:
            if isinstance(self._link.mode, Cut):
                return
            await self._link.passable()
            if self.given_up:
                return
            reader, self._there = await self._reach()
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(self._reader, self._there, back=False))
                ways.create_task(self._carry(reader, self._writer, back=True))
        except* (OSError, EOFError):
            pass
        finally:
            self.reset()

    @property
    def given_up(self) -> bool:
        """The client has closed, whatever of it is not read yet; at_eof() is true only behind what came before."""
        return bool(self._reader._eof) or self._reader.exception() is not None  # type: ignore[attr-defined]

    def end_if_given_up(self) -> None:
        """After a hole: a connection that the client closed is ended, with what it had on its way."""
        if self.given_up:
            self.reset()

    def reset(self) -> None:
        """End it as a broken network does."""
        for writer in (self._writer, self._there):
            if writer is not None:
                _abort(writer)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection(LOOPBACK, self._link.target, limit=_LIMIT)
        except OSError:
            self._link.failed += 1
            raise

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        while some := await reader.read(_CHUNK):
            mode = await self._link.passable()
            if isinstance(mode, Slow):
                await asyncio.sleep(mode.delay_s + len(some) / mode.bytes_s)
                await self._link.passable()
            if back and isinstance(mode, Half) and self._back + len(some) > mode.after:
                writer.write(some[: max(0, mode.after - self._back)])
                break
            self._back += len(some) if back else 0
            writer.write(some)
            await writer.drain()
        await self._link.passable()
        with suppress(OSError):
            writer.write_eof()


class Proxies:
    """Links in a thread of their own, closed at the end."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()

    def open(self, name: str, *, target: int = 0) -> Link:
        """A new link on a free port; its target may be told later."""
        link = self.links[name] = Link(name, target, self._loop)
        asyncio.run_coroutine_threadsafe(link.listen(), self._loop).result(_START_S)
        return link

    async def _end(self) -> None:
        for link in self.links.values():
            await link.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as when the other host is gone."""
    with suppress(OSError):
        wire: socket.socket | None = writer.get_extra_info("socket")
        if wire is not None and wire.fileno() >= 0:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()
