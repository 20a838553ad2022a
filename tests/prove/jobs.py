"""Jobs: histories over several processes, each with a house of its own; outcomes come as they are."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from queue import Empty
from typing import Any

from tests.prove.run import Outcome, house, play

_LOOK_S = 5.0


def alone(seeds: Sequence[int], *, shrink: bool, tell: bool) -> Iterator[Outcome]:
    """One history after the other, in this process."""
    with house() as where:
        for number in seeds:
            yield play(number, where, shrink=shrink, tell=tell)


def shared(seeds: Sequence[int], jobs: int, *, shrink: bool) -> Iterator[Outcome]:
    """The seeds shared out evenly. Raises RuntimeError when a process ended before its work was done."""
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    workers = [context.Process(target=_work, args=(list(seeds[at::jobs]), shrink, queue)) for at in range(jobs)]
    for worker in workers:
        worker.start()
    left = len(workers)
    while left:
        said = _next(queue, workers)
        if said is None:
            left -= 1
        else:
            yield Outcome(**said)
    for worker in workers:
        worker.join()


def _next(queue: Any, workers: Sequence[Any]) -> dict[str, Any] | None:
    """The next outcome; None: one process more is done."""
    while True:
        try:
            said: dict[str, Any] | None = queue.get(timeout=_LOOK_S)
        except Empty:
            if any(worker.exitcode for worker in workers):
                raise RuntimeError("a process that played histories has ended by itself") from None
        else:
            return said


def _work(seeds: list[int], shrink: bool, queue: Any) -> None:
    for one in alone(seeds, shrink=shrink, tell=False):
        queue.put(one.plain())
    queue.put(None)
