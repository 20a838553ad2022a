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
    heard(world)
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


def heard(world: World) -> None:
    """What the shop tells reaches the bus, and nothing else happens."""
    world.shop.outbox.flush(5)
    world.wiring.pipeline.process(world.bells.published)
    world.bells.published = []


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
        world.clock.ahead_s += 2
        world.portal.act({"do": "edit_deal", "id": deal, "fields": {"UF_CRM_DELIVERY_ADDRESS": address}})
        world.settle()
        said = {one["code"]: one["value"] for one in world.shop_order(order)["propertyValues"]}
        assert (world.deal_of(order)["UF_CRM_DELIVERY_ADDRESS"], said["ADDRESS"]) == (address, address)


def a_day_passes(world: World) -> None:
    world.rows("UPDATE record SET told_at = told_at - interval '1 day' RETURNING id")


def test_a_manager_may_say_our_unanswered_word_himself_though_nobody_saw_it_stand_there(world: World) -> None:
    """He replaced it before it was read. Seen not to stand there once it cannot arrive any more, it is ours no more."""
    order = world.order(customer={"fio": "Иванов Пётр", "address": "Пермь, Мира 1"})
    world.settle()
    deal = world.deal_of(order)["id"]
    world.portal.faults.add({"kind": "drop_after", "method": "crm.item.update", "count": 1})
    world.shop.act({"do": "edit_order", "id": order, "properties": {"ADDRESS": "Казань, Баумана 7"}})
    heard(world)
    world.wiring.lane("crm", False)._sending.take()
    for address in ("Тверь, Лесная 5", "Казань, Баумана 7"):
        world.clock.ahead_s += 2
        world.portal.act({"do": "edit_deal", "id": deal, "fields": {"UF_CRM_DELIVERY_ADDRESS": address}})
        world.settle()
        a_day_passes(world)
        world.clock.ahead_s += 2
        world.portal.act({"do": "edit_deal", "id": deal, "fields": {"comments": f"not to {address}"}})
        world.settle()
        said = {one["code"]: one["value"] for one in world.shop_order(order)["propertyValues"]}
        assert (world.deal_of(order)["UF_CRM_DELIVERY_ADDRESS"], said["ADDRESS"]) == (address, address)


def test_a_payment_that_is_written_without_a_look_does_not_hide_the_stage(world: World) -> None:
    """Its answer shows our own stage, and not what that replaced."""
    order = replaced(world, "A", "FINAL_INVOICE")
    world.shop.act({"do": "pay_order", "id": order, "sum": 100})
    heard(world)
    world.wiring.lane("crm", True)._sending.take()
    world.settle()
    assert statuses(world, order) == ("FINAL_INVOICE", "S")


def test_a_word_of_our_own_that_had_no_answer_either_is_not_taken_for_a_persons(world: World) -> None:
    """Two writes of ours without an answer, and the first took effect after the lane had looked for it."""
    order = world.order()
    world.settle()
    deal = world.deal_of(order)
    world.portal.faults.add({"kind": "drop_before", "method": "crm.item.update", "count": 1})
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    heard(world)
    world.wiring.lane("crm", False)._sending.take()
    world.shop.act({"do": "set_status", "id": order, "status": "S"})
    heard(world)
    world.rows("UPDATE delivery SET due_at = now() WHERE system = 'crm' RETURNING 1")

    def late(point: str) -> None:
        if point == "lane.launched":
            points.disarm()
            fields = {"entityTypeId": 2, "id": deal["id"], "fields": {"stageId": "PREPARATION"}}
            world.wiring.adapters["crm"]._rest.call("crm.item.update", fields)

    world.portal.faults.add({"kind": "drop_after", "method": "crm.item.update", "after": 1, "count": 1})
    points.arm(late)
    try:
        world.wiring.lane("crm", False)._sending.take()
    finally:
        points.disarm()
    world.settle()
    assert statuses(world, order) == ("FINAL_INVOICE", "S")
    assert not any("replaced" in rule for rule in rules(world))
