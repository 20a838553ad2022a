"""The scenario: the same day from the same seed, as much of everything as was promised, and endings that follow."""

from collections import Counter

import pytest

from bus.demo.scenario import LIFE, PAYS, STAGES, Day, Story, plan


@pytest.fixture(scope="module")
def day() -> Day:
    return plan(1, 300)


def _steps(day: Day) -> Counter[str]:
    return Counter(step.do for story in day.stories for step in story.steps)


def test_the_same_seed_makes_the_same_day(day: Day) -> None:
    assert plan(1, 300) == day


def test_another_seed_makes_another_day(day: Day) -> None:
    assert plan(2, 300) != day


@pytest.mark.parametrize("seed", [1, 2, 3, 44])
def test_a_day_has_as_much_of_everything_as_was_promised(seed: int) -> None:
    steps = _steps(plan(seed, 300))
    assert steps["order"] == 300
    assert steps["move"] == 200
    assert sum(steps[kind] for kind in PAYS) == 200
    assert steps["bank_pay"] >= 10
    assert steps["pay_part"] >= 10
    assert steps["cancel"] >= 10
    assert steps["refund"] >= 5
    assert steps["deal"] >= 3
    assert all(steps[kind] >= 3 for kind in ("comment_shop", "comment_crm", "comment_both", "address_crm"))


@pytest.mark.parametrize("orders", [1, 7, 40])
def test_a_small_day_can_be_planned_too(orders: int) -> None:
    assert _steps(plan(5, orders))["order"] == orders


def test_steps_of_an_order_come_one_after_the_other_within_the_day(day: Day) -> None:
    for story in day.stories:
        times = [step.at for step in story.steps]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] < 1


def test_one_field_is_edited_from_one_side_or_is_contested(day: Day) -> None:
    for story in day.stories:
        sides = Counter(step.do for step in story.steps if step.do.startswith(("comment", "address")))
        assert sum(count for name, count in sides.items() if name.startswith("comment")) <= 1
        assert sum(count for name, count in sides.items() if name.startswith("address")) <= 1


def test_a_status_ends_at_the_furthest_that_anybody_set(day: Day) -> None:
    for story in day.stories:
        if story.expected["status"] != "cancelled":
            assert story.expected["status"] == max((_meant(story)), key=LIFE.index)


def _meant(story: Story) -> list[str]:
    moved = [STAGES[step.detail["stage"]] for step in story.steps if step.do == "move"]
    paid = [step.detail["total"] for step in story.steps if step.do in PAYS]
    full = ["paid"] if f"{story.price:.2f}" in paid else []
    return ["new", *moved, *full]


def test_nothing_moves_an_order_after_it_was_cancelled(day: Day) -> None:
    for story in day.stories:
        names = [step.detail.get("stage", step.do) for step in story.steps]
        ends = [at for at, name in enumerate(names) if name in ("cancel", "LOSE")]
        assert not ends or not {"move", *STAGES, *PAYS} & set(names[ends[0] + 1 :])


def test_an_email_is_edited_only_for_a_customer_with_one_order(day: Day) -> None:
    orders = Counter(story.customer.digits for story in day.stories)
    edited = [story for story in day.stories if any(step.do == "email_shop" for step in story.steps)]
    assert edited
    assert all(orders[story.customer.digits] == 1 for story in edited)
