"""Request budget of a system: a leaky bucket in Redis, counted as the portal counts, shared by all of one address."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from redis.exceptions import RedisError

from bus.config import Rate
from bus.errors import NotReady
from bus.operating import Operating, texts
from bus.ports import Redis, Spent

T = TypeVar("T")

WAIT_S = 5.0
"""How long `acquire` waits before it says NotReady: longer would hold a lane's claim for nothing."""
REDIS_AWAY_S = 5.0
LATE_MS = 500
"""A request may take so long to be counted there, its connection included (300 ms over a bad line)."""
RECOVER_MS = 240_000
"""The pace grows by 1 in this, so half of it is back after two minutes. Two buses that halve at a refusal and grow by
equal steps come to equal shares; at 2 a second, 1 or 2 % of their requests are refused, with 60 s it would be 4 %."""
_SLOWEST = 0.125
_CLOUD_STEP = 2
"""So much is left free even without a reserve: the step of every portal but the largest."""
_TAUGHT_MS = 3_600_000
"""So long after a refusal a step more is left free."""
_ONCE_MS = 2_000
"""Refusals within this are of one moment: requests that were under way together."""
_GRACE_MS = 250
"""When payments have waited for a second to begin, bulk lets this much of it pass: they come first."""
_KEPT_MS = 7 * 86_400_000

# Facts 1.4: each request adds one, the counter falls by `per_second` once per whole second, refusal above `burst`.
# The time is Redis's own, so that workers with wrong clocks agree. What came in the last moment of a second may have
# been counted there after that second's step, so the step does not take it away here (`late`).
# Answers {milliseconds to wait, level, pace, how full the asker may make it}.
_BUCKET = f"""
local asked, urgent, now = ARGV[1], ARGV[2] == 'urgent', tonumber(ARGV[3])
local per_second, burst, limit, lost = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local careful = tonumber(ARGV[8])
if now < 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local second = math.floor(now / 1000)
local kept = redis.call('HMGET', KEYS[1], 'level', 'late', 'second', 'pace', 'refused_at', 'payments_until')
local level, late, since = tonumber(kept[1] or lost), tonumber(kept[2] or 0), tonumber(kept[3] or second)
local slowed, refused_at = tonumber(kept[4] or 1), math.min(now, tonumber(kept[5] or 0))
local payments_until = tonumber(kept[6] or 0)
local function count(name) redis.call('HINCRBY', KEYS[1], name, 1) end
if now - refused_at < {_TAUGHT_MS} then limit = careful end
local function pace() return math.min(1, slowed + (now - refused_at) / {RECOVER_MS}) end

local step = per_second * pace()
if second > since then
  level = late + math.max(0, level - late - step)
  level, late = math.max(0, level - step * (second - since - 1)), 0
end

local wait = 0
if asked == 'refused' then
  if now - refused_at >= {_ONCE_MS} then
    slowed, refused_at = math.max({_SLOWEST}, pace() / 2), now
  end
  level = burst
  count('refused')
else
  if level + 1 > limit + 1e-6 then
    wait = math.max(1, math.ceil((level + 1 - limit) / step - 1e-6)) * 1000 - now % 1000
    if urgent then redis.call('HSET', KEYS[1], 'payments_until', string.format('%d', now + wait + {_GRACE_MS})) end
  end
  if not urgent and payments_until < now + 10000 then wait = math.max(wait, payments_until - now) end
  if asked == 'take' and wait > 0 then count('waited') end
  if asked == 'take' and wait <= 0 then
    level = level + 1
    if now % 1000 >= {1000 - LATE_MS} then late = late + 1 end
    count(urgent and 'urgent' or 'bulk')
    local slot = string.format('s%02d', second % 60)
    local at, n = string.match(redis.call('HGET', KEYS[1], slot) or '', '(%d+):(%d+)')
    n = tonumber(at) == second and n + 1 or 1
    redis.call('HSET', KEYS[1], slot, string.format('%d:%d', second, n))
  end
end
redis.call('HSET', KEYS[1], 'level', level, 'late', late, 'second', string.format('%d', second))
redis.call('HSET', KEYS[1], 'pace', slowed, 'refused_at', string.format('%d', refused_at))
redis.call('PEXPIRE', KEYS[1], {_KEPT_MS})
return {{math.ceil(wait), tostring(level), tostring(pace()), limit}}
"""


@dataclass(frozen=True, slots=True)
class Account:
    """A system's budget as a person or a gauge reads it; requests are those of all who share the address."""

    system: str
    rate: Rate
    bulk_limit: int
    urgent_limit: int
    parked: dict[str, datetime]
    spent: dict[str, Spent]
    level: float = 0.0
    pace: float = 1.0
    last_10_s: int = 0
    last_60_s: int = 0
    urgent: int = 0
    bulk: int = 0
    waited: int = 0
    refused: int = 0
    refused_at: datetime | None = None


class Budget:
    """Implements bus.ports.Throttle.

    The bucket belongs to (portal host, egress address): that is what Bitrix24 counts by, however many webhooks we have
    there. Parked methods belong to the system, that is, to one webhook. `clock` (unix seconds) replaces Redis's time.

    Bulk leaves `payments_reserve` of the burst to payments, which costs it so many requests once after a pause, and
    nothing while it waits for steps: it gets each of them whole. The portal's seconds may begin at another moment than
    ours, so that it has made one step less than we have. Where a step is no more than the reserve (2 of 50, 5 of 250)
    bulk is safe from that; where it is more, a refusal teaches it, and for an hour everyone leaves a step more.
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
        self._system = system
        self._operating = Operating(
            client if self._limited else None, place, system=system, limit_s=rate.operating_limit_s, now=self._now
        )
        self._met = False

    def acquire(self, *, urgent: bool) -> None:
        """Take one request, waiting up to 5 s; bulk leaves the `payments_reserve` to the urgent. Raises NotReady."""
        if not self._limited:
            return
        waited = 0.0
        while wait := self._run("take", urgent=urgent)[0]:
            if waited + wait > WAIT_S:
                until = self._now() + timedelta(seconds=wait)
                raise NotReady(f"{self._system}: the request budget is spent", until=until, cause="request budget")
            self._sleep(wait)
            waited += wait

    def wait(self, *, urgent: bool) -> float:
        """Seconds until a request would be admitted, 0: now. Takes nothing; bulk waits for payments that look."""
        if not self._limited:
            return 0.0
        try:
            return self._run("look", urgent=urgent)[0]
        except NotReady:
            return REDIS_AWAY_S

    def left(self, *, urgent: bool) -> float:
        """Requests that may be sent before one has to wait. Takes nothing, raises nothing."""
        if not self._limited:
            return math.inf
        try:
            _, level, _, limit = self._run("look", urgent=urgent)
        except NotReady:
            return 0.0
        return max(0.0, limit - level)

    def refused(self) -> None:
        """The portal counts more than we do, someone else uses its address: the bucket is full and our pace halves."""
        if not self._limited:
            return
        try:
            self._run("refused", urgent=False)
        except NotReady:
            return

    def spent(self, methods: Mapping[str, Spent]) -> None:
        """What an answer told of operating times."""
        self._operating.told(methods)

    def park(self, method: str, until: datetime) -> None:
        """Keep a method from being called until then."""
        self._operating.park(method, until)

    def parked(self, methods: Collection[str], *, urgent: bool) -> dict[str, datetime]:
        """Those of the methods that are parked, and until when."""
        return self._operating.parked(methods, urgent=urgent)

    def account(self) -> Account:
        """For display; changes nothing. Raises NotReady when Redis cannot be asked."""
        parked, spent = self._guarded(self._operating.account)
        limits = (self._limits(urgent=False)[0], self._limits(urgent=True)[0])
        made = Account(self._system, self._rate, *limits, parked, spent)
        kept = self._guarded(lambda: texts(self._client, self._bucket)) if self._limited else {}
        if not kept:
            return made
        _, level, pace, bulk = self._run("look", urgent=False)
        urgent = self._run("look", urgent=True)[3]
        counted = _counted(kept, self._now().timestamp())
        return replace(made, level=level, pace=pace, bulk_limit=bulk, urgent_limit=urgent, **counted)

    @property
    def _limited(self) -> bool:
        return self._rate.per_second > 0

    def _limits(self, *, urgent: bool) -> tuple[int, int]:
        """How full the bucket may become, as a rule and after a refusal: then a step below, for everyone."""
        rate = self._rate
        step = min(math.ceil(rate.per_second), rate.burst // 2)
        reserve = min(rate.payments_reserve, rate.burst - step)
        brim = rate.burst - step
        if urgent:
            return max(brim, rate.burst - max(math.ceil(reserve / 2), min(step, _CLOUD_STEP))), brim
        return rate.burst - max(reserve, min(step, _CLOUD_STEP)), max(min(step, brim), brim - reserve)

    def _run(self, asked: str, *, urgent: bool) -> tuple[float, float, float, int]:
        """Seconds to wait (0: admitted), level, pace, and how full we may make it. Raises NotReady without Redis.

        A bucket that this process has met and Redis has lost is taken for as full as bulk may make it: payments go on,
        bulk waits for steps. One that nobody has met yet is empty.
        """
        limit, careful = self._limits(urgent=urgent)
        full = self._limits(urgent=False)[0] if self._met else 0
        numbers = (self._rate.per_second, self._rate.burst, limit, full, careful)
        now = -1 if self._clock is None else int(self._clock() * 1000)
        who = "urgent" if urgent else "bulk"
        args = (asked, who, str(now), *map(str, numbers))
        answer = self._guarded(lambda: self._client.eval(_BUCKET, 1, self._bucket, *args))
        self._met = True
        wait, level, pace, limit = answer if isinstance(answer, list) else (0, 0, 1, limit)
        return int(wait) / 1000, float(level), float(pace), int(limit)

    def _guarded(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except RedisError as error:
            trouble = type(error).__name__
        until = self._now() + timedelta(seconds=REDIS_AWAY_S)
        raise NotReady(f"the budget's Redis cannot be asked ({trouble})", until=until, cause="redis away")

    def _now(self) -> datetime:
        return datetime.now(UTC) if self._clock is None else datetime.fromtimestamp(self._clock(), UTC)


def _counted(kept: Mapping[str, str], now: float) -> dict[str, Any]:
    """What a bucket's hash says of the requests so far."""
    slots = [value.split(":") for value in kept.values() if ":" in value]
    last = {f"last_{span}_s": sum(int(n) for at, n in slots if int(at) > now - span) for span in (10, 60)}
    counts = {name: int(kept.get(name, 0)) for name in ("urgent", "bulk", "waited", "refused")}
    refused_at = datetime.fromtimestamp(int(kept["refused_at"]) / 1000, UTC) if counts["refused"] else None
    return {**last, **counts, "refused_at": refused_at}
