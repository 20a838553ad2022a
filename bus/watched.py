"""Watched: the folders of the banks in bus.yaml, each statement in them taken once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import BinaryIO

import structlog

from bus import points
from bus.config import Config
from bus.folders import Folder, Kept
from bus.ledger.database import Ledger
from bus.statements import Statements
from bus.systems import bank_statement

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOCK = 4_201_778
"""Who looks through the folders."""


class Watched:
    """What beat has looked through over and over; two beats at once do no harm."""

    def __init__(self, ledger: Ledger, config: Config, statements: Statements, now: Callable[[], datetime]) -> None:
        self._ledger, self._statements, self._now = ledger, statements, now
        banks = [(name, system.folder) for name, system in config.systems.items() if system.kind == "bank"]
        self._folders = [Folder(name, path) for name, path in banks if path is not None]
        self._unusable: set[str] = set()

    def sweep(self) -> dict[str, int]:
        """Take every statement that is complete: how many were done, and how many were bad.

        Raises Transient without a ledger; a statement that was begun is taken up by the next sweep.
        """
        counts: Counter[str] = Counter()
        if not self._folders:
            return counts
        with self._ledger.alone(LOCK) as mine:
            for folder in self._folders if mine else ():
                counts.update(self._swept(folder))
        return counts

    def _swept(self, folder: Folder) -> dict[str, int]:
        """A folder that cannot be used is told of once, and hinders no other one."""
        try:
            counts = folder.sweep(partial(self._read, folder.system), self._now())
        except OSError as error:
            if folder.system not in self._unusable:
                log.error("folder.unusable", system=folder.system, why=error.strerror)  # noqa: TRY400 - no bug of ours
            self._unusable.add(folder.system)
            return {}
        self._unusable.discard(folder.system)
        return counts

    def _read(self, system: str, source: BinaryIO) -> list[str]:
        """What it came to, for the person who looks. Raises Kept where documents could not be read, BadInput."""
        taken = self._statements.take(system, bank_statement.read(source))
        if __debug__:
            points.here("statement.taken")
        if taken.faults:
            raise Kept(["Correct these and put the file back; what was taken is known.", *taken.report()])
        return taken.report()
