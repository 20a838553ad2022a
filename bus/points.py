"""Crash points: names for the moments between two statements, at which a test lets a process die.

They stand as `if __debug__: points.here("lane.sent")`, which Python leaves out of what it runs optimized (`python -O`,
PYTHONOPTIMIZE=1), as production does. Elsewhere one costs a look at an empty place.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count

VARIABLE = "BUS_CRASH_AT"
"""Environment of a process that is to kill itself: `lane.sent:3` is the third time that it comes there."""

POINTS: dict[str, str] = {
    "publish.journaled": "events are committed, and nobody was told",
    "path.taken": "events are claimed by the path's transaction",
    "path.locked": "their entities are locked, and nothing is merged",
    "path.merged": "merged, and nothing is saved",
    "path.saved": "saved, and not committed",
    "path.committed": "committed, and no bell was rung",
    "lookup.claimed": "notifications are claimed, and nothing was read",
    "lookup.read": "records were read, and are in no journal",
    "lookup.journaled": "they are journaled, and not merged",
    "lane.claimed": "deliveries are claimed",
    "lane.begun": "creations are noted, and nothing was sent",
    "lane.read": "the records were read",
    "lane.launched": "writes are noted as on their way, and not sent",
    "lane.sent": "the system has answered, and the ledger does not know",
    "lane.settling": "new bases are written, and not committed",
    "lane.settled": "committed, and no bell was rung",
    "lane.linking": "a record that was found by our key is about to be linked",
    "reconcile.read": "a page was read, and is in no journal",
    "reconcile.journaled": "it is journaled, and not merged",
    "reconcile.merged": "it is merged, and the cursor has not moved",
    "import.translated": "documents of a file are translated, and not journaled",
    "import.journaled": "they are journaled, and nobody was told",
    "offer.told": "an offer is noted, and was not answered",
    "offer.agreed": "an offer is agreed on, and not committed",
    "task.added": "a task was made, and the ledger does not know",
    "conflict.closed": "a decision is committed, and nobody was told",
    "question.answered": "an answer is committed, and nobody was told",
    "letter.revived": "dead letters are sent again, and nobody was told",
    "statement.assigned": "who is to be asked is, and its payments are not journaled",
    "statement.taken": "payments of a statement are journaled, and the file was not moved aside",
    "sweep.claimed": "events to be rung again are marked, and no bell was rung",
}
"""What has been done at each, and what has not."""


class Killed(BaseException):
    """The process is dead, as far as the code can tell: no handler of ours catches it."""


def here(name: str) -> None:
    """We have come to a point. Nothing happens, unless a test waits for us there."""
    if _hook is not None:
        _hook(name)


def arm(hook: Callable[[str], None]) -> None:
    """Have `hook` called at every point of this process; it may raise Killed."""
    global _hook  # noqa: PLW0603 - one per process, for tests
    _hook = hook


def disarm() -> None:
    """Have nothing called any more."""
    global _hook  # noqa: PLW0603 - the same
    _hook = None


def _from_environment(value: str | None) -> Callable[[str], None] | None:
    """Kill this very process, with the signal that leaves it no time, when it comes to a point for the nth time."""
    if not value:
        return None
    wanted, _, nth = value.partition(":")
    if wanted not in POINTS:
        raise ValueError(f"{VARIABLE}: there is no crash point {wanted!r}")
    times, left = count(1), int(nth or 1)

    def die(name: str) -> None:
        if name == wanted and next(times) == left:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


_hook: Callable[[str], None] | None = _from_environment(os.environ.get(VARIABLE)) if __debug__ else None
