from collections.abc import Iterator

import pytest

from bus.envelope import Event
from tests.bus.ledger.middle import Middle, built, deal, gone, order, payment, rub, said, to_order

LATER, LATEST = "2026-10-05T11:00:00Z", "2026-10-05T12:00:00Z"


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def test_a_record_is_the_entity_it_was(middle: Middle) -> None:
    middle.take(order(1, comment="a"))
    middle.take(order(1, LATER, comment="b"))
    assert middle.one("SELECT count(*) AS n FROM entity")["n"] == 1
    assert middle.fields("shop/order/1")["comment"] == "b"


def test_a_deal_that_names_its_order_is_that_order(middle: Middle) -> None:
    middle.take(order(1), deal(7, records=[to_order(1)]))
    assert middle.entity("crm/deal/7").id == middle.entity("shop/order/1").id


def test_an_order_that_names_its_deal_is_that_deal(middle: Middle) -> None:
    middle.take(deal(7))
    middle.take(order(1, records=[to_order(7, "crm", "deal")]))
    assert middle.entity("crm/deal/7").id == middle.entity("shop/order/1").id


def test_an_orders_number_is_its_natural_key(middle: Middle) -> None:
    middle.take(order(1, number="1001"))
    middle.take(deal(7, number="1001"))
    assert middle.entity("crm/deal/7").id == middle.entity("number/shop/1001").id


def test_our_own_key_at_a_system_is_the_entity(middle: Middle) -> None:
    middle.take(order(1))
    entity = middle.entity("shop/order/1").id
    middle.take(deal(7, records=[{"system": "bus", "type": "order", "id": str(entity)}]))
    assert middle.entity("crm/deal/7").id == entity


def test_two_records_first_heard_of_together_are_one_when_they_name_each_other(middle: Middle) -> None:
    middle.take(
        deal(7, records=[to_order(1)]),
        order(1, number="1001"),
        said("onec", "order", "order/a", LATER, None, {"number": "1001"}),
    )
    assert middle.one("SELECT count(*) AS n FROM entity WHERE merged_into IS NULL")["n"] == 1


def test_what_is_gone_before_it_was_known_makes_nothing(middle: Middle) -> None:
    middle.take(gone("crm", "deal", "deal/7"))
    assert middle.outcome("deal/7") == ["OVERRULED"]
    assert middle.rows("SELECT 1 FROM entity") == []


def test_a_deletion_beside_what_is_refused_of_its_record_makes_nothing(middle: Middle) -> None:
    middle.take(order(1), order(2))
    middle.take(gone("crm", "deal", "deal/7", LATER), deal(7, LATEST, records=[to_order(1), to_order(2)]))
    assert sorted(middle.outcome("deal/7")) == ["DEAD", "OVERRULED"]
    assert middle.one("SELECT count(*) AS n FROM entity")["n"] == 2


# --- two things are never made one ---


def test_two_known_orders_are_not_tied_by_a_deal(middle: Middle) -> None:
    middle.take(order(1), order(2))
    middle.take(deal(7, records=[to_order(1)]))
    middle.take(deal(7, LATER, records=[to_order(2)]))
    assert middle.outcome("deal/7")[-1] == "DEAD"
    assert [letter["cause"] for letter in middle.letters()] == ["two orders tied together"]
    assert middle.entity("shop/order/1").id != middle.entity("shop/order/2").id


def test_an_order_that_is_not_there_yet_cannot_be_tied_to_another_one(middle: Middle) -> None:
    middle.take(order(1, number="1001", total=rub(100)))
    middle.take(deal(7, records=[to_order(1)]))
    middle.take(deal(7, LATER, records=[to_order(2)]))
    middle.take(order(2, number="1002", total=rub(200)))
    assert middle.entity("shop/order/1").id != middle.entity("shop/order/2").id
    assert middle.outcome("order/2") == ["APPLIED"], "the innocent order goes on; the deal waits for a person"
    assert middle.outcome("deal/7")[-1] == "DEAD"


def test_neither_can_it_by_its_number(middle: Middle) -> None:
    middle.take(order(1, number="1001"))
    middle.take(deal(7, records=[to_order(1)], number="1001"))
    middle.take(deal(7, LATER, number="1002"))
    middle.take(order(2, number="1002"))
    assert middle.entity("shop/order/1").id != middle.entity("shop/order/2").id
    assert middle.outcome("order/2") == ["APPLIED"]


def test_one_event_that_names_two_orders_of_one_shop_is_refused(middle: Middle) -> None:
    middle.take(deal(7, records=[to_order(1), to_order(2)]))
    middle.take(order(1), order(2))
    assert middle.entity("shop/order/1").id != middle.entity("shop/order/2").id
    assert "DEAD" not in middle.outcome("order/1") + middle.outcome("order/2"), "the deal is wrong, not they"


def test_two_orders_in_one_batch_with_the_deal_that_names_both_stay_two(middle: Middle) -> None:
    middle.take(order(1), order(2), deal(7, records=[to_order(1)]), deal(7, LATER, records=[to_order(2)]))
    assert middle.entity("shop/order/1").id != middle.entity("shop/order/2").id


def test_a_deal_of_an_order_whose_number_was_corrected_goes_on(middle: Middle) -> None:
    middle.take(order(1, number="1001"), deal(7, number="1001"))
    middle.take(order(1, LATER, number="1002"))
    middle.take(deal(7, LATER, number="1001", comment="x"))
    assert middle.outcome("deal/7")[-1] == "APPLIED"


def test_a_copied_deal_belongs_to_the_same_order_and_the_first_stays_the_one_that_is_written(middle: Middle) -> None:
    middle.take(order(1), deal(7, records=[to_order(1)]))
    middle.take(deal(8, LATER, records=[to_order(1)]))
    known = middle.entity("shop/order/1")
    assert sorted(one.external_id for one in known.records if one.system == "crm") == ["7", "8"]
    first = known.primary("crm")
    assert first is not None
    assert first.external_id == "7"


# --- entities that turn out to be one ---


def test_what_hung_on_either_hangs_on_the_one_that_is_kept(middle: Middle) -> None:
    middle.take(deal(7, comment="by phone"))
    middle.take(order(1, number="1001", total=rub(100)))
    middle.take(payment(5, order=to_order(1), amount=rub(100), status="paid"))
    lost = middle.entity("shop/order/1").id
    middle.take(deal(7, LATER, records=[to_order(1)]))
    kept = middle.entity("shop/order/1")
    assert kept.id == middle.entity("crm/deal/7").id == middle.entity("number/shop/1001").id != lost
    assert kept.view.fields["comment"] == "by phone"
    assert kept.view.fields["payment_status"] == "paid"
    assert {one.system for one in kept.records} == {"shop", "crm"}
    assert middle.entity("bank/payment/5", "payment").parent_id == kept.id
    assert middle.one("SELECT merged_into FROM entity WHERE id = %s", lost)["merged_into"] == kept.id
    for table in ("event", "history", "record", "identity"):
        assert middle.rows(f"SELECT 1 FROM {table} WHERE entity_id = %s", lost) == []
    story = middle.rows("SELECT what, old FROM history WHERE entity_id = %s AND what = 'united'", kept.id)
    assert [line["old"] for line in story] == [str(lost)]


def test_three_that_are_one_by_overlapping_names_are_united_in_one_batch(middle: Middle) -> None:
    middle.take(deal(7, comment="a"))
    middle.take(order(1, number="1001"))
    middle.take(deal(8, comment="b"))
    middle.take(deal(7, LATER, records=[to_order(1)]), deal(8, LATER, number="1001"))
    assert len({middle.entity(key).id for key in ("crm/deal/7", "crm/deal/8", "shop/order/1")}) == 1


def test_a_payment_that_waited_for_its_order_follows_the_one_that_it_is_united_with(middle: Middle) -> None:
    """The shop has had that order all along."""
    middle.take(deal(7, comment="by phone"), payment(5, order=to_order(7, "crm", "deal"), amount=rub(100)))
    middle.take(order(1, LATER, total=rub(100)))
    waits = middle.entity("bank/payment/5", "payment").id
    middle.rows("UPDATE delivery SET due_at = now() + interval '5 minutes' WHERE entity_id = %s", waits)
    middle.bells.rung.clear()
    middle.take(order(1, LATER, comment="x", records=[to_order(7, "crm", "deal")]))
    assert middle.one("SELECT due_at <= now() AS now FROM delivery WHERE entity_id = %s", waits)["now"]
    assert ("shop", True) in middle.bells.rung


def test_a_payment_in_the_batch_that_unites_its_order_follows_it(middle: Middle) -> None:
    middle.take(deal(7, comment="a"))
    middle.take(order(1, number="1001", total=rub(100)))
    middle.take(payment(5, source="shop", order=to_order(1), amount=rub(100), status="pending"))
    middle.take(
        order(1, LATER, records=[to_order(7, "crm", "deal")]),
        payment(5, LATER, source="shop", order=to_order(1), status="paid"),
    )
    kept = middle.entity("crm/deal/7")
    assert middle.entity("shop/payment/5", "payment").parent_id == kept.id
    assert kept.view.fields["payment_status"] == "paid"
    assert middle.letters() == []


def test_a_decision_about_an_entity_that_was_united_meanwhile_reaches_the_one_that_is_kept(middle: Middle) -> None:
    middle.take(order(1, number="1001"))
    middle.take(deal(7, comment="a"))
    lost = middle.entity("crm/deal/7").id
    decided = said("bus", "order", f"order/{lost}", LATER, None, {"comment": "decided"})
    middle.wiring.publisher.publish(decided)
    middle.bells.published.clear()
    middle.take(deal(7, LATER, records=[to_order(1)]))
    middle.take(decided)
    assert middle.fields("shop/order/1")["comment"] == "decided"


def test_a_chain_of_unions_ends_at_the_one_that_is_kept(middle: Middle) -> None:
    middle.take(order(1, number="1001"))
    middle.take(deal(7, comment="a"))
    middle.take(said("onec", "order", "order/x", LATER, None, {"comment": "b"}))
    middle.take(said("onec", "order", "order/x", LATEST, None, {"records": [to_order(7, "crm", "deal")]}))
    middle.take(deal(7, LATEST, records=[to_order(1)]))
    assert len({middle.entity(key).id for key in ("onec/order/x", "crm/deal/7", "shop/order/1")}) == 1


# --- payments and their orders ---


def test_a_payment_must_name_its_order(middle: Middle) -> None:
    middle.take(payment(5, amount=rub(1)))
    assert [letter["cause"] for letter in middle.letters()] == ["payment without an order"]


def test_a_payment_known_before_need_not_name_it_again(middle: Middle) -> None:
    middle.take(order(1, total=rub(100)), payment(5, order=to_order(1), amount=rub(100), status="pending"))
    middle.take(payment(5, LATER, status="paid"))
    assert middle.fields("shop/order/1")["payment_status"] == "paid"


def test_a_payment_does_not_move_to_another_order(middle: Middle) -> None:
    middle.take(order(1), order(2), payment(5, order=to_order(1), amount=rub(100), status="paid"))
    middle.take(payment(5, LATER, order=to_order(2)))
    assert [letter["cause"] for letter in middle.letters()] == ["payment moved to another order"]


def test_what_the_bank_received_is_the_payment_that_the_shop_expects(middle: Middle) -> None:
    middle.take(order(1, total=rub(100)))
    middle.take(payment(5, source="shop", order=to_order(1), amount=rub(100), status="pending"))
    middle.take(payment(77, LATER, order=to_order(1), amount=rub(100), status="paid"))
    assert middle.entity("bank/payment/77", "payment").id == middle.entity("shop/payment/5", "payment").id
    assert middle.fields("shop/order/1")["paid_total"] == rub("100.00")
    assert "shop" in middle.due(middle.entity("bank/payment/77", "payment").id)


@pytest.mark.parametrize("amount", [rub(99), {"amount": "100", "currency": "USD"}])
def test_another_amount_is_another_payment(middle: Middle, amount: dict) -> None:
    middle.take(order(1), payment(5, source="shop", order=to_order(1), amount=rub(100), status="pending"))
    middle.take(payment(77, LATER, order=to_order(1), amount=amount, status="paid"))
    assert middle.entity("bank/payment/77", "payment").id != middle.entity("shop/payment/5", "payment").id


def test_two_equal_payments_of_the_bank_are_two_even_in_one_batch(middle: Middle) -> None:
    middle.take(
        order(1, total=rub(200)), payment(5, source="shop", order=to_order(1), amount=rub(100), status="pending")
    )
    both = [payment(number, LATER, order=to_order(1), amount=rub(100), status="paid") for number in (77, 78)]
    middle.take(*both)
    ids = {middle.entity(f"bank/payment/{number}", "payment").id for number in (77, 78)}
    assert len(ids) == 2
    assert middle.entity("shop/payment/5", "payment").id in ids
    assert middle.fields("shop/order/1")["paid_total"] == rub("200.00")


def test_two_expected_payments_of_the_same_amount_are_met_one_by_one(middle: Middle) -> None:
    expected = [payment(at, source="shop", order=to_order(1), amount=rub(100), status="pending") for at in (5, 6)]
    middle.take(order(1, total=rub(200)), *expected)
    middle.take(*[payment(number, LATER, order=to_order(1), amount=rub(100), status="paid") for number in (77, 78)])
    assert middle.one("SELECT count(*) AS n FROM entity WHERE kind = 'payment'")["n"] == 2
    assert middle.fields("shop/order/1")["payment_status"] == "paid"


def alike(at: int) -> Event:
    money = [{"system": "money", "type": "payment", "id": "2026-10-05 17 100"}]
    return payment(at, order=to_order(at), amount=rub(100), status="paid", records=money)


def both_are_paid(middle: Middle) -> bool:
    return [middle.fields(f"shop/order/{at}")["payment_status"] for at in (1, 2)] == ["paid", "paid"]


def test_two_transfers_that_look_alike_are_two_payments(middle: Middle) -> None:
    middle.take(order(1, total=rub(100)), order(2, total=rub(100)))
    for at in (1, 2):
        middle.take(alike(at))
    assert both_are_paid(middle)
    assert middle.letters() == []


def test_two_transfers_that_look_alike_are_two_payments_even_in_one_batch(middle: Middle) -> None:
    middle.take(order(1, total=rub(100)), order(2, total=rub(100)))
    middle.take(alike(1), alike(2))
    assert both_are_paid(middle)
    assert middle.letters() == []


def test_two_systems_that_name_one_external_number_speak_of_one_payment(middle: Middle) -> None:
    middle.take(order(1, total=rub(100)))
    told = {"order": to_order(1), "amount": rub(100), "status": "paid", "external_number": "PP-17"}
    middle.take(payment(77, **told))
    middle.take(payment(5, LATER, source="shop", **told))
    assert middle.entity("bank/payment/77", "payment").id == middle.entity("shop/payment/5", "payment").id
    assert middle.fields("shop/order/1")["paid_total"] == rub("100.00")


def test_an_order_that_1c_made_anew_under_its_number_is_the_same_order(middle: Middle) -> None:
    first = {"records": [{"system": "onec", "type": "guid", "id": "aaaa"}]}
    middle.take(said("onec", "order", "order/1001", LATER, None, first))
    again = {"records": [{"system": "onec", "type": "guid", "id": "bbbb"}], "comment": "заново"}
    middle.take(said("onec", "order", "order/1001", LATEST, None, again))
    assert middle.fields("onec/guid/bbbb")["comment"] == "заново"
    assert middle.letters() == []


def test_a_payment_that_named_its_order_in_the_same_batch_need_not_name_it_again(middle: Middle) -> None:
    middle.take(
        order(1, total=rub(100)),
        payment(5, order=to_order(1), amount=rub(100), status="pending"),
        payment(5, LATER, status="paid"),
    )
    assert middle.letters() == []
    assert middle.fields("shop/order/1")["payment_status"] == "paid"
