"""Files of an exchange in the ledger: chunks in their order, one importer each, nothing kept for ever."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from bus.ledger import exchange
from bus.ledger.database import Connection, rows
from bus.ledger.exchange import File, Place, Unread

PLACE = Place("onec", "folder", "sale", "orders.xml")
OTHER = Place("onec", "other", "sale", "orders.xml")


def received(connection: Connection, *chunks: bytes, place: Place = PLACE) -> File:
    for body in chunks or (b"<a/>",):
        file = exchange.append(connection, place, "ut", None, body)
    return file


def waiting(connection: Connection, place: Place = PLACE) -> int:
    file = received(connection, place=place)
    assert exchange.await_import(connection, file.id)
    return file.id


def content(connection: Connection, file: int) -> list[bytes]:
    found, n = [], 0
    while (body := exchange.chunk(connection, file, n)) is not None:
        found.append(body)
        n += 1
    return found


def state(connection: Connection, file: int) -> Any:
    return rows(connection, "SELECT state FROM exchange_file WHERE id = %s", [file])[0]["state"]


def test_a_body_that_came_in_pieces_is_put_behind_what_is_there(connection: Connection) -> None:
    file = received(connection, b"1")
    staged = exchange.stage(connection, PLACE, "ut")
    for piece in (b"2", b"3"):
        exchange.add(connection, staged, piece)
    assert content(connection, file.id) == [b"1"]
    file = exchange.append(connection, PLACE, "ut", staged, b"4")
    assert content(connection, file.id) == [b"1", b"2", b"3", b"4"]
    assert file.bytes == 4
    assert len(rows(connection, "SELECT 1 FROM exchange_file")) == 1


def test_a_body_that_broke_off_is_forgotten_with_its_pieces(connection: Connection) -> None:
    staged = exchange.stage(connection, PLACE, "ut")
    exchange.add(connection, staged, b"half")
    assert exchange.listing(connection, system=None, state=None, limit=9) == []
    exchange.drop(connection, staged)
    assert rows(connection, "SELECT 1 FROM exchange_chunk") == []


def test_what_broke_off_with_its_intake_is_forgotten_after_a_while(connection: Connection) -> None:
    exchange.stage(connection, PLACE, "ut")
    assert exchange.forget_staged(connection) == 0
    connection.execute("UPDATE exchange_file SET updated_at = now() - interval '2 hours'")
    assert exchange.quiet(connection, 60) == []
    assert exchange.forget_staged(connection) == 1


def test_an_emptied_folder_keeps_what_waits_for_its_import(connection: Connection) -> None:
    kept = waiting(connection, Place("onec", "folder", "sale", "kept.xml"))
    received(connection)
    other = received(connection, place=OTHER)
    exchange.empty(connection, "onec", "folder")
    assert {file.id for file in exchange.listing(connection, system=None, state=None, limit=9)} == {kept, other.id}


def test_nothing_is_appended_to_a_file_that_waits(connection: Connection) -> None:
    file = waiting(connection)
    assert exchange.append(connection, PLACE, "ut", None, b"more").state == "waiting"
    assert content(connection, file) == [b"<a/>"]


def test_one_importer_has_a_file_until_its_lease_lapses(connection: Connection) -> None:
    file, early, late = waiting(connection), uuid4(), uuid4()
    assert exchange.claim(connection, early, seconds=60) is not None
    assert exchange.claim(connection, late, seconds=60) is None
    connection.execute("UPDATE exchange_file SET lease_until = now() - interval '1 second'")
    again = exchange.claim(connection, late, seconds=60)
    assert again is not None
    assert again.report == {"attempts": 2}
    assert not exchange.go_on(connection, file, early, {}, seconds=60)
    exchange.finish(connection, file, early, "done", None, {})
    assert state(connection, file) == "importing"
    assert exchange.go_on(connection, file, late, {"documents": 7}, seconds=60)
    exchange.finish(connection, file, late, "failed", "line 3: cut", {"documents": 7})
    found = exchange.get(connection, file)
    assert found is not None
    assert (found.state, found.error, found.report) == ("failed", "line 3: cut", {"documents": 7})


def test_a_systems_files_are_imported_in_the_order_they_came(connection: Connection) -> None:
    first, second = waiting(connection), waiting(connection, OTHER)
    claimed = exchange.claim(connection, lease := uuid4(), seconds=60)
    assert claimed is not None
    assert claimed.id == first
    assert exchange.claim(connection, uuid4(), seconds=60) is None
    exchange.finish(connection, first, lease, "done", None, {})
    claimed = exchange.claim(connection, uuid4(), seconds=60)
    assert claimed is not None
    assert claimed.id == second


@pytest.mark.parametrize("now", ["receiving", "done", "failed", "aside"])
def test_a_file_may_be_read_once_more_unless_it_is_being_read(connection: Connection, now: str) -> None:
    file = received(connection).id
    connection.execute("UPDATE exchange_file SET state = %s", [now])
    assert exchange.replay(connection, file)
    assert not exchange.replay(connection, file)
    assert state(connection, file) == "waiting"


def test_files_are_forgotten_when_their_time_is_over_and_goods_after_a_day(connection: Connection) -> None:
    ages = {"done": 31, "failed": 29, "aside": 2, "waiting": 99}
    for name, days in ages.items():
        file = received(connection, place=Place("onec", "folder", "sale", name)).id
        connection.execute(
            "UPDATE exchange_file SET state = %s, created_at = now() - make_interval(days => %s) WHERE id = %s",
            [name, days, file],
        )
    assert exchange.forget(connection, keep_days=30, limit=10) == 2
    left = exchange.listing(connection, system="onec", state=None, limit=9)
    assert {file.state for file in left} == {"failed", "waiting"}
    assert len(rows(connection, "SELECT 1 FROM exchange_chunk")) == 2


def test_an_unreadable_document_is_journaled_once(connection: Connection) -> None:
    now = datetime.now(UTC)
    document = Unread(
        "onec", "a1", "order.changed", "order", "orders", "order/7", {"Ид": "7"}, "Сумма: not a number", now
    )
    (seq,) = exchange.unread(connection, [document])
    assert seq is not None
    assert exchange.unread(connection, [document]) == [None]
    (row,) = rows(connection, "SELECT * FROM event")
    assert (row["state"], row["outcome"], row["subject"], row["raw"]) == ("dead", "DEAD", "order/7", {"Ид": "7"})


def test_one_that_does_not_say_what_it_is_cannot_be_retried(connection: Connection) -> None:
    document = Unread("onec", "a1", "order.changed", "order", "orders", None, {}, "Ид: missing", datetime.now(UTC))
    exchange.unread(connection, [document])
    (row,) = rows(connection, "SELECT kind, subject FROM event")
    assert (row["kind"], row["subject"]) == ("unreadable", "document/a1")
