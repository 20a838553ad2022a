"""Bank statements become payments of orders, each once, over a real ledger; nothing else becomes one."""

import io
from collections.abc import Iterator
from typing import Any

import pytest

from bus.assigning import LOCK
from bus.errors import BadInput, Transient
from bus.statements import Taken, Way, key_of, way_of
from bus.systems import bank_statement
from bus.systems.bank_documents import Statement
from tests.bus.ledger.middle import Middle, built, config, order, payment, rub, to_order
from tests.bus.systems.statements import INN, OURS, OURS_TOO, THEIRS, document, paid, raw

BANK = {"kind": "bank", "accounts": [OURS]}
CUSTOMER = {"inn": INN}


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url, config(bank=BANK)) as made:
        made.take(order(1, number="1001", total=rub(100), customer=CUSTOMER))
        yield made


def read(*documents: str, **changes: Any) -> Statement:
    return bank_statement.read(io.BytesIO(raw(*documents, **changes)))


def take(middle: Middle, *documents: str, dry_run: bool = False, **changes: Any) -> Taken:
    taken = middle.wiring.statements.take("bank", read(*documents, **changes), dry_run=dry_run)
    middle.heard()
    return taken


def payments(middle: Middle) -> list[dict[str, Any]]:
    found = middle.rows("SELECT fields, parent_id FROM entity WHERE kind = 'payment' ORDER BY created_at")
    return [row["fields"] | {"order": row["parent_id"]} for row in found]


def test_money_received_pays_its_order(middle: Middle) -> None:
    taken = take(middle, document(НазначениеПлатежа="Оплата заказа №1001"))
    (made,) = payments(middle)
    assert (taken.accepted.new, taken.asked, taken.listed) == (1, [], [])
    assert made == {
        "amount": rub("100.00"),
        "method": "bank",
        "status": "paid",
        "paid_at": "2026-10-04T21:00:00Z",
        "external_number": "17",
        "order": middle.entity("shop/order/1").id,
    }
    assert middle.fields("shop/order/1")["payment_status"] == "paid"


@pytest.mark.parametrize(
    "odd",
    [{"Дата": "05.10.9999", "ДатаПоступило": None}, {"Номер": "1" * 300}, {"Номер": "1\x007"}],
    ids=["day", "long", "nul"],
)
def test_a_document_that_makes_no_event_is_a_fault_of_its_own(middle: Middle, odd: dict[str, str | None]) -> None:
    taken = take(middle, document(**odd), document())
    assert taken.accepted.new == 1
    assert [fault.partition(":")[0] for fault in taken.faults] == ["line 8"]


def test_the_same_statement_twice_changes_nothing(middle: Middle) -> None:
    first, again = (take(middle, document(), paid()) for _ in range(2))
    assert (first.accepted.new, first.accepted.known) == (1, 0)
    assert (again.accepted.new, again.accepted.known) == (0, 1)
    assert len(payments(middle)) == 1


def test_the_evening_statement_brings_only_what_the_noon_one_had_not(middle: Middle) -> None:
    middle.take(order(2, number="1002", total=rub(100), customer=CUSTOMER))
    take(middle, document(НазначениеПлатежа="заказ 1002"))
    evening = take(middle, document(НазначениеПлатежа="заказ 1002"), document(Номер="18"))
    assert (evening.accepted.new, evening.accepted.known) == (1, 1)
    assert [middle.fields(f"shop/order/{one}")["payment_status"] for one in (1, 2)] == ["paid", "paid"]


def test_payments_that_are_not_in_the_ledger_yet_count_as_paid(middle: Middle) -> None:
    statements = [read(document(Номер=number)) for number in ("17", "18")]
    first, second = (middle.wiring.statements.take("bank", one) for one in statements)
    assert (len(first.assigned), len(second.asked)) == (1, 1), "the second hundred is for no order that is still open"


KEYS = [
    {"Номер": "18"},
    {"Дата": "06.10.2026"},
    {"Сумма": "100.01"},
    {"ПлательщикСчет": "40702810900000000078"},
    {"ПлательщикИНН": "500100732259"},
    {"ПлательщикКПП": "773601002"},
]


@pytest.mark.parametrize("change", KEYS, ids=str)
def test_documents_that_differ_in_one_of_their_marks_are_two(change: dict[str, str]) -> None:
    one, other = read(document(), document(**change)).documents
    assert key_of(one, Way.IN) != key_of(other, Way.IN)


def test_another_kind_of_document_is_another_one() -> None:
    one, other = read(document(), document("Инкассовое поручение")).documents
    assert key_of(one, Way.IN) != key_of(other, Way.IN)


def test_a_number_is_the_same_with_zeros_before_it_and_a_kind_however_it_is_spelt() -> None:
    one, other = read(document(), document("платёжное  поручение", Номер="0017")).documents
    assert key_of(one, Way.IN) == key_of(other, Way.IN)


def test_the_same_document_twice_in_one_file_is_taken_once_and_told_of(middle: Middle) -> None:
    taken = take(middle, document(), document(Номер="0017"))
    assert taken.accepted.new == 1
    assert taken.warnings == (
        "line 23: the same document as in line 8, by everything a bank tells them apart by; taken once",
    )


def test_a_document_that_was_posted_later_is_told_again_and_keeps_its_order(middle: Middle) -> None:
    take(middle, document(ДатаПоступило=None))
    later = take(middle, document(ДатаПоступило="07.10.2026"))
    assert later.accepted.new == 1
    (made,) = payments(middle)
    assert (made["paid_at"], made["order"]) == ("2026-10-06T21:00:00Z", middle.entity("shop/order/1").id)


WAYS = {
    "received": (document(), Way.IN),
    "received at the client's own account": (
        document(ПолучательСчет="30101810400000000225", ПолучательРасчСчет=OURS),
        Way.IN,
    ),
    "paid": (paid(), Way.OUT),
    "given back": (paid(НазначениеПлатежа="ВОЗВРАТ оплаты"), Way.BACK),
    "given back in other words": (paid(НазначениеПлатежа="возвращены деньги"), Way.BACK),
    "between own accounts": (document(ПлательщикСчет=OURS_TOO), Way.BETWEEN),
    "between others": (document(ПолучательСчет=THEIRS), Way.FOREIGN),
    "nothing": (document(Сумма="0.00"), Way.NOTHING),
}


@pytest.mark.parametrize(("one", "way"), WAYS.values(), ids=WAYS.keys())
def test_which_way_money_went_is_told_by_the_companys_own_accounts(one: str, way: Way) -> None:
    assert way_of(read(one).documents[0], [OURS, OURS_TOO]) is way


def test_what_is_no_payment_is_listed_with_the_reason(middle: Middle) -> None:
    loan = paid(ПолучательИНН="500100732259", НазначениеПлатежа="Возврат займа")
    taken = take(middle, paid(), document(Сумма="0.00"), loan)
    assert taken.report() == [
        "3 documents: 0 payments are new, 0 known, 3 are no payments, 0 could not be read",
        "line 8: № 17 of 05.10.2026, 100.00: paid",
        "line 22: № 17 of 05.10.2026, 0.00: no money moved",
        "line 37: № 17 of 05.10.2026, 100.00: given back, to no customer of an order that we know",
    ]
    assert payments(middle) == []


def test_money_given_back_to_a_customer_is_a_refund_of_his_order(middle: Middle) -> None:
    take(middle, document())
    take(middle, paid(Номер="5", НазначениеПлатежа="Возврат оплаты по заказу 1001", Сумма="40.00"))
    assert [made["status"] for made in payments(middle)] == ["paid", "refund"]
    assert middle.fields("shop/order/1")["paid_total"] == rub("60.00")


def test_money_for_an_order_that_nobody_knows_asks_a_person_with_what_speaks_for_which(middle: Middle) -> None:
    taken = take(middle, document(Сумма="30.00", НазначениеПлатежа="по договору от Лютика"))
    question = middle.one("SELECT * FROM question")
    assert (question["asks"], question["system"], question["state"]) == ("order", "bank", "open")
    assert question["candidates"] == [
        {"entity": str(middle.entity("shop/order/1").id), "number": "1001", "why": "the same payer, 100.00 RUB open"}
    ]
    assert (question["about"]["payer"], question["about"]["inn"]) == ('ООО "Ромашка"', INN)
    assert (len(taken.asked), payments(middle)) == (1, [])
    assert "Лютика" not in str(taken.report())
    assert "Ромашка" not in str(taken.report())


def test_an_answered_question_assigns_and_is_not_asked_again(middle: Middle) -> None:
    take(middle, document(Сумма="30.00"))
    question = middle.one("SELECT id FROM question")["id"]
    middle.wiring.questions.of_order(question, "1001", "anna")
    middle.heard()
    take(middle, document(Сумма="30.00"))
    assert [made["order"] for made in payments(middle)] == [middle.entity("shop/order/1").id]
    assert middle.one("SELECT state FROM question") == {"state": "decided"}


def test_money_that_is_asked_about_anew_shows_what_it_showed_before_and_finds_its_order(middle: Middle) -> None:
    take(middle, document(НазначениеПлатежа="Оплата заказа №2002"))
    (before,) = middle.wiring.questions.listing()
    middle.rows("UPDATE question SET deadline = now() - interval '1 day'")
    middle.rows("UPDATE event SET deadline = now() - interval '1 day' WHERE state = 'waiting'")
    assert middle.wiring.chores.deadlines()["questions_expired"] == 1
    middle.wiring.dead_letters.retry([letter["id"] for letter in middle.letters()], "anna")
    middle.heard()
    (after,) = middle.wiring.questions.listing()
    assert after["id"] > before["id"]
    assert (after["about"], after["candidates"]) == (before["about"], before["candidates"])
    middle.take(order(2, number="2002", total=rub(100), customer=CUSTOMER))
    assert middle.wiring.unassigned.look_again() == 1


def test_money_that_was_there_before_its_order_finds_it(middle: Middle) -> None:
    take(middle, document(НазначениеПлатежа="Оплата заказа №2002"))
    assert middle.wiring.unassigned.look_again() == 0, "nobody knows that order"
    middle.take(order(2, number="2002", total=rub(100), customer=CUSTOMER))
    assert middle.wiring.unassigned.look_again() == 1
    middle.heard()
    assert middle.fields("shop/order/2")["payment_status"] == "paid"
    answered = middle.one("SELECT state, decided_by FROM question")
    assert answered == {"state": "decided", "decided_by": "bus: its order came"}
    assert middle.wiring.unassigned.look_again() == 0


def test_money_that_fits_two_orders_still_waits_for_a_person(middle: Middle) -> None:
    take(middle, document(НазначениеПлатежа="Оплата по счёту", Сумма="70.00"))
    for number in (2, 3):
        middle.take(order(number, number=f"200{number}", total=rub(70), customer=CUSTOMER))
    assert middle.wiring.unassigned.look_again() == 0
    assert middle.one("SELECT state FROM question") == {"state": "open"}


def test_two_payments_of_one_sum_are_not_given_to_one_order(middle: Middle) -> None:
    take(middle, *(document(Номер=number, Сумма="70.00", НазначениеПлатежа="Оплата") for number in ("17", "18")))
    middle.take(order(2, number="2002", total=rub(70), customer=CUSTOMER))
    assert middle.wiring.unassigned.look_again() == 1
    middle.heard()
    assert middle.fields("shop/order/2")["paid_total"] == rub("70.00")


def test_what_a_person_has_assigned_counts_as_paid_before_the_ledger_has_it(middle: Middle) -> None:
    take(middle, document(НазначениеПлатежа="Оплата заказа №777"))
    middle.wiring.questions.of_order(middle.wiring.questions.listing()[0]["id"], "1001", "anna")
    second = middle.wiring.statements.take("bank", read(document(Номер="18")))
    assert (len(second.assigned), len(second.asked)) == (0, 1)
    middle.heard()
    assert middle.fields("shop/order/1")["paid_total"] == rub("100.00")


@pytest.fixture
def two_banks(database_url: str) -> Iterator[Middle]:
    known = config(bank=BANK)
    systems = known.systems | {"other": known.systems["bank"]}
    with built(database_url, known.model_copy(update={"systems": systems})) as made:
        yield made


def test_what_one_bank_tells_counts_as_paid_for_another(two_banks: Middle) -> None:
    two_banks.take(order(1, number="1001", total=rub(100), customer=CUSTOMER))
    statements = {"bank": read(document()), "other": read(document(Номер="18"))}
    first, second = (two_banks.wiring.statements.take(bank, one) for bank, one in statements.items())
    assert (len(first.assigned), len(second.asked)) == (1, 1)


def test_the_money_of_two_banks_is_not_given_to_one_order_that_came_since(two_banks: Middle) -> None:
    for bank, number in (("bank", "17"), ("other", "18")):
        two_banks.wiring.statements.take(bank, read(document(Номер=number)))
    two_banks.heard()
    two_banks.take(order(1, number="1001", total=rub(100), customer=CUSTOMER))
    assert [two_banks.wiring.unassigned.look_again() for _ in range(2)] == [1, 0]
    two_banks.heard()
    assert two_banks.fields("shop/order/1")["paid_total"] == rub("100.00")


def test_a_statement_that_is_only_tried_writes_nothing(middle: Middle) -> None:
    taken = take(middle, document(), document(Номер="18", Сумма="5.00"), dry_run=True)
    assert (len(taken.assigned), len(taken.asked), taken.accepted.new) == (1, 1, 0)
    assert middle.rows("SELECT 1 FROM question") + middle.rows("SELECT 1 FROM event WHERE source = 'bank'") == []


def test_the_payment_that_the_shop_waits_for_is_this_one(middle: Middle) -> None:
    middle.take(payment(5, source="shop", order=to_order(1), amount=rub(100), status="pending"))
    take(middle, document())
    (made,) = payments(middle)
    assert made["status"] == "paid"


def test_the_same_money_told_by_the_books_is_one_payment(middle: Middle) -> None:
    take(middle, document(Номер="00017"))
    same = {"system": "money", "type": "payment", "id": f"2026-10-05:17:100.00:{INN}"}
    middle.take(payment("a", source="onec", order=to_order(1), amount=rub(100), status="paid", records=[same]))
    assert len(payments(middle)) == 1


def test_without_accounts_in_the_configuration_those_of_the_file_are_ours(database_url: str) -> None:
    with built(database_url, config(bank={"kind": "bank"})) as middle:
        middle.take(order(1, number="1001", total=rub(100), customer=CUSTOMER))
        taken = take(middle, document(), document(ПлательщикСчет=OURS_TOO), head=f"РасчСчет={OURS_TOO}\n")
        assert (taken.accepted.new, [one.why for one in taken.listed]) == (1, ["between own accounts"])


def test_a_file_of_somebody_elses_account_is_told_of(middle: Middle) -> None:
    taken = take(middle, document(ПолучательСчет=OURS_TOO), head=f"РасчСчет={OURS_TOO}\n")
    assert taken.warnings == ("not among the accounts of bank in bus.yaml: …0002; nothing of them is taken",)
    assert taken.accepted.new == 0


def test_an_account_in_a_currency_that_nobody_knows_makes_no_payment(database_url: str) -> None:
    account = "40702111400000000001"
    with built(database_url, config(bank={"kind": "bank", "accounts": [account]})) as middle:
        taken = take(middle, document(ПолучательСчет=account))
        assert taken.faults == ("line 8: the account's currency code 111 is not known",)


def test_a_foreign_account_is_paid_in_its_own_currency(database_url: str) -> None:
    account = "40702840400000000001"
    with built(database_url, config(bank={"kind": "bank", "accounts": [account]})) as middle:
        middle.take(order(1, number="1001", total={"amount": "100", "currency": "USD"}, customer=CUSTOMER))
        take(middle, document(ПолучательСчет=account))
        assert middle.fields("shop/order/1")["payment_status"] == "paid"


def test_a_bank_whose_payments_are_switched_off_is_refused_before_they_are_known(database_url: str) -> None:
    with built(database_url, config(bank={"kind": "bank", "routes": {}})) as middle:
        with pytest.raises(BadInput, match=r"switched off: set routes\.payment\.in of it to full"):
            take(middle, document())
        assert middle.rows("SELECT 1 FROM event") + middle.rows("SELECT 1 FROM question") == []


def test_two_cannot_take_statements_at_once(middle: Middle) -> None:
    with middle.ledger.alone(LOCK), pytest.raises(Transient, match="another bank statement is being read"):
        take(middle, document())


def test_the_only_bank_is_meant_where_none_is_named(middle: Middle) -> None:
    statements = middle.wiring.statements
    assert statements.system(None) == statements.system("bank") == "bank"
    with pytest.raises(BadInput, match="--system must name a system of kind bank: bank"):
        statements.system("shop")


def test_a_bus_without_a_bank_says_so(database_url: str) -> None:
    with built(database_url) as middle, pytest.raises(BadInput, match=r"no system of bus.yaml is of kind bank"):
        middle.wiring.statements.system(None)
