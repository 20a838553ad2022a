"""Directories: users, units, organisations, currencies and stages of the systems, kept in Redis, never asked per event.

Beat refreshes them; a code that is not in one has it refreshed, at most once a minute. Losing Redis costs a look at the
system; a system that does not answer leaves its codes unknown, and what needs them waits for a person.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from time import monotonic

import structlog
from redis.exceptions import RedisError

from bus.errors import BusError, Permanent
from bus.ports import Redis

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

Ask = Callable[[str, str], Mapping[str, str]]
"""The codes of a system's table with what they are called there; asks the system. Raises BusError."""

_NEAR_S = 60.0
"""How long a process believes what it has read from Redis; and how long after a refresh an unknown code causes none."""
_GET = "return redis.call('GET', KEYS[1])"
_SET = "return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"
_ONCE = "return redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) and 1 or 0"


class Directories:
    """What codes are called at their systems (bus.ports.Directories)."""

    def __init__(
        self, client: Redis, ask: Ask, *, ttl_s: float = 3600.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self._client, self._ask, self._ttl_ms, self._clock = client, ask, int(ttl_s * 1000), clock
        self._near: dict[tuple[str, str], tuple[float, Mapping[str, str]]] = {}
        self._refused: dict[tuple[str, str], float] = {}

    def meaning(self, system: str, table: str, code: str) -> str | None:
        """What a code is called there; a code that is not known has the directory looked at anew."""
        found = self._known(system, table).get(code)
        return found if found is not None else self._anew(system, table).get(code)

    def codes(self, system: str, table: str, meaning: str) -> list[str]:
        """Codes that are called so there; the same of one that is not known."""
        found = _called(self._known(system, table), meaning)
        return found or _called(self._anew(system, table), meaning)

    def called(self, system: str, table: str, code: str) -> str | None:
        """What a code is called there as far as we know; asks nobody."""
        kept = self._near[system, table][1] if (system, table) in self._near else self._kept(system, table)
        return (kept or {}).get(code)

    def refresh(self, system: str, table: str) -> Mapping[str, str]:
        """Ask the system and keep what it says. Raises what asking raises."""
        try:
            found = {code: name for code, name in self._ask(system, table).items() if name}
        except Permanent:
            self._refused[system, table] = self._clock()
            raise
        self._near[system, table] = (self._clock(), found)
        try:
            self._client.eval(_SET, 1, _key(system, table), json.dumps(found, ensure_ascii=False), str(self._ttl_ms))
        except RedisError as error:
            log.warning("directory.not_kept", system=system, table=table, error=type(error).__name__)
        return found

    def refresh_all(self, tables: Mapping[str, Collection[str]]) -> int:
        """Refresh these tables of these systems; one that does not answer keeps what was known. How many were read."""
        read = 0
        for system, table in ((system, table) for system, some in tables.items() for table in sorted(some)):
            try:
                self.refresh(system, table)
                read += 1
            except BusError as error:
                log.warning("directory.not_read", system=system, table=table, reason=str(error))
        return read

    def _known(self, system: str, table: str) -> Mapping[str, str]:
        read, found = self._near.get((system, table), (float("-inf"), {}))
        if self._clock() - read < _NEAR_S:
            return found
        kept = self._kept(system, table)
        if kept is None:
            return self._anew(system, table)
        self._near[system, table] = (self._clock(), kept)
        return kept

    def _kept(self, system: str, table: str) -> Mapping[str, str] | None:
        try:
            said = self._client.eval(_GET, 1, _key(system, table))
        except RedisError:
            return None
        if not isinstance(said, bytes | str):
            return None
        kept: Mapping[str, str] = json.loads(said)
        return kept

    def _anew(self, system: str, table: str) -> Mapping[str, str]:
        """Look again, unless somebody did a moment ago; what was known otherwise.

        Who knows nothing at all looks in any case: whoever began a moment ago may still be waiting for the answer, and
        meanwhile every code of the system would be unknown. Who was refused for good (a scope that the webhook lacks)
        does not: each event would cost a call.
        """
        before = self._near.get((system, table), (0.0, {}))[1]
        if self._clock() - self._refused.get((system, table), float("-inf")) < _NEAR_S:
            return before
        try:
            first = self._client.eval(_ONCE, 1, f"{_key(system, table)}:looked", str(int(_NEAR_S * 1000)))
            kept = None if first else self._kept(system, table)
            if not first and (kept is not None or before):
                return kept or before
        except RedisError:
            return before  # asked per event, without the guard, a system would be drowned
        try:
            return self.refresh(system, table)
        except BusError as error:
            log.warning("directory.not_read", system=system, table=table, reason=str(error))
            return before


def _called(known: Mapping[str, str], meaning: str) -> list[str]:
    return [code for code, name in known.items() if name == meaning]


def _key(system: str, table: str) -> str:
    return f"directory:{system}:{table}"
