"""Every table that grows is forgotten in time; what is still needed is not, and a large backlog goes in portions."""

from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Thread

import psycopg
import pytest

from bus.ledger import retention
from tests.bus.ledger.middle import Middle, built, eventually, gone, order, payment, rub, to_order

OLD = "interval '100 days'"


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def forget(middle: Middle) -> dict[str, int]:
    return middle.wiring.chores.retention(datetime.now(UTC).date())


def count(middle: Middle, table: str) -> int:
    return int(middle.one(f"SELECT count(*) AS n FROM {table}")["n"])


def aged(middle: Middle, table: str, *columns: str, where: str = "true") -> None:
    """Make rows a hundred days older."""
    moved = ", ".join(f"{column} = {column} - {OLD}" for column in columns)
    middle.rows(f"UPDATE {table} SET {moved} WHERE {where}")


def test_every_table_is_listed_with_its_retention_or_with_why_it_does_not_grow(middle: Middle) -> None:
    tables = {
        row["relname"]
        for row in middle.rows(
            """SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
                 AND relnamespace = 'public'::regnamespace"""
        )
    }
    listed = [*retention.FORGET, *retention.FILES, *retention.WITH_OTHERS, *retention.BOUNDED]
    assert tables == set(listed)
    assert len(listed) == len(set(listed))


ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "dead_letter": (
        """INSERT INTO dead_letter (entity_id, system, class, cause, reason, state, ended_at)
           SELECT id, %s, 'x', 'x', 'x', 'discarded', now() FROM entity LIMIT 1""",
        ("ended_at",),
    ),
    "conflict": (
        """INSERT INTO conflict (entity_id, field, options, policy, deadline, state, decided_at)
           SELECT id, %s, '{}', 'x', now(), 'decided', now() FROM entity LIMIT 1""",
        ("decided_at",),
    ),
    "question": (
        """INSERT INTO question (asks, system, subject, deadline, state, decided_at)
           VALUES ('order', 'bank', %s, now(), 'expired', now())""",
        ("decided_at",),
    ),
    "run": ("INSERT INTO run (what) VALUES (%s)", ("started_at",)),
    "drift": (
        """WITH one AS (INSERT INTO run (what) VALUES ('reconcile') RETURNING id)
           INSERT INTO drift (run_id, system, subject, cause, healing) SELECT id, 'crm', %s, 'x', 'y' FROM one""",
        ("found_at",),
    ),
    "operator_action": (
        "INSERT INTO operator_action (actor, action, target) VALUES ('a', 'b', %s)",
        ("at",),
    ),
    "history": (
        "INSERT INTO history (entity_id, actor, what) SELECT id, 'a', %s FROM entity LIMIT 1",
        ("at",),
    ),
    "event": (
        """INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, state, outcome, finished_at)
           VALUES ('shop', %s, 'order.changed', 'order/9', 'orders', 'order', now(), 'done', 'ECHO', now())""",
        ("finished_at",),
    ),
    "entity": (
        """WITH kept AS (SELECT id FROM entity WHERE merged_into IS NULL LIMIT 1)
           INSERT INTO entity (id, kind, said, merged_into)
           SELECT gen_random_uuid(), 'order', jsonb_build_array(%s::text), id FROM kept""",
        ("updated_at",),
    ),
    "exchange_file": (
        """INSERT INTO exchange_file (system, session, type, name, profile, state)
           VALUES ('onec', 's', 'sale', %s, 'ut', 'done')""",
        ("created_at",),
    ),
}
"""For each table that is forgotten: a row that has ended, and what its age is told by."""


def test_each_of_them_has_a_row_here() -> None:
    assert ROWS.keys() == retention.FORGET.keys() | retention.FILES.keys()


@pytest.mark.parametrize("table", ROWS)
def test_what_is_past_its_keeping_goes_and_what_is_young_stays(middle: Middle, table: str) -> None:
    middle.take(order(1, comment="x"))
    before = count(middle, table)
    insert, columns = ROWS[table]
    made = {}
    for name in ("old", "young"):
        known = {row["whole"] for row in middle.rows(f"SELECT whole::text AS whole FROM {table} AS whole")}
        middle.rows(insert, name)
        made[name] = {row["whole"] for row in middle.rows(f"SELECT whole::text AS whole FROM {table} AS whole")} - known
        if name == "old":
            moved = ", ".join(f"{column} = {column} - {OLD}" for column in columns)
            middle.rows(f"UPDATE {table} AS whole SET {moved} WHERE whole::text = ANY(%s)", list(made[name]))
    assert forget(middle)[table] == 1
    left = {row["whole"] for row in middle.rows(f"SELECT whole::text AS whole FROM {table} AS whole")}
    assert made["young"] <= left
    assert len(left) == before + 1
    assert forget(middle)[table] == 0


def test_what_has_not_ended_is_never_forgotten(middle: Middle) -> None:
    middle.take(order(1, total=rub(10)), payment(5, order=to_order(7), amount=rub(1)), payment(6, amount=rub(1)))
    middle.wiring.publisher.publish(order(2))
    aged(middle, "event", "received_at", "occurred_at", "due_at", "finished_at")
    aged(middle, "dead_letter", "first_at", "last_at")
    aged(middle, "entity", "created_at", "updated_at")
    aged(middle, "record", "updated_at")
    done = forget(middle)
    assert sorted(row["state"] for row in middle.rows("SELECT state FROM event")) == [
        "dead", "notified", "pending", "waiting"
    ]  # fmt: skip
    assert (done["entity"], count(middle, "record"), len(middle.letters())) == (0, 1, 1)


def test_an_event_that_an_open_conflict_tells_of_is_kept_and_a_discarded_ones_goes_with_its_letter(
    middle: Middle,
) -> None:
    middle.take(order(1, comment="x"), payment(6, amount=rub(1)))
    entity = middle.entity("shop/order/1").id
    middle.rows(
        "INSERT INTO conflict (entity_id, field, options, policy, deadline) VALUES (%s, 'comment', '{}', 'x', now())",
        entity,
    )
    aged(middle, "event", "finished_at")
    forget(middle)
    assert {row["subject"] for row in middle.rows("SELECT subject FROM event")} == {"order/1", "payment/6"}
    middle.wiring.dead_letters.discard([middle.letters()[0]["id"]], "op", "test")
    aged(middle, "dead_letter", "ended_at")
    forget(middle)
    assert {row["subject"] for row in middle.rows("SELECT subject FROM event")} == {"order/1"}


def test_what_was_deleted_everywhere_goes_with_all_its_keys_and_what_lives_somewhere_stays(middle: Middle) -> None:
    middle.take(order(1, number="1001", comment="x"), order(2, comment="y"))
    middle.take(payment(5, order=to_order(1), amount=rub(1), status="paid"))
    middle.take(gone("shop", "order", "order/1"), gone("bank", "payment", "payment/5"))
    aged(middle, "entity", "updated_at")
    aged(middle, "record", "updated_at")
    assert forget(middle)["entity"] == 1, "something is due of the order, and nothing of the payment"
    middle.rows("UPDATE delivery SET state = 'idle'")
    assert forget(middle)["entity"] == 1
    assert [row["key"] for row in middle.rows("SELECT key FROM identity WHERE NOT starts_with(key, 'bus/')")] == [
        "shop/order/2"
    ]
    assert {row["system"] for row in middle.rows("SELECT system FROM delivery")} <= {"crm"}
    middle.take(order(1, at="2026-10-09T10:00:00Z", number="1001", comment="back"))
    assert middle.fields("shop/order/1")["comment"] == "back", "it came back: it is one of its own"


def test_an_answer_outlives_what_was_shown_to_whoever_gave_it(middle: Middle) -> None:
    middle.rows(
        """INSERT INTO question (asks, system, subject, about, candidates, deadline, state, decision, decided_at)
           VALUES ('counterparty', 'crm', 'party/1', '{"name": "x"}', '[{"name": "y"}]', now(), 'decided', 'new',
                   now() - interval '100 days')"""
    )
    forget(middle)
    row = middle.one("SELECT * FROM question")
    assert (row["decision"], row["about"], row["candidates"]) == ("new", {}, [])


def test_a_ledger_that_was_restored_keeps_that_word(middle: Middle) -> None:
    middle.rows("INSERT INTO run (what, started_at) VALUES ('restore', now() - interval '100 days')")
    assert forget(middle)["run"] == 0


def test_a_large_backlog_goes_in_portions(middle: Middle) -> None:
    middle.rows(
        """INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, state, outcome, finished_at)
           SELECT 'shop', n::text, 'order.changed', 'order/' || n, 'orders', 'order', now(), 'done', 'ECHO',
                  now() - interval '100 days' FROM generate_series(1, 12000) AS n"""
    )
    with middle.ledger.transaction() as connection:
        assert retention.FORGET["event"](connection, 90, retention.PORTION) == retention.PORTION
    assert forget(middle)["event"] == 12_000 - retention.PORTION


@pytest.mark.parametrize("table", retention.FORGET)
def test_no_portion_is_larger_than_asked_for(middle: Middle, table: str) -> None:
    middle.take(order(1, comment="x"))
    insert, columns = ROWS[table]
    for number in range(3):
        middle.rows(insert, f"old {number}")
    aged(middle, table, *columns)
    with middle.ledger.transaction() as connection:
        assert retention.FORGET[table](connection, 90, 2) == 2


def test_months_of_history_are_dropped_and_history_in_use_is_left_for_another_day(
    middle: Middle, database_url: str
) -> None:
    middle.rows(
        """CREATE TABLE history_2020_01 PARTITION OF history FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
           INSERT INTO history (at, entity_id, actor, what) VALUES ('2020-01-05', gen_random_uuid(), 'a', 'x')"""
    )
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM history")
        assert forget(middle)["history"] == 0
        assert count(middle, "history_2020_01") == 1
    assert forget(middle)["history"] == 1
    assert middle.rows("SELECT 1 FROM pg_class WHERE relname = 'history_2020_01'") == []


def test_who_identifies_an_entity_that_is_forgotten_at_this_moment_looks_again(middle: Middle) -> None:
    """Its row is locked for deletion while the path waits for it."""
    middle.take(order(1, comment="x"))
    middle.take(gone("shop", "order", "order/1"))
    middle.rows("UPDATE delivery SET state = 'idle'")
    aged(middle, "entity", "updated_at")
    aged(middle, "record", "updated_at")
    back = order(1, at="2026-10-09T10:00:00Z", comment="back")
    with middle.ledger.transaction() as connection:
        assert retention.FORGET["entity"](connection, 90, 10) == 1
        worker = Thread(target=middle.take, args=(back,))
        worker.start()
        eventually(lambda: middle.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
    worker.join(10)
    assert middle.outcome("order/1")[-1] == "APPLIED"
    assert middle.fields("shop/order/1")["comment"] == "back"
