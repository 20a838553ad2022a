"""`bus budget`: how much each portal still admits, how fast we go, and which methods have used up their time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live

from bus.budget import Account
from bus.cli import screen
from bus.cli.plain import stoppable
from bus.cli.wiring import wired

_BUCKETS = (
    *("system", "level", "bulk, payments may", "pace", "last 10 s", "last 60 s"),
    *("payments", "bulk", "waited", "refused", "last refused"),
)
_METHODS = ("system", "method", "seconds", "of", "oldest minute leaves", "parked until")


def budget(
    context: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="Show it once, not every second until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs; once.")] = False,
) -> None:
    """Show the request budgets live: what the portals admit, how fast we go, and which methods are parked."""
    wiring = wired(context)

    def look() -> list[Account]:
        return [one.account() for one in wiring.budgets.values()]

    if json:
        screen.as_json([{**asdict(one), "rate": one.rate.model_dump()} for one in look()])
    elif once or not sys.stdout.isatty():
        screen.out().print(drawn(look()))
    else:
        watch(look, screen.out(), lambda: time.sleep(1))


def watch(look: Callable[[], list[Account]], console: Console, tick: Callable[[], None]) -> None:
    """Show it anew after each tick, until Ctrl-C or SIGTERM."""
    with suppress(KeyboardInterrupt), stoppable(), Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(drawn(look()), refresh=True)
            tick()


def drawn(accounts: list[Account]) -> Group:
    """Both tables."""
    buckets = screen.drawn("budget", _BUCKETS, map(_bucket, accounts), empty="no system is called by the bus")
    methods = [line for one in accounts for line in _methods(one)]
    return Group(buckets, screen.drawn("operating time", _METHODS, methods, empty="nothing was told so far"))


def _bucket(one: Account) -> list[object]:
    rate = one.rate
    if not rate.per_second:
        return [one.system, "no limit", *([""] * 9)]
    pace = f"{rate.per_second * one.pace:.3g}/s" + (f" ({one.pace:.0%})" if one.pace < 1 else "")
    last = [f"{n} of {span * rate.per_second:g}" for n, span in ((one.last_10_s, 10), (one.last_60_s, 60))]
    may = f"{one.bulk_limit}, {one.urgent_limit}"
    counts = [one.urgent, one.bulk, one.waited, one.refused, one.refused_at]
    return [one.system, f"{one.level:.0f} of {rate.burst}", may, pace, *last, *counts]


def _methods(one: Account) -> Iterator[list[object]]:
    """A line for each method; bulk is parked under a name of its own, before payments are."""
    for method in sorted(one.spent.keys() | one.parked.keys()):
        spent = one.spent.get(method)
        seconds, reset_at = (f"{spent.seconds:.1f}", spent.reset_at) if spent else ("", None)
        limit = f"{one.rate.operating_limit_s:g}"
        yield [one.system, method, seconds, limit, reset_at, one.parked.get(method)]
