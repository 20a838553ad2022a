"""Leased: who holds a claim renews it while he works and waits, and sends what writes only while it lasts.

A system's budget may be spent for longer than a claim lasts. Were it left to lapse, what was read under it would be
read again by the next, who then waits as long: the budget is spent on that, and nothing is written.

And a worker may stand still at any moment: stopped, swapped out, on a machine that was suspended. When it goes on,
another may have taken its claim, and written what it was about to write, or created it. So right before the bytes go,
whoever sends looks at the clock once more: at one that runs on meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Event

from bus.errors import BusError, NotReady

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's monotonic clock stands still while the machine is suspended; this one does not."""
_AGAIN_S = 5.0
"""A renewal that failed is tried again after so long: who waits for a moment does not wait for that each time."""

MOST = 4
"""A round is held for so many leases at most: where each of its calls has an end, it never takes as long."""


def clock() -> float:
    """Seconds, by which claims are measured in a process."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """A claim, and until when (of `clock`) what is written under it may be sent.

    `renew` claims it anew, and says until when then; None: it is somebody else's by now, which is not asked again.
    """

    def __init__(self, until: float, renew: Callable[[], float | None]) -> None:
        self._until, self._renew = until, renew
        self._next_at = until
        """When to renew it; never, when it is lost."""

    @property
    def lasts(self) -> bool:
        """May what is written under it be sent?"""
        return clock() <= self._until

    @property
    def left_s(self) -> float:
        """Until it is to be renewed."""
        return self._next_at - clock()

    def keep(self) -> None:
        """Renew it if it is time to. Raises BusError when that cannot be asked."""
        if self.left_s >= 0:
            return
        self._next_at = clock() + _AGAIN_S
        until = self._renew()
        self._until, self._next_at = (self._until, float("inf")) if until is None else (until, until)


_held: ContextVar[tuple[Lease, ...]] = ContextVar("leases", default=())


@contextmanager
def held(lease: Lease) -> Iterator[None]:
    """What this thread does inside is done under this claim, and under those that it holds already."""
    token = _held.set((*_held.get(), lease))
    try:
        yield
    finally:
        _held.reset(token)


def check() -> None:
    """Right before a writing request. Raises NotReady, surely unsent, when a claim it is made under does not last."""
    keep()
    if not all(lease.lasts for lease in _held.get()):
        say = "not sent: the claim lapsed meanwhile, and another may be writing it"
        raise NotReady(say, until=datetime.now(UTC), cause="claim lapsed")


def keep() -> None:
    """Renew what is held and would lapse. What is lost shows before anything is sent."""
    for lease in _held.get():
        try:
            lease.keep()
        except BusError:  # the ledger is away: whoever waits asks again, and who is about to send does not
            continue


def nap(seconds: float) -> None:
    """Wait, in a worker's thread, and keep what it holds meanwhile."""
    end = clock() + seconds
    while (left := end - clock()) > 0:
        Event().wait(max(0.0, min([left, *(lease.left_s for lease in _held.get())])))
        keep()
