"""Events waiting to be sent, and the threads that send them: after the answer, never in the way of a handler."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bus.sandbox.faults import Faults
from bus.sandbox.post import Poster


@dataclass(frozen=True)
class Letter:
    """One message to one listener. `event` is what fault methods match; body and headers are made when it is sent."""

    event: str
    url: str
    compose: Callable[[], tuple[bytes, dict[str, str]]]
    attempt: int = 1


Retry = Callable[[Letter, int | None], float | None]
"""Says after how many seconds a letter that was not accepted goes out again; None: never (a portal's webhook)."""


class Outbox:
    """A queue by due time with its sending threads; event faults strike when a letter is put in."""

    def __init__(self, faults: Callable[[], Faults], retry: Retry) -> None:
        self._faults = faults
        self._retry = retry
        self._heap: list[tuple[float, int, Letter]] = []
        self._order = 0
        self._sending = 0
        self._epoch = 0
        self._ready = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.senders = 1
        self.sent = 0
        self.failed = 0
        self.lost = 0

    def put(self, letters: Iterable[Letter]) -> None:
        with self._ready:
            for letter in letters:
                for delay in self._delays(letter):
                    self._push(letter, delay)
            self._start()
            self._ready.notify_all()

    def waiting(self) -> int:
        """Letters not sent yet, those on the wire included."""
        with self._ready:
            return len(self._heap) + self._sending

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is waiting; False at the deadline."""
        with self._ready:
            return self._ready.wait_for(lambda: not self._heap and not self._sending, timeout=seconds)

    def clear(self) -> None:
        """Forget what waits and what was counted; a letter on the wire is not resent."""
        with self._ready:
            self._heap.clear()
            self._epoch += 1
            self.sent = self.failed = self.lost = 0
            self._ready.notify_all()

    def close(self) -> None:
        """Stop the threads; what waits is lost."""
        with self._ready:
            self._closed = True
            self._heap.clear()
            self._ready.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)
        self._threads.clear()
        self._closed = False

    def describe(self) -> dict[str, Any]:
        return {"waiting": self.waiting(), "sent": self.sent, "failed": self.failed, "lost": self.lost}

    def _delays(self, letter: Letter) -> list[float]:
        """No delay at all is a lost event, two are a doubled one."""
        faults = self._faults()
        if faults.take("events_lost", letter.event):
            self.lost += 1
            return []
        delayed = faults.take("events_delayed", letter.event)
        reordered = faults.take("events_reordered", letter.event)
        delay = (delayed.seconds if delayed else 0.0) + (reordered.seconds if reordered else 0.0)
        return [delay, delay] if faults.take("events_doubled", letter.event) else [delay]

    def _push(self, letter: Letter, delay: float) -> None:
        self._order += 1
        heapq.heappush(self._heap, (time.monotonic() + delay, self._order, letter))

    def _start(self) -> None:
        while len(self._threads) < self.senders:
            thread = threading.Thread(target=self._run, name="sandbox-events", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        poster = Poster()
        while (taken := self._take()) is not None:
            letter, epoch = taken
            body, headers = letter.compose()
            status = poster.post(letter.url, body, headers)
            self._settle(letter, status, epoch)
        poster.close()

    def _take(self) -> tuple[Letter, int] | None:
        with self._ready:
            while not self._closed:
                pause = self._heap[0][0] - time.monotonic() if self._heap else None
                if pause is not None and pause <= 0:
                    self._sending += 1
                    return heapq.heappop(self._heap)[2], self._epoch
                self._ready.wait(timeout=pause)
        return None

    def _settle(self, letter: Letter, status: int | None, epoch: int) -> None:
        accepted = status is not None and 200 <= status < 300  # noqa: PLR2004  # 2xx
        with self._ready:
            self._sending -= 1
            if epoch == self._epoch:
                self.sent += accepted
                self.failed += not accepted
                pause = None if accepted else self._retry(letter, status)
                if pause is not None and not self._closed:
                    again = Letter(letter.event, letter.url, letter.compose, letter.attempt + 1)
                    self._push(again, pause)
            self._ready.notify_all()
