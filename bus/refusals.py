"""Refusals: what workers would not carry out, told in the log and kept as dead letters, without its contents.

They are noted by the thread that takes messages, which must not wait, and written by a thread of its own: one letter
for each reason on each queue, that counts on, however many there are.
"""

from __future__ import annotations

import threading
from collections import Counter

import structlog

from bus.errors import Transient
from bus.ledger import letters
from bus.ledger.database import Connection, Ledger, one
from bus.ledger.letters import Letter

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_REST_S = 1.0
"""Seconds between two writings: a flood makes one line a second for each reason."""

Reason = tuple[str, str]
"""A queue, and why."""


class Refusals:
    """Counts and tells. Call it with what bus.messages.refused says; close it to have the rest told."""

    def __init__(self, ledger: Ledger, *, rest_s: float = _REST_S) -> None:
        self._ledger, self._rest_s = ledger, rest_s
        self._changed = threading.Condition()
        self._noted: Counter[Reason] = Counter()
        self._closed = False
        self._thread: threading.Thread | None = None

    def __call__(self, queue: str, why: str, **_: object) -> None:
        """Take note."""
        with self._changed:
            self._noted[queue, why] += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Tell what is left."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while noted := self._next():
            try:
                self._ledger.run(lambda connection, noted=noted: _write(connection, noted))  # type: ignore[misc]
            except Transient:
                self._keep(noted)
            else:
                _tell(noted)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, self._rest_s)

    def _next(self) -> Counter[Reason]:
        """What was noted since; nothing once it is closed and all is told."""
        with self._changed:
            self._changed.wait_for(lambda: self._noted or self._closed)
            noted, self._noted = self._noted, Counter()
            return noted

    def _keep(self, noted: Counter[Reason]) -> None:
        """The ledger is away: the log has them now, the ledger when it is back, unless we end before."""
        log.warning("refusals.not_kept", messages=noted.total())
        with self._changed:
            if not self._closed:
                self._noted += noted


def _tell(noted: Counter[Reason]) -> None:
    for (queue, why), count in noted.items():
        log.warning("message.refused", queue=queue, why=why, count=count)


def _write(connection: Connection, noted: Counter[Reason]) -> None:
    letters.write(connection, [_letter(connection, *reason, count) for reason, count in sorted(noted.items())])


def _letter(connection: Connection, queue: str, why: str, count: int) -> Letter:
    """One for the queue and the reason. A dead letter is of an event, so there is one to stand for all of them."""
    found = one(
        connection,
        """INSERT INTO event
             (source, id, subject, channel, error, type, kind, occurred_at, state, outcome, finished_at)
           VALUES
             ('foreign', %(id)s, %(id)s, %(queue)s, %(why)s, 'unreadable', 'unreadable', now(), 'dead', 'DEAD', now())
           ON CONFLICT (source, id) DO UPDATE SET received_at = now() RETURNING seq""",
        {"id": f"refused/{queue}/{why}", "queue": queue, "why": why},
    )
    reason = f"{why}; not carried out, not kept. Find who publishes it: whoever has the broker's password can"
    seq = int(found["seq"]) if found else None
    return Letter("foreign", "Unreadable", f"refused message on {queue}", reason, seq, attempts=count)
