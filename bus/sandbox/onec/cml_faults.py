"""Scripted faults of an exchange run, by name: how often each strikes, and after how many occasions that it spares."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "cut_chunk": "a POST breaks off in the middle of its body (`at`: the share of the body that goes out, 0.5)",
    "lost_answer": "a request goes out whole, its answer is never read (`step`)",
    "no_success": "the orders are loaded, `success` is never sent",
    "stale_session": "from one `step` on the cookie and the sessid are of another session",
    "wrong_charset": "the POST's header names another charset than its bytes have (`charset`: windows-1251)",
    "wrong_declaration": "the file's own XML declaration names another charset (`charset`: windows-1251)",
    "parallel": "a second run of the same node begins while this one uploads",
    "clock_skew": "1C's clock is wrong by `seconds`",
    "huge_batch": "everything is sent again, each document `times` times",
    "reordered": "the documents of a file and the files of a run go out last first",
    "crash_after_files": "the files are sent, the run dies before import",
}
_KNOWN = frozenset({"kind", "count", "after", "step"})


@dataclass
class Fault:
    """Lets `after` occasions pass, then strikes `count` times; `step`: only at this step of the protocol."""

    kind: str
    count: int = 1
    after: int = 0
    step: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    fired: int = 0

    def body(self) -> dict[str, Any]:
        return {"kind": self.kind, "count": self.count, "after": self.after, "step": self.step, "fired": self.fired} | (
            self.extra
        )


class Faults:
    """The faults in force at one node."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, kind: str, *, count: int = 1, after: int = 0, step: str = "", **extra: Any) -> Fault:
        """Put a fault in force; raises ValueError for an unknown kind."""
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")
        fault = Fault(kind, int(count), int(after), step, extra)
        with self._lock:
            self._faults.append(fault)
        return fault

    def read(self, spec: dict[str, Any]) -> Fault:
        """The same from a control call's JSON."""
        known = {name: spec[name] for name in _KNOWN & spec.keys()}
        extra = {name: value for name, value in spec.items() if name not in _KNOWN}
        return self.add(str(known.pop("kind", None)), **known, **extra)

    def clear(self) -> int:
        """Lift them all; answers how many there were."""
        with self._lock:
            lifted, self._faults = len(self._faults), []
        return lifted

    def list(self) -> list[dict[str, Any]]:
        return [fault.body() for fault in self._faults]

    def take(self, kind: str, step: str = "") -> Fault | None:
        """The fault that strikes now, already counted."""
        with self._lock:
            for fault in self._faults:
                if fault.kind == kind and fault.step in ("", step) and fault.fired < fault.count:
                    if fault.after > 0:
                        fault.after -= 1
                        continue
                    fault.fired += 1
                    return fault
        return None
