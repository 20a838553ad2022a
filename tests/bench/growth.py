"""Growth: what one event costs with ten thousand, a hundred thousand and a million events and entities in the ledger.

The ledger is filled by SQL (filled.py), then the same number of new events is published and applied in this process, in
batches of 100: a fifth of them of new orders, the others changes of known ones. As in life most changes concern young
orders: nine of ten are taken at random from the newest tenth. `cold` is the worst there can be: orders taken at random
from all, so that every event is the first to touch its pages in a long time.

Cost is processor time, of this process and of PostgreSQL together, the best of three runs: so waiting for the disk, and
what others do on the machine, is left out as far as can be. The time by the clock stands beside it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from bus.envelope import Event, parse
from bus.ledger import deliveries, journal
from bus.ledger.database import Ledger
from bus.pipeline import Pipeline
from bus.publisher import Publisher
from tests.bench.figures import Figure
from tests.bench.filled import fill, fill_pending, watch
from tests.bench.house import CRM, SHOP, House
from tests.bench.run import Run

TITLE = "ms per event with 10 thousand, 100 thousand and 1 million events and entities in the ledger"

_SIZES = (10_000, 100_000, 1_000_000)
_EVENTS = 2_000
_RUNS = 3
_BATCH = 100
_NEW_ONE_IN = 5
_YOUNG = 0.9
_SWEEPS = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one event, in ms."""

    processor: float
    clock: float


class Silent:
    """Bells that ring nowhere: no worker runs here."""

    def publish(self, events: object) -> None:
        """Nothing."""

    def ring(self, system: str, *, urgent: bool) -> None:
        """Nothing."""


def bench(run: Run) -> Iterator[Figure]:
    """A figure for each size, the plans, and the sweep over a million pending events."""
    first, turns = 1, count(1)
    base: dict[bool, Cost] = {}
    with House() as house:
        for size in [run.some(size, least=1_000) for size in _SIZES]:
            run.say(f"filling up to {size}")
            fill(house.settings.database(), first, size)
            first = size + 1
            for cold in (False, True):
                run.say(f"applying {_EVENTS} events{', cold' if cold else ''}")
                _cost(house, _told(size, next(turns), _EVENTS // 2, cold=cold))  # warms caches and plans
                runs = [_cost(house, _told(size, next(turns), _EVENTS, cold=cold)) for _ in range(_RUNS)]
                cost = min(runs, key=lambda one: one.processor)
                base.setdefault(cold, cost)
                yield _figure(f"growth.{size}{'.cold' if cold else ''}", cost, base[cold])
        run.say("plans")
        yield _plans(house, size, next(turns))
        run.say("a sweep over all of them pending")
        yield _sweep(house, size)


def _figure(name: str, cost: Cost, base: Cost) -> Figure:
    return Figure(
        name,
        cost.processor,
        "ms/event",
        ratio=cost.processor / base.processor,
        against="the smallest ledger; less is better, up to 1.3 is flat",
        more={"clock_ms": cost.clock, "clock_ratio": cost.clock / base.clock},
    )


def _told(size: int, turn: int, events: int, *, cold: bool) -> list[Event]:
    """So many events of a turn: some new orders, and changes of known ones. Repeatable."""
    chance = random.Random(turn)
    return [
        _event(f"new-{turn}-{number}", turn, number, new=True)
        if number % _NEW_ONE_IN == 0
        else _event(f"{_known(chance, size, cold=cold)}", turn, number, new=False)
        for number in range(events)
    ]


def _known(chance: random.Random, size: int, *, cold: bool) -> int:
    young = not cold and chance.random() < _YOUNG
    return chance.randint(size - size // 10 if young else 1, size)


def _event(order: str, turn: int, number: int, *, new: bool) -> Event:
    data: dict[str, Any] = {"comment": f"turn {turn}, {number}"}
    if new:
        data |= {"number": order, "status": "new", "total": {"amount": "100.00", "currency": "RUB"}}
    return parse(
        {
            "source": SHOP,
            "type": "order.changed",
            "subject": f"order/{order}",
            "time": datetime(2026, 12, 1, tzinfo=UTC) + timedelta(minutes=turn),
            "sourceversion": f"{turn * 10 * _EVENTS + number}",
            "data": data,
        }
    )


def _cost(house: House, events: list[Event]) -> Cost:
    """Publish and apply events, a batch at a time."""
    pipeline, publisher = _parts(house, house.wiring.ledger)
    begun, spent = time.perf_counter(), time.process_time() + _postgres_s(house)
    _apply(pipeline, publisher, events)
    spent, took = time.process_time() + _postgres_s(house) - spent, time.perf_counter() - begun
    return Cost(spent / len(events) * 1000, took / len(events) * 1000)


def _apply(pipeline: Pipeline, publisher: Publisher, events: list[Event]) -> None:
    for start in range(0, len(events), _BATCH):
        batch = events[start : start + _BATCH]
        publisher.publish(batch)
        pipeline.process(batch)


def _parts(house: House, ledger: Ledger) -> tuple[Pipeline, Publisher]:
    mappings, bells = house.wiring.mappings, Silent()
    return Pipeline(ledger, house.wiring.config, mappings, mappings.rules, bells), Publisher(ledger, bells)


def _postgres_s(house: House) -> float:
    """Processor seconds of all of PostgreSQL's processes; 0 where there is no /proc."""
    server = house.rows("SELECT pg_backend_pid() AS pid")[0]["pid"]
    parent = _stat(server)[1] if _stat(server) else None
    stats = [stat for path in Path("/proc").glob("[0-9]*") if (stat := _stat(int(path.name)))]
    ticks = sum(int(stat[11]) + int(stat[12]) for stat in stats if stat[1] == parent)
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """What /proc says of a process, from its state on: state, parent, ... user and system time in ticks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended, or there is no /proc
        return []


def _plans(house: House, size: int, turn: int) -> Figure:
    """Do events, sweep and claims read a table from one end to the other? Raises AssertionError when one does."""
    ledger = Ledger(house.settings.database(), size=1)
    plans = watch(ledger)
    _apply(*_parts(house, ledger), _told(size, turn, 10 * _BATCH, cold=True))
    with ledger.transaction() as connection:
        journal.unpublished(connection, older_s=0, limit=1_000)
        journal.wake_known(connection)
        journal.overdue(connection)
        journal.moving(connection, SHOP, [f"order/{number}" for number in range(50)])
        deliveries.claim(connection, CRM, uuid4(), seconds=60, limit=50, urgent=False)
        journal.claim_notified(connection, CRM, uuid4(), seconds=60, limit=50, urgent=False)
        connection.rollback()
    ledger.close()
    if plans.scans:
        raise AssertionError("\n".join(["read from one end to the other:", *sorted(plans.scans)]))
    return Figure("growth.plans", len(plans.all), "statements", note=f"at {size} entities, none reads a table whole")


def _sweep(house: House, pending: int) -> Figure:
    """Publishing again what nobody took, a bounded part of a million at a time; what it takes of time and memory."""
    fill_pending(house.settings.database(), pending)
    _, publisher = _parts(house, house.wiring.ledger)
    publisher.republish(older_s=15)
    resident, begun = _resident_mb(), time.perf_counter()
    named = [publisher.republish(older_s=15) for _ in range(_SWEEPS)]
    took = (time.perf_counter() - begun) / _SWEEPS * 1000
    return Figure(
        "growth.sweep",
        took,
        "ms",
        note=f"of {pending} pending events {max(named)} are published again at a time",
        more={"events": max(named), "grown_mb": round(_resident_mb() - resident, 1)},
    )


def _resident_mb() -> float:
    """Memory of this process; 0 where there is no /proc."""
    about = Path("/proc/self/statm")
    return int(about.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if about.exists() else 0.0
