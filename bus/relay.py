"""Relay: rings the bells of what was committed, in a thread of its own; a producer need not wait for the broker.

A lone event goes out within two milliseconds. In a burst the messages get fuller instead of more: each channel is
served every few milliseconds, and a lane's bell that has not gone out yet stands for all that were rung since.
Payments go first.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Sequence
from math import inf
from time import monotonic

import structlog

from bus.envelope import Event
from bus.ports import Bells

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_PAUSE_S = 0.002
"""What the first of a burst waits, so that its sender is answered first and its neighbours can come along."""
_GAP_S = 0.010
"""Between two messages of one channel: what a burst's events are gathered for."""
_LANE_GAP_S = 0.05
"""Between two bells of one lane, which takes all that is there anyway; the payments lane's come as events do."""
_CHANNEL_LIMIT = 5_000
"""Events of one channel that may wait here while the broker is slow; what comes on top is left to the sweep."""
_TURN = 1_000
"""Events that go out at a time, so that a payment comes between."""
_CLOSE_S = 2.0
_FIRST = "payments"
"""The channel that waits for no other's turn."""

_Lane = tuple[str, bool]
"""A system, and whether its payments lane is meant."""
_Key = str | _Lane
"""A channel or a lane."""


class Relay:
    """Bells (bus.ports.Bells) that only note what is to be rung; a thread, started with the first note, rings them.

    What is noted here is in the ledger already: when the process dies, or the broker is away for long, the sweep
    publishes it again.
    """

    def __init__(self, bells: Bells) -> None:
        self._bells = bells
        self._changed = threading.Condition()
        self._events: defaultdict[str, list[Event]] = defaultdict(list)
        self._due: dict[_Key, float] = {}
        """When what waits goes out, by channel or lane."""
        self._served: dict[_Key, float] = {}
        self._wakes = 0.0
        """When the thread looks again by itself."""
        self._thread: threading.Thread | None = None
        self._closing = self._overflowing = False
        self.lost = 0
        """Events that found no room, since the process began."""

    def publish(self, events: Sequence[Event]) -> None:
        """Note committed events. Never waits; what finds no room is counted and left to the sweep."""
        if not events:
            return
        with self._changed:
            for event in events:
                waiting = self._events[event.channel]
                if len(waiting) < _CHANNEL_LIMIT:
                    waiting.append(event)
                else:
                    self._overflow()
            for channel in {event.channel for event in events}:
                self._note(channel, _GAP_S)

    def ring(self, system: str, *, urgent: bool) -> None:
        """Note that a lane is to be woken; once is enough until that is done."""
        with self._changed:
            self._note((system, urgent), _GAP_S if urgent else _LANE_GAP_S)

    def waiting(self) -> int:
        """How many events and bells are noted and have not gone out yet."""
        with self._changed:
            return sum(map(len, self._events.values())) + sum(isinstance(key, tuple) for key in self._due)

    def close(self) -> None:
        """Send what is noted, for a moment at most, and end. What is left then is left to the sweep."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread:
            thread.join(_CLOSE_S)

    def _note(self, key: _Key, gap_s: float) -> None:
        """Something waits: say when it goes, and wake the thread if that is before it looks again by itself."""
        if key not in self._due:
            now = monotonic()
            self._due[key] = max(now + _PAUSE_S, self._served.get(key, -inf) + gap_s)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
            self._thread.start()
        elif self._due[key] < self._wakes:
            self._changed.notify()

    def _overflow(self) -> None:
        self.lost += 1
        if not self._overflowing:
            self._overflowing = True
            log.warning("relay.full", limit=_CHANNEL_LIMIT)

    def _run(self) -> None:
        while taken := self._next():
            events, lanes = taken
            try:
                self._bells.publish(events)
                for system, urgent in lanes:
                    self._bells.ring(system, urgent=urgent)
            except Exception as error:  # noqa: BLE001 - the thread must live; what is lost the sweep rings again
                log.error("relay.failed", error=type(error).__name__, events=len(events))  # noqa: TRY400 - no bodies

    def _next(self) -> tuple[list[Event], list[_Lane]] | None:
        """Wait for what is to go now; None when there will be nothing more."""
        with self._changed:
            while True:
                now = monotonic()
                ready = {key for key, at in self._due.items() if at <= now or self._closing}
                if ready:
                    self._wakes = 0.0
                    return self._take(ready | ({_FIRST} & self._due.keys()), now)
                if self._closing:
                    return None
                self._wakes = min(self._due.values(), default=inf)
                self._changed.wait(self._wakes - now if self._due else None)

    def _take(self, ready: Collection[_Key], now: float) -> tuple[list[Event], list[_Lane]]:
        """Take out what goes now: payments first, due or not, and no more events than a turn has."""
        events: list[Event] = []
        for channel in sorted((key for key in ready if isinstance(key, str)), key=lambda key: key != _FIRST):
            room = _TURN - len(events)
            waiting = self._events[channel]
            events += waiting[:room]
            del waiting[:room]
            self._served[channel] = now
            if not waiting:
                del self._due[channel]
        lanes = sorted((key for key in ready if isinstance(key, tuple)), key=lambda lane: (not lane[1], lane[0]))
        for lane in lanes:
            del self._due[lane]
            self._served[lane] = now
        if not self._due:
            self._overflowing = False
        return events, lanes
