"""Lost answers: the connection is cut before and after the commit of every write, and in the end all is there once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.systems.retry_classes import METHODS, is_write
from tests.stories.world import ROUTES, World, build, eventually

LOST = ["drop_before", "drop_after", "error_before", "error_after"]
"""No answer, or a server error, each before and after the commit."""
CUT = ["drop_before", "drop_after"]
LINKED = "bitrix24: {names: {fields: {order_links: crm.orderentity}}}"
CUSTOMER = {"fio": "Иванов Пётр", "phone": "+79123456789", "email": "petr@example.ru", "address": "Пермь, Мира 1"}
ROWS = [
    {"productName": "Чайник", "price": 980, "quantity": 1},
    {"productName": "Чашка", "price": 150.5, "quantity": 6},
    {"productName": "Чашка", "price": 150.5, "quantity": 6},
]
LINES = [{"name": row["productName"], "price": row["price"], "quantity": row["quantity"]} for row in ROWS]

Trouble = Callable[[], None]
Story = Callable[[World, Trouble], None]


@pytest.fixture
def world(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[World]:
    """Both ways everything: deals make orders, orders make deals, and the portal links them."""
    (tmp_path / "tables.yaml").write_text(LINKED, encoding="utf-8")
    shop = {"routes": {**ROUTES["shop"], "order": {"in": "full", "out": "full"}}}
    with build(database_url, broker_url, shop=shop, top={"mappings": str(tmp_path)}) as built:
        yield built


def an_order_becomes_a_deal(world: World, trouble: Trouble) -> None:
    trouble()
    order = world.order(customer=CUSTOMER, lines=LINES, delivery=None)
    world.settle()
    deal = world.deal_of(order)
    assert goods(deal["productRows"], "productName") == goods(ROWS, "productName")
    assert (deal["opportunity"], deal["UF_CRM_DELIVERY_ADDRESS"]) == (2786, "Пермь, Мира 1")
    state = world.portal.state({})
    (contact,) = state["contacts"]
    assert deal["contactId"] == contact["id"]
    assert sorted(multi["value"] for multi in contact["fm"]) == ["+79123456789", "petr@example.ru"]
    assert [(link["orderId"], link["ownerId"]) for link in state["links"]] == [(order, deal["id"])]
    assert len(state["deals"]) == len(world.shop.state({})["orders"]) == 1


def a_deal_becomes_an_order(world: World, trouble: Trouble) -> None:
    trouble()
    fields = {"title": "По телефону", "UF_CRM_DELIVERY_ADDRESS": "Пермь, Мира 1", "opportunity": 3000}
    fields["isManualOpportunity"] = "Y"
    deal = world.portal.act({"do": "create_deal", "fields": fields, "rows": ROWS})["id"]
    world.settle()
    (order,) = world.shop.state({})["orders"]
    assert goods(order["basketItems"], "name") == goods(ROWS, "productName")
    said = {one["code"]: one["value"] for one in order["propertyValues"]}
    assert (said["ADDRESS"], said["DEAL_ID"], order["price"]) == ("Пермь, Мира 1", str(deal), 2786)
    seen = world.deal_of(order["id"])
    assert (seen["id"], seen["opportunity"]) == (deal, 2786)  # the sum is the shop's to say
    assert seen["UF_CRM_ORDER_NUMBER"] == order["accountNumber"]
    assert goods(seen["productRows"], "productName") == goods(ROWS, "productName")
    assert len(world.portal.state({})["deals"]) == 1


def a_status_reaches_the_crm(world: World, trouble: Trouble) -> None:
    order = world.order()
    world.settle()
    trouble()
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert world.deal_of(order)["stageId"] == "PREPARATION"


def a_stage_reaches_the_shop(world: World, trouble: Trouble) -> None:
    order = world.order()
    world.settle()
    trouble()
    world.move(order, "WON")
    world.settle()
    assert world.shop_order(order)["statusId"] == "F"


def an_address_reaches_the_shop(world: World, trouble: Trouble) -> None:
    order = world.order(customer=CUSTOMER)
    world.settle()
    trouble()
    edit = {"UF_CRM_DELIVERY_ADDRESS": "Казань, Баумана 7"}
    world.portal.act({"do": "edit_deal", "id": world.deal_of(order)["id"], "fields": edit})
    world.settle()
    said = {one["code"]: one["value"] for one in world.shop_order(order)["propertyValues"]}
    assert (said["ADDRESS"], said["FIO"], said["PHONE"]) == ("Казань, Баумана 7", "Иванов Пётр", "+79123456789")


def the_bank_tells_of_the_payment_that_was_expected(world: World, trouble: Trouble) -> None:
    order = world.order()
    world.settle()
    trouble()
    world.wiring.publisher.publish(paid(order, "1480"))
    world.settle()
    assert [(one["sum"], one["paid"]) for one in world.shop_order(order)["payments"]] == [(1480, "Y")]
    assert world.deal_of(order)["UF_CRM_PAYMENT_STATUS"] == "Оплачен"


def the_bank_tells_of_a_payment_nobody_expected(world: World, trouble: Trouble) -> None:
    order = world.order()
    world.settle()
    trouble()
    world.wiring.publisher.publish(paid(order, "500"))
    world.settle()
    payments = sorted((one["sum"], one["paid"]) for one in world.shop_order(order)["payments"])
    assert payments == [(500, "Y"), (1480, "N")]
    assert world.deal_of(order)["UF_CRM_PAYMENT_STATUS"] == "Оплачен частично"


WRITES: list[tuple[str, int, Story]] = [
    ("crm.item.add", 0, an_order_becomes_a_deal),
    ("crm.item.productrow.set", 0, an_order_becomes_a_deal),
    ("crm.orderentity.add", 0, an_order_becomes_a_deal),
    ("crm.item.add", 1, an_order_becomes_a_deal),  # the contact
    ("crm.item.update", 0, an_order_becomes_a_deal),  # linking the contact
    ("sale.order.add", 0, a_deal_becomes_an_order),
    ("sale.basketitem.add", 1, a_deal_becomes_an_order),
    ("sale.propertyvalue.modify", 0, a_deal_becomes_an_order),
    ("crm.item.update", 0, a_status_reaches_the_crm),
    ("sale.order.update", 0, a_stage_reaches_the_shop),
    ("sale.propertyvalue.modify", 0, an_address_reaches_the_shop),
    ("sale.payment.update", 0, the_bank_tells_of_the_payment_that_was_expected),
    ("sale.payment.add", 0, the_bank_tells_of_a_payment_nobody_expected),
]
"""Which write of which story is the one whose answer is lost."""


def test_every_write_has_its_story() -> None:
    """Tasks have theirs in test_asking.py, counterparties in test_lost_counterparties.py."""
    elsewhere = ("tasks.", "crm.requisite.", "crm.address.")
    told = {method for method in METHODS if is_write(method) and not method.startswith(elsewhere)}
    assert {method for method, _, _ in WRITES} == told


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize(("method", "after", "story"), WRITES, ids=lambda one: getattr(one, "__name__", str(one)))
def test_whatever_is_lost_is_there_once_in_the_end(
    world: World, method: str, after: int, story: Story, kind: str
) -> None:
    site = world.portal if method.startswith("crm.") else world.shop
    before: dict[str, int] = {}

    def trouble() -> None:
        before.update(site.calls.summary()["by_method"])
        site.faults.add({"kind": kind, "method": method, "after": after, "count": 1})

    story(world, trouble)
    assert [fault["fired"] for fault in site.faults.list()] == [1]
    assert world.letters() == []
    assert world.rows("SELECT * FROM conflict") == []
    assert world.rows("SELECT * FROM record WHERE state = 'creating' OR promised <> '{}'") == []
    sent = site.calls.summary()["by_method"].get(method, 0) - before.get(method, 0)
    assert sent <= usual(story, method) + 1


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("after", range(9))
def test_a_deals_creation_may_break_off_anywhere(world: World, after: int, kind: str) -> None:
    def trouble() -> None:
        world.portal.faults.add({"kind": kind, "after": after, "count": 1})

    an_order_becomes_a_deal(world, trouble)
    assert [fault["fired"] for fault in world.portal.faults.list()] == [1]
    assert world.letters() == []


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("after", range(3))
def test_an_orders_creation_may_break_off_anywhere(world: World, after: int, kind: str) -> None:
    def trouble() -> None:
        world.shop.faults.add({"kind": kind, "after": after, "count": 1})

    a_deal_becomes_an_order(world, trouble)
    assert [fault["fired"] for fault in world.shop.faults.list()] == [1]
    assert world.letters() == []


def test_a_half_made_order_is_not_taken_for_an_order_that_lost_its_goods(database_url: str, broker_url: str) -> None:
    shop = {"routes": {**ROUTES["shop"], "order": {"in": "full", "out": "full"}}, "late_s": 0.5}
    with build(database_url, broker_url, shop=shop) as world:
        world.shop.faults.add({"kind": "drop_before", "method": "sale.basketitem.add", "after": 1})
        deal = world.portal.act({"do": "create_deal", "fields": {"title": "По телефону"}, "rows": ROWS})["id"]
        half_made(world)
        world.shop.act({"do": "edit_order", "id": 1, "fields": {"comments": "Позвонить"}})  # and a person sees it so
        world.shop.outbox.flush(5)
        world.step()
        (seen,) = world.portal.state({})["deals"]
        assert (goods(seen["productRows"], "productName"), seen["opportunity"]) == (goods(ROWS, "productName"), 2786)
        world.shop.faults.clear()
        world.settle()
        (order,) = world.shop.state({})["orders"]
        assert goods(order["basketItems"], "name") == goods(ROWS, "productName")
        assert (order["price"], order["comments"]) == (2786, "Позвонить")
        assert world.deal_of(order["id"])["id"] == deal
        assert goods(world.deal_of(order["id"])["productRows"], "productName") == goods(ROWS, "productName")
        assert world.letters() == []


def half_made(world: World) -> None:
    """Let the bus begin the order, of which the first row gets through."""
    world.portal.outbox.flush(5)
    while not world.shop.state({})["orders"]:
        world.step()
    assert len(world.shop.state({})["orders"][0]["basketItems"]) == 1


@pytest.mark.parametrize("of", ["batch", "crm.item.add"], ids=["the call goes on late", "the answer comes late"])
def test_a_late_answer_to_a_creation_makes_no_second_deal(database_url: str, broker_url: str, of: str) -> None:
    with build(database_url, broker_url, crm={"timeout_s": 0.4, "late_s": 1.5}) as world:
        world.portal.faults.add({"kind": "latency", "method": of, "seconds": 1.0, "count": 1})
        order = world.order(customer=CUSTOMER)
        world.settle()
        everything_ended(world)
        assert len(world.deals_of(order)) == len(world.portal.state({})["contacts"]) == 1
        assert world.letters() == []


def test_a_late_call_for_a_contact_makes_no_second_one(database_url: str, broker_url: str) -> None:
    with build(database_url, broker_url, crm={"timeout_s": 0.4, "late_s": 1.5}) as world:
        order = world.order()
        world.settle()
        called = {"PHONE": CUSTOMER["phone"], "FIO": CUSTOMER["fio"]}
        world.portal.faults.add({"kind": "latency", "method": "batch", "seconds": 1.0, "after": 4, "count": 1})
        world.shop.act({"do": "edit_order", "id": order, "properties": called})
        world.settle()
        everything_ended(world)
        (contact,) = world.portal.state({})["contacts"]
        assert world.deal_of(order)["contactId"] == contact["id"]
        assert world.letters() == []


def test_a_creation_that_surely_failed_is_made_again_at_once(database_url: str, broker_url: str) -> None:
    with build(database_url, broker_url, crm={"late_s": 300}) as world:
        failure = {"error": "CONNECTION_ERROR", "text": "no OAuth server", "status": 500}
        world.portal.faults.add({"kind": "refuse", "method": "crm.item.add", "count": 1, **failure})
        order = world.order()
        world.settle()
        assert len(world.deals_of(order)) == 1


@pytest.mark.parametrize("after", range(2))
def test_a_late_call_in_an_orders_creation_doubles_nothing(database_url: str, broker_url: str, after: int) -> None:
    shop = {"routes": {**ROUTES["shop"], "order": {"in": "full", "out": "full"}}, "timeout_s": 0.4, "late_s": 1.5}
    with build(database_url, broker_url, shop=shop) as world:

        def trouble() -> None:
            world.shop.faults.add({"kind": "latency", "method": "batch", "seconds": 1.0, "after": after, "count": 1})

        a_deal_becomes_an_order(world, trouble)
        everything_ended(world)
        (order,) = world.shop.state({})["orders"]
        assert goods(order["basketItems"], "name") == goods(ROWS, "productName")
        assert world.letters() == []


def everything_ended(world: World) -> None:
    """Wait until the systems have done what we gave up waiting for, and let that arrive."""
    counts = [site.calls.summary for site in (world.portal, world.shop)]
    eventually(lambda: all(one()["requests"] == sum(one()["by_status"].values()) for one in counts))
    world.settle()


def test_a_late_answer_to_an_update_ends_in_sync(database_url: str, broker_url: str) -> None:
    with build(database_url, broker_url, crm={"timeout_s": 0.4}) as world:

        def trouble() -> None:
            slow = {"kind": "latency", "method": "crm.item.update", "seconds": 1.0, "count": 1}
            world.portal.faults.add(slow)

        a_status_reaches_the_crm(world, trouble)
        assert updates(world) == 1  # it had taken effect, and is not written again
        assert world.letters() == []


def test_a_batch_is_taken_apart_done_refused_and_unknown(world: World) -> None:
    orders = [world.order() for _ in range(3)]
    world.settle()
    before = updates(world)
    refusal = {"kind": "refuse", "error": "INVALID_ARG_VALUE", "text": "stage", "after": 1}
    unknown = {"kind": "error_before", "after": 2}
    for fault in (refusal, unknown):
        world.portal.faults.add({**fault, "method": "crm.item.update", "count": 1})
    for order in orders:
        world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    stages = sorted(world.deal_of(order)["stageId"] for order in orders)
    assert stages == ["NEW", "PREPARATION", "PREPARATION"]
    (letter,) = world.letters()
    assert (letter["class"], letter["cause"]) == ("Permanent", "crm.item.update INVALID_ARG_VALUE")
    assert updates(world) == before + 2


def test_a_batch_cut_off_in_its_middle_is_finished_and_not_repeated(world: World) -> None:
    orders = [world.order() for _ in range(6)]
    world.settle()
    before = updates(world)
    world.portal.faults.add({"kind": "drop_before", "method": "crm.item.update", "after": 3, "count": 1})
    for order in orders:
        world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert [world.deal_of(order)["stageId"] for order in orders] == ["PREPARATION"] * 6
    assert updates(world) == before + 6
    assert world.letters() == []


BACK = [({"status": "refunded"}, "Возврат"), (None, "Не оплачен")]
"""How money goes again that nobody knows the CRM was told of, and what the deal says then."""


@pytest.mark.parametrize(("said", "status"), BACK, ids=["given back", "deleted"])
def test_what_the_payments_lane_told_without_an_answer_does_not_stand(
    world: World, said: dict[str, Any] | None, status: str
) -> None:
    """The sum is again what the bus last knew there, and the lane looks at nothing: nobody else would ever tell."""
    order = world.order()
    world.settle()
    world.portal.webhooks.clear()
    world.portal.faults.add({"kind": "error_after", "method": "crm.item.update", "count": 1})
    hear(world, paid(order, "370"))
    world.wiring.lane("crm", True)._sending.take()
    assert shows(world, order) == (370, "Оплачен частично")
    event = paid(order, "370") | {"time": "2026-10-05T10:00:01Z"}
    hear(world, event | {"data": event["data"] | said} if said else deleted(event))
    world.settle()
    assert shows(world, order) == (0, status)
    before = world.writes()
    world.wiring.pipeline.look_over()
    world.settle()
    assert world.writes() == before


def hear(world: World, event: dict[str, Any]) -> None:
    world.wiring.publisher.publish(event)
    events, world.bells.published = world.bells.published, []
    world.wiring.pipeline.process(events)


def deleted(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "data"} | {"type": "payment.deleted"}


def shows(world: World, order: int) -> tuple[float, str]:
    deal = world.deal_of(order)
    return deal["UF_CRM_PAID_TOTAL"], deal["UF_CRM_PAYMENT_STATUS"]


def updates(world: World) -> int:
    """Updates of deals that the portal carried out."""
    lines = world.portal.calls.since()
    return sum(line["method"] == "crm.item.update" and line["error"] is None for line in lines)


def usual(story: Story, method: str) -> int:
    """How often a story sends a method when nothing goes wrong."""
    return {
        (an_order_becomes_a_deal, "crm.item.add"): 2,
        (a_deal_becomes_an_order, "sale.basketitem.add"): 3,
    }.get((story, method), 1)


def goods(rows: list[dict[str, Any]], name: str) -> list[tuple[Any, ...]]:
    return sorted((row[name], float(row["price"]), float(row["quantity"])) for row in rows)


def paid(order: int, amount: str) -> dict[str, Any]:
    return {
        "source": "bank", "type": "payment.changed", "subject": "payment/77", "time": "2026-10-05T10:00:00Z",
        "data": {
            "order": {"system": "shop", "id": str(order)}, "status": "paid",
            "amount": {"amount": amount, "currency": "RUB"},
        },
    }  # fmt: skip
