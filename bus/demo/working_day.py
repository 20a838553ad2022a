"""The working day: start everything, play the day, let evening fall, ask both systems, tell."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from random import Random

from rich.console import Console

from bus.demo import books_judged, parties, parties_judged, report, scenario, trouble
from bus.demo.agreement import Verdict, judge
from bus.demo.evening import Evening
from bus.demo.parties import Books
from bus.demo.parties_judged import Sides
from bus.demo.player import Played
from bus.demo.report import Figures
from bus.demo.scenario import PAYS
from bus.demo.screen import Screen
from bus.demo.traffic import Traffic
from bus.demo.watch import Watch
from bus.supervise import Ports, Stack
from bus.supervise.control import Control
from bus.supervise.stack import Wire
from bus.supervise.up import Interrupted, interruptible

DAY_S = 60.0
_REST_S = 90.0
_LOOK_S = 0.2
_INTERRUPTED = 130
_LISTED = 10


def run(
    wire: Wire,
    *,
    seed: int = 1,
    orders: int = 300,
    day_s: float = DAY_S,
    ports: Ports | None = None,
    state: Path | None = None,
    limited: bool = True,
    console: Console | None = None,
) -> int:
    """Play the day. The exit code: 0 only when everything agrees, nothing was lost or doubled, and no letter is dead.

    The last line of stdout is one JSON object. Raises ConfigError, StackError or embedded.EngineError when it cannot
    start.
    """
    screen = console or Console()
    say = partial(screen.print, highlight=False, markup=False, soft_wrap=True)
    try:
        with interruptible(), Stack(wire, ports=ports, state=state, flower=False, limited=limited, say=say) as stack:
            plans = scenario.plan(seed, orders), parties.plan(seed)
            figures = _day(stack, screen, *plans, _trouble(seed, day_s), day_s)
    except Interrupted:
        say("interrupted; everything was stopped")
        return _INTERRUPTED
    print(figures.line(), flush=True)  # noqa: T201 - the command's output, whatever the console is
    return 0 if figures.ok else 1


def _day(
    stack: Stack, console: Console, day: scenario.Day, books: Books, faults: list[trouble.Fault], day_s: float
) -> Figures:
    portal, shop, onec = stack.crm, stack.shop, stack.onec
    traffic = Traffic(stack, day, books, faults, day_s)
    played, watch = traffic.played, traffic.watch
    sites = {"crm": stack.crm, "shop": stack.shop, "onec": stack.onec}
    with Screen(console, day, stack.wiring.ledger, sites) as screen:
        tick = partial(screen.show, played.done)
        with traffic:
            while not traffic.over:
                tick()
                time.sleep(_LOOK_S)
        evening = Evening(stack.wiring, (portal, shop, onec), tick)
        rested = evening.fall(_REST_S)
        watch.end()
        screen.show(played.done, force=True)
    crm = portal.get("state")
    orders, entries = shop.get("state"), onec.get("state")
    verdict = judge(orders, crm, played.stories, played.leads)
    books_judged.judge(verdict, orders, entries, entered=played.done["books_pay"])
    sides = parties_judged.judge(entries, crm, books.parties)
    figures = _figures(verdict, sides, played, watch, evening, (portal, shop, onec), rested=rested)
    _tell(console, stack, verdict, sides, played, watch, evening, rested=rested)
    return figures


def _trouble(seed: int, day_s: float) -> list[trouble.Fault]:
    """The same on every day of a minute; by lot on a longer one."""
    minutes = round(day_s / DAY_S)
    return trouble.storm(Random(seed), minutes) if minutes > 1 else trouble.faults()  # noqa: S311 - repeatable


def _figures(
    verdict: Verdict,
    sides: Sides,
    played: Played,
    watch: Watch,
    evening: Evening,
    sites: tuple[Control, ...],
    *,
    rested: bool,
) -> Figures:
    summaries = [site.get("calls/summary") for site in sites]
    dead, (left, ruled) = evening.open_letters(), evening.conflicts()
    good = verdict.in_sync == verdict.orders and not (verdict.lost or verdict.duplicates or dead or played.undone)
    good = good and sides.in_sync == sides.parties and bool(left and ruled)
    return Figures(
        ok=good and rested and not evening.waiting(),
        orders=verdict.orders,
        in_sync=verdict.in_sync,
        payments=sum(played.done[kind] for kind in PAYS),
        lost=len(verdict.lost) + len(sides.lost),
        duplicates=len(verdict.duplicates) + len(sides.duplicates),
        writes=sum(summary["writes"] for summary in summaries),
        requests=sum(summary["requests"] for summary in summaries),
        payment_ms_p50=watch.percentile(0.5),
        payment_ms_p99=watch.percentile(0.99),
        dead_letters=dead,
        counterparties=sides.in_sync,
        conflicts_open=left,
        conflicts_decided=ruled,
    )


def _tell(
    console: Console,
    stack: Stack,
    verdict: Verdict,
    sides: Sides,
    played: Played,
    watch: Watch,
    evening: Evening,
    *,
    rested: bool,
) -> None:
    console.print(report.table(verdict))
    console.print(report.parties_table(sides))
    for odd in [*sides.duplicates, *sides.lost][:_LISTED]:
        console.print(odd.sentence(), highlight=False, markup=False, soft_wrap=True)
    report.conflicts_told(console, stack.wiring.ledger)
    report.explain(console, stack.wiring.ledger, verdict)
    for line in played.undone[:10]:
        console.print(f"not done: {line}", highlight=False, markup=False)
    if not rested:
        console.print(f"something still moved {_REST_S:.0f} s after the day")
    notes = [f"still waits: {line}" for line in evening.waiting()] + [f"dead: {line}" for line in evening.troubles()]
    for line in notes:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"payments measured: {len(watch.times_ms)} of {sum(played.done[kind] for kind in PAYS)} "
        "(deal was there, webhook not lost, no outage on the way); from the act to the deal showing it",
        soft_wrap=True,
    )
    restarts = sum(child.restarts for child in stack.children.values())
    if restarts:
        console.print(f"{restarts} processes were started again; see {stack.folder / 'logs'}")
