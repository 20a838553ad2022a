"""Drain: so many order status changes, published at once, until the last deal stands in its new stage."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bus.ports import Entry, Notification
from tests.bench import charts, peers
from tests.bench.agreed import Company
from tests.bench.figures import Call, Figure, limit_s, refused, requests_of, sustained
from tests.bench.house import CRM, House, Portal
from tests.bench.run import Run

TITLE = "5,000 order status changes onto 5,000 deals at 10 requests/s, burst 50"

_PORTAL = Portal(per_second=10, burst=50)
_WORKERS = ("payments", "orders", "deals", "chores")
_WAIT_S = 150.0
_ARTICLE_S = 20.0
_STEADY_S = 8.0
"""By then the burst of the portal is used up, and the article's way goes at the pace it would keep."""
_CHUNK = 1_000
_LATENCY_S = 0.3
"""As a batch of a real portal takes."""
_LIMIT = "least time in which the portal admits our requests"


@dataclass(frozen=True, slots=True)
class Drained:
    """Changes published at once, and what it took until the last of them stood in the CRM."""

    begun: float
    moments: list[float]
    """When each deal was written."""
    calls: list[Call]
    """The portal's log up to the last of them."""
    publishing_s: float

    @property
    def took_s(self) -> float:
        """From the first publish to the last write."""
        return max(self.moments) - self.begun


def bench(run: Run) -> Iterator[Figure]:
    """Ours, the echo of it, ours with a portal that takes its time, the article's way, fast_bitrix24."""
    with House(_PORTAL) as house:
        run.say("setting up orders and deals in sync")
        company = Company(house, run.some(5_000, least=100))
        entries = company.moved("A")
        house.bus(*_WORKERS, lanes=(CRM,))
        run.say("publishing, draining")
        ours = _drain(house, entries, "PREPARATION")
        yield from _ours(ours)
        run.say("echo")
        yield _echo(house, company)
        run.say("every answer late")
        yield _late(house, company)
        house.stop()
        run.say("the article's way")
        article, their_moments = _article(house, company, ours.took_s)
        yield article
        run.say("fast_bitrix24")
        yield from _fast(house, company, ours.took_s)
        _chart(run, ours, their_moments)


def _drain(house: House, entries: Sequence[Entry], stage: str) -> Drained:
    begun, seq = _mark(house)
    for start in range(0, len(entries), _CHUNK):
        house.wiring.publisher.accept(entries[start : start + _CHUNK])
    published = time.time() - begun
    until_all(house, stage, len(entries))
    moments = _moments(house, stage, begun)
    calls = [call for call in house.calls(seq) if call["unix"] <= max(moments) + 0.001]
    return Drained(begun, moments, calls, published)


def until_all(house: House, stage: str, size: int, seconds: float = _WAIT_S) -> None:
    """Wait until so many deals stand in a stage."""
    crm = house.crm
    house.until(
        lambda: crm.get("state", count="stageId")["deals"].get(stage, 0) >= size,
        seconds,
        f"{size} deals in {stage}",
        poll_s=0.25,
    )


def _mark(house: House) -> tuple[float, int]:
    return time.time(), house.crm.get("calls/summary")["last_seq"]


def _moments(house: House, stage: str, since: float = 0.0) -> list[float]:
    return [
        line["unix"]
        for line in house.changes(fields="stageId")
        if line["fields"]["stageId"] == stage and line["unix"] >= since
    ]


def _limit(calls: list[Call]) -> float:
    return limit_s(len(requests_of(calls)), per_second=_PORTAL.per_second, burst=_PORTAL.burst)


def _ours(drained: Drained) -> Iterator[Figure]:
    size, calls, took = len(drained.moments), drained.calls, drained.took_s
    requests, limit = requests_of(calls), _limit(calls)
    ideal = math.ceil(size / 50)
    window = max(call["unix"] for call in requests) - min(call["unix"] for call in requests)
    more = {
        "requests": len(requests),
        "requests_per_change": len(requests) / size,
        "refused_503": refused(calls),
        "limit_s": limit,
        "ideal_requests": ideal,
        "ideal_s": limit_s(ideal, per_second=_PORTAL.per_second, burst=_PORTAL.burst),
        "publishing_s": drained.publishing_s,
    }
    yield Figure("drain", took, "s", limit / took, _LIMIT, more=more | _by(calls))
    ratio = limit / window if window else None
    yield Figure("drain.window", window, "s", ratio, _LIMIT, "from the first request to the last write")
    yield _sustained(requests)


def _sustained(requests: list[Call]) -> Figure:
    """The pace that a longer drain would keep, once as many requests as the burst were made."""
    kept = sustained([call["unix"] for call in requests], after=_PORTAL.burst)
    if kept is None:
        return Figure("drain.sustained", None, "requests/s", note="the burst was nearly enough")
    pace, seconds = kept
    ratio, note = pace / _PORTAL.per_second, f"{seconds} whole seconds after the first {_PORTAL.burst} requests"
    return Figure("drain.sustained", pace, "requests/s", ratio, "what the portal admits a second", note)


def _late(house: House, company: Company) -> Figure:
    """The same with a portal as far away as a real one: how well requests in flight hide its latency."""
    house.until(lambda: not busy(house), _WAIT_S, "rest after the echo")
    entries = company.moved("P")
    time.sleep(_PORTAL.burst / _PORTAL.per_second)  # both buckets, the portal's and the bus's, run empty
    house.crm.post("faults", {"kind": "latency", "seconds": _LATENCY_S})
    drained = _drain(house, entries, "EXECUTING")
    house.crm.clear_faults()
    limit = _limit(drained.calls)
    more = {"requests": len(requests_of(drained.calls)), "refused_503": refused(drained.calls), "limit_s": limit}
    note = f"every answer {_LATENCY_S} s late"
    return Figure("drain.late", drained.took_s, "s", limit / drained.took_s, _LIMIT, note, more)


def _by(calls: list[Call]) -> dict[str, Any]:
    """Commands by method, those in a batch included."""
    counted: dict[str, int] = {}
    for call in calls:
        if call["batch"] is not None or call["method"] != "batch":
            counted[call["method"]] = counted.get(call["method"], 0) + 1
    return {"commands": counted}


def _echo(house: House, company: Company) -> Figure:
    """The portal tells of each of our own writes, as its webhook would; nothing may come of it but a look."""
    house.until(lambda: not busy(house), _WAIT_S, "rest after the drain")
    begun, seq = _mark(house)
    told = [Notification(CRM, "deal", str(order.deal_id)) for order in company.orders]
    for start in range(0, len(told), _CHUNK):
        house.wiring.publisher.accept([], told[start : start + _CHUNK])
    house.until(lambda: not busy(house), _WAIT_S, "rest after the echo", poll_s=0.25)
    took, calls = time.time() - begun, house.calls(seq)
    requests, writes = requests_of(calls), sum(call["write"] and call["batch"] is not None for call in calls)
    more = {"requests_per_change": len(requests) / company.size, "writes": writes, "seconds": took}
    return Figure("drain.echo", len(requests), "requests", note="to see through the echo of our own writes", more=more)


def busy(house: House) -> bool:
    """Is anything on its way in the ledger?"""
    open_events = "SELECT 1 FROM event WHERE state IN ('notified', 'pending', 'waiting')"
    due = "SELECT 1 FROM delivery WHERE state = 'due'"
    return bool(house.rows(f"SELECT EXISTS ({open_events}) OR EXISTS ({due}) AS busy")[0]["busy"])


def _article(house: House, company: Company, ours: float) -> tuple[Figure, list[float]]:
    """As long as it takes to see its pace, and the rest by that pace."""
    house.new_limit(_PORTAL)
    begun, seq = _mark(house)
    with peers.article(house, "article") as tasks:
        for order in company.orders[: min(company.size, 1_000)]:  # more than it can do in the time it is given
            tasks.order_status.delay(order.order_id, "WON")
        peers.work(house, "article")
        house.until(lambda: bool(_moments(house, "WON")), _WAIT_S, "the article's first deal")
        first = min(_moments(house, "WON"))
        least = min(company.size, 1_000)
        house.until(
            lambda: time.time() > first + _ARTICLE_S or len(_moments(house, "WON")) >= least,
            _WAIT_S,
            "the article's time",
        )
    moments = [moment - first for moment in _moments(house, "WON", begun)]
    calls = house.calls(seq)
    late = [moment for moment in moments if moment > _STEADY_S]
    pace = len(late) / (max(moments) - _STEADY_S) if late else len(moments) / max(moments)
    whole = max(moments) + (company.size - len(moments)) / pace
    more = {
        "requests_per_change": len(requests_of(calls)) / len(moments),
        "refused_503": refused(calls),
        "measured_changes": len(moments),
        "measured_s": max(moments),
    }
    note = f"extrapolated from {len(moments)} changes in {max(moments):.0f} s at {pace:.1f}/s after the burst"
    figure = Figure("drain.article", whole, "s", whole / ours, "its time to ours", note, more)
    return figure, [first + moment for moment in moments]


def _fast(house: House, company: Company, ours: float) -> Iterator[Figure]:
    """All in one call, as its manual has it; and a request's worth at a time, which its throttle can follow."""
    for name, portion, stage in (
        ("drain.fast_bitrix24_at_once", company.size, "FINAL_INVOICE"),
        ("drain.fast_bitrix24", 50, "LOSE"),
    ):
        house.new_limit(_PORTAL)
        begun, seq = _mark(house)
        ids = [order.deal_id for order in company.orders]
        limits = _PORTAL.per_second, _PORTAL.burst
        code = peers.fast_bitrix24(house, *limits, portion, stage, min(ids), max(ids), seconds=_WAIT_S)
        moments, calls = _moments(house, stage, begun), house.calls(seq)
        took = max(moments) - min(call["unix"] for call in calls)
        more = {
            "requests": len(requests_of(calls)),
            "requests_per_change": len(requests_of(calls)) / len(moments),
            "refused_503": refused(calls),
            "limit_s": _limit(calls),
            "written": len(moments),
        }
        bare = "bare updates from its first request on: no queue, no comparison, no ledger"
        note = bare if code == 0 else f"gave up after {refused(calls)} refusals; {len(moments)} deals were written"
        ratio = took / ours if code == 0 else None
        yield Figure(name, took if code == 0 else None, "s", ratio, "its time to ours", note, more)


def _chart(run: Run, ours: Drained, article: list[float]) -> None:
    """Deals written over time, and the line that the portal's limit draws for our requests."""
    size = len(ours.moments)
    each = size / len(requests_of(ours.calls))
    at_once = min(float(size), _PORTAL.burst * each)
    limit = [(0.0, at_once), ((size - at_once) / (_PORTAL.per_second * each), float(size))]
    theirs = charts.cumulated(article, min(article, default=0.0))
    series = {
        "the portal's limit for our requests": limit,
        "the bus": charts.cumulated(ours.moments, ours.begun),
        "a task per event": [point for point in theirs if point[0] <= ours.took_s],
    }
    charts.lines(run.charts / "drain.svg", "Deals written", series, axes=("seconds since the first publish", "deals"))
