"""Lanes: what waits for one system, drained in batches: look-ups of what it told us of, and writes of what it lacks."""

from __future__ import annotations

from datetime import datetime

from bus.lookups import LookUps
from bus.parts import Parts
from bus.ports import Adapter
from bus.sending import Sending


class Lane:
    """One system's lane; `urgent` makes it the payments lane, which has its own queue and share of the budget."""

    def __init__(self, system: str, adapter: Adapter, parts: Parts, *, urgent: bool) -> None:
        self._now = parts.now
        self._lookups = LookUps(system, adapter, parts, urgent=urgent)
        self._sending = Sending(system, adapter, parts, urgent=urgent)

    def drain(self, *, until: datetime) -> bool:
        """Take look-ups and deliveries until nothing is due or the time is over. True when something may be left."""
        while self._now() < until:
            taken = self._lookups.take() + self._sending.take()
            if not taken:
                return False
        return True
