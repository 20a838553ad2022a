"""`bus matches`: who a record is, where only a person can tell."""

from uuid import UUID, uuid4

import pytest

from bus.ledger import entities, questions
from bus.ledger.questions import Question


@pytest.fixture
def party(wiring) -> UUID:
    """A counterparty that is known by two records."""
    known = entities.begun(uuid4(), "counterparty")
    known.view.fields["name"] = "Ромашка"
    known.record("onec", "counterparty", "a").state = "linked"
    known.record("bank", "counterparty", "b").state = "linked"
    with wiring.ledger.transaction() as connection:
        keys = {"onec/counterparty/a": known.id, "bank/counterparty/b": known.id}
        entities.learn(connection, "counterparty", keys)
        entities.save(connection, [known])
    return known.id


@pytest.fixture
def question(wiring, party) -> int:
    candidate = {"entity": str(party), "why": ["the same name"], "systems": ["onec"], "name": "Ромашка"}
    asked = Question("counterparty", "bank", "counterparty/c", [candidate], {"name": "РОМАШКА ООО"})
    with wiring.ledger.transaction() as connection:
        questions.ask(connection, [asked], seconds=3600)
        return int(questions.listing(connection)[0]["id"])


def test_a_question_is_listed_shown_and_answered(bus, question, party):
    assert "counterparty/c" in bus("matches", "list").stdout
    shown = bus("matches", "show", question).stdout
    assert "РОМАШКА ООО" in shown
    assert "the same name" in shown
    wrong = bus("matches", "decide", question, "--same", "company:1")
    assert (wrong.exit_code, wrong.stderr) == (1, f"'company:1' cannot be chosen; see `bus matches show {question}`\n")
    assert bus("matches", "decide", question).exit_code == 1
    decided = bus("matches", "decide", question, "--same", str(party), "--actor", "anna")
    assert decided.stdout == f"question {question}: answered\n"
    assert "by anna" in bus("matches", "show", question).stdout
    assert bus("matches", "list").stdout == "questions: none is open\n"
    assert bus("matches", "decide", question, "--new").stderr == f"there is no open question {question}\n"


def test_a_record_linked_by_mistake_is_parted(bus, wiring, party):
    parted = bus("matches", "part", "bank", "counterparty/b", "--actor", "anna")
    assert parted.stdout == "bank counterparty/b: is one of its own now\n"
    with wiring.ledger.transaction() as connection:
        assert entities.keys_of(connection, [party]) == {party: {"onec/counterparty/a"}}
        assert questions.answers(connection, [("bank", "counterparty/b")]) == {("bank", "counterparty/b"): "new"}
    assert bus("matches", "part", "bank", "counterparty/b").exit_code == 1
