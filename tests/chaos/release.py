"""The release before: the bus as it was before the newest migration, from this checkout's history.

An upgrade is honest only from there: old workers on the old schema, `bus migrate` while they work, new workers.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from bus import config as configuration
from bus.ledger.schema import head

ROOT = Path(configuration.__file__).parents[1]
_VERSIONS = "bus/ledger/migrations/versions"
_PARTS = ("bus", "mappings", "workers")
_LOOKED_AT = 30
"""Commits that are tried, the newest first: not every commit of a series runs by itself."""


def before(folder: Path) -> str | None:
    """Lay the last release without the newest migration into `folder`; its commit. None without such a history."""
    added = _git("log", "--diff-filter=A", "--format=%H", "--", f"{_VERSIONS}/{head()}_*.py").split()
    newest = f"{added[-1]}~1" if added else "HEAD"
    for commit in _git("rev-list", f"--max-count={_LOOKED_AT}", newest).split():
        _lay(commit, folder)
        if _runs(folder):
            return commit
        shutil.rmtree(folder)
    return None


def _lay(commit: str, folder: Path) -> None:
    packed = subprocess.run(["git", "archive", commit, *_PARTS], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def _runs(folder: Path) -> bool:
    """Can its command line be asked anything at all?"""
    argv = [sys.executable, "-P", "-m", "workers", "version"]
    return not subprocess.run(
        argv, env={**os.environ, "PYTHONPATH": str(folder)}, cwd=folder, capture_output=True, check=False
    ).returncode


def _git(*args: str) -> str:
    """What git says; nothing without git or its history."""
    try:
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
