"""Dead letters in the ledger: one row for one trouble, opened again when it fails again."""

from uuid import UUID, uuid4

import pytest

from bus.ledger import entities, letters
from bus.ledger.database import Connection
from bus.ledger.letters import Letter


@pytest.fixture
def entity(connection: Connection) -> UUID:
    made = uuid4()
    entities.save(connection, [entities.begun(made, "order")])
    return made


def letter(entity: UUID, cause: str = "why", error_class: str = "Permanent") -> Letter:
    return Letter("crm", error_class, cause, "no", entity_id=entity, attempts=2)


def states(connection: Connection) -> list[str]:
    return [row["state"] for row in connection.execute("SELECT state FROM dead_letter ORDER BY id").fetchall()]


def test_the_same_trouble_again_is_the_same_letter(connection: Connection, entity: UUID) -> None:
    letters.write(connection, [letter(entity)])
    letters.write(connection, [letter(entity, "another why")])
    (row,) = letters.listing(connection, cause=None, state="open", limit=9)
    assert (row["attempts"], row["cause"]) == (4, "another why")


def test_what_went_through_resolves_its_letter_and_failing_again_opens_it(connection: Connection, entity: UUID) -> None:
    letters.write(connection, [letter(entity)])
    letters.resolve_deliveries(connection, [entity], "shop")
    assert states(connection) == ["open"]
    letters.resolve_deliveries(connection, [entity], "crm")
    assert states(connection) == ["resolved"]
    letters.write(connection, [letter(entity)])
    assert states(connection) == ["open"]


def test_what_was_discarded_stays_and_the_next_trouble_is_a_new_letter(connection: Connection, entity: UUID) -> None:
    letters.write(connection, [letter(entity)])
    (row,) = letters.listing(connection, cause=None, state="open", limit=9)
    assert letters.discard(connection, [row["id"]], "me", "because")[0]["note"] == "because"
    letters.write(connection, [letter(entity)])
    assert states(connection) == ["discarded", "open"]


def test_a_letter_is_in_one_retry_at_most(connection: Connection, entity: UUID) -> None:
    letters.write(connection, [letter(entity)])
    (row,) = letters.listing(connection, cause=None, state="open", limit=9)
    assert len(letters.take(connection, [row["id"]], "me")) == 1
    assert letters.take(connection, [row["id"]], "you") == []


def test_what_could_not_be_read_has_nothing_to_retry(connection: Connection, entity: UUID) -> None:
    letters.write(connection, [letter(entity, error_class="Unreadable")])
    (row,) = letters.listing(connection, cause=None, state="open", limit=9)
    assert letters.take(connection, [row["id"]], "me") == []


def test_letters_are_grouped_by_cause(connection: Connection) -> None:
    for cause in ("a", "b", "b"):
        made = uuid4()
        entities.save(connection, [entities.begun(made, "order")])
        letters.write(connection, [letter(made, cause)])
    assert [(row["cause"], row["letters"]) for row in letters.groups(connection)] == [("b", 2), ("a", 1)]
    assert letters.open_count(connection) == 3
