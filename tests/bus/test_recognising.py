"""Which counterparty a record is: over a real ledger, through the path."""

from collections.abc import Iterator
from threading import Thread
from uuid import UUID

import pytest

from bus.errors import BadInput
from tests.bus.ledger.middle import Middle, built, config, eventually, gone, said

FULL = {"in": "full", "out": "full"}
INN = {"inn": "7707083893", "kpp": "773601001"}


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    base = {"kind": "onec", "url": "http://127.0.0.1:9/base/odata/standard.odata/", "user": "bus", "password": "secret"}
    file = config(
        onec=base | {"routes": {"counterparty": FULL, "payment": {"in": "full"}, "order": {"in": "full"}}},
        crm={"routes": {"counterparty": FULL, "order": FULL}},
        bank={"kind": "bank"},
    )
    with built(database_url, file) as made:
        yield made


def party(record: int | str, source: str = "onec", at: str = "2026-10-05T10:00:00Z", **data: object):
    where = "counterparty" if source == "onec" else "party"
    return said(source, "counterparty", f"{where}/{record}", at, None, {"type": "legal_entity", **data})


def count(middle: Middle) -> int:
    return middle.one("SELECT count(*) AS n FROM entity WHERE kind = 'counterparty' AND merged_into IS NULL")["n"]


def open_questions(middle: Middle) -> list:
    return middle.wiring.questions.listing()


def entity_of(middle: Middle, key: str) -> UUID:
    return middle.entity(key, "counterparty").id


def same(middle: Middle, key: str) -> None:
    """A person says that the record that is asked about is this one."""
    (asked,) = open_questions(middle)
    middle.wiring.questions.same(asked["id"], str(entity_of(middle, key)), "anna")
    middle.heard()


def test_the_same_inn_and_kpp_in_two_systems_are_one(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("company:1", "crm", name="Ромашка (склад)", **INN))
    assert count(middle) == 1
    assert open_questions(middle) == []


def test_two_first_heard_of_in_one_batch_are_one_too(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("company:1", "crm", name="Ромашка", **INN))
    assert count(middle) == 1


def test_branches_of_one_legal_entity_are_two(middle: Middle) -> None:
    middle.take(
        party("a", name="Ромашка", **INN), party("company:1", "crm", name="Ромашка", inn=INN["inn"], kpp="502401001")
    )
    assert count(middle) == 2


def test_the_same_name_and_phone_without_an_inn_are_one(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', phones=["+79991234567"], **INN))
    middle.take(party("company:1", "crm", name="Ромашка", phones=["+79991234567"]))
    assert count(middle) == 1


def test_what_is_only_possible_waits_for_a_person_who_says_that_it_is_the_same(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка", address="Пермь"))
    assert middle.outcome("party/company:1") == ["WAITING"]
    (asked,) = open_questions(middle)
    (candidate,) = asked["candidates"]
    assert candidate["why"] == ["the same name"]
    middle.wiring.questions.same(asked["id"], str(middle.entity("onec/counterparty/a", "counterparty").id), "anna")
    middle.heard()
    assert count(middle) == 1
    assert middle.fields("crm/party/company:1", "counterparty")["address"] == "Пермь"
    assert [one["action"] for one in middle.rows("SELECT action FROM operator_action")] == ["match"]


def test_or_that_it_is_another_one_and_is_not_asked_again(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка"))
    middle.wiring.questions.new(open_questions(middle)[0]["id"], "anna")
    middle.heard()
    assert count(middle) == 2
    middle.take(party("company:1", "crm", "2026-10-05T11:00:00Z", name="Ромашка", address="Пермь"))
    assert open_questions(middle) == []


def test_a_question_that_answers_itself_is_closed(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка"))
    middle.take(party("company:1", "crm", "2026-10-05T11:00:00Z", name="Ромашка", **INN))
    assert count(middle) == 1
    assert open_questions(middle) == []
    assert middle.rows("SELECT state FROM question") == [{"state": "moot"}]
    assert "WAITING" not in middle.outcome("party/company:1")


def test_two_live_records_of_one_system_with_one_inn_are_asked_about(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("b", name="Ромашка", **INN))
    (asked,) = open_questions(middle)
    assert asked["candidates"][0]["systems"] == ["onec"]
    middle.wiring.questions.same(asked["id"], str(middle.entity("onec/counterparty/a", "counterparty").id), "anna")
    middle.heard()
    assert count(middle) == 1


def test_of_two_records_of_one_system_nobody_is_asked_which_is_right(middle: Middle) -> None:
    middle.take(party("company:1", "crm", address="Пермь", **INN))
    middle.take(party("company:2", "crm", **INN))
    same(middle, "crm/party/company:1")
    middle.take(party("company:2", "crm", LATER, address="Казань", **INN))
    assert middle.rows("SELECT * FROM conflict") == []
    assert middle.fields("crm/party/company:1", "counterparty")["address"] == "Казань"


def test_a_record_made_anew_after_its_deletion_is_the_same_counterparty(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(gone("onec", "counterparty", "counterparty/a"))
    middle.take(party("b", name="Ромашка", **INN))
    assert count(middle) == 1
    assert open_questions(middle) == []


def test_two_known_ones_become_one_when_one_gets_the_others_inn(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("company:1", "crm", name="Цветы"))
    assert count(middle) == 2
    middle.take(party("company:1", "crm", "2026-10-05T11:00:00Z", name="Цветы", **INN))
    assert count(middle) == 1
    assert middle.entity("crm/party/company:1", "counterparty").view.fields["inn"] == INN["inn"]


def test_two_of_one_system_do_not_become_one_by_a_typed_inn(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("b", name="Цветы", inn="7736207543", kpp="773601001"))
    middle.take(party("b", "onec", "2026-10-05T11:00:00Z", name="Цветы", **INN))
    assert count(middle) == 2
    assert len(open_questions(middle)) == 1


def test_a_company_may_change_its_kpp(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("a", "onec", "2026-10-05T11:00:00Z", name="Ромашка", inn=INN["inn"], kpp="502401001"))
    assert middle.outcome("counterparty/a") == ["APPLIED", "APPLIED"]
    assert middle.fields("onec/counterparty/a", "counterparty")["kpp"] == "502401001"


def test_a_record_linked_by_mistake_is_parted_again(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("company:1", "crm", name="Ромашка", **INN))
    middle.wiring.questions.part("crm", "party/company:1", "anna")
    middle.take(party("company:1", "crm", "2026-10-05T11:00:00Z", name="Ромашка", **INN))
    assert count(middle) == 2
    with pytest.raises(BadInput, match="nothing that it could be parted from"):
        middle.wiring.questions.part("crm", "party/company:9", "anna")


def test_a_record_that_nobody_can_be_asked_for_is_parted_with_what_is_known_of_it(database_url: str) -> None:
    full = {"routes": {"counterparty": {"in": "full"}}}
    with built(database_url, config(onec=full, bank=full)) as middle:
        middle.take(party("a", name="Ромашка", **INN))
        middle.take(party("b", "bank", name="Ромашка (склад)", **INN))
        middle.rows("DELETE FROM event RETURNING seq")  # past its keeping
        middle.wiring.questions.part("bank", "party/b", "anna")
        middle.heard()
        assert count(middle) == 2
        assert middle.fields("bank/party/b", "counterparty")["name"] == "Ромашка (склад)"


@pytest.mark.parametrize(("first", "state"), [("onec", "agreed"), ("crm", "open")])
def test_what_a_parted_record_said_is_no_answer_to_what_a_person_is_asked(
    middle: Middle, first: str, state: str
) -> None:
    ours, theirs = party("a", address="Пермь", **INN), party("company:1", "crm", LATER, address="Казань", **INN)
    for event in (ours, theirs) if first == "onec" else (theirs, ours):
        middle.take(event)
    middle.wiring.questions.part("crm", "party/company:1", "anna")
    middle.heard()
    assert [row["state"] for row in middle.rows("SELECT state FROM conflict")] == [state]
    middle.rows("UPDATE conflict SET deadline = now() - interval '1 second'")
    middle.wiring.conflicts.expire()
    assert middle.fields("onec/counterparty/a", "counterparty")["address"] == "Пермь"


def test_requisites_that_cannot_be_right_are_kept_and_told_of(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", inn="7707083890", kpp="773601001"))
    fields = middle.fields("onec/counterparty/a", "counterparty")
    assert fields["inn"] == "7707083890"
    assert "inn" in fields["doubts"]
    middle.take(party("a", "onec", "2026-10-05T11:00:00Z", name="Ромашка", **INN))
    assert not middle.fields("onec/counterparty/a", "counterparty")["doubts"]


OTHER = {"inn": "7736207543", "kpp": "773601001"}
LATER, LATEST = "2026-10-05T11:00:00Z", "2026-10-05T12:00:00Z"


def test_an_inn_that_was_typed_wrongly_and_corrected_leads_nowhere(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **OTHER))
    middle.take(party("a", at=LATER, name="Ромашка", **INN))
    middle.take(party("b", at=LATEST, name="Василёк", **OTHER))
    assert count(middle) == 2
    assert middle.fields("onec/counterparty/a", "counterparty")["name"] == "Ромашка"


def test_neither_does_one_that_the_books_overruled(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("company:1", "crm", name="Ромашка", **INN))
    middle.take(party("company:1", "crm", LATER, name="Ромашка", **OTHER))
    middle.take(party("b", at=LATEST, name="Василёк", **OTHER))
    assert middle.fields("onec/counterparty/a", "counterparty")["inn"] == INN["inn"]
    assert count(middle) == 2


def test_an_old_answer_says_nothing_of_another_counterparty(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("z", name="Василёк", **OTHER))
    middle.take(party("b", name="Ромашка", **INN))
    same(middle, "onec/counterparty/a")
    middle.take(party("b", at=LATER, name="Ромашка", **OTHER))
    assert count(middle) == 2
    (asked,) = open_questions(middle)
    assert [one["entity"] for one in asked["candidates"]] == [str(entity_of(middle, "onec/counterparty/z"))]


def test_that_it_is_what_it_was_is_an_answer_too_and_is_not_asked_again(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("b", name="Цветы", **OTHER))
    middle.take(party("b", at=LATER, name="Цветы", **INN))
    same(middle, "onec/counterparty/b")
    middle.take(party("b", at=LATEST, name="Цветы", address="Пермь", **INN))
    assert count(middle) == 2
    assert open_questions(middle) == []
    assert middle.fields("onec/counterparty/b", "counterparty")["address"] == "Пермь"


def test_a_person_chooses_among_two_and_is_not_asked_about_the_other(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("b", name="Ромашка", **INN))
    middle.wiring.questions.new(open_questions(middle)[0]["id"], "anna")
    middle.heard()
    middle.take(party("company:1", "crm", name="Ромашка", **INN))
    middle.take(party("company:1", "crm", LATER, name="Ромашка", address="Пермь", **INN))
    same(middle, "onec/counterparty/b")
    middle.take(party("company:1", "crm", LATEST, name="Ромашка", address="Казань", **INN))
    assert open_questions(middle) == []
    assert entity_of(middle, "crm/party/company:1") == entity_of(middle, "onec/counterparty/b")
    assert middle.fields("onec/counterparty/b", "counterparty")["address"] == "Казань"


@pytest.mark.parametrize("chosen", ["a", "b"])
def test_a_known_record_that_may_be_either_of_two_is_whom_a_person_chooses(middle: Middle, chosen: str) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("b", name="Ромашка", **INN))
    middle.wiring.questions.new(open_questions(middle)[0]["id"], "anna")
    middle.heard()
    middle.take(party("c", name="Цветы", **OTHER))
    middle.take(party("c", at=LATER, name="Цветы", **INN))
    same(middle, f"onec/counterparty/{chosen}")
    middle.take(party("c", at=LATEST, name="Цветы", address="Пермь", **INN))
    assert (open_questions(middle), count(middle)) == ([], 2)
    assert middle.fields(f"onec/counterparty/{chosen}", "counterparty")["address"] == "Пермь"


def test_what_was_doubtful_and_is_corrected_waits_for_nobody(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("b", name="Цветы", **OTHER))
    middle.take(party("b", at=LATER, name="Цветы", **INN))
    middle.take(party("b", at=LATEST, name="Цветы", **OTHER))
    assert open_questions(middle) == []
    assert "WAITING" not in middle.outcome("counterparty/b")
    assert middle.fields("onec/counterparty/b", "counterparty")["inn"] == OTHER["inn"]
    assert count(middle) == 2


def test_an_answer_that_comes_while_another_event_begins_to_wait_is_heard(middle: Middle, database_url: str) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка"))
    asked = open_questions(middle)[0]["id"]
    event = party("company:1", "crm", LATER, name="Ромашка", address="Пермь")
    with built(database_url) as other, other.ledger.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('match/crm/party/company:1', 0))")
        thread = Thread(target=middle.wiring.pipeline.process, args=([event],))
        thread.start()
        eventually(lambda: middle.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
        connection.execute(
            "UPDATE question SET state = 'decided', decision = 'new', decided_by = 'anna' WHERE id = %s", [asked]
        )
    thread.join(20)
    assert open_questions(middle) == []
    assert "WAITING" not in middle.outcome("party/company:1")[1:]


def test_a_candidate_that_was_united_with_another_since_it_was_shown_is_that_other(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка"))
    middle.take(party("company:1", "crm", name="Цветы", phones=["+79991234567"]))
    middle.take(party("b", name="Полевые цветы", phones=["+79991234567"]))
    (asked,) = open_questions(middle)
    shown = entity_of(middle, "crm/party/company:1")
    middle.take(party("a", at=LATER, name="Ромашка", **INN))
    middle.take(party("company:1", "crm", LATER, name="Цветы", phones=["+79991234567"], **INN))
    assert middle.one("SELECT merged_into FROM entity WHERE id = %s", shown)["merged_into"]
    middle.wiring.questions.same(asked["id"], str(shown), "anna")
    middle.heard()
    assert entity_of(middle, "onec/counterparty/b") == entity_of(middle, "onec/counterparty/a")


def test_whom_a_person_called_one_may_get_new_keys_later(middle: Middle) -> None:
    guid = [{"system": "shop", "type": "party", "id": "7"}]
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("b", name="Ромашка", **INN))
    same(middle, "onec/counterparty/a")
    middle.take(party("b", at=LATER, name="Ромашка", address="Пермь", records=guid, **INN))
    assert middle.letters() == []
    assert middle.fields("shop/party/7", "counterparty")["address"] == "Пермь"


def test_the_right_one_of_very_many_branches_is_found(middle: Middle) -> None:
    branches = [party(f"b{at}", name=f"Филиал {at}", inn=INN["inn"], kpp=f"{7701 + at}01001") for at in range(120)]
    middle.take(*branches)
    middle.take(party("company:1", "crm", name="Банк", inn=INN["inn"], kpp="781901001"))
    assert entity_of(middle, "crm/party/company:1") == entity_of(middle, "onec/counterparty/b118")


def test_the_sweep_wakes_what_waits_for_a_person_whom_nobody_asks(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка"))
    middle.wiring.chores.sweep()
    assert middle.bells.published == []
    middle.rows("UPDATE question SET state = 'decided', decision = 'new', decided_by = 'anna'")
    middle.wiring.chores.sweep()
    middle.heard()
    assert count(middle) == 2


def test_nobody_is_asked_about_what_is_gone(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка"))
    middle.take(gone("crm", "counterparty", "party/company:1"))
    assert open_questions(middle) == []
    assert middle.outcome("party/company:1") == ["STALE", "OVERRULED"]


def test_a_question_stays_open_while_something_waits_for_it(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка"))
    middle.rows("UPDATE question SET deadline = now() - interval '1 day'")
    assert middle.wiring.chores.deadlines()["questions_expired"] == 0
    middle.rows("UPDATE event SET deadline = now() - interval '1 day' WHERE state = 'waiting'")
    done = middle.wiring.chores.deadlines()
    assert (done["waited_too_long"], done["questions_expired"]) == (1, 1)
    assert [letter["cause"] for letter in middle.letters()] == ["nobody said who it is"]


def test_a_thousand_new_counterparties_at_once_find_room_for_their_locks(middle: Middle) -> None:
    many = [
        party(
            f"n{at}",
            name=f"Фирма {at}",
            legal_name=f"Общество {at}",
            emails=[f"{at}@example.org"],
            phones=[f"+7999{at:07}"],
        )
        for at in range(1000)
    ]
    assert middle.take(*many)["APPLIED"] == 1000


MADE_FOR = [{"system": "bus", "type": "counterparty", "id": "6b5f2a52-61a5-4d5b-8f0e-1c4a2a9d7e11"}]
"""What a record bears that we made for one of whom this ledger, restored since, knows nothing."""


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_person_whom_we_made_for_one_who_is_forgotten_is_his_only_namesake(middle: Middle, ours_first: bool) -> None:
    made = party("contact:1", "crm", name="Петров Пётр", type="person", records=MADE_FOR)
    his = party("a", name="Петров Пётр", type="person")
    for event in (made, his) if ours_first else (his, made):
        middle.take(event)
    assert (count(middle), open_questions(middle)) == (1, [])
    middle.take(party("b", name="Петров Пётр", type="person"))
    assert count(middle) == 2, "another person of that name is another person"


def test_of_two_namesakes_a_person_says_for_whom_we_made_it(middle: Middle) -> None:
    for record in ("a", "b"):
        middle.take(party(record, name="Петров Пётр", type="person"))
    middle.take(party("contact:1", "crm", name="Петров Пётр", type="person", records=MADE_FOR))
    assert [len(one["candidates"]) for one in open_questions(middle)] == [2]


def test_requisites_speak_against_a_namesake(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("company:1", "crm", name="Ромашка", inn="7728168971", kpp="772801001", records=MADE_FOR))
    assert count(middle) == 2
