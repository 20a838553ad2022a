"""The log of every HTTP request and every batch command, and its summary: what a benchmark or a test counts."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from bus.sandbox import times

KEPT = 100_000


class Calls:
    """The last calls; the summary counts all of them since the start or the last reset."""

    def __init__(self) -> None:
        self._log: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._seq = 0
        self._requests = 0
        self._commands: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()

    def open(self) -> int:
        """Number a new HTTP request."""
        self._requests += 1
        return self._requests

    def note(self, entry: dict[str, Any], at: float) -> None:
        """Write one line: of a request (batch is None) or of a command in a batch (batch is its key)."""
        self._seq += 1
        self._log.append({"seq": self._seq, "at": times.iso(at), "unix": at, **entry})
        if entry["batch"] is not None or entry["method"] != "batch":
            self._commands[entry["method"]] += 1
        if entry["error"] is not None:
            self._errors[str(entry["error"])] += 1
        if entry["write"] and entry["error"] is None:
            self._totals["writes"] += 1
        if entry["batch"] is None:
            self._totals[f"status_{entry['status']}"] += 1

    def since(self, seq: int = 0, limit: int = 10_000) -> list[dict[str, Any]]:
        """The lines after `seq`, oldest first."""
        lines = list(self._log)
        skip = max(0, seq - (lines[0]["seq"] - 1)) if lines else 0
        return lines[skip : skip + limit]

    def summary(self) -> dict[str, Any]:
        statuses = {key[7:]: count for key, count in self._totals.items() if key.startswith("status_")}
        return {
            "requests": self._requests,
            "commands": sum(self._commands.values()),
            "by_method": dict(sorted(self._commands.items())),
            "by_status": statuses,
            "errors": dict(self._errors),
            "refused_503": self._errors["QUERY_LIMIT_EXCEEDED"],
            "refused_429": self._errors["OPERATION_TIME_LIMIT"],
            "writes": self._totals["writes"],
            "last_seq": self._seq,
        }
