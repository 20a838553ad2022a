"""Gauges: what lanes, budgets and breakers say to Prometheus; looked up when it asks, kept nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bus.breaker import Breaker, Circuit
from bus.budget import Account, Budget
from bus.ledger.database import Ledger, Row, rows

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# Both are answered by an index alone, however many deliveries there are and however many of them are due.
_DUE = """
    SELECT system, CASE WHEN priority <= 0 THEN 'payments' ELSE 'bulk' END AS lane, count(*) AS due,
           greatest(0, extract(epoch FROM now() - min(due_at)))::float AS late_s
    FROM delivery WHERE state = 'due' GROUP BY 1, 2"""
_LOOPS = "SELECT system, count(*) AS loops FROM dead_letter WHERE state = 'open' AND cause = 'loop' GROUP BY 1"


class Gauges(Collector):
    """Asks Redis and the ledger when metrics are read, and may block for their timeouts: read them in a thread.

    A part that cannot be asked is left out, and `bus_gauges_failed` says so: the others are told all the same.
    """

    def __init__(self, ledger: Ledger, breaker: Breaker, budgets: Mapping[str, Budget]) -> None:
        self._ledger, self._breaker, self._budgets = ledger, breaker, budgets

    def collect(self) -> Iterable[Metric]:
        """Every family of which something is known."""
        failed = GaugeMetricFamily("bus_gauges_failed", "1: this part could not be asked just now", labels=["part"])
        parts: dict[str, Callable[[], Iterator[Metric]]] = {
            "lanes": self._lanes,
            "circuits": self._circuits,
            "budgets": self._requests,
            "people": self._people,
        }
        for part, look in parts.items():
            try:
                found = list(look())
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one part, the others are told
                log.warning("gauges.failed", part=part, error=type(error).__name__)
                failed.add_metric([part], 1)
                continue
            failed.add_metric([part], 0)
            yield from found
        yield failed

    def _lanes(self) -> Iterator[Metric]:
        due = GaugeMetricFamily("bus_lane_due", "Deliveries that are due", labels=["system", "lane"])
        late = GaugeMetricFamily(
            "bus_lane_late_seconds", "How long the first of them could have been taken", labels=["system", "lane"]
        )
        loops = GaugeMetricFamily("bus_lane_loops", "Deliveries parked by the loop breaker", labels=["system"])
        waiting, parked = self._waiting()
        for system in self._budgets:
            for lane in ("payments", "bulk"):
                row = waiting.get((system, lane), {"due": 0, "late_s": 0.0})
                due.add_metric([system, lane], row["due"])
                late.add_metric([system, lane], row["late_s"])
            loops.add_metric([system], parked.get(system, 0))
        yield from (due, late, loops)

    def _waiting(self) -> tuple[dict[tuple[str, str], Row], dict[str, int]]:
        with self._ledger.transaction() as connection:
            waiting = {(row["system"], row["lane"]): row for row in rows(connection, _DUE)}
            return waiting, {row["system"]: row["loops"] for row in rows(connection, _LOOPS)}

    def _people(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("bus_for_a_person", "What waits for a person's word", labels=["what"])
        with self._ledger.transaction() as connection:
            for what, table in (("conflict", "conflict"), ("question", "question"), ("dead letter", "dead_letter")):
                found = rows(connection, f"SELECT count(*) AS n FROM {table} WHERE state = 'open'")  # noqa: S608 - ours
                waiting.add_metric([what], found[0]["n"])
        yield waiting

    def _circuits(self) -> Iterator[Metric]:
        state = GaugeMetricFamily("bus_circuit", "1: the circuit is so", labels=["system", "state"])
        for system in self._budgets:
            now = self._breaker.state(system).circuit
            for circuit in Circuit:
                state.add_metric([system, circuit.value], float(circuit is now))
        yield state

    def _requests(self) -> Iterator[Metric]:
        accounts = [budget.account() for budget in self._budgets.values()]
        limited = [account for account in accounts if account.rate.per_second]
        yield _gauge("bus_budget_level", "Requests in the portal's bucket, as we count", limited, lambda one: one.level)
        yield _gauge("bus_budget_burst", "Requests that bucket holds", limited, lambda one: one.rate.burst)
        yield _gauge(
            "bus_budget_pace",
            "Requests a second we allow ourselves",
            limited,
            lambda one: one.rate.per_second * one.pace,
        )
        yield _gauge("bus_budget_parked", "Methods without operating time", limited, lambda one: len(one.parked))
        requests = CounterMetricFamily("bus_budget_requests", "Requests admitted", labels=["system", "lane"])
        for one in limited:
            requests.add_metric([one.system, "payments"], one.urgent)
            requests.add_metric([one.system, "bulk"], one.bulk)
        yield requests
        yield _counter("bus_budget_waited", "Requests told to wait", limited, lambda one: one.waited)
        yield _counter("bus_budget_refused", "Requests the portal refused", limited, lambda one: one.refused)


def _gauge(name: str, says: str, accounts: list[Account], value: Callable[[Account], float]) -> Metric:
    made = GaugeMetricFamily(name, says, labels=["system"])
    for one in accounts:
        made.add_metric([one.system], value(one))
    return made


def _counter(name: str, says: str, accounts: list[Account], value: Callable[[Account], float]) -> Metric:
    made = CounterMetricFamily(name, says, labels=["system"])
    for one in accounts:
        made.add_metric([one.system], value(one))
    return made
