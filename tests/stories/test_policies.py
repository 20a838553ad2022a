"""Every policy of rules.yaml at work between the books and the CRM: both sides change one field before either hears."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stories.test_books import companies, enter, in_books, requisites
from tests.stories.world import World, build

RULES = """
counterparty:
  name: {policy: priority, order: [crm, onec]}
  legal_address: {policy: manual, sla_hours: 4, default: {policy: owner, system: onec}}
"""


@pytest.fixture
def world(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[World]:
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    with build(database_url, broker_url, books=True, top={"mappings": str(tmp_path)}) as built:
        yield built


@pytest.fixture
def party(world: World) -> str:
    """A counterparty that both have."""
    ref = enter(world)
    world.settle()
    assert len(companies(world)) == 1
    return ref


def in_crm(world: World, **parts: Any) -> None:
    world.portal.act({"do": "edit_company", "id": companies(world)[0]["id"], **parts})


def card(world: World, **fields: Any) -> None:
    """A manager edits the company's requisite."""
    in_crm(world, requisites=[{"id": requisites(world)[0]["id"], **fields}])


def in_1c(world: World, ref: str, **parts: Any) -> None:
    world.books.act({"do": "edit_counterparty", "id": ref, **parts})


def rules_of(world: World, field: str) -> set[str]:
    return {row["rule"] for row in world.rows("SELECT rule FROM history WHERE field = %s AND rule IS NOT NULL", field)}


def test_owner_the_books_word_counts_whoever_spoke_later(world: World, party: str) -> None:
    in_1c(world, party, full_name='АО "Ромашка"')
    card(world, RQ_COMPANY_FULL_NAME='ЗАО "Ромашка"')
    world.settle()
    assert requisites(world)[0]["rqCompanyFullName"] == in_books(world)[0]["НаименованиеПолное"] == 'АО "Ромашка"'
    assert "owner onec" in rules_of(world, "legal_name")


def test_newest_the_later_word_counts(world: World, party: str) -> None:
    world.clock.ahead_s = -600
    in_crm(world, phones=["+74950000001"])
    world.clock.ahead_s = 0
    in_1c(world, party, phones=["+74990000002"])
    world.settle()
    assert [one["value"] for one in companies(world)[0]["fm"] if one["typeId"] == "PHONE"] == ["+74990000002"]
    assert "newest" in rules_of(world, "phones")


def test_priority_the_first_in_the_list_counts_whatever_the_time(world: World, party: str) -> None:
    in_crm(world, fields={"title": "Ромашка Плюс"})
    in_1c(world, party, name="Ромашка Минус")
    world.settle()
    assert companies(world)[0]["title"] == in_books(world)[0]["Description"] == "Ромашка Плюс"
    assert "priority crm > onec" in rules_of(world, "name")


def test_manual_both_stay_until_a_person_has_decided(world: World, party: str) -> None:
    card(world, addresses=[{"TYPE_ID": 6, "ADDRESS_1": "Пермь, Ленина 1"}])
    in_1c(world, party, legal_address="Казань, Баумана 2")
    world.settle()
    (conflict,) = world.rows("SELECT * FROM conflict")
    assert (conflict["field"], set(conflict["options"])) == ("legal_address", {"crm", "onec"})
    writes = world.portal.calls.summary()["writes"] + world.books.calls.summary()["writes"]
    world.settle()
    assert world.portal.calls.summary()["writes"] + world.books.calls.summary()["writes"] == writes
    world.wiring.conflicts.decide(conflict["id"], "crm", "anna")
    world.settle()
    assert any("Ленина 1" in row["Представление"] for row in in_books(world)[0]["КонтактнаяИнформация"])
    assert world.rows("SELECT actor FROM history WHERE rule = 'decided by anna'") == [{"actor": "anna"}]


def test_manual_when_its_time_is_over_the_default_decides(world: World, party: str) -> None:
    card(world, addresses=[{"TYPE_ID": 6, "ADDRESS_1": "Пермь, Ленина 1"}])
    in_1c(world, party, legal_address="Казань, Баумана 2")
    world.settle()
    world.rows("UPDATE conflict SET deadline = now() - interval '1 second' RETURNING id")
    assert world.wiring.conflicts.expire() == 1
    world.settle()
    rows = world.portal.state({"of": "addresses"})["addresses"]
    assert any("Баумана 2" in str(row.get("address1")) + str(row.get("ADDRESS_1")) for row in rows)


def test_state_machine_the_further_status_counts_and_a_closed_order_is_reopened_by_its_owner_only(world: World) -> None:
    order = world.order(lines=[{"name": "Чайник", "price": 500, "quantity": 1}])
    world.settle()
    world.move(order, "FINAL_INVOICE")
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert (world.deal_of(order)["stageId"], world.shop_order(order)["statusId"]) == ("FINAL_INVOICE", "S")
    world.move(order, "WON")
    world.settle()
    world.shop.act({"do": "set_status", "id": order, "status": "A"})
    world.settle()
    assert (world.deal_of(order)["stageId"], world.shop_order(order)["statusId"]) == ("WON", "F")
