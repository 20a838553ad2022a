"""The ledger is lost and comes from a backup, while the systems lived on: nothing is doubled, nothing newer undone.

Of what the bus did after the backup the ledger knows nothing; the systems know it, and are read before anything is
written to any of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bus import backup, restore
from bus.ledger import restored
from tests.bus.exchanging import exchanging
from tests.stories.test_books import PARTY, companies, in_books
from tests.stories.test_exchange import STATUSES, Company
from tests.stories.world import HandBells, World, build, running_intake
from workers.bootstrap import Wiring

ORDERS, PAYMENTS = "Document_ЗаказКлиента", "Document_ПоступлениеБезналичныхДенежныхСредств"
KETTLE = [{"name": "Чайник", "price": 500, "quantity": 2}]
CARD = {"preset": "legal", "RQ_INN": "5024103742", "RQ_KPP": "502401001", "RQ_COMPANY_NAME": "Василёк"}


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url, books=True) as built:
        built.settle()
        yield built


@contextmanager
def lost(world: World, dump: Path, *, empty_redis: bool = False, **config: Any) -> Iterator[World]:
    """The bus and its ledger are lost; the ledger is what the dump has, and a bus is started that is not yet healed."""
    url = world.wiring.settings.database()
    world.wiring.ledger.close()
    if empty_redis:
        world.wiring.redis.flushall()
    restore.restore(url, dump, replace=True, actor="olga")
    with ExitStack() as stack:
        wiring = Wiring(world.wiring.settings, world.wiring.file.model_copy(update=config))
        stack.callback(wiring.close)
        bells = HandBells()
        wiring.__dict__["bells"] = bells
        intake = stack.enter_context(running_intake(wiring))
        for system, address in ((world.portal, "bitrix24/crm"), (world.shop, "shop/shop")):
            system.webhooks[0]["url"] = f"{intake}/{address}"
        yield replace(world, wiring=wiring, bells=bells)


def heal(world: World) -> None:
    """What beat has done every `reconcile_s`; then all that is on its way arrives."""
    report = world.wiring.reconcile.run()
    assert report is not None
    assert [one["error"] for one in report["systems"] if one["error"]] == []
    world.settle(40)


@contextmanager
def nobody_told(world: World) -> Iterator[None]:
    """Webhooks get lost."""
    for system in (world.portal, world.shop):
        system.faults.add({"kind": "events_lost"})
    yield
    for system in (world.portal, world.shop):
        system.faults.clear()


def dumped(world: World, folder: Path) -> Path:
    return backup.back_up(world.wiring.settings.database(), folder).file


def told_by_bank(number: str, order: int, amount: str, *, named: bool = True) -> dict[str, Any]:
    data = {
        "order": {"system": "shop", "id": str(order)},
        "status": "paid",
        "amount": {"amount": amount, "currency": "RUB"},
    }
    return {
        "source": "bank", "type": "payment.changed", "subject": f"payment/{number}", "time": "2026-10-05T10:00:00Z",
        "data": data | ({"external_number": number} if named else {}),
    }  # fmt: skip


def writes(world: World) -> int:
    return world.writes() + int(world.books.calls.summary()["writes"])


def holdings(world: World) -> dict[str, Any]:
    """What stands in the systems, by what people know it by; of each the number, so that a double shows."""
    portal, shop, books = world.portal.state({}), world.shop.state({}), world.books.state({})
    deals = Counter(str(deal["UF_CRM_ORDER_ID"]) for deal in portal["deals"])
    paid = {order["id"]: sorted((one["sum"], one["paid"]) for one in order["payments"]) for order in shop["orders"]}
    return {
        "deals": deals,
        "orders": len(shop["orders"]),
        "paid": paid,
        "book orders": Counter(row["НомерПоДаннымКлиента"] for row in books[ORDERS]),
        "book payments": len(books[PAYMENTS]),
        "companies": Counter(one["title"] for one in companies(world)),
        "contacts": Counter(f"{one['name']} {one.get('lastName') or ''}".strip() for one in portal["contacts"]),
        "in books": Counter(row["Description"] for row in in_books(world)),
    }


def assert_in_step(world: World, orders: list[int]) -> None:
    """Each order says the same in the shop, in its deal and in the books."""
    for order in orders:
        shop, deal = world.shop_order(order), world.deal_of(order)
        assert (deal["comments"] or None) == (shop["comments"] or None)
        assert deal["opportunity"] == shop["price"]
        received = sum(one["sum"] for one in shop["payments"] if one["paid"] == "Y")
        assert (deal["UF_CRM_PAID_TOTAL"] or 0) == received
        assert in_books_of(world, order)["СуммаДокумента"] == shop["price"]
    assert world.rows("SELECT * FROM delivery WHERE state <> 'idle'") == []


def quiet(world: World) -> None:
    before = writes(world)
    world.wiring.reconcile.run(full=True)
    world.settle()
    assert writes(world) == before


def work(world: World, old: int, paid: int, ref: str) -> tuple[int, int]:
    """An hour of it, on all sides, which the backup knows nothing of. Two orders that were made."""
    world.clock.ahead_s += 60
    new, disputed = world.order(lines=KETTLE), world.order(lines=KETTLE)
    world.settle()
    for event in bank(new, paid):
        world.wiring.publisher.publish(event)
    world.shop.act({"do": "pay_order", "id": old})
    world.settle()
    world.clock.ahead_s += 60
    world.move(old, "WON")
    world.shop.act({"do": "edit_order", "id": paid, "fields": {"comments": "от покупателя"}})
    world.portal.act({"do": "edit_deal", "id": world.deal_of(new)["id"], "fields": {"comments": "от менеджера"}})
    received = [{"order": in_books_of(world, disputed)["Ref_Key"], "amount": 400}]
    world.books.act({"do": "create_payment", "orders": received, "number": "17"})
    world.books.act({"do": "edit_counterparty", "id": ref, "phones": ["+74997654321"]})
    world.books.act({"do": "create_counterparty", "name": "Лютик", "inn": "7728168971", "kpp": "772801001"})
    world.books.act({"do": "create_counterparty", "name": "Петров Пётр Петрович", "kind": "person"})
    world.portal.act({"do": "create_company", "fields": {"title": "Василёк"}, "requisites": [CARD]})
    world.settle()
    return new, disputed


def bank(new: int, paid: int) -> list[dict[str, Any]]:
    """What the bank tells: with a number, and without one, by which it would be known again."""
    return [
        told_by_bank("101", new, "200.00"),
        told_by_bank("102", new, "300.00", named=False),
        told_by_bank("103", paid, "300.00", named=False),
    ]


def in_books_of(world: World, order: int) -> dict[str, Any]:
    number = world.shop_order(order)["accountNumber"]
    (row,) = [one for one in world.books.state({})[ORDERS] if one["НомерПоДаннымКлиента"] == number]
    return row


@pytest.mark.parametrize("redis", ["kept", "lost too"])
def test_after_an_hour_that_the_ledger_forgot_all_agrees_and_nothing_is_there_twice(
    world: World, tmp_path: Path, redis: str
) -> None:
    old, paid = world.order(lines=KETTLE), world.order(lines=KETTLE)
    ref = str(world.books.act({"do": "create_counterparty", **PARTY})["id"])
    world.settle()
    world.wiring.publisher.publish(told_by_bank("100", paid, "300.00"))
    world.settle()
    dump = dumped(world, tmp_path)
    new, disputed = work(world, old, paid, ref)
    before = holdings(world)
    assert_in_step(world, [old, paid, new, disputed])
    with nobody_told(world):  # on its way when the ledger was lost
        world.move(paid, "EXECUTING")
        last = world.order(lines=KETTLE)
    with lost(world, dump, empty_redis=redis == "lost too") as after:
        wrote = writes(after)
        after.shop.act({"do": "edit_order", "id": old, "fields": {"comments": "пока шина не знает"}})
        after.wiring.publisher.publish(bank(new, paid)[1])
        after.settle_lanes()
        after.step()
        assert writes(after) == wrote, "nothing is written before all was read"
        heal(after)
        now = holdings(after)
        assert now == before | {
            "orders": before["orders"] + 1,
            "deals": before["deals"] + Counter({str(last): 1}),
            "paid": before["paid"] | {last: [(1500, "N")]},
            "book orders": before["book orders"] + Counter({after.shop_order(last)["accountNumber"]: 1}),
        }
        everything = [old, paid, new, disputed, last]
        assert_in_step(after, everything)
        assert (after.shop_order(old)["statusId"], after.shop_order(old)["comments"]) == ("F", "пока шина не знает")
        assert after.shop_order(new)["comments"] == "от менеджера"
        assert after.deal_of(paid)["stageId"] == "EXECUTING"
        for event in bank(new, paid):
            after.wiring.publisher.publish(event)
        after.settle()
        assert holdings(after) == now, "what comes again is what was booked already"
        assert_in_step(after, everything)
        assert after.letters() == []
        quiet(after)


def test_a_restored_bus_writes_nothing_while_a_system_cannot_be_read(world: World, tmp_path: Path) -> None:
    dump = dumped(world, tmp_path)
    order = world.order(lines=KETTLE)
    world.settle()
    world.portal.faults.add({"kind": "down"})
    with lost(world, dump) as after:
        wrote = writes(after)
        report = after.wiring.reconcile.run()
        assert report is not None
        assert [one["system"] for one in report["systems"] if one["error"]] == ["crm"]
        after.settle_lanes()
        assert writes(after) == wrote
        after.portal.faults.clear()
        heal(after)
        assert len(after.deals_of(order)) == 1
        assert_in_step(after, [order])


def test_what_was_made_and_deleted_since_the_backup_is_not_made_again(world: World, tmp_path: Path) -> None:
    known = world.order(lines=KETTLE)
    world.settle()
    dump = dumped(world, tmp_path)
    order = world.order(lines=KETTLE)
    world.settle()
    comment = {"do": "edit_deal", "id": world.deal_of(order)["id"], "fields": {"comments": "подарок"}}
    world.portal.act(comment)  # with what is told to the shop then goes which deal it is
    world.settle()
    for one in (known, order):
        world.portal.act({"do": "delete_deal", "id": world.deal_of(one)["id"]})
    world.settle()
    with lost(world, dump) as after:
        heal(after)
        after.clock.ahead_s += 5
        for one in (known, order):
            after.shop.act({"do": "set_status", "id": one, "status": "A"})
        after.settle()
        assert (after.deals_of(known), after.deals_of(order)) == ([], [])
        assert after.letters() == []
        assert len(after.books.state({})[ORDERS]) == 2
        another = after.order(lines=KETTLE)
        after.settle()
        assert len(after.deals_of(another)) == 1


def test_a_system_that_is_only_written_to_is_read_once_to_know_what_is_there(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    one_way = {"routes": {"order": {"in": "off", "out": "full"}}}
    with build(database_url, broker_url, crm=one_way) as world:
        dump = dumped(world, tmp_path)
        order = world.order(lines=KETTLE)
        world.settle()
        world.portal.act({"do": "edit_deal", "id": world.deal_of(order)["id"], "fields": {"comments": "не нам"}})
        with lost(world, dump) as after:
            heal(after)
            assert len(after.deals_of(order)) == 1
            assert not after.shop_order(order)["comments"]


def test_a_system_that_begins_nothing_is_read_after_those_that_do(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    follows = {"routes": {"order": {"in": "update-only", "out": "full"}}}
    with build(database_url, broker_url, crm=follows) as world:
        dump = dumped(world, tmp_path)
        order = world.order(lines=KETTLE)
        world.settle()
        with lost(world, dump) as after:
            heal(after)
            assert len(after.deals_of(order)) == 1


def test_orders_of_deals_that_were_made_since_are_not_made_again_in_the_shop(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    with build(database_url, broker_url, shop={"routes": {"order": {"in": "full", "out": "full"}}}) as world:
        dump = dumped(world, tmp_path)
        fields = {"title": "По телефону", "opportunity": 990, "isManualOpportunity": "Y"}
        rows = [{"productName": "Чайник", "price": 990, "quantity": 1, "productId": 348}]
        deal = world.portal.act({"do": "create_deal", "fields": fields, "rows": rows})["id"]
        world.settle()
        orders = [one["id"] for one in world.shop.state({})["orders"]]
        assert len(orders) == 1
        with lost(world, dump) as after:
            heal(after)
            assert [one["id"] for one in after.shop.state({})["orders"]] == orders
            assert [one["id"] for one in after.deals_of(orders[0])] == [deal]


def test_a_newer_word_of_both_sides_is_not_undone_by_what_they_had_agreed_on_before(
    world: World, tmp_path: Path
) -> None:
    order = world.order(lines=KETTLE)
    world.settle()
    world.move(order, "WON")
    world.settle()
    dump = dumped(world, tmp_path)
    world.clock.ahead_s += 5
    world.move(order, "NEW")  # only the CRM may reopen: the shop, read first, says it too
    world.settle()
    assert world.shop_order(order)["statusId"] == "N"
    with lost(world, dump) as after:
        wrote = writes(after)
        heal(after)
        assert (after.shop_order(order)["statusId"], after.deal_of(order)["stageId"]) == ("N", "NEW")
        assert writes(after) == wrote


def test_a_backup_taken_while_the_bus_works_makes_a_whole_ledger(world: World, tmp_path: Path) -> None:
    orders = [world.order(lines=KETTLE) for _ in range(4)]
    made: list[Path] = []
    backing_up = Thread(target=lambda: made.append(dumped(world, tmp_path)))
    backing_up.start()
    while backing_up.is_alive():
        world.clock.ahead_s += 2
        orders.append(world.order(lines=KETTLE))
        world.shop.act({"do": "pay_order", "id": orders[0]})
        world.move(orders[1], "PREPARATION") if world.deals_of(orders[1]) else None
        world.portal.outbox.flush(1)
        world.step()
    backing_up.join()
    world.settle()
    before = holdings(world)
    with lost(world, made[0]) as after:
        assert after.rows(LOOSE_ENDS) == []
        heal(after)
        assert holdings(after) == before
        assert_in_step(after, orders)
        quiet(after)


def test_money_that_was_booked_in_two_systems_for_one_that_is_forgotten_is_booked_once(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    onec = {"routes": {"order": {"in": "update-only", "out": "full"}, "payment": {"in": "full", "out": "full"}}}
    with build(database_url, broker_url, books=True, onec=onec) as world:
        order = world.order(lines=KETTLE)
        world.settle()
        dump = dumped(world, tmp_path)
        for event in (first := told_by_bank("1", order, "300.00", named=False)), told_by_bank("2", order, "300.00"):
            world.wiring.publisher.publish(event)
        world.settle()
        before = holdings(world)
        assert (before["paid"][order].count((300, "Y")), before["book payments"]) == (2, 3)  # and what is expected
        with lost(world, dump) as after:
            heal(after)
            assert holdings(after) == before
            after.wiring.publisher.publish(first)
            after.settle()
            assert holdings(after) == before
            after.wiring.publisher.publish(told_by_bank("3", order, "300.00"))
            after.wiring.publisher.publish(told_by_bank("2", order, "300.00"))
            after.settle()
            assert holdings(after)["paid"][order].count((300, "Y")) == 3, "another payment is another payment"


def test_a_task_that_was_made_since_the_backup_is_found_and_not_made_again(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    top = {"mappings": str(tmp_path), "tasks": {"system": "crm", "responsible": "7"}}
    with build(database_url, broker_url, top=top) as world:
        world.portal.settings({"rest3": "off"})  # which would know the second request for the first one's repeat
        order = world.order()
        world.settle()
        world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": "из магазина"}})
        world.portal.act({"do": "edit_deal", "id": world.deal_of(order)["id"], "fields": {"comments": "от менеджера"}})
        world.settle()
        dump = dumped(world, tmp_path)
        assert world.wiring.asking.ask()["tasks_made"] == 1
        with lost(world, dump) as after:
            assert after.wiring.asking.ask()["tasks_made"] == 0
            heal(after)
            after.wiring.asking.ask()
            (task,) = after.portal.state({})["tasks"]
            (conflict,) = after.rows("SELECT * FROM conflict")
            assert conflict["task_id"] == str(task["id"])
            assert after.rows("SELECT nextval('conflict_id_seq') AS n")[0]["n"] > conflict["id"] + 1_000


RULES = "order: {comment: {policy: manual, sla_hours: 24, default: {policy: priority, order: [crm, shop]}}}"


@pytest.mark.parametrize("profile", ["ut", "unf"])
def test_a_1c_that_fetches_its_orders_is_given_none_before_and_knows_them_afterwards(
    database_url: str, broker_url: str, tmp_path: Path, profile: str
) -> None:
    (tmp_path / "tables.yaml").write_text(STATUSES, encoding="utf-8")
    settings = {"profile": profile, "updates": "no"}
    with exchanging(database_url, broker_url, settings=settings, mappings=str(tmp_path)) as bus:
        company = Company(bus, profile)
        company.sell("1001")
        assert company.run().created == ["1001"]
        bus.forget()  # and with it that 1C has the order; what it is comes again from the shop
        with bus.wiring.ledger.transaction() as connection:
            restored.mark(connection, datetime.now(UTC))
        company.sell("1001")
        held = company.run()
        assert (held.created, held.updated, held.skipped) == ([], [], [])
        with bus.wiring.ledger.transaction() as connection:
            restored.heal(connection)
        again = company.run()
        assert (again.created, again.updated + again.skipped) == ([], ["1001"])
        assert len(company.orders()) == 1


LOOSE_ENDS = """
    SELECT 'an ended event without its entity' FROM event
    WHERE outcome = 'APPLIED' AND kind <> 'notification' AND NOT EXISTS (SELECT 1 FROM entity WHERE id = entity_id)
    UNION ALL SELECT 'an entity that no key names' FROM entity
    WHERE NOT EXISTS (SELECT 1 FROM identity WHERE identity.entity_id = entity.id) AND merged_into IS NULL
    UNION ALL SELECT 'an entity without history' FROM entity
    WHERE NOT EXISTS (SELECT 1 FROM history WHERE history.entity_id = entity.id) AND merged_into IS NULL"""
