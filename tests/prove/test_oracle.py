"""The independent model says what a customer would expect who has read the README, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.prove.oracle import OPEN, FromNowhere, Oracle

PARTS = {"shop": "shop", "crm": "crm", "books": "onec", "bank": "bank"}
KEY = "order-1"


def at(second: float) -> datetime:
    return datetime(2026, 11, 22, 9, tzinfo=UTC) + timedelta(seconds=second)


def an_oracle(**fields: object) -> Oracle:
    """The order is in the shop since second 0, all have it and agree."""
    oracle = Oracle(PARTS)
    oracle.created("shop", "order", KEY, {"number": "392", "status": "new", **fields}, at(0))
    oracle.settled()
    return oracle


def told(kind: str, name: str, before: object, *words: tuple[str, object, object, float]) -> tuple[object, ...]:
    """What all may agree on after `words` (system, seen, said, second) on a field that began as `before`."""
    oracle = Oracle(PARTS)
    if before is not None:
        oracle.created("crm", kind, KEY, {name: before}, at(0))
        oracle.settled()
    for system, seen, said, second in words:
        oracle.edited(system, kind, KEY, name, seen, said, at(second))
    return oracle.admissible(kind, KEY, name).values


A_FEW_DAYS = [
    pytest.param("comment", [("crm", "o", "a", 10)], ["a"], id="one side only: taken"),
    pytest.param(
        "comment", [("crm", "o", "a", 10), ("shop", "a", "b", 5)], ["b"], id="seen and changed, however the clocks go"
    ),
    pytest.param("comment", [("crm", "o", "a", 20), ("shop", "o", "b", 10)], ["a"], id="the later modification"),
    pytest.param("comment", [("crm", "o", "a", 10), ("shop", "o", "b", 10)], ["a"], id="the list breaks a tie"),
    pytest.param("comment", [("crm", "o", None, 20), ("shop", "o", "b", 10)], [None], id="cleared later"),
    pytest.param(
        "comment",
        [("crm", "o", "a", 10), ("crm", "a", "c", 20), ("shop", "o", "b", 15)],
        ["c"],
        id="twice here, once there",
    ),
    pytest.param(
        "comment",
        [("crm", "o", "a", 10), ("crm", "a", "o", 30), ("shop", "o", "b", 20)],
        ["b", "o"],
        id="taken back unheard, or heard",
    ),
    pytest.param("comment", [("crm", "o", "x", 10), ("shop", "o", "x", 20)], ["x"], id="both came to the same"),
    pytest.param("delivery.method", [("crm", "o", "a", 20)], ["a"], id="the owner has not spoken yet"),
    pytest.param(
        "delivery.method",
        [("shop", "o", "s", 10), ("crm", "o", "a", 20)],
        ["s"],
        id="only the owner, once it has spoken",
    ),
    pytest.param(
        "delivery.method",
        [("shop", "o", "s", 10), ("crm", "s", "a", 20)],
        ["s"],
        id="nobody else may change what it said",
    ),
    pytest.param(
        "customer.inn",
        [("crm", "o", "a", 10), ("shop", "o", "b", 20)],
        ["b"],
        id="until the owner speaks the later word",
    ),
    pytest.param(
        "customer.inn", [("crm", "o", "a", 30), ("books", "o", "b", 5)], ["b"], id="the books have the requisites"
    ),
]


@pytest.mark.parametrize(("name", "words", "expected"), A_FEW_DAYS)
def test_a_field_of_an_order_ends_as_its_rule_says(name, words, expected):
    assert list(told("order", name, "o", *words)) == expected


MOVES = [
    pytest.param([("shop", "new", "accepted", 1)], {"accepted"}, id="forward"),
    pytest.param(
        [("shop", "new", "accepted", 9), ("crm", "new", "shipped", 1)],
        {"shipped"},
        id="the further one wins, not the later",
    ),
    pytest.param([("shop", "new", "shipped", 1), ("crm", "shipped", "accepted", 9)], {"shipped"}, id="never back"),
    pytest.param(
        [("shop", "new", "shipped", 1), ("shop", "shipped", "accepted", 9)],
        {"shipped", "accepted"},
        id="back before anybody heard",
    ),
    pytest.param(
        [("shop", "new", "cancelled", 1), ("crm", "new", "shipped", 9)],
        {"cancelled"},
        id="cancelled beats what is under way",
    ),
    pytest.param(
        [("shop", "new", "cancelled", 1), ("crm", "cancelled", "accepted", 9)], {"accepted"}, id="the CRM reopens"
    ),
    pytest.param(
        [("crm", "new", "cancelled", 1), ("shop", "cancelled", "accepted", 9)], {"cancelled"}, id="the shop does not"
    ),
    pytest.param(
        [("shop", "new", "completed", 1), ("crm", "new", "accepted", 9)], {"completed"}, id="no reopening unseen"
    ),
    pytest.param(
        [("shop", "new", "completed", 1), ("crm", "new", "cancelled", 9)],
        {"completed", "cancelled"},
        id="closed in two ways",
    ),
]


@pytest.mark.parametrize(("words", "expected"), MOVES)
def test_a_status_only_goes_forward_unless_the_crm_reopens(words, expected):
    assert set(told("order", "status", "new", *words)) == expected


def test_a_manual_field_changed_on_both_sides_is_an_open_conflict_until_decided():
    oracle = Oracle(PARTS)
    oracle.created("crm", "counterparty", "c", {"address": "o"}, at(0))
    oracle.settled()
    oracle.edited("crm", "counterparty", "c", "address", "o", "a", at(10))
    oracle.edited("books", "counterparty", "c", "address", "o", "b", at(20))
    assert oracle.admissible("counterparty", "c", "address").values == (OPEN,)
    oracle.decided("counterparty", "c", "address", "a", at(30))
    assert oracle.admissible("counterparty", "c", "address").values == ("a",)


def test_after_the_deadline_the_later_word_decides():
    oracle = Oracle(PARTS)
    for system, value, second in (("crm", "a", 10), ("books", "b", 20)):
        oracle.created(system, "counterparty", "c", {"address": value}, at(second))
    oracle.read("books", "counterparty", "c", at(30))
    oracle.lapsed("counterparty", "c", "address")
    assert oracle.admissible("counterparty", "c", "address").values == ("b",)


@pytest.mark.parametrize(
    ("decided", "expected"),
    [
        pytest.param(29.9, ("c",), id="the CRM spoke later"),
        pytest.param(30.4, ("b", "c"), id="both in one second"),
        pytest.param(31.0, ("b",), id="decided later"),
    ],
)
def test_a_word_of_the_second_of_a_decision_may_be_the_later_one_at_the_deadline(decided, expected):
    oracle = Oracle(PARTS)
    for system, value, second in (("crm", "a", 10), ("books", "b", 20)):
        oracle.created(system, "counterparty", "c", {"address": value}, at(second))
    oracle.read("books", "counterparty", "c", at(20))
    oracle.decided("counterparty", "c", "address", "b", at(decided))
    oracle.edited("crm", "counterparty", "c", "address", "a", "c", at(30))
    oracle.lapsed("counterparty", "c", "address")
    assert oracle.admissible("counterparty", "c", "address").values == expected


def test_a_manual_field_changed_on_one_side_is_simply_taken():
    assert told("counterparty", "address", "o", ("books", "o", "b", 10)) == ("b",)


def test_a_persons_decision_binds_all_but_the_owner():
    oracle = an_oracle()
    oracle.created("crm", "order", KEY, {"customer.inn": "a"}, at(1))
    oracle.decided("order", KEY, "customer.inn", "d", at(5))
    oracle.edited("shop", "order", KEY, "customer.inn", "d", "s", at(9))
    assert oracle.admissible("order", KEY, "customer.inn").values == ("d",)
    oracle.edited("books", "order", KEY, "customer.inn", "d", "b", at(9))
    assert oracle.admissible("order", KEY, "customer.inn").values == ("b",)


def test_what_1c_says_counts_as_of_when_it_was_read():
    oracle = Oracle(PARTS)
    oracle.created("crm", "counterparty", "c", {"name": "o"}, at(0))
    oracle.settled()
    oracle.edited("books", "counterparty", "c", "name", "o", "b", at(10))
    oracle.edited("crm", "counterparty", "c", "name", "o", "a", at(20))
    assert oracle.admissible("counterparty", "c", "name").values == ("a", "b")
    oracle.read("books", "counterparty", "c", at(40))
    assert oracle.admissible("counterparty", "c", "name").values == ("b",)


def test_a_record_has_one_time_for_all_its_fields():
    oracle = an_oracle(comment="o")
    oracle.edited("shop", "order", KEY, "comment", "o", "b", at(10))
    oracle.edited("crm", "order", KEY, "comment", "o", "a", at(20))
    assert oracle.admissible("order", KEY, "comment").values == ("a",)
    oracle.edited("shop", "order", KEY, "customer.name", None, "N", at(30))
    assert oracle.admissible("order", KEY, "comment").values == ("a", "b")


def test_a_record_that_was_read_keeps_the_time_of_its_words():
    oracle = an_oracle(comment="o")
    oracle.edited("shop", "order", KEY, "comment", "o", "b", at(10))
    oracle.read("shop", "order", KEY, at(11))
    oracle.edited("shop", "order", KEY, "customer.name", None, "N", at(30))
    oracle.edited("crm", "order", KEY, "comment", "o", "a", at(20))
    assert oracle.admissible("order", KEY, "comment").values == ("a",)


def test_what_was_heard_counts_as_of_that_save_at_the_latest_however_often_the_record_is_saved_then():
    oracle = an_oracle(comment="o")
    oracle.edited("shop", "order", KEY, "comment", "o", "b", at(10))
    oracle.heard("shop", "order", KEY, at(15))
    oracle.touched("shop", "order", KEY, at(30))
    oracle.edited("crm", "order", KEY, "comment", "o", "a", at(20))
    assert oracle.admissible("order", KEY, "comment").values == ("a",)


def test_what_is_heard_with_a_later_save_may_count_as_of_that():
    oracle = an_oracle(comment="o")
    oracle.edited("shop", "order", KEY, "comment", "o", "b", at(10))
    oracle.edited("crm", "order", KEY, "comment", "o", "a", at(20))
    oracle.heard("shop", "order", KEY, at(30))
    assert oracle.admissible("order", KEY, "comment").values == ("a", "b")


def test_an_earlier_word_may_decide_a_race_before_it_is_replaced():
    """Of the shop's 40 and 1C's 30 either is heard first; the manager replaced the shop's word by the clock of 20."""
    oracle = an_oracle(comment="o")
    oracle.edited("shop", "order", KEY, "comment", "o", "s", at(40))
    oracle.edited("books", "order", KEY, "comment", "o", "b", at(30))
    oracle.read("books", "order", KEY, at(30))
    oracle.edited("crm", "order", KEY, "comment", "s", "m", at(20))
    assert oracle.admissible("order", KEY, "comment").values == ("b", "m")


def test_who_saw_a_value_that_was_said_twice_may_have_seen_either():
    """The manager saw "x" when the shop had said "x", then "y", then "x" again: perhaps he knew of "y"."""
    oracle = an_oracle(comment="x")
    oracle.edited("shop", "order", KEY, "comment", "x", "y", at(10))
    oracle.edited("shop", "order", KEY, "comment", "y", "x", at(30))
    oracle.edited("crm", "order", KEY, "comment", "x", "m", at(20))
    assert oracle.admissible("order", KEY, "comment").values == ("m", "x")


def test_a_step_back_after_the_bus_has_heard_of_the_step_forth_is_none():
    oracle = an_oracle()
    oracle.edited("shop", "order", KEY, "status", "new", "shipped", at(1))
    oracle.heard("shop", "order", KEY, at(2))
    oracle.edited("shop", "order", KEY, "status", "shipped", "accepted", at(9))
    assert oracle.admissible("order", KEY, "status").values == ("shipped",)


def test_a_reading_of_the_same_second_may_be_older_than_the_word():
    oracle = an_oracle()
    oracle.edited("shop", "order", KEY, "status", "new", "shipped", at(1))
    oracle.heard("shop", "order", KEY, at(1))
    oracle.edited("shop", "order", KEY, "status", "shipped", "accepted", at(9))
    assert set(oracle.admissible("order", KEY, "status").values) == {"shipped", "accepted"}


def test_a_value_that_nobody_said_is_a_finding():
    oracle = an_oracle(comment="o")
    with pytest.raises(FromNowhere, match="order/order-1/comment/crm shows a value that nobody said"):
        oracle.edited("crm", "order", KEY, "comment", "of another order", "a", at(9))


def test_where_two_records_meet_their_phones_are_united():
    oracle = Oracle(PARTS)
    oracle.created("crm", "counterparty", "c", {"phones": ["+72", "+71"], "name": "A"}, at(0))
    oracle.created("books", "counterparty", "c", {"phones": ["+73", "+71"]}, at(5))
    oracle.met("counterparty", "c")
    phones = oracle.admissible("counterparty", "c", "phones")
    assert phones.single
    assert ["+71", "+72", "+73"] in phones


def test_a_deleted_record_is_known_to_be_gone_and_what_it_said_stays_said():
    oracle = an_oracle(comment="o")
    oracle.edited("crm", "order", KEY, "comment", "o", "a", at(9))
    oracle.deleted("crm", "order", KEY)
    assert oracle.is_gone("crm", "order", KEY)
    assert oracle.admissible("order", KEY, "comment").values == ("a",)


def test_an_order_that_is_paid_becomes_paid_and_nobody_makes_it_unpaid():
    oracle = an_oracle(total=Decimal(100))
    oracle.paid("shop", KEY, "p", Decimal(100), at(5))
    assert oracle.admissible("order", KEY, "status").values == ("paid",)
    assert oracle.admissible("order", KEY, "payment_status").values == ("paid",)
    oracle.settled()
    oracle.edited("crm", "order", KEY, "status", "paid", "accepted", at(9))
    assert oracle.admissible("order", KEY, "status").values == ("paid",)


def test_after_a_refund_a_person_may_take_the_order_back():
    oracle = an_oracle(total=Decimal(100))
    oracle.paid("shop", KEY, "p", Decimal(100), at(5))
    oracle.settled()
    oracle.refunded("shop", KEY, "p", at(6))
    oracle.settled()
    assert oracle.admissible("order", KEY, "status").values == ("paid",)
    oracle.edited("crm", "order", KEY, "status", "paid", "accepted", at(9))
    assert oracle.admissible("order", KEY, "status").values == ("accepted",)
    assert oracle.admissible("order", KEY, "payment_status").values == ("refunded",)


def test_a_payment_given_back_before_anybody_heard_may_never_have_moved_the_order():
    oracle = an_oracle(total=Decimal(100))
    oracle.paid("shop", KEY, "p", Decimal(100), at(5))
    oracle.refunded("shop", KEY, "p", at(6))
    assert set(oracle.admissible("order", KEY, "status").values) == {"new", "paid"}
    assert oracle.admissible("order", KEY, "paid_total").values == (Decimal(0),)


def test_a_payment_does_not_reopen_a_cancelled_order():
    oracle = an_oracle(total=Decimal(100))
    oracle.edited("shop", "order", KEY, "status", "new", "cancelled", at(1))
    oracle.paid("shop", KEY, "p", Decimal(100), at(5))
    assert oracle.admissible("order", KEY, "status").values == ("cancelled",)


def test_paid_in_part_moves_no_status():
    oracle = an_oracle(total=Decimal(100))
    oracle.paid("shop", KEY, "p", Decimal(40), at(5))
    assert oracle.admissible("order", KEY, "status").values == ("new",)
    assert oracle.admissible("order", KEY, "payment_status").values == ("partial",)


@pytest.mark.parametrize(
    ("maker", "statuses"),
    [
        pytest.param("crm", ("paid", "partial"), id="nobody owns its total yet"),
        pytest.param("shop", ("paid",), id="the shop has said what it comes to"),
    ],
)
def test_what_the_books_count_of_the_goods_may_be_the_total_until_its_owner_has_said_one(maker, statuses):
    oracle = Oracle(PARTS)
    oracle.created(maker, "order", KEY, {"status": "new", "total": Decimal(980)}, at(0))
    oracle.edited(maker, "order", KEY, "total", Decimal(980), Decimal(100), at(1))
    oracle.shown("books", "order", KEY, "total", Decimal(980))
    oracle.paid("books", KEY, "p", Decimal(490), at(5))
    assert oracle.admissible("order", KEY, "payment_status").values == statuses


def test_the_books_say_that_an_order_is_settled_and_it_is_paid():
    oracle = an_oracle(total=Decimal(100))
    oracle.created("books", "order", KEY, {"settled": True}, at(5))
    assert oracle.admissible("order", KEY, "status").values == ("paid",)
    assert oracle.admissible("order", KEY, "payment_status").values == ("paid",)


#: (system, payment, sum, status, number), and what the order's payments come to.
MONEY = [
    pytest.param([("shop", "a", 10, "paid", None)], {10}, id="one payment"),
    pytest.param(
        [("shop", "a", 10, "paid", None), ("shop", "b", 10, "paid", None)], {20}, id="two of one sum in one system"
    ),
    pytest.param(
        [("shop", "a", 10, "paid", None), ("books", "b", 10, "paid", None)], {10}, id="shop and books tell of one"
    ),
    pytest.param(
        [("shop", "a", 10, "paid", None), ("books", "b", 11, "paid", None)], {21}, id="of another sum it is another"
    ),
    pytest.param(
        [("shop", "a", 5, "paid", None), ("shop", "b", 5, "paid", None), ("books", "c", 5, "paid", None)],
        {10},
        id="the books tell of one of two",
    ),
    pytest.param(
        [("shop", "a", 10, "pending", None), ("bank", "b", 10, "paid", None)], {10}, id="the bank's is the pending one"
    ),
    pytest.param(
        [("shop", "a", 10, "paid", None), ("bank", "b", 10, "paid", None)],
        {20},
        id="told by bank and shop: twice, as the README warns",
    ),
    pytest.param(
        [("shop", "a", 10, "paid", "7"), ("bank", "b", 10, "paid", "7")], {10}, id="unless both bear one number"
    ),
    pytest.param([("shop", "a", 10, "pending", None)], {0}, id="expected is not received"),
    pytest.param(
        [("shop", "a", 10, "paid", None), ("books", "b", 4, "refund", None)], {6}, id="a document that gives some back"
    ),
    pytest.param(
        [
            ("shop", "a", 10, "paid", None),
            ("shop", "b", 3, "paid", None),
            ("bank", "c", 10, "paid", None),
            ("books", "d", 10, "paid", None),
        ],
        {23},
        id="three tell, the books of one",
    ),
]


@pytest.mark.parametrize(("tellings", "expected"), MONEY)
def test_money_stands_once_however_many_tell_of_it(tellings, expected):
    oracle = an_oracle(total=Decimal(100))
    for system, payment, amount, status, number in tellings:
        oracle.paid(system, KEY, payment, Decimal(amount), at(5), status=status, number=number)
    assert set(oracle.admissible("order", KEY, "paid_total").values) == {Decimal(amount) for amount in expected}


def test_a_payment_given_back_counts_no_more_and_paid_is_not_made_unpaid():
    oracle = an_oracle(total=Decimal(100))
    oracle.paid("shop", KEY, "a", Decimal(10), at(5))
    oracle.turned("shop", KEY, "a", "pending", at(6))
    assert oracle.admissible("order", KEY, "paid_total").values == (Decimal(10),)
    oracle.refunded("shop", KEY, "a", at(7))
    assert oracle.admissible("order", KEY, "paid_total").values == (Decimal(0),)


def test_one_document_may_give_back_what_two_marks_do():
    oracle = an_oracle(total=Decimal(100))
    for payment, amount in (("a", 10), ("b", 20), ("c", 30)):
        oracle.paid("shop", KEY, payment, Decimal(amount), at(5))
        oracle.paid("books", KEY, f"{payment} there", Decimal(amount), at(6))
    for payment in ("a", "b"):
        oracle.refunded("shop", KEY, payment, at(7))
    assert oracle.admissible("order", KEY, "paid_total").values == (Decimal(30),)
    oracle.paid("books", KEY, "d", Decimal(30), at(8), status="refund")
    assert set(oracle.admissible("order", KEY, "paid_total").values) == {Decimal(0), Decimal(30)}


def test_which_of_two_equal_payments_the_books_mean_is_open_when_both_sides_give_one_back():
    oracle = an_oracle(total=Decimal(100))
    for system, payment in (("shop", "a"), ("shop", "b"), ("books", "c")):
        oracle.paid(system, KEY, payment, Decimal(10), at(5))
    oracle.refunded("shop", KEY, "a", at(6))
    oracle.refunded("books", KEY, "c", at(7))
    assert oracle.admissible("order", KEY, "paid_total").values == (Decimal(0), Decimal(10))


@pytest.mark.parametrize("books_first", [True, False])
def test_a_payment_that_comes_in_part_may_not_be_what_the_books_told_of_in_that_sum(books_first):
    oracle = an_oracle(total=Decimal(100))
    oracle.paid("shop", KEY, "a", Decimal(100), at(5), status="pending")
    if books_first:
        oracle.paid("books", KEY, "c", Decimal(50), at(6))
    oracle.paid("shop", KEY, "a", Decimal(50), at(7), status="pending")
    oracle.turned("shop", KEY, "a", "paid", at(7))
    oracle.paid("shop", KEY, "b", Decimal(50), at(7), status="pending")
    if not books_first:
        oracle.paid("books", KEY, "c", Decimal(50), at(8))
    oracle.turned("shop", KEY, "b", "paid", at(9))
    assert oracle.admissible("order", KEY, "paid_total").values == (Decimal(100), Decimal(150))


def test_what_came_whole_after_it_was_expected_is_what_the_books_told_of():
    oracle = an_oracle(total=Decimal(100))
    oracle.paid("shop", KEY, "a", Decimal(50), at(5), status="pending")
    oracle.paid("books", KEY, "c", Decimal(50), at(6))
    oracle.turned("shop", KEY, "a", "paid", at(7))
    assert oracle.admissible("order", KEY, "paid_total").values == (Decimal(50),)


def test_money_in_another_currency_does_not_count():
    oracle = an_oracle(total=Decimal(100))
    oracle.paid("shop", KEY, "a", Decimal(100), at(5), currency="USD")
    assert oracle.admissible("order", KEY, "payment_status").values == ("unpaid",)


def test_the_facts_of_a_payment_are_the_books_before_all_others():
    words = (("bank", "o", "b", 30), ("books", "o", "1c", 10), ("shop", "o", "s", 20))
    assert told("payment", "paid_at", "o", *words) == ("1c",)


def test_it_counts_how_often_it_leaves_one_value_only():
    oracle = an_oracle(total=Decimal(100))
    oracle.admissible("order", KEY, "status")
    oracle.edited("shop", "order", KEY, "status", "new", "completed", at(1))
    oracle.edited("crm", "order", KEY, "status", "new", "cancelled", at(2))
    oracle.admissible("order", KEY, "status")
    assert oracle.sharpness() == (1, 2)


def test_a_step_back_that_was_heard_and_the_step_forth_was_not_may_tell_of_no_change():
    """The second message overtook the first: what it says the bus knew before the manager spoke."""
    oracle = an_oracle(comment="o")
    oracle.edited("shop", "order", KEY, "comment", "o", "x", at(1))
    oracle.heard("shop", "order", KEY, at(2))
    oracle.edited("crm", "order", KEY, "comment", "o", "m", at(20))
    oracle.edited("shop", "order", KEY, "comment", "x", "y", at(30))
    oracle.edited("shop", "order", KEY, "comment", "y", "x", at(40))
    oracle.heard("shop", "order", KEY, at(41))
    assert oracle.admissible("order", KEY, "comment").values == ("m", "x", "y")  # either of the two may be unheard
