"""The raw body: its media type first, then its bytes, never more of them than the limit, and where it is looked at."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from bus.intake.problems import Refused

T = TypeVar("T")

PATIENCE_S = 30.0
"""How long a body may take to come."""
_ROOM_BYTES = 100_000_000
"""What all large bodies that are on their way may hold together."""
_SMALL = 16_384
"""Bytes that are checked and parsed in well under a millisecond. So much of each body is not counted: a flood of large
ones leaves room for payments."""
_COME_BACK_S = 1

_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


@dataclass(slots=True)
class _Taken:
    """A body so far, and how much of the room it holds."""

    body: bytearray = field(default_factory=bytearray)
    held: int = 0


class Bodies:
    """The bodies of one app's requests."""

    def __init__(self, limit: int, *, room: int = _ROOM_BYTES, patience_s: float = PATIENCE_S) -> None:
        """`limit`: bytes one may have; `room`: all of them together, beyond the first few of each."""
        self._limit, self._left, self._patience_s = limit, room, patience_s

    def admit(self, request: Request, media_types: Collection[str]) -> None:
        """By its headers alone: a body of one of `media_types`, not too large. Raises Refused 415 or 413.

        A declared length is believed only when it is too large; what comes is counted.
        """
        refuse_coding(request)
        if media_type(request) not in media_types or not _is_utf8(request):
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {' or '.join(media_types)}, in UTF-8")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > len(str(self._limit)) or int(declared) > self._limit):
            raise self._too_large()

    async def read(self, request: Request, read: Callable[[bytes], T]) -> tuple[T, int]:
        """What `read` makes of the body of a request that was admitted, and the body's length.

        Raises Refused 413, 408 for one that is too slow, 503; what `read` raises.
        """
        taken = _Taken()
        try:
            await self._fill(taken, request)
            return await considered(bytes(taken.body), read), len(taken.body)
        finally:
            self._left += taken.held

    async def _fill(self, taken: _Taken, request: Request) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                async for chunk in request.stream():
                    self._add(taken, chunk)
        except TimeoutError:
            say = f"the body did not come within {self._patience_s:.0f} seconds; send it again"
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, say, headers={"Connection": "close"}) from None

    def _add(self, taken: _Taken, chunk: bytes) -> None:
        """Raises Refused 413; 503 when large bodies take up all the room there is."""
        taken.body += chunk
        if len(taken.body) > self._limit:
            raise self._too_large()
        more = len(taken.body) - _SMALL - taken.held
        if more > self._left:
            say = "not taken, too many large bodies come at once; send it again later"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, say, headers={"Retry-After": str(_COME_BACK_S)})
        if more > 0:
            taken.held += more
            self._left -= more

    def _too_large(self) -> Refused:
        say = f"the body may have {self._limit} bytes; send smaller batches"
        return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, say)


async def considered(raw: bytes, read: Callable[[bytes], T]) -> T:
    """`read(raw)`: a small body at once, since a thread costs more; a large one in a thread, others go on meanwhile."""
    return read(raw) if len(raw) <= _SMALL else await run_in_threadpool(read, raw)


def media_type(request: Request) -> str:
    """The media type without its parameters, in lower case; empty where none is given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def text(body: bytes) -> str:
    """The body as text. Raises Refused 400 when it is not UTF-8."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is not UTF-8 (byte {error.start})") from None


def is_coded(request: Request) -> bool:
    """Is the body compressed? What it would unpack to nobody has counted."""
    return request.headers.get("content-encoding", "identity").strip().lower() not in ("identity", "")


def refuse_coding(request: Request) -> None:
    """Raises Refused 415 for a compressed body."""
    if is_coded(request):
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "send the body as it is, without Content-Encoding",
            headers={"Accept-Encoding": "identity"},
        )


def _is_utf8(request: Request) -> bool:
    charset = _CHARSET.search(request.headers.get("content-type", ""))
    return charset is None or charset[1].lower() in ("utf-8", "utf8")
