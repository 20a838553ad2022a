"""What changes seldom in a 1C base, kept for some minutes in this process: small directories, goods, banks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from bus.ports import Raw
from bus.systems.onec_calls import KEY

EMPTY = "00000000-0000-0000-0000-000000000000"
"""A reference to nothing."""
DIRECTORY_S = 600.0
"""How long objects are kept before they are read again."""
_MANY = 5000


class Shelf:
    """Objects that change seldom, by key, kept for some minutes in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, Raw]] = {}
        self._whole: dict[str, tuple[float, dict[str, Raw]]] = {}
        self._lacking: dict[str, float] = {}

    def some(self, name: str, keys: Iterable[str], read: Callable[[list[str]], list[Raw]]) -> dict[str, Raw]:
        """Objects by key; those that are not kept are read, all in one go."""
        now, wanted = self._clock(), [key for key in dict.fromkeys(keys) if key and key != EMPTY]
        missing = [key for key in wanted if (name, key) not in self._kept or self._kept[name, key][0] < now]
        for row in read(missing) if missing else []:
            self._kept[name, str(row[KEY])] = (now + DIRECTORY_S, row)
        if len(self._kept) > _MANY:
            self._kept = {place: kept for place, kept in self._kept.items() if kept[0] >= now and place[1] in wanted}
        return {key: self._kept[name, key][1] for key in wanted if (name, key) in self._kept}

    def all(self, name: str, read: Callable[[], Iterable[Raw]]) -> dict[str, Raw]:
        """A small directory whole."""
        until, rows = self._whole.get(name, (0.0, {}))
        if until < self._clock():
            rows = {str(row[KEY]): row for row in read()}
            self._whole[name] = (self._clock() + DIRECTORY_S, rows)
        return rows

    def lacks(self, set_: str) -> bool:
        """Whether the base was found not to publish a set, some minutes ago."""
        return self._lacking.get(set_, 0.0) > self._clock()

    def lacking(self, set_: str) -> None:
        """Note that it does not publish a set, so that it is not asked for with every record."""
        self._lacking[set_] = self._clock() + DIRECTORY_S

    def forget(self, name: str) -> None:
        """Read a directory again next time: it lacked something."""
        self._whole.pop(name, None)
