"""Parts: what every lane is made of; put together by the composition root."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bus.config import Config
from bus.ledger.database import Ledger
from bus.pipeline import Pipeline
from bus.ports import Bells, Mappings


@dataclass(frozen=True, slots=True)
class Parts:
    """What every lane is made of; handed in by the composition root."""

    ledger: Ledger
    config: Config
    mappings: Mappings
    pipeline: Pipeline
    bells: Bells
    now: Callable[[], datetime]
    rng: random.Random
