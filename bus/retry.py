"""The retry decision: what an error means for the next try. Returns a decision and does nothing itself."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from bus.config import Limits
from bus.errors import BusError, ConfigError, NotReady, Permanent


@dataclass(frozen=True, slots=True)
class Again:
    """Take it again at `until`; `counts` says whether an attempt was used up."""

    until: datetime
    counts: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A person is needed."""


def decide(error: BusError, attempts: int, limits: Limits, now: datetime, rng: random.Random) -> Again | GiveUp:
    """Decide on the next try after `attempts` counted ones.

    Exponential back-off with full jitter (base `backoff_base_s`, cap `backoff_cap_s`), so that a crowd that failed
    together does not come back together.
    """
    if isinstance(error, NotReady):
        return Again(error.until, counts=False)
    if isinstance(error, (Permanent, ConfigError)) or attempts + 1 >= limits.max_attempts:
        return GiveUp()
    ceiling = min(limits.backoff_cap_s, limits.backoff_base_s * 2.0 ** min(attempts, 30))
    return Again(now + timedelta(seconds=rng.uniform(limits.backoff_base_s / 4, ceiling)), counts=True)
