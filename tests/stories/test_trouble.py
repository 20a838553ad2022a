"""Trouble at the edges: lost answers, lost webhooks, a portal that is down, codes nobody mapped, people in between."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bus.config import Config
from bus.ledger import history
from bus.ports import RawRecord
from bus.translate import entries
from tests.stories.world import World, build
from workers.bootstrap import Wiring


def test_an_answer_lost_after_the_create_makes_one_deal_not_two(world: World) -> None:
    world.portal.faults.add({"kind": "drop_after", "method": "crm.item.add", "count": 1})
    order = world.order()
    world.settle()
    assert len(world.deals_of(order)) == 1
    assert world.letters() == []


def test_a_creation_whose_answer_was_lost_is_told_in_the_history_all_the_same(world: World) -> None:
    told = []
    for lost in (False, True):
        if lost:
            world.portal.faults.add({"kind": "drop_after", "method": "crm.item.add", "count": 1})
        order = world.order()
        world.settle()
        entity = world.rows("SELECT entity_id FROM record WHERE external_id = %s", str(world.deal_of(order)["id"]))[0]
        with world.wiring.ledger.transaction() as connection:
            story = history.of_entity(connection, entity["entity_id"])
        told.append({line["field"] for line in story if (line["what"], line["system"]) == ("created", "crm")})
    assert told[0]
    assert told[1] == told[0]


def test_what_a_lost_create_said_does_not_undo_what_a_person_said_since(world: World) -> None:
    customer = {"fio": "Иванов Пётр", "phone": "+79123456789", "email": "petr@example.ru", "address": "Пермь, Мира 1"}
    world.portal.faults.add({"kind": "drop_after", "method": "crm.item.add", "count": 1})
    order = world.order(customer=customer)
    world.shop.outbox.flush(5)
    world.step()  # the deal is there, its answer was lost
    world.clock.ahead_s -= 5  # the shop's clock is behind: the deal's own words look newer than the person's
    world.shop.act({"do": "edit_order", "id": order, "properties": {"ADDRESS": "Казань, Баумана 7"}})
    world.settle()
    deal = world.deal_of(order)
    assert deal["UF_CRM_DELIVERY_ADDRESS"] == "Казань, Баумана 7"
    contact = next(one for one in world.portal.state({})["contacts"] if one["id"] == deal["contactId"])
    assert "+79123456789" in {multi["value"] for multi in contact["fm"]}
    said = {one["code"]: one["value"] for one in world.shop_order(order)["propertyValues"]}
    assert (said["FIO"], said["ADDRESS"]) == ("Иванов Пётр", "Казань, Баумана 7")


def test_a_reading_from_just_before_our_write_is_not_taken_for_a_change_back(world: World) -> None:
    order = world.order()
    world.settle()
    deal = str(world.deal_of(order)["id"])
    with world.wiring.ledger.transaction() as connection:
        before = connection.execute("SELECT now() AS at").fetchone()["at"]
    raw = world.wiring.adapters["crm"].fetch("deal", [deal])[deal]
    world.clock.ahead_s += 2
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    raw["item"]["updatedTime"] = world.deal_of(order)["updatedTime"]  # within the same second as our write
    entry = entries("crm", "bitrix24", RawRecord("deal", deal, raw), world.wiring.mappings, observed_at=before)
    world.wiring.publisher.accept(entry)
    world.settle()
    assert "STALE" in world.outcomes(f"deal/{deal}")
    assert world.deal_of(order)["stageId"] == "PREPARATION"
    assert world.shop_order(order)["statusId"] == "A"


def test_a_create_that_failed_before_its_commit_is_made_again(world: World) -> None:
    world.portal.faults.add({"kind": "drop_before", "method": "crm.item.add", "count": 1})
    order = world.order()
    world.settle()
    assert len(world.deals_of(order)) == 1


def test_a_portal_that_is_down_for_a_while_gets_everything_afterwards(world: World) -> None:
    world.portal.faults.add({"kind": "down"})
    orders = [world.order() for _ in range(5)]
    world.shop.outbox.flush(5)
    world.step()
    waiting = world.rows("SELECT state, last_error FROM delivery WHERE system = 'crm'")
    assert {row["state"] for row in waiting} == {"due"}
    assert all(row["last_error"] for row in waiting)
    world.portal.faults.clear()
    world.settle()
    assert [len(world.deals_of(order)) for order in orders] == [1] * 5
    assert world.letters() == []


def test_a_webhook_that_was_lost_is_found_by_reconciliation_and_healed(world: World) -> None:
    order = world.order()
    world.settle()
    world.portal.faults.add({"kind": "events_lost"})
    world.move(order, "WON")
    world.settle()
    assert world.shop_order(order)["statusId"] == "N"
    report = world.wiring.reconcile.run()
    world.settle()
    assert world.shop_order(order)["statusId"] == "F"
    assert report is not None
    crm = next(system for system in report["systems"] if system["system"] == "crm")
    assert (crm["missed"], crm["healed"]) == (1, 1)
    drift = world.rows("SELECT * FROM drift WHERE system = 'crm' AND field = 'status'")
    assert [(row["cause"], row["healing"]) for row in drift] == [("missed", "healed")]


def test_an_unknown_stage_is_held_and_named_and_released_after_a_table_line(world: World, tmp_path: Path) -> None:
    order = world.order()
    world.settle()
    world.portal.settings({"stages": [{"category": 0, "id": "UC_PACK", "name": "Packing"}]})
    deal = world.deal_of(order)["id"]
    world.portal.act({"do": "edit_deal", "id": deal, "fields": {"stageId": "UC_PACK", "comments": "pack well"}})
    world.settle()
    assert [letter["cause"] for letter in world.letters()] == ["deal_stage 'UC_PACK'"]
    assert world.shop_order(order)["statusId"] == "N"  # never defaulted
    assert world.shop_order(order)["comments"] == "pack well"  # the rest of the record went on
    (tmp_path / "tables.yaml").write_text("bitrix24: {codes: {deal_stage: {UC_PACK: accepted}}}", encoding="utf-8")
    after = _rewired(world, mappings=tmp_path)
    assert [one.left for one in after.wiring.dead_letters.retry_cause("deal_stage 'UC_PACK'", "operator")] == [{}]
    after.settle()
    assert world.shop_order(order)["statusId"] == "A"
    assert world.deal_of(order)["stageId"] == "UC_PACK"  # it means accepted already: its code is kept
    assert world.letters() == []
    assert world.rows("SELECT state FROM dead_letter") == [{"state": "resolved"}]


def test_a_value_that_a_portal_drops_in_silence_is_told_to_a_person(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    tables = "bitrix24: {codes: {deal_stage: {GHOST: accepted}}, prefer: {deal_stage: {accepted: GHOST}}}"
    (tmp_path / "tables.yaml").write_text(tables, encoding="utf-8")
    with build(database_url, broker_url, top={"mappings": str(tmp_path)}) as world:
        order = world.order()
        world.settle()
        world.shop.act({"do": "set_status", "id": order, "status": "A"})
        world.settle()
        assert [(letter["class"], letter["cause"]) for letter in world.letters()] == [("Dropped", "dropped status")]
        assert world.deal_of(order)["stageId"] == "NEW"


def commented_between(world: World, comments: str) -> int:
    """An order. A manager will write this into its deal right after we have next read it, before we write there."""
    order = world.order()
    world.settle()
    edit = {"do": "edit_deal", "fields": {"comments": comments}}
    deal = world.deal_of(order)["id"]
    world.portal.faults.add(
        {"kind": "user_edit_between", "method": "crm.item.list", "id": deal, "count": 1, "edit": edit}
    )
    return order


def test_a_persons_edit_between_our_read_and_our_write_is_not_lost_in_the_crm(world: World) -> None:
    order = commented_between(world, "edited in between")
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert world.deal_of(order)["stageId"] == "PREPARATION"
    assert world.deal_of(order)["comments"] == world.shop_order(order)["comments"] == "edited in between"


def test_a_persons_edit_of_the_very_field_that_we_are_about_to_write_over_is_heard_first(world: World) -> None:
    """He is the later one, or as late and first in the order of the rule: what we wrote over him is put back."""
    order = commented_between(world, "the manager's")
    world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": "the customer's"}})
    world.settle()
    assert world.deal_of(order)["comments"] == world.shop_order(order)["comments"] == "the manager's"


def test_a_persons_edit_between_our_read_and_our_write_is_not_lost_in_the_shop(world: World) -> None:
    order = world.order()
    world.settle()
    world.shop.faults.add({
        "kind": "user_edit_between", "method": "sale.order.get", "id": order, "count": 1,
        "edit": {"do": "edit_order", "id": order, "fields": {"comments": "edited in between"}},
    })  # fmt: skip
    world.portal.act({"do": "edit_deal", "id": world.deal_of(order)["id"], "fields": {"stageId": "WON"}})
    world.settle()
    assert world.shop_order(order)["statusId"] == "F"
    assert world.deal_of(order)["comments"] == world.shop_order(order)["comments"] == "edited in between"


def test_a_revoked_webhook_stops_the_lane_and_uses_up_no_attempt(world: World) -> None:
    world.portal.faults.add({"kind": "auth_revoked"})
    world.order()
    world.shop.outbox.flush(5)
    world.step()
    row = world.rows("SELECT * FROM delivery WHERE system = 'crm'")[0]
    assert (row["state"], row["attempts"]) == ("due", 0)
    assert "webhook" in row["last_error"]
    assert "sandbox" not in row["last_error"]  # the code in the webhook's URL is a secret


def test_a_deleted_deal_is_not_made_again(world: World) -> None:
    order = world.order()
    world.settle()
    world.portal.act({"do": "delete_deal", "id": world.deal_of(order)["id"]})
    world.settle()
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert world.deals_of(order) == []
    assert world.letters() == []


def test_something_that_always_writes_against_us_is_parked_and_not_fought_for_ever(
    database_url: str, broker_url: str
) -> None:
    with build(database_url, broker_url, limits={"loop_writes": 4}) as world:
        order = world.order(delivery=None)
        world.settle()
        deal = world.deal_of(order)["id"]
        for amount in range(1, 8):
            world.portal.act({"do": "edit_deal", "id": deal, "fields": {"opportunity": amount}})
            world.settle()
        assert [letter["cause"] for letter in world.letters()] == ["loop"]
        assert world.rows("SELECT state FROM delivery WHERE system = 'crm'") == [{"state": "parked"}]


def test_everything_that_happened_to_an_order_is_in_its_history(world: World) -> None:
    order = world.order()
    world.settle()
    world.move(order, "WON")
    world.settle()
    entity = world.rows("SELECT entity_id FROM record WHERE system = 'shop' AND type = 'order'")[0]["entity_id"]
    with world.wiring.ledger.transaction() as connection:
        story = history.of_entity(connection, entity)
    moved = [line for line in story if line["field"] == "status"]
    assert [(line["what"], line["system"], line["new"]) for line in moved] == [
        ("changed", "shop", "new"),
        ("created", "crm", "new"),
        ("changed", "crm", "completed"),
        ("written", "shop", "completed"),
    ]
    assert moved[2]["actor"] == "user:7"
    assert "state machine" in moved[2]["rule"]
    assert "sale.order.update" in moved[3]["call"]


@pytest.mark.parametrize("mode", ["off", "update-only"])
def test_creating_deals_can_be_switched_off(database_url: str, broker_url: str, mode: str) -> None:
    with build(database_url, broker_url, crm={"routes": {"order": {"in": "full", "out": mode}}}) as world:
        order = world.order()
        world.settle()
        assert world.deals_of(order) == []
        deal = world.portal.act({"do": "create_deal", "fields": {"title": "own", "UF_CRM_ORDER_ID": str(order)}})["id"]
        world.settle()
        world.shop.act({"do": "set_status", "id": order, "status": "A"})
        world.settle()
        assert world.deal_of(order)["id"] == deal
        assert world.deal_of(order)["stageId"] == ("NEW" if mode == "off" else "PREPARATION")


def test_orders_are_recognized_by_the_portals_own_links_where_they_are_switched_on(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    links = "bitrix24: {names: {fields: {order_links: crm.orderentity, order_id: ~}}}"
    (tmp_path / "tables.yaml").write_text(links, encoding="utf-8")
    with build(database_url, broker_url, top={"mappings": str(tmp_path)}) as world:
        order = world.order()
        world.settle()
        linked = world.portal.state({})["links"]
        assert [(link["orderId"], link["ownerTypeId"]) for link in linked] == [(order, 2)]
        world.portal.act({"do": "move_deal", "id": linked[0]["ownerId"], "stage": "WON"})
        world.settle()
        assert world.shop_order(order)["statusId"] == "F"


def test_the_shops_order_may_name_its_deal(world: World) -> None:
    deal = world.portal.act({"do": "create_deal", "fields": {"title": "By phone"}})["id"]
    world.settle()
    order = world.order(properties={"DEAL_ID": str(deal)})
    world.settle()
    assert [one["id"] for one in world.deals_of(order)] == [deal]


def test_a_deal_that_the_shops_order_names_and_that_is_hidden_from_us_gets_no_second_one(world: World) -> None:
    deal = world.portal.act({"do": "create_deal", "fields": {"title": "By phone"}}, quiet=True)["id"]
    world.portal.act({"do": "delete_deal", "id": deal}, quiet=True)  # no list shows it, and no webhook told of it
    hidden = {"kind": "refuse", "method": "crm.item.get", "error": "ACCESS_DENIED", "text": "", "status": 403}
    world.portal.faults.add(hidden)
    order = world.order(properties={"DEAL_ID": str(deal)})
    world.settle()
    assert world.deals_of(order) == []
    (letter,) = world.letters()
    assert (letter["system"], letter["class"]) == ("crm", "Permanent")


@pytest.mark.parametrize("full", [False, True], ids=["changed", "full"])
@pytest.mark.parametrize("where", ["shop", "crm"])
def test_an_edit_that_nobody_told_of_and_that_cannot_be_read_is_a_dead_letter_until_it_can(
    world: World, where: str, full: bool
) -> None:
    order = world.order()
    world.settle()
    for system in (world.portal, world.shop):
        system.faults.add({"kind": "events_lost"})
    world.clock.ahead_s += 60
    spoilt = _spoil(world, where, order)
    counts = []
    for _ in range(3):
        report = world.wiring.reconcile.run(full=full)
        world.settle()
        assert report is not None
        counts.append(sum(system["unreadable"] for system in report["systems"]))
    (letter,) = world.letters()
    assert counts == [1, 1, 1]
    assert (letter["system"], "currency" in letter["reason"]) == (where, True)
    spoilt()
    world.wiring.dead_letters.retry([letter["id"]], "operator")
    world.settle()
    said = world.deal_of(order)["comments"] if where == "shop" else world.shop_order(order)["comments"]
    assert said == "call first"
    assert world.rows("SELECT state FROM dead_letter") == [{"state": "resolved"}]


def _spoil(world: World, where: str, order: int) -> Callable[[], None]:
    """An edit that leaves the record with a currency that is none; what is returned mends that."""
    if where == "shop":
        world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": "call first"}})
        row, name = world.shop.orders.table.rows[order], "currency"
    else:
        deal = world.deal_of(order)["id"]
        world.portal.act({"do": "edit_deal", "id": deal, "fields": {"COMMENTS": "call first"}})
        row, name = world.portal.records.tables[2].rows[deal], "currencyId"
    row[name] = "roubles"
    return lambda: row.update({name: "RUB"})


def _rewired(world: World, **changes: object) -> World:
    """The same world after a restart of the bus with a changed configuration."""
    old = world.wiring
    file: Config = old.file.model_copy(update=changes)
    wiring = Wiring(old.settings, file)
    wiring.__dict__["bells"] = world.bells
    wiring.__dict__["ledger"] = old.ledger
    wiring.__dict__["redis"] = old.redis
    return World(world.portal, world.shop, wiring, world.bells, world.clock)


def test_a_phone_that_a_manager_corrects_on_the_deals_contact_reaches_the_shop_by_reconciliation(world: World) -> None:
    order = world.order(customer={"fio": "Иван Петров", "phone": "+79123456789"})
    world.settle()
    person = world.deal_of(order)["contactId"]
    contact = next(one for one in world.portal.state({})["contacts"] if one["id"] == person)
    (phone,) = (row for row in contact["fm"] if row["typeId"] == "PHONE")
    world.clock.ahead_s += 60
    corrected = {"fm": [{**phone, "value": "+79991112233"}]}
    world.portal.act({"do": "edit_contact", "id": person, "fields": corrected})
    world.wiring.reconcile.run()
    world.settle()
    assert "+79991112233" in str(world.shop_order(order))


def test_the_later_correction_counts_where_a_manager_saved_the_contact_and_not_the_deal(world: World) -> None:
    order = world.order(customer={"fio": "Иван Петров", "email": "ivan@example.ru"})
    world.settle()
    person = world.deal_of(order)["contactId"]
    world.clock.ahead_s += 60
    world.shop.act({"do": "edit_order", "id": order, "properties": {"EMAIL": "buyer@example.ru"}})
    world.clock.ahead_s += 60
    world.portal.act({"do": "edit_contact", "id": person, "emails": ["manager@example.ru"]})
    world.wiring.reconcile.run()
    world.settle()
    contact = next(one for one in world.portal.state({})["contacts"] if one["id"] == person)
    assert "manager@example.ru" in str(world.shop_order(order))
    assert "buyer@example.ru" not in str(contact)


def test_a_sum_of_payments_that_a_manager_types_over_is_put_right(world: World) -> None:
    order = world.order(lines=[{"name": "Чайник", "price": 500, "quantity": 1}])
    world.shop.act({"do": "pay_order", "id": order})
    world.settle()
    before = world.deal_of(order)
    world.clock.ahead_s += 60
    typed = {"UF_CRM_PAID_TOTAL": "9999|RUB", "UF_CRM_PAYMENT_STATUS": "Не оплачен"}
    world.portal.act({"do": "edit_deal", "id": before["id"], "fields": typed})
    world.settle()
    after = world.deal_of(order)
    for name, spoilt in typed.items():
        assert after[name] == before[name] != spoilt
    quiet = world.writes()
    world.wiring.reconcile.run()
    world.settle()
    assert world.writes() == quiet
