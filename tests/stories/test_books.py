"""The third leg: a stock 1C keeps its counterparties, orders and payments in step with the CRM and the shop."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.stories.world import RETAIL, World, build

PARTY = {
    "name": "Ромашка",
    "full_name": 'ООО "Ромашка"',
    "inn": "7707083893",
    "kpp": "773601001",
    "phones": ["+74951234567"],
    "emails": ["office@romashka.example"],
    "address": "Москва, Садовая 1",
    "legal_address": "Москва, Мира 2",
}
CONTACTS, NAME = "КонтактнаяИнформация", "Catalog_Контрагенты"


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url, books=True) as built:
        yield built


def enter(world: World, **changes: Any) -> str:
    """The accountant enters a counterparty; its reference."""
    return str(world.books.act({"do": "create_counterparty", **PARTY, **changes})["id"])


def companies(world: World) -> list[dict[str, Any]]:
    return world.portal.state({"of": "companies"})["companies"]


def requisites(world: World) -> list[dict[str, Any]]:
    return world.portal.state({"of": "requisites"})["requisites"]


def in_books(world: World) -> list[dict[str, Any]]:
    return [row for row in world.books.state({})[NAME] if not row["DeletionMark"] and row["Ref_Key"] != RETAIL]


def test_a_counterparty_of_the_books_becomes_one_company_with_its_requisite(world: World) -> None:
    enter(world)
    world.settle()
    (company,) = companies(world)
    (requisite,) = requisites(world)
    assert company["title"] == "Ромашка"
    assert {multi["value"] for multi in company["fm"]} == {"+74951234567", "office@romashka.example"}
    assert (requisite["rqInn"], requisite["rqKpp"]) == ("7707083893", "773601001")
    assert requisite["rqCompanyFullName"] == 'ООО "Ромашка"'
    assert world.letters() == []


def test_a_company_of_the_crm_becomes_one_counterparty_of_the_books(world: World) -> None:
    card = {"preset": "legal", "RQ_INN": PARTY["inn"], "RQ_KPP": PARTY["kpp"], "RQ_COMPANY_FULL_NAME": 'ООО "Ромашка"'}
    phones = ["8 495 123-45-67"]
    world.portal.act({"do": "create_company", "fields": {"title": "Ромашка"}, "phones": phones, "requisites": [card]})
    world.settle()
    (row,) = in_books(world)
    assert (row["ИНН"], row["КПП"], row["НаименованиеПолное"]) == (PARTY["inn"], PARTY["kpp"], 'ООО "Ромашка"')
    assert len(companies(world)) == 1
    assert world.letters() == []


def test_a_company_that_is_there_under_another_spelling_is_the_one(world: World) -> None:
    card = {"preset": "legal", "RQ_INN": PARTY["inn"], "RQ_KPP": PARTY["kpp"], "RQ_COMPANY_NAME": "РОМАШКА"}
    world.portal.act({"do": "create_company", "fields": {"title": "РОМАШКА ООО"}, "requisites": [card]}, quiet=True)
    enter(world)
    world.settle()
    assert len(companies(world)) == len(in_books(world)) == 1
    assert world.rows("SELECT count(*) AS n FROM entity WHERE kind = 'counterparty'")[0]["n"] == 1


def test_changes_on_either_side_arrive_at_the_other_and_then_it_is_quiet(world: World) -> None:
    ref = enter(world)
    world.settle()
    world.books.act({"do": "edit_counterparty", "id": ref, "phones": ["+74997654321"]})
    world.settle()
    world.portal.act({"do": "edit_company", "id": companies(world)[0]["id"], "emails": ["sales@romashka.example"]})
    world.settle()
    assert {multi["value"] for multi in companies(world)[0]["fm"]} == {"+74997654321", "sales@romashka.example"}
    said = {row["Представление"] for row in in_books(world)[0][CONTACTS] if row["Тип"] != "Адрес"}
    assert said == {"+74997654321", "sales@romashka.example"}
    before = world.portal.calls.summary()["writes"] + world.books.calls.summary()["writes"]
    world.settle()
    assert world.portal.calls.summary()["writes"] + world.books.calls.summary()["writes"] == before


def test_the_books_legal_name_wins_over_the_crms(world: World) -> None:
    ref = enter(world)
    world.settle()
    (requisite,) = requisites(world)
    change = [{"id": requisite["id"], "RQ_COMPANY_FULL_NAME": 'ЗАО "Ромашка"'}]
    world.portal.act({"do": "edit_company", "id": companies(world)[0]["id"], "requisites": change})
    world.settle()
    assert requisites(world)[0]["rqCompanyFullName"] == 'ООО "Ромашка"'
    assert in_books(world)[0]["НаименованиеПолное"] == 'ООО "Ромашка"'
    lines = world.rows("SELECT rule FROM history WHERE what = 'overruled' AND field = 'legal_name'")
    assert [line["rule"] for line in lines] == ["owner onec"]
    del ref


def test_an_address_that_both_changed_is_left_to_a_person(world: World) -> None:
    ref = enter(world)
    world.settle()
    (requisite,) = requisites(world)
    address = {"TYPE_ID": 1, "ADDRESS_1": "Склад 5"}
    change = [{"id": requisite["id"], "addresses": [address]}]
    world.portal.act({"do": "edit_company", "id": companies(world)[0]["id"], "requisites": change})
    world.books.act({"do": "edit_counterparty", "id": ref, "address": "Склад 7"})
    world.settle()
    (conflict,) = world.rows("SELECT * FROM conflict")
    assert conflict["field"] == "address"
    assert set(conflict["options"]) == {"crm", "onec"}
    world.wiring.conflicts.decide(conflict["id"], "crm", "anna")
    world.settle()
    said = [row["Представление"] for row in in_books(world)[0][CONTACTS] if row["Тип"] == "Адрес"]
    assert any("Склад 5" in one for one in said)


def test_an_order_of_the_shop_is_an_order_of_the_books(world: World) -> None:
    order = world.order(lines=[{"name": "Чайник", "price": 990, "quantity": 2}])
    world.settle()
    (row,) = world.books.state({})["Document_ЗаказКлиента"]
    assert row["НомерПоДаннымКлиента"] == world.shop_order(order)["accountNumber"]
    assert row["СуммаДокумента"] == 2480
    assert world.letters() == []


def test_a_payment_of_the_books_shows_in_the_deal(world: World) -> None:
    order = world.order(lines=[{"name": "Чайник", "price": 500, "quantity": 1}], delivery={"id": 2, "price": 0})
    world.settle()
    (row,) = world.books.state({})["Document_ЗаказКлиента"]
    world.books.act({"do": "create_payment", "orders": [{"order": row["Ref_Key"], "amount": 500}], "number": "17"})
    world.settle()
    deal = world.deal_of(order)
    assert deal["UF_CRM_PAYMENT_STATUS"] == "Оплачен"
    assert deal["stageId"] == "EXECUTING"


@pytest.fixture
def orders(world: World) -> dict[int, str]:
    """Two orders of the shop over 500, and their references in the books."""
    lines, free = [{"name": "Чайник", "price": 500, "quantity": 1}], {"id": 2, "price": 0}
    ids = [world.order(lines=lines, delivery=free) for _ in range(2)]
    world.settle()
    rows = world.books.state({})["Document_ЗаказКлиента"]
    refs = {row["НомерПоДаннымКлиента"]: str(row["Ref_Key"]) for row in rows}
    return {order: refs[world.shop_order(order)["accountNumber"]] for order in ids}


def receive(world: World, order: str, **more: Any) -> str:
    """The accountant enters a receipt of 500 for an order; its reference."""
    return str(world.books.act({"do": "create_payment", "orders": [{"order": order, "amount": 500}], **more})["id"])


def correct(world: World, receipt: str, **amounts: int) -> None:
    """The accountant says of which orders it is."""
    parts = [{"order": order, "amount": amount} for order, amount in amounts.items()]
    world.books.act({"do": "edit_payment", "id": receipt, "orders": parts})


def paid(world: World, orders: dict[int, str]) -> list[int]:
    """What is paid of each order, as its deal says."""
    said = (str(world.deal_of(order)["UF_CRM_PAID_TOTAL"] or 0) for order in orders)
    return [int(Decimal(one.partition("|")[0])) for one in said]


NUMBERED = pytest.mark.parametrize("said", [{}, {"number": "17"}], ids=["without a number", "with a number"])


@NUMBERED
def test_a_receipt_that_is_moved_counts_once_and_a_person_is_told_to_move_it_in_the_shop(
    world: World, orders: dict[int, str], said: dict[str, str]
) -> None:
    first, second = orders.values()
    receipt = receive(world, first, **said)
    world.settle()
    assert paid(world, orders) == [500, 0]
    correct(world, receipt, **{second: 500})
    world.settle()
    assert paid(world, orders) == [0, 500]
    assert [letter["cause"] for letter in world.letters()] == ["payment moved by the books"]


@NUMBERED
def test_a_receipt_that_is_split_later_counts_for_each_order_by_its_part(
    world: World, orders: dict[int, str], said: dict[str, str]
) -> None:
    first, second = orders.values()
    receipt = receive(world, first, **said)
    world.settle()
    correct(world, receipt, **{first: 200, second: 300})
    world.settle()
    assert paid(world, orders) == [200, 300]
    assert world.letters() == []


def test_a_receipt_that_comes_back_counts_for_the_first_order_again(world: World, orders: dict[int, str]) -> None:
    first, second = orders.values()
    receipt = receive(world, first)
    for order in (second, first):
        world.settle()
        correct(world, receipt, **{order: 500})
    world.settle()
    assert paid(world, orders) == [500, 0]


def test_a_full_run_finds_what_a_receipt_was_before(world: World, orders: dict[int, str]) -> None:
    first, second = orders.values()
    receipt = receive(world, first)
    world.settle()
    correct(world, receipt, **{second: 500})
    world.wiring.reconcile.run(full=True)
    world.settle()
    assert paid(world, orders) == [0, 500]


def taken_back(world: World, order: int) -> None:
    """A person takes the money back in the shop, as the letter asks, and has it retried: then there is no letter."""
    (letter,) = world.letters()
    assert (letter["cause"], "shop shows it as paid" in letter["reason"]) == ("payment taken back by the books", True)
    world.wiring.dead_letters.retry([letter["id"]], "olga")
    world.settle()
    assert [one["cause"] for one in world.letters()] == ["payment taken back by the books"], "the shop shows it still"
    world.shop.act({"do": "refund_payment", "id": order})
    world.settle()
    world.wiring.dead_letters.retry([letter["id"]], "olga")
    world.settle()
    assert world.letters() == []


@pytest.mark.parametrize("how", ["marked", "an advance", "of another operation"])
def test_a_receipt_that_the_books_take_back_is_told_to_a_person_while_the_shop_shows_it(
    world: World, orders: dict[int, str], how: str
) -> None:
    first, _ = orders
    receipt = receive(world, orders[first], number="17")
    world.settle()
    assert [one["paid"] for one in world.shop_order(first)["payments"]] == ["Y"]
    if how == "marked":
        world.books.act({"do": "delete_payment", "id": receipt})
    elif how == "an advance":
        world.books.act({"do": "edit_payment", "id": receipt, "orders": [{"amount": 500}]})
    else:
        fields = {"ХозяйственнаяОперация": "ПрочееПоступление"}
        set_ = "Document_ПоступлениеБезналичныхДенежныхСредств"
        world.books.act({"do": "write", "set": set_, "id": receipt, "fields": fields})
        world.wiring.reconcile.run(full=True)
    world.settle()
    assert paid(world, orders) == [500, 0]
    taken_back(world, first)
    assert paid(world, orders) == [0, 0]


def test_parts_of_a_receipt_that_are_moved_onto_one_order_leave_none_in_silence(
    world: World, orders: dict[int, str]
) -> None:
    first, second = orders.values()
    receipt = receive(world, first)
    correct(world, receipt, **{first: 200, second: 300})
    world.settle()
    assert paid(world, orders) == [200, 300]
    correct(world, receipt, **{first: 500})
    world.settle()
    taken_back(world, [*orders][1])
    assert paid(world, orders) == [500, 0]


def test_money_that_the_buyer_paid_in_the_shop_is_no_matter_of_the_books(world: World, orders: dict[int, str]) -> None:
    first, _ = orders
    world.shop.act({"do": "pay_order", "id": first})
    world.settle()
    receipt = receive(world, orders[first])
    world.settle()
    world.books.act({"do": "delete_payment", "id": receipt})
    world.settle()
    assert paid(world, orders) == [500, 0]
    assert world.letters() == []
