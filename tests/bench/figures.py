"""Figures: one number each, with what it is measured against; a line of JSON, and a row of the table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Call = Mapping[str, Any]
"""One line of a stand-in's call log (bus/sandbox/calls.py)."""

_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `bench` is the bench's name with what of it after a dot: "drain", "drain.article"."""

    bench: str
    value: float | None
    """None: could not be measured; the note says why."""
    unit: str
    ratio: float | None = None
    against: str | None = None
    """What the ratio compares with, in words."""
    note: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the line."""

    def line(self) -> str:
        """The figure as one JSON object."""
        said = {"bench": self.bench, "value": _short(self.value), "unit": self.unit}
        said |= {"ratio": _short(self.ratio), "against": self.against}
        said |= {"note": self.note} if self.note else {}
        return json.dumps(said | {name: _short(value) for name, value in self.more.items()}, ensure_ascii=False)


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least `share` (0..1) of all do not exceed (nearest rank); None of no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p95, p99 and the largest."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: percentile(values, share) for name, share in shares.items()}


def limit_s(requests: int, *, per_second: float, burst: int) -> float:
    """The least time in which a portal admits so many requests, beginning with an empty bucket.

    `burst` of them at once, the others as the bucket drains: max(0, requests - burst) / per_second. The portal drains
    in whole steps, once a second, so a lucky start may beat this by less than one second.
    """
    return max(0, requests - burst) / per_second


def requests_of(calls: Iterable[Call]) -> list[Call]:
    """HTTP requests that the portal admitted: no commands inside a batch, nothing it refused with 503."""
    return [call for call in calls if call["batch"] is None and call["status"] not in (0, 503)]


def sustained(moments: Iterable[float], *, after: int) -> tuple[float, int] | None:
    """Mean count a second over the whole seconds between the first `after` moments and the last, and their number.

    Whole seconds of the wall clock, for the portal makes room once a second, for all at once. None of fewer than three.
    """
    seconds = sorted(int(moment) for moment in moments)
    whole = range(seconds[min(after, len(seconds)) - 1] + 1, seconds[-1])
    return (sum(second in whole for second in seconds) / len(whole), len(whole)) if len(whole) >= _SECONDS else None


def refused(calls: Iterable[Call]) -> int:
    """HTTP requests that the portal refused with 503."""
    return sum(call["batch"] is None and call["status"] == 503 for call in calls)


def _short(value: Any) -> Any:
    """Four digits are more than a timing is worth."""
    if not isinstance(value, float):
        return value
    return None if not math.isfinite(value) else float(f"{value:.4g}")
