"""Counterparties of a 1C into a CRM: into an empty one, with all workers killed half-way, beside other spellings."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus import config as configuration
from bus.ports import Notification
from bus.supervise.control import Control
from tests.bench.figures import Figure, limit_s
from tests.bench.firms import SPELLINGS, Firm, spelling, twins
from tests.bench.house import BOOKS, CRM, House, HouseError, Portal
from tests.bench.run import Run
from workers.bootstrap import wire

TITLE = (
    "1,000 counterparties of a 1C into a portal of 2 requests/s, burst 50; by 10 a second when killed, and when known"
)

CLOUD, FASTER = Portal(per_second=2, burst=50), Portal(per_second=10, burst=50)
"""Time is measured under the cloud's limit; where only the end counts, the larger portals' spares the reader's time."""
COMMANDS = 5
"""The least that a new counterparty costs: its company, requisite, account and two addresses."""
_BATCH = 50
_WORKERS = ("counterparties", "payments", "chores")
_ACTS = 500
_KNOWN = 20
"""Of so many firms one is in the CRM already."""
_SLOWEST_S = 0.5
"""A counterparty that takes longer than this, all of them together, is none that we wait for."""
_LEAST_S = 120.0
_KILLED_AT = 0.4
_PAUSE_S = 0.25
_BEATS_S = 300.0
"""More than beat's own reconciliation takes, which may be under way."""
_IDEAL = "company, requisite, account and two addresses, 50 commands to a request"


@dataclass(slots=True)
class Requests:
    """What a stand-in was asked since this was made."""

    control: Control
    before: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.control.get("calls/summary")

    def now(self) -> dict[str, Any]:
        """Requests, writes, refusals, and commands by method."""
        told = self.control.get("calls/summary")
        methods = {name: count - self.before["by_method"].get(name, 0) for name, count in told["by_method"].items()}
        plain = ("requests", "writes", "refused_503", "refused_429")
        counted = {name: told[name] - self.before.get(name, 0) for name in plain}
        return counted | {"by_method": {name: count for name, count in methods.items() if count}}


def bench(run: Run) -> Iterator[Figure]:
    """Each part with systems and engines of its own."""
    yield from parts(run, "counterparties", run.some(1_000, least=100))


def parts(run: Run, name: str, size: int) -> Iterator[Figure]:
    """The same at any size."""
    with House(CLOUD, books=True) as house:
        yield from _empty(run, house, name, size)
    with House(FASTER, books=True) as house:
        yield _killed(run, house, name, size)
    with House(FASTER, books=True) as house:
        yield from _spelled(run, house, name, size)


def _empty(run: Run, house: House, name: str, size: int) -> Iterator[Figure]:
    """Into an empty CRM; what the portal's own webhooks then cost; the whole pass again."""
    firms = _entered(run, house, size)
    portal, books = Requests(house.crm), Requests(house.onec)
    begun = time.time()
    _work(house)
    _until_there(house, size)
    took = time.time() - begun
    asked, read = portal.now(), books.now()
    yield _requests(name, size, asked)
    limit = limit_s(asked["requests"], per_second=CLOUD.per_second, burst=CLOUD.burst)
    more = {"limit_s": limit, "per_second": size / took, "memory_mb": _memory(house)}
    against = "least time in which the portal admits our requests"
    yield Figure(f"{name}.time", took, "s", limit / took, against, "from the start of the workers", more)
    yield Figure(f"{name}.onec", read["requests"] / size, "requests each", note="to read them", more=read)
    yield _duplicates(house, f"{name}.duplicates", size)
    yield _echo(run, house, name, size)
    yield from _again(run, house, name, firms)


def _requests(name: str, size: int, asked: dict[str, Any]) -> Figure:
    each, ideal = asked["requests"] / size, COMMANDS / _BATCH
    return Figure(name, each, "requests each", ideal / each, _IDEAL, f"{size} counterparties into an empty CRM", asked)


def _echo(run: Run, house: House, name: str, size: int) -> Figure:
    """The portal tells of each of our own writes, as its webhooks would; nothing may come of it but a look."""
    run.say("echo")
    state = house.crm.get("state", of="companies,requisites,bankdetails", fields="id")
    told = [f"{part}:{row['id']}" for part, rows in _parts(state) for row in rows]
    portal = Requests(house.crm)
    begun = time.time()
    for start in range(0, len(told), _ACTS):
        some = [Notification(CRM, "party", one) for one in told[start : start + _ACTS]]
        house.wiring.publisher.accept([], some)
    _until_rest(house, size)
    asked = portal.now()
    more = {"notifications": len(told), "seconds": time.time() - begun, **asked}
    note = "to see through the echo of our own writes"
    return Figure(f"{name}.echo", asked["requests"] / size, "requests each", note=note, more=more)


def _parts(state: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    yield from (("company", state["companies"]), ("requisite", state["requisites"]))
    yield "bankdetail", state["bankdetails"]


def _again(run: Run, house: House, name: str, firms: Sequence[Firm]) -> Iterator[Figure]:
    """Read everything of both systems again, and look over every entity. The reading is not held to the limit."""
    run.say("the whole pass again")
    house.new_limit(None)
    portal, books = Requests(house.crm), Requests(house.onec)
    begun = time.time()
    report = _reconciled(house)
    read_s = time.time() - begun
    _until_rest(house, len(firms))
    crm, onec = portal.now(), books.now()
    more = {
        "made_due": report["made_due"],
        "missed": {one["system"]: one["missed"] for one in report["systems"]},
        "read": {one["system"]: one["records"] for one in report["systems"]},
        "seconds": read_s,
    }
    writes = crm["writes"] + onec["writes"]
    yield Figure(f"{name}.again", writes, "writes", note="everything read and looked over again; must be 0", more=more)
    each = crm["requests"] / len(firms)
    yield Figure(f"{name}.again.crm", each, "requests each", note="to read the portal's again", more=crm)
    each = onec["requests"] / len(firms)
    yield Figure(f"{name}.again.onec", each, "requests each", note="to read the 1C's again", more=onec)


def _reconciled(house: House) -> dict[str, Any]:
    file = configuration.load(house.settings.config, {})
    crm = file.systems[CRM]
    unlimited = crm.model_copy(update={"rate": crm.rate.model_copy(update={"per_second": 0})})
    wiring = wire(house.settings, file.model_copy(update={"systems": file.systems | {CRM: unlimited}}))
    reports: list[dict[str, Any] | None] = []

    def ran() -> bool:
        reports.append(wiring.reconcile.run(full=True))
        return reports[-1] is not None

    try:
        house.until(ran, _BEATS_S, "beat's own reconciliation", poll_s=_PAUSE_S)
    finally:
        wiring.close()
    report = reports[-1] or {}
    if any(one["error"] for one in report["systems"]):
        raise HouseError(f"the reconciliation did not run through: {report}")
    return report


def _killed(run: Run, house: House, name: str, size: int) -> Figure:
    """All workers end by SIGKILL half-way, and are started again. The portal tells of everything by webhooks."""
    _entered(run, house, size)
    house.told_by_webhooks()
    portal = Requests(house.crm)
    _work(house)
    wait = _LEAST_S + size * _SLOWEST_S
    house.until(lambda: _companies(house) >= size * _KILLED_AT, wait, "the middle of the pass", poll_s=0.05)
    there, count = _companies(house), house.kill()
    run.say(f"killed {count} workers at {there} companies")
    begun = time.time()
    _until_there(house, size)
    more = {"killed_at": there, "workers": count, "from_kill_s": time.time() - begun, **portal.now()}
    return _duplicates(house, f"{name}.killed", size, more=more)


def _spelled(run: Run, house: House, name: str, size: int) -> Iterator[Figure]:
    """One of twenty is there under another spelling: linked where that is sure, else a person is asked."""
    firms = _entered(run, house, size)
    known = {firm.number: spelling(at) for at, firm in enumerate(firms[::_KNOWN])}
    _act(house.crm, [firms[number].spelled(how) for number, how in known.items()])
    house.told_by_webhooks()
    portal = Requests(house.crm)
    _work(house)
    asks = sum(not SPELLINGS[how] for how in known.values())
    _until_there(house, size - asks)
    questions = house.wiring.questions.listing()
    more = {"known": len(known), "sure": len(known) - asks, "expected_questions": asks, **portal.now()}
    yield Figure(f"{name}.questions", len(questions), "questions", note="asked of a person, never guessed", more=more)
    yield _duplicates(house, f"{name}.spelled", size, more={"companies": _companies(house)})
    for question in questions:
        house.wiring.questions.same(question["id"], question["candidates"][0]["record"], "the bench")
    _until_there(house, size)
    yield _duplicates(
        house, f"{name}.answered", size, more={"companies": _companies(house), "answered": len(questions)}
    )


def _entered(run: Run, house: House, size: int) -> list[Firm]:
    """Entered quietly, as years before."""
    run.say(f"entering {size} counterparties in the 1C")
    firms = [Firm(number) for number in range(size)]
    _act(house.onec, [firm.entered() for firm in firms])
    return firms


def _act(control: Control, acts: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(acts), _ACTS):
        control.post("act", {"acts": list(acts[start : start + _ACTS]), "quiet": True})


def _work(house: House) -> None:
    house.bus(*_WORKERS, lanes=(CRM, BOOKS))


def _companies(house: House) -> int:
    return sum(house.crm.get("state", count="isManualOpportunity", of="companies")["companies"].values())


def _until_there(house: House, linked: int) -> None:
    """So many counterparties of the 1C have a company, and nothing is under way that does not wait for a person."""
    wait = _LEAST_S + linked * _SLOWEST_S
    house.until(lambda: _linked(house) >= linked, wait, f"{linked} counterparties in the CRM", poll_s=0.5)
    _until_rest(house, linked)


def _until_rest(house: House, size: int) -> None:
    house.until(lambda: not _busy(house), _LEAST_S + size * _SLOWEST_S, "rest", poll_s=0.5)


def _linked(house: House) -> int:
    query = (
        "SELECT count(DISTINCT entity_id) AS n FROM record WHERE system = %s AND type = 'party' AND state = 'linked'"
    )
    return int(house.rows(query, CRM)[0]["n"])


def _busy(house: House) -> bool:
    """Is anything on its way in the ledger? Deliveries that wait for a person's answer are at rest."""
    open_events = "SELECT 1 FROM event WHERE state IN ('notified', 'pending', 'waiting')"
    due = """SELECT 1 FROM delivery WHERE state = 'due' AND NOT EXISTS (
               SELECT 1 FROM question WHERE question.entity_id = delivery.entity_id AND question.state = 'open')"""
    return bool(house.rows(f"SELECT EXISTS ({open_events}) OR EXISTS ({due}) AS busy")[0]["busy"])


def _duplicates(house: House, name: str, size: int, *, more: dict[str, Any] | None = None) -> Figure:
    """Asked of the portal and the 1C, not of the ledger: in the end each has as many as there are firms."""
    state = house.crm.get("state", of="companies,requisites", fields="originId,entityTypeId,entityId,rqInn,rqKpp")
    extra = max(twins(state["companies"], state["requisites"]), len(state["companies"]) - size)
    books = house.onec.get("state", of="Catalog_Контрагенты", fields="DeletionMark")["Catalog_Контрагенты"]
    letters = house.rows("SELECT cause, count(*) AS n FROM dead_letter WHERE state = 'open' GROUP BY cause")
    told = {
        "companies": len(state["companies"]),
        "in_books": len(books),
        "entities": house.rows("SELECT count(*) AS n FROM entity WHERE merged_into IS NULL")[0]["n"],
        "dead_letters": {row["cause"]: row["n"] for row in letters},
    }
    extra += max(0, len(books) - size)
    return Figure(name, extra, "duplicates", note="must be 0", more=told | (more or {}))


def _memory(house: House) -> dict[str, int]:
    """The most that each worker held at any time, in MB."""
    pids = {name: child.pid for name, child in house.children.items() if name.startswith("worker-")}
    return {name: _peak(pid) for name, pid in pids.items()}


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
