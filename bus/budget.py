"""Request budget of a system: a leaky bucket in Redis, counted as the portal counts, shared by all of one address."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from redis.exceptions import RedisError

from bus.config import Rate
from bus.errors import NotReady

WAIT_S = 5.0
"""How long `acquire` waits before it says NotReady: longer would hold a lane's claim for nothing."""
NAP_S = 0.25
REDIS_AWAY_S = 5

# Facts 1.4: each request adds one, the counter falls by `per_second` once per whole second, refusal above `burst`.
# The time is Redis's own, so that workers with wrong clocks agree. `pause` doubles with each refusal, halves in 30 s.
_BUCKET = """
local asked, per_second, burst, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = tonumber(ARGV[5])
if now < 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local kept = redis.call('HMGET', KEYS[1], 'level', 'second', 'shut_until', 'pause', 'refused_at')
local second = math.floor(now / 1000)
local level = math.max(0, (tonumber(kept[1]) or 0) - per_second * math.max(0, second - (tonumber(kept[2]) or second)))
local shut_until, wait = tonumber(kept[3]) or 0, 0
if asked == 'refused' then
  if now >= shut_until then
    local pause = (tonumber(kept[4]) or 0) * 0.5 ^ ((now - (tonumber(kept[5]) or now)) / 30000)
    pause = math.min(30000, math.max(1000, pause * 2))
    redis.call('HSET', KEYS[1], 'shut_until', math.floor(now + pause), 'pause', math.floor(pause), 'refused_at', now)
  end
  level = burst
elseif now < shut_until then
  wait = shut_until - now
elseif level + 1 > limit then
  wait = math.ceil((level + 1 - limit) / per_second) * 1000 - now % 1000
else
  level = level + 1
end
redis.call('HSET', KEYS[1], 'level', level, 'second', second)
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / per_second) * 1000 + 600000)
return math.ceil(wait)
"""


class Redis(Protocol):
    """The few commands of a redis.Redis that the budget uses."""

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object:
        """Run a script."""
        ...

    def set(self, name: str, value: str, *, px: int) -> object:
        """Set a value that lives for `px` milliseconds."""
        ...

    def get(self, name: str) -> object:
        """A value, or None."""
        ...


class Budget:
    """Implements bus.ports.Throttle.

    The bucket belongs to (portal host, egress address): that is what Bitrix24 counts by, however many webhooks we have
    there. Parked methods belong to the system, that is, to one webhook. `clock` (unix seconds) replaces Redis's time.
    """

    def __init__(
        self,
        client: Redis,
        rate: Rate,
        *,
        system: str,
        portal: str,
        egress: str = "default",
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client, self._rate, self._sleep, self._clock = client, rate, sleep, clock
        place = hashlib.sha256(f"{portal.lower()}|{egress}".encode()).hexdigest()[:16]
        self._bucket = f"bus:budget:{place}"
        self._parking = f"bus:parked:{place}:{system}:"
        self._system = system

    def acquire(self, *, urgent: bool) -> None:
        """Take one request, waiting up to 5 s; bulk leaves the `payments_reserve` to the urgent. Raises NotReady."""
        if self._rate.per_second == 0:
            return
        waited = 0.0
        while wait := self._run("acquire", self._limit(urgent=urgent)):
            if waited + wait > WAIT_S:
                until = self._now() + timedelta(seconds=wait)
                raise NotReady(f"{self._system}: the request budget is spent", until=until, cause="request budget")
            nap = min(wait, NAP_S) + random.uniform(0, 0.02)  # noqa: S311 - jitter, so that workers do not knock as one
            self._sleep(nap)
            waited += nap

    def refused(self) -> None:
        """The portal counts more than we do (someone else uses its address): shut the bucket, longer each time."""
        if self._rate.per_second > 0:
            self._run("refused", self._rate.burst)

    def park(self, method: str, until: datetime) -> None:
        """Keep a method from being called until then."""
        left = until - self._now()
        if left > timedelta(0):
            life = max(1, int(left.total_seconds() * 1000))
            self._guarded(lambda: self._client.set(self._parking + method, until.isoformat(), px=life))

    def parked(self, method: str) -> datetime | None:
        """When a parked method may be called again; None when it may be now."""
        kept = self._guarded(lambda: self._client.get(self._parking + method))
        if not kept:
            return None
        until = datetime.fromisoformat(kept.decode() if isinstance(kept, bytes) else str(kept))
        return until if until > self._now() else None

    def _limit(self, *, urgent: bool) -> int:
        return self._rate.burst if urgent else max(1, self._rate.burst - self._rate.payments_reserve)

    def _run(self, asked: str, limit: int) -> float:
        """Seconds to wait; 0: admitted."""
        now = "-1" if self._clock is None else str(int(self._clock() * 1000))
        args = (asked, str(self._rate.per_second), str(self._rate.burst), str(limit), now)
        answer = self._guarded(lambda: self._client.eval(_BUCKET, 1, self._bucket, *args))
        return int(str(answer)) / 1000

    def _guarded(self, ask: Callable[[], object]) -> object:
        try:
            return ask()
        except RedisError as error:
            trouble = type(error).__name__
        until = self._now() + timedelta(seconds=REDIS_AWAY_S)
        raise NotReady(f"the budget's Redis cannot be asked ({trouble})", until=until, cause="redis away")

    def _now(self) -> datetime:
        return datetime.now(UTC) if self._clock is None else datetime.fromtimestamp(self._clock(), UTC)
