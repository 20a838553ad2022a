"""Trouble: what goes wrong during the day, when, and which measurements it spoils."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

_RECOVERY_S = 4.0
"""A breaker that opened lets the first probe through after three seconds."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a stand-in: from which share of the day; `seconds` of a sixty-second day when it has a length."""

    at: float
    system: str
    spec: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None

    def body(self, day_s: float) -> dict[str, Any]:
        """For the control API."""
        return self.spec | ({} if self.seconds is None else {"duration": self.length(day_s)})

    def length(self, day_s: float) -> float:
        """How long it lasts in a day of `day_s`."""
        return (self.seconds or 0.0) * day_s / 60.0

    def spoils(self, day_s: float) -> float:
        """For how long after its beginning a payment's way is not what it would be without it; 0: not at all."""
        return self.length(day_s) + _RECOVERY_S if self.seconds and self.system == "crm" else 0.0


_ALWAYS = [
    Fault(0.0, system, {"kind": kind, "probability": probability})
    for system in ("crm", "shop")
    for kind, probability in (("events_doubled", 0.05), ("events_lost", 0.02), ("events_reordered", 0.05))
]


def faults() -> list[Fault]:
    """The same every day."""
    return [
        *_ALWAYS,
        # The deal was made, and nobody heard of it: it must not be made twice.
        Fault(0.10, "crm", {"kind": "drop_after", "method": "crm.item.add", "count": 1}),
        Fault(0.22, "crm", {"kind": "error_after", "method": "crm.item.add", "count": 2}),
        Fault(0.30, "crm", {"kind": "burst_503"}, seconds=1.5),
        Fault(0.38, "crm", {"kind": "drop_after", "method": "crm.item.add", "count": 2}),
        Fault(0.45, "crm", {"kind": "error_before", "method": "crm.item.update", "probability": 0.3}, seconds=2.0),
        # A minute of portal trouble.
        Fault(0.60, "crm", {"kind": "down"}, seconds=5.0),
        Fault(0.80, "shop", {"kind": "error_before", "method": "sale.order.*", "probability": 0.3}, seconds=2.0),
        # The bank's payment was booked, and nobody heard of it.
        Fault(0.15, "shop", {"kind": "drop_after", "method": "sale.payment.*", "count": 1}),
        Fault(0.55, "shop", {"kind": "error_after", "method": "sale.payment.*", "count": 1}),
    ]


_ONCE: list[tuple[str, dict[str, Any]]] = [
    ("crm", {"kind": kind, "method": method, "count": count})
    for kind in ("drop_before", "drop_after", "error_before", "error_after")
    for method, count in (("crm.item.add", 2), ("crm.item.update", 3), ("crm.item.productrow.set", 2), ("batch", 1))
] + [
    ("shop", {"kind": kind, "method": method, "count": 2})
    for kind in ("drop_before", "drop_after", "error_before", "error_after")
    for method in ("sale.order.update", "sale.payment.*", "sale.order.get")
]
_FOR_A_WHILE: list[tuple[str, dict[str, Any], float]] = [
    ("crm", {"kind": "down"}, 4.0),
    ("shop", {"kind": "down"}, 3.0),
    ("crm", {"kind": "burst_503"}, 2.0),
    ("crm", {"kind": "latency", "seconds": 0.4, "probability": 0.5}, 6.0),
    ("crm", {"kind": "error_before", "method": "crm.item.*", "probability": 0.3}, 3.0),
    ("shop", {"kind": "error_before", "method": "sale.*", "probability": 0.3}, 3.0),
    ("crm", {"kind": "events_lost"}, 1.0),
]
"""With the seconds that each lasts."""


def storm(rng: Random, minutes: int) -> list[Fault]:
    """Trouble of a long day: every minute five faults drawn by lot that strike a call or two, and two that last."""
    some = list(_ALWAYS)
    for minute in range(minutes):
        moments = [(minute + rng.random()) / minutes * 0.95 for _ in range(7)]
        some += [Fault(at, *rng.choice(_ONCE)) for at in moments[:5]]
        for at in moments[5:]:
            system, spec, seconds = rng.choice(_FOR_A_WHILE)
            some.append(Fault(at, system, spec, seconds / minutes))
    return sorted(some, key=lambda fault: fault.at)
