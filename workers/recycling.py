"""Recycling: a worker that has grown beyond its bound ends after its task; whoever runs it starts it again."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable

import structlog

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_KB = 1024


def grown() -> int:
    """The most memory that this process has held so far, in MB (Linux counts it in kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _KB


def recycler(limit_mb: int, *, size_mb: Callable[[], int] = grown) -> Callable[..., None]:
    """To be called after each task. Celery's own bounds are for child processes, and ours are threads.

    SIGTERM is the warm stop: what is in hand is finished, what was only fetched goes back to its queue.
    """
    ended = False

    def look(**_: object) -> None:
        nonlocal ended
        if ended or not limit_mb or (size := size_mb()) <= limit_mb:
            return
        ended = True
        log.warning("worker.recycled", mb=size, limit_mb=limit_mb)
        os.kill(os.getpid(), signal.SIGTERM)

    return look
