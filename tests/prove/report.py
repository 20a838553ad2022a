"""Report: what thousands of histories came to, and what of all that can happen in one never happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.prove import shares
from tests.prove.invariants import SENTENCES
from tests.prove.machine import BETWEEN, DEATHS, FAULTS, SYSTEMS, UNANSWERED, Machine
from tests.prove.run import Outcome
from tests.prove.tally import Tally

Row = dict[str, Any]

ENOUGH = 1000
"""So many histories must have met everything."""
_SUMS = ("steps", "acts", "events", "kills", "faults", "conflicts")
CASES = (
    "2 linked record",
    "2 made deals",
    "2 made contacts",
    "2 made companies",
    "2 made payments",
    "4 quiet",
    "5 owned lines",
    "5 owned total",
    "5 owned delivery.method",
    "5 owned legal_name",
    "6 more paid",
    "7 with money",
    "7 booked by us",
    "7 in the books alone",
    "8 replayed",
    "9 conflict decided",
    "9 conflict expired",
    "9 left alone while open",
)
"""The interesting case of each sentence: where it could have been untrue."""


def summary(outcomes: Sequence[Outcome], seconds: float) -> Row:
    """The figures of a run. `judged`: histories of which all sentences were asked; a seed in seventy draws no day."""
    sums = {name: sum(getattr(one, name) for one in outcomes) for name in _SUMS}
    failed = [{"seed": one.seed, "sentence": one.sentence, "why": one.broken} for one in outcomes if not one.ok]
    judged = min(counted(outcomes).of("sentence").get(one.__name__, 0) for one in SENTENCES)
    return {
        "histories": len(outcomes),
        "judged": judged,
        **sums,
        "shares": shares.counted(counted(outcomes)),
        "failures": failed,
        "seconds": round(seconds),
    }


def counted(outcomes: Sequence[Outcome]) -> Tally:
    """Everything that was met, added up."""
    tally = Tally()
    for one in outcomes:
        tally.add(one.tally)
    return tally


def missing(outcomes: Sequence[Outcome]) -> list[str]:
    """What was never met, and so proves nothing."""
    tally = counted(outcomes)
    wanted = {
        "rule": [one.function.__name__ for one in Machine.setup_state().rules],
        "between": sorted(BETWEEN),
        "killed": list(DEATHS),
        "struck": [f"{system} {fault['kind']} {fault.get('method', '')}".strip() for system, fault in FAULTS],
        "creation": [f"{system} {how}" for system in SYSTEMS for how in UNANSWERED],
        "sentence": [one.__name__ for one in SENTENCES],
        "case": list(CASES),
    }
    return [f"{what} {name}" for what, names in wanted.items() for name in names if not tally.of(what).get(name)]


def plain(outcomes: Sequence[Outcome], figures: Row, never: Sequence[str], again: str) -> str:
    """For a person."""
    tally = counted(outcomes)
    played, judged, failed = figures["histories"], figures["judged"], len(figures["failures"])
    lines = [
        f"{played} histories in {figures['seconds']} s, {judged} judged, {failed} failed",
        "  " + ", ".join(f"{name} {figures[name]}" for name in _SUMS),
    ]
    for what in ("rule", "between", "post", "fault", "struck", "creation", "killed", "outcome", "sentence", "case"):
        met = ", ".join(f"{name} {times}" for name, times in tally.of(what).items())
        lines.append(f"  {what}: {met or 'none'}")
    lines += shares.table(figures["shares"])
    lines += [f"too much left out: {say}" for say in shares.excess(figures["shares"], figures["judged"])]
    lines += [f"never met: {name}" for name in never]
    lines += [f"failed: {again.format(one['seed'])}" for one in figures["failures"]]
    return "\n".join(lines)


def failure(one: Outcome, again: str) -> str:
    """A history that failed: the sentence, what happened, and how to see it again."""
    return "\n".join([f"seed {one.seed} FAILED: {one.broken}", *one.told, f"again: {again.format(one.seed)}", ""])
