"""Recovery: the portal was down while changes became due; how long until all stand there, and were payments first?"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from tests.bench.agreed import Company
from tests.bench.figures import Figure, limit_s, refused, requests_of, spread
from tests.bench.house import CRM, House, Portal
from tests.bench.run import Run

TITLE = "10,000 changes due when a portal of 10 requests/s, burst 50, comes back"

_PORTAL = Portal(per_second=10, burst=50)
_WORKERS = ("payments", "orders", "deals", "chores")
_WAIT_S = 150.0
_CHUNK = 1_000
_DOWN_S = 40.0
"""Long enough for the circuit breaker (30 s by default) to have tried in vain."""
_PAID = "UF_CRM_PAID_TOTAL"


def bench(run: Run) -> Iterator[Figure]:
    """Order statuses, and payments of some of the orders; the clock starts when the portal answers again."""
    with House(_PORTAL) as house:
        run.say("setting up orders and deals in sync")
        orders, payments = run.some(9_700, least=97), run.some(300, least=3)
        company = Company(house, orders)
        moved = company.moved("A")
        chosen = random.Random(7).sample(company.orders, payments)
        paid = [entry for order in chosen for entry in company.paid(order)]
        house.bus(*_WORKERS, lanes=(CRM,))
        house.crm.post("faults", {"kind": "down"})
        down = time.time()
        run.say(f"the portal is down; {orders} orders change, {payments} are paid")
        entries = [*moved, *paid]
        for start in range(0, len(entries), _CHUNK):
            house.wiring.publisher.accept(entries[start : start + _CHUNK])
        house.until(
            lambda: _due(house) == orders and time.time() - down > _DOWN_S, _WAIT_S, "all of it due", poll_s=0.5
        )
        house.new_limit(_PORTAL)
        back, seq = time.time(), house.crm.get("calls/summary")["last_seq"]
        house.crm.clear_faults()
        run.say("the portal is back")
        crm = house.crm
        house.until(
            lambda: "NEW" not in crm.get("state", count="stageId")["deals"] and _due(house) == 0,
            _WAIT_S,
            "everything written",
            poll_s=0.5,
        )
        yield from _figures(house, back, seq, orders, {order.deal_id for order in chosen})


def _due(house: House) -> int:
    """Deliveries due, once nothing is left in the journal."""
    pending = house.rows("SELECT count(*) AS pending FROM event WHERE state IN ('pending', 'notified')")[0]["pending"]
    due = house.rows("SELECT count(*) AS due FROM delivery WHERE state = 'due'")[0]["due"]
    return -1 if pending else int(due)


def _figures(house: House, back: float, seq: int, orders: int, paid: set[int]) -> Iterator[Figure]:
    saves = [line for line in house.changes(fields=f"stageId,{_PAID}") if line["unix"] >= back]
    payments = [line["unix"] for line in saves if line["id"] in paid and line["fields"].get(_PAID)]
    last = max(line["unix"] for line in saves)
    calls = [call for call in house.calls(seq) if call["unix"] <= last + 0.001]
    requests = requests_of(calls)
    limit = limit_s(len(requests), per_second=_PORTAL.per_second, burst=_PORTAL.burst)
    took, first = last - back, min(call["unix"] for call in requests) - back
    more = {
        "requests": len(requests),
        "requests_per_change": len(requests) / (orders + len(paid)),
        "refused_503": refused(calls),
        "limit_s": limit,
        "first_request_s": first,
        "from_first_request_s": took - first,
        "ratio_from_first_request": limit / (took - first) if took > first else None,
    }
    against = "least time in which the portal admits our requests"
    yield Figure("recovery", took, "s", limit / took, against, "from the moment the portal answers again", more)
    others = [line["unix"] - back for line in saves if line["id"] not in paid]
    yield _payments([at - back for at in payments], others, took)


def _payments(payments: list[float], others: list[float], took: float) -> Figure:
    """When the payments stood there, and how many other deals were written before the last and the middle one."""
    said = spread(payments)
    more = said | {"payments": len(payments)}
    for name in ("p50", "max"):
        more[f"other_deals_before_{name}"] = sum(at < (said[name] or 0.0) for at in others)
    latest = said["max"]
    ratio = latest / took if latest else None
    note = "until the last of the payments stood there"
    return Figure("recovery.payments", latest, "s", ratio, "everything; less is better", note, more)
