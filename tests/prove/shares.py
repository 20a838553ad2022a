"""Shares: of how much a sentence was asked, and how much it was not; a run in which too much was excused proves little.

Sentences 3, 7 and 10 leave out what the ledger tells a person about (an open conflict, a letter, a question, a
deletion) and what the model cannot know. "In part": some fields of it are left out; of sentence 7, what the deal shows;
of a field, where the README leaves room for several values.
"""

from __future__ import annotations

from tests.prove.tally import Tally

Shares = dict[str, dict[str, int]]

VERDICTS = ("judged", "in part", "excused")
MOST = {
    "3 order": 0.18,
    "3 counterparty": 0.15,
    "3 field": 0.02,
    "7 order": 0.29,
    "10 order": 0.66,
    "10 money": 0.34,
    "10 counterparty": 0.36,
    "10 field": 0.28,
}
"""By sentence and thing: what share of them may be judged in part, or not at all. 2,000 histories had 16, 11, 0.8, 25,
61, 27, 33 and 24 %; more is a bus that asks people too often, or sentences that excuse too much."""
ENOUGH = 150
"""So many histories have shares that say anything."""


def verdict(*, whole: bool, excused: bool = False) -> str:
    """The name of what became of one thing."""
    return "excused" if excused else "judged" if whole else "in part"


def counted(tally: Tally) -> Shares:
    """How many were judged, in part, or excused, by sentence and thing."""
    met = tally.of("share")
    return {what: {verdict: met.get(f"{what} {verdict}", 0) for verdict in VERDICTS} for what in MOST}


def excess(shares: Shares, histories: int) -> list[str]:
    """Where more was left out than may be; of a few histories nothing can be said."""
    if histories < ENOUGH:
        return []
    return [
        f"sentence {what}: {share:.1%} of {sum(some.values())} not judged whole, at most {MOST[what]:.0%} may be"
        for what, some in shares.items()
        if (share := _left_out(some)) > MOST[what]
    ]


def table(shares: Shares) -> list[str]:
    """For a person, in lines."""
    heads = "".join(f"{verdict:>9}" for verdict in VERDICTS)
    lines = [f"  {'asked of':18}{heads}  left out, of at most"]
    for what, some in shares.items():
        figures = "".join(f"{some[verdict]:9}" for verdict in VERDICTS)
        lines.append(f"  {what:18}{figures}  {_left_out(some):.1%}, {MOST[what]:.0%}")
    return lines


def _left_out(some: dict[str, int]) -> float:
    asked = sum(some.values())
    return (asked - some["judged"]) / asked if asked else 0.0
