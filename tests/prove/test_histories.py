"""A dozen random histories, the same each time; thousands more by `make prove`."""

from __future__ import annotations

import pytest

from tests.prove import report
from tests.prove.evening import Broken
from tests.prove.house import House
from tests.prove.run import first_told, play

SEEDS = range(1, 13)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_ten_sentences_are_true_of_a_history(house: House, seed: int) -> None:
    one = play(seed, house)
    assert one.ok, report.failure(one, "make prove SEEDS=1 SEED={}")
    assert one.steps > 20, "so short a history proves nothing"


def test_a_seed_is_one_history_and_plays_the_same_again(house: House) -> None:
    first, again = (play(7, house, tell=True) for _ in range(2))
    assert first.told == again.told
    assert (first.events, first.kills) == (again.events, again.kills)


def test_of_a_group_of_errors_the_first_that_names_a_sentence_is_told() -> None:
    broken = Broken("twice there", "one_link_never_has_two_records")
    group = ExceptionGroup("flaky", [ValueError("another"), ExceptionGroup("twice", [broken]), Broken("late", "late")])
    assert first_told(group) is broken
    assert first_told(plain := ExceptionGroup("none", [ValueError("another")])) is plain
