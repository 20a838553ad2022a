"""Tombstones in the ledger: what is remembered of deletions, and what an upgrade makes of those noted before it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from uuid import uuid4

import pytest

from bus.ledger import tombstones
from bus.ledger.database import Connection
from bus.ledger.tombstones import Tombstone
from tests.bus.ledger.middle import built

NAME = ("bank", "payment/5")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with built(database_url) as middle, middle.ledger.transaction() as made:
        yield made


def at(hour: int) -> datetime:
    return datetime(2026, 10, 5, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("versions", "version"),
    [((3, 4), 4), ((4, 3), 4), ((None, 3), None), ((3, None), None), ((None, None), None)],
)
def test_of_several_deletions_the_latest_is_kept_and_a_version_only_where_all_have_one(
    connection: Connection, versions: tuple[int | None, int | None], version: int | None
) -> None:
    older, newer = Tombstone(at(9), at(12), versions[0]), Tombstone(at(10), at(11), versions[1])
    for one in (older, newer):
        tombstones.put(connection, {NAME: one})
    assert tombstones.of(connection, [NAME]) == {NAME: Tombstone(at(10), at(12), version)}
    assert newer.or_later(older) == older.or_later(newer) == Tombstone(at(10), at(12), version)


def test_each_record_has_its_own(connection: Connection) -> None:
    tombstones.put(connection, {NAME: Tombstone(at(9), at(12), 3), ("bank", "payment/6"): Tombstone(at(8), at(8))})
    known = tombstones.of(connection, [NAME, ("bank", "payment/6"), ("bank", "payment/7"), ("shop", "payment/5")])
    assert known == {NAME: Tombstone(at(9), at(12), 3), ("bank", "payment/6"): Tombstone(at(8), at(8))}


def test_nothing_of_a_records_name_can_be_read_in_it(connection: Connection) -> None:
    tombstones.put(connection, {("onec", "counterparty/500100732259"): Tombstone(at(9), at(9))})
    (row,) = connection.execute("SELECT tombstone::text AS whole FROM tombstone").fetchall()
    assert "500100732259" not in row["whole"]


@pytest.mark.parametrize(
    ("sourceversion", "version"), [("3", 3), ("12345678-1111-4111-8111-111111111111", None), (None, None)]
)
def test_an_upgrade_remembers_what_was_deleted_before_it(
    connection: Connection, sourceversion: str | None, version: int | None
) -> None:
    """Migration 0006, over a ledger of 0005. The id of what told us of a deletion is no version, though it looks so."""
    told, silent, living = uuid4(), uuid4(), uuid4()
    connection.execute("CREATE SCHEMA before; SET LOCAL search_path = before")
    versions = resources.files("bus.ledger") / "migrations" / "versions"
    *older, newest = sorted(one.name for one in versions.iterdir() if one.name.endswith(".sql"))
    for name in older:
        connection.execute((versions / name).read_text())
    for entity, number, state in ((told, "5", "deleted"), (silent, "6", "deleted"), (living, "7", "linked")):
        connection.execute("INSERT INTO entity (id, kind, said) VALUES (%s, 'payment', '[]')", [entity])
        connection.execute(
            """INSERT INTO record (entity_id, system, type, external_id, state, updated_at)
               VALUES (%s, 'bank', 'payment', %s, %s, %s)""",
            [entity, number, state, at(20)],
        )
    for entity, number in ((told, "5"), (living, "7")):
        _deletion(connection, entity, number, sourceversion)
    connection.execute((versions / newest).read_text())
    known = tombstones.of(connection, [("bank", f"payment/{number}") for number in (5, 6, 7)])
    assert known == {NAME: Tombstone(at(9), at(10), version), ("bank", "payment/6"): Tombstone(at(20), at(20))}


def _deletion(connection: Connection, entity: object, number: str, sourceversion: str | None) -> None:
    version = int(sourceversion.partition("-")[0]) if sourceversion else None
    connection.execute(
        """INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, received_at, sourceversion,
                              version, entity_id, state, outcome, finished_at)
           VALUES ('bank', %s, 'payment.deleted', %s, 'payments', 'payment', %s, %s, %s, %s, %s, 'done', 'APPLIED',
                   now())""",
        [number, f"payment/{number}", at(9), at(10), sourceversion, version, entity],
    )
