"""Which counterparty a record is: over a real ledger, through the path."""

from collections.abc import Iterator

import pytest

from bus.errors import BadInput
from tests.bus.ledger.middle import Middle, built, config, gone, order, payment, rub, said, to_order

FULL = {"in": "full", "out": "full"}
INN = {"inn": "7707083893", "kpp": "773601001"}


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    base = {"kind": "onec", "url": "http://127.0.0.1:9/base/odata/standard.odata/", "user": "bus", "password": "secret"}
    file = config(
        onec=base | {"routes": {"counterparty": FULL, "payment": {"in": "full"}, "order": {"in": "full"}}},
        crm={"routes": {"counterparty": FULL, "order": FULL}},
        bank={"kind": "bank"},
    )
    with built(database_url, file) as made:
        yield made


def party(record: int | str, source: str = "onec", at: str = "2026-10-05T10:00:00Z", **data: object):
    where = "counterparty" if source == "onec" else "party"
    return said(source, "counterparty", f"{where}/{record}", at, None, {"type": "legal_entity", **data})


def count(middle: Middle) -> int:
    return middle.one("SELECT count(*) AS n FROM entity WHERE kind = 'counterparty' AND merged_into IS NULL")["n"]


def open_questions(middle: Middle) -> list:
    return middle.wiring.questions.listing()


def test_the_same_inn_and_kpp_in_two_systems_are_one(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("company:1", "crm", name="Ромашка (склад)", **INN))
    assert count(middle) == 1
    assert open_questions(middle) == []


def test_two_first_heard_of_in_one_batch_are_one_too(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("company:1", "crm", name="Ромашка", **INN))
    assert count(middle) == 1


def test_branches_of_one_legal_entity_are_two(middle: Middle) -> None:
    middle.take(
        party("a", name="Ромашка", **INN), party("company:1", "crm", name="Ромашка", inn=INN["inn"], kpp="502401001")
    )
    assert count(middle) == 2


def test_the_same_name_and_phone_without_an_inn_are_one(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', phones=["+79991234567"], **INN))
    middle.take(party("company:1", "crm", name="Ромашка", phones=["+79991234567"]))
    assert count(middle) == 1


def test_what_is_only_possible_waits_for_a_person_who_says_that_it_is_the_same(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка", address="Пермь"))
    assert middle.outcome("party/company:1") == ["WAITING"]
    (asked,) = open_questions(middle)
    (candidate,) = asked["candidates"]
    assert candidate["why"] == ["the same name"]
    middle.wiring.questions.same(asked["id"], str(middle.entity("onec/counterparty/a", "counterparty").id), "anna")
    middle.heard()
    assert count(middle) == 1
    assert middle.fields("crm/party/company:1", "counterparty")["address"] == "Пермь"
    assert [one["action"] for one in middle.rows("SELECT action FROM operator_action")] == ["match"]


def test_or_that_it_is_another_one_and_is_not_asked_again(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка"))
    middle.wiring.questions.new(open_questions(middle)[0]["id"], "anna")
    middle.heard()
    assert count(middle) == 2
    middle.take(party("company:1", "crm", "2026-10-05T11:00:00Z", name="Ромашка", address="Пермь"))
    assert open_questions(middle) == []


def test_a_question_that_answers_itself_is_closed(middle: Middle) -> None:
    middle.take(party("a", name='ООО "Ромашка"', **INN))
    middle.take(party("company:1", "crm", name="Ромашка"))
    middle.take(party("company:1", "crm", "2026-10-05T11:00:00Z", name="Ромашка", **INN))
    assert count(middle) == 1
    assert open_questions(middle) == []
    assert middle.rows("SELECT state FROM question") == [{"state": "moot"}]
    assert "WAITING" not in middle.outcome("party/company:1")


def test_two_live_records_of_one_system_with_one_inn_are_asked_about(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("b", name="Ромашка", **INN))
    (asked,) = open_questions(middle)
    assert asked["candidates"][0]["systems"] == ["onec"]
    middle.wiring.questions.same(asked["id"], str(middle.entity("onec/counterparty/a", "counterparty").id), "anna")
    middle.heard()
    assert count(middle) == 1


def test_a_record_made_anew_after_its_deletion_is_the_same_counterparty(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(gone("onec", "counterparty", "counterparty/a"))
    middle.take(party("b", name="Ромашка", **INN))
    assert count(middle) == 1
    assert open_questions(middle) == []


def test_two_known_ones_become_one_when_one_gets_the_others_inn(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("company:1", "crm", name="Цветы"))
    assert count(middle) == 2
    middle.take(party("company:1", "crm", "2026-10-05T11:00:00Z", name="Цветы", **INN))
    assert count(middle) == 1
    assert middle.entity("crm/party/company:1", "counterparty").view.fields["inn"] == INN["inn"]


def test_two_of_one_system_do_not_become_one_by_a_typed_inn(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("b", name="Цветы", inn="7736207543", kpp="773601001"))
    middle.take(party("b", "onec", "2026-10-05T11:00:00Z", name="Цветы", **INN))
    assert count(middle) == 2
    assert len(open_questions(middle)) == 1


def test_a_company_may_change_its_kpp(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN))
    middle.take(party("a", "onec", "2026-10-05T11:00:00Z", name="Ромашка", inn=INN["inn"], kpp="502401001"))
    assert middle.outcome("counterparty/a") == ["APPLIED", "APPLIED"]
    assert middle.fields("onec/counterparty/a", "counterparty")["kpp"] == "502401001"


def test_a_record_linked_by_mistake_is_parted_again(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", **INN), party("company:1", "crm", name="Ромашка", **INN))
    middle.wiring.questions.part("crm", "party/company:1", "anna")
    middle.take(party("company:1", "crm", "2026-10-05T11:00:00Z", name="Ромашка", **INN))
    assert count(middle) == 2
    with pytest.raises(BadInput, match="nothing that it could be parted from"):
        middle.wiring.questions.part("crm", "party/company:9", "anna")


def test_requisites_that_cannot_be_right_are_kept_and_told_of(middle: Middle) -> None:
    middle.take(party("a", name="Ромашка", inn="7707083890", kpp="773601001"))
    fields = middle.fields("onec/counterparty/a", "counterparty")
    assert fields["inn"] == "7707083890"
    assert "inn" in fields["doubts"]
    middle.take(party("a", "onec", "2026-10-05T11:00:00Z", name="Ромашка", **INN))
    assert not middle.fields("onec/counterparty/a", "counterparty")["doubts"]


# --- payments and the books ---


def paid(record: str, source: str, **data: object):
    return payment(record, source=source, status="paid", **data)


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
