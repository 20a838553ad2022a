"""Recycling: a worker that has grown beyond its bound ends after its task; whoever runs it starts it again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import structlog

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_STATM = Path("/proc/self/statm")
_MB = 1024 * 1024


def size() -> int:
    """The memory that this process holds, in MB; 0 where the system does not tell.

    Not getrusage's ru_maxrss: that begins with what the process that started this one had held.
    """
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // _MB


def recycler(limit_mb: int, *, size_mb: Callable[[], int] = size) -> Callable[..., None]:
    """To be called after each task. Celery's own bounds are for child processes, and ours are threads.

    SIGTERM is the warm stop: what is in hand is finished, what was only fetched goes back to its queue.
    """
    ended = False

    def look(**_: object) -> None:
        nonlocal ended
        if ended or not limit_mb or (held := size_mb()) <= limit_mb:
            return
        ended = True
        log.warning("worker.recycled", mb=held, limit_mb=limit_mb)
        os.kill(os.getpid(), signal.SIGTERM)

    return look
