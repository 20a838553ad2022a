"""A field that a person decides: both values kept, neither written over the other, and a default after the deadline."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bus import points
from bus.envelope import Event
from bus.errors import BadInput
from tests.bus.ledger.middle import Middle, built, config, deal, eventually, order, said, to_order

RULES = "order: {comment: {policy: manual, sla_hours: 24, default: {policy: priority, order: [crm, shop]}}}"


def now(minutes: int = 0) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes - 10)).isoformat()


@pytest.fixture
def middle(database_url: str, tmp_path: Path) -> Iterator[Middle]:
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    with built(database_url, config(str(tmp_path))) as made:
        yield made


@pytest.fixture
def asked(middle: Middle) -> dict[str, Any]:
    """The shop says A, the CRM says B, and a person is asked."""
    middle.take(order(1, now(), comment="A"))
    middle.take(deal(7, now(1), records=[to_order(1)], comment="B", delivery={"address": "elsewhere"}))
    return middle.one("SELECT * FROM conflict")


def values(middle: Middle) -> dict[str, str]:
    return {name: option["value"] for name, option in middle.one("SELECT options FROM conflict")["options"].items()}


def due_fields(middle: Middle) -> dict[str, Any]:
    known = middle.entity("shop/order/1")
    from bus.merge import due

    return {
        linked.system: due(known.view, linked.view.base, frozenset({"comment", "delivery.address"}))
        for linked in known.records
    }


def test_both_values_are_kept_and_neither_is_written_over_the_other(middle: Middle, asked: dict) -> None:
    assert (asked["field"], asked["state"], values(middle)) == ("comment", "open", {"shop": "A", "crm": "B"})
    assert middle.fields("shop/order/1")["comment"] == "A"
    assert due_fields(middle) == {"shop": {"delivery.address": "elsewhere"}, "crm": {}}


def test_a_later_value_of_either_side_takes_its_place_in_the_question(middle: Middle, asked: dict) -> None:
    middle.take(deal(7, now(2), comment="B2"))
    middle.take(order(1, now(3), comment="A2"))
    assert values(middle) == {"shop": "A2", "crm": "B2"}
    assert middle.one("SELECT deadline FROM conflict")["deadline"] == asked["deadline"]


def test_a_third_side_is_an_option_too_even_in_one_batch(middle: Middle) -> None:
    middle.take(order(1, now(), comment="A"))
    third = said("onec", "order", "order/x", now(2), None, {"records": [to_order(1)], "comment": "C"})
    middle.take(deal(7, now(1), records=[to_order(1)], comment="B"), third)
    assert values(middle) == {"shop": "A", "crm": "B", "onec": "C"}


@pytest.mark.parametrize(("chosen", "value", "written"), [("crm", "B", "shop"), ("shop", "A", "crm")])
def test_a_decision_is_an_event_with_its_author_and_at_once_due_at_the_other(
    middle: Middle, asked: dict, chosen: str, value: str, written: str
) -> None:
    middle.wiring.conflicts.decide(asked["id"], chosen, "olga")
    assert middle.fields("shop/order/1")["comment"] == value
    assert due_fields(middle)[written]["comment"] == value
    assert "comment" not in due_fields(middle)[chosen]
    told = middle.one("SELECT actor, rule FROM history WHERE field = 'comment' AND rule LIKE 'decided%%'")
    assert told == {"actor": "olga", "rule": "decided by olga"}
    assert middle.one("SELECT state, decided_by FROM conflict") == {"state": "decided", "decided_by": "olga"}
    assert middle.one("SELECT actor, action FROM operator_action") == {"actor": "olga", "action": "decide"}


def test_what_is_decided_is_decided_once(middle: Middle, asked: dict) -> None:
    middle.wiring.conflicts.decide(asked["id"], "crm", "olga")
    with pytest.raises(BadInput, match="no open conflict"):
        middle.wiring.conflicts.decide(asked["id"], "shop", "oleg")


@pytest.mark.parametrize(("number", "source"), [(0, "crm"), (None, "onec")])
def test_only_what_is_asked_can_be_decided(middle: Middle, asked: dict, number: int | None, source: str) -> None:
    with pytest.raises(BadInput):
        middle.wiring.conflicts.decide(asked["id"] if number is None else number, source, "olga")


@pytest.mark.usefixtures("asked")
def test_after_the_deadline_the_default_decides_and_says_so(middle: Middle) -> None:
    assert middle.wiring.conflicts.expire() == 0
    middle.rows("UPDATE conflict SET deadline = now() - interval '1 second'")
    assert middle.wiring.conflicts.expire() == 1
    assert middle.fields("shop/order/1")["comment"] == "B", "the CRM comes first by the default"
    assert middle.one("SELECT state, decided_by FROM conflict") == {
        "state": "expired",
        "decided_by": "bus: deadline passed",
    }
    assert middle.wiring.conflicts.expire() == 0


@pytest.mark.usefixtures("asked")
def test_two_beats_at_once_expire_it_once(middle: Middle) -> None:
    middle.rows("UPDATE conflict SET deadline = now() - interval '1 second'")
    threads = [Thread(target=middle.wiring.conflicts.expire) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert middle.one("SELECT count(*) AS n FROM event WHERE source = 'bus'")["n"] == 1


def test_a_decider_that_dies_before_the_commit_has_decided_nothing(middle: Middle, asked: dict) -> None:
    def die(name: str) -> None:
        if name == "path.saved":
            raise points.Killed

    points.arm(die)
    try:
        with pytest.raises(points.Killed):
            middle.wiring.conflicts.decide(asked["id"], "crm", "olga")
    finally:
        points.disarm()
    assert middle.one("SELECT state FROM conflict") == {"state": "open"}
    assert middle.one("SELECT count(*) AS n FROM event WHERE source = 'bus'")["n"] == 0
    assert due_fields(middle)["crm"] == {}


def test_the_listing_shows_what_is_open(middle: Middle, asked: dict) -> None:
    assert [one["id"] for one in middle.wiring.conflicts.listing()] == [asked["id"]]
    assert middle.wiring.conflicts.listing("decided") == []


def test_a_person_has_the_whole_time_however_old_the_edit_is(middle: Middle) -> None:
    middle.take(order(1, "2026-10-05T10:00:00Z", comment="A"))
    middle.take(deal(7, "2026-10-05T11:00:00Z", records=[to_order(1)], comment="B"))
    assert middle.one("SELECT deadline > now() + interval '23 hours' AS time FROM conflict")["time"]


@pytest.mark.usefixtures("asked")
def test_sides_that_came_to_the_same_by_themselves_are_not_asked_about_any_more(middle: Middle) -> None:
    middle.take(deal(7, now(5), comment="A"))
    assert middle.one("SELECT state FROM conflict")["state"] == "agreed"
    assert due_fields(middle)["crm"] == {}


STILL_ASKED: dict[str, tuple[list[tuple[str, str]], dict[str, str]]] = {
    "the other has said something else since": ([("shop", "A2"), ("crm", "A")], {"shop": "A2", "crm": "A"}),
    "it was not the one that differed": ([("shop", "A2"), ("shop", "A")], {"shop": "A", "crm": "B"}),
    "a third differs": ([("onec", "C"), ("crm", "A")], {"shop": "A", "crm": "A", "onec": "C"}),
}


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("batches", [True, False], ids=["each by itself", "in one batch"])
@pytest.mark.parametrize("why", STILL_ASKED)
def test_a_side_that_says_what_stands_ends_nothing_while_another_differs(
    middle: Middle, why: str, batches: bool
) -> None:
    words, left = STILL_ASKED[why]
    middle.take(said("onec", "order", "order/x", now(1), None, {"records": [to_order(1)]}))
    events = [one_says(source, value, minutes) for minutes, (source, value) in enumerate(words, 2)]
    for batch in [[event] for event in events] if batches else [events]:
        middle.take(*batch)
    assert (values(middle), middle.one("SELECT state FROM conflict")["state"]) == (left, "open")
    assert [fields for fields in due_fields(middle).values() if "comment" in fields] == []
    assert middle.rows("SELECT 1 FROM history WHERE what = 'agreed'") == []


@pytest.mark.usefixtures("asked")
def test_three_sides_agree_when_the_last_of_them_says_what_stands(middle: Middle) -> None:
    middle.take(said("onec", "order", "order/x", now(1), None, {"records": [to_order(1)], "comment": "C"}))
    middle.take(one_says("crm", "A", 2))
    middle.take(one_says("onec", "A", 3))
    assert middle.one("SELECT state FROM conflict")["state"] == "agreed"


def one_says(source: str, comment: str, minutes: int) -> Event:
    at = now(minutes)
    if source == "onec":
        return said("onec", "order", "order/x", at, None, {"comment": comment})
    return order(1, at, comment=comment) if source == "shop" else deal(7, at, comment=comment)


def test_uniting_carries_the_question_along(middle: Middle, asked: dict) -> None:
    middle.take(said("onec", "order", "order/x", now(), None, {"number": "9"}))
    middle.rows(
        "UPDATE entity SET created_at = now() - interval '1 day' WHERE id = %s", middle.entity("onec/order/x").id
    )
    union = said("onec", "order", "order/x", now(6), None, {"records": [to_order(1)]})
    middle.take(union, order(1, now(7), comment="A2"))
    assert values(middle) == {"shop": "A2", "crm": "B"}
    assert middle.fields("shop/order/1")["comment"] == "A"
    kept = middle.entity("onec/order/x").id
    assert middle.one("SELECT entity_id, state FROM conflict") == {"entity_id": kept, "state": "open"}
    middle.wiring.conflicts.decide(asked["id"], "crm", "olga")
    middle.heard()
    assert eventually(lambda: middle.fields("shop/order/1")["comment"]) == "B"
