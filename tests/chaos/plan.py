"""The plan of a run: what is broken when, drawn from a seed; the same for the same numbers.

Pure. How much is done in ten minutes stands in `_TEN_MINUTES`; a longer run has as much more. Two faults of different
things may meet; two of the same thing may not, or nobody could tell which of them it recovered from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

WORKERS = ("payments", "orders", "deals", "counterparties", "chores", "lanes-crm", "lanes-shop", "lanes-onec")
PROCESSES = (*(f"worker-{name}" for name in WORKERS), "intake", "beat")
"""The bus's own, as bus.supervise.Stack calls them."""
LINKS = ("postgres", "valkey", "crm", "shop", "onec", "intake")
ENGINES = ("postgres", "valkey")
MODES = ("slow", "cut", "hole", "half")

LONG_S = 14.0
"""Longer than every lease and timeout of tests.chaos.house.TIMES together."""

_PATH = ("path.taken", "path.locked", "path.merged", "path.saved", "path.committed")
_LANE = ("lane.claimed", "lane.begun", "lane.read", "lane.launched", "lane.sent", "lane.settling", "lane.settled")
_LOOKUP = ("lookup.claimed", "lookup.read", "lookup.journaled")
POINTS = {
    "worker-payments": (*_PATH, *_LANE),
    "worker-orders": _PATH,
    "worker-deals": _PATH,
    "worker-counterparties": _PATH,
    "worker-lanes-crm": (*_LANE, *_LOOKUP, "lane.linking"),
    "worker-lanes-shop": _LANE,
    "worker-lanes-onec": (*_LANE, "lane.linking"),
    "worker-chores": (
        *("reconcile.read", "reconcile.journaled", "reconcile.merged", "sweep.claimed"),
        *("statement.assigned", "statement.taken", "publish.journaled"),
    ),
    "intake": ("publish.journaled",),
}
"""Where a process may be killed exactly between two statements (bus.points), by which process comes there."""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that goes wrong: not before `at` seconds of the run, for so many seconds."""

    at: float
    kind: str
    target: str
    seconds: float = 0.0
    detail: str = ""
    """Of a crash: `point:nth`."""

    @property
    def until(self) -> float:
        """When it is over."""
        return self.at + self.seconds

    @property
    def kills(self) -> int:
        """How many processes are killed by it, for sure."""
        return {"kill": 1, "crash": 1, "power cut": len(PROCESSES), "killed": 1, "emptied": 1}.get(self.kind, 0)

    @property
    def thing(self) -> str:
        """What is broken: two acts on the same thing are kept apart."""
        if self.kind == "disk full" or self.target in ("postgres", "backend"):
            return "ledger"
        return "broker" if self.target == "valkey" else self.target


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run."""

    seed: int
    seconds: float
    acts: tuple[Act, ...]
    second: tuple[float, float]
    """When a second instance of everything comes, and when its machine goes."""
    upgrade: float
    """When the schema is brought up to date and the workers are started anew."""

    @property
    def kills(self) -> int:
        """How many processes are killed at least."""
        return sum(act.kills for act in self.acts)


_FIRST_S = 8.0
_BREATH_S = 7.0
"""Between the end of one fault of a thing and the next of the same."""
_LAST = 0.94
"""Of the run: after it nothing new is broken."""
_TRIES = 60


def plan(seed: int, minutes: float) -> Plan:
    """The same for the same numbers."""
    rng, seconds = Random(f"chaos {seed}"), minutes * 60
    wanted = [(weight, draw) for weight, draw in _TEN_MINUTES for _ in range(_share(weight, minutes))]
    found: list[Act] = []
    for _, draw in wanted:
        for _ in range(_TRIES):
            act = draw(rng, rng.uniform(_FIRST_S, seconds * _LAST))
            if act.until < seconds * _LAST + _BREATH_S and not any(_meet(act, other) for other in found):
                found.append(act)
                break
    acts = tuple(sorted(found, key=lambda act: (act.at, act.kind, act.target)))
    return Plan(seed, seconds, acts, (seconds * 0.35, seconds * 0.65), seconds * 0.2)


def _share(in_ten_minutes: int, minutes: float) -> int:
    return max(1, round(in_ten_minutes * minutes / 10))


def _meet(one: Act, other: Act) -> bool:
    """Would they break the same thing at once, or again before it can have recovered?"""
    if one.thing != other.thing:
        return False
    return one.at < other.until + _BREATH_S and other.at < one.until + _BREATH_S


def _kill(rng: Random, at: float) -> Act:
    """Most come back at once, as systemd has it with RestartSec=0; some after a pause."""
    pause = 0.0 if rng.random() < 0.7 else rng.uniform(1.0, 5.0)
    return Act(at, "kill", rng.choice(PROCESSES), pause)


def _crash(rng: Random, at: float) -> Act:
    target = rng.choice(tuple(POINTS))
    return Act(at, "crash", target, detail=f"{rng.choice(POINTS[target])}:{rng.choice((1, 1, 2, 3))}")


def _power(rng: Random, at: float) -> Act:
    return Act(at, "power cut", "all", rng.uniform(0.0, 3.0))


def _killed(rng: Random, at: float) -> Act:
    return Act(at, "killed", rng.choice((*ENGINES, "backend")), rng.uniform(0.0, 4.0))


def _emptied(rng: Random, at: float) -> Act:
    return Act(at, "emptied", "valkey", rng.uniform(0.0, 2.0))


def _stopped(rng: Random, at: float) -> Act:
    return Act(at, "stopped", rng.choice(PROCESSES), LONG_S)


def _engine_stopped(rng: Random, at: float) -> Act:
    return Act(at, "stopped", rng.choice(ENGINES), LONG_S)


def _link(mode: str) -> Callable[[Random, float], Act]:
    """A hole lasts longer than every timeout: by then everybody has given up who would."""
    longest = LONG_S if mode == "hole" else 8.0
    return lambda rng, at: Act(at, mode, rng.choice(LINKS), longest if mode == "hole" else rng.uniform(3.0, longest))


def _disk(rng: Random, at: float) -> Act:
    return Act(at, "disk full", "disk", rng.uniform(6.0, 12.0))


_TEN_MINUTES: tuple[tuple[int, Callable[[Random, float], Act]], ...] = (
    (2, _disk),
    (2, _engine_stopped),
    (3, _emptied),
    (6, _killed),
    (2, _power),
    *((6, _link(mode)) for mode in MODES),
    (12, _stopped),
    (25, _crash),
    (70, _kill),
)
"""How many of what, the rarest first: what comes late finds less room."""
