"""Faults on demand: which call or event goes wrong, how, and how often."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

KINDS = frozenset(
    [
        "latency",
        "refuse",
        "error_before",
        "error_after",
        "drop_before",
        "drop_after",
        "burst_503",
        "method_429",
        "down",
        "auth_revoked",
        "moved",
        "events_lost",
        "events_doubled",
        "events_delayed",
        "events_reordered",
        "user_edit_between",
        "text_cut",
        "html_page",
        "maintenance",
        "session_lost",
        "no_licence",
    ],
)
_KNOWN = frozenset({"kind", "method", "count", "probability", "after", "duration"})


@dataclass
class Fault:
    """One fault. It lets `after` matches pass, then fires `count` times (None: until cleared) with `probability`."""

    id: int
    kind: str
    method: str | None = None
    count: int | None = None
    probability: float = 1.0
    after: int = 0
    until: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    fired: int = 0

    @property
    def seconds(self) -> float:
        return float(self.extra.get("seconds", 0.2))

    def body(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "method": self.method,
            "count": self.count,
            "probability": self.probability,
            "after": self.after,
            "until": self.until,
            "fired": self.fired,
            **self.extra,
        }


class Faults:
    """The faults in force."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._ids = 0
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, spec: dict[str, Any]) -> Fault:
        """Put a fault in force; raises ValueError for an unknown kind."""
        kind = str(spec.get("kind"))
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(sorted(KINDS))}")
        self._ids += 1
        fault = Fault(
            id=self._ids,
            kind=kind,
            method=str(spec["method"]).lower() if spec.get("method") else None,
            count=spec.get("count"),
            probability=float(spec.get("probability", 1.0)),
            after=int(spec.get("after", 0)),
            until=self._clock() + float(spec["duration"]) if spec.get("duration") else None,
            extra={key: value for key, value in spec.items() if key not in _KNOWN},
        )
        self._faults.append(fault)
        return fault

    def clear(self, fault_id: int | None = None, kind: str | None = None) -> int:
        """Lift one fault, a kind, or all of them; answers how many."""
        kept = [
            fault
            for fault in self._faults
            if (fault_id is not None and fault.id != fault_id) or (kind is not None and fault.kind != kind)
        ]
        lifted = len(self._faults) - len(kept)
        self._faults = kept
        return lifted

    def list(self) -> list[dict[str, Any]]:
        return [fault.body() for fault in self._faults]

    def take(self, kind: str, method: str, *, named: bool = False, accept: Accept | None = None) -> Fault | None:
        """The first fault of `kind` that hits `method` now, already counted.

        `named` asks only for faults that name a method (a command inside a batch); `accept` may turn one down.
        """
        with self._lock:
            for fault in self._faults:
                if fault.kind != kind or not self._hits(fault, method, named):
                    continue
                if (accept is None or accept(fault)) and self._fires(fault):
                    return fault
        return None

    def _fires(self, fault: Fault) -> bool:
        if fault.after > 0:
            fault.after -= 1
            return False
        if fault.probability < 1 and self._rng.random() >= fault.probability:
            return False
        fault.fired += 1
        return True

    def _hits(self, fault: Fault, method: str, named: bool) -> bool:  # private, one caller
        if fault.count is not None and fault.fired >= fault.count:
            return False
        if fault.until is not None and self._clock() >= fault.until:
            return False
        if fault.method is None:
            return not named
        return fnmatchcase(method.lower(), fault.method)


Accept = Callable[[Fault], bool]
