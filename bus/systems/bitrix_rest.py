"""Bitrix REST calls: one, a batch, a list by pages; every error is one of ours, every limit is told to the throttle."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol
from urllib.parse import urlencode

from pydantic import SecretStr

from bus.config import System
from bus.errors import BusError, NotReady, Permanent, SystemStopped, Transient, UnknownOutcome, Unrepeatable
from bus.leased import Lease
from bus.model import Json
from bus.ports import Spent, Throttle
from bus.systems.bitrix_errors import STOP_S, Next, NoRest3, Refusal, error_of, rule_for
from bus.systems.http import Hook, unclear
from bus.systems.retry_classes import is_write, meant

BATCH = 50
PAGE = 50

Params = Mapping[str, Json]
Command = tuple[str, Params]


@dataclass(frozen=True, slots=True)
class Result:
    """What one command answered."""

    value: Json


Outcome = Result | BusError


class Claims(Protocol):
    """Short exclusive rights, shared by all workers (bus.claims)."""

    def take(self, name: str) -> bool:
        """Claim a name; False when somebody else holds it."""
        ...

    def lease(self, names: Collection[str]) -> Lease:
        """To hold while something is sent under claims."""
        ...

    def keep(self, name: str) -> None:
        """Let nobody have it while a call whose answer was lost may still be at work."""
        ...

    def kept(self, name: str) -> float:
        """Seconds that this still lasts."""
        ...

    def drop(self, name: str) -> None:
        """Give a claim back."""
        ...


class _Unclaimed:
    """A lone worker's claims: all its own."""

    def take(self, name: str) -> bool:
        return bool(name)

    def lease(self, names: Collection[str]) -> Lease:
        del names
        return Lease(math.inf, lambda: math.inf)

    def keep(self, name: str) -> None:
        """Nobody else would have it."""

    def kept(self, name: str) -> float:
        del name
        return 0.0

    def drop(self, name: str) -> None:
        """Nothing to give back."""


class Breaker(Protocol):
    """The circuit breaker, as calls use it (bus.breaker)."""

    def guard(self, system: str) -> None:
        """Raise NotReady while the circuit is open."""
        ...

    def wait(self, system: str) -> float:
        """Seconds until a call is worth making."""
        ...

    def closed(self, system: str) -> bool:
        """Nobody doubts that calls go through."""
        ...

    def succeeded(self, system: str) -> None:
        """The system answered."""
        ...

    def failed(self, system: str) -> None:
        """It did not, or not sensibly."""
        ...

    def stop(self, system: str, reason: str) -> datetime:
        """It refuses us as a whole; when it is tried again."""
        ...


class Unbroken:
    """For calls that no breaker guards."""

    def guard(self, system: str) -> None:
        """Every call is made."""

    def wait(self, system: str) -> float:
        del system
        return 0.0

    def closed(self, system: str) -> bool:
        return bool(system)

    def succeeded(self, system: str) -> None:
        """Nothing to close."""

    def failed(self, system: str) -> None:
        """Nothing to open."""

    def stop(self, system: str, reason: str) -> datetime:
        del system, reason
        return datetime.now(UTC) + timedelta(seconds=STOP_S)


class Rest:
    """REST of one system. `with_urgency` gives a copy that shares session, throttle and counters."""

    def __init__(
        self,
        system: str,
        hook: Hook,
        throttle: Throttle,
        *,
        breaker: Breaker | None = None,
        claims: Claims | None = None,
        urgent: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.system, self.urgent = system, urgent
        self._hook, self._throttle, self._now = hook, throttle, now
        self._breaker: Breaker = breaker or Unbroken()
        self._meter = Meter(throttle)
        self.claims: Claims = claims or _Unclaimed()

    def with_urgency(self, urgent: bool) -> Rest:
        """A copy whose requests may use the payments' reserve, or may not."""
        copy = Rest(self.system, self._hook, self._throttle, breaker=self._breaker, urgent=urgent, now=self._now)
        copy._meter, copy.claims = self._meter, self.claims
        return copy

    def wait(self) -> float:
        """Seconds until a request would be let through by budget and breaker, 0: now. Takes nothing, raises nothing."""
        return max(self._throttle.wait(urgent=self.urgent), self._breaker.wait(self.system))

    def left(self) -> float:
        """Requests that may be sent before one has to wait for the budget."""
        return self._throttle.left(urgent=self.urgent)

    def probe(self) -> None:
        """While the system is in doubt (its circuit is not closed), try it with a call that changes nothing.

        Raises that call's error. So no delivery uses up an attempt to find out that the system is still away.
        """
        if not self._breaker.closed(self.system):
            self.call("server.time", {})

    @property
    def latency_s(self) -> float:
        """How long requests have taken lately, in seconds, waiting for the budget not counted."""
        return self._hook.latency_s

    def follow(self, config: System) -> Callable[[], None]:
        """Get ready for the webhook that the configuration has now; what is returned takes it, for all copies."""
        return self._hook.follow(config.url or SecretStr(""))

    def close(self) -> None:
        """Close the connections, for all copies."""
        self._hook.close()

    def call(self, method: str, params: Params) -> Json:
        """The `result` of one call. Raises what bus.systems.bitrix_errors makes of its error."""
        self._ready(method)
        try:
            body = self._ask(method, params, writes=is_write(method))
        except UnknownOutcome as unknown:
            raise meant(unknown, method) from None
        self._meter.read([(method, body.get("time"))])
        self._breaker.succeeded(self.system)
        return body["result"]

    def keyed(self, method: str, params: Params, key: str) -> Json:
        """The `result` of one call of REST 3.0, carried out once for its key within 24 hours.

        Raises NoRest3 where the portal has none, else as `call`.
        """
        self._ready(method)
        try:
            body = self._ask(method, params, writes=is_write(method), key=key)
        except UnknownOutcome as unknown:
            raise meant(unknown, method) from None
        self._breaker.succeeded(self.system)
        return body["result"]

    def batch(self, commands: Sequence[Command]) -> list[Outcome]:
        """Up to 50 commands in one request; one outcome each, in their order. Raises when the request as a whole fails.

        Commands of a method whose operating time is used up are not sent. A command that appears in neither map of
        the answer may have been carried out: what that means is its class's (bus.systems.retry_classes).
        """
        if len(commands) > BATCH:
            raise ValueError(f"{len(commands)} commands in one batch, at most {BATCH}")
        keyed = {f"c{at:04}": command for at, command in enumerate(commands, 1)}
        parked = self._parked({method for method, _ in commands} | {"batch"})
        if "batch" in parked:
            raise parked["batch"]
        due = {key: command for key, command in keyed.items() if command[0] not in parked}
        answer = self._batch(due) if due else {}
        return [parked.get(method) or answer[key] for key, (method, _) in keyed.items()]

    def run(self, groups: Sequence[Sequence[Command]]) -> list[list[Outcome]]:
        """Any number of groups of up to 50 commands, each group within one request. Never raises a BusError.

        When a request as a whole fails, each of its commands has that error as its class means it, and those of later
        requests are not sent.
        What a batch cannot say (an empty list, a text that looks like a reference) goes as calls of its own.
        """
        told: list[list[Outcome]] = []
        stop: BusError | None = None
        for pack in _packs(groups):
            outcomes, stop = self._pack(pack, stop)
            told.extend(outcomes)
        return told

    def each(self, commands: Sequence[Command]) -> list[Outcome]:
        """`run` for commands that stand alone."""
        return [outcomes[0] for outcomes in self.run([[command] for command in commands])]

    def listed(self, method: str, key: str, params: Params, *, after: int = 0, named: str = "id") -> list[Json]:
        """All rows of a list, by `>id` without counting: what pages of millions of rows can bear.

        `named`: what the rows call their id; the old lists of the CRM say "ID".
        """
        rows: list[Json] = []
        while True:
            page = self.page(method, key, paged(params, after, named))
            fresh = [row for row in page if int(row[named]) > after]
            rows.extend(fresh)
            if len(page) < PAGE or not fresh:  # none: the method does not heed `>id`, and gave all at once
                return rows
            after = int(fresh[-1][named])

    def page(self, method: str, key: str, params: Params) -> list[Json]:
        """The rows of one list call."""
        return rows_of(self.call(method, {**params, "start": -1}), key)

    def modified(self, method: str, key: str, params: Params, *, stamp: str, since: datetime) -> Iterator[str]:
        """Ids of rows whose `stamp` is at or after `since`, oldest first."""
        return (one for _, one in self.stamped(method, key, params, stamp=stamp, since=since))

    def stamped(
        self, method: str, key: str, params: Params, *, stamp: str, since: datetime, named: str = "id"
    ) -> Iterator[tuple[str, str]]:
        """The `stamp` and id of rows that were stamped at or after `since`, oldest first.

        Keyset, not offsets: a row saved while we page moves to the end, and an offset would then skip its neighbour.
        Stamps are whole seconds, so a boundary second is read again; a mass edit may fill pages with one second.
        """
        after, seen = f">={stamp}", set[str]()
        moment = since.isoformat(timespec="seconds")
        while True:
            by_time = {**params, "filter": {after: moment}, "order": {stamp: "ASC", named: "ASC"}}
            rows = self.page(method, key, by_time)
            yield from ((row[stamp], str(row[named])) for row in rows if str(row[named]) not in seen)
            if len(rows) < PAGE:
                return
            before, moment = moment, rows[-1][stamp]
            if rows[0][stamp] == moment:
                same = {**params, "filter": {f"={stamp}": moment}}
                rest = self.listed(method, key, same, after=int(rows[-1][named]), named=named)
                yield from ((moment, str(row[named])) for row in rest)
                after, seen = f">{stamp}", set()
            elif before == moment:
                raise Permanent(f"{method}: does not heed its filter by {stamp}", cause=f"{method} paging")
            else:
                after, seen = f">={stamp}", {str(row[named]) for row in rows if row[stamp] == moment}

    def _pack(
        self, pack: list[Sequence[Command]], stop: BusError | None
    ) -> tuple[list[list[Outcome]], BusError | None]:
        if stop is not None:
            return [[stop] * len(group) for group in pack], stop
        commands = [command for group in pack for command in group]
        try:
            outcomes = self.batch(commands) if fit_for_batch(commands) else self._singly(commands)
        except BusError as error:
            return [[meant(error, method) for method, _ in group] for group in pack], _not_sent(error)
        flat = iter(outcomes)
        return [[next(flat) for _ in group] for group in pack], None

    def _singly(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        stop: BusError | None = None
        for method, params in commands:
            if stop is not None:
                outcomes.append(stop)
                continue
            try:
                outcomes.append(Result(self.call(method, params)))
            except BusError as error:
                outcomes.append(error)
                stop = None if _answered(error) else _not_sent(error)
        return outcomes

    def _batch(self, keyed: Mapping[str, Command]) -> dict[str, Outcome]:
        cmd = {key: f"{method}?{encode(params)}" for key, (method, params) in keyed.items()}
        writes = any(is_write(method) for method, _ in keyed.values())
        body = self._ask("batch", {"halt": 0, "cmd": cmd}, writes=writes)
        maps = {name: _map(body["result"], name) for name in ("result", "result_error", "result_time")}
        inner = [(keyed[key][0], clock) for key, clock in maps["result_time"].items() if key in keyed]
        self._meter.read([("batch", body.get("time")), *inner])
        outcomes = {key: self._outcome(key, command, maps) for key, command in keyed.items()}
        self._judge(list(outcomes.values()))
        return outcomes

    def _outcome(self, key: str, command: Command, maps: Mapping[str, dict[str, Json]]) -> Outcome:
        method = command[0]
        if key in maps["result"]:
            return Result(maps["result"][key])
        said = maps["result_error"].get(key)
        if said is None:
            error = unclear(f"{method}: the batch says nothing of it", f"{method} unanswered", writes=is_write(method))
        else:
            said = said if isinstance(said, dict) else {"error_description": str(said)}
            error = self._refused(method, said, 200, writes=is_write(method), inner=True)
        return meant(error, method)

    def _judge(self, outcomes: list[Outcome]) -> None:
        """Tell the breaker of a batch: a system that answers but one of its commands otherwise has not stopped."""
        stops = [outcome for outcome in outcomes if isinstance(outcome, SystemStopped)]
        if len(stops) < len(outcomes):
            self._breaker.succeeded(self.system)
            return
        until = self._breaker.stop(self.system, str(stops[0]))
        for stop in stops:
            stop.until = until

    def _ask(self, method: str, params: Params, *, writes: bool, key: str | None = None) -> dict[str, Json]:
        """The answer of one request. The breaker is told of what is none, or a refusal; the caller tells of success."""
        try:
            body = self._exchange(method, params, writes=writes, key=key)
        except (Transient, UnknownOutcome):
            self._breaker.failed(self.system)
            raise
        except SystemStopped as stopped:
            stopped.until = self._breaker.stop(self.system, str(stopped))
            raise
        if isinstance(body, BusError):
            self._breaker.succeeded(self.system)
            raise body
        return body

    def _exchange(
        self, method: str, params: Params, *, writes: bool, key: str | None = None
    ) -> dict[str, Json] | BusError:
        """The answer, or a refusal that shows that the system is alive."""
        answer = self._hook.post(method, params, writes=writes, admit=self._admit, key=key)
        if "error" in answer.body:
            said = answer.body if key is None else _modern(answer.body["error"])
            if key is not None and said["error"] in _NO_REST3:
                return NoRest3(f"{method}: the portal has no REST 3.0", cause="no REST 3.0")
            error = self._refused(method, said, answer.status, writes=writes)
            if isinstance(error, Transient | UnknownOutcome | SystemStopped):
                raise error
            return error
        if "result" not in answer.body:
            message = f"{method}: HTTP {answer.status} with neither result nor error"
            raise unclear(message, f"{method} no result", writes=writes)
        return answer.body

    def _admit(self) -> None:
        """Before each HTTP request; the breaker comes last, so that its one probe is not spent on an empty budget."""
        self._throttle.acquire(urgent=self.urgent)
        self._breaker.guard(self.system)

    def _refused(
        self, method: str, said: Mapping[str, Json], status: int, *, writes: bool, inner: bool = False
    ) -> BusError:
        code, text = (self._hook.scrub(str(said.get(name, ""))) for name in ("error", "error_description"))
        refusal = Refusal(method, code, text, status, inner)
        error = error_of(refusal, writes=writes, now=self._now(), reset_at=self._meter.reset_at(method))
        after = rule_for(refusal).next
        if after is Next.SLOW:
            self._throttle.refused()
        if after is Next.PARK and isinstance(error, NotReady):
            self._throttle.park(method, error.until)
        return error

    def _ready(self, method: str) -> None:
        parked = self._parked({method})
        if parked:
            raise parked[method]

    def _parked(self, methods: Collection[str]) -> dict[str, NotReady]:
        return {
            method: NotReady(f"{method}: its operating time is used up", until=until, cause=f"{method} parked")
            for method, until in self._throttle.parked(methods, urgent=self.urgent).items()
        }


class Meter:
    """Reads the operating seconds of each answer, and tells them to the throttle, which parks by them."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._resets: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def read(self, clocks: Iterable[tuple[str, Json]]) -> None:
        """What one answer says by method; of several sayings on one method the largest counts.

        `operating` is what the method has used in its window so far, not what this call took. A batch may be billed to
        its commands' methods or, as portals of 2026 do it, to `batch`, which then shows with every command.
        """
        told: dict[str, Spent] = {}
        for method, clock in clocks:
            spent = _spent(clock)
            if spent and (method not in told or told[method].seconds < spent.seconds):
                told[method] = spent
        with self._lock:
            self._resets |= {method: spent.reset_at for method, spent in told.items()}
        if told:
            self._throttle.spent(told)

    def reset_at(self, method: str) -> datetime | None:
        """When the oldest minute of the method's window leaves, as last told."""
        with self._lock:
            return self._resets.get(method)


_NO_REST3 = frozenset({"ERROR_METHOD_NOT_FOUND", "BITRIX_REST_V3_EXCEPTION_METHODNOTFOUNDEXCEPTION"})


def _modern(said: Json) -> dict[str, Json]:
    """An error of REST 3.0 in the words of the older one: code, message, and which fields it complains of."""
    if not isinstance(said, dict):
        return {"error": str(said)}
    fields = [str(one.get("field", "")) for one in said.get("validation") or [] if isinstance(one, dict)]
    text = " ".join(part for part in (str(said.get("message", "")), ", ".join(filter(None, fields))) if part)
    return {"error": str(said.get("code", "")), "error_description": text}


def _spent(clock: Json) -> Spent | None:
    """The counter of a `time` block; None where it keeps none (a box) or says something else."""
    try:
        return Spent(float(clock["operating"]), datetime.fromtimestamp(float(clock["operating_reset_at"]), UTC))
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def rows_of(value: Json, key: str) -> list[Json]:
    """The rows under `key`; PHP writes an empty map, and a map without rows, as `[]`."""
    rows = value.get(key) if isinstance(value, dict) else value
    return list(rows.values()) if isinstance(rows, dict) else list(rows or [])


def paged(params: Params, after: int, named: str = "id") -> dict[str, Json]:
    """A list's parameters for the page that follows the row `after`."""
    where = {**params.get("filter", {}), f">{named}": after}
    return {**params, "filter": where, "order": {named: "ASC"}, "start": -1}


def encode(params: Params) -> str:
    """PHP's http_build_query, save that None is an empty string: that clears a field where leaving it out would not."""
    return urlencode([pair for name, value in params.items() for pair in _pairs(str(name), value)])


def _pairs(name: str, value: Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _pairs(f"{name}[{key}]", item)
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from _pairs(f"{name}[{at}]", item)
    else:
        yield name, _scalar(value)


def _scalar(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def fit_for_batch(commands: Iterable[Command]) -> bool:
    return all(_sayable(value) and _sayable(name) for _, params in commands for name, value in params.items())


def _sayable(value: Json) -> bool:
    """Whether a query string can say it: it has no empty list, and `$result[...]` would be taken for a reference."""
    if isinstance(value, Mapping):
        return bool(value) and all(_sayable(key) and _sayable(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return bool(value) and all(_sayable(item) for item in value)
    return "$result[" not in value if isinstance(value, str) else True


def _packs(groups: Iterable[Sequence[Command]]) -> Iterator[list[Sequence[Command]]]:
    """Groups that go into one request together, in their order; one that a batch cannot say goes alone."""
    pack: list[Sequence[Command]] = []
    for group in groups:
        alone = not fit_for_batch(group)
        if pack and (alone or sum(map(len, pack)) + len(group) > BATCH):
            yield pack
            pack = []
        if alone:
            yield [group]
        else:
            pack.append(group)
    if pack:
        yield pack


def _map(result: Json, name: str) -> dict[str, Json]:
    """One of a batch's maps; an empty one is `[]` in PHP, and anything else that is no map says nothing to us."""
    found = result.get(name) if isinstance(result, dict) else None
    return found if isinstance(found, dict) else {}


def _not_sent(error: BusError) -> BusError:
    """What stands for commands that were not sent because of `error` before them."""
    if isinstance(error, NotReady):
        return error
    return Transient(f"not sent, after: {error}", cause=error.cause)


def _answered(error: BusError) -> bool:
    """Whether an error is the system's word on one call, so that the next one may be tried."""
    return not isinstance(error, NotReady | Transient | UnknownOutcome | Unrepeatable)
