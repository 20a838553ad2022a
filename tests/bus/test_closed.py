"""What is erased takes in nothing of a person, and is told nowhere that would need one."""

from uuid import UUID

import pytest

from bus import closed
from bus.ledger.entities import Known, Linked
from bus.merge import Entity, Record
from bus.model import Kind

SAID = {"number": "A-1", "customer.name": "Анна", "comment": "перезвонить Анне"}


def known(kind: Kind, *, erased: bool = True, state: str | None = "linked") -> Known:
    records = [Linked("crm", "deal", "7", Record({}), state)] if state else []
    return Known(UUID(int=1), Entity(kind, {}, {}), records, erased=erased)


def test_an_erased_order_takes_in_what_speaks_of_no_person():
    assert closed.taken_in(known("order"), SAID) == {"number": "A-1"}
    assert closed.taken_in(known("order", erased=False), SAID) == SAID


@pytest.mark.parametrize(
    ("kind", "erased", "refused"),
    [("counterparty", True, True), ("counterparty", False, False), ("order", True, False), ("payment", True, False)],
)
def test_of_an_erased_counterparty_alone_nothing_at_all_is_taken_in(kind, erased, refused):
    assert bool(closed.refusal(known(kind, erased=erased))) is refused


@pytest.mark.parametrize(
    ("one", "whole", "untold"),
    [
        (known("order", erased=False, state=None), True, False),
        (known("order"), False, False),
        (known("order"), True, True),
        (known("order", state="creating"), False, True),
        (known("order", state=None), False, True),
        (known("payment", state=None), False, False),
        (known("counterparty"), False, True),
    ],
    ids=["not erased", "made", "told whole", "being made", "not made", "a payment", "a person"],
)
def test_an_erased_one_is_told_only_where_it_needs_no_person(one, whole, untold):
    assert closed.untold(one, "crm", whole=whole) is untold
