"""What every route is handed: the configuration, the keys, the commits behind which the journal is, and the meters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Literal

from fastapi import Request
from pydantic import BaseModel

from bus.config import Config, System
from bus.intake.body import Bodies
from bus.intake.commits import GroupCommit
from bus.intake.metrics import Meters
from bus.intake.problems import Refused
from bus.intake.signatures import Keyring
from bus.model import Kind
from bus.ports import Arrival, Mappings


class Taken(BaseModel):
    """Committed: `new` were journaled now, `known` had been before."""

    new: int
    known: int


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts of one app."""

    config: Config
    bodies: Bodies
    commits: GroupCommit
    mappings: Mappings
    keyring: Keyring
    meters: Meters
    now: Callable[[], datetime]
    takes: Callable[[str, Kind], bool]
    """Whether a kind of a system's records may be taken in, as the switches have it."""

    def system(self, request: Request, name: str, kind: Literal["bitrix24", "bitrix_cms"]) -> System:
        """The system a path speaks of. Raises Refused 404 for one that is unknown or of another kind."""
        system = self.config.systems.get(name)
        if system is None or system.kind != kind:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such system here")
        request.state.system = name
        return system

    async def accept(self, system: str, route: str, arrival: Arrival, size: int) -> Taken:
        """Have it journaled and count what came of it; returns after the commit. `size`: bytes of its body."""
        accepted = await self.commits.accept(system, arrival, size)
        if accepted.new:
            self.meters.accepted.labels(system, route).inc(accepted.new)
        if accepted.known:
            self.meters.known.labels(system, route).inc(accepted.known)
        return Taken(new=accepted.new, known=accepted.known)
