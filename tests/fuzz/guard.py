"""Guards around one input: how long it took, how much memory it cost, and an end for what never ends."""

from __future__ import annotations

import faulthandler
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, process_time
from types import FrameType

from tests.fuzz.target import Broken, Target, must

STUCK = 20.0
"""So many times its limit, by the wall clock, and the process is ended from outside of Python."""


class Hung(Broken):
    """It was interrupted: it took longer than its target allows."""


@contextmanager
def guarded(target: Target) -> Iterator[None]:
    """Around one input. Raises Broken for one that took too long or too much memory.

    Processor time is counted, since others use the machine too; an input that waits is interrupted by the wall clock.
    """
    _begin_anew()
    before, began, worked = _peak_kb(), monotonic(), process_time()
    faulthandler.dump_traceback_later(target.seconds * STUCK, exit=True, file=sys.__stderr__)
    old = signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, target.seconds * STUCK / 2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        faulthandler.cancel_dump_traceback_later()
    took = min(process_time() - worked, monotonic() - began)
    must(took <= target.seconds, f"it took {took:.1f} s")
    grown = (_peak_kb() - before) / 1024
    must(grown <= target.megabytes, f"it took {grown:.0f} MB of memory")


def _interrupt(_: int, __: FrameType | None) -> None:
    raise Hung("it was still running")


def _begin_anew() -> None:
    """Forget the peak until now, where the kernel can: else what fits under an earlier one would not be seen."""
    with suppress(OSError), Path("/proc/self/clear_refs").open("w", encoding="ascii") as file:
        file.write("5")


def _peak_kb() -> int:
    with suppress(OSError), Path("/proc/self/status").open(encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
