"""Money that a person was asked about is looked at again and again, however many questions are open."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from bus.assigning import Received, about
from bus.ledger import questions
from tests.bus.ledger.middle import Middle, built, config, order, rub

IN_A_TURN = 200


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url, config(bank={"kind": "bank"})) as made:
        yield made


def ask(middle: Middle, name: str, *, times: int = 1, apart: str = "1 second", purpose: str = "по договору") -> None:
    """Questions of a hundred roubles, each asked so long after the one before, the last one now."""
    money = Received(Decimal(100), "RUB", date(2026, 10, 6), purpose=purpose)
    middle.rows(
        """INSERT INTO question (asks, system, subject, about, opened_at, deadline)
           SELECT 'order', 'bank', 'payment/' || %s || n, %s, now() - n * %s::interval, now() + '1 day'
           FROM generate_series(0, %s) AS n""",
        name,
        Jsonb(about(money, "nobody knows that order", {})),
        apart,
        times - 1,
    )


def turns(middle: Middle, number: int) -> list[int]:
    return [middle.wiring.unassigned.look_again() for _ in range(number)]


def test_the_oldest_question_has_its_turn_behind_those_that_were_asked_since(middle: Middle) -> None:
    ask(middle, "old", purpose="Оплата заказа №2002")
    ask(middle, "new", times=IN_A_TURN, apart="1 microsecond")
    middle.take(order(2, number="2002", total=rub(100)))
    assert turns(middle, 3) == [0, 1, 0]
    assert middle.one("SELECT subject FROM question WHERE state = 'decided'") == {"subject": "payment/old0"}


def test_when_each_had_its_turn_the_newest_come_again(middle: Middle) -> None:
    ask(middle, "old", times=IN_A_TURN)
    assert turns(middle, 1) == [0]
    ask(middle, "new", purpose="Оплата заказа №2002")
    middle.take(order(2, number="2002", total=rub(100)))
    assert turns(middle, 2) == [1, 0]


def test_what_was_asked_at_once_is_looked_at_together(middle: Middle) -> None:
    ask(middle, "one", times=5, apart="0 seconds")
    ask(middle, "other", times=2)
    with middle.ledger.transaction() as connection:
        assert [len(questions.of_money(connection, 2)) for _ in range(3)] == [6, 1, 6]
