"""Watch: what a manager sees. Which deal stands for which order, and how long a payment takes to show in it.

The portal is asked again and again, so a time is up to one round (25 ms) too long. A payment is measured when its deal
was there as it was paid, its own webhook was not lost, and no outage of the day fell on its way.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from bus.supervise.control import Control, Refusal

_ROUND_S = 0.025
_LOOK_UP_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Awaited:
    """A payment that should show: from when, and what the deal will then say at least."""

    order: int
    total: float
    since: float


@dataclass(slots=True)
class Watch:
    """Looks at the portal from a thread of its own until told to end."""

    portal: Control
    clock: Callable[[], float] = time.monotonic
    deals: dict[int, int] = field(default_factory=dict)
    """Deal by shop order, the first that was seen."""
    times_ms: list[float] = field(default_factory=list)
    give_up_s: float = 60.0
    """What has not shown after so long is not measured."""
    spare: bool = True
    """Measure what a payment takes when nothing is in its way; False: every payment, whatever is."""
    spoilt: list[tuple[float, float]] = field(default_factory=list)
    """Spans of the day whose payments are not measured."""
    _awaited: list[Awaited] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start looking."""
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop looking; what has not shown yet is not measured."""
        self._over.set()
        if self._thread:
            self._thread.join()

    def paid(self, order: int, total: float, since: float, *, heard: bool = True) -> None:
        """A payment was made at `since`; the deal should come to say `total`. `heard`: no webhook of it was lost."""
        if not self.spare or (heard and order in self.deals):
            with self._lock:
                self._awaited.append(Awaited(order, total, since))

    def forget(self, order: int) -> None:
        """Money went back: what this deal was to show is not awaited any more."""
        with self._lock:
            self._awaited = [one for one in self._awaited if one.order != order]

    @property
    def unseen(self) -> int:
        """Payments that have not shown yet."""
        with self._lock:
            return len(self._awaited)

    def spoil(self, seconds: float) -> None:
        """Trouble begins now and lasts so long."""
        now = self.clock()
        self.spoilt.append((now, now + seconds))

    def percentile(self, share: float) -> float | None:
        """Of the measured times, in ms: the smallest that so large a share does not exceed."""
        times = sorted(self.times_ms)
        return round(times[max(0, math.ceil(share * len(times)) - 1)], 1) if times else None

    def _look(self) -> None:
        rounds = 0
        while not self._over.wait(_ROUND_S):
            try:
                if rounds % _LOOK_UP_ROUNDS == 0:
                    self._look_up()
                self._look_at_payments()
            except (requests.RequestException, Refusal):  # the portal is busy; the next round asks again
                continue
            rounds += 1

    def _look_up(self) -> None:
        for deal in self.portal.get("state", fields="UF_CRM_ORDER_ID")["deals"]:
            if deal["UF_CRM_ORDER_ID"]:
                self.deals.setdefault(int(deal["UF_CRM_ORDER_ID"]), int(deal["id"]))

    def _look_at_payments(self) -> None:
        with self._lock:
            awaited = [one for one in self._awaited if one.order in self.deals]
        if not awaited:
            return
        ids = ",".join(str(self.deals[order]) for order in {one.order for one in awaited})
        said = self.portal.get("state", ids=ids, fields="UF_CRM_PAID_TOTAL")["deals"]
        paid = {int(deal["id"]): float(deal["UF_CRM_PAID_TOTAL"] or 0) for deal in said}
        now = self.clock()
        for one in awaited:
            if paid.get(self.deals[one.order], 0.0) >= one.total - 0.005:
                self._shown(one, now)
            elif now - one.since > self.give_up_s:
                self._drop(one)

    def _shown(self, one: Awaited, now: float) -> None:
        self._drop(one)
        if not (self.spare and any(begin < now and one.since < end for begin, end in self.spoilt)):
            self.times_ms.append((now - one.since) * 1000)

    def _drop(self, one: Awaited) -> None:
        with self._lock:
            if one in self._awaited:
                self._awaited.remove(one)
