"""Look-ups: what a lane reads of the records that it was told of, and what becomes of one that cannot be read."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from bus.errors import Permanent, Transient
from bus.ledger import journal
from bus.lookups import LookUps
from bus.parts import Parts
from bus.ports import Notification, Raw
from tests.bus.ledger.middle import Middle, built, config

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
US = "1"


@dataclass
class Portal:
    """A portal that holds these deals, and tells nothing else."""

    deals: dict[str, Any]
    system: str = "crm"
    kind: str = "bitrix24"
    batch: int = 50
    reach: int = 2_500
    read: list[str] = field(default_factory=list)

    def portion(self, _: str) -> int:
        return self.batch

    def fetch(self, record_type: str, ids: Sequence[str], _: object = None) -> dict[str, Raw]:
        assert record_type == "deal"
        self.read += ids
        return {one: self.deals[one] for one in ids if one in self.deals}

    def glance(self, record_type: str, ids: Sequence[str]) -> dict[str, Raw]:
        assert record_type == "deal"
        return {one: self.deals[one] for one in ids if one in self.deals}


def raw(number: int, **item: Any) -> Raw:
    fields = {"id": number, "updatedTime": NOON.isoformat(), "updatedBy": 1, "comments": "a", "stageId": "NEW"}
    return {"item": fields | {"categoryId": 0} | item, "rows": [], "contact": None, "order_ids": []}


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url, config(crm={"integration_user": US})) as made:
        yield made


def look(middle: Middle, portal: Portal, *told: str) -> int:
    """The portal told of these deals, and its lane looks."""
    wiring = middle.wiring
    with middle.ledger.transaction() as connection:
        journal.notify(connection, [Notification("crm", "deal", one) for one in told])
    parts = Parts(
        middle.ledger, wiring.config, wiring.mappings, wiring.pipeline, middle.bells, lambda: NOON, random.Random(1)
    )
    return LookUps("crm", portal, parts, urgent=False).take()  # type: ignore[arg-type]


def test_a_record_of_a_shape_that_nobody_foresaw_is_a_dead_letter_at_once_and_harms_none_read_with_it(
    middle: Middle,
) -> None:
    odd = raw(8, updatedTime="0001-01-01T00:00:00+03:00")  # an empty date, as some write it; in UTC no such day is
    assert look(middle, Portal({"7": raw(7), "8": odd, "9": raw(9)}), "7", "8", "9") == 3
    assert [middle.fields(f"crm/deal/{number}")["comment"] for number in (7, 9)] == ["a", "a"]
    assert [(letter["sent"], letter["class"]) for letter in middle.letters()] == [({"subject": "deal/8"}, "BadInput")]
    assert middle.letters()[0]["reason"].startswith("cannot be read: ")


def test_a_record_that_cannot_be_read_any_more_is_no_echo_and_harms_none_that_was_told_of_with_it(
    middle: Middle,
) -> None:
    portal = Portal({"7": raw(7), "8": raw(8)})
    look(middle, portal, "7", "8")
    middle.rows("UPDATE record SET ours = true RETURNING 1")
    portal.read.clear()
    portal.deals |= {"7": raw(7, updatedTime="soon")}
    look(middle, portal, "7", "8")
    assert portal.read == ["7"], "the other is as we wrote it"
    assert [letter["sent"]["subject"] for letter in middle.letters()] == ["deal/7"]


def test_a_letter_of_a_record_that_could_be_read_after_all_is_resolved(middle: Middle) -> None:
    portal = Portal({"7": raw(7, updatedTime="soon")})
    look(middle, portal, "7")
    portal.deals |= {"7": raw(7)}
    middle.wiring.dead_letters.retry([letter["id"] for letter in middle.letters()], "anna")
    look(middle, portal)
    assert middle.fields("crm/deal/7")["comment"] == "a"
    assert middle.rows("SELECT state FROM dead_letter") == [{"state": "resolved"}]


def test_one_that_cannot_be_asked_for_is_parted_by_and_by_from_those_that_were_told_of_with_it(middle: Middle) -> None:
    class Sick(Portal):
        def fetch(self, record_type: str, ids: Sequence[str], parts: object = None) -> dict[str, Raw]:
            if "8" in ids:
                raise Transient("HTTP 500", cause="test")
            return super().fetch(record_type, ids, parts)

    portal = Sick({str(number): raw(number) for number in (7, 8, 9)})
    look(middle, portal, "7", "8", "9")
    times = middle.rows("SELECT due_at FROM event WHERE state = 'notified' GROUP BY due_at")
    assert len(times) == 3, "together again they would end together"
    middle.rows("UPDATE event SET due_at = due_at + interval '99 years' WHERE subject = 'deal/8' RETURNING seq")
    look(middle, portal)
    assert [middle.fields(f"crm/deal/{number}")["comment"] for number in (7, 9)] == ["a", "a"]


def test_an_heir_who_is_hidden_from_us_harms_none_that_was_read_with_the_one_who_is_gone(middle: Middle) -> None:
    class Hidden(Portal):
        def alike(self, _: str, wanted: object) -> dict[str, Any]:
            raise Permanent(f"hidden: {wanted}", cause="test")

    portal = Hidden({"7": raw(7), "9": raw(9)})
    look(middle, portal, "7", "9")
    inn = """UPDATE entity SET kind = 'counterparty', fields = fields || '{"inn": "7707083893"}' WHERE id = %s
             RETURNING id"""
    middle.rows(inn, middle.entity("crm/deal/7").id)
    portal.deals = {"9": raw(9, comments="b", updatedTime="2026-10-05T13:00:00+00:00")}
    look(middle, portal, "7", "9")
    assert middle.letters() == []
    assert middle.fields("crm/deal/9")["comment"] == "b"


@pytest.mark.parametrize("whole", [True, False])
def test_what_another_has_ended_meanwhile_is_not_made_a_dead_letter(middle: Middle, whole: bool) -> None:
    """A worker stood still until its claim lapsed: what it could not read, another could."""

    class Slow(Portal):
        def fetch(self, record_type: str, ids: Sequence[str], parts: object = None) -> dict[str, Raw]:
            middle.rows("UPDATE event SET state = 'done', outcome = 'UNCHANGED', lease = NULL RETURNING seq")
            if whole:
                raise Permanent("nothing can be read", cause="test")
            return super().fetch(record_type, ids, parts)

    look(middle, Slow({"8": raw(8, updatedTime="0001-01-01T00:00:00+03:00")}), "8")
    assert middle.letters() == []
    assert [row["outcome"] for row in middle.rows("SELECT outcome FROM event")] == ["UNCHANGED"]
