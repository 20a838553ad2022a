"""Plans: what is asked of the ledger all day long is answered by an index, however long the journal is."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest

from bus.assigning import Assigner, Received, told
from bus.ledger import deliveries, entities, exchange, journal, letters, questions, records, tombstones, traits
from bus.ledger.database import Connection, Ledger
from bus.ledger.questions import Question
from bus.ledger.tombstones import Tombstone
from bus.merge import Outcome
from bus.ports import Entry, Notification
from tests.bench.filled import Plans, fill, watch
from tests.bus.ledger.middle import Middle, built, config, deal, order, payment, rub, said, to_order

ORDERS = 20_000
LATER = "2026-12-05T11:00:00Z"
_WAITING = """
    UPDATE event SET state = 'pending', finished_at = NULL, due_at = now() - interval '1 hour' WHERE seq % 5 = 0;
    UPDATE event SET state = 'pending', priority = 0, due_at = now() - interval '1 hour' WHERE seq % 100 = 0;
    UPDATE event SET state = 'waiting', waits_for = 'shop/order/x' || seq, deadline = now() WHERE seq % 5 = 1;
    UPDATE event SET state = 'notified', kind = 'notification' WHERE seq % 5 = 2;
    UPDATE delivery SET state = 'due';
    INSERT INTO conflict (entity_id, field, options, policy, deadline, state)
      SELECT id, 'comment', '{}', 'Newest', now(), CASE WHEN random() < 0.1 THEN 'open' ELSE 'decided' END FROM entity;
    INSERT INTO dead_letter (event_seq, entity_id, system, class, cause, reason, state)
      SELECT seq, entity_id, 'shop', 'Permanent', 'why', 'no', CASE seq % 10 WHEN 3 THEN 'open' ELSE 'resolved' END
      FROM event WHERE state = 'done';
    INSERT INTO entity (id, kind, fields, said, revision)
      SELECT gen_random_uuid(), 'counterparty', jsonb_build_object('name', 'Firm ' || n), '[]', 1
      FROM generate_series(1, 5000) AS n;
    INSERT INTO record (entity_id, system, type, external_id, base, state)
      SELECT id, 'onec', 'counterparty', fields ->> 'name', fields, 'linked' FROM entity WHERE kind = 'counterparty';
    INSERT INTO identity (kind, key, entity_id)
      SELECT kind, 'onec/counterparty/' || (fields ->> 'name'), id FROM entity WHERE kind = 'counterparty';
    INSERT INTO trait (entity_id, trait)
      SELECT id, start || lower(fields ->> 'name')
      FROM entity, unnest(ARRAY['name:', 'phone:', 'email:', 'inn:']) AS start
      WHERE kind = 'counterparty';
    INSERT INTO question (asks, system, subject, entity_id, deadline, state, decision)
      SELECT 'counterparty', 'onec', 'counterparty/' || (fields ->> 'name'),
        CASE WHEN random() < 0.5 THEN id END, now() - interval '1 day', state,
        CASE state WHEN 'decided' THEN id::text END
      FROM entity, unnest(ARRAY['open', 'decided', 'moot']) AS state WHERE kind = 'counterparty';
    UPDATE event SET waits_for = 'match/onec/counterparty/Firm ' || seq WHERE seq % 20 = 1;
    INSERT INTO tombstone (record, at, noted_at)
      SELECT encode(sha256(('bank/payment/' || n)::bytea), 'hex'), now(), now() FROM generate_series(1, 20000) AS n;
    INSERT INTO exchange_file (system, session, type, name, profile, state)
      SELECT 'onec', n::text, 'sale', 'orders.xml', 'ut', CASE WHEN n < 5 THEN 'receiving' ELSE 'done' END
      FROM generate_series(1, 5000) AS n;
    ANALYZE"""


@pytest.fixture(scope="module")
def filled(postgres_server, _admin: psycopg.Connection, _migrated: str) -> Iterator[str]:
    """A ledger with a past, in which a fifth of the journal is pending, another waits, another is to be fetched."""
    _admin.execute(f"CREATE DATABASE filled TEMPLATE {_migrated} STRATEGY FILE_COPY")
    url = postgres_server.url.removesuffix("/postgres") + "/filled"
    fill(url, 1, ORDERS)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_WAITING)
    yield url
    _admin.execute("DROP DATABASE filled WITH (FORCE)")


@pytest.fixture
def middle(filled: str) -> Iterator[Middle]:
    with built(filled) as made:
        made.wiring.__dict__["ledger"] = Ledger(filled, size=1)
        yield made


@pytest.fixture
def plans(middle: Middle) -> Plans:
    return watch(middle.ledger)


def test_a_scan_is_seen(middle: Middle, plans: Plans) -> None:
    middle.rows("SELECT 1 FROM event WHERE actor = 'nobody'")
    assert [scan.partition(":")[0] for scan in plans.scans] == ["event"]
    assert plans.walks == set()
    middle.rows("SELECT actor FROM event WHERE state <> 'done' ORDER BY source, subject")
    assert [walk.partition(":")[0] for walk in plans.walks] == ["event_open"]


def test_plans_that_are_made_while_the_ledger_is_young_will_do_when_it_is_old(database_url: str) -> None:
    with built(database_url) as young:
        young.wiring.__dict__["ledger"] = Ledger(database_url, size=1)
        plans = watch(young.ledger)
        for batch in range(8):  # from the sixth time on a session keeps the plan
            told = [order(number, LATER, batch, comment=f"{batch}") for number in range(batch, batch + 5)]
            young.take(*told, payment(batch, LATER, order=to_order(batch + 9), amount=rub(1)))
            young.wiring.publisher.accept([], [Notification("crm", "deal", f"{batch}")])
        plans.all.clear()
        young.take(order(3, LATER, 9, comment="x"), payment(3, LATER, 9, order=to_order(12), status="paid"))
        young.take(order(33, LATER, comment="x"))
        young.wiring.publisher.accept([], [Notification("crm", "deal", "3")])
        assert len(plans.all) > 30
        assert plans.scans | plans.walks == set()


def test_the_path_of_events_reads_no_table_whole(middle: Middle, plans: Plans) -> None:
    middle.take(
        *[order(number, LATER, 2, comment="x", number=f"{number}") for number in (3, 4, 5, ORDERS + 1)],
        deal(3, LATER, 2, comment="y"),
        deal(ORDERS + 2, LATER, records=[to_order(ORDERS + 1)], comment="z"),
        payment(5, LATER, order=to_order(3), amount=rub(100), status="paid"),
        payment(6, LATER, order=to_order(ORDERS + 9), amount=rub(100), status="paid"),
    )
    middle.take(order(ORDERS + 9, LATER, number="late"))
    middle.reception.take("orders", [order(3, LATER, 2, comment="x", number="3").model_dump(mode="json")])
    assert len(plans.all) > 30
    assert plans.scans | plans.walks == set()


def test_recognising_counterparties_reads_no_table_whole(middle: Middle, plans: Plans) -> None:
    known = {"name": "Firm 8", "inn": "7707083893", "kpp": "773601001"}
    told = [
        said("onec", "counterparty", "counterparty/Firm 8", LATER, None, known),
        said("onec", "counterparty", "counterparty/new", LATER, None, {"name": "New", "phones": ["+79991234567"]}),
        said("crm", "counterparty", "party/company:1", LATER, None, {"name": "Firm 7"}),
    ]
    assert middle.take(*told)["WAITING"] == 1
    assert plans.scans | plans.walks == set()


def test_uniting_two_entities_reads_no_table_whole(middle: Middle, plans: Plans) -> None:
    middle.take(deal(ORDERS + 20, LATER, comment="by phone"))
    middle.take(order(ORDERS + 21, LATER, number="n21"))
    middle.take(deal(ORDERS + 20, "2026-12-05T12:00:00Z", records=[to_order(ORDERS + 21)]))
    assert middle.entity(f"crm/deal/{ORDERS + 20}").id == middle.entity(f"shop/order/{ORDERS + 21}").id
    assert plans.scans == set()


def _firm(connection: Connection) -> UUID:
    return entities.find(connection, "counterparty", ["onec/counterparty/Firm 3"])["onec/counterparty/Firm 3"]


def _money() -> Received:
    return Received(Decimal(100), "RUB", date(2026, 12, 5), inn="7707083893", purpose="Оплата по счету 1001")


def _question(number: int) -> Question:
    return Question("counterparty", "onec", f"counterparty/Firm {number}", [], {"name": "x"})


_STONE = Tombstone(datetime(2026, 12, 5, tzinfo=UTC), datetime(2026, 12, 5, tzinfo=UTC))

ASKED: dict[str, Callable[[Connection], object]] = {
    "sweep": lambda connection: journal.unpublished(connection, older_s=15, limit=100),
    "wake": lambda connection: journal.wake(connection, ["shop/order/x1", "shop/order/x6"]),
    "wake known": lambda connection: journal.wake_known(connection, 100),
    "deadlines": journal.overdue,
    "record": lambda connection: journal.record(connection, [Entry(order(9, LATER, comment="r"))]),
    "notify": lambda connection: journal.notify(connection, [Notification("crm", "deal", f"{at}") for at in range(9)]),
    "moving": lambda connection: journal.moving(connection, "shop", [f"order/{at}" for at in range(50)]),
    "waiting": lambda connection: journal.waiting(connection, "shop", [f"order/{at}" for at in range(50)]),
    "settled": lambda connection: journal.settled(connection, [order(at, LATER) for at in range(50)]),
    "claim notified": lambda connection: journal.claim_notified(
        connection, "shop", uuid4(), seconds=60, limit=50, urgent=False
    ),
    "close notified": lambda connection: journal.close_notified(connection, uuid4(), {3: Outcome.APPLIED}),
    "claim": lambda connection: deliveries.claim(connection, "crm", uuid4(), seconds=60, limit=50, urgent=False),
    "wake answered": lambda connection: journal.wake(connection, [questions.key("onec", "counterparty/Firm 7")]),
    "merging": lambda connection: journal.merging(connection, "onec"),
    "payments of orders": lambda connection: entities.payments_of(connection, [uuid4() for _ in range(50)]),
    "sharing": lambda connection: traits.sharing(connection, [f"name:firm {at}" for at in range(200)]),
    "parties": lambda connection: traits.parties(connection, {uuid4() for _ in range(200)}),
    "set traits": lambda connection: traits.put(connection, {_firm(connection): ["name:x", "phone:y"]}),
    "ask": lambda connection: questions.ask(connection, [_question(at) for at in range(50)], seconds=60),
    "answers": lambda connection: questions.answers(
        connection, {("onec", f"counterparty/Firm {at}") for at in range(99)}
    ),
    "moot": lambda connection: questions.moot(connection, {("onec", f"counterparty/Firm {at}") for at in range(99)}),
    "moot records": lambda connection: questions.moot(connection, (), {("onec", uuid4()) for _ in range(99)}),
    "follow": lambda connection: deliveries.follow(connection, [(uuid4(), "crm") for _ in range(50)]),
    "hasten": lambda connection: deliveries.hasten(connection, [(uuid4(), "crm") for _ in range(50)]),
    "expire": questions.expire,
    "move answers": lambda connection: questions.move(connection, uuid4(), _firm(connection)),
    "assign": lambda connection: Assigner(connection, config(), [_money()]),
    "assigned": lambda connection: told(connection, [payment(at, LATER, amount=rub(1)) for at in range(50)]),
    "deleted": lambda connection: tombstones.of(connection, [("bank", f"payment/{at}") for at in range(50)]),
    "deletions": lambda connection: tombstones.coming(connection, [("bank", f"payment/{at}") for at in range(50)]),
    "bury": lambda connection: tombstones.put(connection, {("bank", f"payment/{at}"): _STONE for at in range(50)}),
    "letter of a look": lambda connection: letters.of_look(connection, "shop", "order/7", "no"),
    "discarded letter of a look": lambda connection: letters.waived(connection, "shop", "order/7", "no"),
    "unfinished files": lambda connection: exchange.unfinished(connection, "onec"),
    "page": lambda connection: entities.page(connection, uuid4()),
    "bases": lambda connection: records.bases(connection, "crm", "deal", [f"{at}" for at in range(50)]),
    "inns": lambda connection: records.inns(connection, "onec", "counterparty", [f"Firm {at}" for at in range(50)]),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_is_asked_all_day_long_reads_no_table_whole(middle: Middle, plans: Plans, what: str) -> None:
    with middle.ledger.transaction() as connection:
        ASKED[what](connection)
        connection.rollback()
    assert plans.all
    assert plans.scans == set()


def test_what_prometheus_asks_reads_no_table_whole(middle: Middle, plans: Plans) -> None:
    told = {metric.name: metric.samples for metric in middle.wiring.gauges.collect()}
    ledgers = ("lanes", "events", "people", "runs", "exchange")
    assert {sample.labels["part"]: sample.value for sample in told["bus_gauges_failed"]}.items() >= {
        (part, 0) for part in ledgers
    }
    assert all(sample.value > 1000 for sample in told["bus_events"]), "there is something to be counted"
    assert len(plans.all) > len(ledgers)
    assert plans.scans == set()


def test_the_sweep_names_payments_first_and_no_more_than_it_is_allowed(middle: Middle) -> None:
    with middle.ledger.transaction() as connection:
        found = connection.execute("SELECT id FROM event WHERE priority = 0 AND state = 'pending'").fetchall()
        urgent = {row["id"] for row in found}
        named = [event.id for event in journal.unpublished(connection, older_s=15, limit=len(urgent) + 10)]
        connection.rollback()
    assert len(named) == len(urgent) + 10
    assert urgent < set(named)
