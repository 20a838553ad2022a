"""Gauges: what ledger, lanes, budgets and breakers say to Prometheus; looked up when it asks, kept nowhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bus.breaker import Breaker, Circuit
from bus.budget import Account, Budget
from bus.ledger import letters, restored
from bus.ledger.database import Ledger, Row, rows

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# These are answered by an index alone, however many deliveries there are and however many of them are due.
_DUE = """
    SELECT system, CASE WHEN priority <= 0 THEN 'payments' ELSE 'bulk' END AS lane, count(*) AS due,
           greatest(0, extract(epoch FROM now() - min(due_at)))::float AS late_s
    FROM delivery WHERE state = 'due' GROUP BY 1, 2"""
_LETTERS = "SELECT system, count(*) AS n FROM dead_letter WHERE state = 'open' AND cause = %s GROUP BY 1"

# Counted by an index. How old the oldest is stands in the rows: it is looked for among those that come first.
_AGE = "coalesce(greatest(0, extract(epoch FROM now() - min(received_at))), 0)::float AS oldest_s"
_EVENTS = f"""
    SELECT 'pending' AS state, (SELECT count(*) FROM event WHERE state = 'pending' AND due_at IS NOT NULL) AS n, {_AGE}
    FROM (SELECT received_at FROM event WHERE state = 'pending' AND due_at IS NOT NULL ORDER BY due_at LIMIT 1000) AS it
    UNION ALL
    SELECT 'waiting', (SELECT count(*) FROM event WHERE state = 'waiting' AND deadline IS NOT NULL), {_AGE}
    FROM (SELECT received_at FROM event WHERE state = 'waiting' AND deadline IS NOT NULL
          ORDER BY deadline LIMIT 1000) AS it
    UNION ALL
    SELECT 'notified', (SELECT count(*) FROM event WHERE state = 'notified' AND due_at IS NOT NULL), {_AGE}
    FROM unnest(%(systems)s::text[]) AS system, LATERAL (
      SELECT received_at FROM event WHERE state = 'notified' AND source = system AND due_at IS NOT NULL
      ORDER BY priority, due_at LIMIT 1000) AS it"""  # noqa: S608 - ours
_RUNS = """
    SELECT what, extract(epoch FROM now() - last.finished_at)::float AS ago_s
    FROM unnest(ARRAY['reconcile', 'poll', 'backup']) AS what, LATERAL (
      SELECT finished_at FROM run WHERE run.what = what.what AND finished_at IS NOT NULL AND report ->> 'error' IS NULL
        AND NOT jsonb_path_exists(report, '$.systems[*] ? (@.error != null)')
      ORDER BY id DESC LIMIT 1) AS last"""


class Gauges(Collector):
    """Asks Redis and the ledger when metrics are read, and may block for their timeouts: read them in a thread.

    A part that cannot be asked is left out, and `bus_gauges_failed` says so: the others are told all the same.
    """

    def __init__(
        self, ledger: Ledger, breaker: Breaker, budgets: Mapping[str, Budget], fetching: Collection[str]
    ) -> None:
        """`fetching`: systems that we do not call; they come for what is due there, or do not."""
        self._ledger, self._breaker, self._budgets, self._fetching = ledger, breaker, budgets, fetching

    def collect(self) -> Iterable[Metric]:
        """Every family of which something is known."""
        failed = GaugeMetricFamily("bus_gauges_failed", "1: this part could not be asked just now", labels=["part"])
        parts: dict[str, Callable[[], Iterator[Metric]]] = {
            "lanes": self._lanes,
            "events": self._events,
            "circuits": self._circuits,
            "budgets": self._requests,
            "people": self._people,
            "runs": self._runs,
            "exchange": self._exchange,
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
        for system in dict.fromkeys([*self._budgets, *self._fetching, *(system for system, _ in waiting), *parked]):
            for lane in ("payments", "bulk"):
                row = waiting.get((system, lane), {"due": 0, "late_s": 0.0})
                due.add_metric([system, lane], row["due"])
                late.add_metric([system, lane], row["late_s"])
            loops.add_metric([system], parked.get(system, 0))
        yield from (due, late, loops)

    def _waiting(self) -> tuple[dict[tuple[str, str], Row], dict[str, int]]:
        with self._ledger.transaction() as connection:
            waiting = {(row["system"], row["lane"]): row for row in rows(connection, _DUE)}
            return waiting, {row["system"]: row["n"] for row in rows(connection, _LETTERS, ["loop"])}

    def _events(self) -> Iterator[Metric]:
        count = GaugeMetricFamily("bus_events", "Events that have not ended, by state", labels=["state"])
        oldest = GaugeMetricFamily(
            "bus_events_oldest_seconds", "How long ago the oldest of them was taken in", labels=["state"]
        )
        with self._ledger.transaction() as connection:
            found = rows(connection, _EVENTS, {"systems": [*self._budgets]})
        for row in found:
            count.add_metric([row["state"]], row["n"])
            oldest.add_metric([row["state"]], row["oldest_s"])
        yield from (count, oldest)

    def _runs(self) -> Iterator[Metric]:
        last = GaugeMetricFamily(
            "bus_last_run_seconds", "How long ago the last one ended well; none: never", labels=["what"]
        )
        held = GaugeMetricFamily("bus_restored_held", "1: the ledger was restored, and nothing is written yet")
        with self._ledger.transaction() as connection:
            for row in rows(connection, _RUNS):
                last.add_metric([row["what"]], row["ago_s"])
            held.add_metric([], float(restored.since(connection) is not None))
        yield from (last, held)

    def _exchange(self) -> Iterator[Metric]:
        failed = GaugeMetricFamily(
            "bus_exchange_failed", "Files that could not be imported, and nobody looked at", labels=["system"]
        )
        with self._ledger.transaction() as connection:
            found = {row["system"]: row["n"] for row in rows(connection, _LETTERS, [letters.FAILED_FILE])}
        for system in dict.fromkeys([*self._fetching, *found]):
            failed.add_metric([system], found.get(system, 0))
        yield failed

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
