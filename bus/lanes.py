"""Lanes: what waits for one system, drained in batches: look-ups of what it told us of, and writes of what it lacks."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from threading import Event, Lock
from time import monotonic

import structlog

from bus.errors import BusError
from bus.leased import nap
from bus.ledger import deliveries
from bus.lookups import LookUps
from bus.pace import Pace
from bus.parts import Parts
from bus.ports import Adapter
from bus.sending import Sending

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

GATHER_S, GATHER_LONG_S = 0.25, 1.0
"""Where requests are rationed, rounds that are not full are so far apart, the longer when the bucket is half spent:
half-empty rounds would use it up."""
SCARCE = 3
PAYMENTS_SHARE = 0.75
"""With fewer than `SCARCE` requests left, payments share out so much of the pace evenly, instead of using it up as it
comes: the wait is the same for each, and a storm of payments leaves something to the changes that follow from them."""
_AGAIN_S = 0.05
LINGER_S = 1.0
"""A lane that has nothing to do just now waits so long for what is due in a moment; later things are the sweep's."""


class Lane:
    """One system's lane; `urgent` makes it the payments lane, which has its own queue and share of the budget."""

    def __init__(self, system: str, adapter: Adapter, parts: Parts, *, urgent: bool) -> None:
        self._system, self._adapter, self._parts, self._urgent = system, adapter, parts, urgent
        self._rate = parts.config.systems[system].rate
        self._pace = Pace(self._rate.per_second, lambda: adapter.latency_s, adapter.left)
        self._lookups = LookUps(system, adapter, parts, urgent=urgent)
        self._sending = Sending(system, adapter, parts, self._pace.abreast, urgent=urgent)
        self._rung, self._busy = Event(), Lock()
        self._next_at = 0.0
        self._second: ThreadPoolExecutor | None = None
        self._companion: Future[None] | None = None

    def drain(self, *, until: datetime) -> bool:
        """Take look-ups and deliveries until nothing is due or the time is over. True when something may be left.

        One thread of a process drains; a bell that rings meanwhile is heard by it, and whoever brought it goes on.
        """
        self._rung.set()
        while self._rung.is_set() and self._busy.acquire(blocking=False):
            try:
                more = self._both(until)
            finally:
                self._busy.release()
            if more:
                return True
        return False

    def close(self) -> None:
        """End the lane's threads."""
        self._pace.close()
        if self._second is not None:
            self._second.shutdown()

    def _both(self, until: datetime) -> bool:
        """A turn, and the end of the round that accompanies it, whatever becomes of either."""
        try:
            return self._turn(until)
        finally:
            self._join()

    def _turn(self, until: datetime) -> bool:
        """Look first whether a request may be sent, then claim: what arrives while we wait rides along."""
        while (left := self._left(until)) > 0:
            self._rung.clear()
            pause = max(self._adapter.wait(), self._next_at - monotonic())
            if pause > left:
                return pause <= LINGER_S  # longer is an open circuit or a stopped lane; the sweep rings again
            if pause > 0:
                nap(pause)
            elif self._answers() and not self._round(until) and not self._linger(left):
                return False
        return True

    def _left(self, until: datetime) -> float:
        return (until - self._parts.now()).total_seconds()

    def _answers(self) -> bool:
        """A system in doubt is tried before anything is claimed: that it is away costs no delivery an attempt."""
        try:
            self._adapter.probe()
        except BusError as error:
            log.info("lane.away", system=self._system, reason=str(error))
            nap(_AGAIN_S)
            return False
        return True

    def _round(self, until: datetime) -> int:
        """Look-ups, then deliveries. How many were taken. A full round is followed at once, and gets company."""
        begun = monotonic()
        told, sent = self._lookups.take(), self._sending.take()
        if sent >= self._sending.reach:
            self._accompany(until)
        elif told + sent and told < self._adapter.reach:
            self._next_at = begun + self._gap()
        return told + sent

    def _gap(self) -> float:
        """Until the next round after one that was not full: what trickles in meanwhile goes together."""
        if not self._rate.per_second:
            return 0.0
        requests, rate = self._adapter.left(), self._rate
        if self._urgent:
            return 1 / (rate.per_second * PAYMENTS_SHARE) if requests < SCARCE else 0.0
        if requests > rate.burst - rate.payments_reserve - rate.per_second:
            return 0.0  # the bucket is all but empty: what is not used by its next step is lost
        return GATHER_S if requests > rate.burst / 2 else GATHER_LONG_S

    def _accompany(self, until: datetime) -> None:
        """Under a backlog two rounds are under way: one reads and plans while the other's requests are answered."""
        if self._companion is not None and not self._companion.done():
            return
        self._join()
        self._second = self._second or ThreadPoolExecutor(1, thread_name_prefix="round")
        self._companion = self._second.submit(self._rounds, until)

    def _rounds(self, until: datetime) -> None:
        """Full rounds of deliveries, one after the other."""
        while (left := self._left(until)) > 0:
            if (pause := self._adapter.wait()) > left:
                return
            if pause > 0:
                nap(pause)
            elif self._sending.take() < self._sending.reach:
                self._rung.set()  # what it may have left over is due
                return

    def _join(self) -> None:
        """Wait for the other round; what went wrong in it goes wrong here."""
        companion, self._companion = self._companion, None
        if companion is not None:
            companion.result()

    def _linger(self, left: float) -> bool:
        """Nothing is due; wait for what will be in a moment. False when nothing will."""
        with self._parts.ledger.transaction() as connection:
            soon = deliveries.next_due(connection, self._system, urgent=self._urgent)
        if soon is None or soon > min(left, LINGER_S):
            return self._rung.is_set()
        self._rung.wait(max(soon, 0))
        return True
