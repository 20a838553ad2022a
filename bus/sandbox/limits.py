"""The two throttles: the leaky bucket of requests and the operating seconds of a method (Bitrix24 docs, limits)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bus.sandbox.envelope import RestError

BUCKETS = 10
BUCKET_SECONDS = 60
COUNTED_FROM = 0.1


@dataclass
class Bucket:
    """Each request adds one; `drain` leave once per whole second; a request above `burst` is refused. Per source IP."""

    burst: int = 50
    drain: int = 2
    _levels: dict[str, tuple[int, int]] = field(default_factory=dict)

    def admit(self, ip: str, now: float) -> bool:
        second = math.floor(now)
        level, drained_at = self._levels.get(ip, (0, second))
        level = max(0, level - self.drain * (second - drained_at))
        admitted = level < self.burst
        self._levels[ip] = (level + admitted, second)
        return admitted


@dataclass
class Operating:
    """Seconds a method has worked in the last ten minutes, in ten one-minute buckets.

    The check comes before the call, so the call that crosses the line still finishes and the next one is refused.
    Only calls longer than 0.1 s count. `costs` adds invented seconds to a method's calls, for tests.
    """

    limit: float = 480.0
    costs: dict[str, float] = field(default_factory=dict)
    _minutes: dict[str, dict[int, float]] = field(default_factory=dict)

    def total(self, method: str, now: float) -> float:
        return sum(self._window(method, now).values())

    def reset_at(self, method: str, now: float) -> int:
        """When the oldest minute leaves the window; the total need not be zero then."""
        oldest = min(self._window(method, now), default=int(now) // BUCKET_SECONDS)
        return (oldest + BUCKETS) * BUCKET_SECONDS

    def blocked(self, method: str, now: float) -> bool:
        return self.total(method, now) > self.limit

    def charge(self, method: str, seconds: float, now: float) -> None:
        seconds += self.costs.get(method, 0.0)
        if seconds > COUNTED_FROM:
            minutes = self._window(method, now)
            minute = int(now) // BUCKET_SECONDS
            minutes[minute] = minutes.get(minute, 0.0) + seconds

    def _window(self, method: str, now: float) -> dict[int, float]:
        minutes = self._minutes.setdefault(method, {})
        first = int(now) // BUCKET_SECONDS - BUCKETS + 1
        for old in [minute for minute in minutes if minute < first]:
            del minutes[old]
        return minutes


class Limits:
    """Both throttles; None is off, as on a box."""

    def __init__(self, clock: Callable[[], float], *, cloud: bool = True) -> None:
        self._clock = clock
        self.bucket: Bucket | None = Bucket() if cloud else None
        self.operating: Operating | None = Operating() if cloud else None

    def configure(self, spec: dict[str, Any]) -> dict[str, Any]:
        """`{"bucket": {"burst": 50, "drain": 2} | null, "operating": {"limit": 480, "costs": {…}} | null}`."""
        if "bucket" in spec:
            self.bucket = Bucket(**spec["bucket"]) if spec["bucket"] else None
        if "operating" in spec:
            self.operating = Operating(**spec["operating"]) if spec["operating"] else None
        return self.describe()

    def describe(self) -> dict[str, Any]:
        bucket, operating = self.bucket, self.operating
        return {
            "bucket": {"burst": bucket.burst, "drain": bucket.drain} if bucket else None,
            "operating": {"limit": operating.limit, "costs": operating.costs} if operating else None,
        }

    def admit_request(self, ip: str) -> None:
        if self.bucket and not self.bucket.admit(ip, self._clock()):
            raise RestError("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)

    def admit_method(self, method: str) -> None:
        if self.operating and self.operating.blocked(method, self._clock()):
            raise blocked_method()

    def charge(self, method: str, seconds: float) -> None:
        if self.operating:
            self.operating.charge(method, seconds, self._clock())

    def counters(self, method: str) -> tuple[float | None, int | None]:
        """`operating` and `operating_reset_at` of a method; both None while the limiter is off."""
        if not self.operating:
            return None, None
        now = self._clock()
        return round(self.operating.total(method, now), 6), self.operating.reset_at(method, now)


def blocked_method() -> RestError:
    """The answer while a method's window is full."""
    return RestError("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429)
