"""Virtual time: leases, pauses and deadlines pass when a history says so, not by waiting.

One offset for all: Python's clock (time-machine, ticking on), PostgreSQL's `now()` and `clock_timestamp()` (functions
of a schema that stands before pg_catalog), the lives of Redis's keys. Between two jumps time goes on as ever, so that
what is later bears a later time. The systems' clocks stand still between jumps, each wrong by its own skew: they date
by the second, and a second must not end in the midst of one run and not of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
import time_machine
from redis import Redis

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday morning: where every history begins."""

_SCHEMA = """
CREATE SCHEMA virtual;
CREATE TABLE virtual.shift (by interval NOT NULL);
INSERT INTO virtual.shift VALUES ('0');
CREATE FUNCTION virtual.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
  AS 'SELECT pg_catalog.now() + (SELECT by FROM virtual.shift)';
CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
  AS 'SELECT pg_catalog.clock_timestamp() + (SELECT by FROM virtual.shift)';
"""
_AGE = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, math.max(1, left - tonumber(ARGV[1]))) end
end
"""


def prepare(admin: psycopg.Connection, url: str, name: str) -> None:
    """Make a database whose `now()` is virtual, column defaults of what is migrated there included."""
    admin.execute(f"CREATE DATABASE {name}")
    admin.execute(f"ALTER DATABASE {name} SET search_path = virtual, pg_catalog, public")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_SCHEMA)  # type: ignore[arg-type]  # a constant


@dataclass
class Wall:
    """The clock on one system's wall: `skew_s` wrong, and standing still between two jumps."""

    clock: Clock
    skew_s: float = 0.0

    def __call__(self) -> float:
        return BEGIN.timestamp() + self.clock.passed_s + self.skew_s


@dataclass
class Clock:
    """All clocks of one house."""

    connection: psycopg.Connection
    redis: Redis
    passed_s: float = 0.0
    _traveller: time_machine.Traveller | None = field(default=None, repr=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Put this process into virtual time."""
        with time_machine.travel(BEGIN, tick=True) as self._traveller:
            self._follow()
            yield
        self._traveller = None

    def begin(self) -> None:
        """Back to the morning, for another history."""
        self.passed_s = 0.0
        self._travelled.move_to(BEGIN, tick=True)
        self._follow()

    def let_pass(self, seconds: float) -> None:
        """Jump ahead."""
        self.passed_s += seconds
        self._travelled.shift(seconds)
        self._follow()
        self.redis.eval(_AGE, 0, str(int(seconds * 1000)))

    @property
    def _travelled(self) -> time_machine.Traveller:
        assert self._traveller is not None, "enter `running` first"
        return self._traveller

    def _follow(self) -> None:
        """PostgreSQL's clock follows Python's."""
        self.connection.execute("UPDATE virtual.shift SET by = %s - pg_catalog.clock_timestamp()", [datetime.now(UTC)])
