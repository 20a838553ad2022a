"""Throughput: events published in batches until all are applied in the ledger; and as many no-op Celery tasks.

An order is created and then changed three times, each time 1,000 other events later: what workers find to merge
together they find because it waits, as in life. Deliveries become due and no lane runs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from redis import Redis

from tests.bench import peer_noop
from tests.bench.figures import Figure
from tests.bench.house import SHOP, House
from tests.bench.run import Run

TITLE = "50,000 events in batches of 100 by 2 workers, and 50,000 no-op tasks by 2 workers"

_BATCH = 100
_EVENTS_PER_ORDER = 4
_APART = 1_000
_WORKERS = 2
_WAIT_S = 150.0
_SILENT_SHARE = 5
"""The peer without task events does a fifth of the tasks: its pace is what is asked for."""


def bench(run: Run) -> Iterator[Figure]:
    """Ours, then the peer as the bus's workers run, and the peer without task events; each on fresh engines."""
    orders = run.some(12_500, least=100)
    with House() as house:
        house.bus(*["orders"] * _WORKERS, beat=False)
        run.say(f"publishing and applying {orders * _EVENTS_PER_ORDER} events")
        published, applied = _ours(house, orders)
    events = [event for batch in batches(orders) for event in batch]
    count, rate = len(events), len(events) / applied
    run.say(f"sending and doing {count} no-op tasks")
    sent, done = _theirs(events, silent=False)
    some = events[: count // _SILENT_SHARE]
    silent_sent, silent_done = _theirs(some, silent=True)
    yield Figure(
        "throughput",
        rate,
        "events/s",
        ratio=rate / (count / done),
        against=f"as many no-op Celery tasks; {_WORKERS} worker processes of the same settings",
        note=f"published at {count / published:.0f}/s meanwhile",
        more={"events": count, "seconds": applied, "publish_s": published},
    )
    yield Figure(
        "throughput.noop",
        count / done,
        "tasks/s",
        note=f"sent at {count / sent:.0f}/s meanwhile",
        more={"tasks": count, "seconds": done, "publish_s": sent},
    )
    yield Figure(
        "throughput.silent",
        len(some) / silent_done,
        "tasks/s",
        ratio=rate / (len(some) / silent_done),
        against="the same without task events, which ours send: nothing in Flower",
        note=f"{len(some)} tasks, sent at {len(some) / silent_sent:.0f}/s meanwhile",
        more={"tasks": len(some), "seconds": silent_done, "publish_s": silent_sent},
    )


def batches(orders: int) -> Iterator[list[dict[str, Any]]]:
    """Batches of events of so many orders, in the order they happened in."""
    batch: list[dict[str, Any]] = []
    for first in range(0, orders, _APART):
        for step in range(_EVENTS_PER_ORDER):
            for number in range(first, min(first + _APART, orders)):
                batch.append(_event(number, step))
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
    if batch:
        yield batch


_BEGINNING = datetime(2026, 10, 5, 8, tzinfo=UTC)


def _event(number: int, step: int) -> dict[str, Any]:
    at = _BEGINNING + timedelta(seconds=number, hours=step)
    return {
        "source": SHOP,
        "type": "order.changed",
        "subject": f"order/{number}",
        "time": at.isoformat(),
        "sourceversion": f"{step + 1}",
        "actor": f"manager {number % 7}",
        "data": _said(number, step),
    }


def _said(number: int, step: int) -> dict[str, Any]:
    if step == 0:
        return _created(number)
    total = {"amount": f"{2_000 + number % 500}.00", "currency": "RUB"}
    return ({"status": "accepted"}, {"comment": f"call before {number % 24}:00"}, {"total": total})[step - 1]


def _created(number: int) -> dict[str, Any]:
    return {
        "number": f"{100_000 + number}",
        "status": "new",
        "total": {"amount": f"{1_000 + number % 500}.00", "currency": "RUB"},
        "lines": [
            {"product": f"{number % 50}", "name": f"Chair {number % 50}", "quantity": "2", "price": "250.00"},
            {"product": f"{number % 31}", "name": f"Table {number % 31}", "quantity": "1", "price": "500.00"},
        ],
        "customer": {
            "name": f"Customer {number}",
            "phone": f"+7900{number:07d}",
            "email": f"{number}@example.org",
        },
        "delivery": {"method": "courier", "address": f"{number % 97} Long Street"},
    }


def _ours(house: House, orders: int) -> tuple[float, float]:
    """Seconds until the last event was published, and until the last was applied, by the ledger's own note of it."""
    begun = time.time()
    for batch in batches(orders):
        house.wiring.publisher.publish(batch)
    published = time.time() - begun
    pending = "SELECT 1 FROM event WHERE state = 'pending' AND due_at IS NOT NULL LIMIT 1"
    house.until(lambda: not house.rows(pending), _WAIT_S, "all applied")
    ended = house.rows("SELECT outcome, count(*) AS n, max(finished_at) AS last FROM event GROUP BY outcome")
    if [row["outcome"] for row in ended] != ["APPLIED"] or ended[0]["n"] != orders * _EVENTS_PER_ORDER:
        raise AssertionError(f"not every event was applied: {ended}")
    due = house.rows("SELECT count(*) AS n FROM delivery WHERE state = 'due'")
    if due[0]["n"] != orders:
        raise AssertionError(f"{orders} deals should be due, {due[0]['n']} are")
    return published, ended[0]["last"].timestamp() - begun


def _theirs(events: list[dict[str, Any]], *, silent: bool) -> tuple[float, float]:
    """Seconds until the last task was sent, and until the last was done."""
    with House() as house, _environment({"PEER_SILENT": "1"} if silent else {}):
        for at in range(_WORKERS):
            house.run(f"noop-{at}", [sys.executable, "-P", "-m", "tests.bench.peer_noop", f"noop-{at}@bench"])
        app = peer_noop.app_of(house.settings.broker())
        house.until(lambda: len(app.control.ping(timeout=0.3, limit=_WORKERS)) == _WORKERS, 60, "the peer's workers")
        task = app.tasks["noop"]
        begun = time.time()
        with app.producer_pool.acquire(block=True) as producer:
            for event in events:
                task.apply_async(args=[event], producer=producer)
        sent = time.time() - begun
        with Redis.from_url(house.settings.broker()) as redis:
            empty = _emptied(redis)
            house.until(lambda: next(empty), _WAIT_S, "all no-op tasks done", poll_s=0.02)
        done = time.time() - begun
        app.close()
    return sent, done


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """The peer's switches, for this process and the children it starts."""
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            del os.environ[name]


def _emptied(redis: Redis) -> Iterator[bool]:
    """Is nothing queued and nothing unacknowledged? Asked twice, for a message between the two is in neither."""
    for _ in count():
        yield all(
            redis.llen(f"{peer_noop.PREFIX}{peer_noop.QUEUE}") == 0 and redis.hlen(f"{peer_noop.PREFIX}unacked") == 0
            for _ in range(2)
        )
