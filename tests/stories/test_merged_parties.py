"""Counterparties that people merge, mark as deleted, or make anew: survived, recorded, and nothing made twice."""

from collections.abc import Iterator

import pytest

from tests.stories.test_books import PARTY, companies, enter, in_books, requisites
from tests.stories.world import World, build

OTHER = {
    "name": "Лютик",
    "full_name": 'ООО "Лютик"',
    "inn": "7736207543",
    "kpp": "997750001",
    "phones": [],
    "emails": [],
}


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url, books=True) as built:
        yield built


def quiet(world: World) -> bool:
    """Nothing more is written, however often everything is looked at."""
    before = world.portal.calls.summary()["writes"] + world.books.calls.summary()["writes"]
    world.wiring.reconcile.run(full=True)
    world.settle()
    return world.portal.calls.summary()["writes"] + world.books.calls.summary()["writes"] == before


def test_a_manager_merges_two_companies(world: World) -> None:
    enter(world)
    enter(world, **OTHER)
    world.settle()
    first, second = (company["id"] for company in companies(world))
    world.portal.act({"do": "merge_company", "id": first, "losers": [second]})
    world.settle()
    assert quiet(world)
    assert [company["id"] for company in companies(world)] == [first]
    assert len(in_books(world)) == 2, "the books keep both until the accountant merges them"
    gone = world.rows("SELECT rule FROM history WHERE rule = 'deleted there; not made again'")
    assert len(gone) == 1


def test_the_accountant_merges_two_counterparties(world: World) -> None:
    keep, drop = enter(world), enter(world, **OTHER)
    world.settle()
    world.books.act({"do": "merge_counterparties", "keep": keep, "drop": drop})
    world.settle()
    assert quiet(world)
    assert [row["Ref_Key"] for row in in_books(world)] == [keep]
    assert len(companies(world)) == 2, "the CRM keeps both until a manager merges them"


def test_a_counterparty_marked_as_deleted_is_not_made_again_and_lives_on_when_the_mark_goes(world: World) -> None:
    ref = enter(world)
    world.settle()
    world.books.act({"do": "delete_counterparty", "id": ref})
    world.settle()
    assert quiet(world)
    assert (in_books(world), len(companies(world))) == ([], 1)
    world.books.act({"do": "delete_counterparty", "id": ref, "undo": True})
    world.books.act({"do": "edit_counterparty", "id": ref, "phones": ["+74990000003"]})
    world.settle()
    assert "+74990000003" in {one["value"] for one in companies(world)[0]["fm"]}


def test_a_counterparty_made_anew_in_the_books_is_the_old_one(world: World) -> None:
    ref = enter(world)
    world.settle()
    world.books.act({"do": "delete_counterparty", "id": ref})
    world.settle()
    enter(world, name="Ромашка (новая)")
    world.settle()
    assert quiet(world)
    assert len(companies(world)) == len(in_books(world)) == 1
    assert companies(world)[0]["title"] == "Ромашка (новая)"


def test_a_second_counterparty_with_the_same_inn_is_asked_about_and_makes_no_company(world: World) -> None:
    enter(world)
    world.settle()
    enter(world, name="Ромашка дубль")
    world.settle()
    (question,) = world.wiring.questions.listing()
    assert question["candidates"][0]["why"] == ["the same INN and KPP"]
    assert len(companies(world)) == len(requisites(world)) == 1
    world.wiring.questions.same(question["id"], question["candidates"][0]["entity"], "anna")
    world.settle()
    assert len(companies(world)) == 1
    assert quiet(world)


def test_a_company_split_off_after_a_mistake_becomes_a_counterparty_of_its_own(world: World) -> None:
    enter(world, inn="", kpp="")
    card = {"preset": "legal", "RQ_COMPANY_NAME": PARTY["name"]}
    world.portal.act(
        {"do": "create_company", "fields": {"title": "Ромашка"}, "phones": PARTY["phones"], "requisites": [card]}
    )
    world.settle()
    assert len(in_books(world)) == len(companies(world)) == 1, "the same name and phone"
    company = companies(world)[0]["id"]
    world.wiring.questions.part("crm", f"party/company:{company}", "anna")
    world.settle()
    assert (len(in_books(world)), len(companies(world))) == (2, 2)
    assert quiet(world)
