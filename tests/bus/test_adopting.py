"""Which payment one is that several tell of: over a real ledger, through the path."""

from collections.abc import Iterator
from threading import Thread
from uuid import UUID, uuid4

import pytest

from bus.errors import BadInput
from bus.ledger import entities, records
from bus.ledger.records import Creation
from tests.bus.ledger.middle import Middle, built, config, eventually, gone, order, payment, rub, said, to_order

LATE, LATER, LATEST = "2026-10-05T10:30:00Z", "2026-10-05T11:00:00Z", "2026-10-05T12:00:00Z"


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    base = {"kind": "onec", "url": "http://127.0.0.1:9/base/odata/standard.odata/", "user": "bus", "password": "secret"}
    file = config(onec=base | {"routes": {"payment": {"in": "full"}, "order": {"in": "full"}}}, bank={"kind": "bank"})
    with built(database_url, file) as made:
        yield made


def open_questions(middle: Middle) -> list:
    return middle.wiring.questions.listing()


def paid(record: str, source: str, **data: object):
    return payment(record, source=source, status="paid", **data)


def told_by(middle: Middle, of: str) -> set[str]:
    """Every record of the payment that this one is."""
    return {f"{one.system}/{one.external_id}" for one in middle.entity(of, "payment").records if one.external_id}


def total(middle: Middle) -> str:
    return middle.fields("shop/order/1")["paid_total"]["amount"]


def test_what_the_books_tell_of_money_that_the_shop_told_of_is_not_money_again(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)), paid("5", "shop", order=to_order(1), amount=rub(500)))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    assert total(middle) == "500.00"
    middle.take(paid("h:1", "onec", order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00", "the books have it twice, so it came twice"


def test_neither_is_what_the_shop_tells_of_money_that_the_books_told_of(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    middle.take(paid("5", "shop", order=to_order(1), amount=rub(500)))
    assert total(middle) == "500.00"
    middle.take(paid("6", "shop", order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00"


def test_one_movement_of_money_is_known_by_its_date_number_sum_and_payer(middle: Middle) -> None:
    money = [{"system": "money", "type": "payment", "id": "2026-10-05:7:500.00:7707083893"}]
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("s1", "bank", order=to_order(2), amount=rub(500), records=money))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500), records=money))
    assert total(middle) == "500.00", "the books know for which order it was"
    assert middle.fields("shop/order/2")["paid_total"]["amount"] == "0.00"


def test_a_refund_of_its_own_counts_against_what_was_received(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), paid("5", "shop", order=to_order(1), amount=rub(500)))
    middle.take(payment("r:1", source="onec", order=to_order(1), amount=rub(500), status="refund"))
    assert total(middle) == "0.00"
    assert middle.fields("shop/order/1")["payment_status"] == "refunded"


def test_a_payment_of_a_statement_without_an_order_waits_for_a_person(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(500)))
    middle.take(paid("s1", "bank", amount=rub(500)))
    (asked,) = open_questions(middle)
    assert (asked["asks"], middle.outcome("payment/s1")) == ("order", ["WAITING"])
    with pytest.raises(BadInput, match="there is no order '1002'"):
        middle.wiring.questions.of_order(asked["id"], "1002", "anna")
    middle.wiring.questions.of_order(asked["id"], "1001", "anna")
    middle.heard()
    assert total(middle) == "500.00"


def test_a_payment_of_the_books_without_an_order_ends_until_they_name_one(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), paid("g:-", "onec", amount=rub(500)))
    assert middle.outcome("payment/g:-") == ["OVERRULED"]
    assert open_questions(middle) == []


def test_an_older_word_of_the_shop_between_two_others_does_not_make_their_payments_one(middle: Middle) -> None:
    """Else what came in would be expected again, and the next one of its sum be taken for it."""
    expected = {"order": to_order(1), "amount": rub(500), "status": "pending"}
    middle.take(order(1, total=rub(1000)), payment("5", source="shop", version=1, **expected))
    middle.take(
        paid("g:1", "onec", order=to_order(1), amount=rub(500), external_number="1", at="2026-10-05T10:01:00Z"),
        payment("5", source="shop", version=2, at="2026-10-05T10:02:00Z", **expected),
        paid("s1", "bank", order=to_order(1), amount=rub(500), external_number="2", at="2026-10-05T10:03:00Z"),
    )
    assert total(middle) == "1000.00"


def test_what_several_tell_of_in_one_batch_is_one_payment(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)))
    middle.take(
        paid("5", "shop", order=to_order(1), amount=rub(500)), paid("g:1", "onec", order=to_order(1), amount=rub(500))
    )
    assert total(middle) == "500.00"


def test_but_shop_and_bank_each_tell_of_money_of_their_own(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)))
    middle.take(
        paid("5", "shop", order=to_order(1), amount=rub(500)), paid("s1", "bank", order=to_order(1), amount=rub(500))
    )
    assert total(middle) == "1000.00"


def test_what_several_tell_of_is_one_payment_when_their_order_is_in_the_batch_too(middle: Middle) -> None:
    middle.take(
        order(1, total=rub(1000)),
        payment("5", source="shop", order=to_order(1), amount=rub(500), status="pending"),
        paid("s1", "bank", at=LATER, order=to_order(1), amount=rub(500)),
        paid("g:1", "onec", at=LATEST, order=to_order(1), amount=rub(500)),
    )
    assert middle.one("SELECT count(*) AS n FROM entity WHERE kind = 'payment'")["n"] == 1
    assert total(middle) == "500.00"


def test_money_that_is_heard_of_before_its_order_is_what_the_shop_expects(middle: Middle) -> None:
    """Both come in one batch: the bank told of it first, and the shop's order is behind."""
    expected = payment("5", source="shop", at=LATER, order=to_order(1), amount=rub(500), status="pending")
    middle.take(paid("s1", "bank", order=to_order(1), amount=rub(500)), order(1, at=LATER, total=rub(500)), expected)
    assert told_by(middle, "bank/payment/s1") == {"bank/s1", "shop/5"}
    assert middle.fields("bank/payment/s1", "payment")["status"] == "paid"
    assert total(middle) == "500.00"
    middle.take(paid("5", "shop", at=LATEST, order=to_order(1), amount=rub(500)))
    assert total(middle) == "500.00"


def test_what_the_shop_expects_besides_money_that_is_heard_of_with_it_is_other_money(middle: Middle) -> None:
    """A buyer has paid a half; the books tell of that half, and the shop expects the other."""
    middle.take(
        order(1, total=rub(1000)),
        paid("g:1", "onec", order=to_order(1), amount=rub(500)),
        payment("6", source="shop", at=LATER, order=to_order(1), amount=rub(500), status="pending"),
        paid("5", "shop", at=LATEST, order=to_order(1), amount=rub(500)),
    )
    assert told_by(middle, "onec/payment/g:1") == {"onec/g:1", "shop/5"}
    assert total(middle) == "500.00"


def test_what_is_expected_is_of_the_sum_that_was_told_of_last(middle: Middle) -> None:
    expected = {"source": "shop", "order": to_order(1), "status": "pending"}
    middle.take(
        order(1, total=rub(500)),
        payment("5", version=1, amount=rub(600), **expected),
        payment("5", version=2, at=LATER, amount=rub(500), **expected),
        paid("s1", "bank", at=LATEST, order=to_order(1), amount=rub(500)),
    )
    assert told_by(middle, "bank/payment/s1") == {"bank/s1", "shop/5"}


def test_what_is_only_expected_is_no_money_that_came(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)), paid("5", "shop", order=to_order(1), amount=rub(500)))
    middle.take(payment("g:1", source="onec", order=to_order(1), amount=rub(500), status="pending"))
    middle.take(paid("g:1", "onec", at=LATER, order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00"


def test_what_was_expected_whole_and_comes_in_part_is_not_what_the_books_told_of_before(middle: Middle) -> None:
    expected = payment("5", source="shop", order=to_order(1), amount=rub(1000), status="pending")
    middle.take(order(1, total=rub(1000)), expected)
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    middle.take(paid("5", "shop", at=LATER, order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00"


def test_what_the_books_tell_of_after_it_came_in_part_is_that_part(middle: Middle) -> None:
    expected = payment("5", source="shop", order=to_order(1), amount=rub(1000), status="pending")
    middle.take(order(1, total=rub(1000)), expected)
    middle.take(paid("5", "shop", at=LATER, order=to_order(1), amount=rub(500)))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    assert total(middle) == "500.00"


def test_the_books_tell_late_of_money_that_the_shop_has_given_back(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), paid("5", "shop", order=to_order(1), amount=rub(500)))
    middle.take(payment("5", LATER, source="shop", order=to_order(1), status="refunded"))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    assert total(middle) == "0.00"


def test_a_return_that_the_shop_marked_and_the_books_wrote_a_document_of_is_one(middle: Middle) -> None:
    both = [paid(at, "shop", order=to_order(1), amount=rub(500)) for at in ("5", "6")]
    middle.take(order(1, total=rub(1000)), *both)
    middle.take(*[paid(f"g:{at}", "onec", order=to_order(1), amount=rub(500)) for at in (1, 2)])
    middle.take(payment("5", LATER, source="shop", status="refunded"))
    middle.take(payment("r:1", LATER, source="onec", order=to_order(1), amount=rub(500), status="refund"))
    assert total(middle) == "500.00"


def test_so_is_one_that_the_bank_tells_of_and_then_the_books(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)), paid("5", "shop", order=to_order(1), amount=rub(1000)))
    middle.take(payment("s1", source="bank", order=to_order(1), amount=rub(300), status="refund"))
    middle.take(payment("r:1", LATER, source="onec", order=to_order(1), amount=rub(300), status="refund"))
    assert total(middle) == "700.00"
    middle.take(payment("r:2", LATER, source="onec", order=to_order(1), amount=rub(300), status="refund"))
    assert total(middle) == "400.00"


def test_what_was_given_back_counts_against_an_order_that_the_books_call_settled(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(500)))
    middle.take(said("onec", "order", "order/a", LATER, None, {"number": "1001", "settled": True}))
    assert middle.fields("shop/order/1")["payment_status"] == "paid"
    middle.take(payment("r:1", LATER, source="onec", order=to_order(1), amount=rub(200), status="refund"))
    assert total(middle) == "300.00"
    middle.take(payment("r:2", LATER, source="onec", order=to_order(1), amount=rub(400), status="refund"))
    assert (total(middle), middle.fields("shop/order/1")["payment_status"]) == ("0.00", "refunded")


def test_a_payment_that_is_deleted_wherever_it_was_is_no_money(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    middle.take(gone("onec", "payment", "payment/g:1"))
    assert total(middle) == "0.00"
    middle.take(order(1, LATEST, comment="x"))
    assert total(middle) == "0.00"
    middle.take(paid("g:2", "onec", at=LATEST, order=to_order(1), amount=rub(500)))
    assert total(middle) == "500.00"


def test_one_that_another_system_still_has_is(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), paid("5", "shop", order=to_order(1), amount=rub(500)))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    middle.take(gone("onec", "payment", "payment/g:1"))
    assert total(middle) == "500.00"


@pytest.mark.parametrize(("sent", "stands"), [(False, "0.00"), (True, "500.00")], ids=["never sent", "sent"])
def test_one_that_we_were_only_going_to_make_somewhere_is_not_there(middle: Middle, sent: bool, stands: str) -> None:
    """The shop does not have the order, and the payment was waiting for it; of a call that was sent nobody knows."""
    middle.take(order(1, total=rub(500)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    payment_id = begin(middle, sent=sent)
    middle.take(gone("onec", "payment", "payment/g:1"))
    assert total(middle) == stands
    assert middle.due(payment_id) == ({"shop"} if sent else set())
    middle.take(order(1, LATEST, comment="x"))
    assert total(middle) == stands
    middle.take(paid("g:1", "onec", at="2026-10-07T10:00:00Z", order=to_order(1), amount=rub(500)))
    assert total(middle) == "500.00", "its mark was taken off again"
    assert middle.due(payment_id) == {"shop"}


def test_neither_is_one_that_we_made_and_somebody_deleted(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    ours = [{"system": "bus", "type": "payment", "id": str(begin(middle, sent=True))}]
    middle.take(paid("5", "shop", order=to_order(1), amount=rub(500), records=ours))
    middle.take(gone("onec", "payment", "payment/g:1"))
    assert total(middle) == "500.00"
    middle.take(gone("shop", "payment", "payment/5"))
    assert total(middle) == "0.00"
    middle.take(order(1, LATEST, comment="x"))
    assert total(middle) == "0.00"


def begin(middle: Middle, of: str = "onec/payment/g:1", *, sent: bool) -> UUID:
    """Let the shop's lane begin to make the payment there, and send the call or not."""
    payment_id = middle.entity(of, "payment").id
    with middle.ledger.transaction() as connection:
        records.begin_creating(connection, [payment_id], "shop", "payment")
        making = Creation(payment_id, {"status": "paid"}, order_id=middle.entity(of, "payment").parent_id)
        records.promise(connection, "shop", [making] if sent else [])
    return payment_id


def echo(payment_id: UUID, **data: object):
    """The shop shows what we made there."""
    ours = [{"system": "bus", "type": "payment", "id": str(payment_id)}]
    return paid("503", "shop", order=to_order(1), amount=rub(500), records=ours, **data)


def book(middle: Middle, of: str = "onec/payment/g:1") -> UUID:
    """Let the shop's lane make the payment there, and the shop show it."""
    payment_id = begin(middle, of, sent=True)
    middle.take(echo(payment_id))
    return payment_id


@pytest.mark.parametrize("how", ["not yet", "begun", "sent", "there"])
def test_money_of_the_books_is_the_banks_however_far_we_are_with_booking_it_in_the_shop(
    middle: Middle, how: str
) -> None:
    middle.take(order(1, total=rub(1000)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    if how == "there":
        book(middle)
    elif how != "not yet":
        begin(middle, sent=how == "sent")
    middle.take(paid("s1", "bank", at=LATER, order=to_order(1), amount=rub(500)))
    assert told_by(middle, "bank/payment/s1") == {"onec/g:1", "bank/s1"} | ({"shop/503"} if how == "there" else set())
    assert total(middle) == "500.00"
    middle.take(paid("s2", "bank", at=LATEST, order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00", "what the bank tells of twice came twice"


def test_and_so_it_is_when_the_shop_shows_what_we_booked_in_the_same_batch(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    made = begin(middle, sent=True)
    middle.take(echo(made, at=LATER), paid("s1", "bank", at=LATEST, order=to_order(1), amount=rub(500)))
    assert told_by(middle, "bank/payment/s1") == {"onec/g:1", "shop/503", "bank/s1"}
    assert total(middle) == "500.00"


@pytest.mark.parametrize("end", ["finished", "broke off"])
def test_neither_the_end_of_booking_it_nor_a_call_that_surely_did_nothing_makes_it_the_shops_word(
    middle: Middle, end: str
) -> None:
    middle.take(order(1, total=rub(1000)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    made, lease = book(middle), uuid4()
    row = middle.one("SELECT id FROM record WHERE system = 'shop' AND type = 'payment'")["id"]
    middle.rows("UPDATE delivery SET lease = %s WHERE entity_id = %s", lease, made)
    with middle.ledger.transaction() as connection:
        if end == "finished":
            records.set_bases(connection, [records.Base(row, "503", {"status": "paid"}, None)])
        else:
            records.broke_off(connection, "shop", lease, [made])
    middle.take(paid("s1", "bank", at=LATER, order=to_order(1), amount=rub(500)))
    assert total(middle) == "500.00"


def test_money_of_the_bank_that_we_booked_in_the_shop_is_the_books(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)), paid("s1", "bank", order=to_order(1), amount=rub(500)))
    book(middle, "bank/payment/s1")
    middle.take(paid("g:1", "onec", at=LATER, order=to_order(1), amount=rub(500)))
    assert told_by(middle, "bank/payment/s1") == {"bank/s1", "shop/503", "onec/g:1"}
    middle.take(paid("s2", "bank", at=LATEST, order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00"


def test_what_the_shop_tells_of_besides_what_we_booked_there_is_a_payment_of_its_own(middle: Middle) -> None:
    """No system has one payment twice; and then the shop has told of one that the bank may not mean."""
    middle.take(order(1, total=rub(2000)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    book(middle)
    middle.take(paid("5", "shop", at=LATER, order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00"
    middle.take(paid("s1", "bank", at=LATEST, order=to_order(1), amount=rub(500)))
    assert told_by(middle, "bank/payment/s1") == {"onec/g:1", "shop/503", "bank/s1"}
    assert total(middle) == "1000.00"


@pytest.mark.parametrize("how", ["begun", "refused"])
def test_what_the_shop_books_itself_while_nothing_of_ours_was_sent_there_is_the_same_money(
    middle: Middle, how: str
) -> None:
    middle.take(order(1, total=rub(2000)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    payment_id = begin(middle, sent=how == "refused")
    if how == "refused":
        refuse(middle, payment_id)
    middle.take(paid("5", "shop", at=LATER, order=to_order(1), amount=rub(500)))
    assert told_by(middle, "onec/payment/g:1") == {"onec/g:1", "shop/5"}
    assert total(middle) == "500.00"
    middle.take(paid("s1", "bank", at=LATEST, order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00", "the shop told of it itself, so the bank's is another"


def refuse(middle: Middle, payment_id: UUID) -> None:
    """The shop has refused what its lane sent: nothing came of it."""
    lease = uuid4()
    middle.rows("UPDATE delivery SET lease = %s WHERE entity_id = %s", lease, payment_id)
    with middle.ledger.transaction() as connection:
        records.broke_off(connection, "shop", lease, [payment_id])


def test_who_waits_to_hear_what_the_shop_has_waits_for_the_call_that_books_it_there(middle: Middle) -> None:
    """Else the shop's own payment would be taken for one whose booking is on its way: the shop would have it twice."""
    middle.take(order(1, total=rub(2000)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    payment_id, shops = begin(middle, sent=False), middle.entity("shop/order/1").id
    heard = Thread(target=middle.take, args=[paid("5", "shop", at=LATER, order=to_order(1), amount=rub(500))])
    with middle.ledger.transaction() as connection:
        entities.hold(connection, [shops, payment_id])  # as a lane holds both when it sends
        heard.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        eventually(lambda: not heard.is_alive() or middle.rows(waits))
        records.promise(connection, "shop", [Creation(payment_id, {"status": "paid"}, order_id=shops)])
    heard.join(10)
    assert told_by(middle, "onec/payment/g:1") == {"onec/g:1"}
    assert total(middle) == "1000.00"


def test_what_we_booked_and_the_shop_gave_back_came_once(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    book(middle)
    middle.take(payment("503", LATER, source="shop", order=to_order(1), status="refunded"))
    middle.take(paid("s1", "bank", at=LATEST, order=to_order(1), amount=rub(500)))
    assert total(middle) == "0.00"


@pytest.mark.parametrize(("source", "again"), [("onec", "g:2"), ("bank", "s1")])
def test_what_stands_only_where_we_booked_it_is_whose_who_tells_of_it_next(
    middle: Middle, source: str, again: str
) -> None:
    """The accountant has marked his receipt: it counts until everybody has deleted it, and waits for who has it."""
    middle.take(order(1, total=rub(1000)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    book(middle)
    middle.take(gone("onec", "payment", "payment/g:1"))
    assert total(middle) == "500.00"
    middle.take(paid(again, source, at="2026-10-07T10:00:00Z", order=to_order(1), amount=rub(500)))
    assert total(middle) == "500.00"


def test_what_the_shop_told_of_is_its_own_wherever_we_booked_it(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)), paid("5", "shop", order=to_order(1), amount=rub(500)))
    shops = middle.entity("shop/payment/5", "payment").id
    with middle.ledger.transaction() as connection:
        records.begin_creating(connection, [shops], "onec", "payment")
        order_id = middle.entity("shop/order/1").id
        records.promise(connection, "onec", [Creation(shops, {"status": "paid"}, order_id=order_id)])
    ours = [{"system": "bus", "type": "payment", "id": str(shops)}]
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500), records=ours))
    middle.take(paid("s1", "bank", at=LATER, order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00", "bank and shop stand on one side: each tells of money of its own"


MONEY = [{"system": "money", "type": "payment", "id": "2026-10-05:7:500.00:7707083893"}]


def test_money_that_the_books_assigned_first_stays_where_they_put_it(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500), records=MONEY))
    middle.take(paid("s1", "bank", order=to_order(2), amount=rub(500), records=MONEY))
    assert total(middle) == "500.00"
    assert middle.letters() == []
    assert middle.rows("SELECT rule FROM history WHERE what = 'overruled' AND field = 'order'")


def test_payments_that_turn_out_to_be_one_leave_the_other_order(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("s1", "bank", order=to_order(2), amount=rub(500)))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500), records=MONEY))
    middle.take(paid("s1", "bank", at=LATER, order=to_order(2), amount=rub(500), records=MONEY))
    assert total(middle) == "500.00"
    assert middle.fields("shop/order/2")["paid_total"]["amount"] == "0.00"


def test_a_known_payment_waits_for_the_order_that_the_books_name_now(middle: Middle) -> None:
    middle.take(order(2, total=rub(500)))
    middle.take(paid("s1", "bank", order=to_order(2), amount=rub(500), records=MONEY))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500), records=MONEY))
    assert middle.outcome("payment/g:1") == ["WAITING"]
    middle.take(order(1, total=rub(500)))
    assert total(middle) == "500.00"
    assert middle.fields("shop/order/2")["paid_total"]["amount"] == "0.00"


BOTH = ({"1": "500.00", "2": "0.00"}, {"1": "0.00", "2": "500.00"})


def totals(middle: Middle) -> dict[str, str]:
    return {name: middle.fields(f"shop/order/{name}")["paid_total"]["amount"] for name in ("1", "2")}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("first", "then", "stands"),
    [
        ((2, LATER, 2), (1, LATE, 1), BOTH[1]),
        ((2, LATER, None), (1, LATE, None), BOTH[1]),
        ((1, LATE, 1), (2, LATER, 2), BOTH[1]),
        ((1, LATE, None), (2, LATER, None), BOTH[1]),
        ((2, LATER, 1), (1, LATE, 2), BOTH[0]),
    ],
)
def test_of_what_the_books_said_of_its_order_the_latest_counts_in_whatever_order_it_comes(
    middle: Middle, first: tuple, then: tuple, stands: dict, together: bool
) -> None:
    """A version counts before a clock; together they are merged by their time, so only versions tell them apart."""
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    words = [
        paid("g:1", "onec", at=at, version=version, order=to_order(name), amount=rub(500))
        for name, at, version in (first, then)
    ]
    for batch in [words] if together else [[word] for word in words]:
        middle.take(*batch)
    assert totals(middle) == stands
    assert middle.letters() == []


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_word_that_waited_for_its_order_does_not_take_money_from_the_one_named_since(
    middle: Middle, confirmed: bool
) -> None:
    """`confirmed`: the books had named the same order before, and have only said it again since."""
    middle.take(order(2, total=rub(500)))
    middle.take(paid("s1", "bank", order=to_order(2), amount=rub(500), records=MONEY))
    if confirmed:
        middle.take(paid("g:1", "onec", order=to_order(2), amount=rub(500), records=MONEY))
    middle.take(paid("g:1", "onec", at=LATE, order=to_order(1), amount=rub(500), records=MONEY))
    middle.take(paid("g:1", "onec", at=LATER, order=to_order(2), amount=rub(500), records=MONEY))
    middle.take(order(1, total=rub(500)))
    assert totals(middle) == BOTH[1]
    middle.take(paid("g:1", "onec", at=LATEST, order=to_order(1), amount=rub(500), records=MONEY))
    assert totals(middle) == BOTH[0], "the books move it still"


def test_an_older_word_of_the_bank_on_another_order_asks_nobody(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("s1", "bank", at=LATER, version=2, order=to_order(2), amount=rub(500)))
    middle.take(paid("s1", "bank", at=LATE, version=1, order=to_order(1), amount=rub(500)))
    assert middle.outcome("payment/s1") == ["APPLIED", "STALE"]
    assert (middle.letters(), totals(middle)) == ([], BOTH[1])


def test_an_event_that_moves_money_and_says_nothing_else_is_applied(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("g:1", "onec", order=to_order(2), amount=rub(500)))
    middle.take(paid("g:1", "onec", at=LATE, order=to_order(1), amount=rub(500)))
    assert middle.outcome("payment/g:1") == ["APPLIED", "APPLIED"]
    assert totals(middle) == BOTH[0]


def test_a_late_word_on_the_order_is_heard_where_only_others_came_since(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("g:1", "onec", order=to_order(2), amount=rub(500)))
    middle.take(paid("g:1", "onec", at=LATER, amount=rub(400)))
    middle.take(payment("g:1", LATE, source="onec", order=to_order(1), amount=rub(450)))
    assert totals(middle) == {"1": "400.00", "2": "0.00"}


def test_what_the_books_said_of_its_order_holds_when_it_is_found_to_be_money_that_the_bank_told_of(
    middle: Middle,
) -> None:
    ref = [{"system": "onec", "type": "payment", "id": "g:1"}]
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("s1", "bank", order=to_order(1), amount=rub(500)))
    middle.take(paid("g:1", "onec", at=LATER, order=to_order(2), amount=rub(500)))
    middle.take(paid("s1", "bank", at=LATE, order=to_order(1), amount=rub(500), records=ref))
    assert totals(middle) == BOTH[1]
    middle.take(paid("g:1", "onec", at=LATE, order=to_order(1), amount=rub(500)))
    assert totals(middle) == BOTH[1]


def test_a_question_about_money_that_the_books_tell_of_answers_itself(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)))
    middle.take(paid("s1", "bank", amount=rub(500), records=MONEY))
    assert len(open_questions(middle)) == 1
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500), records=MONEY))
    middle.wiring.chores.sweep()
    middle.heard()
    assert open_questions(middle) == []
    assert total(middle) == "500.00"
    assert middle.one("SELECT count(*) AS n FROM entity WHERE kind = 'payment'")["n"] == 1


def test_a_person_is_told_to_correct_what_a_system_has_with_the_wrong_order(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("s1", "bank", order=to_order(2), amount=rub(500), records=MONEY))
    middle.take(paid("5", "shop", order=to_order(2), amount=rub(500), records=MONEY))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500), records=MONEY))
    assert [letter["cause"] for letter in middle.letters()] == ["payment moved by the books"]
    assert (total(middle), middle.fields("shop/order/2")["paid_total"]["amount"]) == ("500.00", "0.00")
    middle.take(payment("5", LATER, source="shop", order=to_order(2), status="refunded"))
    assert total(middle) == "500.00", "the shop puts its own right; what the books say of the money stands"
    assert middle.letters()[-1]["cause"] == "payment moved to another order"


def test_money_that_the_books_move_does_not_wait_for_the_order_that_it_was_thought_to_be_of(middle: Middle) -> None:
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("s1", "bank", order=to_order(2), amount=rub(500), records=MONEY))
    waits = begin(middle, "bank/payment/s1", sent=False)
    middle.rows("UPDATE delivery SET due_at = now() + interval '5 minutes' WHERE entity_id = %s", waits)
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500), records=MONEY))
    assert middle.one("SELECT due_at <= now() AS now FROM delivery WHERE entity_id = %s", waits)["now"]


@pytest.mark.parametrize(("sent", "letters"), [(False, []), (True, ["payment moved by the books"])])
def test_nobody_is_asked_to_correct_what_was_only_to_be_made_with_the_wrong_order(
    middle: Middle, sent: bool, letters: list[str]
) -> None:
    middle.take(order(1, total=rub(500)), order(2, total=rub(500)))
    middle.take(paid("s1", "bank", order=to_order(2), amount=rub(500), records=MONEY))
    begin(middle, "bank/payment/s1", sent=sent)
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500), records=MONEY))
    assert [letter["cause"] for letter in middle.letters()] == letters
    assert total(middle) == "500.00"


def test_a_payment_that_is_deleted_while_it_waits_for_its_order_is_no_money(middle: Middle) -> None:
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    middle.take(gone("onec", "payment", "payment/g:1"))
    middle.take(order(1, total=rub(500)))
    assert total(middle) == "0.00"
    assert middle.outcome("payment/g:1") == ["STALE", "OVERRULED"]


MADE_FOR = [{"system": "bus", "type": "payment", "id": "6b5f2a52-61a5-4d5b-8f0e-1c4a2a9d7e11"}]
"""What a payment bears that we booked for one of which this ledger, restored since, knows nothing."""


@pytest.mark.parametrize("shop_first", [True, False])
def test_money_that_we_booked_for_one_who_is_forgotten_is_his_when_he_tells_of_it_again(
    middle: Middle, shop_first: bool
) -> None:
    booked = paid("77", "shop", order=to_order(1), amount=rub(300), records=MADE_FOR)
    told = paid("s1", "bank", order=to_order(1), amount=rub(300))
    middle.take(order(1, total=rub(1000)))
    for event in (booked, told) if shop_first else (told, booked):
        middle.take(event)
    assert total(middle) == "300.00"
    middle.take(paid("s2", "bank", order=to_order(1), amount=rub(300)))
    assert total(middle) == "600.00", "what he tells of twice came twice"


@pytest.mark.parametrize("one_batch", [True, False])
def test_what_we_booked_since_the_backup_for_one_who_is_known_is_no_word_of_the_shop(
    middle: Middle, one_batch: bool
) -> None:
    """The ledger, restored since, knows the receipt and not that it is in the shop."""
    middle.take(order(1, total=rub(1000)), paid("g:1", "onec", order=to_order(1), amount=rub(500)))
    batches = [[echo(middle.entity("onec/payment/g:1", "payment").id)]]
    told = paid("s1", "bank", at=LATER, order=to_order(1), amount=rub(500))
    for batch in [[*batches[0], told]] if one_batch else [*batches, [told]]:
        middle.take(*batch)
    assert told_by(middle, "bank/payment/s1") == {"onec/g:1", "shop/503", "bank/s1"}
    assert total(middle) == "500.00"
    middle.take(paid("s2", "bank", at=LATEST, order=to_order(1), amount=rub(500)))
    assert total(middle) == "1000.00", "what the bank tells of twice came twice"


@pytest.mark.parametrize("shop_first", [True, False])
def test_and_so_it_is_when_both_come_in_one_batch(middle: Middle, shop_first: bool) -> None:
    """Of one batch the earlier is heard first."""
    booked = paid("77", "shop", at=LATER, order=to_order(1), amount=rub(300), records=MADE_FOR)
    told = paid("s1", "bank", at=LATEST if shop_first else LATE, order=to_order(1), amount=rub(300))
    middle.take(order(1, total=rub(1000)))
    middle.take(booked, told)
    assert total(middle) == "300.00"


def test_who_told_of_what_we_booked_in_two_systems_is_still_looked_for(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)))
    middle.take(paid("77", "shop", order=to_order(1), amount=rub(300), records=MADE_FOR))
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(300), records=MADE_FOR))
    middle.take(paid("s1", "bank", order=to_order(1), amount=rub(300)))
    assert total(middle) == "300.00"


def test_what_we_booked_for_one_who_is_known_is_nobody_elses(middle: Middle) -> None:
    middle.take(order(1, total=rub(1000)))
    middle.take(paid("5", "shop", order=to_order(1), amount=rub(300)))
    entity = middle.one("SELECT id FROM entity WHERE kind = 'payment'")["id"]
    ours = [{"system": "bus", "type": "payment", "id": str(entity)}]
    middle.take(paid("g:1", "onec", order=to_order(1), amount=rub(300), records=ours))
    middle.take(paid("s1", "bank", order=to_order(1), amount=rub(300)))
    assert total(middle) == "600.00"


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "later"])
def test_a_document_entered_instead_of_a_deleted_one_is_the_banks_money_still(middle: Middle, together: bool) -> None:
    money = {"amount": rub(100), "status": "paid", "records": [{"system": "money", "type": "payment", "id": "m"}]}
    first = payment("a:1", source="onec", order=to_order(1), **money)
    middle.take(order(1, total=rub(100)), order(2, total=rub(100)), payment(1, order=to_order(1), **money), first)
    news = (
        gone("onec", "payment", "payment/a:1", LATER),
        payment("b:2", LATEST, source="onec", order=to_order(2), **money),
    )
    for batch in [news] if together else [news[:1], news[1:]]:
        middle.take(*batch)
    assert [middle.fields(f"shop/order/{at}")["paid_total"] for at in (1, 2)] == [rub("0.00"), rub("100.00")]
