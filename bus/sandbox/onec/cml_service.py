"""The job that exchanges with the site again and again, as 1C's scheduled job does; it never overlaps with itself."""

from __future__ import annotations

import threading

from bus.sandbox.onec.exchange import Exchange

_LEAVE_SECONDS = 5.0


class Schedule:
    """Runs an exchange every `seconds`, first at once; 0: only when somebody asks for a run."""

    def __init__(self, exchange: Exchange, seconds: float) -> None:
        self.exchange = exchange
        self.seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="exchange", daemon=True)

    def start(self) -> None:
        if self.seconds > 0:
            self._thread.start()

    def close(self) -> None:
        """No new run; one that is under way has a few seconds to end."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(_LEAVE_SECONDS)

    def _work(self) -> None:
        while not self._ended.is_set():
            self.exchange.run()
            self._ended.wait(self.seconds)
