"""`python -m tests.chaos --minutes M --seed S`: the demo's traffic while everything under it breaks.

The last line of stdout is one JSON object. The exit code is 0 only when nothing was lost, doubled, left unexplained,
leaked or left to a person, and every planned kill took place.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys

from rich.console import Console

from bus.supervise.up import Interrupted, interruptible
from tests.chaos.disk import NoDisk
from tests.chaos.run import run

_INTERRUPTED, _CANNOT = 130, 2
_MARK = "BUS_CHAOS_HAS_MOUNTS_OF_ITS_OWN"


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long things break (10)")
    parser.add_argument("--seed", type=int, help="the same number breaks the same things; by lot by default")
    parser.add_argument("--keep", action="store_true", help="keep logs of a run that was all right too")
    chosen = parser.parse_args()
    _keep_mounts_to_ourselves()
    seed = secrets.randbelow(100_000) if chosen.seed is None else chosen.seed
    again = f"python -m tests.chaos --minutes {chosen.minutes:g} --seed {seed}"
    console = Console(soft_wrap=True)
    console.print(f"seed {seed}; the same again: {again}", highlight=False)
    try:
        with interruptible():
            figures = run(chosen.minutes, seed, console, keep=chosen.keep)
    except Interrupted:
        console.print("interrupted; everything was stopped")
        return _INTERRUPTED
    except NoDisk as error:
        console.print(str(error))
        return _CANNOT
    if not figures.ok:
        console.print(f"not all right; the same again: {again}", highlight=False)
    sys.stdout.write(figures.line() + "\n")
    return 0 if figures.ok else 1


def _keep_mounts_to_ourselves() -> None:
    """Begin anew among mounts that nobody else sees: the small disk is gone with us, even after kill -9."""
    if _MARK in os.environ or shutil.which("unshare") is None:
        return
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return
    os.environ[_MARK] = "yes"
    os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
