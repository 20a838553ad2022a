"""1C counts no changes: what was read of it before, and is heard after, is never news."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from bus.ports import Entry
from tests.stories.world import World, build


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url, books=True) as built:
        yield built


def comments(world: World, order: int) -> set[str]:
    (row,) = world.books.state({})["Document_ЗаказКлиента"]
    said = {world.shop_order(order)["comments"] or "", world.deal_of(order)["comments"] or "", row["Комментарий"]}
    return {one.partition(" [bus")[0] for one in said}


def reading(world: World) -> Entry:
    """The order as the base tells it now."""
    adapter, mappings = world.wiring.adapters["onec"], world.wiring.mappings
    (row,) = world.books.state({})["Document_ЗаказКлиента"]
    raw = adapter.fetch("order", [row["Ref_Key"]])[row["Ref_Key"]]
    from bus.ports import RawRecord
    from bus.translate import entries

    began = world.wiring.ledger.now() - timedelta(milliseconds=1)
    return entries("onec", "onec", RawRecord("order", row["Ref_Key"], raw), mappings, observed_at=began)[0]


def test_a_reading_from_before_a_newer_one_changes_nothing_however_late_it_is_heard(world: World) -> None:
    order = world.order(lines=[{"name": "Чайник", "price": 500, "quantity": 1}])
    world.settle()
    old = reading(world)
    world.portal.act({"do": "edit_deal", "id": world.deal_of(order)["id"], "fields": {"COMMENTS": "Позвонить"}})
    world.settle()
    assert comments(world, order) == {"Позвонить"}
    world.wiring.publisher.accept([old])
    world.settle()
    assert comments(world, order) == {"Позвонить"}


def test_a_change_in_the_base_is_heard_though_an_older_reading_comes_after_it(world: World) -> None:
    order = world.order(lines=[{"name": "Чайник", "price": 500, "quantity": 1}])
    world.settle()
    old = reading(world)
    (row,) = world.books.state({})["Document_ЗаказКлиента"]
    world.books.act({"do": "edit_order", "id": row["Ref_Key"], "fields": {"Комментарий": "Отгрузить утром"}})
    world.settle()
    world.wiring.publisher.accept([old])
    world.settle()
    assert comments(world, order) == {"Отгрузить утром"}
