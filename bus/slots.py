"""Slots: how many requests may be under way at one system at once, over all our processes, kept in Redis as leases."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from redis.exceptions import RedisError

from bus.errors import NotReady
from bus.ports import Redis

WAIT_S = 5.0
"""How long `taken` waits for a slot before it says NotReady: longer would hold a lane's claim for nothing."""
_LOOK_S = 0.05
_MARGIN_S = 30.0

# A sorted set of tokens by when their leases end, by Redis's own time. Answers the milliseconds until a lease ends for
# certain, 0: there is a slot (and with a token it is taken).
_TAKE = """
local asked, token, limit, lease = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if asked == 'give' then
  redis.call('ZREM', KEYS[1], token)
  return 0
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= limit then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return math.max(1, math.ceil(tonumber(first[2]) - now))
end
if asked == 'take' then
  redis.call('ZADD', KEYS[1], now + lease, token)
  redis.call('PEXPIRE', KEYS[1], lease + 1000)
end
return 0
"""


class Slots:
    """At most `limit` holders at a time. A holder that died is forgotten when its lease ends.

    The lease is longer than a request can take (`timeout_s` and a margin), so that no slot is given twice while its
    request is under way. Without Redis a slot is free: the system itself refuses what is too much.
    """

    def __init__(
        self,
        client: Redis,
        system: str,
        *,
        limit: int,
        timeout_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._system, self._limit, self._sleep = client, system, limit, sleep
        self._lease_ms = int((timeout_s + _MARGIN_S) * 1000)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a slot, waiting up to 5 s for one. Raises NotReady when all of them stay taken."""
        token, waited = secrets.token_hex(8), 0.0
        while left := self._asked("take", token):
            if waited >= WAIT_S:
                until = datetime.now(UTC) + timedelta(seconds=min(left, WAIT_S))
                say = f"{self._system}: {self._limit} requests are under way there, no more are let in at once"
                raise NotReady(say, until=until, cause=f"{self._system} slots")
            self._sleep(_LOOK_S)
            waited += _LOOK_S
        try:
            yield
        finally:
            self._asked("give", token)

    def wait(self) -> float:
        """Seconds until it is worth looking for a slot again, 0: there is one. Takes nothing, raises nothing."""
        return _LOOK_S if self._asked("look", "") else 0.0

    def _asked(self, what: str, token: str) -> float:
        """Seconds until a slot is surely free; 0: there is one, and it is taken if that was asked."""
        told = (what, token, str(self._limit), str(self._lease_ms))
        try:
            answer = self._client.eval(_TAKE, 1, f"bus:slots:{self._system}", *told)
        except RedisError:
            return 0.0
        return float(str(answer)) / 1000 if isinstance(answer, int) else 0.0
