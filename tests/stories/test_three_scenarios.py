"""The three scenarios a shop asks for: status to stage, stage to status, and a payment at once."""

from tests.stories.world import World


def test_a_new_order_creates_one_deal_that_says_the_same(world: World) -> None:
    order = world.order(
        customer={
            "fio": "Иванов Пётр",
            "phone": "8 (912) 345-67-89",
            "email": "petr@example.ru",
            "address": "Пермь, Мира 1",
        },
        lines=[{"name": "Чайник", "price": 990, "quantity": 2}],
    )
    world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": "Позвонить заранее"}})
    world.settle()
    deal = world.deal_of(order)
    assert (deal["stageId"], deal["opportunity"], deal["currencyId"]) == ("NEW", 2480, "RUB")
    assert [(row["productName"], row["price"], row["quantity"]) for row in deal["productRows"]] == [("Чайник", 990, 2)]
    assert deal["comments"] == "Позвонить заранее"
    assert deal["UF_CRM_DELIVERY_ADDRESS"] == "Пермь, Мира 1"
    contact = next(one for one in world.portal.state({})["contacts"] if one["id"] == deal["contactId"])
    assert {multi["value"] for multi in contact["fm"]} == {"+79123456789", "petr@example.ru"}
    assert world.letters() == []


def test_the_orders_status_becomes_the_deals_stage(world: World) -> None:
    order = world.order()
    world.settle()
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert world.deal_of(order)["stageId"] == "PREPARATION"


def test_the_deals_stage_becomes_the_orders_status(world: World) -> None:
    order = world.order()
    world.settle()
    world.move(order, "WON")
    world.settle()
    assert world.shop_order(order)["statusId"] == "F"
    world.move(order, "NEW")  # a closed order reopens by the CRM only: the rules name it
    world.settle()
    assert world.shop_order(order)["statusId"] == "N"


def test_a_lost_deal_cancels_the_order_by_its_flag_and_not_by_a_status(world: World) -> None:
    order = world.order()
    world.settle()
    world.move(order, "LOSE")
    world.settle()
    assert (world.shop_order(order)["canceled"], world.shop_order(order)["statusId"]) == ("Y", "N")


def test_a_cancelled_order_loses_the_deal(world: World) -> None:
    order = world.order()
    world.settle()
    world.shop.act({"do": "cancel_order", "id": order, "reason": "Передумал"})
    world.settle()
    assert world.deal_of(order)["stageId"] == "LOSE"


def test_a_payment_in_the_shop_makes_the_deal_paid(world: World) -> None:
    order = world.order()
    world.settle()
    world.shop.act({"do": "pay_order", "id": order})
    world.settle()
    deal = world.deal_of(order)
    assert deal["stageId"] == "EXECUTING"
    assert deal["UF_CRM_PAYMENT_STATUS"] == "Оплачен"
    assert world.shop_order(order)["payed"] == "Y"


def test_a_payment_is_never_undone_by_a_late_event(world: World) -> None:
    order = world.order()
    world.settle()
    before = world.shop_order(order)
    world.shop.act({"do": "pay_order", "id": order})
    world.settle()
    late = {
        "source": "shop",
        "type": "order.changed",
        "subject": f"order/{order}",
        "time": before["dateUpdate"],
        "sourceversion": str(before["version"]),
        "data": {"status": "new", "comment": "late"},
    }
    world.wiring.publisher.publish(late)
    stage_back = {
        "source": "crm",
        "type": "deal.changed",
        "subject": f"deal/{world.deal_of(order)['id']}",
        "time": "2020-01-01T00:00:00Z",
        "data": {"status": "accepted"},
    }
    world.wiring.publisher.publish(stage_back)
    world.settle()
    assert world.outcomes(f"order/{order}")[-1] == "STALE"
    assert world.deal_of(order)["stageId"] == "EXECUTING"
    assert world.shop_order(order)["payed"] == "Y"
