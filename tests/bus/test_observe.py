"""What was seen in a system becomes events; the same state seen twice is one event, a state that came back is news."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bus.envelope import Event
from bus.errors import Permanent, Transient
from bus.observe import differences, fetched, removal, take_in
from bus.ports import Entry, Held, Raw
from tests.bus.ledger.middle import Middle, built, deal, gone

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def see(middle: Middle, *events: Event) -> list[Event]:
    with middle.ledger.transaction() as connection:
        new = take_in(connection, [Entry(event) for event in events])
    middle.take(*new)
    return new


def test_the_same_state_seen_twice_is_one_event(middle: Middle) -> None:
    assert len(see(middle, deal(7, version=1, comment="a"))) == 1
    assert see(middle, deal(7, version=1, comment="a")) == []


def test_a_state_that_came_back_within_its_second_is_news(middle: Middle) -> None:
    for comment in ("a", "b", "a"):
        assert len(see(middle, deal(7, version=1, comment=comment))) == 1
        assert middle.fields("crm/deal/7")["comment"] == comment
    assert see(middle, deal(7, version=1, comment="a")) == []


def test_what_is_known_and_not_merged_yet_is_to_be_merged_first(middle: Middle) -> None:
    middle.wiring.publisher.publish(deal(7, version=1, comment="a"))
    assert [event.subject for event in see(middle, deal(7, version=1, comment="a"))] == ["deal/7"]
    assert middle.one("SELECT state FROM event")["state"] == "done"


def look(middle: Middle, entry: Entry) -> list[Event]:
    with middle.ledger.transaction() as connection:
        found = take_in(connection, [entry])
    middle.take(*found)
    return found


def test_an_unknown_code_of_a_state_that_was_put_off_as_read_before_our_write_is_told_all_the_same(
    middle: Middle,
) -> None:
    code = Held("status", "deal_stage", "UC_1", "deal_stage: 'UC_1' has no mapping")
    state = Entry(deal(7, version=1, comment="a"), held=(code,), observed_at=NOON)
    look(middle, state)
    letter = middle.letters()[0]["id"]
    with middle.ledger.transaction() as connection:  # we write to the deal within the second of its version
        connection.execute("UPDATE record SET written_at = now() WHERE system = 'crm'")
    middle.wiring.dead_letters.retry([letter], "anna")
    middle.heard()
    assert [one["id"] for one in middle.letters("resolved")] == [letter], "put off, to be read again"
    state = replace(state, observed_at=middle.ledger.now())
    assert len(look(middle, state)) == 1
    assert [one["cause"] for one in middle.letters()] == ["deal_stage 'UC_1'"]
    assert look(middle, state) == [], "one letter is enough"
    middle.wiring.dead_letters.discard([middle.letters()[0]["id"]], "anna", "never mind")
    assert look(middle, state) == [], "nor is it told of once a person has discarded it"


def test_a_removal_seen_twice_is_one_event(middle: Middle) -> None:
    see(middle, deal(7, comment="a"))
    entry = removal("crm", "deal", "deal/7", NOON, "notice 1")
    assert len(see(middle, entry.event)) == 1
    assert see(middle, entry.event) == []
    assert entry.event.deleted


@pytest.mark.parametrize(
    ("fields", "base", "found"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({"a": "1"}, {"a": "2"}, ["a"]),
        ({"a": "1"}, {}, ["a"]),
        ({"a": None}, {}, []),
        ({}, {"a": "1"}, []),
        ({"a": None}, {"a": "1"}, ["a"]),
    ],
)
def test_never_said_and_empty_are_no_difference(fields: dict, base: dict, found: list[str]) -> None:
    assert differences(fields, base) == found


class Shelf:
    """Records, some of which may not be read."""

    def __init__(self, forbidden: set[str]) -> None:
        self.forbidden, self.calls = forbidden, 0

    def fetch(self, record_type: str, ids: Sequence[str], parts: object = None) -> dict[str, Raw]:
        del parts
        self.calls += 1
        if broken := self.forbidden & set(ids):
            raise Permanent(f"{record_type}: access denied", cause=f"denied {min(broken)}")
        return {one: {"id": one} for one in ids if one != "gone"}


@pytest.mark.parametrize("forbidden", [set(), {"3"}, {"0", "7"}, {"0", "1", "2", "3", "4", "5", "6", "7"}])
def test_one_forbidden_record_harms_no_other(forbidden: set[str]) -> None:
    shelf = Shelf(forbidden)
    ids = [str(number) for number in range(8)]
    present, refused = fetched(shelf, "deal", ids)  # type: ignore[arg-type]  # it only fetches
    assert set(refused) == forbidden
    assert set(present) == set(ids) - forbidden
    assert shelf.calls == 1 if not forbidden else shelf.calls <= 15


def test_a_record_that_is_not_there_is_neither_present_nor_forbidden() -> None:
    assert fetched(Shelf(set()), "deal", ["gone"]) == ({}, {})  # type: ignore[arg-type]  # it only fetches


def test_trouble_of_the_whole_call_is_not_searched_in_halves() -> None:
    class Down(Shelf):
        def fetch(self, record_type: str, ids: Sequence[str], parts: object = None) -> dict[str, Raw]:
            del parts
            self.calls += 1
            raise Transient(f"{record_type} {ids}: 500")

    down = Down(set())
    with pytest.raises(Transient):
        fetched(down, "deal", ["1", "2"])  # type: ignore[arg-type]  # it only fetches
    assert down.calls == 1


def test_a_record_that_was_deleted_and_is_seen_again_is_linked_again(middle: Middle) -> None:
    see(middle, deal(7, comment="a"))
    see(middle, gone("crm", "deal", "deal/7"))
    see(middle, deal(7, "2026-10-07T10:00:00Z", comment="a"))
    assert middle.one("SELECT state FROM record WHERE system = 'crm'")["state"] == "linked"
