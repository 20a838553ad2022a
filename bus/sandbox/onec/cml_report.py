"""What one exchange run did and what it ran into; nothing of it but numbers, references and words of the protocol."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from bus.sandbox.onec.cml_session import Asked


@dataclass(frozen=True)
class Failure:
    """Why a part of the run came to nothing. `step`: the protocol's mode, or `load` and `write` inside 1C."""

    step: str
    text: str


@dataclass
class Report:
    """One run. Orders stand under the site's numbers, or under 1C's when they were born there."""

    profile: str
    asked: list[Asked] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    payments: list[str] = field(default_factory=list)
    """The site's payments that became documents, by their Ид."""
    parties: list[str] = field(default_factory=list)
    """References of the counterparties that the load created."""
    unposted: list[str] = field(default_factory=list)
    acknowledged: bool = False
    """`success` went out and was answered."""
    sent: list[str] = field(default_factory=list)
    """Orders whose file the site has imported."""
    sent_parties: int = 0
    files: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    twin: Report | None = None
    """The run that a scripted fault started beside this one."""
    info: dict[str, dict[str, str]] = field(default_factory=dict)
    """What `info` said: for each directory, id → name."""

    @property
    def ok(self) -> bool:
        return not self.failures

    @property
    def loaded(self) -> list[str]:
        """Every order that the load found in the answer and took to heart."""
        return [*self.created, *self.updated, *self.skipped]

    @property
    def modes(self) -> list[str]:
        """The steps in the order they were asked, for whoever wants to see the dance."""
        return [dict(pair.split("=", 1) for pair in one.query.split("&"))["mode"] for one in self.asked]

    def fail(self, step: str, text: str) -> None:
        self.failures.append(Failure(step, text))
        self.log.append(f"{step}: {text}")

    def body(self) -> dict[str, Any]:
        """As JSON for the control API; the cookies stay out."""
        found = asdict(self) | {"ok": self.ok}
        found["asked"] = [{"verb": one.verb, "query": one.query, "status": one.status} for one in self.asked]
        found["twin"] = self.twin.body() if self.twin else None
        return found


class Reports:
    """The last runs of a node; a schedule must not fill the memory."""

    def __init__(self, most: int = 100) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: list[Report] = []

    def add(self, report: Report) -> None:
        with self._lock:
            self._kept = [*self._kept, report][-self._most :]

    def list(self) -> list[Report]:
        with self._lock:
            return list(self._kept)
