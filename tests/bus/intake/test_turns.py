"""Turns: whose request is journaled next, and who is told to come back."""

import pytest

from bus.envelope import parse
from bus.intake.turns import MOST, MOST_BYTES, Line, Turns, line_of
from bus.ports import Arrival, Entry, Notification

ORDERS, PAYMENTS = Line("shop", payments=False), Line("shop", payments=True)


def test_each_line_has_its_turn() -> None:
    turns: Turns[str] = Turns()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        assert turns.admit(Line(item[0], payments=False), item, 1)
    assert turns.take(4, 100) == ["a1", "b1", "c1", "a2"]
    assert turns.take(4, 100) == ["c2", "a3"]
    assert turns.take(4, 100) == []


def test_who_comes_beside_a_flood_is_in_the_next_group() -> None:
    turns: Turns[int] = Turns()
    while turns.admit(ORDERS, 0, 1):
        pass
    assert turns.admit(PAYMENTS, 1, 1)
    assert 1 in turns.take(2, 100)


@pytest.mark.parametrize("floods", [1, 2, 5])
def test_however_many_flood_there_is_room_for_one_more(floods: int) -> None:
    turns: Turns[int] = Turns()
    lines = [Line(f"flood-{at}", payments=False) for at in range(floods)]
    while sum(turns.admit(line, 0, 1) for line in lines):
        pass
    assert len(turns) <= MOST * floods / (floods + 1) + floods
    assert all(turns.admit(Line("quiet", payments=False), 1, 1) for _ in range(MOST // (2 * floods + 4)))


def test_large_bodies_of_one_sender_leave_room_for_those_of_another() -> None:
    turns: Turns[int] = Turns()
    while turns.admit(ORDERS, 0, 1_000_000):
        pass
    assert len(turns) <= MOST_BYTES / 1_000_000 / 2 + 1
    assert turns.admit(Line("bank", payments=False), 1, 1_000_000)


def test_a_group_is_no_larger_than_it_may_be_but_for_one_alone() -> None:
    turns: Turns[int] = Turns()
    for size in (5, 50, 5):
        turns.admit(ORDERS, size, size)
    assert [turns.take(10, 20) for _ in range(3)] == [[5], [50], [5]]


def test_all_are_taken_at_once_when_it_is_over() -> None:
    turns: Turns[int] = Turns()
    for at in range(5):
        turns.admit(Line(str(at % 2), payments=False), at, 1)
    assert sorted(turns.empty()) == [0, 1, 2, 3, 4]
    assert len(turns) == 0
    assert turns.admit(ORDERS, 0, MOST_BYTES)


def test_what_tells_of_a_payment_waits_in_the_line_of_payments() -> None:
    said = {"source": "shop", "time": "2026-10-05T10:00:00Z"}
    amount = {"amount": {"amount": "1.00", "currency": "RUB"}, "status": "paid"}
    paid = parse(said | {"type": "payment.changed", "subject": "payment/1", "data": amount})
    order = parse(said | {"type": "order.changed", "subject": "order/1", "data": {"number": "1"}})
    assert line_of("shop", Arrival([Entry(order), Entry(paid)])) == PAYMENTS
    assert line_of("shop", Arrival([Entry(order)])) == ORDERS
    assert line_of("shop", Arrival(notifications=[Notification("shop", "order", "1")])) == ORDERS
