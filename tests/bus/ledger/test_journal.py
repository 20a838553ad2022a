"""The journal: each event once, notifications that stand for one another, leases, waits and what is forgotten."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from bus.channels import NORMAL, URGENT
from bus.ledger import journal
from bus.ledger.database import Connection, Row
from bus.merge import Outcome
from bus.ports import Entry, Notification
from tests.bus.ledger.middle import Middle, built, order, payment, rub, to_order

DEAL = Notification("crm", "deal", "7")


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def claim(connection: Connection, *, seconds: int = 60, urgent: bool = False) -> list[Row]:
    return journal.claim_notified(connection, "crm", uuid4(), seconds=seconds, limit=50, urgent=urgent)


def state(connection: Connection) -> list[str]:
    return [row["state"] for row in connection.execute("SELECT state FROM event ORDER BY seq").fetchall()]


def test_an_event_is_journaled_once_and_comes_back_as_it_was(connection: Connection) -> None:
    event = order(1, version=3, comment="x")
    assert journal.record(connection, [Entry(event), Entry(event)]) == [event]
    assert journal.record(connection, [Entry(event)]) == []
    (place,) = journal.known(connection, {(event.source, event.id)}).values()
    (back,) = journal.take(connection, [place.seq])
    assert place.pending
    assert journal.event_of(back).model_dump() == event.model_dump()
    assert back["version"] == 3


def test_a_payment_is_urgent_unless_it_is_said_otherwise(connection: Connection) -> None:
    due = payment(5, order=to_order(1), amount=rub(1))
    journal.record(connection, [Entry(due), Entry(order(1)), Entry(order(2), priority=9)])
    rows = connection.execute("SELECT subject, priority FROM event").fetchall()
    assert {row["subject"]: row["priority"] for row in rows} == {"payment/5": URGENT, "order/1": NORMAL, "order/2": 9}


def test_a_payload_that_holds_nul_is_kept_all_the_same(connection: Connection) -> None:
    assert len(journal.record(connection, [Entry(order(1), raw={"title": "a\x00b"})])) == 1


def test_a_notification_stands_for_its_repeats_and_takes_their_urgency(connection: Connection) -> None:
    assert journal.notify(connection, [DEAL]) == 1
    journal.notify(connection, [DEAL])
    journal.notify(connection, [Notification("crm", "deal", "7", priority=URGENT)])
    (row,) = claim(connection, urgent=True)
    assert row["subject"] == "deal/7"


def test_the_same_record_twice_in_one_notice_is_one(connection: Connection) -> None:
    journal.notify(connection, [DEAL, DEAL])
    assert state(connection) == ["notified"]


def test_a_notification_that_comes_while_the_record_is_fetched_is_another_one(connection: Connection) -> None:
    journal.notify(connection, [DEAL])
    claim(connection)
    assert journal.notify(connection, [DEAL]) == 1


def test_a_removal_is_not_absorbed_by_a_change(connection: Connection) -> None:
    assert journal.notify(connection, [DEAL, Notification("crm", "deal", "7", deleted=True)]) == 2


def test_a_claim_given_back_is_taken_again_at_its_time(connection: Connection) -> None:
    journal.notify(connection, [DEAL])
    (row,) = claim(connection)
    until = {row["seq"]: datetime.now(UTC) - timedelta(seconds=1)}
    journal.postpone(connection, row["lease"], until, counts=True, error="500")
    (again,) = claim(connection)
    assert again["attempts"] == 1


def test_a_claim_can_be_given_back_though_the_record_was_told_of_again(connection: Connection) -> None:
    journal.notify(connection, [DEAL])
    (row,) = claim(connection)
    journal.notify(connection, [DEAL])
    journal.postpone(connection, row["lease"], {row["seq"]: datetime.now(UTC)}, counts=True, error="500")
    assert set(state(connection)) == {"notified"}


def test_one_lease_over_two_notifications_of_one_record_can_be_given_back(connection: Connection) -> None:
    journal.notify(connection, [DEAL])
    claim(connection, seconds=-1)
    journal.notify(connection, [DEAL])
    both = claim(connection)
    assert len(both) == 2
    until = {row["seq"]: datetime.now(UTC) for row in both}
    journal.postpone(connection, both[0]["lease"], until, counts=True, error="500")
    assert set(state(connection)) == {"notified"}


def test_only_the_holder_of_a_lease_closes_a_notification(connection: Connection) -> None:
    journal.notify(connection, [DEAL])
    (first,) = claim(connection, seconds=-1)
    (second,) = claim(connection)
    journal.close_notified(connection, first["lease"], {first["seq"]: Outcome.APPLIED})
    assert state(connection) == ["notified"]
    journal.close_notified(connection, second["lease"], {second["seq"]: Outcome.APPLIED})
    assert state(connection) == ["done"]


def test_what_cannot_be_read_is_kept_once_and_whole(connection: Connection) -> None:
    document = {"a": ["б\x00", float("nan")]}
    assert journal.reject(connection, "orders", document, "no event") is not None
    assert journal.reject(connection, "orders", document, "no event") is None
    assert journal.reject(connection, "orders", "text", "no event") is not None
    assert state(connection) == ["dead", "dead"]


def test_what_nobody_took_is_named_again_once_in_its_time(connection: Connection) -> None:
    journal.record(connection, [Entry(order(1))])
    connection.execute("UPDATE event SET due_at = now() - interval '1 minute'")
    assert [event.subject for event in journal.unpublished(connection, older_s=15)] == ["order/1"]
    assert journal.unpublished(connection, older_s=15) == []


def test_what_is_finished_and_old_is_forgotten_and_what_a_person_must_see_is_not(middle: Middle) -> None:
    middle.take(order(1), order(2), payment(5, amount=rub(1)))
    middle.rows("UPDATE event SET finished_at = now() - interval '91 days' WHERE subject <> 'order/2'")
    with middle.ledger.transaction() as connection:
        assert journal.forget(connection, 90, 10) == 1
    assert {row["subject"] for row in middle.rows("SELECT subject FROM event")} == {"order/2", "payment/5"}


def test_the_journal_says_what_moves_and_whether_anything_does(middle: Middle) -> None:
    assert not middle.rows("SELECT 1 FROM event")
    middle.wiring.publisher.publish(order(1))
    with middle.ledger.transaction() as connection:
        assert journal.busy(connection)
        assert journal.moving(connection, "shop", ["order/1", "order/2"]) == {"order/1": "pending"}
