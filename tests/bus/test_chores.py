"""What beat does over and over: two at once do no harm, and nothing is forgotten too early or kept for ever."""

from collections.abc import Iterator
from datetime import date
from threading import Thread

import pytest

from tests.bus.ledger.middle import Middle, built, order, payment, rub, to_order


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def long_ago(middle: Middle, table: str, column: str) -> None:
    middle.rows(f"UPDATE {table} SET {column} = now() - interval '100 days'")


def test_the_sweep_publishes_what_is_pending_and_rings_what_is_due(middle: Middle) -> None:
    middle.take(order(1, comment="x"))
    middle.wiring.publisher.publish(order(2))
    middle.bells.published.clear()
    middle.bells.rung.clear()
    middle.rows("UPDATE event SET due_at = now() - interval '1 minute' WHERE state = 'pending'")
    assert middle.wiring.chores.sweep() == {"republished": 1, "lanes": 1}
    assert [event.subject for event in middle.bells.published] == ["order/2"]
    assert middle.bells.rung == [("crm", False)]
    assert middle.wiring.chores.sweep()["republished"] == 0


def test_the_sweep_wakes_what_waits_for_something_that_is_known(middle: Middle) -> None:
    middle.take(order(1, total=rub(100)))
    middle.wiring.publisher.publish(payment(5, order=to_order(1), amount=rub(100), status="paid"))
    middle.bells.published.clear()
    middle.rows("UPDATE event SET state = 'waiting', waits_for = 'shop/order/1' WHERE subject = 'payment/5'")
    middle.wiring.chores.sweep()
    middle.heard()
    assert middle.fields("shop/order/1")["payment_status"] == "paid"


def test_two_sweeps_at_once_publish_each_event_once(middle: Middle, database_url: str) -> None:
    middle.wiring.publisher.publish([order(number) for number in range(200)])
    middle.bells.published.clear()
    middle.rows("UPDATE event SET due_at = now() - interval '1 minute'")
    with built(database_url) as other:
        threads = [Thread(target=one.wiring.chores.sweep) for one in (middle, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        published = [event.id for one in (middle, other) for event in one.bells.published]
    assert len(published) == len(set(published)) == 200


def test_what_has_just_been_published_is_left_to_its_worker(middle: Middle) -> None:
    middle.wiring.publisher.publish(order(1))
    assert middle.wiring.chores.sweep()["republished"] == 0


def test_a_payment_that_waited_too_long_asks_a_person_once(middle: Middle) -> None:
    middle.take(payment(5, order=to_order(1), amount=rub(1)))
    assert middle.wiring.chores.deadlines()["waited_too_long"] == 0
    middle.rows("UPDATE event SET deadline = now() - interval '1 second' WHERE state = 'waiting'")
    assert middle.wiring.chores.deadlines()["waited_too_long"] == 1
    assert middle.wiring.chores.deadlines()["waited_too_long"] == 0
    letter = middle.letters()[0]
    assert letter["sent"] == {"subject": "payment/5", "waits_for": "shop/order/1"}
    assert middle.outcome("payment/5") == ["DEAD"]


def test_retention_forgets_what_is_old_and_makes_room_for_what_comes(middle: Middle) -> None:
    middle.take(order(1, comment="x"))
    middle.wiring.publisher.publish(order(2))
    long_ago(middle, "event", "finished_at")
    long_ago(middle, "history", "at")
    done = middle.wiring.chores.retention(date(2031, 12, 15))
    assert (done["event"], done["partitions"]) == (1, 2)
    assert done["history"] > 0
    assert [row["subject"] for row in middle.rows("SELECT subject FROM event")] == ["order/2"]
    assert middle.fields("shop/order/1")["comment"] == "x", "what was agreed is never forgotten"
    again = middle.wiring.chores.retention(date(2031, 12, 15))
    assert set(again.values()) == {0}


def test_runs_drifts_and_operators_actions_are_forgotten_in_time(middle: Middle) -> None:
    middle.rows("INSERT INTO run (what) VALUES ('reconcile')")
    middle.rows(
        "INSERT INTO drift (run_id, system, subject, cause, healing) SELECT id, 'crm', 'deal/1', 'x', 'y' FROM run"
    )
    middle.rows("INSERT INTO operator_action (actor, action, target) VALUES ('a', 'b', 'c')")
    middle.wiring.chores.retention(date(2031, 12, 15))
    assert [len(middle.rows(f"SELECT 1 FROM {table}")) for table in ("run", "drift", "operator_action")] == [1, 1, 1]
    for table, column in (("run", "started_at"), ("drift", "found_at"), ("operator_action", "at")):
        long_ago(middle, table, column)
    middle.wiring.chores.retention(date(2031, 12, 15))
    assert [len(middle.rows(f"SELECT 1 FROM {table}")) for table in ("run", "drift", "operator_action")] == [0, 0, 0]


def test_an_open_letter_is_kept_and_an_ended_one_goes_with_its_event(middle: Middle) -> None:
    middle.take(payment(5, amount=rub(1)), payment(6, amount=rub(1)))
    middle.wiring.dead_letters.discard([middle.letters()[0]["id"]], "op", "test")
    for column in ("first_at", "last_at"):
        long_ago(middle, "dead_letter", column)
    middle.rows("UPDATE dead_letter SET ended_at = now() - interval '100 days' WHERE ended_at IS NOT NULL")
    long_ago(middle, "event", "finished_at")
    middle.wiring.chores.retention(date(2031, 12, 15))
    assert [row["state"] for row in middle.rows("SELECT state FROM dead_letter")] == ["open"]
