"""Erasing while the bus is at work: files of exchanges, events on their way, calls that were sent, whom it concerns."""

import json
from collections.abc import Iterator
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from bus.erasing import Erasing
from bus.errors import BadInput, Transient
from bus.leased import MOST
from bus.ledger import deliveries, entities, erased, erasing, exchange, history, journal, records
from bus.ledger.history import Line
from bus.merge import Outcome
from bus.model import PERSONAL, flatten
from bus.ports import Entry
from tests.bus.exchanging import file_of, returned
from tests.bus.ledger.middle import Middle, built, config, eventually, order, payment, rub, said, to_order
from tests.bus.test_importing import House, house_of, packed

BUYER = {"name": "Иванова Мария", "phone": "+79123456780", "email": "maria@ivanova.example", "inn": "500100732259"}
OTHER = {"name": "Сидоров Пётр", "phone": "+79035550101", "email": "petr@sidorov.example"}
WHOLE = {
    "number": "1001",
    "status": "new",
    "total": rub(100),
    "lines": [{"name": "Чайник", "quantity": 1, "price": 100}],
    "customer": BUYER | {"company": "ИП Иванова", "kpp": "1"},
    "delivery": {"method": "post", "address": "Пермь, Сиреневая 17"},
    "comment": "Позвоните Марии",
    "settled": True,
    "records": [{"system": "crm", "type": "deal", "id": "7"}],
}


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    full = {"in": "full", "out": "full"}
    routes = {key: {"in": "full"} for key in ("order", "payment", "counterparty")}
    with built(
        database_url, config(crm={"routes": {"order": full, "counterparty": full}}, onec={"routes": routes})
    ) as made:
        yield made


@pytest.fixture
def house(module_url: str) -> Iterator[House]:
    yield from house_of(module_url)


def texts(middle: Middle, *tables: str) -> str:
    """All that these tables hold."""
    return "\n".join(
        row["text"] for table in tables for row in middle.rows(f"SELECT whole::text AS text FROM {table} AS whole")
    )


def erase(middle: Middle, counterparty: str | None, *orders: str) -> None:
    middle.wiring.erasing.carry_out(middle.wiring.erasing.plan(counterparty, orders), "anna")


def party(number: int = 1, source: str = "onec", at: str = "2026-10-05T10:00:00Z", **fields: Any) -> Any:
    return said(source, "counterparty", f"counterparty/{number}", at, None, fields)


MARIA = {"name": "Иванова Мария", "inn": BUYER["inn"], "phones": [BUYER["phone"]], "emails": [BUYER["email"]]}


def test_of_an_orders_event_everything_personal_goes_and_nothing_else(middle: Middle) -> None:
    with middle.ledger.transaction() as connection:
        query = f"SELECT {erased.without_person('kind', 'data')} AS data FROM (VALUES ('order', %s)) AS x(kind, data)"
        row = connection.execute(query, [Jsonb(WHOLE)]).fetchone()
    assert row is not None
    before, after = flatten("order", WHOLE), flatten("order", row["data"])
    assert before.keys() >= PERSONAL["order"]
    assert after == {name: value for name, value in before.items() if name not in PERSONAL["order"]}


# --- whom it concerns ------------------------------------------------------------------------------------------------


def test_orders_are_the_persons_by_inn_or_contact_unless_they_bear_another_name_or_inn(middle: Middle) -> None:
    middle.take(party(**MARIA))
    middle.take(
        order(1, number="1", customer={"inn": BUYER["inn"]}),
        order(2, number="2", customer={"phone": BUYER["phone"], "name": "Мария И."}),
        order(3, number="3", customer={"email": "Maria@ivanova.example"}),
        order(4, number="4", customer={"phone": BUYER["phone"], "name": "Пётр"}),
        order(5, number="5", customer={"phone": BUYER["phone"], "inn": "7707083893"}),
        order(6, number="6", customer=OTHER),
    )
    plan = middle.wiring.erasing.plan(BUYER["inn"])
    assert sorted((one.number, one.why) for one in plan.orders) == [
        ("1", "the same INN"), ("2", "the same phone"), ("3", "the same e-mail")
    ]  # fmt: skip
    assert [(one.number, one.why) for one in plan.possible] == [("4", "the same phone, another name")]


def test_who_may_be_the_same_person_is_told_and_left_alone(middle: Middle) -> None:
    middle.take(party(**MARIA))
    middle.take(party(2, name="М. И.", phones=MARIA["phones"]))
    middle.take(said("bank", "payment", "payment/1", "2026-10-05T10:00:00Z", None, {"amount": rub(1)}))
    plan = middle.wiring.erasing.plan("onec/counterparty/1")
    assert [why for _, why in plan.alike] == ["the same phone"]
    erase(middle, "onec/counterparty/1")
    assert middle.fields("onec/counterparty/2", "counterparty")["name"] == "М. И."


@pytest.mark.parametrize(
    ("counterparty", "orders", "says"),
    [
        ("onec/counterparty/7", [], "no such counterparty"),
        ("shop/order/1", [], "no such counterparty"),
        (None, ["77"], "there is no order '77'"),
        (None, ["onec/counterparty/1"], "there is no order"),
        ("7707083893", [], "several counterparties have this INN"),
    ],
)
def test_what_names_nobody_or_several_is_refused(
    middle: Middle, counterparty: str | None, orders: list[str], says: str
) -> None:
    middle.take(order(1, number="1"), party(**MARIA))
    middle.take(party(3, inn="7707083893", kpp="773601001"), party(4, inn="7707083893", kpp="772801001"))
    with pytest.raises(BadInput, match=says):
        middle.wiring.erasing.plan(counterparty, orders)


# --- while the bus is at work ----------------------------------------------------------------------------------------


def test_what_was_published_before_and_is_merged_afterwards_brings_nothing_back(middle: Middle) -> None:
    middle.take(order(1, number="1", customer=BUYER), party(**MARIA))
    middle.wiring.publisher.publish(order(1, at="2026-10-06T10:00:00Z", customer=BUYER, comment="Мария", status="paid"))
    middle.wiring.publisher.publish(party(at="2026-10-06T10:00:00Z", **MARIA, address="Сиреневая 17"))
    erase(middle, BUYER["inn"])
    middle.wiring.publisher.publish(
        order(1, at="2026-10-07T10:00:00Z", customer=BUYER, delivery={"address": "Сиреневая"})
    )
    middle.wiring.publisher.publish(party(at="2026-10-07T10:00:00Z", **MARIA))
    for event in middle.bells.published:  # a message carries what was known when it was sent
        assert event.time.day < 7 or "customer" not in (event.data or {})
    middle.heard()
    assert middle.fields("shop/order/1")["status"] == "paid"
    everything = texts(middle, "event", "entity", "record", "history", "identity", "trait")
    assert not any(trace in everything for trace in ("Мария", "Сиренев", "9123456780", BUYER["inn"]))
    assert middle.outcome("counterparty/1")[1:] == ["OVERRULED", "OVERRULED"]


def test_whoever_began_to_journal_before_it_is_waited_for(middle: Middle) -> None:
    middle.take(order(1, number="1", customer=BUYER))
    with middle.ledger.transaction() as connection:
        late = order(1, at="2026-10-06T10:00:00Z", customer=BUYER, comment="Мария")
        journal.record(connection, [Entry(late, raw={"tel": "8 912 345-67-80"})])
        worker = Thread(target=erase, args=(middle, None, "1"))
        worker.start()
        eventually(lambda: middle.rows("SELECT 1 FROM erased"))
        eventually(lambda: middle.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
    worker.join(20)
    assert "345-67-80" not in texts(middle, "event")
    middle.take(late)
    assert "Мария" not in texts(middle, "event", "entity", "history")


def test_a_record_that_nobody_knew_of_yet_and_names_an_erased_order_brings_nothing_either(middle: Middle) -> None:
    middle.take(order(1, number="1", total=rub(5), customer=BUYER))
    erase(middle, None, "1")
    named = {"records": [{"system": "shop", "type": "order", "id": "1"}], "customer": BUYER, "status": "accepted"}
    middle.take(said("crm", "deal", "deal/7", "2026-10-06T10:00:00Z", None, named))
    assert middle.fields("shop/order/1").keys() & PERSONAL["order"] == set()
    assert middle.fields("shop/order/1")["status"] == "accepted"
    middle.wiring.publisher.publish(said("crm", "deal", "deal/7", "2026-10-07T10:00:00Z", None, named))
    assert "9123456780" not in texts(middle, "event", "record", "history", "entity")


def test_an_order_that_becomes_one_with_an_erased_one_is_erased_too(middle: Middle) -> None:
    middle.take(order(1, number="1", total=rub(5), customer=BUYER))
    middle.take(said("crm", "deal", "deal/7", "2026-10-05T10:00:00Z", None, {"customer": BUYER, "comment": "Мария"}))
    erase(middle, None, "1")
    both = {"records": [{"system": "shop", "type": "order", "id": "1"}], "status": "accepted"}
    middle.take(said("crm", "deal", "deal/7", "2026-10-06T10:00:00Z", None, both))
    assert middle.one("SELECT count(*) AS n FROM entity WHERE merged_into IS NULL")["n"] == 1
    assert not any(one in texts(middle, "event", "record", "history", "entity") for one in ("9123456780", "Мария"))
    assert middle.fields("shop/order/1")["total"] == rub("5.00")


def test_an_answer_that_comes_in_afterwards_brings_nothing_back(middle: Middle) -> None:
    """A lane wrote the customer just before; its answer is committed when the person is erased."""
    middle.take(order(1, number="1", customer=BUYER))
    known = middle.entity("shop/order/1")
    record = known.primary("shop")
    assert record is not None
    assert record.id is not None
    erase(middle, None, "1")
    with middle.ledger.transaction() as connection:
        entities.hold(connection, [known.id])
        told = {"customer.phone": BUYER["phone"], "number": "1"}
        records.set_bases(connection, [records.Base(record.id, "1", told, 7)])
        history.write(connection, [Line(known.id, "bus", "written", field=name, new=new) for name, new in told.items()])
    assert BUYER["phone"] not in texts(middle, "record", "history")
    assert middle.rows("SELECT field, new FROM history WHERE what = 'written' ORDER BY field") == [
        {"field": "customer.phone", "new": None}, {"field": "number", "new": "1"}
    ]  # fmt: skip


def test_a_call_that_was_sent_is_waited_for_and_one_that_was_only_claimed_is_not_sent(middle: Middle) -> None:
    middle.take(order(1, number="1", customer=BUYER), party(**MARIA))
    held = uuid4()
    entity = middle.entity("onec/counterparty/1", "counterparty").id
    shop = middle.entity("shop/order/1").id
    with middle.ledger.transaction() as connection:
        deliveries.claim(connection, "crm", held, seconds=60, limit=10, urgent=False)
        assert deliveries.launch(connection, held, "crm", [entity], seconds=60)
    worker = Thread(target=erase, args=(middle, "onec/counterparty/1"))
    worker.start()
    eventually(lambda: middle.rows("SELECT 1 FROM erased"))
    with middle.ledger.transaction() as connection:
        assert not deliveries.launch(connection, held, "crm", [shop], seconds=60)
    worker.join(1)
    assert worker.is_alive()
    assert "Мария" in texts(middle, "entity")
    with middle.ledger.transaction() as connection:
        deliveries.release(connection, held, "crm", [entity])
    worker.join(20)
    assert "Мария" not in texts(middle, "entity", "event", "record", "history")


def test_calls_that_do_not_end_are_told_and_nothing_is_half_done(database_url: str) -> None:
    with built(database_url, config(limits={"lease_s": 1})) as middle:
        middle.take(order(1, number="1", customer=BUYER))
        with middle.ledger.transaction() as connection:
            lease = uuid4()
            deliveries.claim(connection, "crm", lease, seconds=600, limit=10, urgent=False)
            deliveries.launch(connection, lease, "crm", [middle.entity("shop/order/1").id], seconds=600)
        impatient = Erasing(middle.ledger, middle.wiring.file, middle.wiring.bells, margin_s=-MOST)
        with pytest.raises(Transient, match="do not end"):
            impatient.carry_out(impatient.plan(None, ["1"]), "anna")
        assert BUYER["phone"] in texts(middle, "entity")


def test_payments_of_an_erased_order_go_on_being_counted(middle: Middle) -> None:
    middle.take(order(1, number="1", total=rub(100), customer=BUYER))
    middle.take(payment(5, order=to_order(1), amount=rub(40), status="paid"))
    erase(middle, None, "1")
    middle.take(payment(6, order=to_order(1), amount=rub(60), status="paid"))
    assert middle.fields("shop/order/1")["payment_status"] == "paid"
    middle.take(payment(5, at="2026-10-06T10:00:00Z", order=to_order(1), amount=rub(40), status="refunded"))
    assert middle.fields("shop/order/1")["paid_total"] == rub("60.00")


# --- files of exchanges ----------------------------------------------------------------------------------------------

PERSON = "<Наименование>Иванова Мария</Наименование><ИНН>500100732259</ИНН>"


def of_maria(number: str) -> str:
    whole = returned(number, guid=f"1b6f6d4c-7a6e-11ef-93ac-{number:0>12}")
    begin, end = whole.index("<Наименование>Ромашка"), whole.index("<Роль>Покупатель")
    named = whole[:begin] + PERSON + whole[end:]
    return named.replace("5a6f6d4c-7a6e-11ef-93ac-00155d000001", "5a6f6d4c-7a6e-11ef-93ac-00155d00ffff")


def test_files_that_hold_the_person_lose_their_bodies_and_others_keep_them(house: House) -> None:
    hers = [
        house.send(file_of(of_maria("1001"))),
        house.send(file_of(of_maria("1002"), encoding="windows-1251")),
        house.send(packed(**{"orders.xml": file_of(of_maria("1003"))}), "orders.zip"),
    ]
    others = house.send(file_of(returned("1004")))
    house.imported()
    plan = house.wiring.erasing.plan("500100732259")
    assert plan.files == hers
    done = house.wiring.erasing.carry_out(plan, "anna")
    assert done.files == hers
    assert {row["file_id"] for row in house.rows("SELECT file_id FROM exchange_chunk")} == {others}
    assert house.file(hers[0])["error"] == "its body was dropped: it held a person who was erased"
    with house.ledger.transaction() as connection:
        assert not exchange.replay(connection, hers[0])
        assert exchange.replay(connection, others)


def test_a_later_file_is_read_and_its_body_is_not_kept(house: House) -> None:
    house.send(file_of(of_maria("1001")))
    house.imported()
    erase(house, "500100732259")
    later = house.send(file_of(of_maria("1001").replace("1200.00", "1300.00"), returned("1005")))
    house.imported()
    assert house.file(later)["state"] == "done"
    assert house.rows("SELECT 1 FROM exchange_chunk WHERE file_id = %s", later) == []
    found = house.rows("SELECT fields FROM entity WHERE kind = 'order' ORDER BY created_at")
    assert [row["fields"]["total"]["amount"] for row in found] == ["1300.00", "1200.00"]
    assert "Мария" not in texts(house, "event", "entity", "record", "history")


def test_a_file_that_is_still_to_be_imported_is_waited_for(house: House) -> None:
    house.send(file_of(of_maria("1001")))
    house.imported()
    waiting = house.send(file_of(of_maria("1001")))
    plan = house.wiring.erasing.plan("500100732259")
    assert plan.busy == [waiting]
    with pytest.raises(BadInput, match=f"{waiting} hold this person"):
        house.wiring.erasing.carry_out(plan, "anna")
    assert house.rows("SELECT 1 FROM erased") == []


def test_a_document_that_cannot_be_read_and_names_the_person_loses_its_raw_record(house: House) -> None:
    house.send(file_of(of_maria("1001"), of_maria("1002").replace("1200.00", "much")))
    house.imported()
    assert "Мария" in texts(house, "event")
    erase(house, "500100732259")
    assert "Мария" not in texts(house, "event")
    assert [row["state"] for row in house.rows("SELECT state FROM dead_letter")] == ["discarded"]


def test_an_unreadable_document_of_an_erased_record_leaves_no_letter_that_could_be_sent_again(house: House) -> None:
    house.send(file_of(of_maria("1001")))
    house.imported()
    erase(house, "500100732259")
    house.send(file_of(of_maria("1001").replace("1200.00", "much")))
    house.imported()
    assert house.letters() == []
    told = house.one("SELECT id, state, reason, ended_at IS NOT NULL AS ended FROM dead_letter")
    assert (told["state"], told["reason"], told["ended"]) == ("discarded", erased.WHY, True)
    assert house.wiring.dead_letters.retry([told["id"]], "anna").sent == []
    assert house.rows("SELECT 1 FROM event WHERE state = 'dead' AND raw IS NOT NULL") == []


@pytest.mark.parametrize("channel", ["orders", "deals"])
def test_a_message_that_cannot_be_taken_brings_nothing_of_an_erased_person_back(middle: Middle, channel: str) -> None:
    middle.take(order(1, number="1", customer=BUYER))
    erase(middle, None, "1")
    event = order(1, at="2026-10-07T10:00:00Z", number="1", customer=BUYER)
    message = json.loads(event.model_dump_json(exclude_none=True))
    if channel == "orders":
        message["data"]["junk"] = 1
    assert middle.reception.take(channel, message) == {Outcome.DEAD: 1}
    assert "9123456780" not in texts(middle, "event", "dead_letter")
    (letter,) = middle.letters()
    assert letter["class"] == "Unreadable", "its producer is to know: of an order the rest is taken in still"


def test_a_held_letter_of_an_erased_order_is_answered_by_asking_the_system_again(middle: Middle) -> None:
    held = '[{"table": "deal_stage", "code": "X", "message": "deal_stage: X", "field": "status"}]'
    middle.take(order(1, number="1", customer=BUYER))
    middle.rows("UPDATE event SET state = 'dead', held = %s, raw = '{\"fio\": \"Мария\"}'", held)
    entity = middle.entity("shop/order/1").id
    middle.rows(
        """INSERT INTO dead_letter (event_seq, entity_id, system, class, cause, reason)
           SELECT seq, %s, 'shop', 'Permanent', 'deal_stage X', 'deal_stage: X' FROM event""",
        entity,
    )
    erase(middle, None, "1")
    letter = middle.letters()[0]["id"]
    middle.wiring.dead_letters.retry([letter], "anna")
    middle.heard()
    assert middle.letters() == []
    assert [row["type"] for row in middle.rows("SELECT type FROM event WHERE state = 'notified'")] == ["order.reread"]


def test_scrubbing_without_anything_to_look_for_touches_nobody_else(middle: Middle) -> None:
    middle.take(order(1, number="1", customer=OTHER), party(**MARIA))
    before = texts(middle, "entity", "record", "trait", "identity", "history")
    with middle.ledger.transaction() as connection:
        assert erasing.scrub(connection, erasing.family(connection, [], [])) == {}
    assert texts(middle, "entity", "record", "trait", "identity", "history") == before
