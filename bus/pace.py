"""Pace: how many requests are in flight at once, so that a slow system is kept as busy as its limit allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Condition

from bus import leased

MOST = 8
"""Requests in flight at most: as many as the ledger's pool has connections to commit their answers with."""
COMMIT_S = 0.1
"""What taking in an answer takes, about: until then its slot is not free."""
IN_A_BURST = 2
"""More of them while requests are left from a quiet time."""
UNLIMITED = 2
"""For a system without a limit of its own: one request is worked on while the answer of another is taken in."""

_LOOK_S = 1.0
"""Who waits for others looks so often after what he holds."""


class Pace:
    """Does several things, some at once: by Little's law, what is in flight is rate times latency, and one to spare.

    A cloud portal admits 2 requests a second and may take 3 s for 50 commands: one after the other would use a sixth of
    what it allows. The slots are shared by all who do something at this pace.
    """

    def __init__(self, per_second: float, latency_s: Callable[[], float], left: Callable[[], float]) -> None:
        """`latency_s` of a request lately; `left`: requests that may be sent before one has to wait."""
        self._per_second, self._latency_s, self._left = per_second, latency_s, left
        self._pool: ThreadPoolExecutor | None = None
        self._free, self._in_flight = Condition(), 0

    def width(self) -> int:
        """Requests to have in flight."""
        if self._per_second == 0:
            return UNLIMITED
        sustained = math.ceil(self._per_second * (self._latency_s() + COMMIT_S))
        return min(MOST, sustained + 1 + (IN_A_BURST if self._left() > MOST else 0))

    def abreast(self, things: Sequence[Callable[[], None]]) -> None:
        """Do all of them; returns when all are done. The first exception is raised then; the others went their way."""
        if len(things) < 2:  # noqa: PLR2004 - nothing to do at once
            for thing in things:
                self._do(thing)
            return
        self._pool = self._pool or ThreadPoolExecutor(MOST, thread_name_prefix="lane")
        futures = [self._pool.submit(self._do, thing) for thing in things]
        while wait(futures, timeout=_LOOK_S).not_done:
            leased.keep()
        for future in futures:
            future.result()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _do(self, thing: Callable[[], None]) -> None:
        with self._slot():
            thing()

    def _taken(self) -> bool:
        """Take a slot, or wait a moment for one."""
        with self._free:
            free = self._free.wait_for(lambda: self._in_flight < self.width(), timeout=_LOOK_S)
            self._in_flight += free
        return free

    @contextmanager
    def _slot(self) -> Iterator[None]:
        while not self._taken():
            leased.keep()
        try:
            yield
        finally:
            with self._free:
                self._in_flight -= 1
                self._free.notify_all()
