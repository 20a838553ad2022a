"""Play: the bus's own steps as a history takes them, one at a time, and how everything comes to rest in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

from bus import points
from bus.envelope import Event
from bus.systems.bank_statement import read
from tests.prove.house import House
from tests.prove.tally import Tally

Row = dict[str, Any]

_TURN_S = 0.9
"""Shorter than any pause of a lane (the circuit is open for a second): what is due now is done, nobody waits."""
_ROUND_S = 4000.0
"""Longer than every lease, pause and `late_s`, and than the hour after which who is asked about is looked at again:
after so much time whatever waited for a moment is tried again."""
_ROUNDS = 40


class Restless(AssertionError):
    """The bus did not come to rest, which the fourth sentence says it does."""

    sentence = "writes_are_bounded_and_a_quiet_system_stays_quiet"


class WrittenOver(AssertionError):
    """While a person was asked which value is right, one was written over the other: the ninth sentence."""

    sentence = "no_conflict_is_closed_without_a_decision"


@dataclass
class Play:
    """One history's bus. A step in which the process dies is over, and the next one finds another process."""

    house: House
    tally: Tally
    events: int = 0
    kills: int = 0
    polled: int = 0
    told: list[str] = field(default_factory=list)
    """What happened, line by line, for a person."""

    def step(self, work: Callable[[], object]) -> None:
        """Let the bus do something; it may die of it."""
        try:
            work()
        except points.Killed as death:
            self.kills += 1
            self.tally.met("killed", str(death))
            self.told.append(f"    killed at {death}")
            self.house.between = None
            self.house.restart()

    def take(self, file: bytes) -> None:
        """A bank's file lies in its folder until it was taken."""
        before = self.kills
        self.step(lambda: self.house.bus.statements.take("bankfile", read(BytesIO(file))))
        if self.kills > before:
            self.take(file)

    def publish(self, count: int, *, backwards: bool = False) -> None:
        """Hand over some of what was rung, the oldest first or the youngest."""
        bells = self.house.bells
        taken = bells.published[-count:] if backwards else bells.published[:count]
        del bells.published[-count if backwards else 0 : None if backwards else count]
        events = list(reversed(taken)) if backwards else taken
        self.step(lambda: self._process(events))

    def _process(self, events: Sequence[Event]) -> None:
        if events:
            self.house.bus.pipeline.process(events)

    def drain(self, system: str, *, urgent: bool) -> None:
        """Let one lane take what is due now. Raises WrittenOver where it wrote what a person is asked about."""
        bus, asked = self.house.bus, self._asked()
        self.step(lambda: bus.lane(system, urgent).drain(until=datetime.now(UTC) + timedelta(seconds=_TURN_S)))
        self._has_left_alone(asked)

    def _asked(self) -> list[Row]:
        """Conflicts that are open, with the last line of the history."""
        return self.house.rows(
            """SELECT id, entity_id, field, (SELECT coalesce(max(id), 0) FROM history) AS line
               FROM conflict WHERE state = 'open'"""
        )

    def _has_left_alone(self, asked: list[Row]) -> None:
        still = {row["id"] for row in self._asked()} if asked else set()
        for row in asked:
            written = self.house.rows(
                "SELECT system FROM history WHERE id > %s AND entity_id = %s AND field = %s AND what = 'written'",
                row["line"],
                row["entity_id"],
                row["field"],
            )
            self.tally.met("case", "9 left alone while open")
            if written and row["id"] in still:
                raise WrittenOver(
                    f"{row['field']} of {row['entity_id']} was written to {written[0]['system']}: it is asked about"
                )

    def fellow_publishes(self) -> None:
        """The other process hears what was rung, in the midst of a step of the first."""
        events, self.house.bells.published = self.house.bells.published, []
        if events:
            self.house.fellow.pipeline.process(events)

    def fellow_drains(self, system: str, *, urgent: bool) -> None:
        """The other process has a turn at a lane, in the midst of a step of the first."""
        self.house.fellow.lane(system, urgent).drain(until=datetime.now(UTC) + timedelta(seconds=_TURN_S))

    def poll(self) -> None:
        """Ask 1C what changed."""
        self.step(self.house.bus.reconcile.poll)

    def reconcile(self, *, full: bool) -> None:
        """Ask everybody what changed."""
        self.step(lambda: self.house.bus.reconcile.run(full=full))

    def sweep(self) -> None:
        """Ring again what nobody took."""
        self.step(self.house.bus.chores.sweep)

    def deadlines(self) -> bool:
        """Let deadlines that are over have their say. True when one was."""
        found: dict[str, int] = {}
        self.step(lambda: found.update(self.house.bus.chores.deadlines()))
        return any(found.values())

    def work(self) -> None:
        """An ordinary moment: all post comes, all bells are heard, every lane has its turn."""
        self.deliver_all()
        self.publish(len(self.house.bells.published))
        self.poll()
        rung, self.house.bells.rung = self.house.bells.rung, set()
        for system, urgent in sorted(rung, key=lambda lane: (not lane[1], lane[0])):
            self.drain(system, urgent=urgent)

    def deliver_all(self) -> None:
        """All post that waits, once, in order."""
        for held in self.house.posts.values():
            for _ in range(len(held.letters)):
                held.deliver(0)

    # ---- rest

    def rest(self, *, reconciles: bool) -> None:
        """Nothing new happens, nothing fails, and time passes, until nothing moves. Raises Restless."""
        self.house.doom = self.house.between = None
        for site in (self.house.portal, self.house.shop, self.house.base):
            site.faults.clear()
        self._quieten()
        if reconciles:
            before = self._state()
            self.reconcile(full=False)
            if self._waiting() or self._state() != before:
                self._quieten()

    def _quieten(self) -> None:
        still, before = 0, self._state()
        last = before
        for _ in range(_ROUNDS):
            self.work()
            after = self._state()
            if after == before and not self._waiting():
                still += 1
                if still > 1:
                    return
                self.house.let_pass(_ROUND_S)
                self.sweep()
            else:
                still, last = 0, before
                self.house.let_pass(30.0)
                self.sweep()
            before = after
        restless = {name: (was, after[name]) for name, was in last.items() if was != after[name]}
        raise Restless(f"no rest after {_ROUNDS} rounds: {restless}; {self._moving()}")

    def _waiting(self) -> bool:
        on_their_way = any(network.held for network in self.house.networks.values())
        return on_their_way or bool(
            self.house.bells.published or any(held.letters for held in self.house.posts.values())
        )

    def _state(self) -> Row:
        """What changes when anything moves."""
        found = self.house.rows(
            """SELECT (SELECT count(*) FROM event) AS events,
                      (SELECT count(*) FROM event WHERE state = 'done') AS done,
                      (SELECT sum(revision) FROM entity) AS revisions,
                      (SELECT count(*) FROM history) AS lines,
                      (SELECT count(*) FROM delivery WHERE state = 'due') AS due,
                      (SELECT count(*) FROM dead_letter WHERE state = 'open') AS letters"""
        )[0]
        return found | {"writes": self.house.writes()}

    def _moving(self) -> str:
        due = self.house.rows(
            "SELECT system, entity_id, priority, due_at, attempts, last_error FROM delivery WHERE state = 'due'"
        )
        last = self.house.rows(
            "SELECT seq, source, subject, type, state, outcome, error FROM event ORDER BY seq DESC LIMIT 8"
        )
        post = {name: (len(held.letters), held.refused) for name, held in self.house.posts.items()}
        rung = [f"{event.source} {event.subject}" for event in self.house.bells.published]
        return f"post {post}; rung {rung}; due {due}; last {last}"
