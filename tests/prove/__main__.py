"""`python -m tests.prove --seeds N --first S --jobs 2`: that many random histories, and whether the sentences held."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.prove import jobs as jobs_
from tests.prove import report, shares
from tests.prove.run import Outcome

_AGAIN = "make prove SEEDS=1 SEED={}"


def main() -> int:
    """Play the histories; 0 when all of them held, nothing that can happen was left out, and not too much excused."""
    asked = _asked()
    begun = time.monotonic()
    outcomes = list(_watched(_played(asked), asked.seeds))
    summary = report.summary(outcomes, time.monotonic() - begun)
    missing = report.missing(outcomes) if asked.seeds >= report.ENOUGH else []
    if asked.seeds == 1:
        _say("\n".join(outcomes[0].told))
    _say(report.plain(outcomes, summary, missing, _AGAIN))
    excess = shares.excess(summary["shares"], summary["judged"])
    ok = not (summary["failures"] or missing or excess)
    _say(json.dumps({"ok": ok, **summary, "missing": missing, "excess": excess}, ensure_ascii=False))
    return 0 if ok else 1


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many histories")
    parser.add_argument("--first", type=int, default=1, help="the first seed; each history has one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes, each with its own engines")
    parser.add_argument("--shrink", action="store_true", help="look for the shortest history that fails too")
    parser.add_argument("--stop", action="store_true", help="end with the first that fails")
    return parser.parse_args()


def _played(asked: argparse.Namespace) -> Iterator[Outcome]:
    seeds = range(asked.first, asked.first + asked.seeds)
    jobs = 1 if asked.stop else min(asked.jobs, asked.seeds)
    if jobs > 1:
        yield from jobs_.shared(seeds, jobs, shrink=asked.shrink)
        return
    for one in jobs_.alone(seeds, shrink=asked.shrink, tell=asked.seeds == 1):
        yield one
        if asked.stop and not one.ok:
            return


def _watched(outcomes: Iterator[Outcome], seeds: int) -> Iterator[Outcome]:
    """A failing one is told at once, and how far we are now and then."""
    failed: Counter[bool] = Counter()
    for done, one in enumerate(outcomes, 1):
        failed[not one.ok] += 1
        if not one.ok:
            _say(report.failure(one, _AGAIN))
        elif done % 10 == 0 or done == seeds:
            _say(f"{done} of {seeds} histories, {failed[True]} failed")
        yield one


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
