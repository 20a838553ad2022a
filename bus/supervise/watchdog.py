"""Watchdog: when the supervisor dies without stopping its children (kill -9), they are stopped all the same.

It is `bus.embedded` run as a script, the same small program (standard library only, 9 MB) that guards the engines: it
holds the end of a pipe on which the supervisor names each child that began or ended; when the pipe ends, it sends
SIGINT to those left, and SIGKILL after a grace. PR_SET_PDEATHSIG was not taken: it fires when the forking *thread*
ends, and ours restart children from threads; and it exists on Linux only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bus import embedded

_GATE = ("/bin/sh", "-c", 'read -r go && exec "$@"', "gate")
"""A child begins only after the watchdog knows its pid; should we die before that, it never begins."""


class Watchdog:
    """Starts processes that do not outlive this one."""

    def __init__(self, temporary: Path | None = None) -> None:
        """`temporary` is a folder to remove when we die."""
        script = [sys.executable, "-I", "-S", str(embedded.__file__), str(os.getpid()), str(temporary or "")]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            script, stdin=subprocess.PIPE, bufsize=0, cwd="/", start_new_session=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def spawn(self, command: list[str], env: dict[str, str], log: Path, cwd: Path) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own (Ctrl-C reaches us alone), its output appended to `log`."""
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - commands of ours
                [*_GATE, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                start_new_session=True,
            )
        self._tell(process.pid)
        if process.stdin:
            with suppress(BrokenPipeError), process.stdin as gate:  # broken: it died; its log and exit code tell
                gate.write(b"go\n")
        return process

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        """A child is no more."""
        self._tell(-process.pid)

    def _tell(self, pid: int) -> None:
        if self._process.stdin:
            with suppress(BrokenPipeError):  # somebody killed the watchdog; we still stop what we started
                self._process.stdin.write(b"%d\n" % pid)
