"""History's partitions over the turn of a year, and what is dropped."""

from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from bus.ledger import history
from bus.ledger.database import Connection
from bus.ledger.history import Line


def at(connection: Connection, moment: datetime) -> str:
    """Where a line of that moment is kept."""
    connection.execute(
        "INSERT INTO history (at, entity_id, actor, what) VALUES (%s, %s, 'test', 'changed')", [moment, uuid4()]
    )
    found = connection.execute(
        "SELECT tableoid::regclass::text AS name FROM history WHERE at = %s", [moment]
    ).fetchone()
    assert found is not None
    return str(found["name"])


def test_partitions_reach_over_the_turn_of_the_year(connection: Connection) -> None:
    assert history.make_partitions(connection, date(2030, 12, 31), months=3) == [
        "history_2030_12", "history_2031_01", "history_2031_02"
    ]  # fmt: skip
    assert at(connection, datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)) == "history_2030_12"
    assert at(connection, datetime(2031, 1, 1, tzinfo=UTC)) == "history_2031_01"


def test_making_them_again_makes_none(connection: Connection) -> None:
    assert history.make_partitions(connection, date(2030, 11, 1)) == ["history_2030_11", "history_2030_12"]
    assert history.make_partitions(connection, date(2030, 11, 30)) == []
    assert history.make_partitions(connection, date(2030, 12, 1)) == ["history_2031_01"]


def test_a_month_that_has_begun_to_speak_in_the_default_partition_stays_there(connection: Connection) -> None:
    assert at(connection, datetime(2030, 11, 5, tzinfo=UTC)) == "history_other"
    assert history.make_partitions(connection, date(2030, 11, 6)) == ["history_2030_12"]


def test_partitions_past_their_keeping_are_dropped_and_others_are_not(connection: Connection) -> None:
    today = datetime.now(UTC).date()
    history.make_partitions(connection, date(2020, 12, 1), months=1)
    history.make_partitions(connection, date(today.year, today.month, 1), months=1)
    at(connection, datetime(2020, 12, 31, tzinfo=UTC))
    assert at(connection, datetime(2019, 1, 1, tzinfo=UTC)) == "history_other"
    now = at(connection, datetime.now(UTC))
    assert history.past(connection, 90, today) == ["history_2020_12"]
    assert (history.drop(connection, "history_2020_12"), history.forget(connection, 90, 10)) == (1, 1)
    left = {
        row["relname"]
        for row in connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^history_2[0-9_]*$'").fetchall()
    }
    assert now in left
    assert "history_2020_12" not in left


def test_the_story_of_an_entity_is_told_oldest_first_and_its_end_is_kept_when_it_is_long(
    connection: Connection,
) -> None:
    entity = uuid4()
    history.write(connection, [Line(entity, "a", f"{number}") for number in range(5)])
    assert [line["what"] for line in history.of_entity(connection, entity)] == list("01234")
    assert [line["what"] for line in history.of_entity(connection, entity, limit=2)] == list("34")


def test_what_is_told_of_is_kept_whatever_its_value(middle_value: object, connection: Connection) -> None:
    entity = uuid4()
    history.write(
        connection, [Line(entity, "a", "changed", None, "crm", "comment", middle_value, None, "rule", "call")]
    )
    assert history.of_entity(connection, entity)[0]["old"] == middle_value


@pytest.fixture(params=["text", None, [], {"amount": "1.00"}, True])
def middle_value(request: pytest.FixtureRequest) -> object:
    return request.param
