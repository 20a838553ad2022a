"""Money in another currency than its order's is nobody's to convert: a person is asked, and nothing is counted."""

from decimal import Decimal
from typing import Any

import pytest

from tests.bus.ledger.middle import payment, to_order
from tests.stories.world import World

LATER = "2026-12-05T10:00:00Z"


def told(world: World, order: int, amount: int, currency: str, at: str = "2026-10-05T10:00:00Z") -> None:
    """The bank tells of its payment s1."""
    said: dict[str, Any] = {"status": "paid", "amount": {"amount": str(amount), "currency": currency}}
    world.wiring.pipeline.process([payment("s1", at, source="bank", order=to_order(order), **said)])
    world.settle()


def stands(world: World) -> list[str]:
    """What the bus holds the payment for."""
    rows = world.rows(
        "SELECT fields -> 'amount' ->> 'amount' AS amount, fields -> 'amount' ->> 'currency' AS currency"
        " FROM entity WHERE kind = 'payment'"
    )
    return [f"{Decimal(row['amount'])} {row['currency']}" for row in rows]


def sums(world: World, order: int) -> list[Any]:
    return [one["sum"] for one in world.shop_order(order)["payments"]]


@pytest.fixture
def order(world: World) -> int:
    """An order of 500 RUB of which the shop expects nothing by itself."""
    goods = [{"name": "Чайник", "price": 500, "quantity": 1}]
    made = world.order(lines=goods, delivery={"id": 2, "price": 0}, payments=[])
    world.settle()
    return made


def test_dollars_for_an_order_in_roubles_stay_dollars_and_are_a_dead_letter(world: World, order: int) -> None:
    stage, before = world.deal_of(order)["stageId"], sums(world, order)
    told(world, order, 500, "USD")
    assert stands(world)[-1:] == ["500.00 USD"]
    assert sums(world, order) == before
    assert (world.deal_of(order)["UF_CRM_PAID_TOTAL"], world.deal_of(order)["stageId"]) == (0, stage)
    (letter,) = world.letters()
    assert "amount: USD is told, and the order here is in RUB" in letter["reason"]


def test_a_payment_that_the_bank_corrects_to_dollars_is_no_longer_counted(world: World, order: int) -> None:
    told(world, order, 500, "RUB")
    assert world.deal_of(order)["UF_CRM_PAID_TOTAL"] == 500
    before = sums(world, order)
    told(world, order, 40, "USD", LATER)
    assert stands(world)[-1:] == ["40.00 USD"]
    assert sums(world, order) == before
    assert world.deal_of(order)["UF_CRM_PAID_TOTAL"] == 0
    assert len(world.letters()) == 1
