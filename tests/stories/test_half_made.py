"""A record is read between the call that makes it and those that fill it: what it lacks then nobody has taken away."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from bus import points
from bus.ledger import entities
from tests.stories.world import ROUTES, World, build

FULL = {"in": "full", "out": "full"}
ADDRESS = "Пермь, Мира 1"
COMPANY = {"name": "Ромашка", "inn": "7707083893", "kpp": "773601001", "address": ADDRESS}

Story = tuple[str, Callable[[World], object], Callable[[World], list[Any]], list[Any]]


@pytest.fixture
def world(database_url: str, broker_url: str, method: str) -> Iterator[World]:
    """Orders are made out of the books', or out of the CRM's."""
    teller = "shop" if method.startswith("sale.") else "onec"
    routes = {teller: {"routes": {**ROUTES[teller], "order": FULL}}}
    with build(database_url, broker_url, books=True, **routes) as built:
        built.settle()
        yield built


def an_order_in_the_books(world: World) -> None:
    world.books.act({"do": "create_order", "lines": [{"name": "Чайник", "price": "980", "quantity": "1"}]})


def goods(world: World) -> list[Any]:
    """The rows of the order, by the CRM and by the books."""
    (deal,) = world.portal.state({})["deals"]
    (order,) = world.books.state({})["Document_ЗаказКлиента"]
    return [[row["productName"] for row in deal["productRows"]], len(order["Товары"])]


def a_company_in_the_books(world: World) -> None:
    world.books.act({"do": "create_counterparty", **COMPANY})


def addresses(world: World) -> list[Any]:
    """Where the company is, by the CRM and by the books."""
    (there,) = world.portal.state({"of": "addresses"})["addresses"]
    (row,) = [one for one in world.books.state({})["Catalog_Контрагенты"] if one["ИНН"] == COMPANY["inn"]]
    return [there["ADDRESS_1"], [one["Представление"] for one in row["КонтактнаяИнформация"]]]


def a_deal_by_telephone(world: World) -> None:
    rows = [{"productName": "Чайник", "price": 980, "quantity": 1}]
    world.portal.act({"do": "create_deal", "fields": {"UF_CRM_DELIVERY_ADDRESS": ADDRESS}, "rows": rows})


def delivery(world: World) -> list[Any]:
    """Where the order is sent, by the CRM and by the shop."""
    (deal,) = world.portal.state({})["deals"]
    (order,) = world.shop.state({})["orders"]
    said = {one["code"]: one["value"] for one in order["propertyValues"]}
    return [deal["UF_CRM_DELIVERY_ADDRESS"], said["ADDRESS"]]


STORIES: dict[str, Story] = {
    "crm.item.productrow.set": ("crm", an_order_in_the_books, goods, [["Чайник"], 1]),
    "crm.address.add": ("crm", a_company_in_the_books, addresses, [ADDRESS, [ADDRESS]]),
    "sale.propertyvalue.modify": ("shop", a_deal_by_telephone, delivery, [ADDRESS, ADDRESS]),
}
"""By the call that never arrives: where the record is made, of what, and what all say in the end."""


@pytest.mark.parametrize("method", STORIES)
def test_what_a_record_lacks_while_it_is_being_made_stays_what_it_is(world: World, method: str) -> None:
    system, begins, said, wanted = STORIES[method]
    site = world.portal if system == "crm" else world.shop
    site.faults.add({"kind": "drop_before", "method": method, "count": 1})
    begins(world)
    world.portal.outbox.flush(5)
    heard(world)
    world.wiring.lane(system, False)._sending.take()
    assert world.rows("SELECT promised FROM record WHERE promised <> '{}'"), "its making broke off"
    world.wiring.reconcile.run()
    world.settle()
    assert said(world) == wanted
    assert world.letters() == []


def test_what_cannot_be_finished_is_a_dead_letter_and_is_not_tried_again_by_itself(
    database_url: str, broker_url: str
) -> None:
    routes = {name: {"routes": {**ROUTES[name], "order": FULL}} for name in ("shop", "onec")}
    with build(database_url, broker_url, books=True, **routes) as world:
        lines = [{"name": "Чайник", "price": "980", "quantity": "1"}]
        world.books.act({"do": "create_order", "lines": lines, "new_counterparty": COMPANY})
        world.settle()
        (letter,) = world.letters()
        assert letter["cause"] == "property COMPANY", "the shop has no such property"
        assert len(world.shop.state({})["orders"]) == 1


def heard(world: World) -> None:
    """What people did reaches the bus, and nothing is told to anybody yet."""
    world.wiring.reconcile.poll()
    world.wiring.pipeline.process(world.bells.published)
    world.bells.published = []
    while world.wiring.lane("crm", False)._lookups.take():
        world.wiring.pipeline.process(world.bells.published)
        world.bells.published = []


def test_a_call_whose_answer_was_lost_has_its_time_from_then_and_not_from_when_its_write_began(
    database_url: str, broker_url: str
) -> None:
    """It may wait for the budget, and for calls that come before it: a part of `late_s` would have passed."""
    with build(database_url, broker_url, limits={"backoff_base_s": 60, "backoff_cap_s": 60}) as world:
        world.portal.faults.add({"kind": "drop_after", "method": "crm.item.add", "count": 1})
        world.order()
        world.shop.outbox.flush(5)
        world.step()
        (made,) = world.rows("SELECT creating_since FROM record WHERE system = 'crm'")
        (call,) = [one for one in world.portal.calls.since() if one["method"] == "crm.item.add"]
        assert made["creating_since"].timestamp() > call["unix"]


def test_a_reading_is_final_only_when_a_call_whose_answer_was_lost_can_have_no_effect_any_more(
    database_url: str, broker_url: str
) -> None:
    """What an update says is on its way from when it was sent, and not from when its write began."""
    with build(database_url, broker_url, limits={"backoff_base_s": 60, "backoff_cap_s": 60}) as world:
        order = world.order()
        world.settle()
        world.portal.faults.add({"kind": "drop_after", "method": "crm.item.update", "count": 1})
        world.shop.act({"do": "edit_order", "id": order, "properties": {"ADDRESS": "Казань, Баумана 7"}})
        world.shop.outbox.flush(5)
        world.step()
        (told,) = world.rows("SELECT told_at FROM record WHERE system = 'crm'")
        call = [one for one in world.portal.calls.since() if one["method"] == "crm.item.update"][-1]
        assert told["told_at"].timestamp() > call["unix"]


def test_a_lost_call_has_its_time_also_where_its_order_was_united_with_another_meanwhile(
    database_url: str, broker_url: str
) -> None:
    with build(database_url, broker_url, limits={"backoff_base_s": 60, "backoff_cap_s": 60}) as world:
        world.portal.faults.add({"kind": "drop_after", "method": "crm.item.add", "count": 1})
        world.order()
        world.shop.outbox.flush(5)
        since: list[Any] = []

        def at(name: str) -> None:
            if name == "lane.sent" and not since:
                since.append(None)
                unite(world)
            elif name == "lane.settled" and since == [None]:
                since[:] = world.rows("SELECT creating_since FROM record WHERE system = 'crm'")

        points.arm(at)
        try:
            world.step()
        finally:
            points.disarm()
        (call,) = [one for one in world.portal.calls.since() if one["method"] == "crm.item.add"]
        assert since[0]["creating_since"].timestamp() > call["unix"]


def unite(world: World) -> None:
    """The order that is being made in the CRM turns out to be another one's."""
    with world.wiring.ledger.transaction() as connection:
        (lost,) = world.rows("SELECT entity_id FROM record WHERE system = 'crm' AND state = 'creating'")
        kept = uuid4()
        entities.save(connection, [entities.begun(kept, "order")])
        entities.move(connection, lost["entity_id"], kept)
