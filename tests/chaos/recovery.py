"""How long until due work flows again after a fault, asked of the ledger itself.

A fault ends when it is lifted, a killed process's when it is started again. Work flows when the ledger shows a piece of
work of the kind that was hit, finished after that moment: for a channel's worker an event of that channel, for a lane a
write to its system, for the intake an event taken in, for chores and beat a poll of 1C, for an engine, a disk, a power
cut and what leads to the engines an event and a write of any kind. The time includes waiting for the next such work.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

import psycopg

_LOOK_S = 0.5
_LONGEST_S = 90.0
_WRITTEN = "SELECT 1 FROM history WHERE at > %(end)s AND what IN ('written', 'created')"
_POLLED = "SELECT 1 FROM cursor WHERE updated_at > %(end)s AND name LIKE 'reconcile onec%%'"
_DONE = "SELECT 1 FROM event WHERE state = 'done' AND finished_at > %(end)s AND kind <> 'notification'"
_TAKEN = "SELECT 1 FROM event WHERE received_at > %(end)s AND (kind = 'notification' OR source IN ('shop', 'bank'))"
_PENDING = "SELECT 1 FROM event WHERE state = 'pending'"
_DUE = "SELECT 1 FROM delivery WHERE state = 'due' AND due_at < now()"


@dataclass(frozen=True, slots=True)
class Signs:
    """What shows that work flows, and what shows that some is due, as queries."""

    flows: tuple[str, ...]
    due: str


def signs(target: str) -> Signs:
    """By what was hit: a process, an engine, a link, the disk or everything."""
    name = target.removesuffix("-2").removeprefix("worker-")
    if name in ("payments", "orders", "deals", "counterparties"):
        of = f" AND channel = '{name}'"
        return Signs((_DONE + of,), _PENDING + of)
    system = name.removeprefix("lanes-")
    if system in ("crm", "shop", "onec"):
        of = f" AND system = '{system}'"
        return Signs((_WRITTEN + of,), _DUE + of)
    if name in ("chores", "beat"):
        return Signs((_POLLED,), "SELECT 1")
    if name == "intake":
        return Signs((_TAKEN,), "SELECT 1 WHERE false")
    return Signs((_DONE, _WRITTEN), f"({_PENDING}) UNION ALL ({_DUE})")


@dataclass(slots=True)
class _Wait:
    kind: str
    target: str
    end: float


@dataclass(slots=True)
class Recovery:
    """Looks at the ledger from a thread of its own, while somebody waits."""

    url: str
    clock: Callable[[], float] = time.time
    times: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds, by kind of fault."""
    never: list[str] = field(default_factory=list)
    """Faults after which due work did not flow for so long that nobody waited longer."""
    idle: int = 0
    """Faults after which there was nothing to do of that kind."""
    _waits: list[_Wait] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start looking."""
        self._thread = threading.Thread(target=self._look, name="recovery", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop looking. Who still waits then had nothing more to wait for: the run's own rest tells of it."""
        self._over.set()
        if self._thread:
            self._thread.join()
        self.idle += len(self._waits)

    def ended(self, kind: str, target: str) -> None:
        """A fault is over, just now."""
        with self._lock:
            self._waits.append(_Wait(kind, target, self.clock()))

    def table(self) -> list[tuple[str, int, float, float]]:
        """Kind, how many were measured, median and worst, in seconds."""
        return [(kind, len(some), median(some), max(some)) for kind, some in sorted(self.times.items())]

    def _look(self) -> None:
        connection: psycopg.Connection | None = None
        while not self._over.wait(_LOOK_S):
            with self._lock:
                waits = list(self._waits)
            if not waits:
                continue
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(self.url, autocommit=True, connect_timeout=2)
                for one in waits:
                    self._look_for(connection, one)
            except psycopg.Error:  # it is what was broken, or is broken again: the next look asks again
                if connection is not None:
                    connection.close()
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _look_for(self, connection: psycopg.Connection, one: _Wait) -> None:
        wanted, now = signs(one.target), self.clock()
        query = " AND ".join(f"EXISTS ({sign.replace('%(end)s', 'to_timestamp(%(end)s)')})" for sign in wanted.flows)
        flows = connection.execute(f"SELECT {query}", {"end": one.end}).fetchone()
        if flows and flows[0]:
            self.times[one.kind].append(now - one.end)
        elif now - one.end < _LONGEST_S:
            return
        elif connection.execute(wanted.due).fetchone() is None:
            self.idle += 1
        else:
            self.never.append(f"{one.kind} {one.target}: no due work flowed for {_LONGEST_S:.0f} s")
        with self._lock:
            self._waits.remove(one)
