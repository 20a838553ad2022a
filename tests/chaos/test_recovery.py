"""Recovery: measured by work that the ledger shows after the fault, of the kind that was hit."""

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.chaos.plan import ENGINES, LINKS, PROCESSES
from tests.chaos.recovery import Recovery, signs

DEADLINE_S = 10.0
EVENT = """INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, state, finished_at)
           VALUES ('shop', %s, 'order.changed', 'order/1', %s, 'order', now(), 'done', now())"""


@pytest.fixture
def ledger(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def recovery(database_url: str) -> Iterator[Recovery]:
    made = Recovery(database_url)
    made.begin()
    yield made
    made.end()


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.01)


def test_the_time_ends_with_the_first_work_of_the_kind_after_the_fault(
    recovery: Recovery, ledger: psycopg.Connection
) -> None:
    ledger.execute(EVENT, ["before", "orders"])
    recovery.ended("kill worker-orders", "worker-orders")
    ledger.execute(EVENT, ["of another channel", "deals"])
    assert recovery.times == {}
    ledger.execute(EVENT, ["after", "orders"])
    until(lambda: recovery.times)
    assert list(recovery.times) == ["kill worker-orders"]
    kind, measured, median, worst = recovery.table()[0]
    assert (kind, measured, median) == ("kill worker-orders", 1, worst)
    assert 0 < worst < DEADLINE_S


def test_what_still_waits_at_the_end_had_nothing_to_do(database_url: str) -> None:
    recovery = Recovery(database_url)
    recovery.begin()
    recovery.ended("cut", "crm")
    recovery.end()
    assert (recovery.idle, recovery.never, recovery.times) == (1, [], {})


@pytest.mark.parametrize(("state", "never"), [("pending", 1), ("done", 0)])
def test_due_work_that_nobody_does_for_long_is_told_and_no_work_is_not(
    database_url: str, ledger: psycopg.Connection, state: str, never: int
) -> None:
    clock = [time.time()]
    recovery = Recovery(database_url, clock=lambda: clock[0])
    recovery.ended("kill worker-deals", "worker-deals")
    ledger.execute(EVENT, ["1", "deals"])
    ledger.execute("UPDATE event SET state = %s, finished_at = now() - interval '1 day'", [state])
    clock[0] += 100
    recovery.begin()
    until(lambda: recovery.never or recovery.idle)
    recovery.end()
    assert len(recovery.never) == never


def test_whatever_is_broken_has_signs_that_the_ledger_can_be_asked_for(ledger: psycopg.Connection) -> None:
    for target in (*PROCESSES, *ENGINES, *LINKS, "backend", "disk", "all", "worker-lanes-crm-2"):
        for query in (*signs(target).flows, signs(target).due):
            ledger.execute(query.replace("%(end)s", "now()").replace("%%", "%"))
