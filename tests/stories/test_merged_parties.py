"""Counterparties that people merge, mark as deleted, or make anew: survived, recorded, and nothing made twice."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bus.test_meeting import known, settle
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


def test_a_company_that_takes_over_anothers_requisite_is_read_though_no_save_of_it_is_told(world: World) -> None:
    named = {"preset": "legal", "RQ_INN": PARTY["inn"], "RQ_KPP": PARTY["kpp"]}
    there = {"do": "create_company", "fields": {"title": "Ромашка"}, "requisites": [named]}
    first = int(world.portal.act(there)["id"])
    world.settle()
    enter(world, **OTHER)
    world.settle()
    (second,) = [company["id"] for company in companies(world) if company["id"] != first]
    saved = {company["id"]: company["updatedTime"] for company in companies(world)}
    world.portal.act({"do": "merge_company", "id": first, "losers": [second]})
    assert {company["id"]: company["updatedTime"] for company in companies(world)} == {first: saved[first]}
    world.settle()
    question = asked(world)
    assert question["subject"] == f"party/company:{first}"
    assert [one["why"] for one in question["candidates"]] == [["the same INN and KPP"]]


def typed(world: World, *parties: dict[str, Any]) -> dict[str, Any]:
    """A manager types a company, with a requisite of each of these."""
    said = [{"preset": "legal", "RQ_INN": one["inn"], "RQ_KPP": one["kpp"]} for one in parties]
    made = world.portal.act({"do": "create_company", "fields": {"title": parties[0]["name"]}, "requisites": said})
    world.settle()
    return made


def change(world: World, company: dict[str, Any], **requisite: Any) -> None:
    """Two seconds later he changes its first requisite."""
    world.clock.ahead_s += 2
    changed = [{"id": company["requisites"][0], **requisite}]
    world.portal.act({"do": "edit_company", "id": company["id"], "requisites": changed})
    world.settle()


def inns(world: World) -> list[str]:
    return sorted(row["ИНН"] for row in in_books(world))


def test_an_older_requisite_that_counts_since_a_merger_is_heard(world: World) -> None:
    company = typed(world, PARTY)
    enter(world, **OTHER)
    world.settle()
    (other,) = [one["id"] for one in companies(world) if one["id"] != company["id"]]
    change(world, company, RQ_COMPANY_FULL_NAME=PARTY["full_name"])
    world.portal.act({"do": "merge_company", "id": company["id"], "losers": [other]})
    world.settle()
    world.wiring.questions.new(asked(world)["id"], "anna")
    world.settle()
    assert inns(world) == [OTHER["inn"], OTHER["inn"]], "the company bears it, as a person said himself"
    assert [row["НаименованиеПолное"] for row in in_books(world)] == [OTHER["full_name"]] * 2
    assert world.letters() == []
    assert quiet(world)


def test_so_is_one_that_counts_since_a_newer_one_was_deleted_be_it_at_night(world: World) -> None:
    company = typed(world, PARTY, OTHER)
    assert inns(world) == [PARTY["inn"]]
    change(world, company, RQ_COMPANY_FULL_NAME=PARTY["full_name"])
    gone = [{"id": company["requisites"][0], "delete": True}]
    world.portal.act({"do": "edit_company", "id": company["id"], "requisites": gone})
    world.settle()
    world.wiring.reconcile.run(full=True)
    world.settle()
    assert inns(world) == [OTHER["inn"]]
    change(world, {**company, "requisites": company["requisites"][1:]}, RQ_KPP="770701001")
    assert [row["КПП"] for row in in_books(world)] == ["770701001"]
    assert quiet(world)


def test_a_company_that_we_made_bears_its_own_requisite_when_an_older_one_of_ours_is_moved_to_it(world: World) -> None:
    enter(world)
    world.settle()
    ref = enter(world, **OTHER)
    world.settle()
    first, second = (one["id"] for one in companies(world))
    world.portal.act({"do": "merge_company", "id": second, "losers": [first]})
    world.settle()
    assert world.wiring.questions.listing() == []
    world.books.act({"do": "edit_counterparty", "id": ref, "full_name": 'ООО "Лютик и К"'})
    world.settle()
    said = {one["rqInn"]: one["rqCompanyFullName"] for one in requisites(world)}
    assert said == {PARTY["inn"]: PARTY["full_name"], OTHER["inn"]: 'ООО "Лютик и К"'}
    assert inns(world) == [PARTY["inn"], OTHER["inn"]]
    assert quiet(world)


def card(world: World, ref: str) -> dict[str, Any]:
    """The requisite that the company of a counterparty of the books bears."""
    company = int(str(known(world, ref)).rpartition(":")[2])
    (found,) = [one for one in requisites(world) if one["entityId"] == company]
    return found


def bear(world: World, ref: str, **requisite: Any) -> None:
    """A manager writes this into it."""
    there = card(world, ref)
    changed = [{"id": there["id"], **requisite}]
    world.portal.act({"do": "edit_company", "id": there["entityId"], "requisites": changed})


def asked(world: World) -> dict[str, Any]:
    (question,) = world.wiring.questions.listing()
    return question


def put_right(world: World, ref: str) -> None:
    bear(world, ref, RQ_INN=PARTY["inn"], RQ_KPP=PARTY["kpp"])


def set_apart(world: World, ref: str) -> None:
    del ref
    world.wiring.questions.new(asked(world)["id"], "anna")


def doubtful(world: World) -> str:
    """A company bears another one's INN, and an address that a manager typed; the accountant's words are due there."""
    ref = enter(world)
    enter(world, **OTHER)
    world.settle()
    world.books.act({"do": "edit_counterparty", "id": ref, "address": "Склад 7", "phones": ["+74997654321"]})
    warehouse = {"TYPE_ID": 1, "ADDRESS_1": "Склад 5"}
    bear(world, ref, RQ_INN=OTHER["inn"], RQ_KPP=OTHER["kpp"], addresses=[warehouse])
    settle(world)
    return ref


@pytest.mark.parametrize("answer", [set_apart, put_right])
def test_a_company_of_which_it_is_asked_whose_it_is_is_not_written_over(
    world: World, answer: Callable[[World, str], None]
) -> None:
    ref = doubtful(world)
    assert [one["why"] for one in asked(world)["candidates"]] == [["the same INN and KPP"]]
    assert card(world, ref)["rqInn"] == OTHER["inn"]
    assert "+74997654321" not in str(companies(world))
    answer(world, ref)
    world.settle()
    (conflict,) = world.rows("SELECT field, options FROM conflict")
    assert (conflict["field"], {*conflict["options"]}) == ("address", {"crm", "onec"})
    assert "Склад 5" in str(world.portal.state({"of": "addresses"}))
    assert card(world, ref)["rqInn"] == PARTY["inn"]
    assert "+74997654321" in str(companies(world))
    assert world.letters() == world.wiring.questions.listing() == []


def test_where_nobody_answers_in_time_it_is_a_dead_letter_and_the_company_is_written_again(world: World) -> None:
    ref = doubtful(world)
    world.rows("UPDATE event SET deadline = now() - interval '1 s' WHERE state = 'waiting' RETURNING seq")
    world.rows("UPDATE question SET deadline = now() - interval '1 s' RETURNING id")
    world.wiring.chores.deadlines()
    world.rows("UPDATE delivery SET due_at = now() RETURNING entity_id")
    world.settle()
    assert card(world, ref)["rqInn"] == PARTY["inn"]
    assert world.letters()
    assert world.wiring.questions.listing() == []


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
