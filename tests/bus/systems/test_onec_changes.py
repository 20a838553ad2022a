"""What changed in a base, by versions or by an exchange plan: handed over at least once, acknowledged after that."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from pydantic import SecretStr

from bus.config import System
from bus.errors import ConfigError, Permanent
from bus.sandbox.onec import Base
from bus.sandbox.onec.predefined import READER
from bus.systems.connect import Urgent, connect
from bus.systems.onec_changes import registered
from bus.systems.onec_memory import Memory

EPOCH = datetime.fromtimestamp(0, UTC)
RECENTLY = datetime.now(UTC) - timedelta(minutes=5)
PLAN = "ExchangePlan_ДляODATA"
REAL = Path(__file__).parents[4] / "shared" / "data"

Made = Callable[..., Urgent]


@pytest.fixture
def redis() -> fakeredis.FakeRedis:
    return fakeredis.FakeRedis()


@pytest.fixture
def made(books_url: str, redis: fakeredis.FakeRedis, request: pytest.FixtureRequest) -> Made:
    def make(routes: dict[str, Any] | None = None, **settings: str) -> Urgent:
        said = {"kind": "onec", "url": SecretStr(books_url), "user": "bus", "password": SecretStr("secret")}
        adapter = connect("there", System(**said, settings=settings, routes=routes or {}), redis)
        request.addfinalizer(adapter.close)
        return adapter

    return make


def party(books: Base, at: int = 0) -> str:
    return str(books.act({"do": "create_counterparty", "name": f"К{at}"})["id"])


def order(books: Base, counterparty: str, **more: Any) -> str:
    lines = [{"name": "Чайник", "price": 100, "quantity": 1}]
    return str(books.act({"do": "create_order", "counterparty": counterparty, "lines": lines, **more})["id"])


def told(adapter: Urgent, record_type: str, since: datetime = RECENTLY) -> list[str]:
    return [record.id for page in adapter.changed(record_type, since) for record in page if not record.rest]


def test_what_was_handed_over_is_not_told_again_until_it_changes(made: Made, books: Base) -> None:
    onec = made()
    one, other = party(books, 1), party(books, 2)
    assert sorted(told(onec, "counterparty")) == sorted([one, other])
    assert told(onec, "counterparty") == []
    books.act({"do": "edit_counterparty", "id": one, "name": "Новое"})
    assert told(onec, "counterparty") == [one]
    assert told(onec, "counterparty") == []


def test_a_page_that_was_not_taken_is_told_again(made: Made, books: Base) -> None:
    key = party(books)
    pages = made().changed("counterparty", RECENTLY)
    assert [record.id for record in next(pages)] == [key]
    pages.close()  # the run broke off: nobody came back for the next page
    assert told(made(), "counterparty") == [key]


def test_a_receipt_that_becomes_a_document_of_another_operation_is_found_gone_by_a_full_run(
    made: Made, books: Base
) -> None:
    receipts = [
        str(books.act({"do": "create_payment", "order": order(books, party(books, at)), "amount": 500})["id"])
        for at in range(2)
    ]
    onec = made()
    (other, *_) = sorted(told(onec, "payment"))
    receipt = other.partition(":")[0]
    assert receipt in receipts
    fields = {"ХозяйственнаяОперация": "ПрочееПоступление"}
    books.act({"do": "write", "set": "Document_ПоступлениеБезналичныхДенежныхСредств", "id": receipt, "fields": fields})

    def gone() -> list[str]:
        return [record.id for page in onec.changed("payment", EPOCH) for record in page if record.gone]

    assert other in gone()
    assert other not in gone(), "it is told once"
    assert onec.fetch("payment", [other], None) == {}


def test_a_quiet_base_is_looked_over_in_one_request_for_thousands_of_objects(made: Made, books: Base) -> None:
    for at in range(300):
        party(books, at)
    onec = made()
    assert len(told(onec, "counterparty")) == 300
    before = books.calls.summary()["requests"]
    assert told(onec, "counterparty") == []
    assert books.calls.summary()["requests"] - before == 1


def test_a_full_pass_tells_everything_whatever_is_remembered(made: Made, books: Base) -> None:
    onec = made()
    key = party(books)
    assert told(onec, "counterparty") == [key]
    assert told(onec, "counterparty", EPOCH) == [key]
    assert told(onec, "counterparty") == []


def test_documents_are_looked_for_in_a_window_of_dates_and_older_ones_by_a_full_pass(
    made: Made, books: Base, redis: fakeredis.FakeRedis
) -> None:
    day = datetime.now(UTC) - timedelta(days=40)
    known = party(books)
    old, new = order(books, known, date=day.strftime("%Y-%m-%dT12:00:00")), order(books, known)
    onec = made()
    assert told(onec, "order") == [new]
    assert sorted(told(onec, "order", EPOCH)) == sorted([old, new])
    assert told(made(window_days="60"), "order") == [old]
    assert [redis.hlen(key) for key in redis.keys("*:order")] == [2]
    told(onec, "order", EPOCH)
    assert [redis.hlen(key) for key in redis.keys("*:order")] == [1]  # what no window asks for is forgotten


def test_a_marked_object_is_told_once_as_gone_and_again_when_the_mark_is_lifted(made: Made, books: Base) -> None:
    onec = made()
    key = party(books)
    told(onec, "counterparty")
    books.act({"do": "delete_counterparty", "id": key})
    ((record,),) = onec.changed("counterparty", RECENTLY)
    assert (record.id, record.gone) == (key, True)
    assert told(onec, "counterparty") == []
    books.act({"do": "delete_counterparty", "id": key, "undo": True})
    assert told(onec, "counterparty") == [key]


def test_payments_are_told_of_receipts_and_refunds_of_customers_only(made: Made, books: Base) -> None:
    one = order(books, party(books))
    paid = books.act({"do": "create_payment", "order": one, "amount": 50})["id"]
    back = books.act({"do": "create_refund", "order": one, "amount": 20})["id"]
    loan = books.act({"do": "create_payment", "order": one, "amount": 70})["id"]
    fields = {"ХозяйственнаяОперация": "ПрочееПоступление"}
    books.act({"do": "write", "set": "Document_ПоступлениеБезналичныхДенежныхСредств", "id": loan, "fields": fields})
    assert sorted(told(made(), "payment")) == sorted([f"{paid}:{one}", f"{back}:{one}"])
    assert sorted(told(made(), "payment", EPOCH)) == sorted([f"{paid}:{one}", f"{back}:{one}"])


@pytest.mark.parametrize("since", [RECENTLY, EPOCH], ids=["news", "everything"])
def test_a_document_of_money_stands_for_all_that_it_was_before(made: Made, books: Base, since: datetime) -> None:
    one = order(books, party(books))
    paid = books.act({"do": "create_payment", "order": one, "amount": 50})["id"]
    pages = list(made().changed("payment", since))
    assert [(record.id, record.gone) for page in pages for record in page if record.rest] == [(f"{paid}:", True)]


def test_two_bases_do_not_share_what_is_remembered(redis: fakeredis.FakeRedis) -> None:
    one, other = (Memory(redis, "onec", f"http://{host}/odata") for host in ("prod", "copy"))
    one.handed("order", {"a": "1"})
    assert one.versions("order", ["a", "b"]) == {"a": "1"}
    assert other.versions("order", ["a"]) == {}


@pytest.mark.parametrize("said", ["0", "-3", "month"])
def test_a_window_that_is_no_number_of_days_is_named(made: Made, said: str) -> None:
    with pytest.raises(ConfigError, match="window_days"):
        made(window_days=said)


# --- an exchange plan ---


@pytest.fixture
def planned(made: Made, books: Base) -> Callable[..., Urgent]:
    books.settings({"plan": True})
    return lambda **more: made(exchange_plan="ДляODATA", node=READER, **more)


def received(books: Base) -> list[int]:
    return sorted(int(one["ReceivedNo"]) for one in books.state({"of": PLAN})[PLAN])


def test_a_message_is_acknowledged_after_every_type_of_it_was_handed_over(
    planned: Callable[..., Urgent], books: Base
) -> None:
    onec = planned()
    known = party(books)
    one = order(books, known)
    assert told(onec, "order") == [one]
    assert max(received(books)) == 0
    assert told(onec, "payment") == []
    assert told(onec, "counterparty") == [known]
    assert max(received(books)) == 1
    assert (told(onec, "order"), told(onec, "counterparty")) == ([], [])
    books.act({"do": "edit_counterparty", "id": known, "name": "Новое"})
    assert told(onec, "counterparty") == [known]
    assert max(received(books)) == 2


def test_types_whose_route_is_off_hold_no_message_back(planned: Callable[..., Urgent], books: Base) -> None:
    onec = planned(routes={"order": {"in": "full"}})
    one = order(books, party(books))
    assert told(onec, "order") == [one]
    assert max(received(books)) == 1


def test_a_message_whose_pages_were_not_taken_is_asked_for_again(planned: Callable[..., Urgent], books: Base) -> None:
    key = party(books)
    pages = planned().changed("counterparty", RECENTLY)
    next(pages)
    pages.close()
    assert max(received(books)) == 0
    assert told(planned(), "counterparty") == [key]


def test_a_plan_without_its_node_is_named(made: Made) -> None:
    with pytest.raises(ConfigError, match="exchange_plan and node go together"):
        told(made(exchange_plan="ДляODATA"), "order")


def test_what_is_no_feed_is_told() -> None:
    with pytest.raises(Permanent, match="the answer is no feed"):
        registered(b"<feed><entry>")


def test_an_entity_of_the_outside_is_not_fetched() -> None:
    feed = b'<!DOCTYPE f [<!ENTITY x SYSTEM "file:///etc/hostname">]><feed><entry><id>&x;</id></entry></feed>'
    assert registered(feed) == []


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not at hand")
@pytest.mark.parametrize(
    ("name", "set_", "count"),
    [
        ("odata_selectchanges_kontragenty.xml", "Catalog_Контрагенты", 5),
        ("odata_selectchanges_zakaz_klienta_2.xml", "Document_ЗаказКлиента", 1),
    ],
)
def test_a_real_feed_tells_its_objects_with_their_versions(name: str, set_: str, count: int) -> None:
    found = [one for one in registered((REAL / name).read_bytes()) if one.set == set_]
    assert len(found) == count
    assert all(one.version and one.version.endswith("=") for one in found)
