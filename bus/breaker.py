"""Circuit breaker per system, shared through Redis: who fails, or refuses us as a whole, is left alone for a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import structlog
from redis.exceptions import RedisError

from bus.errors import NotReady
from bus.operating import text, texts
from bus.ports import Redis

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

FAILURES = 5
FIRST_OPEN_S = 1.0
OPEN_S = 2.0
"""A circuit is open for a second, then twice as long after each failed probe, at most this: a probe each few seconds
harms nobody, and a system that is back is used at once."""
STOP_PROBE_S = 300.0
PROBE_LIFE_S = 60.0
"""Life of a probe's token: longer than a call takes; a probe whose worker died is forgotten after it."""
BY_ANSWER, BY_PERSON = "answer", "person"
_KEPT_S = 7 * 86_400

# The whole machine. Closed: no `open_until`, no `stopped`. From `shut` on a probe may be made, one, by KEYS[2]. Answers
# {the transition that this very call made, ms until a call is worth making, ms since the last transition, why stopped}.
_MACHINE = f"""
local asked, now, failures = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local first_ms, open_ms, stop_probe_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local by, reason = ARGV[7], ARGV[8]
if now < 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local kept = redis.call('HMGET', KEYS[1], 'failures', 'open_until', 'opens', 'stopped', 'probe_at', 'since', 'reason')
local stopped, since = kept[4], tonumber(kept[6] or now)
local shut = tonumber(stopped and kept[5] or kept[2] or 0)
local probing = redis.call('EXISTS', KEYS[2]) == 1

local function ms(value) return string.format('%d', value) end
local function keep(...)
  redis.call('HSET', KEYS[1], ...)
  redis.call('EXPIRE', KEYS[1], {_KEPT_S})
  redis.call('DEL', KEYS[2])
end
local function forget() redis.call('DEL', KEYS[1], KEYS[2]) end
local function wait()
  if stopped == '{BY_PERSON}' then return stop_probe_ms end
  if now < shut then return shut - now end
  return shut > 0 and probing and 1000 or 0
end

local became = ''
if asked == 'guard' then
  if wait() == 0 and shut > 0 then
    redis.call('SET', KEYS[2], '1', 'PX', {int(PROBE_LIFE_S * 1000)})
  end
elseif asked == 'succeeded' then
  if stopped == '{BY_ANSWER}' and probing then
    became = 'resumed'
    forget()
  elseif not stopped and kept[1] then
    became = shut > 0 and 'closed' or ''
    forget()
  end
elseif asked == 'failed' then
  if stopped == '{BY_ANSWER}' and probing then
    keep('probe_at', ms(now + stop_probe_ms))
  elseif not stopped and now >= shut then
    local count, opens = tonumber(kept[1] or 0) + 1, tonumber(kept[3] or 0)
    keep('failures', count)
    if shut > 0 or count >= failures then
      became = shut == 0 and 'opened' or ''
      keep('open_until', ms(now + math.min(open_ms, first_ms * 2 ^ opens)), 'opens', opens + 1, 'since', ms(since))
    end
  end
elseif asked == 'stop' then
  if stopped ~= '{BY_PERSON}' or by == '{BY_PERSON}' then
    became = stopped == by and '' or 'stopped'
    since = became == '' and since or now
    keep('stopped', by, 'reason', reason, 'since', ms(since), 'probe_at', ms(now + stop_probe_ms))
    if by == '{BY_PERSON}' then redis.call('PERSIST', KEYS[1]) end
  end
elseif asked == 'resume' and (stopped or shut > 0) then
  became = stopped and 'resumed' or 'closed'
  forget()
end
return {{became, math.ceil(wait()), now - tonumber(kept[6] or now), kept[7] or ''}}
"""


class Circuit(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class State:
    """A circuit as it is shown: since when it is not closed, why, and when it is tried again (None: not by itself)."""

    circuit: Circuit
    failures: int = 0
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None
    by: str | None = None


class Breaker:
    """Counts calls that failed in a row (Transient, UnknownOutcome), and stops a lane that is refused as a whole.

    Open: left alone for seconds, then one caller probes. Stopped by an answer (SystemStopped): probed every
    `stop_probe_s`; only a probe's success resumes it, since answers to earlier calls may still come in. Stopped by a
    person: until a person resumes it. What happens is decided in Redis, and logged by the one process whose call made
    it happen. Without Redis or its data a circuit is closed. `clock` (unix seconds) replaces Redis's time.
    """

    def __init__(
        self,
        client: Redis,
        *,
        failures: int = FAILURES,
        open_s: float = OPEN_S,
        stop_probe_s: float = STOP_PROBE_S,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client, self._clock, self._stop_probe_s = client, clock, stop_probe_s
        numbers = (failures, *(int(seconds * 1000) for seconds in (min(FIRST_OPEN_S, open_s), open_s, stop_probe_s)))
        self._numbers = tuple(map(str, numbers))

    def guard(self, system: str) -> None:
        """Before a call. Raises NotReady unless it is worth making; one caller of a half-open circuit is the probe."""
        _, wait, reason = self._told("guard", system)
        if wait:
            until = self._now() + timedelta(seconds=wait)
            if reason:
                raise NotReady(f"{system} is stopped: {reason}", until=until, cause=f"{system} stopped")
            say = f"{system}: it failed repeatedly and is left alone; tried again by itself"
            raise NotReady(say, until=until, cause=f"{system} breaker")

    def wait(self, system: str) -> float:
        """Seconds until a call is worth making; 0: now, be it as the probe. Takes nothing."""
        return self._told("look", system)[1]

    def closed(self, system: str) -> bool:
        """Calls go through, and nobody doubts it."""
        try:
            return self.state(system).circuit is Circuit.CLOSED
        except RedisError:
            return True

    def succeeded(self, system: str) -> None:
        """The system answered a call, be it with a refusal of that call: closes an open circuit."""
        self._told("succeeded", system)

    def failed(self, system: str) -> None:
        """A call failed."""
        self._told("failed", system)

    def stop(self, system: str, reason: str, *, by: str = BY_ANSWER) -> datetime:
        """Leave the system alone; everything for it waits, no attempt counts. When it is probed, if an answer did it.

        Raises redis.RedisError to a person only: an answer is told anyway, by its own error.
        """
        ask = self._asked if by == BY_PERSON else self._told
        ask("stop", system, by, reason)
        return self._now() + timedelta(seconds=self._stop_probe_s)

    def resume(self, system: str) -> bool:
        """A person says it works again. False when it was neither stopped nor open. Raises redis.RedisError."""
        return bool(self._asked("resume", system)[0])

    def state(self, system: str) -> State:
        """For display: takes no probe, changes nothing. Raises redis.RedisError."""
        kept = texts(self._client, _keys(system)[0])
        failures, since = int(kept.get("failures", 0)), _moment(kept, "since")
        if stopped := kept.get("stopped"):
            until = None if stopped == BY_PERSON else _moment(kept, "probe_at")
            return State(Circuit.STOPPED, failures, since, until, kept.get("reason"), stopped)
        until = _moment(kept, "open_until")
        if until is None:
            return State(Circuit.CLOSED, failures)
        circuit = Circuit.OPEN if self._now() < until else Circuit.HALF_OPEN
        return State(circuit, failures, since, until, "requests failed in a row")

    def _told(self, asked: str, system: str, by: str = "", reason: str = "") -> tuple[str, float, str]:
        try:
            return self._asked(asked, system, by, reason)
        except RedisError:
            return "", 0.0, ""

    def _asked(self, asked: str, system: str, by: str = "", reason: str = "") -> tuple[str, float, str]:
        """The transition that this made, seconds to wait, and why it was stopped before, if it was."""
        now = "-1" if self._clock is None else str(int(self._clock() * 1000))
        answer = self._client.eval(_MACHINE, 2, *_keys(system), asked, now, *self._numbers, by, reason)
        became, wait, lasted, before = answer if isinstance(answer, list) else ("", 0, 0, "")
        _log(text(became), system, lasted_s=round(int(lasted) / 1000, 1), by=by, reason=reason)
        return text(became), int(wait) / 1000, text(before)

    def _now(self) -> datetime:
        return datetime.now(UTC) if self._clock is None else datetime.fromtimestamp(self._clock(), UTC)


def _log(became: str, system: str, *, lasted_s: float, by: str, reason: str) -> None:
    match became:
        case "opened":
            log.warning("breaker.opened", system=system)
        case "closed":
            log.info("breaker.closed", system=system, lasted_s=lasted_s)
        case "stopped":
            say = f"everything for it waits; when it is put right: bus lanes resume {system}"
            level = "warning" if by == BY_PERSON else "error"
            getattr(log, level)("lane.stopped", system=system, reason=reason, by=by, say=say)
        case "resumed":
            log.info("lane.resumed", system=system, lasted_s=lasted_s)


def _keys(system: str) -> tuple[str, str]:
    return f"bus:breaker:{system}", f"bus:breaker:{system}:probe"


def _moment(kept: Mapping[str, str], name: str) -> datetime | None:
    return datetime.fromtimestamp(int(kept[name]) / 1000, UTC) if name in kept else None
