"""The lane at work: what it asks and writes, how often, and what it notices while it does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from bus.ports import Notification
from tests.stories.world import World, build


def commands(world: World) -> dict[str, int]:
    return dict(world.portal.calls.summary()["by_method"])


def requests(world: World) -> int:
    return int(world.portal.calls.summary()["requests"])


def linked(world: World, count: int) -> list[int]:
    orders = [world.order() for _ in range(count)]
    world.settle()
    return orders


def test_a_payment_is_in_the_deal_one_request_after_it_is_here_and_the_stage_follows(world: World) -> None:
    (order,) = linked(world, 1)
    world.shop.act({"do": "pay_order", "id": order})
    world.shop.outbox.flush(5)
    events, world.bells.published = world.bells.published, []
    world.wiring.pipeline.process(events)
    before = requests(world)
    world.wiring.lane("crm", True).drain(until=_soon())
    deal = world.deal_of(order)
    assert requests(world) == before + 1
    assert deal["UF_CRM_PAYMENT_STATUS"] == "Оплачен"
    assert deal["stageId"] == "NEW"
    assert ("crm", False) in world.bells.rung
    world.settle()
    assert world.deal_of(order)["stageId"] != "NEW"
    assert world.letters() == []


def test_a_hundred_changes_of_one_system_cost_one_reading_and_three_writings(world: World) -> None:
    orders = linked(world, 100)
    accepted(world, orders)
    before = requests(world)
    world.wiring.lane("crm", False).drain(until=_soon())
    assert {world.deal_of(order)["stageId"] for order in orders} == {"PREPARATION"}
    assert requests(world) == before + 1 + 3


def test_the_echo_of_our_own_writing_is_seen_through_at_a_glance(world: World) -> None:
    orders = linked(world, 60)
    accepted(world, orders)
    world.wiring.lane("crm", False).drain(until=_soon())
    before, rows = requests(world), commands(world)["crm.item.productrow.list"]
    echoes = world.rows("SELECT count(*) AS n FROM event WHERE kind = 'notification'")[0]["n"]
    echo(world, orders)
    world.wiring.lane("crm", False).drain(until=_soon())
    assert requests(world) == before + 1
    assert commands(world)["crm.item.productrow.list"] == rows
    outcomes = world.rows("SELECT outcome, count(*) AS n FROM event WHERE kind = 'notification' GROUP BY outcome")
    assert outcomes == [{"outcome": "ECHO", "n": echoes + 60}]


def test_a_person_who_saves_after_us_is_no_echo(world: World) -> None:
    (order,) = linked(world, 1)
    accepted(world, [order])
    world.wiring.lane("crm", False).drain(until=_soon())
    world.move(order, "WON")  # within the same second, perhaps
    echo(world, [order])
    world.settle()
    assert world.shop_order(order)["statusId"] == "F"


def test_an_edit_that_hides_behind_our_own_write_is_found(world: World) -> None:
    """Somebody changes the deal's rows between our reading and our writing, and no webhook tells of it."""
    (order,) = linked(world, 1)
    deal = world.deal_of(order)["id"]
    rows = rows_of(world, deal)
    world.clock.ahead_s += 5
    accepted(world, [order])
    edit = {"do": "set_rows", "rows": [{"productName": "Подмена", "price": 1, "quantity": 1}]}
    world.portal.faults.add(
        {"kind": "user_edit_between", "method": "crm.item.list", "id": deal, "count": 1, "edit": edit}
    )
    world.wiring.lane("crm", False).drain(until=_soon())
    assert world.deal_of(order)["stageId"] == "PREPARATION"
    world.settle()
    assert rows_of(world, deal) == rows  # the basket is the shop's: whose word it is was asked at all


def test_a_change_that_arrives_while_its_delivery_is_in_flight_is_sent_after_it_and_once(world: World) -> None:
    (order,) = linked(world, 1)
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.shop.outbox.flush(5)
    world.wiring.pipeline.process(_published(world))
    seen: list[Any] = []
    write = world.wiring.lane("crm", False)._sending._adapter.write

    def meanwhile(writes: Any) -> Any:
        if not seen:
            seen.append(writes)
            world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": "Ещё одно"}})
            world.shop.outbox.flush(5)
            world.wiring.pipeline.process(_published(world))
        return write(writes)

    world.wiring.lane("crm", False)._sending._adapter.write = meanwhile  # type: ignore[method-assign]
    before = world.writes()
    world.settle()
    assert world.deal_of(order)["comments"] == "Ещё одно"
    assert world.deal_of(order)["stageId"] == "PREPARATION"
    assert world.writes() == before + 2


def test_a_creation_whose_answer_nobody_can_read_counts_as_sent(world: World) -> None:
    lane = world.wiring.lane("crm", True)
    write, odd = lane._sending._adapter.write, [KeyError("item")]

    def oddly(writes: Any) -> Any:
        results = write(writes)
        if odd:
            raise odd.pop()
        return results

    lane._sending._adapter.write = oddly  # type: ignore[method-assign]
    order = world.order()
    world.shop.outbox.flush(5)
    world.wiring.pipeline.process(_published(world))
    with capture_logs() as logs:
        lane.drain(until=_soon())
    assert [line["error"] for line in logs if line["event"] == "delivery.failed"][:1] == ["UnknownOutcome"]
    world.settle()
    assert len(world.deals_of(order)) == 1
    assert world.letters() == []


@pytest.mark.parametrize("moment", ["fetch", "write"])
def test_a_change_that_is_taken_back_while_its_delivery_is_in_flight_does_not_stand(world: World, moment: str) -> None:
    """To the bus nothing differs then: the deal says still what it said before, and is told something else just now."""
    (order,) = linked(world, 1)
    commented(world, order, "A")
    world.settle()
    commented(world, order, "B")
    world.wiring.pipeline.process(_published(world))
    adapter, taken_back = world.wiring.lane("crm", False)._sending._adapter, []
    call = getattr(adapter, moment)

    def meanwhile(*asked: Any) -> Any:
        if not taken_back:
            taken_back.append(commented(world, order, "A"))
            world.wiring.pipeline.process(_published(world))
        return call(*asked)

    setattr(adapter, moment, meanwhile)
    world.settle()
    assert world.deal_of(order)["comments"] == "A"


def commented(world: World, order: int, comment: str) -> None:
    world.clock.ahead_s += 5
    world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": comment}})
    world.shop.outbox.flush(5)


def test_a_system_that_is_away_costs_its_deliveries_no_attempts(database_url: str, broker_url: str) -> None:
    limits = {"breaker_failures": 2, "breaker_open_s": 0.1, "max_attempts": 4}
    with build(database_url, broker_url, limits=limits) as world:
        (order,) = linked(world, 1)
        world.portal.faults.add({"kind": "down"})
        world.shop.act({"do": "set_status", "id": order, "status": "A"})
        world.shop.outbox.flush(5)
        world.step()
        world.step()
        (delivery,) = world.rows("SELECT state, attempts FROM delivery WHERE system = 'crm'")
        assert delivery["state"] == "due"
        assert delivery["attempts"] <= 2
        world.portal.faults.clear()
        world.settle()
        assert world.deal_of(order)["stageId"] == "PREPARATION"


def test_rounds_that_are_not_full_gather_what_trickles_in(database_url: str, broker_url: str) -> None:
    """Where requests are rationed, the first change goes at once and what follows in the same second goes together."""
    with build(database_url, broker_url, crm={"rate": {"per_second": 10, "burst": 200}}) as world:
        orders = linked(world, 4)
        for _ in range(120):
            world.wiring.budgets["crm"].acquire(urgent=False)
        lane = world.wiring.lane("crm", False)
        lane._next_at = 0.0
        for order in orders:
            world.shop.act({"do": "set_status", "id": order, "status": "A"})
            world.shop.outbox.flush(5)
            world.wiring.pipeline.process(_published(world))
            lane.drain(until=_soon(0.2))
        after_first = [world.deal_of(order)["stageId"] for order in orders]
        assert after_first == ["PREPARATION", "NEW", "NEW", "NEW"]
        before = requests(world)
        world.settle()
        assert {world.deal_of(order)["stageId"] for order in orders} == {"PREPARATION"}
        assert commands(world)["crm.item.update"]
        assert requests(world) - before <= 4  # one reading, one writing, and two glances at the echo


def accepted(world: World, orders: list[int]) -> None:
    """The shop accepts orders; it is merged, and the portal's webhooks are off from here on."""
    world.portal.webhooks.clear()
    for order in orders:
        world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.shop.outbox.flush(10)
    world.wiring.pipeline.process(_published(world))


def echo(world: World, orders: list[int]) -> None:
    """The portal tells of these orders' deals, as it does after each write, ours too."""
    deals = [str(world.deal_of(order)["id"]) for order in orders]
    world.wiring.publisher.accept([], [Notification("crm", "deal", deal) for deal in deals])


def rows_of(world: World, deal: int) -> list[tuple[Any, ...]]:
    raw = world.wiring.adapters["crm"].fetch("deal", [str(deal)])[str(deal)]
    return [(row["productName"], float(row["price"]), float(row["quantity"])) for row in raw["rows"]]


def _soon(seconds: float = 5.0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _published(world: World) -> list[Any]:
    events, world.bells.published = world.bells.published, []
    return events
