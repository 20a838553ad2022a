"""The way in: validated, journaled, committed, and only then rung."""

from collections.abc import Iterator

import psycopg
import pytest

from bus.errors import BadInput, Transient
from bus.ledger.database import Ledger
from bus.ports import Accepted, Arrival, Entry, Notification
from bus.publisher import Publisher
from tests.bus.ledger.middle import Middle, Notes, built, order, payment, rub, to_order

SAID = {
    "source": "shop",
    "type": "order.changed",
    "subject": "order/1",
    "time": "2026-10-05T10:00:00Z",
    "data": {"number": "1"},
}


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def test_what_is_new_is_counted_and_rung_and_what_is_known_is_not(middle: Middle) -> None:
    publisher = middle.wiring.publisher
    assert publisher.publish([SAID, order(2)]) == Accepted(2, 0)
    assert len(middle.bells.published) == 2
    assert publisher.publish(SAID) == Accepted(0, 1)
    assert len(middle.bells.published) == 2


def test_one_bad_event_and_nothing_is_stored(middle: Middle) -> None:
    with pytest.raises(BadInput) as refused:
        middle.wiring.publisher.publish([SAID, SAID | {"subject": "order/2", "data": {"status": "gone"}}])
    assert refused.value.field == "data.status"
    assert middle.rows("SELECT 1 FROM event") == []
    assert middle.bells.published == []


def test_a_producer_hears_that_a_system_is_not_configured_and_nothing_is_stored(middle: Middle) -> None:
    publisher = Publisher(middle.ledger, middle.bells, middle.wiring.file.systems)
    for source in ("shpo", "bus"):
        with pytest.raises(BadInput, match=f"source: {source} is no system") as refused:
            publisher.publish([SAID, SAID | {"source": source}])
        assert refused.value.field == "source"
    assert middle.rows("SELECT 1 FROM event") == []


def test_nothing_is_rung_that_is_not_committed() -> None:
    bells = Notes()
    away = Ledger("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.05)
    with pytest.raises(Transient):
        Publisher(away, bells).publish(SAID)
    away.close()
    assert bells.published == []


def test_more_than_a_thousand_go_in_in_several_transactions_and_all_of_them(middle: Middle) -> None:
    assert middle.wiring.publisher.publish([order(number) for number in range(1005)]) == Accepted(1005, 0)
    assert middle.one("SELECT count(*) AS n FROM event WHERE state = 'pending'")["n"] == 1005


def test_notifications_are_journaled_with_their_events_and_ring_their_lanes(middle: Middle) -> None:
    noted = [Notification("crm", "deal", "7"), Notification("crm", "deal", "8")]
    assert middle.wiring.publisher.accept([Entry(order(1))], noted) == Accepted(3, 0)
    assert middle.bells.rung == [("crm", False)]
    assert middle.wiring.publisher.accept([], noted[:1]) == Accepted(0, 1)


def test_several_arrivals_are_one_transaction_and_each_hears_its_own(middle: Middle) -> None:
    deal = Notification("crm", "deal", "7")
    arrivals = [
        Arrival([Entry(order(1)), Entry(order(2))]),
        Arrival([Entry(order(2)), Entry(order(2))]),
        Arrival(notifications=[deal, Notification("crm", "deal", "7", deleted=True)]),
        Arrival([Entry(order(3))], [deal]),
    ]
    answers = middle.wiring.publisher.accept_all(arrivals)
    assert answers == [Accepted(2, 0), Accepted(0, 2), Accepted(2, 0), Accepted(1, 1)]
    assert len(middle.bells.published) == 3
    assert middle.bells.rung == [("crm", False)]
    assert middle.one("SELECT count(DISTINCT xmin::text) AS n FROM event")["n"] == 1


def test_a_group_that_the_ledger_refuses_leaves_nothing_behind(middle: Middle) -> None:
    unstorable = order(2).model_copy(update={"data": {"number": "a\x00b"}})
    with pytest.raises(psycopg.DataError):
        middle.wiring.publisher.accept_all([Arrival([Entry(order(1))]), Arrival([Entry(unstorable)])])
    assert middle.rows("SELECT 1 FROM event") == []
    assert middle.bells.published == []


def test_what_nobody_took_is_published_again_payments_with_it(middle: Middle) -> None:
    middle.wiring.publisher.publish([order(1), payment(5, order=to_order(1), amount=rub(1))])
    middle.bells.published.clear()
    middle.rows("UPDATE event SET due_at = now() - interval '1 minute'")
    assert middle.wiring.publisher.republish(older_s=15) == 2
    assert middle.wiring.publisher.republish(older_s=15) == 0
    assert {event.subject for event in middle.bells.published} == {"order/1", "payment/5"}


def test_lanes_with_work_are_rung_and_idle_ones_are_not(middle: Middle) -> None:
    middle.take(order(1, total=rub(1)))
    middle.bells.rung.clear()
    assert middle.wiring.publisher.ring_due() == 1
    assert middle.bells.rung == [("crm", False)]
