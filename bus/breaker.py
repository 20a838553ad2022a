"""Circuit breaker per system, shared by all workers through Redis: after repeated failures nobody calls for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from redis.exceptions import RedisError

from bus.errors import NotReady

FAILURES = 5
OPEN_S = 30.0
PROBE_S = 60.0
"""Life of the half-open probe's token: longer than a call takes; a probe whose worker died is forgotten after it."""
_KEPT_S = 3600

_NOW = """
local now = tonumber(ARGV[1])
if now < 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or 0)
"""

# 0: call. More: milliseconds until it is worth asking again. While half-open only one caller gets the probe.
_GUARD = (
    _NOW
    + """
if open_until == 0 then return 0 end
if now < open_until then return math.ceil(open_until - now) end
if redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[2]) then return 0 end
return math.max(1000, redis.call('PTTL', KEYS[2]))
"""
)

# A failure opens it when it is the n-th in a row, or was the probe; late ones of an open circuit change nothing.
_FAILED = (
    _NOW
    + """
if open_until > 0 and now < open_until then return 0 end
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
if open_until > 0 or failures >= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'open_until', now + tonumber(ARGV[3]))
  redis.call('DEL', KEYS[2])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return failures
"""
)

_STATE = (
    _NOW
    + """
return {tonumber(redis.call('HGET', KEYS[1], 'failures') or 0), math.floor(open_until), math.floor(now)}
"""
)


class Circuit(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class State:
    """A circuit as the console shows it."""

    circuit: Circuit
    failures: int
    until: datetime | None = None


class Redis(Protocol):
    """The few commands of a redis.Redis that the breaker uses."""

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object:
        """Run a script."""
        ...

    def delete(self, *names: str) -> object:
        """Forget keys."""
        ...


class Breaker:
    """Counts calls that failed in a row (Transient, UnknownOutcome). Without Redis or its data a circuit is closed."""

    def __init__(
        self,
        client: Redis,
        *,
        failures: int = FAILURES,
        open_s: float = OPEN_S,
        probe_s: float = PROBE_S,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client, self._clock = client, clock
        self._failures, self._open_ms, self._probe_ms = failures, int(open_s * 1000), int(probe_s * 1000)

    def guard(self, system: str) -> None:
        """Before a call. Raises NotReady while the circuit is open; half-open lets one caller through as the probe."""
        wait = self._asked(_GUARD, system, str(self._probe_ms))
        if isinstance(wait, int) and wait > 0:
            until = self._now() + timedelta(milliseconds=wait)
            say = f"{system}: it failed repeatedly and is left alone; tried again by itself"
            raise NotReady(say, until=until, cause=f"{system} breaker")

    def succeeded(self, system: str) -> None:
        """The system answered a call, be it with a refusal: closes the circuit."""
        try:
            self._client.delete(*_keys(system))
        except RedisError:
            return

    def failed(self, system: str) -> None:
        """A call failed."""
        self._asked(_FAILED, system, str(self._failures), str(self._open_ms), str(_KEPT_S + self._open_ms // 1000))

    def state(self, system: str) -> State:
        """For display: takes no probe, changes nothing."""
        found = self._asked(_STATE, system)
        failures, open_until, now = found if isinstance(found, list) else (0, 0, 0)
        if not open_until:
            return State(Circuit.CLOSED, failures)
        until = datetime.fromtimestamp(open_until / 1000, UTC)
        return State(Circuit.OPEN if now < open_until else Circuit.HALF_OPEN, failures, until)

    def _asked(self, script: str, system: str, *args: str) -> object:
        now = "-1" if self._clock is None else str(int(self._clock() * 1000))
        try:
            return self._client.eval(script, 2, *_keys(system), now, *args)
        except RedisError:
            return None

    def _now(self) -> datetime:
        return datetime.now(UTC) if self._clock is None else datetime.fromtimestamp(self._clock(), UTC)


def _keys(system: str) -> tuple[str, str]:
    return f"bus:breaker:{system}", f"bus:breaker:{system}:probe"
