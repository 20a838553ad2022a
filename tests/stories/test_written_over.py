"""A manager moves a deal just before our own write of its stage, and that write has no answer: his word is heard."""

from collections.abc import Callable

import pytest

from bus import points
from tests.stories.world import World

READINGS: dict[str, Callable[[World], object]] = {
    "by its webhook": lambda world: world.settle(),
    "by the lane that tries again": lambda world: world.wiring.lane("crm", False)._sending.take(),
    "by reconciliation": lambda world: world.wiring.reconcile.run(),
}
"""Who reads the deal first after that."""


def replaced(world: World, ours: str, *stages: str) -> int:
    """An order that came to status `ours` in the shop, while a manager moved its deal: who did what is not answered."""
    order = world.order()
    world.settle()
    world.shop.act({"do": "set_status", "id": order, "status": ours})
    world.shop.outbox.flush(5)
    world.wiring.pipeline.process(world.bells.published)
    world.bells.published = []
    world.portal.faults.add({"kind": "drop_after", "method": "crm.item.update", "count": 1})

    def in_between(point: str) -> None:
        if point == "lane.launched":
            points.disarm()
            for stage in stages:
                world.move(order, stage)

    points.arm(in_between)
    try:
        world.wiring.lane("crm", False)._sending.take()
    finally:
        points.disarm()
    assert world.rows("SELECT telling FROM record WHERE telling <> '{}'"), "the answer is lost"
    return order


def statuses(world: World, order: int) -> tuple[str, str]:
    return world.deal_of(order)["stageId"], world.shop_order(order)["statusId"]


def rules(world: World) -> list[str]:
    return [row["rule"] for row in world.rows("SELECT rule FROM history WHERE field = 'status' AND rule IS NOT NULL")]


@pytest.mark.parametrize("first", READINGS.values(), ids=READINGS)
def test_the_stage_that_our_own_write_replaced_wins_where_it_is_further(
    world: World, first: Callable[[World], object]
) -> None:
    order = replaced(world, "A", "FINAL_INVOICE")
    assert world.deal_of(order)["stageId"] == "PREPARATION"
    first(world)
    world.settle()
    assert statuses(world, order) == ("FINAL_INVOICE", "S")
    assert "state machine: both changed, shipped is further; our own write had replaced it" in rules(world)


def test_it_is_overruled_as_ever_where_ours_is_further(world: World) -> None:
    order = replaced(world, "S", "PREPARATION")
    world.settle()
    assert statuses(world, order) == ("FINAL_INVOICE", "S")
    assert "state machine: both changed, shipped is further; our own write had replaced it" in rules(world)


def test_a_stage_that_the_manager_replaced_himself_is_not_his_word(world: World) -> None:
    order = replaced(world, "A", "FINAL_INVOICE", "PREPARATION")
    world.settle()
    assert statuses(world, order) == ("PREPARATION", "A")


def test_where_nobody_was_in_between_our_word_stands(world: World) -> None:
    order = replaced(world, "A")
    world.settle()
    assert statuses(world, order) == ("PREPARATION", "A")
    assert not any("replaced" in rule for rule in rules(world))


def test_a_portal_that_does_not_tell_the_story_stops_nothing(world: World) -> None:
    denied = {"status": 403, "error": "ACCESS_DENIED", "text": "Access denied"}
    world.portal.faults.add({"kind": "refuse", "method": "crm.stagehistory.list", **denied})
    order = replaced(world, "A", "FINAL_INVOICE")
    world.settle()
    assert statuses(world, order) == ("PREPARATION", "A")
    assert world.letters() == []


def test_what_we_had_said_without_an_answer_is_news_once_a_manager_says_it_again(world: World) -> None:
    order = world.order(customer={"fio": "Иванов Пётр", "address": "Пермь, Мира 1"})
    world.settle()
    world.portal.faults.add({"kind": "drop_after", "method": "crm.item.update", "count": 1})
    world.shop.act({"do": "edit_order", "id": order, "properties": {"ADDRESS": "Казань, Баумана 7"}})
    world.settle()
    deal = world.deal_of(order)["id"]
    for address in ("Тверь, Лесная 5", "Казань, Баумана 7"):
        world.portal.act({"do": "edit_deal", "id": deal, "fields": {"UF_CRM_DELIVERY_ADDRESS": address}})
        world.settle()
        said = {one["code"]: one["value"] for one in world.shop_order(order)["propertyValues"]}
        assert (world.deal_of(order)["UF_CRM_DELIVERY_ADDRESS"], said["ADDRESS"]) == (address, address)
