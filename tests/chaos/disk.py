"""A disk that can be full: a small file system for the ledger, which a ballast fills to the last byte.

As root it is a tmpfs of that size. Who may not mount gets a clear error: a run without it would not be this run.
"""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

SIZE_MB = 2_048
_STEP = 1 << 20


class NoDisk(Exception):
    """A file system of our own cannot be mounted here."""


class Disk:
    """Mounted at `folder` while entered; what was on it is gone afterwards."""

    def __init__(self, folder: Path, size_mb: int = SIZE_MB) -> None:
        self.folder, self._size_mb = folder, size_mb
        self._ballast = folder / "ballast"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        options = f"size={self._size_mb}m,mode=0711"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NoDisk(f"a tmpfs cannot be mounted ({done.stderr.strip()}); run it as root, or where that is allowed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
        self.folder.rmdir()

    def fill(self) -> int:
        """Leave no byte free. How many were taken."""
        taken = 0
        with self._ballast.open("ab") as ballast:
            for step in (_STEP, 4_096, 1):
                try:
                    while True:
                        os.posix_fallocate(ballast.fileno(), taken, step)
                        taken += step
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        return taken

    def free(self) -> None:
        """Give it back."""
        with suppress(FileNotFoundError):
            self._ballast.unlink()
