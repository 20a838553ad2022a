"""What a 1C fetches: offered until it says that it has it, agreed on then, and nothing twice."""

from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Barrier, Thread
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import pytest
from pydantic import SecretStr

from bus.config import Settings, from_document
from bus.ledger import entities, exchange, offers, records, restored
from bus.ledger.exchange import Place
from bus.offering import Offering
from tests.bus.exchanging import Bells, Bus, document, file_of, returned
from tests.bus.ledger.middle import deal, eventually, gone, order, payment, rub, said, to_order
from workers.bootstrap import Wiring

LINES = [{"product": "f06588ab-7924-11df-b33a-0011955cba6b", "name": "Чайник", "quantity": "1", "price": "1200.00"}]


class House(Bus):
    """The middle of a bus that a 1C of one profile asks."""

    profile: Any = "ut"

    @property
    def offering(self) -> Offering:
        return self.wiring.offering

    def offer(self, lease: UUID, profile: Any = None) -> list[str]:
        """Numbers of the orders of an answer."""
        xml = self.offering.offer("onec", profile or self.profile, lease).xml
        return [str(one.findtext("Номер")) for one in orders(xml)]

    def success(self, lease: UUID, profile: Any = None) -> int:
        return self.offering.acknowledge("onec", profile or self.profile, lease)

    def fetched(self, profile: Any = None) -> list[str]:
        """A whole turn."""
        lease = uuid4()
        numbers = self.offer(lease, profile)
        self.success(lease, profile)
        return numbers

    def delivery(self, key: str, kind: str = "order") -> dict[str, Any]:
        entity = self.entity(key, kind).id
        return self.one("SELECT * FROM delivery WHERE entity_id = %s AND system = 'onec'", entity)

    def record(self, key: str, kind: str = "order") -> dict[str, Any]:
        entity = self.entity(key, kind).id
        return self.one("SELECT * FROM record WHERE entity_id = %s AND system = 'onec'", entity)


def orders(xml: bytes) -> list[ET.Element]:
    found = ET.fromstring(xml).iter("Документ")
    return [one for one in found if one.findtext("ХозОперация") == "Заказ товара"]


def made(url: str, profile: str, **changes: Any) -> Iterator[House]:
    settings = Settings(database_url=SecretStr(url), broker_url=SecretStr("redis://127.0.0.1:9/0"))
    changes["settings"] = {"profile": profile} | changes.get("settings", {})
    wiring = Wiring(settings, from_document(document(**changes), {}))
    house = House(wiring, Bells())
    house.profile = profile
    wiring.__dict__["bells"] = house.bells
    house.forget()
    yield house
    wiring.close()


@pytest.fixture
def ut(module_url: str) -> Iterator[House]:
    yield from made(module_url, "ut")


@pytest.fixture
def unf(module_url: str) -> Iterator[House]:
    yield from made(module_url, "unf")


def sold(number: str, at: str = "2026-10-05T10:00:00Z", **data: Any) -> Any:
    """An order of the shop that a 1C can be told."""
    plain = {"number": number, "total": rub("1200.00"), "lines": LINES, "status": "new", "comment": "с утра"}
    return order(number, at, **plain | data)


def paid(number: int, of: str, at: str = "2026-10-05T11:00:00Z") -> Any:
    return payment(number, at, source="shop", order=to_order(of), amount=rub("1200.00"), status="paid", paid_at=at)


# --- offered, agreed -------------------------------------------------------------------------------------------------


def test_an_order_is_offered_agreed_on_and_not_offered_again(ut: House) -> None:
    ut.take(sold("1001"))
    lease = uuid4()
    assert ut.offer(lease) == ["1001"]
    assert (ut.record("shop/order/1001")["state"], ut.delivery("shop/order/1001")["state"]) == ("creating", "due")
    assert ut.success(lease) == 1
    record = ut.record("shop/order/1001")
    assert (record["state"], record["external_id"], record["promised"]) == ("linked", "1001", {})
    assert record["base"]["comment"] == "с утра"
    assert ut.delivery("shop/order/1001")["state"] == "idle"
    assert ut.fetched() == []


def test_the_history_says_what_was_told_and_by_which_call(ut: House) -> None:
    ut.take(sold("1001"))
    ut.fetched()
    told = ut.rows("SELECT field, new, what, call FROM history WHERE system = 'onec' ORDER BY field")
    assert {(line["what"], line["call"]) for line in told} == {("created", "query")}
    assert {"field": "comment", "new": "с утра", "what": "created", "call": "query"} in told


def test_without_success_the_same_orders_are_offered_again_under_the_same_numbers(ut: House) -> None:
    ut.take(sold("1001"), sold("1002"))
    assert sorted(ut.offer(uuid4())) == ["1001", "1002"]
    assert sorted(ut.offer(lease := uuid4())) == ["1001", "1002"]
    assert ut.success(lease) == 2
    assert len(ut.rows("SELECT 1 FROM record WHERE system = 'onec'")) == 2
    assert ut.fetched() == []


def test_a_success_whose_offer_was_taken_back_agrees_on_nothing(ut: House) -> None:
    ut.take(sold("1001"))
    ut.offer(early := uuid4())
    ut.offer(late := uuid4())
    assert ut.success(early) == 0
    assert ut.record("shop/order/1001")["state"] == "creating"
    assert ut.success(late) == 1


def test_success_twice_is_success_once(ut: House) -> None:
    ut.take(sold("1001"))
    ut.offer(lease := uuid4())
    assert (ut.success(lease), ut.success(lease)) == (1, 0)


def test_what_changes_between_query_and_success_is_offered_next(unf: House) -> None:
    unf.take(sold("1001"))
    unf.offer(lease := uuid4())
    unf.take(sold("1001", "2026-10-05T10:05:00Z", comment="после обеда"))
    unf.success(lease)
    assert unf.record("shop/order/1001")["base"]["comment"] == "с утра"
    xml = unf.offering.offer("onec", "unf", lease := uuid4()).xml
    assert [one.findtext("Комментарий") for one in orders(xml)] == ["после обеда"]
    unf.success(lease)
    assert unf.fetched() == []


def test_an_offer_that_died_before_it_was_noted_is_offered_again(ut: House) -> None:
    ut.take(sold("1001"))
    with ut.ledger.transaction() as connection:
        assert len(offers.claim(connection, "onec", uuid4(), limit=50)) == 1
    assert ut.fetched() == ["1001"]


def test_of_two_that_ask_at_once_each_success_agrees_on_its_own(ut: House) -> None:
    ut.take(*[sold(str(1000 + n)) for n in range(20)])
    both, start = [uuid4(), uuid4()], Barrier(2)
    told: dict[UUID, list[str]] = {}

    def ask(lease: UUID) -> None:
        start.wait()
        told[lease] = ut.offer(lease)

    threads = [Thread(target=ask, args=[lease]) for lease in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(ut.success(lease) for lease in both) in (0, 20)
    ut.fetched()
    assert {row["state"] for row in ut.rows("SELECT state FROM record WHERE system = 'onec'")} == {"linked"}
    assert len(ut.rows("SELECT 1 FROM record WHERE system = 'onec'")) == 20


def test_no_more_are_offered_at_once_than_the_settings_say(module_url: str) -> None:
    for house in made(module_url, "ut", settings={"batch": "2"}):
        house.take(*[sold(str(1000 + n)) for n in range(5)])
        assert [len(house.fetched()) for _ in range(4)] == [2, 2, 1, 0]


# --- 1C speaks before its success ------------------------------------------------------------------------------------


def imported(house: House, *documents: str) -> None:
    """1C sends a file."""
    with house.ledger.transaction() as connection:
        place = Place("onec", uuid4().hex, "sale", "orders.xml")
        file = exchange.append(connection, place, house.profile, None, file_of(*documents))
        exchange.await_import(connection, file.id)
    house.imported()


def test_an_order_that_comes_back_before_its_success_is_the_same_order(ut: House) -> None:
    ut.take(sold("1001"))
    ut.offer(uuid4())
    imported(ut, returned("1001"))
    assert len(ut.rows("SELECT 1 FROM entity WHERE kind = 'order'")) == 1
    assert ut.record("shop/order/1001")["state"] == "linked"
    assert ut.fetched() == ["1001"]
    assert ut.fetched() == []
    assert len(ut.rows("SELECT 1 FROM record WHERE system = 'onec' AND type = 'order'")) == 1


def test_what_comes_back_as_it_was_told_changes_nothing(unf: House) -> None:
    unf.take(sold("1001"))
    unf.fetched()
    before = unf.fields("shop/order/1001")
    imported(unf, returned("1001", Оплачен="false"))
    assert unf.fields("shop/order/1001") == before | {
        "settled": False,
        "customer.company": 'ООО "Ромашка"',
        "customer.inn": "7707083893",
        "customer.kpp": "773601001",
    }
    assert "onec" not in unf.due()


def test_an_order_without_a_number_keeps_the_one_it_was_first_offered_under(ut: House) -> None:
    ut.take(deal(7, total=rub("1200.00"), lines=LINES, status="new"))
    assert ut.offer(uuid4()) == ["C7"]
    ut.take(deal(7, "2026-10-05T10:05:00Z", number="5005"))
    assert ut.offer(uuid4()) == ["C7"]
    imported(ut, returned("C7"))
    assert len(ut.rows("SELECT 1 FROM entity WHERE kind = 'order'")) == 1


def test_a_change_that_ut_took_and_left_as_it_was_is_told_to_a_person(module_url: str) -> None:
    for house in made(module_url, "ut", settings={"updates": "yes"}):
        house.take(sold("1001"))
        house.fetched()
        house.take(sold("1001", "2026-10-05T10:05:00Z", comment="после обеда"))
        assert house.fetched() == ["1001"]
        as_it_was = returned("1001").replace("<Товары>", "<Комментарий>с утра</Комментарий><Товары>")
        imported(house, as_it_was)
        assert house.fields("shop/order/1001")["comment"] == "после обеда"
        assert house.fetched() == []
        (letter,) = house.letters()
        assert (letter["class"], letter["cause"]) == ("Dropped", "dropped comment")
        house.wiring.dead_letters.retry([letter["id"]], "anna")
        assert house.fetched() == ["1001"]
        imported(house, as_it_was)
        assert house.fetched() == []
        assert [letter["state"] for letter in house.letters()] == ["open"]
        anew = as_it_was.replace("с утра", "решено в 1С")
        imported(house, anew)
        assert house.fields("shop/order/1001")["comment"] == "решено в 1С"
        assert [letter["state"] for letter in house.rows("SELECT state FROM dead_letter")] == ["resolved"]


def test_nothing_is_offered_while_what_1c_sent_before_is_not_merged(unf: House) -> None:
    unf.take(sold("1001"))
    unf.fetched()
    unf.take(sold("1001", "2026-10-05T10:05:00Z", comment="после обеда"))
    with unf.ledger.transaction() as connection:
        exchange.append(connection, Place("onec", "a", "sale", "orders.xml"), "unf", None, file_of(as_before()))
    assert not unf.offering.waiting("onec")
    assert unf.fetched() == []
    assert unf.fetched() == []
    unf.wiring.importing.run()
    assert unf.fetched() == [], "it is imported, and not merged"
    unf.heard()
    assert unf.fields("shop/order/1001")["comment"] == "после обеда"
    assert unf.fetched() == ["1001"]


def test_nothing_waits_to_be_fetched_while_a_restored_ledger_is_held(unf: House) -> None:
    """1C, told that something waits, asks for it, is given nothing and asks again, without a pause."""
    unf.take(sold("1001"))
    with unf.ledger.transaction() as connection:
        restored.mark(connection, datetime.now(UTC))
    assert (unf.offering.waiting("onec"), unf.fetched()) == (False, [])
    with unf.ledger.transaction() as connection:
        restored.heal(connection)
    assert (unf.offering.waiting("onec"), unf.fetched()) == (True, ["1001"])


def test_a_success_after_nothing_was_offered_agrees_on_nothing_of_before(unf: House) -> None:
    lease = uuid4()
    unf.take(sold("1001"))
    assert unf.offer(lease) == ["1001"]
    with unf.ledger.transaction() as connection:
        exchange.append(connection, Place("onec", "a", "sale", "orders.xml"), "unf", None, file_of(returned("1002")))
    assert unf.offer(lease) == []
    assert unf.success(lease) == 0
    assert unf.delivery("shop/order/1001")["state"] == "due"


def as_before() -> str:
    """The order as it was told first."""
    return returned("1001", Оплачен="false").replace("<Товары>", "<Комментарий>с утра</Комментарий><Товары>")


# --- what cannot be told ---------------------------------------------------------------------------------------------


def test_a_number_that_ut_would_cut_becomes_a_dead_letter_and_holds_nothing_up(ut: House) -> None:
    ut.take(sold("1001"), sold("2026-SHOP-000017"))
    assert ut.fetched() == ["1001"]
    (letter,) = ut.letters()
    assert "number" in letter["reason"]
    assert "11" in letter["reason"]
    assert ut.fetched() == []


def test_an_order_without_a_sum_is_told_once_it_has_one(unf: House) -> None:
    unf.take(sold("1001", total=None))
    assert unf.fetched() == []
    (letter,) = unf.letters()
    assert letter["reason"].startswith("total")
    unf.take(sold("1001", "2026-10-05T10:05:00Z"))
    unf.wiring.dead_letters.retry([letter["id"]], "anna")
    assert unf.fetched() == ["1001"]
    assert [letter["state"] for letter in unf.rows("SELECT state FROM dead_letter")] == ["resolved"]


def test_a_second_order_of_one_number_becomes_a_dead_letter(unf: House) -> None:
    unf.take(sold("C7"), deal(7, total=rub("1.00"), lines=LINES, status="new"))
    assert unf.fetched() == ["C7"]
    (letter,) = unf.letters()
    assert letter["cause"] == "order number taken"
    assert "C7" in letter["reason"]


def test_an_order_that_was_deleted_in_1c_is_not_made_again(unf: House) -> None:
    unf.take(sold("1001"))
    unf.fetched()
    unf.take(gone("onec", "order", "order/1001"))
    unf.take(sold("1001", "2026-10-05T10:05:00Z", comment="после обеда"))
    assert unf.fetched() == []


def test_what_a_person_is_to_decide_stays_what_it_is_in_1c(unf: House) -> None:
    unf.take(sold("1001"))
    unf.fetched()
    entity = unf.entity("shop/order/1001").id
    unf.rows(
        """INSERT INTO conflict (entity_id, field, options, policy, deadline)
           VALUES (%s, 'comment', '{}', 'Manual', now() + interval '1 day')""",
        entity,
    )
    unf.rows("""UPDATE entity SET fields = fields || '{"comment": "спорно"}' WHERE id = %s""", entity)
    unf.take(sold("1001", "2026-10-05T10:05:00Z", status="accepted"))
    xml = unf.offering.offer("onec", "unf", uuid4()).xml
    assert [one.findtext("Комментарий") for one in orders(xml)] == ["с утра"]


def test_an_order_that_is_told_over_and_over_is_parked(unf: House) -> None:
    unf.take(sold("1001"))
    unf.fetched()
    unf.rows("UPDATE delivery SET writes = 20, writes_since = now()")
    unf.take(sold("1001", "2026-10-05T10:05:00Z", comment="опять"))
    assert unf.fetched() == []
    assert unf.delivery("shop/order/1001")["state"] == "parked"
    assert [letter["cause"] for letter in unf.letters()] == ["loop"]


# --- payments and counterparties -------------------------------------------------------------------------------------


def test_a_payment_is_told_with_its_order_where_1c_takes_payments(unf: House) -> None:
    unf.take(sold("1001"), paid(5, "1001"))
    xml = unf.offering.offer("onec", "unf", lease := uuid4()).xml
    (one,) = orders(xml)
    inside = one.find("ПодчиненныеДокументы/ПодчиненныйДокумент")
    assert inside is not None
    assert inside.findtext("Сумма") == "1200.00"
    assert unf.success(lease) == 2
    entity = unf.entity("shop/payment/5", "payment").id
    assert unf.record("shop/payment/5", "payment")["external_id"] == f"bus-{entity}" == inside.findtext("Ид")
    assert unf.fetched() == []


def test_a_payment_that_comes_later_brings_its_order_along(unf: House) -> None:
    unf.take(sold("1001"))
    unf.fetched()
    unf.take(paid(5, "1001"))
    assert unf.fetched() == ["1001"]
    assert unf.delivery("shop/payment/5", "payment")["state"] == "idle"
    unf.take(sold("1001", "2026-10-05T12:00:00Z", comment="после обеда"))
    xml = unf.offering.offer("onec", "unf", uuid4()).xml
    assert len(list(orders(xml)[0].iter("ПодчиненныйДокумент"))) == 1  # a document is whole


def test_a_payment_that_is_only_expected_is_told_when_it_is_paid(unf: House) -> None:
    unf.take(sold("1001"))
    unf.fetched()
    unf.take(
        payment(5, "2026-10-05T10:30:00Z", source="shop", order=to_order("1001"), amount=rub(1200), status="pending")
    )
    assert unf.fetched() == []
    assert unf.rows("SELECT 1 FROM record WHERE system = 'onec' AND type = 'payment'") == []
    unf.take(paid(5, "1001"))
    assert unf.fetched() == ["1001"]
    assert unf.record("shop/payment/5", "payment")["base"]["status"] == "paid"


def test_ut_is_given_no_payment_and_none_waits_for_it(ut: House) -> None:
    ut.take(sold("1001"), paid(5, "1001"))
    xml = ut.offering.offer("onec", "ut", lease := uuid4()).xml
    assert "ПодчиненныйДокумент".encode() not in xml
    assert len(list(ET.fromstring(xml).iter("Документ"))) == 1
    ut.success(lease)
    assert "onec" not in ut.due()


def test_a_payment_waits_for_an_order_that_cannot_be_told(unf: House) -> None:
    unf.take(sold("1001", lines=[]), paid(5, "1001"))
    assert unf.fetched() == []
    assert len(unf.letters()) == 1
    assert unf.delivery("shop/payment/5", "payment")["state"] == "due"
    assert unf.fetched() == []


def test_a_payment_that_1c_has_is_not_told_back(unf: House) -> None:
    unf.take(sold("1001"))
    unf.fetched()
    unf.take(
        said(
            "onec",
            "payment",
            "payment/0b6f6d4c-7a6e-11ef-93ac-00155d000009:1001",
            "2026-10-06T10:00:00Z",
            None,
            {"order": to_order("1001", "onec"), "amount": rub("100.00"), "status": "paid"},
        )
    )
    xml = unf.offering.offer("onec", "unf", uuid4()).xml
    assert "ПодчиненныйДокумент".encode() not in xml


@pytest.mark.parametrize("taken", [True, False])
def test_of_two_of_one_sum_that_1c_tells_of_one_is_what_it_was_given(unf: House, *, taken: bool) -> None:
    unf.take(sold("1001", total=rub("2400.00")), paid(5, "1001"))
    unf.offer(lease := uuid4())
    if taken:
        unf.success(lease)
    told = {"order": to_order("1001", "onec"), "amount": rub("1200.00"), "status": "paid"}
    for key in ("0b6f6d4c-7a6e-11ef-93ac-00155d000008", "0b6f6d4c-7a6e-11ef-93ac-00155d000009"):
        for at in ("2026-10-06T10:00:00Z", "2026-10-06T11:00:00Z"):
            unf.take(said("onec", "payment", f"payment/{key}:1001", at, None, told))
    assert len(unf.rows("SELECT 1 FROM entity WHERE kind = 'payment'")) == 2
    assert unf.fields("shop/order/1001")["paid_total"] == rub("2400.00")
    again = ET.fromstring(unf.offering.offer("onec", "unf", uuid4()).xml)
    name = f"bus-{unf.entity('shop/payment/5', 'payment').id}"
    assert [one.findtext("Ид") for one in again.iter("ПодчиненныйДокумент")] == [name]


def test_what_1c_tells_of_while_it_is_being_offered_is_looked_at_anew(unf: House) -> None:
    """Offered as planned it would be there twice."""
    unf.take(sold("1001"), paid(5, "1001"))
    known, told = unf.entity("shop/payment/5", "payment").id, []
    asks = Thread(target=lambda: told.append(unf.offer(uuid4())))
    with unf.ledger.transaction() as connection:
        entities.hold(connection, [known])
        asks.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        eventually(lambda: not asks.is_alive() or unf.rows(waits))
        records.linked_row(connection, known, "onec", "payment", "0b6f6d4c:1001")
    asks.join(10)
    assert told == [[]]
    assert unf.rows("SELECT 1 FROM record WHERE system = 'onec' AND (state = 'creating' OR promised <> '{}')") == []
    assert unf.fetched() == ["1001"]
    assert unf.record("shop/payment/5", "payment")["external_id"] == "0b6f6d4c:1001"


# --- two that turn out to be one -------------------------------------------------------------------------------------


@pytest.mark.parametrize("offered_first", [True, False])
def test_an_order_united_with_another_keeps_the_number_it_was_offered_under(ut: House, *, offered_first: bool) -> None:
    born_in_crm = deal(7, total=rub("1200.00"), lines=LINES, status="new")
    sold_without_goods = sold("1001", lines=[])
    ut.take(born_in_crm if offered_first else sold_without_goods)
    ut.take(sold_without_goods if offered_first else born_in_crm)
    lease = uuid4()
    assert ut.offer(lease) == ["C7"]
    ut.take(deal(7, "2026-10-05T10:05:00Z", records=[to_order("1001")]))
    ut.take(sold("1001", "2026-10-05T10:06:00Z"))
    ut.success(lease)
    ut.fetched()
    assert len(ut.rows("SELECT 1 FROM entity WHERE kind = 'order' AND merged_into IS NULL")) == 1
    record = ut.record("shop/order/1001")
    assert (record["state"], record["external_id"]) == ("linked", "C7")
    assert ut.fetched() == []


def test_two_orders_that_1c_has_are_not_made_one(ut: House) -> None:
    ut.take(sold("1001"), deal(7, total=rub("1200.00"), lines=LINES, status="new"))
    assert sorted(ut.fetched()) == ["1001", "C7"]
    ut.take(deal(7, "2026-10-05T10:05:00Z", records=[to_order("1001")]))
    assert [letter["cause"] for letter in ut.letters()] == ["two orders tied together"]
