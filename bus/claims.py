"""Claims: short exclusive rights over Redis, for what a system lets two of us create at once (one customer twice)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection

from redis.exceptions import RedisError

from bus import leased
from bus.leased import Lease
from bus.ports import Redis

_TAKE = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0"
_KEEP = "return redis.call('SET', KEYS[1], 'kept', 'PX', ARGV[1])"
_KEPT = "return redis.call('GET', KEYS[1]) == 'kept' and redis.call('PTTL', KEYS[1]) or 0"
RENEW = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) ~= ARGV[1] then return 0 end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
return 1
"""
_DROP = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Claims:
    """Who holds a claim creates; another comes back later and finds what was created.

    A claim that was not dropped, because its holder died, lapses after `life_s`, and not before `late_s`: what he asked
    for may still be at work for so long. Names are hashed: they may be a person's. Without Redis every claim is
    granted, which is no worse than having none.
    """

    def __init__(self, client: Redis, system: str, *, life_s: float = 30.0, late_s: float = 0.0) -> None:
        self._client, self._system = client, system
        self._life_ms, self._late_ms = int(max(life_s, late_s) * 1000), max(int(late_s * 1000), 1)
        self._token = secrets.token_hex(8)

    def take(self, name: str) -> bool:
        """Claim a name; False when somebody else holds it."""
        try:
            return bool(self._client.eval(_TAKE, 1, self._key(name), self._token, str(self._life_ms)))
        except RedisError:
            return True

    def lease(self, names: Collection[str]) -> Lease:
        """What is sent under these claims is sent while they are ours, and they last a life more (bus.leased)."""
        return Lease(leased.clock(), lambda: self._renewed(names))

    def _renewed(self, names: Collection[str]) -> float | None:
        until = leased.clock() + self._life_ms / 2000
        try:
            keys = [self._key(name) for name in names]
            ours = self._client.eval(RENEW, len(keys), *keys, self._token, str(self._life_ms))
        except RedisError:
            return until
        return until if ours else None

    def keep(self, name: str) -> None:
        """Let nobody have a name for `late_s`: the answer to what was asked under it was lost."""
        try:
            self._client.eval(_KEEP, 1, self._key(name), str(self._late_ms))
        except RedisError:
            return

    def kept(self, name: str) -> float:
        """Seconds for which nobody will have it. 0: it is free, or somebody has it who will soon give it back."""
        try:
            return max(int(str(self._client.eval(_KEPT, 1, self._key(name)))), 0) / 1000
        except RedisError:
            return 0.0

    def drop(self, name: str) -> None:
        """Give a claim back; one that has lapsed and is somebody else's now is left to him."""
        try:
            self._client.eval(_DROP, 1, self._key(name), self._token)
        except RedisError:
            return

    def _key(self, name: str) -> str:
        return f"claim:{hashlib.sha256(f'{self._system}|{name}'.encode()).hexdigest()[:32]}"
