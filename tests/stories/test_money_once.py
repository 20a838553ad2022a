"""A payment that several have a hand in at once: the shop is given it once, with its order, and not before that."""

from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest

from bus import points
from bus.ledger import entities
from tests.stories.test_ambiguity import ROWS
from tests.stories.test_restore import in_books_of
from tests.stories.world import ROUTES, World, build, eventually


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url, books=True) as built:
        yield built


def paid_order(world: World) -> int:
    """An order that was paid, so that the shop expects nothing of it any more."""
    order = world.order()
    world.shop.act({"do": "pay_order", "id": order})
    world.settle()
    return order


def entered(world: World, order: int, amount: int) -> None:
    """The accountant enters a receipt, and the bus hears of it; nothing is told to anybody yet."""
    received = [{"order": in_books_of(world, order)["Ref_Key"], "amount": amount}]
    world.books.act({"do": "create_payment", "orders": received, "number": "17"})
    world.wiring.reconcile.poll()
    heard(world)


def heard(world: World) -> None:
    """What the shop tells, and what was read elsewhere, reaches the bus."""
    world.shop.outbox.flush(5)
    events, world.bells.published = world.bells.published, []
    world.wiring.pipeline.process(events)


def meanwhile(world: World, point: str, what: Callable[[], Any], system: str = "shop", *, urgent: bool = True) -> None:
    """A lane takes a round, and something happens when it comes to that point."""
    came = []

    def in_between(name: str) -> None:
        if name == point and not came:
            came.append(name)
            points.disarm()
            what()

    points.arm(in_between)
    try:
        world.wiring.lane(system, urgent)._sending.take()
    finally:
        points.disarm()
    assert came == [point]


def booked(world: World, order: int, amount: float) -> int:
    return [(one["sum"], one["paid"]) for one in world.shop_order(order)["payments"]].count((amount, "Y"))


@pytest.mark.parametrize("point", ["lane.claimed", "lane.begun"])
def test_what_the_shop_books_itself_while_we_are_about_to_is_not_booked_again(world: World, point: str) -> None:
    order = paid_order(world)
    entered(world, order, 500)

    def by_the_manager() -> None:
        world.shop.act({"do": "pay_order", "id": order, "amount": 500})
        heard(world)

    meanwhile(world, point, by_the_manager)
    world.settle()
    assert booked(world, order, 500) == 1
    assert world.deal_of(order)["UF_CRM_PAID_TOTAL"] == world.shop_order(order)["price"] + 500
    assert world.letters() == []


def test_nothing_is_sent_while_somebody_asks_what_payments_the_order_has(world: World) -> None:
    """He could take the shop's own payment for one whose booking there is on its way."""
    order = paid_order(world)
    entered(world, order, 500)
    (known,) = world.rows("SELECT entity_id FROM record WHERE system = 'shop' AND type = 'order'")
    lane = Thread(target=world.wiring.lane("shop", True)._sending.take)
    with world.wiring.ledger.transaction() as connection:
        entities.payments_of(connection, [known["entity_id"]])
        lane.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        eventually(lambda: not lane.is_alive() or world.rows(waits))
        assert booked(world, order, 500) == 0
    lane.join(10)
    assert booked(world, order, 500) == 1


def test_a_deal_that_a_manager_makes_for_an_order_while_we_are_about_to_is_the_only_one(world: World) -> None:
    order = world.order()
    heard(world)
    fields = {"title": "По телефону", "UF_CRM_ORDER_ID": str(order)}

    def by_the_manager() -> None:
        world.portal.act({"do": "create_deal", "fields": fields})
        world.portal.outbox.flush(5)
        while world.wiring.lane("crm", False)._lookups.take():
            heard(world)

    meanwhile(world, "lane.begun", by_the_manager, "crm")
    world.settle()
    assert world.deal_of(order)["title"] == "По телефону"
    assert world.letters() == []


# --- a payment whose order is not there -------------------------------------------------------------------------------


@pytest.fixture
def phone_sales(database_url: str, broker_url: str) -> Iterator[World]:
    """Deals by telephone make orders in the shop."""
    shop = {"routes": {**ROUTES["shop"], "order": {"in": "full", "out": "full"}}}
    with build(database_url, broker_url, shop=shop) as built:
        yield built


def sold_by_phone(world: World) -> int:
    """A deal that the bus has heard of, and the shop has not."""
    deal = int(world.portal.act({"do": "create_deal", "fields": {"title": "По телефону"}, "rows": ROWS})["id"])
    world.portal.outbox.flush(5)
    while world.wiring.lane("crm", False)._lookups.take():
        heard(world)
    return deal


def told_by_bank(world: World, deal: int) -> None:
    of = {"system": "crm", "type": "deal", "id": str(deal)}
    data = {"order": of, "status": "paid", "amount": {"amount": "500", "currency": "RUB"}}
    event = {"source": "bank", "type": "payment.changed", "subject": "payment/77", "time": "2026-10-05T10:00:00Z"}
    world.wiring.publisher.publish(event | {"data": data})
    heard(world)


def waiting(world: World) -> dict[str, Any]:
    query = """SELECT delivery.*, due_at > now() + interval '1 minute' AS later FROM delivery
               JOIN entity ON entity.id = entity_id WHERE kind = 'payment' AND system = 'shop'"""
    (row,) = world.rows(query)
    return row


def take(world: World, *, urgent: bool) -> None:
    world.wiring.lane("shop", urgent)._sending.take()


def test_a_payment_waits_for_its_order_and_follows_it_at_once(phone_sales: World) -> None:
    world = phone_sales
    told_by_bank(world, sold_by_phone(world))
    take(world, urgent=True)
    assert waiting(world)["later"], "nothing is gained by looking every few seconds"
    world.bells.rung.clear()
    take(world, urgent=False)
    (order,) = world.shop.state({})["orders"]
    assert ("shop", True) in world.bells.rung
    take(world, urgent=True)
    assert booked(world, order["id"], 500) == 1


def test_and_so_it_does_when_the_order_comes_while_we_look(phone_sales: World) -> None:
    world = phone_sales
    told_by_bank(world, sold_by_phone(world))
    meanwhile(world, "lane.claimed", lambda: take(world, urgent=False))
    take(world, urgent=True)
    (order,) = world.shop.state({})["orders"]
    assert booked(world, order["id"], 500) == 1


def test_and_when_the_shop_tells_of_the_order_before_it_answers_us(phone_sales: World) -> None:
    """The answer is lost, its webhook is not."""
    world = phone_sales
    told_by_bank(world, sold_by_phone(world))
    take(world, urgent=True)
    world.shop.faults.add({"kind": "drop_after", "method": "sale.order.add", "count": 1})
    take(world, urgent=False)
    assert waiting(world)["later"]
    world.bells.rung.clear()
    heard(world)
    assert ("shop", True) in world.bells.rung
    take(world, urgent=True)
    (order,) = world.shop.state({})["orders"]
    assert booked(world, order["id"], 500) == 1


def test_and_when_we_find_the_order_there_ourselves(phone_sales: World) -> None:
    """Both the answer and the webhook are lost."""
    world = phone_sales
    told_by_bank(world, sold_by_phone(world))
    take(world, urgent=True)
    world.shop.faults.add({"kind": "drop_after", "method": "sale.order.add", "count": 1})
    world.shop.faults.add({"kind": "events_lost"})
    take(world, urgent=False)
    eventually(lambda: world.wiring.lane("shop", False)._sending.take() and not waiting(world)["later"])
    assert ("shop", True) in world.bells.rung
    take(world, urgent=True)
    (order,) = world.shop.state({})["orders"]
    assert booked(world, order["id"], 500) == 1


def test_a_payment_is_not_wanted_where_its_order_is_not_made_and_follows_it_should_it_come(world: World) -> None:
    """This shop is told of no orders that begin elsewhere; then an order of its own turns out to be that one."""
    deal = sold_by_phone(world)
    told_by_bank(world, deal)
    take(world, urgent=True)
    assert waiting(world)["state"] == "idle"
    order = world.order(properties={"DEAL_ID": str(deal)})
    world.settle()
    assert booked(world, order, 500) == 1
    assert world.deal_of(order)["UF_CRM_PAID_TOTAL"] == 500
