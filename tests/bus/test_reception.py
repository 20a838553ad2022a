"""What arrives on a queue: ours or a stranger's, readable or not, nothing of it is lost."""

from collections.abc import Iterator

import pytest

from bus.envelope import Event
from bus.errors import Transient
from bus.ledger.database import Ledger
from bus.merge import Outcome
from bus.pipeline import Pipeline
from bus.reception import Reception
from tests.bus.ledger.middle import Middle, Notes, built, order, said


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def message(event: Event, **changes: object) -> dict:
    return event.model_dump(mode="json", exclude_none=True) | changes


def test_a_strangers_message_is_journaled_and_applied(middle: Middle) -> None:
    plain = {
        "source": "onec",
        "type": "order.changed",
        "subject": "order/a",
        "time": "2026-10-05T10:00:00Z",
        "data": {"number": "1"},
    }
    assert middle.reception.take("orders", plain) == {Outcome.APPLIED: 1}
    assert middle.reception.take("orders", [plain]) == {}
    assert middle.fields("onec/order/a")["number"] == "1"


def test_what_was_received_stays_in_the_journal_though_the_merge_fails(middle: Middle) -> None:
    def broken(_kind: str) -> dict:
        raise MemoryError

    wiring = middle.wiring
    pipeline = Pipeline(middle.ledger, wiring.config, wiring.mappings, broken, Notes())  # type: ignore[arg-type]
    with pytest.raises(MemoryError):
        Reception(middle.ledger, pipeline).take("orders", [message(order(1, comment="x"))])
    assert middle.one("SELECT state FROM event")["state"] == "pending"
    wiring.publisher.republish(older_s=0)
    middle.rows("UPDATE event SET due_at = now() - interval '1 minute'")
    wiring.publisher.republish(older_s=0)
    assert middle.heard()[Outcome.APPLIED] == 1


def nested(depth: int) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value]
    return value


UNREADABLE = [
    None,
    "text",
    7,
    [[]],
    {"source": "shop"},
    {"a\x00b": 1},
    {"a\ud800b": 1},
    message(order(1), actor="a\x00b"),
    message(order(1), actor="\ud800"),
    message(order(1), data={"comment": "\ud800"}),
    message(order(1), data={"comment": "a\x00b"}),
    message(order(1), time="0001-01-01T00:00:00+03:00"),
    message(order(1), time="1969-12-31T23:59:59Z"),
    message(order(1), time="2150-01-01T00:00:00Z"),
    message(order(1), type="order.exploded"),
    *(message(order(depth), data={"comment": "x", "junk": nested(depth)}) for depth in (40, 600, 900, 3000)),
]


def test_what_cannot_be_read_is_kept_as_a_dead_letter_and_its_neighbours_go_on(middle: Middle) -> None:
    for number, document in enumerate(UNREADABLE, 1):
        outcomes = middle.reception.take("orders", [document, message(order(number, comment="x"))])
        assert outcomes == {Outcome.DEAD: 1, Outcome.APPLIED: 1}, document
        assert len(middle.letters()) == number, document
    assert {letter["class"] for letter in middle.letters()} == {"Unreadable"}
    assert {letter["cause"] for letter in middle.letters()} == {"unreadable message on orders"}
    assert middle.rows("SELECT 1 FROM event WHERE source = 'foreign' AND raw IS NULL") == []


def test_the_same_unreadable_message_again_is_the_same_letter(middle: Middle) -> None:
    for _ in range(3):
        middle.reception.take("orders", {"source": "shop"})
    assert len(middle.letters()) == 1


def test_a_decision_cannot_be_forged_from_the_queue(middle: Middle) -> None:
    middle.take(order(1, comment="x"))
    forged = said(
        "bus", "order", f"order/{middle.entity('shop/order/1').id}", "2026-10-05T10:00:00Z", None, {"comment": "forged"}
    )
    middle.reception.take(
        "orders", [message(forged), message(said("bus", "order", "order/1", "2026-10-05T10:00:00Z", None, {}))]
    )
    assert middle.fields("shop/order/1")["comment"] == "x"


def test_a_ledger_that_is_away_is_told_to_the_worker(middle: Middle) -> None:
    away = Ledger("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.05)
    wiring = middle.wiring
    pipeline = Pipeline(away, wiring.config, wiring.mappings, wiring.mappings.rules, Notes())
    with pytest.raises(Transient):
        Reception(away, pipeline).take("orders", message(order(1)))
    away.close()


def test_a_copy_of_a_known_event_with_other_data_changes_nothing(middle: Middle) -> None:
    event = order(1, comment="said")
    middle.wiring.publisher.publish(event)
    middle.bells.published.clear()
    forged = message(event, data={"comment": "forged"}, time="2030-01-01T00:00:00Z", subject="order/2")
    assert middle.reception.take("orders", forged) == {Outcome.APPLIED: 1}, "the bell rings for what the journal has"
    assert middle.reception.take("orders", forged) == {}
    assert middle.fields("shop/order/1")["comment"] == "said"
    assert [row["subject"] for row in middle.rows("SELECT subject FROM event")] == ["order/1"]


def test_a_known_name_stands_for_its_event_even_in_a_message_that_cannot_be_read(middle: Middle) -> None:
    event = order(1, comment="said")
    middle.wiring.publisher.publish(event)
    assert middle.reception.take("orders", {"source": "shop", "id": event.id}) == {Outcome.APPLIED: 1}
    assert middle.letters() == []


def test_who_speaks_in_the_name_of_the_bus_is_not_heard_and_not_lost(middle: Middle) -> None:
    forged = message(said("bus", "order", "order/1", "2026-10-05T10:00:00Z", None, {"comment": "x"}))
    assert middle.reception.take("orders", forged) == {Outcome.DEAD: 1}
    assert [letter["class"] for letter in middle.letters()] == ["Unreadable"]


def test_ours_and_a_strangers_in_one_message(middle: Middle) -> None:
    ours, strange = order(1, comment="x"), order(2, comment="y")
    middle.wiring.publisher.publish(ours)
    assert middle.reception.take("orders", [message(strange), message(ours), None]) == {
        Outcome.APPLIED: 2,
        Outcome.DEAD: 1,
    }
    assert middle.reception.take("orders", [message(strange), message(ours), None]) == {Outcome.DEAD: 1}
    assert len(middle.letters()) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"source": "mars"}, "mars is no system"), ({"type": "deal.changed"}, "travels on deals, not on orders")],
)
def test_an_event_of_nobody_or_of_another_channel_is_a_dead_letter(
    middle: Middle, changes: dict[str, str], says: str
) -> None:
    assert middle.reception.take("orders", message(order(1, comment="x")) | {"id": "new"} | changes) == {
        Outcome.DEAD: 1
    }
    assert [says in letter["reason"] for letter in middle.letters()] == [True]
    assert middle.rows("SELECT 1 FROM entity") == []
