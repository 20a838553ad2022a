"""A run: the demo's traffic on a house under attack; then faults end, the bus rests, and the stand-ins are asked."""

from __future__ import annotations

import pickle
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from bus import log
from bus.demo import books_judged, parties, parties_judged, scenario, trouble
from bus.demo import report as day_report
from bus.demo.agreement import Verdict, judge
from bus.demo.evening import Evening
from bus.demo.parties import Books
from bus.demo.parties_judged import Sides
from bus.demo.scenario import PAYS
from bus.demo.traffic import Traffic
from bus.ledger.database import rows
from bus.supervise.control import Control
from tests.chaos import plan as plans
from tests.chaos import report, traces
from tests.chaos.conductor import Conductor
from tests.chaos.house import TIMES, House
from tests.chaos.leaks import Leak
from tests.chaos.plan import Plan
from tests.chaos.proxy import Proxies
from tests.chaos.recovery import Recovery
from tests.chaos.report import Figures
from tests.chaos.traces import Sampling
from tests.chaos.writes import Explained, Saw, Told, explain
from workers.bootstrap import wire

ORDERS_A_MINUTE = 80
REST_S = 240.0
"""By then nothing may move any more: the longest wait for a lost claim, a back-off or a lost webhook, and the work."""
QUIET_S = 15.0
"""Several sweeps, polls of 1C and looks into folders: nothing is written while nobody does anything."""
LATE_S = 240.0
"""Steps of people that wait for a deal are given up so long after the day."""
_LOOK_S = 0.5

Say = Callable[[str], None]


@dataclass(slots=True)
class Played:
    """What was done to the house, and with it."""

    plan: Plan
    day: scenario.Day
    books: Books
    storm: list[trouble.Fault]
    house: House
    traffic: Traffic
    recovery: Recovery
    conductor: Conductor
    sampling: Sampling
    evening: Evening
    rested: bool = False
    rest_s: float = 0.0
    quiet: int = 0

    @property
    def sites(self) -> dict[str, Control]:
        """New connections to the stand-ins."""
        return {"crm": self.house.crm, "shop": self.house.shop, "onec": self.house.onec}


@dataclass(slots=True)
class Found:
    """What was found afterwards."""

    verdict: Verdict
    sides: Sides
    writes: Explained
    leaks: set[Leak]
    events: int


def run(minutes: float, seed: int, console: Console, *, keep: bool = False) -> Figures:
    """Play it, and tell. What it wrote stays when it was not all right, or `keep` says so."""
    log.configure("error")

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    folder = Path(tempfile.mkdtemp(prefix="bus-chaos-"))
    folder.chmod(0o711)  # PostgreSQL's user passes through
    with ExitStack() as exits:
        proxies = exits.enter_context(Proxies())
        house = exits.enter_context(House(wire, folder, proxies, say))
        played = _play(house, minutes, seed, say)
        found = _find(played)
        figures = _figures(played, found, minutes)
        _tell(console, played, found, figures)
        if not figures.ok:
            _keep(played, folder / "found.pickle")
    if figures.ok and not keep:
        shutil.rmtree(folder)
    else:
        say(f"logs and what the stand-ins saw: {folder}")
    return figures


def _play(house: House, minutes: float, seed: int, say: Say) -> Played:
    plan = plans.plan(seed, minutes)
    day, books = scenario.plan(seed, round(ORDERS_A_MINUTE * minutes)), parties.plan(seed)
    storm = trouble.storm(Random(seed), max(1, round(minutes)))
    traffic = Traffic(house, day, books, storm, plan.seconds, late_s=LATE_S)
    traffic.watch.give_up_s, traffic.watch.spare = float("inf"), False
    recovery = Recovery(house.postgres.url)
    planted = traces.planted(house.company, (house.postgres.url, house.valkey.url), day, books)
    sampling = Sampling(planted, house.valkey.url, house.urls.intake)
    conductor = Conductor(house, plan, recovery, say)
    played = Played(
        plan, day, books, storm, house, traffic, recovery, conductor, sampling,
        Evening(house.wiring, [house.crm, house.shop, house.onec], lambda: None),
    )  # fmt: skip
    say(
        f"{plan.kills} kills and {len(plan.acts)} faults planned in {plan.seconds:.0f} s; logs: {house.folder / 'logs'}"
    )
    _attack(played, say)
    _rest(played, say)
    return played


def _attack(played: Played, say: Say) -> None:
    begun = time.monotonic()
    with played.traffic:
        played.recovery.begin()
        played.sampling.begin()
        played.conductor.begin()
        while time.monotonic() - begun < played.plan.seconds:
            time.sleep(_LOOK_S)
        played.conductor.end()
        say("faults are over; what webhooks did not tell is asked for")
        for site in played.sites.values():
            site.clear_faults()
        played.house.wiring.reconcile.run()
        while not played.traffic.over:
            time.sleep(_LOOK_S)


def _rest(played: Played, say: Say) -> None:
    begun = time.monotonic()
    played.rested = played.evening.fall(REST_S)
    played.rest_s = time.monotonic() - begun
    played.recovery.end()
    played.traffic.watch.end()
    say(f"at rest after {played.rest_s:.1f} s" if played.rested else f"something still moves after {REST_S:.0f} s")
    before = _writes(played)
    time.sleep(QUIET_S)
    played.quiet = _writes(played) - before
    played.sampling.end()


def _writes(played: Played) -> int:
    return sum(site.get("calls/summary")["writes"] for site in played.sites.values())


def _find(played: Played) -> Found:
    house, done = played.house, played.traffic.played
    crm, shop, onec = house.crm.get("state"), house.shop.get("state"), house.onec.get("state")
    verdict = judge(shop, crm, done.stories, done.leads)
    books_judged.judge(verdict, shop, onec, entered=done.done["books_pay"])
    sides = parties_judged.judge(onec, crm, played.books.parties)
    struck = played.conductor.struck
    since = max((one.ended for one in struck if one.kind == "upgrade"), default=0.0) if house.earlier else 0.0
    writes = explain(_saw(played), _told(house), struck, TIMES.timeout, since=since)
    planted = played.sampling.planted
    leaks = played.sampling.leaks | traces.in_files(planted, house.folder)
    leaks |= traces.in_ledger(planted, house.postgres.url) | traces.in_commands(planted, house.environment())
    return Found(verdict, sides, writes, leaks, _ask(house, "SELECT count(*) AS n FROM event")[0]["n"])


def _saw(played: Played) -> list[Saw]:
    return [Saw(name, _all(site, "changes"), _all(site, "calls")) for name, site in played.sites.items()]


def _all(site: Control, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := site.get(what, since=found[-1]["seq"] if found else 0, limit=10_000):
        found += page
    return found


def _told(house: House) -> Told:
    return Told(
        _ask(house, "SELECT * FROM history ORDER BY id"),
        _ask(house, "SELECT system, type, external_id, entity_id FROM record"),
        _ask(house, "SELECT id, merged_into, parent_id FROM entity"),
    )


def _ask(house: House, query: str) -> list[dict[str, Any]]:
    with house.wiring.ledger.transaction() as connection:
        return [dict(row) for row in rows(connection, query)]


def _figures(played: Played, found: Found, minutes: float) -> Figures:
    done, watch, conductor = played.traffic.played, played.traffic.watch, played.conductor
    verdict, sides = found.verdict, found.sides
    recoveries = sorted(second for some in played.recovery.times.values() for second in some)
    figures = Figures(
        seed=played.plan.seed,
        minutes=minutes,
        kills=sum(conductor.kills.values()),
        not_back=len(conductor.not_back),
        upgraded_from=played.house.earlier,
        faults=len(conductor.struck),
        events=found.events,
        orders=verdict.orders,
        payments=sum(done.done[kind] for kind in PAYS),
        counterparties=sides.parties,
        lost=len(verdict.lost) + len(sides.lost) + watch.unseen,
        doubled=len(verdict.duplicates) + len(sides.duplicates),
        differ=len(verdict.differences),
        unexplained_writes=len(found.writes.unexplained),
        writes=found.writes.saves,
        writes_before_upgrade=found.writes.of_before,
        answers_lost=found.writes.answer_lost,
        writes_while_quiet=played.quiet,
        leaks=len(found.leaks),
        dead_letters=played.evening.open_letters(),
        payment_s_p50=_seconds(watch.percentile(0.5)),
        payment_s_p99=_seconds(watch.percentile(0.99)),
        payment_s_longest=_seconds(watch.percentile(1.0)),
        recovery_s_median=round(recoveries[len(recoveries) // 2], 1) if recoveries else None,
        recovery_s_worst=round(recoveries[-1], 1) if recoveries else None,
        rest_s=round(played.rest_s, 1),
    )
    figures.wrong = _wrong(played, found, figures)
    figures.ok = not figures.wrong
    return figures


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else round(ms / 1000, 2)


def _wrong(played: Played, found: Found, figures: Figures) -> list[str]:
    """Everything that makes the run red. The stand-ins' differences are told by the day's own report."""
    wrong = [f"not done: {line}" for line in played.traffic.played.undone]
    wrong += [f"conductor: {line}" for line in played.conductor.failures]
    wrong += played.recovery.never
    if not played.rested:
        wrong.append(f"something still moved {REST_S:.0f} s after the day")
    wrong += [f"still waits: {line}" for line in played.evening.waiting()]
    wrong += [f"dead: {line}" for line in played.evening.troubles()]
    wrong += [f"unexplained: {line}" for line in found.writes.unexplained]
    if played.quiet:
        wrong.append(f"{played.quiet} writes in {QUIET_S:.0f} s in which nobody did anything")
    wrong += [
        f"leak: {leak.what} in {leak.place}" for leak in sorted(found.leaks, key=lambda one: (one.place, one.what))
    ]
    if figures.kills < played.plan.kills:
        wrong.append(f"only {figures.kills} of {played.plan.kills} planned kills took place")
    judged = figures.lost + figures.doubled + figures.differ
    return wrong + ([f"{judged} things are lost, doubled or differ"] if judged else [])


def _tell(console: Console, played: Played, found: Found, figures: Figures) -> None:
    conductor = played.conductor
    console.print(day_report.table(found.verdict))
    console.print(day_report.parties_table(found.sides))
    day_report.explain(console, played.house.wiring.ledger, found.verdict)
    for odd in [*found.sides.duplicates, *found.sides.lost][:10]:
        console.print(odd.sentence(), highlight=False, markup=False, soft_wrap=True)
    console.print(report.kills_table(conductor.kills, conductor.fired))
    storm = Counter(f"{fault.spec['kind']} ({fault.system})" for fault in played.storm)
    console.print(report.faults_table(Counter(one.kind for one in conductor.struck), storm))
    console.print(report.recovery_table(played.recovery.table()))
    for name, count in sorted(conductor.own_ends.items()):
        console.print(f"ended by itself {count} times: {name}", highlight=False)
    sampling = played.sampling
    console.print(f"looked for leaks {sampling.looks} times while it ran, in {sampling.messages} messages of Redis")
    report.tell(console, figures)


def _keep(played: Played, path: Path) -> None:
    """What the stand-ins saw and the ledger holds, for who looks into a red run."""
    saw, told = _saw(played), _told(played.house)
    kept = {
        "struck": [(one.kind, one.target, one.begun, one.ended) for one in played.conductor.struck],
        "saw": {one.system: {"changes": one.changes, "calls": one.calls} for one in saw},
        "told": {"history": told.history, "records": told.records, "entities": told.entities},
        "states": {name: site.get("state") for name, site in played.sites.items()},
        "tables": {
            table: _ask(played.house, f"SELECT * FROM {table}")
            for table in ("event", "record", "entity", "delivery", "dead_letter", "question", "identity")
        },
    }
    path.write_bytes(pickle.dumps(kept))
