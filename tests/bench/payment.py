"""Payment: from its publication until its sum stands on the deal, on an idle bus and behind a mountain of orders."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bus.ports import Entry
from tests.bench import charts, peers
from tests.bench.agreed import Agreed, Company
from tests.bench.figures import Figure, percentile, refused, requests_of, spread
from tests.bench.house import CRM, ROOT, House, Portal
from tests.bench.run import Run

TITLE = "300 payments while 50,000 order events drain at 2 requests/s, burst 50"

_PORTAL = Portal(per_second=2, burst=50)
_WORKERS = ("payments", "orders", "deals", "chores")
_PAID = "UF_CRM_PAID_TOTAL"
_STATUSES = (("A", "accepted"), ("P", "paid"), ("S", "shipped"), ("F", "completed"))
_PER_SECOND = 4.0
_GRACE_S = 20.0
"""How long after its publication the last payment is waited for; later ones count as not seen."""
_PEER_S = 12.0
_PEER_ORDERS = 2_000
"""Of the 50,000: a peer gets through fewer than a hundred in its time."""


def bench(run: Run) -> Iterator[Figure]:
    """Idle, loaded, one FIFO queue, one queue with Redis priorities."""
    with House(_PORTAL) as house:
        run.say("setting up orders and deals in sync")
        company = Company(house, run.some(12_500, least=300))
        chosen = random.Random(7).sample(company.orders, run.some(400, least=24))
        quiet, busy = chosen[: len(chosen) // 4], chosen[len(chosen) // 4 :]
        early = [company.paid(order) for order in quiet]
        backlog = house.folder / "backlog.jsonl"
        events = _write(company, backlog)
        for code, _ in _STATUSES:
            company.moved(code, busy)
        late = [company.paid(order) for order in busy]
        house.bus(*_WORKERS, lanes=(CRM,))

        run.say(f"idle: {len(quiet)} payments")
        idle = _Measured(house, quiet)
        idle.arrive([_accepting(house, entries) for entries in early])
        yield idle.figure("payment.idle")

        run.say(f"loaded: {len(busy)} payments, {events} order events")
        loaded = _Measured(house, busy)
        with _publishing(house, backlog):
            loaded.arrive([_accepting(house, entries) for entries in late])
        yield _loaded(company, idle, loaded, events)
        house.stop()
        _chart(run, idle, loaded)
        rest = [order for order in company.orders if order not in chosen]
        run.say("peer: one FIFO queue")
        yield _peer(house, rest, "fifo", "one Celery queue, first in first out")
        run.say("peer: one queue with Redis priorities")
        yield _peer(
            house, rest, "priorities", "one Celery queue, priority_steps: payments 0, orders 9", priorities=True
        )


class _Measured:
    """Payments of some orders: when each was published, and when its sum stood on the deal."""

    def __init__(self, house: House, orders: Sequence[Agreed]) -> None:
        self.house, self.orders = house, orders
        self.published: dict[int, float] = {}
        self.seen: dict[int, float] = {}
        self.since = house.crm.get("calls/summary")["last_seq"]
        self._changes = 0

    def arrive(self, publish: Sequence[Callable[[], object]], *, window_s: float | None = None) -> None:
        """Publish them one after another as a Poisson process; then wait until all are seen, or the time is over."""
        rng, due = random.Random(7), time.time()
        last = due + window_s if window_s else None
        for order, tell in zip(self.orders, publish, strict=False):
            due += rng.expovariate(_PER_SECOND)
            if last and due > last:
                break
            time.sleep(max(0.0, due - time.time()))
            self.published[order.deal_id] = time.time()
            tell()
        end = last or time.time() + _GRACE_S
        while not self._all_seen() and time.time() < end:
            time.sleep(0.2)
        self._all_seen()

    def latencies(self) -> list[float]:
        """Of those that were seen, in the order of their publication."""
        return [self.seen[deal] - at for deal, at in self.published.items() if deal in self.seen]

    def all_latencies(self) -> list[float]:
        """Those not seen count as endless."""
        return [self.seen[deal] - at if deal in self.seen else float("inf") for deal, at in self.published.items()]

    def figure(self, name: str) -> Figure:
        """p99, and the rest of the spread."""
        said = spread(self.all_latencies())
        calls = self.house.calls(self.since)
        more = said | {"payments": len(self.published), "unseen": len(self.published) - len(self.seen)}
        more |= {"refused_503": refused(calls)}
        return Figure(name, said["p99"], "s (p99)", more=more)

    def _all_seen(self) -> bool:
        for line in self.house.changes(self._changes, fields=_PAID):
            self._changes = line["seq"]
            at = self.published.get(line["id"])
            if at is not None and line["unix"] >= at and line["fields"][_PAID]:
                self.seen.setdefault(line["id"], line["unix"])
        return len(self.seen) == len(self.published)


def _write(company: Company, file: Path) -> int:
    """Each order's way through its statuses as events, a line each; the orders in turn. How many.

    One event of each order is the translator's; the others differ from it in status and version, as theirs would.
    """
    documents = []
    for order in company.orders:
        event = company.told(order).event
        documents.append(
            (event.model_dump(mode="json", exclude={"id"}, exclude_none=True), int(event.sourceversion or 0))
        )
    with file.open("w", encoding="utf-8") as lines:
        for step, (_, status) in enumerate(_STATUSES, 1):
            for document, version in documents:
                document |= {"sourceversion": str(version + step), "data": document["data"] | {"status": status}}
                lines.write(json.dumps(document, ensure_ascii=False) + "\n")
    return len(documents) * len(_STATUSES)


def _accepting(house: House, entries: list[Entry]) -> Callable[[], object]:
    return lambda: house.wiring.publisher.accept(entries)


@contextmanager
def _publishing(house: House, file: Path) -> Iterator[None]:
    """The order events come from a process of their own, from now on."""
    command = [sys.executable, "-m", "tests.bench.publishing", str(file)]
    with subprocess.Popen(command, cwd=ROOT, env=house.environment, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout:
                process.stdout.readline()
            yield
        finally:
            process.kill()


def _loaded(company: Company, idle: _Measured, loaded: _Measured, events: int) -> Figure:
    house = company.house
    figure = loaded.figure("payment")
    left = house.rows("SELECT count(*) FILTER (WHERE state = 'due') AS due FROM delivery")[0]["due"]
    pending = house.rows("SELECT count(*) AS pending FROM event WHERE state = 'pending'")[0]["pending"]
    paid, since = {order.deal_id for order in loaded.orders}, min(loaded.published.values())
    others = {line["id"] for line in house.changes(fields="stageId") if line["unix"] > since} - paid
    calls = house.calls(loaded.since)
    seconds = max(call["unix"] for call in calls) - since
    journaled = house.rows("SELECT count(*) AS events FROM event WHERE type = 'order.changed'")[0]["events"]
    more = dict(figure.more) | {
        "order_events": events,
        "order_events_published": journaled,
        "events_pending_at_end": pending,
        "deliveries_due_at_end": left,
        "other_deals_written": len(others),
        "requests": len(requests_of(calls)),
        "requests_per_second": len(requests_of(calls)) / seconds,
    }
    theirs = percentile(idle.all_latencies(), 0.99)
    ratio = figure.value / theirs if figure.value and theirs else None
    note = f"meanwhile {len(others)} of the {company.size - len(paid)} other deals were written"
    return Figure("payment", figure.value, figure.unit, ratio, "p99 of an idle bus; less is better", note, more)


def _peer(house: House, orders: Sequence[Agreed], name: str, what: str, *, priorities: bool = False) -> Figure:
    house.new_limit(_PORTAL)
    paying, moving = orders[-200:], orders[: min(_PEER_ORDERS, len(orders) - 200)]
    measured = _Measured(house, paying)
    with peers.article(house, name, priorities=priorities) as tasks:
        for order in moving:
            tasks.order_status.apply_async((order.order_id, _stage(priorities)), priority=9 if priorities else None)
        peers.work(house, name)
        house.until(lambda: house.crm.get("calls/summary")["last_seq"] > measured.since, 60, "the peer's first call")
        measured.arrive(
            [_paying(tasks, order, 1.0 + priorities, priorities=priorities) for order in paying], window_s=_PEER_S
        )
    seen = spread(measured.latencies())
    calls = house.calls(measured.since)
    more = seen | {"payments": len(measured.published), "unseen": len(measured.published) - len(measured.seen)}
    more |= {"refused_503": refused(calls)}
    note = f"{what}; of {len(measured.published)} payments in {_PEER_S:.0f} s {len(measured.seen)} were seen"
    return Figure(f"payment.{name}", seen["p99"], "s (p99 of those seen)", note=note, more=more)


def _stage(priorities: bool) -> str:
    return "APOLOGY" if priorities else "LOSE"  # another than the run before left


def _paying(tasks: object, order: Agreed, extra: float, *, priorities: bool) -> Callable[[], object]:
    paid = order.total + extra
    return lambda: tasks.order_paid.apply_async((order.order_id, paid), priority=0 if priorities else None)


def _chart(run: Run, idle: _Measured, loaded: _Measured) -> None:
    series = {
        "idle": charts.distribution(idle.latencies()),
        "50,000 order events draining": charts.distribution(loaded.latencies()),
    }
    charts.lines(
        run.charts / "payment.svg",
        "Payments visible in the CRM",
        series,
        axes=("seconds since the payment was published", "per cent of the payments"),
    )
