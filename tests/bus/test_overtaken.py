"""A deletion that overtakes what was said before it: whoever comes late brings nothing back, and what lives does."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import permutations
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from bus import points
from bus.creating import know
from bus.envelope import Event, parse
from bus.ledger import records, retention
from bus.ledger.database import Ledger
from bus.model import money
from bus.observe import removal, take_in
from bus.ports import Entry
from tests.bus.ledger.middle import Middle, built, config, deal, eventually, gone, order, payment, rub, to_order

FIRST, LATE, DELETED, BACK = (f"2026-10-05T{at}:00Z" for at in ("09:00", "10:00", "10:05", "10:10"))
SUBJECT = "payment/5"


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        made.take(order(1, number="1001", total=rub(300)))
        yield made


def told(at: str, version: int | None = None, **data: Any) -> Event:
    return payment(5, at, version, order=to_order(1), amount=rub(300), status="paid", **data)


def deleted(at: str = DELETED, version: int | None = None) -> Event:
    event = {"source": "bank", "type": "payment.deleted", "subject": SUBJECT, "time": at}
    return parse(event | ({"sourceversion": str(version)} if version else {}))


def paid(middle: Middle) -> int:
    """What counts as paid of the order."""
    total = middle.fields("shop/order/1").get("paid_total")
    return int(money(total)) if total else 0


@pytest.mark.parametrize("versions", [(None, None, None), (1, 2, 3)])
@pytest.mark.parametrize("places", [*permutations(range(3))])
@pytest.mark.parametrize("together", [False, True])
def test_money_that_was_deleted_stays_so_in_whatever_order_it_is_told(
    middle: Middle, versions: tuple[int | None, ...], places: tuple[int, ...], together: bool
) -> None:
    first, second, last = versions
    events = [told(FIRST, first), told(LATE, second, external_number="B"), deleted(version=last)]
    some = [events[place] for place in places]
    for batch in [some] if together else [[event] for event in some]:
        middle.take(*batch)
    assert paid(middle) == 0
    assert middle.due() <= {"crm"}, "the shop is given no payment"


def test_what_comes_late_is_stale_and_says_why(middle: Middle) -> None:
    middle.take(told(FIRST))
    middle.take(deleted())
    middle.take(told(LATE, external_number="B"))
    ended = middle.one("SELECT outcome, error FROM event WHERE occurred_at = %s AND subject = %s", LATE, SUBJECT)
    assert ended == {"outcome": "STALE", "error": "from before its record was deleted there"}


def test_so_is_a_first_word_that_was_overtaken(middle: Middle) -> None:
    middle.take(deleted())
    middle.take(told(LATE))
    assert middle.outcome(SUBJECT) == ["OVERRULED", "STALE"]
    assert middle.rows("SELECT 1 FROM entity WHERE kind = 'payment'") == []


def test_one_that_names_a_known_payment_is_no_exception(middle: Middle) -> None:
    middle.take(payment(8, FIRST, source="shop", order=to_order(1), amount=rub(300), status="paid"))
    middle.take(deleted())
    middle.take(told(LATE, records=[{"system": "shop", "type": "payment", "id": "8"}]))
    assert middle.outcome(SUBJECT) == ["OVERRULED", "STALE"]
    assert middle.rows("SELECT 1 FROM record WHERE system = 'bank'") == []


def test_one_that_waited_for_its_order_is_none_either(middle: Middle) -> None:
    middle.take(payment(5, LATE, order=to_order(2), amount=rub(300), status="paid"))
    middle.take(deleted())
    middle.take(order(2, total=rub(300)))
    assert middle.outcome(SUBJECT) == ["STALE", "OVERRULED"]
    assert middle.fields("shop/order/2").get("payment_status") in (None, "unpaid")


def test_the_same_event_sent_again_when_the_journal_has_forgotten_it_brings_nothing_back(middle: Middle) -> None:
    middle.take(told(FIRST))
    middle.take(deleted())
    middle.rows("DELETE FROM event")
    middle.take(told(FIRST))
    assert (middle.outcome(SUBJECT), paid(middle)) == (["STALE"], 0)


def test_nor_when_the_ledger_has_forgotten_all_of_it(middle: Middle) -> None:
    middle.take(told(FIRST))
    middle.take(deleted())
    middle.rows("UPDATE delivery SET state = 'idle'")
    for table, columns in {"entity": ("created_at", "updated_at"), "record": ("updated_at",)}.items():
        for column in columns:
            middle.rows(f"UPDATE {table} SET {column} = {column} - interval '200 days'")
    with middle.ledger.transaction() as connection:
        assert retention.FORGET["entity"](connection, 90, 100) == 1
    middle.rows("DELETE FROM event")
    middle.take(told(FIRST))
    assert (middle.outcome(SUBJECT), paid(middle)) == (["STALE"], 0)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("version", "at"), [(None, BACK), (4, BACK), (4, LATE)])
@pytest.mark.parametrize("together", [False, True])
def test_what_was_said_after_the_deletion_brings_it_back(
    middle: Middle, known: bool, version: int | None, at: str, together: bool
) -> None:
    """By its version, where both have one; else by its system's clock."""
    if known:
        middle.take(told(FIRST, version and 1))
    events = [deleted(version=version and 3), told(at, version)]
    for batch in [events] if together else [[event] for event in events]:
        middle.take(*batch)
    assert paid(middle) == 300
    assert middle.letters() == []


def test_a_deletion_that_was_overtaken_by_a_later_version_is_late_itself(middle: Middle) -> None:
    middle.take(told(FIRST, 1))
    middle.take(told(BACK, 4))
    middle.take(deleted(version=3))
    assert middle.outcome(SUBJECT)[-1] == "STALE"
    assert paid(middle) == 300


@pytest.mark.parametrize("places", [*permutations(range(3))])
@pytest.mark.parametrize("external_number", ["A", "B"])
def test_so_it_is_by_its_systems_clock_where_there_is_none(
    middle: Middle, places: tuple[int, ...], external_number: str
) -> None:
    events = [told(FIRST, external_number="A"), deleted(), told(BACK, external_number=external_number)]
    for place in places:
        middle.take(events[place])
    assert paid(middle) == 300


def test_one_that_another_system_names_by_then_is_gone_all_the_same(middle: Middle) -> None:
    middle.take(deleted())
    named = {"records": [{"system": "bank", "type": "payment", "id": "5"}]}
    middle.take(payment(8, FIRST, source="shop", order=to_order(1), amount=rub(300), status="pending", **named))
    middle.take(told(LATE))
    assert middle.outcome(SUBJECT) == ["OVERRULED", "STALE"]
    assert paid(middle) == 0
    middle.take(told(BACK))
    assert paid(middle) == 300


def test_a_record_that_is_made_again_may_count_its_versions_anew(middle: Middle) -> None:
    """What it says then is heard, and of that a late word is late again."""
    middle.take(told(FIRST, 9, external_number="A"))
    middle.take(deleted())
    middle.take(told(BACK, 2, external_number="C"))
    middle.take(told("2026-10-05T10:08:00Z", 1, external_number="B"))
    assert middle.outcome(SUBJECT)[-2:] == ["APPLIED", "STALE"]
    assert middle.fields("bank/payment/5", "payment")["external_number"] == "C"


def test_of_two_deletions_the_later_counts_whichever_came_first(middle: Middle) -> None:
    middle.take(told(FIRST))
    middle.take(deleted("2026-10-05T12:00:00Z"))
    middle.take(deleted())
    middle.take(told(BACK))
    assert middle.outcome(SUBJECT)[-1] == "STALE"


# --- what we read ourselves ---


def reading(began: datetime, at: str = FIRST, comment: str = "there") -> Entry:
    """The shop's order as it was read, by a reading that began then."""
    return Entry(order(9, at, 20, comment=comment), observed_at=began)


def missed(middle: Middle) -> Entry:
    """It was looked for, and is not there."""
    return removal("shop", "order", "order/9", middle.ledger.now(), f"1{uuid4()}")


def hear(middle: Middle, *entries: Entry) -> None:
    with middle.ledger.transaction() as connection:
        events = take_in(connection, entries)
    middle.take(*events)


def seen(middle: Middle) -> tuple[str, list[str], int]:
    """The last outcome, whether the order stands in the shop, and how many readings were asked for."""
    asked = middle.rows("SELECT 1 FROM event WHERE type = 'order.reread' AND subject = 'order/9'")
    states = middle.rows("SELECT state FROM record WHERE system = 'shop' AND external_id = '9'")
    last = middle.rows("SELECT outcome FROM event WHERE subject = 'order/9' AND outcome IS NOT NULL ORDER BY seq")
    return last[-1]["outcome"], [row["state"] for row in states], len(asked)


@pytest.mark.parametrize("known", [True, False])
def test_a_reading_from_before_the_deletion_was_noted_is_read_again_and_one_from_after_it_lives(
    middle: Middle, known: bool
) -> None:
    """The very same state: that its id is known from the first time does not keep it out."""
    if known:
        hear(middle, reading(middle.ledger.now(), comment="before"))
    began = middle.ledger.now()
    hear(middle, missed(middle))
    hear(middle, reading(began))
    assert seen(middle) == ("STALE", ["deleted"] if known else [], 1)
    hear(middle, reading(middle.ledger.now()))
    assert seen(middle) == ("APPLIED", ["linked"], 1)


def test_a_record_that_is_there_again_as_it_was_is_linked_again(middle: Middle) -> None:
    hear(middle, reading(middle.ledger.now()))
    hear(middle, missed(middle))
    hear(middle, reading(middle.ledger.now()))
    assert seen(middle)[1] == ["linked"]


def test_what_told_us_of_a_deletion_is_no_version_of_the_record(middle: Middle) -> None:
    hear(middle, reading(middle.ledger.now()))
    hear(middle, missed(middle))
    assert middle.one("SELECT version FROM event WHERE type = 'order.deleted'")["version"] is None
    assert seen(middle)[1] == ["deleted"]


def test_a_stranger_that_lives_and_stays_one_is_news_once(database_url: str) -> None:
    """The shop begins nothing here; each of its readings would be an event for ever."""
    with built(database_url, config(shop={"routes": {"order": {"in": "update-only"}}})) as middle:
        hear(middle, reading(middle.ledger.now()))
        hear(middle, missed(middle))
        for _ in range(4):
            hear(middle, reading(middle.ledger.now()))
        told = middle.rows("SELECT outcome FROM event WHERE type = 'order.changed' AND subject = 'order/9'")
        assert [row["outcome"] for row in told] == ["OVERRULED", "OVERRULED"]


def test_what_was_looked_for_in_vain_and_never_known_leaves_nothing(middle: Middle) -> None:
    hear(middle, removal("crm", "deal", "deal/9", middle.ledger.now(), "1", told=False))
    assert middle.rows("SELECT 1 FROM tombstone") == []
    hear(middle, removal("crm", "deal", "deal/9", middle.ledger.now(), "2"))
    assert len(middle.rows("SELECT 1 FROM tombstone")) == 1


def test_what_a_file_tells_after_it_told_of_the_deletion_is_there_again(middle: Middle) -> None:
    """The very same state, marked and unmarked in 1C: a file has no reading of ours, and a time."""
    said = replace(reading(middle.ledger.now()), observed_at=None)
    hear(middle, said)
    hear(middle, removal("shop", "order", "order/9", said.event.time + timedelta(minutes=1), "1"))
    hear(middle, said)
    assert seen(middle)[1] == ["deleted"]
    later = said.event.model_copy(update={"time": said.event.time + timedelta(minutes=2)})
    hear(middle, replace(said, event=later))
    assert seen(middle)[1] == ["linked"]


def journaled(middle: Middle, *entries: Entry) -> list[Event]:
    """Taken in, and not heard yet."""
    with middle.ledger.transaction() as connection:
        return take_in(connection, entries)


ORDERS = pytest.mark.parametrize("places", [[[0, 1]], [[0], [1]], [[1], [0]]], ids=["together", "first", "last"])
"""How a reading and a deletion, in this order, are merged."""


def heard(middle: Middle, events: list[Event], places: list[list[int]]) -> None:
    """Of what waits beside it each batch takes nothing: that is still on its way."""
    pipeline = middle.wiring.pipeline
    for batch in places:
        seqs = pipeline.journaled([events[place] for place in batch])
        pipeline.tell(middle.ledger.run(partial(pipeline.within, seqs=seqs)))
    middle.heard()


@ORDERS
def test_a_new_record_that_a_look_up_missed_by_a_moment_is_there(middle: Middle, places: list[list[int]]) -> None:
    """Two look-ups of what is just being made cross: the first finds nothing, and is journaled last."""
    middle.take(payment(8, FIRST, order=to_order(9), amount=rub(300), status="paid"))
    noticed = middle.ledger.now()
    there = journaled(middle, reading(middle.ledger.now()))
    absent = journaled(middle, removal("shop", "order", "order/9", noticed, "1", told=False))
    heard(middle, [*there, *absent], places)
    assert seen(middle)[1] == ["linked"]
    assert money(middle.fields("shop/order/9")["paid_total"]) == 300


def test_a_known_record_that_is_looked_for_in_vain_is_deleted(middle: Middle) -> None:
    hear(middle, reading(middle.ledger.now()))
    hear(middle, removal("shop", "order", "order/9", middle.ledger.now(), "1", told=False))
    assert seen(middle) == ("APPLIED", ["deleted"], 0)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("comment", ["as it was", "changed"])
@pytest.mark.parametrize("at", [FIRST, "2036-10-05T09:00:00Z"])
@ORDERS
def test_a_record_that_was_read_since_its_deletion_was_noted_lives(
    middle: Middle, known: bool, comment: str, at: str, places: list[list[int]]
) -> None:
    """Whichever of the two is merged first, and whenever it was changed last: it shows the state that was known."""
    if known:
        hear(middle, reading(middle.ledger.now(), at, "as it was"))
    events = journaled(middle, missed(middle))
    events += journaled(middle, reading(middle.ledger.now(), at, comment))
    heard(middle, events, places)
    assert seen(middle)[1] == ["linked"]
    hear(middle, missed(middle))
    assert seen(middle)[1] == ["deleted"]


def test_a_deletion_that_was_noted_before_the_last_reading_is_looked_into(middle: Middle) -> None:
    hear(middle, reading(middle.ledger.now()))
    events = journaled(middle, missed(middle))
    began = middle.ledger.now()
    hear(middle, reading(began, comment="changed"))
    middle.take(*events)
    ended = middle.one("SELECT outcome, error FROM event WHERE type = 'order.deleted'")
    assert ended == {"outcome": "STALE", "error": "its record was read since; read again"}
    assert seen(middle)[2] == 1


def test_a_known_state_is_no_news_where_the_deletion_was_noted_after_it_was_read(middle: Middle) -> None:
    hear(middle, reading(middle.ledger.now()))
    began = middle.ledger.now()
    events = journaled(middle, missed(middle))
    assert journaled(middle, reading(began)) == []
    middle.take(*events)
    assert seen(middle)[1] == ["deleted"]


# --- what we made ---


def made(middle: Middle, deal: str) -> int:
    """The answer to the call that made the deal is in. How many readings of it are asked for by now."""
    order = middle.entity("shop/order/1")
    middle.ledger.run(partial(know, "crm", order, "deal", deal))
    query = "SELECT 1 FROM event WHERE type = 'deal.reread' AND subject = %s AND source = 'crm' AND state = 'notified'"
    return len(middle.rows(query, f"deal/{deal}"))


def test_a_deal_that_was_deleted_before_our_answer_was_in_is_read_and_found_gone(middle: Middle) -> None:
    with middle.ledger.transaction() as connection:
        records.begin_creating(connection, [middle.entity("shop/order/1").id], "crm", "deal")
    middle.take(gone("crm", "deal", "deal/77"))
    assert made(middle, "77") == 1
    hear(middle, removal("crm", "deal", "deal/77", middle.ledger.now(), "the reading", told=False))
    assert middle.entity("shop/order/1").deleted_in("crm")


def test_one_that_lives_though_it_was_deleted_once_is_read_once(middle: Middle) -> None:
    middle.take(gone("crm", "deal", "deal/77"))
    assert made(middle, "77") == 1
    middle.rows("UPDATE event SET state = 'done' WHERE type = 'deal.reread'")
    for _ in range(2):
        hear(middle, Entry(deal(77, FIRST, 20), observed_at=middle.ledger.now()))
    assert middle.rows("SELECT 1 FROM event WHERE type = 'deal.reread' AND state = 'notified'") == []
    assert not middle.entity("shop/order/1").deleted_in("crm")


def test_one_of_which_no_deletion_is_known_is_not_read(middle: Middle) -> None:
    assert made(middle, "77") == 0


# --- two at once ---


@pytest.mark.parametrize("first", ["word", "deletion"])
def test_a_first_word_and_its_deletion_at_the_same_moment_see_each_other(
    middle: Middle, database_url: str, first: str
) -> None:
    """Neither knows of the other when it looks who that is; the keys' locks make one of them look again."""
    one, other = (told(LATE), deleted()) if first == "word" else (deleted(), told(LATE))
    with built(database_url) as second:
        late = Thread(target=second.wiring.pipeline.process, args=[[other]])

        def meanwhile(name: str) -> None:
            if name == "path.merged" and not late.ident:
                points.disarm()
                late.start()
                eventually(lambda: waits(second.ledger) or not late.is_alive())

        points.arm(meanwhile)
        try:
            middle.wiring.pipeline.process([one])
        finally:
            points.disarm()
            late.join(10)
    assert late.ident
    assert paid(middle) == 0


def waits(ledger: Ledger) -> bool:
    with ledger.transaction() as connection:
        query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return connection.execute(query).fetchone() is not None


def test_a_tombstone_remembers_the_latest_of_all(middle: Middle) -> None:
    middle.take(deleted(version=3), deleted("2026-10-05T12:00:00Z", 2))
    middle.take(deleted("2026-10-05T11:00:00Z"))
    found = middle.one("SELECT version, at, noted_at FROM tombstone")
    assert (found["version"], found["at"].hour) == (None, 12), "one had none: the clock decides"
    assert found["noted_at"] <= middle.ledger.now() + timedelta(0)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("version", "at"), [(5, "2026-10-05T10:20:00Z"), (None, "2026-10-05T10:20:00Z")])
def test_a_version_says_nothing_of_a_later_deletion_that_has_none(
    middle: Middle, together: bool, version: int | None, at: str
) -> None:
    middle.take(told(FIRST, 2))
    middle.take(deleted(version=3))
    middle.take(told(BACK, 4))
    events = [deleted("2026-10-05T11:00:00Z"), told(at, version, external_number="B")]
    for batch in [events] if together else [[event] for event in events]:
        middle.take(*batch)
    assert paid(middle) == 0


@pytest.mark.parametrize("together", [False, True])
def test_an_older_deletion_counts_for_one_that_is_there_again_and_is_deleted_again(
    middle: Middle, together: bool
) -> None:
    """As one batch it comes to what it does one by one: of a record that is linked its tombstone is known too."""
    middle.take(told(FIRST, 1))
    middle.take(deleted("2026-10-05T12:00:00Z"))
    middle.take(told("2026-10-05T12:30:00Z", 2))
    events = [deleted("2026-10-05T11:00:00Z", 3), told("2026-10-05T11:30:00Z", 4, external_number="B")]
    for batch in [events] if together else [[event] for event in events]:
        middle.take(*batch)
    assert paid(middle) == 0


def test_a_deleted_order_is_no_payment_and_does_the_same(middle: Middle) -> None:
    middle.take(order(2, FIRST, comment="x"))
    middle.take(gone("shop", "order", "order/2", DELETED))
    middle.take(order(2, LATE, comment="y"))
    assert middle.outcome("order/2")[-1] == "STALE"
