"""Evening: the faults are lifted, a reconciliation finds what no webhook told of, and the bus comes to rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bus.demo.report import RULED
from bus.ledger import journal, letters
from bus.ledger.database import rows
from bus.supervise.control import Control
from bus.supervise.stack import Wiring

_LOOKS = 6
"""At rest is who was found so as many times running: between two queues something may be in nobody's books."""
_PAUSE_S = 0.25


class Evening:
    """Waits until nothing moves."""

    def __init__(self, wiring: Wiring, sites: Sequence[Control], tick: Callable[[], None]) -> None:
        """`tick` is called at every look, to show how it goes."""
        self._wiring, self._sites, self._tick = wiring, sites, tick

    def fall(self, deadline_s: float) -> bool:
        """Bring the day to its end. False when something still moved at the deadline."""
        until = time.monotonic() + deadline_s
        for site in self._sites:
            site.clear_faults()
            site.post("events/flush", {"deadline": 10})
        return self._reconciled(until) and self._rested(until)

    def open_letters(self) -> int:
        """How many dead letters wait for a person."""
        with self._wiring.ledger.transaction() as connection:
            return letters.open_count(connection)

    def conflicts(self) -> tuple[int, int]:
        """How many conflicts are left to a person, and how many times a rule decided between two sides."""
        query = f"""SELECT (SELECT count(*) FROM conflict WHERE state = 'open') AS left_over,
                           (SELECT count(*) FROM history WHERE {RULED}) AS ruled"""  # noqa: S608 - ours
        with self._wiring.ledger.transaction() as connection:
            found = rows(connection, query)[0]
        return int(found["left_over"]), int(found["ruled"])

    def troubles(self) -> list[str]:
        """The open letters by cause, with an example of each."""
        with self._wiring.ledger.transaction() as connection:
            found = letters.groups(connection)
        return [f"{row['letters']} x {row['system']} {row['cause']}: {row['example']}" for row in found]

    def waiting(self) -> list[str]:
        """Events that still wait for what they refer to."""
        query = "SELECT source, subject, waits_for FROM event WHERE state = 'waiting' ORDER BY seq"
        with self._wiring.ledger.transaction() as connection:
            found = rows(connection, query)
        return [f"{row['source']} {row['subject']} for {row['waits_for']}" for row in found]

    def _reconciled(self, until: float) -> bool:
        """One full run of our own that read every system; another may be under way, begun before faults were lifted."""
        while time.monotonic() < until:
            done = self._wiring.reconcile.run(full=True)
            if done is not None and not any(system["error"] for system in done["systems"]):
                return True
            self._pause()
        return False

    def _rested(self, until: float) -> bool:
        quiet = 0
        while time.monotonic() < until:
            quiet = 0 if self._moves() else quiet + 1
            if quiet >= _LOOKS:
                return True
            self._pause()
        return False

    def _moves(self) -> bool:
        with self._wiring.ledger.transaction() as connection:
            if journal.busy(connection):
                return True
        return any(site.get("events")["waiting"] for site in self._sites)

    def _pause(self) -> None:
        self._tick()
        time.sleep(_PAUSE_S)
