"""The way in: signed webhooks a second, and the time to the 2xx that follows the commit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict

from bus.supervise.children import command
from bus.supervise.ports import free
from tests.bench.figures import Figure
from tests.bench.house import ROOT, SHOP, SHOP_KEY, House, open_door
from tests.bench.run import Run
from tests.bench.webhooks import Order, Tally

TITLE = "signed webhooks a second to the 2xx after the commit, beside the same app that only tells Redis"

CLIENTS = (1, 16, 64)
RATE = 200
PEER = "the same application doing only task.delay() to Redis"
OURS, THEIRS, THREADS = "intake", "redis-only", "redis-only-in-threads"
_ROUNDS = 3
"""All sides in turn, so often; the best of each counts: what else the machine does may only take away."""


def bench(run: Run) -> Iterator[Figure]:
    """At 1, 16 and 64 clients, and at 200 a second; PostgreSQL, Valkey, the doors and the sender on this machine."""
    with House() as house:
        ports = {side: free() for side in (OURS, THEIRS, THREADS)}
        peer = [sys.executable, "-m", "tests.bench.redis_only"]
        house.run(OURS, command("intake", "--port", str(ports[OURS])))
        house.run(THEIRS, [*peer, str(ports[THEIRS])])
        house.run(THREADS, [*peer, str(ports[THREADS]), "threads"])
        house.until(lambda: all(map(open_door, ports.values())), 30, "all doors open")
        taken = 0
        for clients in CLIENTS:
            tallies = _in_turn(run, ports, clients, seconds=1.2)
            taken += _taken(tallies)
            yield _closed(clients, tallies)
        tallies = _in_turn(run, ports, clients=64, seconds=2.5, rate=RATE)
        taken += _taken(tallies)
        yield _open(tallies)
        kept = house.rows("SELECT count(*) AS n FROM event")[0]["n"]
        yield Figure("intake.kept", kept, "events in the ledger", kept / taken, "answers 200; must be 1")


def _closed(clients: int, tallies: dict[str, list[Tally]]) -> Figure:
    ours, theirs, threads = (max(some, key=lambda tally: tally.per_second) for some in tallies.values())
    ratio = ours.per_second / theirs.per_second
    more = {
        "p50_ms": ours.p50,
        "p99_ms": ours.p99,
        "peer": theirs.per_second,
        "peer_p50_ms": theirs.p50,
        "peer_p99_ms": theirs.p99,
        "peer_in_threads": threads.per_second,
        "ratio_in_threads": ours.per_second / threads.per_second,
    }
    return Figure(f"intake.{clients}", ours.per_second, "webhooks/s", ratio, PEER, _note(ours, theirs, threads), more)


def _open(tallies: dict[str, list[Tally]]) -> Figure:
    ours, theirs, threads = (min(some, key=lambda tally: tally.p99) for some in tallies.values())
    more = {"p50_ms": ours.p50, "max_ms": ours.max, "peer_p50_ms": theirs.p50, "peer_p99_ms": theirs.p99}
    more |= {"peer_in_threads_p99_ms": threads.p99}
    return Figure(
        f"intake.{RATE}/s", ours.p99, "ms p99", theirs.p99 / ours.p99, PEER, _note(ours, theirs, threads), more
    )


def _in_turn(
    run: Run, ports: dict[str, int], clients: int, seconds: float, rate: float | None = None
) -> dict[str, list[Tally]]:
    tallies: dict[str, list[Tally]] = {side: [] for side in ports}
    for turn in range(_ROUNDS):
        for side, port in ports.items():
            name = f"{side}-{clients}-{rate or 'all'}-{turn}"
            tally = _sent(Order(port, SHOP_KEY, SHOP, clients, max(0.3, seconds * run.scale), name, rate))
            run.say(f"{name}: {tally.per_second:.0f}/s, p50 {tally.p50:.1f} ms, p99 {tally.p99:.1f} ms")
            tallies[side].append(tally)
    return tallies


def _sent(order: Order) -> Tally:
    process = subprocess.run(
        [sys.executable, "-m", "tests.bench.webhooks"],
        input=json.dumps(asdict(order)),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        check=True,
    )
    return Tally(**json.loads(process.stdout))


def _taken(tallies: dict[str, list[Tally]]) -> int:
    return sum(tally.taken for tally in tallies[OURS])


def _note(*tallies: Tally) -> str:
    """Says so when anything but 200 was answered."""
    return "" if all(set(tally.statuses) == {"200"} for tally in tallies) else f"{[t.statuses for t in tallies]}"
