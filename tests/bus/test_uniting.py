"""Entities that turn out to be one: a person decides what they disagree on, as if they had met at once."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.bus.ledger.middle import FULL, Middle, built, config, deal, order, rub, said, to_order

LATE, LATER, LATEST = "2026-10-05T10:30:00Z", "2026-10-05T11:00:00Z", "2026-10-05T12:00:00Z"
INN = {"inn": "7707083893", "kpp": "773601001"}


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    party, told = ({"routes": {"counterparty": route}} for route in (FULL, {"in": "full"}))
    with built(database_url, config(onec=told, crm=party, bank=told)) as made:
        yield made


def party(system: str, record: str, at: str, address: str, **data: Any):
    return said(system, "counterparty", f"party/{record}", at, None, {"name": "Ромашка", "address": address} | data)


def same_as(system: str, record: str) -> dict[str, Any]:
    return {"records": [{"system": system, "type": "party", "id": record}]}


def values(row: dict[str, Any]) -> dict[str, str]:
    return {source: option["value"] for source, option in row["options"].items()}


def asked(middle: Middle) -> dict[str, str]:
    """What a person is asked about the one address that is open."""
    found = middle.one("SELECT * FROM conflict WHERE state = 'open'")
    assert (found["entity_id"], found["field"]) == (middle.entity("onec/party/a", "counterparty").id, "address")
    return values(found)


def address(middle: Middle) -> str:
    return middle.fields("onec/party/a", "counterparty")["address"]


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("crm_first", [True, False])
def test_two_addresses_are_a_conflict_whether_two_meet_at_once_or_are_found_to_be_one(
    middle: Middle, apart: bool, crm_first: bool
) -> None:
    strange = party("crm", "9", LATE, "Тверь", name="Совсем другое")
    first = [party("onec", "a", LATE, "Москва", **INN)]
    first = [*([strange] if apart else []), *first] if crm_first else [*first, *([strange] if apart else [])]
    for event in first:
        middle.take(event)
    middle.take(party("crm", "9", LATER, "Тверь", name="Совсем другое", **INN))
    assert asked(middle) == {"onec": "Москва", "crm": "Тверь"}
    assert address(middle) == ("Тверь" if apart and crm_first else "Москва"), "what the elder one had"
    entity = middle.entity("onec/party/a", "counterparty")
    assert entity.view.frozen == {"address": {"onec": "Москва", "crm": "Тверь"}}
    lines = middle.rows("SELECT rule FROM history WHERE field = 'address' AND what IN ('changed', 'overruled')")
    assert [line["rule"] for line in lines] == ["first word"] * (2 if apart else 1)
    open_ = middle.one("SELECT id, policy, deadline - now() AS rest FROM conflict")
    assert open_["policy"] == "Newest"
    assert timedelta(hours=23) < open_["rest"] <= timedelta(hours=24) or not apart
    middle.wiring.conflicts.decide(open_["id"], "crm", "olga")
    assert address(middle) == "Тверь"


def disputed(middle: Middle) -> None:
    """A company of 1C and the CRM, of whose two addresses a person is asked."""
    middle.take(party("onec", "a", LATE, "Москва", **INN))
    middle.take(party("crm", "1", LATE, "Тверь", **same_as("onec", "a")))


@pytest.mark.parametrize(("bank", "open_"), [("Псков", {"bank": "Псков"}), ("Москва", {})])
def test_who_disagrees_as_well_is_asked_about_with_the_others(middle: Middle, bank: str, open_: dict) -> None:
    disputed(middle)
    middle.take(party("bank", "b", LATER, bank, name="Совсем другое"))
    middle.take(party("onec", "a", LATEST, "Москва", **same_as("bank", "b")))
    assert asked(middle) == {"onec": "Москва", "crm": "Тверь"} | open_
    assert address(middle) == "Москва"


@pytest.mark.parametrize(("at", "crm"), [(LATER, "Омск"), ("2026-10-05T10:00:00Z", "Тверь")])
def test_two_conflicts_of_what_is_one_become_one_with_all_that_was_said(middle: Middle, at: str, crm: str) -> None:
    """Of what one system said of both the later word counts."""
    disputed(middle)
    kept = middle.one("SELECT id FROM conflict")["id"]
    middle.take(party("bank", "b", LATE, "Псков", name="Совсем другое"))
    middle.take(party("crm", "2", at, "Омск", name="Совсем другое", **same_as("bank", "b")))
    middle.rows("UPDATE conflict SET deadline = '2026-10-05T13:00:00Z' WHERE id <> %s", kept)
    middle.take(party("bank", "b", LATEST, "Псков", name="Совсем другое", **INN))
    (question,) = middle.wiring.questions.listing()
    one = middle.entity("onec/party/a", "counterparty").id
    middle.wiring.questions.same(question["id"], str(one), "anna")
    middle.heard()
    assert asked(middle) == {"onec": "Москва", "crm": crm, "bank": "Псков"}
    first, second = middle.rows("SELECT * FROM conflict ORDER BY id")
    assert (second["state"], second["decided_by"]) == ("agreed", f"bus: asked in conflict {kept}")
    assert first["deadline"] == second["deadline"], "the nearer one"
    assert address(middle) == "Москва"
    middle.wiring.conflicts.decide(kept, "bank", "olga")
    assert address(middle) == "Псков"


def test_the_shops_total_is_its_own_though_the_deal_had_the_same_before_both_were_one(database_url: str) -> None:
    with built(database_url) as middle:
        middle.take(deal(7, LATE, total=rub(100)))
        middle.take(order(1, LATER, total=rub(100)))
        middle.take(deal(7, LATEST, total=rub(100), records=[to_order(1)]))
        middle.take(deal(7, "2026-10-05T13:00:00Z", total=rub(50)))
        assert middle.fields("shop/order/1")["total"] == rub("100.00")
        assert middle.due() >= {"crm"}
