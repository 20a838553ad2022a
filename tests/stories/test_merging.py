"""Echoes, repeats, late and crosswise changes: what the merge makes of them, end to end."""

import pytest

from tests.stories.world import World


def test_the_same_webhook_ten_times_writes_once(world: World) -> None:
    world.portal.faults.add({"kind": "events_doubled"})
    world.shop.faults.add({"kind": "events_doubled"})
    order = world.order()
    for _ in range(10):
        world.shop.outbox.flush(5)
    world.settle()
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert len(world.deals_of(order)) == 1
    moves = [call for call in world.portal.calls.since(0) if call["method"] == "crm.item.update" and call["write"]]
    assert len([call for call in moves if call["batch"]]) <= 2  # the contact's link, and the move


def test_an_echo_causes_no_write(world: World) -> None:
    order = world.order()
    world.settle()
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    before = world.writes()
    deal = world.deal_of(order)["id"]
    world.wiring.publisher.accept([], [_told("crm", f"deal/{deal}")])
    world.settle()
    assert world.writes() == before
    assert world.outcomes(f"deal/{deal}")[-1] in ("DUPLICATE", "ECHO")


def test_a_quiet_world_stays_quiet(world: World) -> None:
    order = world.order()
    world.shop.act({"do": "pay_order", "id": order})
    world.settle()
    before = world.writes()
    world.wiring.reconcile.run(full=True)
    world.settle()
    world.wiring.chores.sweep()
    world.settle()
    assert world.writes() == before


def test_ten_edits_cost_one_write(world: World) -> None:
    order = world.order()
    world.settle()
    before = world.writes()
    for number in range(10):
        world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": f"edit {number}"}})
    world.settle()
    assert world.deal_of(order)["comments"] == "edit 9"
    assert world.writes() - before == 1


def test_different_fields_changed_on_both_sides_are_both_kept(world: World) -> None:
    order = world.order()
    world.settle()
    world.shop.act({"do": "edit_order", "id": order, "properties": {"ADDRESS": "Казань, Баумана 7"}})
    world.portal.act({"do": "edit_deal", "id": world.deal_of(order)["id"], "fields": {"comments": "VIP"}})
    world.settle()
    assert world.deal_of(order)["UF_CRM_DELIVERY_ADDRESS"] == "Казань, Баумана 7"
    assert world.shop_order(order)["comments"] == "VIP"


def test_the_owner_wins_its_field_back(world: World) -> None:
    order = world.order(lines=[{"name": "Чайник", "price": 500, "quantity": 1}], delivery=None)
    world.settle()
    deal = world.deal_of(order)["id"]
    world.portal.act({"do": "edit_deal", "id": deal, "fields": {"opportunity": 1, "isManualOpportunity": "Y"}})
    world.settle()
    assert world.deal_of(order)["opportunity"] == 500
    assert "OVERRULED" in world.outcomes(f"deal/{deal}")


@pytest.mark.parametrize("last", ["shop", "crm"])
def test_of_the_same_field_changed_on_both_sides_the_newest_wins(world: World, last: str) -> None:
    order = world.order()
    world.settle()
    deal = world.deal_of(order)["id"]
    sides = {
        "shop": lambda: world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": "from the shop"}}),
        "crm": lambda: world.portal.act({"do": "edit_deal", "id": deal, "fields": {"comments": "from the crm"}}),
    }
    first = next(name for name in sides if name != last)
    sides[first]()
    world.clock.ahead_s += 2
    sides[last]()
    world.settle()
    assert world.deal_of(order)["comments"] == world.shop_order(order)["comments"] == f"from the {last}"


def test_a_payment_published_before_its_order_waits_and_is_applied(world: World) -> None:
    payment = {
        "source": "bank", "type": "payment.changed", "subject": "payment/77", "time": "2026-10-05T10:00:00Z",
        "data": {"order": {"number": "1001"}, "status": "paid", "amount": {"amount": "1480", "currency": "RUB"}},
    }  # fmt: skip
    world.wiring.publisher.publish(payment)
    world.step()
    assert world.outcomes("payment/77") == ["WAITING"]
    order = world.order()
    world.settle()
    assert world.outcomes("payment/77") == ["APPLIED"]
    assert world.deal_of(order)["UF_CRM_PAYMENT_STATUS"] == "Оплачен"
    assert [(one["sum"], one["paid"]) for one in world.shop_order(order)["payments"]] == [(1480, "Y")]


def test_a_payment_that_names_a_shops_order_has_it_fetched_at_once(world: World) -> None:
    world.shop.faults.add({"kind": "events_lost"})
    order = world.order()
    payment = {
        "source": "bank", "type": "payment.changed", "subject": "payment/78", "time": "2026-10-05T10:00:00Z",
        "data": {
            "order": {"system": "shop", "id": str(order)}, "status": "paid",
            "amount": {"amount": "1480", "currency": "RUB"},
        },
    }  # fmt: skip
    world.wiring.publisher.publish(payment)
    world.settle()
    assert world.deal_of(order)["UF_CRM_PAYMENT_STATUS"] == "Оплачен"


def test_a_refund_is_shown_and_lets_the_order_go_back(world: World) -> None:
    order = world.order()
    world.shop.act({"do": "pay_order", "id": order})
    world.settle()
    world.shop.act({"do": "refund_payment", "id": order})
    world.settle()
    assert world.deal_of(order)["UF_CRM_PAYMENT_STATUS"] == "Возврат"


def test_both_sides_created_before_they_met_become_one(world: World) -> None:
    deal = world.portal.act({"do": "create_deal", "fields": {"title": "By phone", "comments": "call back"}})["id"]
    world.settle()
    order = world.order(delivery=None)
    world.shop.outbox.flush(5)
    world.bells.published.clear()  # the shop's message is lost for now: only the deal speaks
    world.portal.act({"do": "edit_deal", "id": deal, "fields": {"UF_CRM_ORDER_ID": str(order)}})
    world.settle_lanes()
    world.wiring.publisher.republish(older_s=0)
    world.settle()
    assert [one["id"] for one in world.deals_of(order)] == [deal]
    assert world.shop_order(order)["comments"] == "call back"


def test_two_known_entities_that_turn_out_to_be_one_are_united(world: World) -> None:
    deal = world.portal.act({"do": "create_deal", "fields": {"title": "By phone", "comments": "call back"}})["id"]
    order = world.order()
    world.settle()
    ours = world.deal_of(order)["id"]
    world.portal.act({"do": "edit_deal", "id": deal, "fields": {"UF_CRM_ORDER_ID": str(order)}})
    world.settle()
    united = world.rows("SELECT * FROM entity WHERE kind = 'order' AND merged_into IS NULL")
    assert len(united) == 1
    linked = world.rows("SELECT system, external_id, entity_id FROM record WHERE type <> 'payment' ORDER BY system, id")
    assert {row["entity_id"] for row in linked} == {united[0]["id"]}
    assert sorted((row["system"], row["external_id"]) for row in linked) == [
        ("crm", str(deal)), ("crm", str(ours)), ("shop", str(order))
    ]  # fmt: skip
    story = world.rows("SELECT what FROM history WHERE entity_id = %s", united[0]["id"])
    assert "united" in {row["what"] for row in story}


def test_two_different_orders_are_never_tied_into_one_by_a_typing_error(world: World) -> None:
    first, second = world.order(), world.order()
    world.settle()
    deal = world.deal_of(first)["id"]
    world.portal.act({"do": "edit_deal", "id": deal, "fields": {"UF_CRM_ORDER_ID": str(second)}})
    world.settle()
    assert [letter["cause"] for letter in world.letters()] == ["two orders tied together"]
    assert len(world.rows("SELECT 1 FROM entity WHERE kind = 'order' AND merged_into IS NULL")) == 2


def test_two_orders_with_one_number_stay_two(world: World) -> None:
    for order in (1, 2):
        world.wiring.publisher.publish({
            "source": "shop", "type": "order.changed", "subject": f"order/{order}", "time": "2026-10-05T10:00:00Z",
            "data": {"number": "7", "status": "new"},
        })  # fmt: skip
    world.wiring.pipeline.process(world.bells.published)
    assert [letter["cause"] for letter in world.letters()] == ["two orders tied together"]
    assert len(world.rows("SELECT 1 FROM record WHERE type = 'order'")) == 1


@pytest.mark.parametrize("left", ["Позвонить", "Позвонить ? после шести", "Позвонить  после шести", None])
def test_a_text_that_the_shop_cuts_stays_whole_in_the_deal(world: World, left: str | None) -> None:
    order = world.order()
    world.settle()
    world.shop.faults.add({"kind": "text_cut", "method": "sale.order.update", "field": "comments", "left": left})
    deal, whole = world.deal_of(order)["id"], "Позвонить 😀 после шести"
    world.portal.act({"do": "edit_deal", "id": deal, "fields": {"COMMENTS": whole}})
    world.settle()
    assert world.deal_of(order)["comments"] == whole
    assert [letter["cause"] for letter in world.letters()] == ["dropped comment"]
    world.wiring.reconcile.run(full=True)
    world.settle()
    assert world.deal_of(order)["comments"] == whole


def test_a_deal_whose_text_was_cut_when_it_was_made_is_made_once(world: World) -> None:
    cut = {"kind": "text_cut", "method": "crm.item.add", "field": "comments", "left": "Позвонить"}
    world.portal.faults.add(cut)
    order = world.order()
    world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": "Позвонить после шести"}})
    world.settle()
    assert [letter["cause"] for letter in world.letters()] == ["dropped comment"]
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert (world.deal_of(order)["stageId"], world.deal_of(order)["comments"]) == (
        "PREPARATION",
        "Позвонить после шести",
    )
    assert world.shop_order(order)["comments"] == "Позвонить после шести"
    assert world.letters() == []


def test_a_deal_that_was_copied_for_another_customer_says_nothing_of_the_first_ones_order(world: World) -> None:
    order = world.order(customer={"fio": "Анна Белова", "phone": "+79123456789"})
    world.settle()
    deal = world.deal_of(order)
    buyer = world.portal.act({"do": "create_contact", "fields": {"NAME": "Пётр"}, "phones": ["+79990000000"]})["id"]
    kept = {name: value for name, value in deal.items() if name.startswith("UF_") or name == "title"}
    copy = world.portal.act({"do": "create_deal", "fields": {**kept, "contactId": buyer}})["id"]
    world.settle()
    world.portal.act({"do": "move_deal", "id": copy, "stage": "LOSE"})
    world.settle()
    world.wiring.reconcile.run(full=True)
    world.settle()
    assert world.shop_order(order)["canceled"] == "N"
    assert "Анна Белова" in [one["value"] for one in world.shop_order(order)["propertyValues"]]
    assert [one["name"] for one in world.portal.state({})["contacts"]] == ["Анна Белова", "Пётр"]
    assert {one["id"]: one["stageId"] for one in world.deals_of(order)} == {deal["id"]: "NEW", copy: "LOSE"}
    assert "OVERRULED" in world.outcomes(f"deal/{copy}")
    world.portal.act({"do": "delete_deal", "id": copy})
    world.settle()
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert world.deal_of(order)["stageId"] == "PREPARATION"


def _told(system: str, subject: str):
    from bus.ports import Notification

    record_type, _, external_id = subject.partition("/")
    return Notification(system, record_type, external_id)
