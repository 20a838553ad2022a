"""A bank takes back what it told, and its messages overtake each other: no money is shown that nobody has."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest

from bus import points
from tests.stories.world import World, build


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url) as built:
        yield built


def told(order: int, at: str, **more: Any) -> dict[str, Any]:
    amount = {"amount": "300.00", "currency": "RUB"}
    data = {"order": {"system": "shop", "id": str(order)}, "status": "paid", "amount": amount, **more}
    return {"source": "bank", "type": "payment.changed", "subject": "payment/7", "time": at, "data": data}


def deleted(at: str) -> dict[str, Any]:
    return {"source": "bank", "type": "payment.deleted", "subject": "payment/7", "time": at}


def tell(world: World, event: dict[str, Any]) -> None:
    """A message of its own; nobody is told of anything yet."""
    world.wiring.publisher.publish(event)
    events, world.bells.published = world.bells.published, []
    world.wiring.pipeline.process(events)


def booked(world: World, order: int) -> tuple[float, list[float]]:
    """What the deal shows as paid, and the payments that the shop has."""
    paid = [one["sum"] for one in world.shop_order(order)["payments"] if one["paid"] == "Y"]
    return world.deal_of(order)["UF_CRM_PAID_TOTAL"] or 0, paid


@pytest.mark.parametrize("places", [*permutations(range(3))])
def test_a_payment_that_the_bank_deleted_is_booked_in_no_order_of_its_messages(
    world: World, places: tuple[int, ...]
) -> None:
    order = world.order()
    world.settle()
    first, second = told(order, "2026-10-05T09:00:00Z"), told(order, "2026-10-05T10:00:00Z", external_number="B")
    messages = [first, second, deleted("2026-10-05T10:05:00Z")]
    for place in places:
        tell(world, messages[place])
    world.settle()
    assert booked(world, order) == (0, [])
    assert world.letters() == []


def test_one_that_it_tells_of_again_is_booked(world: World) -> None:
    order = world.order()
    world.settle()
    again = told(order, "2026-10-05T11:00:00Z")
    for message in (deleted("2026-10-05T10:05:00Z"), again, told(order, "2026-10-05T10:00:00Z", external_number="B")):
        tell(world, message)
    world.settle()
    assert booked(world, order) == (300, [300])


def test_a_deal_that_is_deleted_before_our_answer_is_in_does_not_count_as_being_there(world: World) -> None:
    """Its webhooks are heard before the lane has noted what it made: they speak of a deal that nobody knows."""
    at_once: list[int] = []

    def meanwhile(name: str) -> None:
        if name == "lane.sent" and (made := world.portal.state({})["deals"]) and not at_once:
            at_once.append(made[0]["id"])
            world.portal.act({"do": "delete_deal", "id": made[0]["id"]})
            world.portal.outbox.flush(5)
            world.wiring.lane("crm", False)._lookups.take()

    order = world.order()
    points.arm(meanwhile)
    try:
        world.settle()
    finally:
        points.disarm()
    told = "SELECT outcome FROM event WHERE type = %s ORDER BY seq"
    assert world.rows(told, "deal.deleted")[0]["outcome"] == "OVERRULED"
    (state,) = world.rows("SELECT state FROM record WHERE system = 'crm' AND type = 'deal'")
    assert (state["state"], world.deals_of(order)) == ("deleted", [])
    assert world.letters() == []
