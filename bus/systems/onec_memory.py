"""What is remembered of a 1C base between reads, in Redis: versions that were handed over, and what the base can do.

Losing it costs a read of everything, nothing else: the ledger knows a state that it has seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from redis.exceptions import RedisError

from bus.ports import Redis

_SPACE = "bus:onec"
_KEPT_S = 40 * 86_400
_CHUNK = 500
_SET = """
for at = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""
_INSTEAD = """
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.call('DEL', KEYS[2]) end
redis.call('RENAME', KEYS[1], KEYS[2])
return 1
"""
_LEFT = """
local left = {}
for _, key in ipairs(redis.call('HKEYS', KEYS[2])) do
  if redis.call('HEXISTS', KEYS[1], key) == 0 then left[#left + 1] = key end
end
return left
"""
_DROP = "return redis.call('DEL', KEYS[1])"


def forget(client: Scanned) -> int:
    """Forget all that was remembered of any base. How many things went. Raises RedisError."""
    names = list(client.scan_iter(match=f"{_SPACE}:*", count=_CHUNK))
    for at in range(0, len(names), _CHUNK):
        client.delete(*names[at : at + _CHUNK])
    return len(names)


class Scanned(Protocol):
    """What of a redis.Redis is needed to find what we keep there."""

    def scan_iter(self, match: str, count: int) -> Iterable[bytes | str]:
        """Names of keys."""
        ...

    def delete(self, *names: bytes | str) -> object:
        """Remove keys."""
        ...


class Memory:
    """Of one base: a copy of it under another address is another base (facts 7, point 18)."""

    def __init__(self, client: Redis, system: str, root: str) -> None:
        self._client = client
        self._prefix = f"{_SPACE}:{system}:{hashlib.sha256(root.encode()).hexdigest()[:12]}"

    def versions(self, thing: str, keys: Sequence[str]) -> dict[str, str]:
        """The version of each object that was handed over last; absent where none was."""
        found: dict[str, str] = {}
        for at in range(0, len(keys), _CHUNK):
            some = list(keys[at : at + _CHUNK])
            found |= {key: value for key, value in zip(some, self._got(thing, some), strict=True) if value}
        return found

    def handed(self, thing: str, versions: Mapping[str, str], *, anew: bool = False) -> None:
        """Remember versions that were handed over; `anew` gathers them beside the old ones, for `instead`."""
        items = list(versions.items())
        for at in range(0, len(items), _CHUNK):
            self._set(self._new(thing) if anew else thing, dict(items[at : at + _CHUNK]))

    def begin(self, thing: str) -> None:
        """Forget what a broken off gathering left."""
        self._run(_DROP, [self._new(thing)])

    def instead(self, thing: str) -> None:
        """Put what was gathered in the place of the old: what is too old to be asked for is forgotten with it."""
        self._run(_INSTEAD, [self._new(thing), thing])

    def left(self, thing: str) -> list[str]:
        """Objects that were handed over, and were not gathered anew."""
        found = self._run(_LEFT, [self._new(thing), thing])
        return [str(_text(one)) for one in found] if isinstance(found, list) else []

    def known(self, name: str) -> str | None:
        """Something learnt of the base itself."""
        return self._got("known", [name])[0]

    def learn(self, name: str, value: str) -> None:
        """Remember something of the base itself."""
        self._set("known", {name: value})

    def able(self, what: str) -> bool | None:
        """Whether the base can do something; None: not tried yet."""
        said = self.known(what)
        return None if said is None else said == "yes"

    def proved(self, what: str, *, able: bool) -> None:
        """Remember whether it can; said again only when it is news."""
        if self.able(what) is not able:
            self.learn(what, "yes" if able else "no")

    def _new(self, thing: str) -> str:
        return f"{thing}:new"

    def _got(self, thing: str, fields: list[str]) -> list[str | None]:
        nothing: list[str | None] = [None] * len(fields)
        try:
            found = self._client.hmget(f"{self._prefix}:{thing}", fields)
        except RedisError:
            return nothing
        return [_text(one) for one in found] if isinstance(found, list) else nothing

    def _set(self, thing: str, values: Mapping[str, str]) -> None:
        flat = [part for pair in values.items() for part in pair]
        self._run(_SET, [thing], str(_KEPT_S), *flat)

    def _run(self, script: str, things: Sequence[str], *args: str) -> object:
        keys = [f"{self._prefix}:{thing}" for thing in things]
        try:
            return self._client.eval(script, len(keys), *keys, *args)
        except RedisError:
            return None


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.decode() if isinstance(value, bytes) else str(value)
