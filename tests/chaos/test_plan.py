"""The plan of a run: repeatable, hard enough, and of everything there is to break."""

import itertools

import pytest

from bus import points
from tests.chaos import plan
from tests.chaos.plan import Act


def test_a_seed_makes_the_same_plan_twice_and_another_seed_another() -> None:
    assert plan.plan(7, 10) == plan.plan(7, 10)
    assert plan.plan(7, 10) != plan.plan(8, 10)


@pytest.mark.parametrize("seed", range(20))
def test_ten_minutes_hold_a_hundred_kills_and_each_kind_of_fault(seed: int) -> None:
    made = plan.plan(seed, 10)
    assert made.kills >= 100
    kinds = {act.kind for act in made.acts}
    assert kinds == {"kill", "crash", "power cut", "killed", "emptied", "stopped", "disk full", *plan.MODES}


def test_six_times_as_long_is_six_times_as_hard() -> None:
    assert plan.plan(1, 60).kills > 5.5 * plan.plan(1, 10).kills


def test_two_faults_of_one_thing_never_meet() -> None:
    made = plan.plan(3, 60)
    for one, other in itertools.pairwise(sorted(made.acts, key=lambda act: (act.thing, act.at))):
        assert one.thing != other.thing or other.at > one.until + 5


def test_nothing_is_broken_any_more_when_the_run_ends() -> None:
    made = plan.plan(4, 10)
    assert max(act.until for act in made.acts) < made.seconds


def test_everything_that_can_be_killed_is_killed_in_an_hour() -> None:
    killed = {act.target for act in plan.plan(5, 60).acts if act.kills}
    assert killed == {*plan.PROCESSES, *plan.ENGINES, "backend", "all"}


def test_every_crash_point_of_the_plan_is_one_of_the_bus() -> None:
    assert {point for some in plan.POINTS.values() for point in some} <= set(points.POINTS)


def test_a_full_disk_and_a_killed_postgres_are_faults_of_the_same_thing() -> None:
    assert Act(0, "disk full", "disk").thing == Act(0, "killed", "postgres").thing == Act(0, "hole", "postgres").thing
