"""Children: processes that are kept alive until they are told to stop; each says what happened to it in its own log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bus.supervise.watchdog import Watchdog

GRACE_S = 12.0
"""Longer than a worker's soft shutdown (10 s, bus.app): it may finish what it has begun."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_SETTLED_S = 20.0
"""Who lived so long begins again with the shortest pause."""
_TAIL_CHARACTERS = 1500

Say = Callable[[str], None]


def command(*args: str) -> list[str]:
    """The argv of `bus ...` with this interpreter: works in a checkout too, where the command is not installed."""
    return [sys.executable, "-P", "-m", "workers", *args]


def stand_in(kind: str, port: int) -> list[str]:
    """The argv of `bus sandbox ...` without the rest of the command line: half the memory."""
    return [sys.executable, "-P", "-m", "bus.sandbox", kind, "--port", str(port)]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to run, and how it is called when people are told of it."""

    name: str
    argv: list[str]
    env: dict[str, str]
    cwd: Path
    log: Path


class Child:
    """One process, started again with growing pauses whenever it dies, until `stop`."""

    def __init__(self, recipe: Recipe, watchdog: Watchdog, say: Say) -> None:
        self.name, self.restarts = recipe.name, 0
        self.ends: list[int] = []
        """How its processes ended, one after the other: exit codes; a negative one is a signal."""
        self._recipe, self._watchdog, self._say = recipe, watchdog, say
        self._stopping = threading.Event()
        self._pause: float | None = None
        self._extra: Mapping[str, str] = {}
        self._process = self._spawn()
        self._keeper = threading.Thread(target=self._keep, name=f"keep {recipe.name}", daemon=True)
        self._keeper.start()

    @property
    def pid(self) -> int:
        """Of the process that runs now, or ran last."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """It has been started and has not ended."""
        return self._process.returncode is None

    def last_words(self) -> str:
        """The end of its log."""
        return self._recipe.log.read_text(errors="replace").strip()[-_TAIL_CHARACTERS:] or "(nothing)"

    def next_start(self, *, pause_s: float | None = None, extra: Mapping[str, str] | None = None) -> None:
        """How it is started when it ends: after this pause, with more in its environment. That one time."""
        self._pause, self._extra = pause_s, extra or {}

    def ask(self) -> None:
        """Begin to stop: finish what was begun, take nothing new."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Stop in order; by force after the grace. Harmless when already stopped."""
        self.ask()
        self._keeper.join(grace_s)
        while self._keeper.is_alive():
            self._signal(signal.SIGKILL)
            self._keeper.join(1.0)

    def _spawn(self) -> subprocess.Popen[bytes]:
        recipe, extra, self._extra = self._recipe, self._extra, {}
        recipe = replace(recipe, env=recipe.env | dict(extra))
        return self._watchdog.spawn(recipe.argv, recipe.env, recipe.log, recipe.cwd)

    def _keep(self) -> None:
        pause, begun = _FIRST_PAUSE_S, time.monotonic()
        while True:
            code = self._process.wait()
            self.ends.append(code)
            self._watchdog.ended(self._process)
            if self._stopping.is_set():
                return
            self._say(f"{self.name} ended ({_reason(code)}); starting it again")
            pause = _FIRST_PAUSE_S if time.monotonic() - begun > _SETTLED_S else min(pause * 2, _LONGEST_PAUSE_S)
            asked, self._pause = self._pause, None
            if self._stopping.wait(pause if asked is None else asked):
                return
            self._process, begun = self._spawn(), time.monotonic()
            self.restarts += 1
            if self._stopping.is_set():  # asked between the check and the start
                self._signal(signal.SIGTERM)

    def _signal(self, how: signal.Signals) -> None:
        """To its whole session: what it started goes with it."""
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, how) if how is signal.SIGKILL else self._process.send_signal(how)


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def stop_all(children: list[Child]) -> None:
    """Stop a group: all are asked at once, so that the group takes as long as its slowest."""
    for child in children:
        child.ask()
    deadline = time.monotonic() + GRACE_S
    for child in children:
        child.stop(max(0.1, deadline - time.monotonic()))
