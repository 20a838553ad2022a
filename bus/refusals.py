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
_LONGEST_REST_S = 60.0
"""What the pause grows to, twice as long after each writing that failed."""
_MOST = 1_000
"""Reasons that are kept apart until they are written; there are some ten for each of a few queues."""
_LONGEST = 200
"""Characters of a queue's name that are kept."""

Reason = tuple[str, str]
"""A queue, and why."""
_OTHERS: Reason = ("any queue", "more reasons than are kept apart")


class Refusals:
    """Counts and tells. Call it with what bus.messages.refused says; close it to have the rest told.

    Whatever becomes of a writing, what was noted is written by a later one; no more than `most` reasons are held.
    """

    def __init__(self, ledger: Ledger, *, rest_s: float = _REST_S, most: int = _MOST) -> None:
        self._ledger, self._rest_s, self._most = ledger, rest_s, most
        self._changed = threading.Condition()
        self._noted: Counter[Reason] = Counter()
        self._closed = False
        self._thread: threading.Thread | None = None

    def __call__(self, queue: str, why: str, **_: object) -> None:
        """Take note."""
        with self._changed:
            self._note((_storable(queue), why), 1)
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
        rest = self._rest_s
        while noted := self._next():
            rest = self._rest_s if self._written(noted) else min(2 * rest, _LONGEST_REST_S)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, rest)

    def _written(self, noted: Counter[Reason]) -> bool:
        """Did the ledger take it? If not, it is kept for the next time."""
        try:
            self._ledger.run(lambda connection: _write(connection, noted))
        except Transient:
            log.warning("refusals.not_kept", messages=noted.total())
        except Exception as error:  # noqa: BLE001 - the thread must live: nobody else writes what was refused
            log.error("refusals.failed", error=type(error).__name__, messages=noted.total())  # noqa: TRY400 - no contents
        else:
            _tell(noted)
            return True
        self._keep(noted)
        return False

    def _next(self) -> Counter[Reason]:
        """What was noted since; nothing once it is closed and all is told."""
        with self._changed:
            self._changed.wait_for(lambda: self._noted or self._closed)
            noted, self._noted = self._noted, Counter()
            return noted

    def _keep(self, noted: Counter[Reason]) -> None:
        """The ledger has them when it is back; where we end before, the log alone."""
        with self._changed:
            if not self._closed:
                for reason, count in noted.items():
                    self._note(reason, count)
                return
        _tell(noted)

    def _note(self, reason: Reason, count: int) -> None:
        """The caller holds the condition."""
        room = reason in self._noted or len(self._noted) < self._most
        self._noted[reason if room else _OTHERS] += count


def _storable(queue: str) -> str:
    """A name that a stranger chose, as PostgreSQL can store it: one that it cannot would keep all others out too."""
    return queue[:_LONGEST].encode(errors="replace").decode().replace("\0", "?")


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
