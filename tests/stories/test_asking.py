"""A conflict that a person is to decide: asked about by a task in the CRM, once, whatever breaks; pressed; closed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.breaker import Circuit
from tests.stories.world import World, build

RULES = "order: {comment: {policy: manual, sla_hours: 24, default: {policy: priority, order: [crm, shop]}}}"
TASKS = {"system": "crm", "responsible": "7", "escalate_to": "9"}


@pytest.fixture
def world(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[World]:
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    top = {"mappings": str(tmp_path), "tasks": TASKS}
    with build(database_url, broker_url, top=top) as built:
        yield built


@pytest.fixture
def disputed(world: World) -> int:
    """An order that both sides wrote a comment on."""
    order = world.order()
    world.settle()
    deal = world.deal_of(order)["id"]
    world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": "из магазина"}})
    world.portal.act({"do": "edit_deal", "id": deal, "fields": {"COMMENTS": "от менеджера"}})
    world.settle()
    assert [row["field"] for row in conflicts(world)] == ["comment"]
    return order


def conflicts(world: World) -> list[dict[str, Any]]:
    return world.rows("SELECT * FROM conflict ORDER BY id")


def tasks(world: World) -> list[dict[str, Any]]:
    return world.portal.state({})["tasks"]


def test_the_manager_of_the_deal_gets_one_task_with_both_values(world: World, disputed: int) -> None:
    deal = world.deal_of(disputed)
    assert world.wiring.asking.ask()["tasks_made"] == 1
    assert world.wiring.asking.ask()["tasks_made"] == 0
    (task,) = tasks(world)
    assert task["responsibleId"] == deal["assignedById"]
    assert task["ufCrmTask"] == [f"D_{deal['id']}"]
    assert "из магазина" in task["description"]
    assert "от менеджера" in task["description"]
    assert "bus conflicts decide 1" in task["description"]


@pytest.mark.parametrize("rest3", ["full", "no_keys", "off"])
@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_a_call_that_breaks_half_way_makes_no_second_task(world: World, disputed: int, fault: str, rest3: str) -> None:
    del disputed
    world.portal.settings({"rest3": rest3})
    world.portal.faults.add({"kind": fault, "method": "tasks.task.add", "count": 1})
    assert world.wiring.asking.ask()["tasks_made"] == 0
    world.rows("UPDATE conflict SET task_since = now() - interval '1 hour' RETURNING id")
    assert world.wiring.asking.ask()["tasks_made"] == 1
    assert len(tasks(world)) == 1
    assert conflicts(world)[0]["task_id"] == str(tasks(world)[0]["id"])


def test_a_manager_who_was_dismissed_is_asked_nothing(world: World, disputed: int) -> None:
    world.portal.act({"do": "edit_deal", "id": world.deal_of(disputed)["id"], "fields": {"ASSIGNED_BY_ID": 11}})
    assert world.wiring.asking.ask()["tasks_made"] == 1
    assert [task["responsibleId"] for task in tasks(world)] == [7]


def test_what_is_decided_closes_its_task(world: World, disputed: int) -> None:
    world.wiring.asking.ask()
    world.wiring.conflicts.decide(1, "shop", "anna")
    world.settle()
    assert world.wiring.asking.ask()["tasks_closed"] == 1
    assert [task["status"] for task in tasks(world)] == [5]
    assert world.deal_of(disputed)["comments"] == "из магазина"


def test_what_nobody_decides_is_handed_over_when_most_of_its_time_is_over(world: World, disputed: int) -> None:
    del disputed
    world.wiring.asking.ask()
    assert conflicts(world)[0]["escalated_at"] is None
    world.rows("UPDATE conflict SET opened_at = now() - interval '20 hours', deadline = now() + '4 hours' RETURNING id")
    assert world.wiring.asking.ask()["conflicts_pressing"] == 1
    assert world.wiring.asking.ask()["conflicts_pressing"] == 0
    assert [task["responsibleId"] for task in tasks(world)] == [9]


def test_when_all_its_time_is_over_the_default_decides_and_says_so(world: World, disputed: int) -> None:
    world.wiring.asking.ask()
    world.rows("UPDATE conflict SET deadline = now() - interval '1 second' RETURNING id")
    assert world.wiring.conflicts.expire() == 1
    world.settle()
    world.wiring.asking.ask()
    assert world.shop_order(disputed)["comments"] == "от менеджера"
    assert [task["status"] for task in tasks(world)] == [5]
    (line,) = world.rows("SELECT actor, rule FROM history WHERE rule LIKE 'decided%%'")
    assert line["actor"] == "bus: deadline passed"


def test_a_portal_that_refuses_the_task_leaves_the_conflict_to_the_console(world: World, disputed: int) -> None:
    del disputed
    world.portal.faults.add({"kind": "refuse", "method": "tasks.task.add", "error": "100", "status": 400})
    assert world.wiring.asking.ask()["tasks_made"] == 0
    (row,) = conflicts(world)
    assert (row["state"], row["task_state"]) == ("open", "none")


@pytest.mark.parametrize(("method", "made"), [("user.get", 1), ("tasks.task.add", 0)])
def test_a_scope_that_only_tasks_need_is_missed_by_tasks_alone(
    world: World, disputed: int, method: str, made: int
) -> None:
    del disputed
    refusal = {"kind": "refuse", "method": method, "error": "insufficient_scope", "status": 403}
    world.portal.faults.add(refusal)
    assert world.wiring.asking.ask()["tasks_made"] == made
    assert len(tasks(world)) == made
    assert [row["task_state"] for row in conflicts(world)] == ["there" if made else "none"]
    assert world.wiring.breaker.state("crm").circuit is Circuit.CLOSED
    order = world.order(paid=True)
    world.settle()
    assert world.deal_of(order)


def test_a_portal_that_is_away_hands_over_when_it_is_back(world: World, disputed: int) -> None:
    del disputed
    world.wiring.asking.ask()
    world.rows("UPDATE conflict SET opened_at = now() - interval '20 hours', deadline = now() + '4 hours' RETURNING id")
    world.portal.faults.add({"kind": "drop_before", "method": "tasks.task.update", "count": 1})
    assert world.wiring.asking.ask()["conflicts_pressing"] == 0
    assert world.wiring.asking.ask()["conflicts_pressing"] == 1
    assert [task["responsibleId"] for task in tasks(world)] == [9]


def test_a_task_that_is_made_when_its_conflict_is_pressing_already_is_handed_over_too(
    world: World, disputed: int
) -> None:
    del disputed
    world.rows("UPDATE conflict SET escalated_at = now() RETURNING id")
    world.wiring.asking.ask()
    assert [task["responsibleId"] for task in tasks(world)] == [9]


def test_and_so_it_is_when_the_portal_goes_away_between_the_two(world: World, disputed: int) -> None:
    del disputed
    world.rows("UPDATE conflict SET opened_at = now() - interval '20 hours', deadline = now() + '4 hours' RETURNING id")
    world.rows("UPDATE conflict SET escalated_at = now() RETURNING id")
    world.portal.faults.add({"kind": "drop_before", "method": "tasks.task.update", "count": 1})
    for _ in range(2):
        world.wiring.asking.ask()
    assert [task["responsibleId"] for task in tasks(world)] == [9]
    assert conflicts(world)[0]["escalated_at"] is not None


def test_a_task_whose_answer_was_lost_is_closed_when_its_conflict_is_decided_meanwhile(
    world: World, disputed: int
) -> None:
    del disputed
    world.portal.settings({"rest3": "off"})
    world.portal.faults.add({"kind": "drop_after", "method": "tasks.task.add", "count": 1})
    world.wiring.asking.ask()
    world.wiring.conflicts.decide(1, "shop", "anna")
    world.rows("UPDATE conflict SET task_since = now() - interval '1 hour' RETURNING id")
    assert world.wiring.asking.ask()["tasks_closed"] == 1
    assert [task["status"] for task in tasks(world)] == [5]


def test_a_task_that_the_portal_refuses_to_close_holds_nothing_up(world: World, disputed: int) -> None:
    del disputed
    world.wiring.asking.ask()
    world.wiring.conflicts.decide(1, "shop", "anna")
    world.portal.faults.add({"kind": "refuse", "method": "tasks.task.update", "error": "100", "status": 400})
    assert world.wiring.asking.ask()["tasks_closed"] == 1
    assert conflicts(world)[0]["task_state"] == "closed"
