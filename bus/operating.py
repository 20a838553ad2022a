"""Operating time of a system's methods: what each answer told of it, and which are parked until it comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

import structlog
from redis.exceptions import RedisError

from bus.ports import Redis, Spent

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

BULK_SHARE = 0.9
"""Bulk leaves the last tenth of a method's time to payments: a backlog uses up a method long before it uses up requests
(480 s in 600 s are two or three updates a second), and a payment would wait minutes for the window to move."""

_BULK = " (bulk)"
_KEPT_MS = "86400000"
_KEEP = "redis.call('HSET', KEYS[1], unpack(ARGV, 2)) return redis.call('PEXPIRE', KEYS[1], ARGV[1])"


class Operating:
    """One webhook's methods: Bitrix24 counts their seconds by (webhook, method).

    What is parked is known at once in this process and, through Redis, to the others. Without Redis, or without a
    `client` at all (a box), each process learns by its own answers; no answer is ever lost for want of Redis.
    """

    def __init__(
        self, client: Redis | None, place: str, *, system: str, limit_s: float, now: Callable[[], datetime]
    ) -> None:
        self._client, self._system, self._limit_s, self._now = client, system, limit_s, now
        self._spent_key, self._parked_key = f"bus:spent:{place}:{system}", f"bus:parked:{place}:{system}"
        self._own: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def told(self, methods: Mapping[str, Spent]) -> None:
        """Keep what an answer told; park what the system would refuse next: it refuses what is over the limit."""
        if methods:
            self._share(self._spent_key, {name: f"{one.seconds} {one.reset_at}" for name, one in methods.items()})
        for method, spent in methods.items():
            if spent.seconds > self._limit_s:
                self.park(method, spent.reset_at)
            elif spent.seconds > self._limit_s * BULK_SHARE:
                self.park(method + _BULK, spent.reset_at)

    def park(self, method: str, until: datetime) -> None:
        """Keep a method from being called until then; an earlier time than what is known changes nothing."""
        with self._lock:
            known = self._own.get(method)
            if until <= self._now() or (known and until <= known):
                return
            self._own[method] = until
        self._share(self._parked_key, {method: until.isoformat()})
        log.warning("method.parked", system=self._system, method=method, until=until.isoformat())

    def parked(self, methods: Collection[str], *, urgent: bool) -> dict[str, datetime]:
        """Those of the methods that are parked, and until when; bulk's are parked sooner."""
        names = {method: method for method in methods}
        if not urgent:
            names |= {method + _BULK: method for method in methods}
        found: dict[str, datetime] = {}
        for name, until in self._untils(list(names)).items():
            found[names[name]] = max(until, found.get(names[name], until))
        return found

    def account(self) -> tuple[dict[str, datetime], dict[str, Spent]]:
        """For display: what is parked until when, and the seconds of all that were told. Raises redis.RedisError."""
        if self._client is None:
            return self._untils(list(self._own)), {}
        parked = {name: datetime.fromisoformat(until) for name, until in texts(self._client, self._parked_key).items()}
        spent = {name: _spent(said) for name, said in texts(self._client, self._spent_key).items()}
        return {name: until for name, until in parked.items() if until > self._now()}, spent

    def _untils(self, names: list[str]) -> dict[str, datetime]:
        """What this process knows, and the others told; only what is still to come."""
        now = self._now()
        with self._lock:
            own = {name: self._own[name] for name in names if name in self._own}
        told = self._told_by_others(names)
        untils = {name: max(until, told.get(name, until)) for name, until in (told | own).items()}
        return {name: until for name, until in untils.items() if until > now}

    def _told_by_others(self, names: list[str]) -> dict[str, datetime]:
        if self._client is None or not names:
            return {}
        try:
            kept = self._client.hmget(self._parked_key, names)
        except RedisError:
            return {}
        untils = kept if isinstance(kept, list) else [None] * len(names)
        return {name: datetime.fromisoformat(text(until)) for name, until in zip(names, untils, strict=True) if until}

    def _share(self, key: str, said: Mapping[str, str]) -> None:
        if self._client is None:
            return
        try:
            self._client.eval(_KEEP, 1, key, _KEPT_MS, *(part for pair in said.items() for part in pair))
        except RedisError as error:
            log.debug("operating.not_shared", system=self._system, error=type(error).__name__)


def _spent(said: str) -> Spent:
    seconds, reset_at = said.split(" ", 1)
    return Spent(float(seconds), datetime.fromisoformat(reset_at))


def texts(client: Redis, key: str) -> dict[str, str]:
    """A hash as text, whether the client decodes it or not."""
    found = client.hgetall(key)
    return {text(name): text(value) for name, value in found.items()} if isinstance(found, dict) else {}


def text(value: object) -> str:
    """A value as redis.Redis gives it, decoded or not."""
    return value.decode() if isinstance(value, bytes) else str(value)
