"""Entities in the ledger: known by keys, locked in order, saved and united."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from threading import Thread
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from bus.ledger import deliveries, entities, letters, records
from bus.ledger.database import Connection
from bus.ledger.deliveries import Due
from bus.ledger.entities import LostRace
from bus.ledger.letters import Letter
from bus.ledger.records import Creation
from bus.merge import Said
from tests.bus.ledger.middle import Middle, built, deal, eventually, order, payment, rub, to_order


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def made(connection: Connection) -> UUID:
    entity = uuid4()
    entities.save(connection, [entities.begun(entity, "order")])
    return entity


def test_keys_are_learnt_once_and_only_the_new_ones_are_told(connection: Connection) -> None:
    entity = made(connection)
    assert entities.learn(connection, "order", {"a/b/1": entity, "a/b/2": entity}) == {"a/b/1", "a/b/2"}
    assert entities.learn(connection, "order", {"a/b/2": entity, "a/b/3": entity}) == {"a/b/3"}
    assert entities.find(connection, "order", ["a/b/1", "a/b/9"]) == {"a/b/1": entity}
    assert entities.find(connection, "payment", ["a/b/1"]) == {}


def test_a_key_that_means_another_entity_is_a_lost_race(connection: Connection) -> None:
    one, other = made(connection), made(connection)
    entities.learn(connection, "order", {"a/b/1": one})
    with pytest.raises(LostRace):
        entities.learn(connection, "order", {"a/b/1": other})


def test_what_was_united_is_a_lost_race_to_who_wants_to_lock_it(connection: Connection) -> None:
    kept, lost = made(connection), made(connection)
    entities.move(connection, lost, kept)
    with pytest.raises(LostRace):
        entities.lock(connection, [kept, lost])


def test_the_answer_of_a_lane_waits_for_who_holds_the_entity(middle: Middle) -> None:
    """Else the pipeline, which has read the record, would write its old base over the lane's new one."""
    middle.take(order(1, comment="x"), deal(7, records=[to_order(1)]))
    known = middle.entity("shop/order/1")
    record = known.primary("crm")
    assert record is not None
    assert record.id is not None

    def answer() -> None:
        with middle.ledger.transaction() as connection:
            assert entities.hold(connection, [known.id]) == {known.id: known.id}
            records.set_bases(connection, [records.Base(record.id, "7", {"comment": "x"}, 9)])

    lane = Thread(target=answer)
    with middle.ledger.transaction() as connection:
        held = entities.lock(connection, [known.id])[known.id]
        lane.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        eventually(lambda: not lane.is_alive() or middle.rows(waits))
        own = held.primary("crm")
        assert own is not None
        own.dirty = held.dirty = True
        entities.save(connection, [held])
    lane.join(10)
    assert middle.one("SELECT version FROM record WHERE id = %s", record.id)["version"] == 9


def test_holding_an_entity_that_was_united_holds_the_one_that_is_kept(connection: Connection) -> None:
    one, two, three = made(connection), made(connection), made(connection)
    entities.move(connection, one, two)
    entities.move(connection, two, three)
    assert entities.hold(connection, [one, two, three]) == dict.fromkeys((one, two, three), three)


def test_who_asks_for_an_orders_payments_waits_for_who_asked_before(middle: Middle) -> None:
    middle.take(order(1), payment(5, source="shop", order=to_order(1), amount=rub(100), status="pending"))
    known = middle.entity("shop/order/1").id
    answers: list[str] = []

    def ask() -> None:
        with middle.ledger.transaction() as connection:
            answers.extend(row["fields"]["status"] for row in entities.payments_of(connection, [known]))

    second = Thread(target=ask)
    with middle.ledger.transaction() as connection:
        (expected,) = entities.payments_of(connection, [known])
        assert expected["systems"] == ["shop"]
        second.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        eventually(lambda: not second.is_alive() or middle.rows(waits))
        paid = """UPDATE entity SET fields = fields || '{"status": "paid"}' WHERE id = %s"""
        connection.execute(paid, [expected["id"]])
    second.join(10)
    assert answers == ["paid"]


def test_a_newer_version_that_an_event_brought_stands_against_a_lanes_late_answer(middle: Middle) -> None:
    middle.take(deal(7, version=20, comment="newer"))
    record = middle.entity("crm/deal/7").primary("crm")
    assert record is not None
    assert record.id is not None
    with middle.ledger.transaction() as connection:
        records.set_bases(connection, [records.Base(record.id, "7", {"comment": "older"}, 19)])
    assert middle.one("SELECT base, version, ours FROM record") == {
        "base": {"comment": "newer"},
        "version": 20,
        "ours": False,
    }


def test_a_creation_is_begun_once_and_becomes_the_record_whoever_tells_of_it_first(middle: Middle) -> None:
    middle.take(order(1, comment="x"))
    entity = middle.entity("shop/order/1").id
    with middle.ledger.transaction() as connection:
        assert records.begin_creating(connection, [entity], "crm", "deal") == {entity}
        assert records.begin_creating(connection, [entity], "crm", "deal") == set()
    middle.take(deal(7, records=[to_order(1)]))
    with middle.ledger.transaction() as connection:
        records.linked_row(connection, entity, "crm", "deal", "7")
    assert middle.rows("SELECT external_id, state FROM record WHERE system = 'crm'") == [
        {"external_id": "7", "state": "linked"}
    ]


def test_a_record_deleted_there_is_not_created_again_but_another_system_may_have_one(connection: Connection) -> None:
    entity = made(connection)
    assert records.begin_creating(connection, [entity], "crm", "deal")
    assert records.begin_creating(connection, [entity], "shop", "order")


def test_uniting_moves_letters_and_ends_the_lost_ones_deliveries(middle: Middle) -> None:
    middle.take(order(1), deal(7))
    kept, lost = middle.entity("shop/order/1").id, middle.entity("crm/deal/7").id
    with middle.ledger.transaction() as connection:
        deliveries.mark(connection, [Due(lost, "shop", 5, None)])
        letters.write(connection, [Letter("shop", "Permanent", "why", "no", entity_id=lost)])
        entities.move(connection, lost, kept)
    assert middle.one("SELECT entity_id FROM dead_letter")["entity_id"] == kept
    assert middle.one("SELECT state FROM delivery WHERE entity_id = %s AND system = 'shop'", lost)["state"] == "idle"


def test_an_events_letter_moves_also_where_the_kept_one_has_a_deliverys_letter_of_that_system(middle: Middle) -> None:
    middle.take(order(1, total=rub(1)), deal(7))
    kept, lost = middle.entity("shop/order/1").id, middle.entity("crm/deal/7").id
    seq = middle.one("SELECT seq FROM event WHERE subject = 'deal/7'")["seq"]
    with middle.ledger.transaction() as connection:
        letters.write(connection, [Letter("crm", "Permanent", "why", "no", entity_id=kept)])
        letters.write(connection, [Letter("crm", "Permanent", "held", "no", event_seq=seq, entity_id=lost)])
        entities.move(connection, lost, kept)
    assert {letter["entity_id"] for letter in middle.letters()} == {kept}


OLD_SAID = """{"comment": {"at": "2026-10-05T10:00:00+00:00", "source": "shop", "event": "e1"},
    "number": {"at": "2026-10-05T10:00:00+00:00", "source": "shop", "event": "e1"},
    "status": {"at": "2026-10-05T11:00:00+00:00", "source": "crm", "event": "e2"}}"""


def test_who_said_what_survives_the_change_of_its_form(connection: Connection) -> None:
    """Migration 0002, over an entity as 0001 kept it."""
    said, silent = uuid4(), uuid4()
    connection.execute("CREATE SCHEMA before; SET LOCAL search_path = before")
    versions = resources.files("bus.ledger") / "migrations" / "versions"
    connection.execute((versions / "0001_ledger.sql").read_text())
    connection.execute("INSERT INTO entity (id, kind, said) VALUES (%s, 'order', %s)", [said, OLD_SAID])
    connection.execute("INSERT INTO entity (id, kind) VALUES (%s, 'order')", [silent])
    for later in ("0002_hot_path", "0003_books", "0004_erasing", "0005_former", "0006_tombstones"):
        connection.execute((versions / f"{later}.sql").read_text())
    known = entities.load(connection, [said, silent])
    first = Said(datetime(2026, 10, 5, 10, tzinfo=UTC), "shop", "e1")
    second = Said(datetime(2026, 10, 5, 11, tzinfo=UTC), "crm", "e2")
    assert known[said].view.said == {"comment": first, "number": first, "status": second}
    assert known[silent].view.said == {}


def test_a_lanes_answer_lays_only_what_it_wrote_over_a_base_that_others_have_changed(middle: Middle) -> None:
    """A manager's rows came while our answer was on its way: they are not forgotten again."""
    middle.take(deal(7, version=20, comment="old", lines=[{"name": "Cup", "quantity": 1, "price": 5}]))
    record = middle.entity("crm/deal/7").primary("crm")
    assert record is not None
    assert record.id is not None
    middle.take(deal(7, version=21, lines=[{"name": "Pot", "quantity": 1, "price": 9}]))
    with middle.ledger.transaction() as connection:
        records.set_bases(connection, [records.Base(record.id, "7", {"comment": "ours"}, 22)])
    base = middle.one("SELECT base FROM record")["base"]
    assert base["comment"] == "ours"
    assert [line["name"] for line in base["lines"]] == ["Pot"]


def test_what_only_we_say_is_kept_though_a_newer_version_came_before_our_answer(middle: Middle) -> None:
    middle.take(deal(7, version=20, comment="newer"))
    record = middle.entity("crm/deal/7").primary("crm")
    assert record is not None
    assert record.id is not None
    delta = {"comment": "older", "payment_status": "paid"}
    with middle.ledger.transaction() as connection:
        own = {"payment_status": "paid"}
        records.set_bases(connection, [records.Base(record.id, "7", delta, 19, own=own)])
    assert middle.one("SELECT base FROM record")["base"] == {"comment": "newer", "payment_status": "paid"}


TOLD = {"status": "paid", "payment_status": "paid"}


@pytest.mark.parametrize("unread", [False, True])
def test_what_only_we_say_is_not_known_from_the_telling_to_the_answer(middle: Middle, unread: bool) -> None:
    """What events tell of keeps its base; of an unread record all else that we told stays unanswered."""
    record = holding(middle, {"status": "new", "paid_total": None, "payment_status": "unpaid"})
    with middle.ledger.transaction() as connection:
        records.telling(connection, {record: TOLD})
        records.telling(connection, {record: {"payment_status": "unpaid"}}, [record] if unread else [])
    row = middle.one("SELECT base, telling FROM record")
    assert row["base"] == {"status": "new", "paid_total": None}
    assert row["telling"] == {"payment_status": "unpaid"} | ({"status": "paid"} if unread else {})
    with middle.ledger.transaction() as connection:
        records.set_bases(connection, [records.Base(record, "7", {"payment_status": "unpaid"}, 22, unread=unread)])
    row = middle.one("SELECT base, telling FROM record")
    assert row["base"] == {"status": "new", "paid_total": None, "payment_status": "unpaid"}
    assert row["telling"] == ({"status": "paid"} if unread else {})


def holding(middle: Middle, base: dict) -> int:
    """A deal's record that holds this."""
    middle.take(deal(7, version=20, comment="x"))
    return int(middle.one("UPDATE record SET base = %s RETURNING id", Jsonb(base))["id"])


def test_a_call_that_is_not_ours_any_more_does_not_tell_that_it_broke_off(connection: Connection) -> None:
    entity, lease = made(connection), uuid4()
    records.begin_creating(connection, [entity], "crm", "deal")
    assert records.promise(connection, "crm", [Creation(entity, {"comment": "x"})]) == {entity}
    deliveries.mark(connection, [deliveries.Due(entity, "crm", 5, None)])
    deliveries.claim(connection, "crm", lease, seconds=60, limit=5, urgent=False)
    records.broke_off(connection, "crm", uuid4(), [entity])
    since = "SELECT creating_since FROM record"
    assert connection.execute(since).fetchone()["creating_since"] is not None
    records.broke_off(connection, "crm", lease, [entity])
    assert connection.execute(since).fetchone()["creating_since"] is None


def test_only_what_is_still_to_be_made_as_its_lane_knows_it_is_sent(connection: Connection) -> None:
    now = connection.execute("SELECT now() AS at").fetchone()["at"]
    plain, told_of, gone, moved, tried = (made(connection) for _ in range(5))
    all_of_them = (plain, told_of, gone, moved, tried)
    assert records.begin_creating(connection, all_of_them, "crm", "deal") == set(all_of_them)
    records.linked_row(connection, told_of, "crm", "deal", "7")
    connection.execute("UPDATE record SET state = 'deleted' WHERE entity_id = %s", [gone])
    connection.execute("UPDATE entity SET parent_id = %s WHERE id = %s", [plain, moved])
    connection.execute("UPDATE record SET creating_since = %s WHERE entity_id = %s", [now, tried])
    known = [Creation(one, {"comment": "x"}) for one in all_of_them]
    assert records.promise(connection, "crm", known) == {plain}
    other = [Creation(moved, {"comment": "x"}, order_id=plain), Creation(tried, {"comment": "x"}, now)]
    assert records.promise(connection, "crm", other) == {moved, tried}
    assert connection.execute("SELECT count(*) AS n FROM record WHERE promised <> '{}'").fetchone()["n"] == 3
