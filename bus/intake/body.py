"""The raw body: its media type first, then its bytes, never more of them than the limit, and where it is looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from bus.intake.problems import Refused

T = TypeVar("T")

_SMALL = 16_384
"""Bytes that are checked and parsed in well under a millisecond."""

_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


async def read(request: Request, media_types: Collection[str], limit: int) -> bytes:
    """The body of a request of one of `media_types`, at most `limit` bytes. Raises Refused 415 or 413.

    A declared length is believed only when it is too large; what comes is counted.
    """
    _refuse_coding(request)
    if media_type(request) not in media_types or not _is_utf8(request):
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {' or '.join(media_types)}, in UTF-8")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > len(str(limit)) or int(declared) > limit):
        raise _too_large(limit)
    taken = bytearray()
    async for chunk in request.stream():
        taken += chunk
        if len(taken) > limit:
            raise _too_large(limit)
    return bytes(taken)


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


def _refuse_coding(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "send the body as it is, without Content-Encoding",
            headers={"Accept-Encoding": "identity"},
        )


def _is_utf8(request: Request) -> bool:
    charset = _CHARSET.search(request.headers.get("content-type", ""))
    return charset is None or charset[1].lower() in ("utf-8", "utf8")


def _too_large(limit: int) -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {limit} bytes; send smaller batches")
