"""Counterparties that are about to be created and are there already: over a real ledger and the stand-in portal."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus.errors import BadInput
from bus.ports import Notification
from tests.stories.world import World, build

INN, KPP = "7707083893", "773601001"
PARTY = {
    "name": "Ромашка",
    "full_name": 'ООО "Ромашка"',
    "inn": INN,
    "kpp": KPP,
    "phones": ["+74951234567"],
    "emails": ["office@romashka.example"],
}
PHONE = "8 (495) 123-45-67"
CARD = {"preset": "legal", "RQ_INN": INN}


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url, books=True) as built:
        built.settle()  # the books come with a counterparty of their own
        yield built


def settle(world: World) -> None:
    """Let everything arrive that waits for nobody's answer."""
    waits = """SELECT 1 FROM event WHERE state IN ('notified', 'pending') UNION ALL
               SELECT 1 FROM delivery WHERE state = 'due' AND due_at < now() + interval '1 minute'"""
    for _ in range(200):
        world.portal.outbox.flush(5)
        if not world.step() and not world.portal.outbox.waiting() and not world.rows(waits):
            return
    raise AssertionError(f"no rest: {world.open_events()} {world.rows('SELECT * FROM delivery')}")


def enter(world: World, **changes: Any) -> str:
    """The accountant enters a counterparty."""
    return str(world.books.act({"do": "create_counterparty", **PARTY, **changes})["id"])


def there(world: World, title: str = "Ромашка", **said: Any) -> str:
    """The CRM has a company that nobody told of; its record."""
    made = world.portal.act({"do": "create_company", "fields": {"title": title}, **said}, quiet=True)
    return f"party/company:{made['id']}"


def known(world: World, ref: str) -> str | None:
    """The CRM's record of a counterparty of the books."""
    found = world.rows(
        """SELECT crm.type || '/' || crm.external_id AS record FROM record AS onec
           JOIN record AS crm ON crm.entity_id = onec.entity_id AND crm.system = 'crm' AND crm.state = 'linked'
           WHERE onec.system = 'onec' AND onec.external_id = %s""",
        ref,
    )
    return found[0]["record"] if found else None


def companies(world: World) -> list[dict[str, Any]]:
    """Those beside the books' own retail buyer."""
    found = world.portal.state({"of": "companies"})["companies"]
    return [one for one in found if one["title"] != "Розничный покупатель"]


def questions(world: World) -> list[dict[str, Any]]:
    return world.wiring.questions.listing()


SURE = {
    "the same INN and KPP, another name": {"title": "Клиент 5", "requisites": [{**CARD, "RQ_KPP": KPP}]},
    "the same INN and name, no KPP": {"title": "РОМАШКА ООО", "requisites": [CARD]},
    "the same name and phone, no requisites": {"title": "  «Ромашка» ", "phones": [PHONE]},
    "the same name and e-mail, no requisites": {"title": "ромашка", "emails": ["Office@Romashka.example"]},
}


@pytest.mark.parametrize("said", SURE.values(), ids=SURE.keys())
def test_who_is_surely_there_is_linked_and_nobody_is_asked(world: World, said: dict[str, Any]) -> None:
    record = there(world, **said)
    ref = enter(world)
    settle(world)
    assert known(world, ref) == record
    assert len(companies(world)) == 1
    assert questions(world) == []


def test_one_who_may_be_hidden_from_us_is_a_dead_letter_and_holds_up_nobody_else(world: World) -> None:
    company = int(there(world, title="Ромашка", requisites=[CARD]).rpartition(":")[2])
    del world.portal.records.tables[4].rows[company]  # its requisite is shown, no list shows it itself
    world.portal.faults.add({"kind": "refuse", "method": "crm.item.get", "error": "ACCESS_DENIED", "text": ""})
    other = {"name": "Лютик", "full_name": 'ООО "Лютик"', "inn": "7736050003", "phones": [], "emails": []}
    refs = [enter(world), enter(world, **other)]
    settle(world)
    assert [known(world, ref) is None for ref in refs] == [True, False]
    assert [letter["class"] for letter in world.letters()] == ["Permanent"]


UNSURE = {
    "the same INN, another name, no KPP": ({"title": "Лютик", "requisites": [CARD]}, "the same INN, one without a KPP"),
    "the same phone, another name": ({"title": "Лютик", "phones": [PHONE]}, "the same phone"),
}


@pytest.mark.parametrize(("said", "why"), UNSURE.values(), ids=UNSURE.keys())
def test_who_may_be_there_is_asked_about_and_not_created(world: World, said: dict[str, Any], why: str) -> None:
    record = there(world, **said)
    ref = enter(world)
    settle(world)
    [question] = questions(world)
    assert [(one["record"], one["why"]) for one in question["candidates"]] == [(record, [why])]
    assert question["about"]["inn"] == INN
    assert known(world, ref) is None
    assert len(companies(world)) == 1
    [delivery] = world.rows("SELECT state, attempts FROM delivery WHERE entity_id = %s", question["entity_id"])
    assert delivery == {"state": "due", "attempts": 0}
    assert world.letters() == []


def test_of_several_that_it_surely_is_a_person_chooses(world: World) -> None:
    records = {there(world, requisites=[{**CARD, "RQ_KPP": KPP}]) for _ in range(2)}
    ref = enter(world)
    settle(world)
    [question] = questions(world)
    assert {one["record"] for one in question["candidates"]} == records
    assert known(world, ref) is None


def test_whom_a_person_calls_new_is_created(world: World) -> None:
    there(world, "Лютик", phones=[PHONE])
    ref = enter(world)
    settle(world)
    world.wiring.questions.new(questions(world)[0]["id"], "anna")
    settle(world)
    assert len(companies(world)) == 2
    assert known(world, ref)
    assert questions(world) == []


def test_whom_a_person_finds_is_linked_and_written(world: World) -> None:
    record = there(world, "Лютик", phones=[PHONE])
    ref = enter(world)
    settle(world)
    world.wiring.questions.same(questions(world)[0]["id"], record, "anna")
    settle(world)
    assert known(world, ref) == record
    assert len(companies(world)) == 1
    [requisite] = [one for one in world.portal.state({"of": "requisites"})["requisites"] if one["rqInn"]]
    assert (requisite["rqInn"], requisite["rqKpp"], requisite["entityId"]) == (INN, KPP, companies(world)[0]["id"])


@pytest.mark.parametrize("told_of", [True, False])
def test_who_was_deleted_while_a_person_chose_him_is_created(world: World, told_of: bool) -> None:
    record = there(world, "Лютик", phones=[PHONE])
    ref = enter(world)
    settle(world)
    number = int(record.rpartition(":")[2])
    world.portal.act({"do": "delete_company", "id": number}, quiet=not told_of)
    settle(world)
    world.wiring.questions.same(questions(world)[0]["id"], record, "anna")
    settle(world)
    assert known(world, ref) not in (None, record)
    assert (questions(world), world.letters()) == ([], [])


@pytest.mark.parametrize("heard_first", [True, False])
def test_whom_a_person_found_by_mistake_and_parted_is_another_one(world: World, heard_first: bool) -> None:
    record = there(world, "Лютик", phones=[PHONE])
    ref = enter(world)
    settle(world)
    world.wiring.questions.same(questions(world)[0]["id"], record, "anna")
    settle(world)
    world.wiring.questions.part("crm", record, "anna")
    if not heard_first:  # the lane is quicker than the record's last word
        world.wiring.lane("crm", False).drain(until=datetime.now(UTC) + timedelta(seconds=2))
    settle(world)
    assert world.letters() == []
    assert known(world, ref) not in (None, record)
    assert len(companies(world)) == 2


def test_what_the_bus_made_for_somebody_is_parted_by_taking_the_others_away(world: World) -> None:
    ref = enter(world)
    settle(world)
    record = str(known(world, ref))
    with pytest.raises(BadInput, match="part the others from it"):
        world.wiring.questions.part("crm", record, "anna")
    assert known(world, ref) == record
    world.wiring.questions.part("onec", f"counterparty/{ref}", "anna")
    settle(world)
    assert known(world, ref) not in (None, record)


def test_a_company_that_becomes_known_by_itself_leaves_nothing_to_ask(world: World) -> None:
    record = there(world, "Лютик", phones=[PHONE])
    ref = enter(world)
    settle(world)
    kind, _, number = record.partition("/")[2].partition(":")
    world.portal.act({"do": f"edit_{kind}", "id": int(number), "requisites": [{**CARD, "RQ_KPP": KPP}]})
    settle(world)
    assert known(world, ref) == record
    assert questions(world) == []
    assert len(companies(world)) == 1
    [delivery] = world.rows("SELECT state FROM delivery WHERE system = 'crm' AND attempts = 0 AND wanted > 1")
    assert delivery == {"state": "idle"}


def test_two_that_are_surely_one_record_are_both_asked_about(world: World) -> None:
    """Two branches of one name, and a company that does not say which of them it is."""
    record = there(world, requisites=[CARD])
    refs = [enter(world, kpp=kpp, phones=[], emails=[]) for kpp in (KPP, "502401001")]
    settle(world)
    assert [known(world, ref) for ref in refs] == [None, None]
    asked = questions(world)
    assert [[one["record"] for one in question["candidates"]] for question in asked] == [[record]] * 2
    world.wiring.questions.same(asked[0]["id"], record, "anna")
    world.wiring.questions.new(asked[1]["id"], "anna")
    settle(world)
    assert sorted(str(known(world, ref)) == record for ref in refs) == [False, True]
    assert len(companies(world)) == 2


def test_a_record_that_a_person_gives_to_two_is_the_firsts_and_the_other_is_told(world: World) -> None:
    record = there(world, requisites=[CARD])
    for kpp in (KPP, "502401001"):
        enter(world, kpp=kpp, phones=[], emails=[])
    settle(world)
    for question in questions(world):
        world.wiring.questions.same(question["id"], record, "anna")
    settle(world)
    assert len(companies(world)) == 1
    assert [letter["cause"] for letter in world.letters()] == ["record of another"]


def test_two_that_are_alike_and_created_at_once_make_one_company_each(world: World) -> None:
    refs = [enter(world, name=f"Ромашка {at}", full_name=f"Ромашка {at}", inn="", kpp="") for at in range(2)]
    settle(world)
    made = [known(world, ref) for ref in refs]
    assert len({one for one in made if one}) == len([one for one in made if one])
    assert len(companies(world)) == len([one for one in made if one])


def test_our_own_writing_is_seen_through_in_few_requests(world: World) -> None:
    """Forty new companies are told of a hundred and twenty times: company, requisite and account each by itself."""
    account = {"account": "40702810423000009235", "bic": "045004774", "bank": "Банк"}
    for at in range(40):
        inn = f"7707{at:06d}"
        enter(
            world,
            name=f"Фирма {at}",
            inn=inn,
            kpp="770701001",
            phones=[f"+7495100{at:04}"],
            emails=[],
            accounts=[account],
        )
    world.portal.webhooks.clear()
    settle(world)
    state = world.portal.state({"of": "companies,requisites,bankdetails"})
    told = [
        Notification("crm", "party", f"{part}:{row['id']}")
        for part, of in (("company", "companies"), ("requisite", "requisites"), ("bankdetail", "bankdetails"))
        for row in state[of]
    ]
    assert len(told) >= 120
    before = world.portal.calls.summary()
    world.wiring.publisher.accept([], told)
    settle(world)
    after = world.portal.calls.summary()
    assert after["writes"] == before["writes"]
    assert after["requests"] - before["requests"] <= 6


def test_a_record_that_was_found_and_waits_for_a_person_is_not_written_over(world: World) -> None:
    """Our Ромашка has no INN; the CRM's of that name and phone has the INN of somebody else."""
    enter(world, name="Лютик", full_name="Лютик", phones=[], emails=[])
    settle(world)
    record = there(world, phones=[PHONE, "+74957654321"], requisites=[{**CARD, "RQ_KPP": KPP}])
    ref = enter(world, inn="", kpp="")
    settle(world)
    assert known(world, ref) == record
    assert [question["subject"] for question in questions(world)] == [record]
    [company] = [one for one in companies(world) if f"party/company:{one['id']}" == record]
    assert "+74957654321" in str(company)
    world.wiring.questions.new(questions(world)[0]["id"], "anna")
    settle(world)
    met = world.rows("SELECT fields FROM entity JOIN record ON entity_id = entity.id WHERE external_id = %s", ref)
    assert "+74957654321" in met[0]["fields"]["phones"]
