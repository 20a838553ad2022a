"""Leased: a request that writes is sent only while the claim lasts that it is made under.

A worker may stand still at any moment: stopped, swapped out, on a machine that was suspended. When it goes on, its
claim may have lapsed, and another may have written what it was about to write, or created it. So right before the bytes
go, whoever sends looks at the clock once more. The clock is a monotonic one, which runs on while a process is stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from bus.errors import Transient

_until: ContextVar[float | None] = ContextVar("leased_until", default=None)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """What this thread writes inside is written under a claim that lapses at `deadline` (of time.monotonic)."""
    token = _until.set(deadline)
    try:
        yield
    finally:
        _until.reset(token)


def check() -> None:
    """Right before a writing request. Raises Transient, surely unsent, when the claim it is made under has lapsed."""
    deadline = _until.get()
    if deadline is not None and monotonic() > deadline:
        raise Transient("not sent: the claim lapsed meanwhile, and another may be writing it", cause="claim lapsed")
