"""Turns: requests that wait for their commit, in one line per sender, and one of his payments; each line in its turn.

A flood of one sender fills his own line. Whoever comes beside it waits for one turn of the others, not for all of them;
and a line may be as long as there is room left beside all lines, so that a flood, or several, always leave some.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bus.ports import Arrival

MOST = 2_000
"""Requests that may wait: two seconds' worth. One sender alone may fill half of it."""
MOST_BYTES = 40_000_000
"""Of their bodies, which take up to thirteen times as much once they are read; one sender alone may fill half of it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Line:
    """Whose line it is."""

    sender: str
    payments: bool


def line_of(sender: str, arrival: Arrival) -> Line:
    """The line an arrival waits in: of payments, when it tells of one."""
    return Line(sender, any(entry.event.kind == "payment" for entry in arrival.entries))


@dataclass(slots=True)
class _Waiting(Generic[T]):
    items: deque[tuple[T, int]] = field(default_factory=deque)
    size: int = 0


class Turns(Generic[T]):
    """The lines. Whoever calls holds the lock."""

    def __init__(self) -> None:
        self._lines: dict[Line, _Waiting[T]] = {}
        self._count = self._size = 0

    def __len__(self) -> int:
        return self._count

    def admit(self, line: Line, item: T, size: int) -> bool:
        """Put one at the end of its line. False when that is as long as it may be."""
        own = self._lines.get(line) or _Waiting()
        if len(own.items) >= MOST - self._count or own.size > MOST_BYTES - self._size:
            return False
        own.items.append((item, size))
        own.size += size
        self._lines[line] = own
        self._count, self._size = self._count + 1, self._size + size
        return True

    def empty(self) -> list[T]:
        """All that wait."""
        return self.take(self._count, self._size)

    def take(self, most: int, most_size: int) -> list[T]:
        """The next ones, one of each line in turn; the first however large it is."""
        found: list[T] = []
        left = most_size
        while self._lines and len(found) < most:
            line, own = next(iter(self._lines.items()))
            if found and own.items[0][1] > left:
                break
            item, size = own.items.popleft()
            del self._lines[line]
            if own.items:  # behind the others
                own.size -= size
                self._lines[line] = own
            self._count, self._size, left = self._count - 1, self._size - size, left - size
            found.append(item)
        return found
