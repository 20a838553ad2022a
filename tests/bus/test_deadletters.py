"""The operator's hand on dead letters: again, at a rate, or ended with a reason."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from bus.deadletters import DeadLetters
from bus.errors import BadInput
from bus.ledger import deliveries, journal, letters
from bus.ledger.journal import Ending
from bus.ledger.letters import Letter
from bus.merge import Outcome
from bus.ports import Notification
from tests.bus.ledger.middle import Middle, built, deal, order, payment, rub, to_order

LATER = "2026-10-05T11:00:00Z"


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


@pytest.fixture
def desk(middle: Middle) -> DeadLetters:
    return middle.wiring.dead_letters


def orphans(middle: Middle, count: int) -> list[int]:
    """Payments that named no order; ids of their letters."""
    middle.take(*[payment(number, amount=rub(1)) for number in range(count)])
    return [letter["id"] for letter in middle.letters()]


def dead_delivery(middle: Middle, key: str, system: str, state: str = "dead") -> int:
    """A delivery that a system refused, or that was parked; the id of its letter."""
    entity = middle.entity(key).id
    with middle.ledger.transaction() as connection:
        claimed = deliveries.claim(connection, system, uuid4(), seconds=60, limit=50, urgent=False)
        row = next(one for one in claimed if one["entity_id"] == entity)
        assert deliveries.stop(connection, row, state, "refused")
        letters.write(connection, [Letter(system, "Permanent", "refused", "no", entity_id=entity)])
    return int(middle.letters()[-1]["id"])


def test_letters_are_grouped_listed_and_shown(middle: Middle, desk: DeadLetters) -> None:
    ids = orphans(middle, 3)
    assert [(group["cause"], group["letters"]) for group in desk.groups()] == [("payment without an order", 3)]
    assert {letter["id"] for letter in desk.listing(cause="payment without an order")} == set(ids)
    assert desk.show(ids[0])["subject"].startswith("payment/")
    with pytest.raises(BadInput):
        desk.show(0)


def test_a_retry_that_fails_again_opens_the_same_letter(middle: Middle, desk: DeadLetters) -> None:
    ids = orphans(middle, 1)
    assert desk.retry(ids, "op").sent == ids
    assert desk.retry(ids, "op").sent == [], "it is on its way"
    middle.heard()
    assert [(letter["id"], letter["attempts"]) for letter in middle.letters()] == [(ids[0], 2)]


def test_a_group_is_retried_one_by_one_at_its_pace_and_without_those_that_join(
    middle: Middle, desk: DeadLetters
) -> None:
    ids, paced = orphans(middle, 3), []

    def pace() -> None:
        paced.append(1)
        if len(paced) == 1:
            middle.take(payment("late", amount=rub(1)))

    assert [one.sent for one in desk.retry_cause("payment without an order", "op", pace=pace)] == [
        [id_] for id_ in sorted(ids)
    ]
    assert len(paced) == 3


def test_who_retried_is_written_down(middle: Middle, desk: DeadLetters) -> None:
    desk.retry(orphans(middle, 1), "olga")
    assert middle.one("SELECT actor, action FROM operator_action") == {"actor": "olga", "action": "retry"}


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_discarding_asks_for_a_reason(middle: Middle, desk: DeadLetters, reason: str) -> None:
    ids = orphans(middle, 1)
    with pytest.raises(BadInput) as refused:
        desk.discard(ids, "op", reason)
    assert refused.value.field == "reason"
    assert len(middle.letters()) == 1


def test_what_is_discarded_is_kept_with_its_reason_and_not_retried(middle: Middle, desk: DeadLetters) -> None:
    ids = orphans(middle, 1)
    assert desk.discard(ids, "op", " a test payment ") == 1
    assert desk.discard(ids, "op", "again") == 0
    assert desk.retry(ids, "op").sent == []
    assert middle.one("SELECT note, ended_by, state FROM dead_letter") == {
        "note": "a test payment",
        "ended_by": "op",
        "state": "discarded",
    }


def test_a_delivery_is_due_again_and_its_lane_rung(middle: Middle, desk: DeadLetters) -> None:
    middle.take(order(1, comment="x"))
    letter = dead_delivery(middle, "shop/order/1", "crm")
    assert middle.due() == set()
    middle.bells.rung.clear()
    assert desk.retry([letter], "op").sent == [letter]
    assert middle.due() == {"crm"}
    assert middle.bells.rung == [("crm", False)]


def test_a_parked_record_whose_letter_is_discarded_follows_the_next_change(middle: Middle, desk: DeadLetters) -> None:
    middle.take(order(1, comment="x"))
    letter = dead_delivery(middle, "shop/order/1", "crm", "parked")
    middle.take(order(1, LATER, comment="y"))
    assert middle.due() == set()
    assert desk.discard([letter], "op", "the robot is switched off") == 1
    assert middle.one("SELECT count(*) AS n FROM delivery WHERE state = 'parked'") == {"n": 0}
    middle.take(order(1, "2026-10-05T12:00:00Z", comment="z"))
    assert middle.due() == {"crm"}


def test_what_was_discarded_is_not_tried_again_each_night_but_with_the_next_change(
    middle: Middle, desk: DeadLetters
) -> None:
    middle.take(order(1, comment="x"))
    discarded = dead_delivery(middle, "shop/order/1", "crm")
    middle.take(order(2, comment="x"))
    dead_delivery(middle, "shop/order/2", "crm")
    entity, other = middle.entity("shop/order/1").id, middle.entity("shop/order/2").id
    desk.discard([discarded], "op", "a test order")
    middle.wiring.pipeline.look_over()
    assert (middle.due(entity), middle.due(other)) == (set(), {"crm"})
    middle.take(order(1, LATER, comment="y"))
    assert middle.due(entity) == {"crm"}


def test_a_letter_of_a_delivery_that_needs_nothing_any_more_ends_with_its_retry(
    middle: Middle, desk: DeadLetters
) -> None:
    middle.take(order(1, comment="x"))
    middle.take(deal(7, comment="x"))
    letter = dead_delivery(middle, "crm/deal/7", "shop")
    middle.take(deal(7, LATER, comment="x", records=[to_order(1)]))
    assert (middle.due(), [one["id"] for one in middle.letters()]) == ({"crm"}, [letter])
    assert desk.retry([letter], "op").sent == [letter]
    assert (middle.letters(), middle.letters("retried")) == ([], [])


def test_a_delivery_that_came_right_by_itself_ends_its_letter(middle: Middle) -> None:
    middle.take(deal(7, comment="x"), order(1, records=[to_order(7, "crm", "deal")], comment="x"))
    middle.take(deal(7, LATER, comment="y"))
    dead_delivery(middle, "crm/deal/7", "shop")
    middle.take(order(1, LATER, comment="y"))
    assert middle.letters() == []


def test_two_dead_look_ups_of_one_record_are_both_retried(middle: Middle, desk: DeadLetters) -> None:
    for _ in range(2):
        with middle.ledger.transaction() as connection:
            journal.notify(connection, [Notification("crm", "deal", "7")])
            rows = journal.claim_notified(connection, "crm", uuid4(), seconds=60, limit=9, urgent=False)
            journal.finish(connection, [Ending(row["seq"], Outcome.DEAD, None, "denied") for row in rows])
            letters.write(connection, [Letter("crm", "Permanent", "denied", "no", row["seq"]) for row in rows])
    middle.wiring.publisher.accept([], [Notification("crm", "deal", "7")])
    middle.bells.rung.clear()
    assert [len(one.sent) for one in desk.retry_cause("denied", "op")] == [1, 1]
    assert ("crm", False) in middle.bells.rung
    assert middle.letters() == []


def test_a_retry_rings_no_lane_of_a_system_without_an_api(middle: Middle, desk: DeadLetters) -> None:
    desk.retry(orphans(middle, 1), "op")
    assert middle.bells.rung == []


def test_an_event_that_waited_too_long_may_be_retried_once_its_order_is_there(
    middle: Middle, desk: DeadLetters
) -> None:
    middle.take(payment(5, order={"number": "1001"}, amount=rub(100), status="paid"))
    middle.rows("UPDATE event SET deadline = %s WHERE state = 'waiting'", datetime.now(UTC) - timedelta(seconds=1))
    assert middle.wiring.chores.deadlines()["waited_too_long"] == 1
    letter = middle.letters()[0]
    assert "number/shop/1001" in letter["reason"]
    middle.take(order(1, number="1001", total=rub(100)))
    desk.retry([letter["id"]], "op")
    middle.heard()
    assert middle.fields("shop/order/1")["payment_status"] == "paid"
    assert [one["id"] for one in middle.letters("resolved")] == [letter["id"]]
