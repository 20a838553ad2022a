"""Every policy of rules.yaml at work between the books and the CRM: both sides change one field before either hears."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.stories.test_books import PARTY, companies, enter, in_books, requisites
from tests.stories.world import World, build

RULES = """
counterparty:
  name: {policy: priority, order: [crm, onec]}
  legal_address: {policy: manual, sla_hours: 4, default: {policy: owner, system: onec}}
"""

LOST = {"kind": "drop_after", "method": "post catalog_контрагенты", "count": 1}
"""The answer to the first creation in the books, which took effect."""


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


def enter_company(world: World, **parts: Any) -> None:
    """A manager enters that counterparty in the CRM."""
    entry = {"preset": "legal", "RQ_INN": PARTY["inn"], "RQ_KPP": PARTY["kpp"], "RQ_COMPANY_NAME": PARTY["name"]}
    world.portal.act({"do": "create_company", "fields": {"title": PARTY["name"]}, "requisites": [entry], **parts})


def hear_the_crm(world: World) -> None:
    """Nothing is told to the books by it."""
    world.portal.outbox.flush(5)
    world.wiring.lane("crm", False).drain(until=datetime.now(UTC) + timedelta(seconds=5))


def in_crm(world: World, **parts: Any) -> None:
    world.portal.act({"do": "edit_company", "id": companies(world)[0]["id"], **parts})


def card(world: World, **fields: Any) -> None:
    """A manager edits the company's requisite."""
    in_crm(world, requisites=[{"id": requisites(world)[0]["id"], **fields}])


def in_1c(world: World, ref: str, **parts: Any) -> None:
    world.books.act({"do": "edit_counterparty", "id": ref, **parts})


def phones_in_crm(world: World) -> list[str]:
    (company,) = companies(world)
    return [one["value"] for one in company["fm"] if one["typeId"] == "PHONE"]


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
    assert phones_in_crm(world) == ["+74990000002"]
    assert "newest" in rules_of(world, "phones")


@pytest.mark.parametrize("faults", [[], [LOST]], ids=["answered", "answer lost"])
def test_newest_counts_from_the_start_where_we_made_the_record_without_phones(
    world: World, faults: list[dict[str, Any]]
) -> None:
    """What stood in it when it was made is known, be it nothing: it meets nobody for the first time."""
    for fault in faults:
        world.books.faults.add(fault)
    enter_company(world)
    hear_the_crm(world)
    world.wiring.lane("onec", False)._sending.take()
    assert [fault["fired"] for fault in world.books.faults.list()] == [1] * len(faults)
    in_crm(world, phones=["+74950000001"])
    hear_the_crm(world)
    (row,) = in_books(world)
    in_1c(world, row["Ref_Key"], phones=["+74990000002"])
    world.settle()
    assert phones_in_crm(world) == ["+74990000002"]
    assert "newest" in rules_of(world, "phones")


def test_phones_are_united_where_a_record_that_was_there_before_is_met(world: World) -> None:
    enter(world, phones=["+74990000002"])
    enter_company(world, phones=["+74950000001"])
    world.settle()
    assert set(phones_in_crm(world)) == {"+74950000001", "+74990000002"}
    assert "both, as they first met" in rules_of(world, "phones")


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
