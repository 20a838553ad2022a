from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest

from bus.breaker import Breaker
from bus.budget import Budget
from bus.config import Rate
from bus.gauges import Gauges
from bus.ledger import deliveries, letters, questions, restored
from bus.ledger.database import Ledger
from bus.ledger.deliveries import Due
from bus.ledger.letters import Letter
from bus.ledger.questions import Question
from bus.ports import Spent


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    made = Ledger(database_url)
    yield made
    made.close()


@pytest.fixture
def client(broker_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(broker_url) as made:
        yield made


NOW = time()


def budget(client: Any, system: str, rate: Rate) -> Budget:
    """Its clock stands still: with each second that begins, a bucket's level falls."""
    return Budget(client, rate, system=system, portal=f"{system}.example", clock=lambda: NOW)


@pytest.fixture
def registry(ledger: Ledger, client: Any) -> CollectorRegistry:
    budgets = {"crm": budget(client, "crm", Rate()), "shop": budget(client, "shop", Rate(per_second=0))}
    return registered(ledger, client, budgets)


def registered(ledger: Ledger, client: Any, budgets: dict[str, Budget]) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(Gauges(ledger, Breaker(client, failures=1), budgets, ["site"]))
    return made


def entity(ledger: Ledger) -> Any:
    with ledger.transaction() as connection:
        return connection.execute(
            "INSERT INTO entity (id, kind) VALUES (gen_random_uuid(), 'order') RETURNING id"
        ).fetchone()["id"]


def test_a_quiet_bus_says_zero_for_every_lane(registry: CollectorRegistry) -> None:
    for system in ("crm", "shop"):
        for lane in ("payments", "bulk"):
            assert registry.get_sample_value("bus_lane_due", {"system": system, "lane": lane}) == 0
        assert registry.get_sample_value("bus_circuit", {"system": system, "state": "closed"}) == 1
        assert registry.get_sample_value("bus_lane_loops", {"system": system}) == 0
    assert registry.get_sample_value("bus_budget_level", {"system": "crm"}) == 0
    assert registry.get_sample_value("bus_budget_level", {"system": "shop"}) is None


def test_what_is_due_is_counted_by_lane(registry: CollectorRegistry, ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        deliveries.mark(connection, [Due(entity(ledger), "crm", priority, None) for priority in (0, 2, 2)])
        connection.execute("UPDATE delivery SET due_at = now() - interval '90 seconds' WHERE priority = 0")
    assert registry.get_sample_value("bus_lane_due", {"system": "crm", "lane": "payments"}) == 1
    assert registry.get_sample_value("bus_lane_due", {"system": "crm", "lane": "bulk"}) == 2
    assert registry.get_sample_value("bus_lane_late_seconds", {"system": "crm", "lane": "payments"}) >= 90
    assert registry.get_sample_value("bus_lane_late_seconds", {"system": "crm", "lane": "bulk"}) < 60


def test_loops_are_counted_until_somebody_looked(registry: CollectorRegistry, ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        letters.write(connection, [Letter("crm", "Permanent", "loop", "parked", entity_id=entity(ledger))])
    assert registry.get_sample_value("bus_lane_loops", {"system": "crm"}) == 1


def test_requests_and_refusals_are_counted(registry: CollectorRegistry, client: Any) -> None:
    crm = budget(client, "crm", Rate())
    for _ in range(3):
        crm.acquire(urgent=False)
    crm.acquire(urgent=True)
    assert registry.get_sample_value("bus_budget_requests_total", {"system": "crm", "lane": "bulk"}) == 3
    assert registry.get_sample_value("bus_budget_requests_total", {"system": "crm", "lane": "payments"}) == 1
    assert registry.get_sample_value("bus_budget_pace", {"system": "crm"}) == 2
    crm.refused()
    crm.spent({"crm.item.update": Spent(500, datetime.now(UTC) + timedelta(minutes=5))})
    assert registry.get_sample_value("bus_budget_refused_total", {"system": "crm"}) == 1
    assert registry.get_sample_value("bus_budget_level", {"system": "crm"}) == 50
    assert registry.get_sample_value("bus_budget_pace", {"system": "crm"}) == pytest.approx(1, abs=0.1)
    assert registry.get_sample_value("bus_budget_parked", {"system": "crm"}) == 1


def test_a_stopped_lane_shows(registry: CollectorRegistry, client: Any) -> None:
    Breaker(client).stop("crm", "OVERLOAD_LIMIT")
    assert registry.get_sample_value("bus_circuit", {"system": "crm", "state": "stopped"}) == 1
    assert registry.get_sample_value("bus_circuit", {"system": "crm", "state": "closed"}) == 0


def test_what_cannot_be_asked_is_left_out_and_the_rest_is_told(ledger: Ledger) -> None:
    away = redis.Redis.from_url("redis://127.0.0.1:1/0")
    page = generate_latest(registered(ledger, away, {"crm": budget(away, "crm", Rate())})).decode()
    assert 'bus_gauges_failed{part="budgets"} 1.0' in page
    assert 'bus_gauges_failed{part="circuits"} 1.0' in page
    assert 'bus_gauges_failed{part="lanes"} 0.0' in page
    assert 'bus_lane_due{lane="bulk",system="crm"} 0.0' in page
    assert "bus_circuit{" not in page


def test_what_waits_for_a_person_is_counted(registry: CollectorRegistry, ledger: Ledger) -> None:
    assert registry.get_sample_value("bus_for_a_person", {"what": "dead letter"}) == 0
    with ledger.transaction() as connection:
        letters.write(connection, [Letter("crm", "Permanent", "refused", "no", entity_id=entity(ledger))])
        questions.ask(connection, [Question("order", "bank", "payment/1", [])], seconds=60)
    for what, count in (("dead letter", 1), ("question", 1), ("conflict", 0)):
        assert registry.get_sample_value("bus_for_a_person", {"what": what}) == count


def test_what_a_system_does_not_fetch_shows_though_nobody_calls_it(registry: CollectorRegistry, ledger: Ledger) -> None:
    quiet = {"system": "site", "lane": "bulk"}
    assert registry.get_sample_value("bus_lane_due", quiet) == 0
    with ledger.transaction() as connection:
        deliveries.mark(connection, [Due(entity(ledger), "site", 5, None), Due(entity(ledger), "gone", 5, None)])
        connection.execute("UPDATE delivery SET due_at = now() - interval '3 days' WHERE system = 'site'")
    assert registry.get_sample_value("bus_lane_due", quiet) == 1
    assert registry.get_sample_value("bus_lane_late_seconds", quiet) >= 3 * 86_400
    assert registry.get_sample_value("bus_circuit", {"system": "site", "state": "closed"}) is None
    assert registry.get_sample_value("bus_lane_due", {"system": "gone", "lane": "bulk"}) == 1, "taken out of bus.yaml"


@pytest.mark.parametrize("state", ["pending", "waiting", "notified"])
def test_events_that_nobody_merges_are_counted_and_the_oldest_is_told(
    registry: CollectorRegistry, ledger: Ledger, state: str
) -> None:
    assert registry.get_sample_value("bus_events", {"state": state}) == 0
    assert registry.get_sample_value("bus_events_oldest_seconds", {"state": state}) == 0
    with ledger.transaction() as connection:
        connection.execute(
            """INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, received_at, state, deadline)
               SELECT 'crm', n::text, 'deal.changed', 'deal/' || n, 'deals', 'order', now(),
                 now() - make_interval(hours => n), %s, now() + make_interval(days => 30, hours => -n)
               FROM generate_series(1, 24) AS n""",
            [state],
        )
    assert registry.get_sample_value("bus_events", {"state": state}) == 24
    oldest = registry.get_sample_value("bus_events_oldest_seconds", {"state": state})
    assert oldest == pytest.approx(86_400, abs=60)


def test_the_last_reconciliation_and_the_last_good_backup_show_how_long_ago_they_were(
    registry: CollectorRegistry, ledger: Ledger
) -> None:
    assert registry.get_sample_value("bus_last_run_seconds", {"what": "backup"}) is None
    with ledger.transaction() as connection:
        connection.execute(
            """INSERT INTO run (what, started_at, finished_at, report) VALUES
                 ('backup', now() - interval '2 hours', now() - interval '2 hours', '{"bytes": 1}'),
                 ('backup', now() - interval '1 hour', now() - interval '1 hour', '{"error": "no space left"}'),
                 ('poll', now() - interval '1 day', now() - interval '5 minutes', '{"errors": {}}'),
                 ('poll failed', now() - interval '4 minutes', now(), '{"errors": {"onec": "HTTP 403"}}'),
                 ('reconcile', now() - interval '1 hour', now() - interval '30 minutes', '{"systems": [{}]}'),
                 ('reconcile', now(), now(), '{"systems": [{"error": null}, {"error": "cannot be reached"}]}'),
                 ('reconcile', now(), NULL, '{}')"""
        )
    for what, seconds in (("backup", 7200), ("poll", 300), ("reconcile", 1800)):
        told = registry.get_sample_value("bus_last_run_seconds", {"what": what})
        assert told == pytest.approx(seconds, abs=60), what


def test_a_file_that_could_not_be_imported_shows_until_somebody_looked(
    registry: CollectorRegistry, ledger: Ledger
) -> None:
    assert registry.get_sample_value("bus_exchange_failed", {"system": "site"}) == 0
    with ledger.transaction() as connection:
        letters.write(connection, [Letter("site", "BadInput", letters.FAILED_FILE, "no", entity_id=entity(ledger))])
    assert registry.get_sample_value("bus_exchange_failed", {"system": "site"}) == 1
    assert registry.get_sample_value("bus_lane_loops", {"system": "site"}) == 0


def test_a_restored_ledger_shows_until_it_is_healed(registry: CollectorRegistry, ledger: Ledger) -> None:
    assert registry.get_sample_value("bus_restored_held") == 0
    with ledger.transaction() as connection:
        restored.mark(connection, datetime.now(UTC))
    assert registry.get_sample_value("bus_restored_held") == 1
    with ledger.transaction() as connection:
        restored.heal(connection)
    assert registry.get_sample_value("bus_restored_held") == 0
