"""A version that may go back: another part of the record counts now. What was read of it late is news to nobody."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from bus.envelope import parse
from bus.observe import take_in
from bus.ports import Entry
from tests.bus.ledger.middle import Middle, built

SUBJECT = "deal/7"


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def reading(version: str, comment: str, began: datetime) -> Entry:
    """The record as it was read, by a reading that began then."""
    event = {"source": "crm", "type": "deal.changed", "subject": SUBJECT, "time": "2026-10-05T10:00:00Z"}
    return Entry(parse(event | {"sourceversion": version, "data": {"comment": comment}}), observed_at=began)


def hear(middle: Middle, *entries: Entry) -> None:
    with middle.ledger.transaction() as connection:
        events = take_in(connection, entries)
    middle.take(*events)


def heard(middle: Middle) -> tuple[str, str, int]:
    """What stands, how the last one ended, and how many readings were asked for."""
    asked = middle.rows("SELECT 1 FROM event WHERE type = 'deal.reread' AND subject = %s", SUBJECT)
    outcomes = middle.rows("SELECT outcome FROM event WHERE outcome IS NOT NULL ORDER BY finished_at, seq")
    return middle.fields(f"crm/{SUBJECT}")["comment"], outcomes[-1]["outcome"], len(asked)


def test_a_lower_version_is_what_stands_if_it_was_read_when_the_higher_one_was_known(middle: Middle) -> None:
    hear(middle, reading("20#501", "before", middle.ledger.now()))
    hear(middle, reading("10#502", "now", middle.ledger.now()))
    assert heard(middle) == ("now", "APPLIED", 0)
    hear(middle, reading("11#502", "then", middle.ledger.now()))
    assert heard(middle) == ("then", "APPLIED", 0), "and it counts on from there"


def test_one_that_was_read_before_the_higher_one_was_known_is_read_again(middle: Middle) -> None:
    began = middle.ledger.now()
    hear(middle, reading("20#501", "before", began))
    hear(middle, reading("10#502", "now or long ago", began))
    assert heard(middle) == ("before", "STALE", 1)
    hear(middle, reading("10#502", "now or long ago", middle.ledger.now()))
    assert heard(middle) == ("now or long ago", "APPLIED", 1)


def test_so_it_is_where_both_are_heard_at_once(middle: Middle) -> None:
    began = middle.ledger.now()
    hear(middle, reading("1#501", "first", began))
    hear(middle, reading("20#501", "before", middle.ledger.now()), reading("10#502", "now?", middle.ledger.now()))
    assert heard(middle)[0] == "before"
    assert heard(middle)[2] == 1


def test_what_was_read_before_it_went_back_and_is_heard_after_it_is_read_again(middle: Middle) -> None:
    hear(middle, reading("20#501", "before", middle.ledger.now()))
    began = middle.ledger.now()
    hear(middle, reading("10#502", "now", began))
    hear(middle, reading("21#501", "in between", began))
    assert heard(middle) == ("now", "STALE", 1)


@pytest.mark.parametrize("version", ["10", "10-502"])
def test_a_version_that_only_grows_is_late_whenever_it_was_read(middle: Middle, version: str) -> None:
    hear(middle, reading("20", "now", middle.ledger.now()))
    hear(middle, reading(version, "before", middle.ledger.now() + timedelta(seconds=1)))
    assert heard(middle) == ("now", "STALE", 0)


@pytest.mark.parametrize("version", ["20", "20#501"])
def test_of_two_readings_of_one_version_the_one_that_began_first_is_no_change_back(
    middle: Middle, version: str
) -> None:
    hear(middle, reading(version, "first", middle.ledger.now()))
    began = middle.ledger.now()
    hear(middle, reading(version, "edited again in that second", middle.ledger.now()))
    hear(middle, reading(version, "first", began))
    assert heard(middle) == ("edited again in that second", "STALE", 1)
    hear(middle, reading(version, "edited again in that second", middle.ledger.now()))
    assert heard(middle)[0] == "edited again in that second"


def test_a_higher_version_is_heard_however_long_its_reading_took(middle: Middle) -> None:
    began = middle.ledger.now()
    hear(middle, reading("20", "before", middle.ledger.now()))
    hear(middle, reading("21", "now", began))
    assert heard(middle) == ("now", "APPLIED", 0)
