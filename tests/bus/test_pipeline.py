"""The path over a real ledger: batches, poison, repeats, races, waiting, what is held, and the switches."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from threading import Barrier, Thread

import pytest

from bus.envelope import Event
from bus.errors import BadInput, Transient
from bus.ledger import history, journal
from bus.ledger.database import Ledger
from bus.merge import Outcome, Rules
from bus.model import Kind
from bus.pipeline import Pipeline
from bus.ports import Entry, Held
from tests.bus.ledger.middle import (
    Middle,
    Notes,
    built,
    config,
    deal,
    eventually,
    gone,
    order,
    payment,
    rub,
    said,
    to_order,
)

LATER, LATEST = "2026-10-05T11:00:00Z", "2026-10-05T12:00:00Z"


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


# --- the path ---


def test_an_event_is_applied_remembered_and_due_everywhere_else(middle: Middle) -> None:
    assert middle.take(order(1, number="1001", comment="hello")) == {Outcome.APPLIED: 1}
    known = middle.entity("shop/order/1")
    assert known.view.fields == {"number": "1001", "comment": "hello", "payment_status": "unpaid"}
    assert known.records[0].view.base == {"number": "1001", "comment": "hello"}
    assert middle.due(known.id) == {"crm"}
    with middle.ledger.transaction() as connection:
        story = history.of_entity(connection, known.id)
    told = {(line["field"], line["actor"], line["what"], line["rule"]) for line in story}
    assert ("comment", "shop", "changed", "first word") in told
    assert ("payment_status", "bus", "changed", "sum of payments") in told


def test_the_lane_that_is_due_is_rung_after_the_commit(middle: Middle) -> None:
    middle.take(order(1, comment="x"))
    assert ("crm", False) in middle.bells.rung
    assert ("crm", True) not in middle.bells.rung


def test_a_payment_rings_the_payments_lane(middle: Middle) -> None:
    middle.take(order(1, total=rub(100)))
    middle.bells.rung.clear()
    middle.take(payment(5, order=to_order(1), amount=rub(100), status="paid"))
    assert {("crm", True), ("shop", True)} <= set(middle.bells.rung)


def test_nothing_is_nothing(middle: Middle) -> None:
    assert middle.wiring.pipeline.process([]) == {}


@pytest.mark.parametrize("times", [2, 5])
def test_the_same_message_again_changes_nothing(middle: Middle, times: int) -> None:
    some = [
        order(1, comment="x"),
        deal(7, records=[to_order(1)]),
        payment(5, order=to_order(1), amount=rub(1), status="paid"),
    ]
    middle.take(*some)
    before = middle.rows("SELECT * FROM entity ORDER BY id"), middle.rows("SELECT * FROM history ORDER BY id")
    for _ in range(times):
        assert middle.take(*some) == {}
    assert (middle.rows("SELECT * FROM entity ORDER BY id"), middle.rows("SELECT * FROM history ORDER BY id")) == before


def test_events_of_one_message_are_merged_in_the_order_in_which_they_happened(middle: Middle) -> None:
    for number in range(8):  # ids are hashes: some of them sort the wrong way round
        middle.take(
            order(number, comment="first"), order(number, LATER, comment="then"), order(number, LATEST, comment="last")
        )
        assert middle.fields(f"shop/order/{number}")["comment"] == "last"


def test_a_later_version_that_came_first_stands(middle: Middle) -> None:
    middle.take(order(1, LATER, 2, comment="new"))
    middle.take(order(1, version=1, comment="old"))
    assert middle.outcome("order/1") == ["APPLIED", "STALE"]
    assert middle.fields("shop/order/1")["comment"] == "new"


def test_a_record_that_was_deleted_is_noted_and_not_made_again(middle: Middle) -> None:
    middle.take(order(1, comment="x"), deal(7, records=[to_order(1)]))
    middle.take(gone("crm", "deal", "deal/7"))
    middle.take(order(1, LATER, comment="y"))
    assert middle.outcome("deal/7")[-1] == "APPLIED"
    assert middle.due() == set()
    assert middle.one("SELECT state FROM record WHERE system = 'crm'")["state"] == "deleted"


def test_a_record_that_came_back_is_written_again(middle: Middle) -> None:
    middle.take(order(1, comment="x"), deal(7, records=[to_order(1)]))
    middle.take(gone("crm", "deal", "deal/7"), gone("crm", "deal", "deal/7", "2026-10-06T11:00:00Z"))
    assert middle.outcome("deal/7")[-2:] == ["APPLIED", "UNCHANGED"]
    middle.take(deal(7, "2026-10-07T10:00:00Z", comment="x"))
    middle.take(order(1, "2026-10-08T10:00:00Z", comment="y"))
    assert middle.due() == {"crm"}


# --- poison ---


def spoil(middle: Middle, subject: str, data: str) -> None:
    """What an older release journaled and this one cannot read any more."""
    middle.rows("UPDATE event SET data = %s::jsonb WHERE subject = %s", data, subject)


@pytest.mark.parametrize(
    ("poison", "data"),
    [
        (order(66), '{"status": "nonsense"}'),
        (order(66), '{"records": [{"id": "5"}]}'),
        (order(66), '{"records": "5"}'),
        (
            payment(66, order=to_order(1), amount=rub(1)),
            '{"order": {"system": "shop", "id": "1"}, "status": "nonsense"}',
        ),
        (payment(66, order=to_order(1), amount=rub(1)), '{"order": "1"}'),
        (said("bus", "order", "order/66", LATER, None, {}), '{"comment": "x"}'),
    ],
)
def test_a_poisonous_event_is_set_aside_and_the_others_go_on(middle: Middle, poison: Event, data: str) -> None:
    middle.take(order(1))
    middle.wiring.publisher.publish([order(2, comment="x"), poison, order(3, comment="y")])
    spoil(middle, poison.subject, data)
    outcomes = middle.heard()
    assert (outcomes[Outcome.APPLIED], outcomes[Outcome.DEAD] + outcomes[Outcome.OVERRULED]) == (2, 1)
    assert middle.outcome(poison.subject) in (["DEAD"], ["OVERRULED"])
    assert middle.fields("shop/order/3")["comment"] == "y"
    assert middle.rows("SELECT 1 FROM event WHERE state = 'pending'") == []


def test_a_dead_letter_of_an_event_says_whose_and_why_and_not_what(middle: Middle) -> None:
    middle.wiring.publisher.publish([order(66, customer={"phone": "+79991234567"})])
    spoil(middle, "order/66", '{"customer": {"phone": ["+79991234567"]}}')
    middle.heard()
    letter = middle.letters()[0]
    assert (letter["system"], letter["sent"]) == ("shop", {"subject": "order/66"})
    assert "9991234567" not in f"{letter}"


def test_an_empty_date_of_1c_does_no_harm(middle: Middle) -> None:
    middle.take(order(1, total=rub(100)))
    with pytest.raises(BadInput, match="paid_at"):
        payment(5, paid_at="0001-01-01T00:00:00+03:00", order=to_order(1), amount=rub(100), status="paid")


def test_a_ledger_that_is_away_is_transient_and_nothing_is_half_done(middle: Middle) -> None:
    away = Ledger("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.05)
    pipeline = Pipeline(away, middle.wiring.config, middle.wiring.mappings, middle.wiring.mappings.rules, Notes())
    try:
        with pytest.raises(Transient, match="cannot be reached"):
            pipeline.process([order(1)])
    finally:
        away.close()


# --- together ---


def test_what_waits_in_other_messages_for_the_same_record_is_merged_with_the_first(middle: Middle) -> None:
    waiting = [
        order(1, comment="a"),
        order(1, LATER, comment="b"),
        order(1, LATEST, comment="c"),
        order(2, comment="d"),
    ]
    for event in waiting:
        middle.wiring.publisher.publish(event)
    assert middle.wiring.pipeline.process(waiting[1:2]) == {Outcome.APPLIED: 3}
    assert middle.fields("shop/order/1")["comment"] == "c"
    known = middle.entity("shop/order/1")
    assert known.revision == 1, "ten edits are one write"
    assert middle.one("SELECT wanted FROM delivery")["wanted"] == 1
    for event in waiting[:3]:
        assert middle.wiring.pipeline.process([event]) == {}, "its message comes later, and finds it done"
    assert middle.wiring.pipeline.process(waiting[3:]) == {Outcome.APPLIED: 1}


def test_what_someone_else_has_in_hand_is_left_to_him(middle: Middle) -> None:
    for event in (order(1, comment="a"), order(1, LATER, comment="b")):
        middle.wiring.publisher.publish(event)
    with middle.ledger.transaction() as other:
        other.execute("SELECT 1 FROM event WHERE occurred_at = %s FOR UPDATE", [LATER])
        assert middle.wiring.pipeline.process([order(1, comment="a")]) == {Outcome.APPLIED: 1}
    assert middle.fields("shop/order/1")["comment"] == "a"
    assert middle.wiring.pipeline.process([order(1, LATER, comment="b")]) == {Outcome.APPLIED: 1}
    assert middle.fields("shop/order/1")["comment"] == "b"


def test_no_more_is_taken_along_than_is_allowed(middle: Middle) -> None:
    events = [order(1, f"2026-10-05T10:00:{second:02}Z", comment=f"{second}") for second in range(9)]
    middle.wiring.publisher.publish(events)
    with middle.ledger.transaction() as connection:
        taken = journal.take(connection, [middle.one("SELECT min(seq) AS seq FROM event")["seq"]])
        assert len(journal.take_more(connection, taken, 5)) == 5


def test_what_cannot_be_merged_for_its_entitys_sake_is_set_aside_and_its_neighbours_go_on(middle: Middle) -> None:
    """The ledger itself holds something that this release cannot reckon with."""
    middle.take(order(1, total=rub(1)), order(2, total=rub(2)))
    unknown = """UPDATE entity SET fields = fields || '{"total": {"amount": "x", "currency": "RUB"}}' WHERE id = %s"""
    middle.rows(unknown, middle.entity("shop/order/1").id)
    later = [order(1, LATER, comment="a"), order(1, LATEST, comment="b"), order(2, LATER, comment="c")]
    middle.wiring.publisher.publish(later)
    assert middle.heard() == {Outcome.DEAD: 2, Outcome.APPLIED: 1}
    assert middle.fields("shop/order/2")["comment"] == "c"
    assert len(middle.letters()) == 2


# --- waiting ---


def test_a_payment_waits_for_its_order_by_name_and_is_woken(middle: Middle) -> None:
    assert middle.take(payment(5, order=to_order(1), amount=rub(100), status="paid")) == {Outcome.WAITING: 1}
    waiting = middle.one("SELECT state, waits_for, deadline > now() AS later FROM event WHERE subject = 'payment/5'")
    assert waiting == {"state": "waiting", "waits_for": "shop/order/1", "later": True}
    assert ("shop", True) in middle.bells.rung, "the order is fetched at once"
    assert middle.one("SELECT subject FROM event WHERE state = 'notified'")["subject"] == "order/1"
    middle.take(order(1, total=rub(100), status="new"))
    assert middle.outcome("payment/5") == ["APPLIED"]
    assert middle.fields("shop/order/1")["status"] == "paid"


def test_a_payment_may_wait_for_a_number(middle: Middle) -> None:
    middle.take(payment(5, order={"number": "1001"}, amount=rub(100), status="paid"))
    assert middle.rows("SELECT 1 FROM event WHERE state = 'notified'") == []
    middle.take(order(1, number="1001", total=rub(100)))
    assert middle.fields("shop/order/1")["payment_status"] == "paid"


def test_a_payment_in_the_batch_of_its_order_does_not_wait(middle: Middle) -> None:
    some = [payment(5, order=to_order(1), amount=rub(100), status="paid"), order(1, total=rub(100))]
    assert middle.take(*some)[Outcome.APPLIED] == 2


def test_only_record_types_that_a_system_has_are_asked_for(middle: Middle) -> None:
    middle.take(payment(5, order=to_order(1, "shop", "weird"), amount=rub(1)))
    assert middle.outcome("payment/5") == ["WAITING"]
    assert middle.rows("SELECT subject FROM event WHERE state = 'notified'") == []


def test_an_order_that_came_while_its_payment_began_to_wait_wakes_it_all_the_same(
    middle: Middle, database_url: str
) -> None:
    """The payment's worker has looked for the order in vain, and not yet committed that it waits."""
    with built(database_url) as other:
        came: list[Thread] = []

        def rules(kind: Kind) -> Rules:
            if not came:
                came.append(Thread(target=other.take, args=[order(1, number="1001", total=rub(100))]))
                came[0].start()
                eventually(lambda: not came[0].is_alive() or blocked(middle))
            return middle.wiring.mappings.rules(kind)

        slow = Pipeline(middle.ledger, middle.wiring.config, middle.wiring.mappings, rules, middle.bells)
        slow.process([payment(5, order=to_order(1), amount=rub(100), status="paid"), order(9)])
        came[0].join(20)
        other.heard()
        middle.heard()
        middle.wiring.chores.sweep()
        middle.heard()
    assert middle.outcome("payment/5") == ["APPLIED"]


def blocked(middle: Middle) -> bool:
    """Does a transaction on this ledger wait for another's lock?"""
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(middle.rows(waits))


# --- at once ---


def together(*work: Callable[[], object]) -> None:
    """Run these at the same moment; an error of any is the test's."""
    barrier, errors = Barrier(len(work)), []

    def run(job: Callable[[], object]) -> None:
        barrier.wait(10)
        try:
            job()
        except Exception as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [Thread(target=run, args=[job]) for job in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def test_two_first_events_of_one_thing_at_once_meet_in_its_natural_key(middle: Middle, database_url: str) -> None:
    with built(database_url) as other:
        for number in range(12):
            name = {"number": str(1000 + number)}
            together(
                lambda at=number, key=name: middle.take(order(at, **key)),
                lambda at=number, key=name: other.take(deal(at, **key)),
            )
    assert middle.one("SELECT count(*) AS n FROM entity")["n"] == 12
    assert middle.one("SELECT count(DISTINCT entity_id) AS n FROM record")["n"] == 12
    assert middle.rows("SELECT 1 FROM event WHERE state <> 'done'") == []


def story() -> list[Event]:
    """Orders, their deals, payments and edits, with versions, so that any order of arrival comes to the same."""
    some = []
    for number in range(10):
        some += [
            order(number, f"2026-10-05T1{at}:00:00Z", at + 1, number=f"{number}", total=rub(100), comment=f"c{at}")
            for at in range(3)
        ]
        some += [
            deal(number, "2026-10-05T10:30:00Z", 1, records=[to_order(number)], delivery={"address": f"a{number}"})
        ]
        some += [payment(number, order=to_order(number), amount=rub(60), status="paid")]
        some += [payment(100 + number, order=to_order(number), amount=rub(40), status="paid")]
    return some


def summary(middle: Middle) -> list[tuple]:
    return [
        (
            number,
            middle.fields(f"shop/order/{number}"),
            {one.system for one in middle.entity(f"crm/deal/{number}").records},
        )
        for number in range(10)
    ]


def test_overlapping_batches_at_once_come_to_what_one_after_the_other_does(middle: Middle, database_url: str) -> None:
    with built(database_url) as other:
        batches = []
        for seed in (1, 2):
            mixed = story()
            Random(seed).shuffle(mixed)
            batches.append([mixed[start : start + 12] for start in range(0, len(mixed), 12)])
        together(
            lambda: [middle.take(*batch) for batch in batches[0]],
            lambda: [other.take(*batch) for batch in batches[1]],
        )
        middle.wiring.chores.sweep()
        middle.wiring.publisher.republish(older_s=0)
        middle.heard()
        other.heard()
    for number, fields, systems in summary(middle):
        assert fields["comment"] == "c2"
        assert fields["delivery.address"] == f"a{number}"
        assert (fields["payment_status"], fields["paid_total"]) == ("paid", rub("100.00"))
        assert systems == {"shop", "crm"}
    assert middle.rows("SELECT subject, state, error FROM event WHERE state <> 'done' AND kind <> 'notification'") == []
    assert middle.letters() == []


def test_two_equal_payments_of_the_bank_at_once_are_two(middle: Middle, database_url: str) -> None:
    middle.take(
        order(1, total=rub(200)), payment(5, source="shop", order=to_order(1), amount=rub(100), status="pending")
    )
    with built(database_url) as other:
        together(
            lambda: middle.take(payment(77, LATER, order=to_order(1), amount=rub(100), status="paid")),
            lambda: other.take(payment(78, LATER, order=to_order(1), amount=rub(100), status="paid")),
        )
    assert middle.one("SELECT count(*) AS n FROM entity WHERE kind = 'payment'")["n"] == 2
    assert middle.fields("shop/order/1")["paid_total"] == rub("200.00")


def test_uniting_from_both_sides_at_once_leaves_one(middle: Middle, database_url: str) -> None:
    with built(database_url) as other:
        for number in range(6):
            middle.take(order(number, comment="o"))
            middle.take(deal(number, comment="d"))
            together(
                lambda at=number: middle.take(deal(at, LATER, records=[to_order(at)])),
                lambda at=number: other.take(order(at, LATER, records=[to_order(at, "crm", "deal")])),
            )
            assert middle.entity(f"shop/order/{number}").id == middle.entity(f"crm/deal/{number}").id
    assert middle.rows("SELECT 1 FROM event WHERE state <> 'done'") == []


# --- held ---


def held_deal(middle: Middle, stage: str) -> Entry:
    """A deal as the lane reads it, with a stage that may have no meaning yet."""
    from bus.ports import RawRecord
    from bus.translate import entry_of

    item = {"id": 7, "updatedTime": "2026-10-05T10:00:00+03:00", "stageId": stage, "categoryId": 0, "comments": "hello"}
    raw = {"item": item, "rows": [], "contact": None, "order_ids": []}
    return entry_of("crm", "bitrix24", RawRecord("deal", "7", raw), middle.wiring.mappings)


def test_an_unknown_code_is_held_and_named_and_the_rest_is_applied_until_the_tables_know_it(
    database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path
    with built(database_url, config(str(folder))) as middle:
        middle.wiring.publisher.accept([held_deal(middle, "UC_STRANGE")])
        assert middle.heard() == {Outcome.DEAD: 1}
        assert middle.fields("crm/deal/7")["comment"] == "hello"
        assert "status" not in middle.fields("crm/deal/7")
        letter = middle.letters()[0]
        assert "UC_STRANGE" in letter["cause"]
        assert "tables.yaml" in letter["reason"]
        assert middle.wiring.dead_letters.retry([letter["id"]], "op").sent == [letter["id"]]
        middle.heard()
        again = middle.letters()[0]
        assert (again["id"], again["attempts"]) == (letter["id"], 2), "tried with the old tables it is dead again"
    (folder / "tables.yaml").write_text("bitrix24: {codes: {deal_stage: {UC_STRANGE: shipped}}}", encoding="utf-8")
    with built(database_url, config(str(folder))) as middle:
        (retried,) = middle.wiring.dead_letters.retry_cause(letter["cause"], "op")
        assert retried.sent == [letter["id"]]
        assert middle.heard() == {Outcome.APPLIED: 1}
        assert middle.fields("crm/deal/7")["status"] == "shipped"
        assert [one["id"] for one in middle.letters("resolved")] == [letter["id"]]


def test_what_is_held_of_one_event_hurts_no_other(middle: Middle) -> None:
    strange = Entry(
        deal(7, comment="x"), held=(Held("status", "deal_stage", "UC_1", "deal_stage: 'UC_1' has no mapping"),)
    )
    middle.wiring.publisher.accept([strange, Entry(order(1, comment="y"))])
    assert middle.heard() == {Outcome.DEAD: 1, Outcome.APPLIED: 1}


# --- switches ---


@pytest.mark.parametrize(
    ("mode", "new", "change", "first_word"),
    [
        ("off", "OVERRULED", "OVERRULED", "OVERRULED"),
        ("create-only", "APPLIED", "OVERRULED", "OVERRULED"),
        ("update-only", "OVERRULED", "APPLIED", "APPLIED"),
        ("full", "APPLIED", "APPLIED", "APPLIED"),
    ],
)
def test_how_far_a_systems_word_is_let_in(database_url: str, mode: str, new: str, change: str, first_word: str) -> None:
    with built(database_url) as before:
        before.take(order(1, comment="x"), deal(7, records=[to_order(1)], comment="x"))
    with built(database_url, config(crm={"routes": {"order": {"in": mode, "out": "full"}}})) as middle:
        middle.take(deal(8, comment="new"))
        assert middle.outcome("deal/8") == [new]
        middle.take(deal(7, LATER, comment="y"))
        assert middle.outcome("deal/7")[-1] == change
        assert (middle.fields("shop/order/1")["comment"] == "y") == (change == "APPLIED")
        middle.take(deal(7, LATEST, delivery={"address": "never said before"}))
        assert middle.outcome("deal/7")[-1] == first_word


@pytest.mark.parametrize(
    ("mode", "creates", "updates"),
    [("off", False, False), ("create-only", True, False), ("update-only", False, True), ("full", True, True)],
)
def test_how_far_a_system_is_written_to(database_url: str, mode: str, creates: bool, updates: bool) -> None:
    with built(database_url, config(crm={"routes": {"order": {"in": "full", "out": mode}}})) as middle:
        middle.take(order(1, comment="x"))
        assert (middle.due(middle.entity("shop/order/1").id) == {"crm"}) is creates
        middle.take(order(2, comment="x"))
        middle.take(deal(8, comment="x", records=[to_order(2)]))
        middle.take(order(2, LATER, comment="y"))
        assert (middle.due(middle.entity("shop/order/2").id) == {"crm"}) is updates


def test_events_of_an_unknown_source_end_explained_and_change_nothing(middle: Middle) -> None:
    middle.take(order(1, comment="x"))
    middle.take(said("stranger", "order", "order/9", LATER, None, {"comment": "y"}))
    middle.take(said("stranger", "order", "order/8", LATER, None, {"comment": "y", "records": [to_order(1)]}))
    assert middle.outcome("order/9") == ["OVERRULED"]
    assert (
        middle.one("SELECT error FROM event WHERE subject = 'order/9'")["error"]
        == "creating from stranger is switched off"
    )
    assert middle.fields("shop/order/1")["comment"] == "x"


def test_a_delivery_that_has_nothing_left_to_say_is_not_due_any_more(middle: Middle) -> None:
    middle.take(order(1, comment="x"), deal(7, records=[to_order(1)], comment="x"))
    middle.take(deal(7, LATER, comment="y"))
    assert "shop" in middle.due()
    middle.take(order(1, LATER, comment="y"))
    assert "shop" not in middle.due()
