"""1C's numbers and dates: exact decimals on the inside, JSON numbers in a row, local times without a zone."""

from __future__ import annotations

import base64
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from bus.sandbox import times


def number(value: Any, scale: int = 2) -> float | int:
    """A number rounded half up as 1C does; whole ones have no fraction (25000, 3333.33)."""
    exact = Decimal(str(value)).quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def exact(value: Any) -> Decimal:
    """A stored number, ready for sums."""
    return Decimal(str(value))


def local(at: float) -> str:
    """Unix time as the base writes it: its own zone, no offset, whole seconds."""
    return datetime.fromtimestamp(int(at), times.ZONE).replace(tzinfo=None).isoformat()


def version(writes: int) -> str:
    """DataVersion: eight bytes in base64, here a counter of the object's writes (a live УТ 11 does the same)."""
    return base64.b64encode(writes.to_bytes(8, "big")).decode()
