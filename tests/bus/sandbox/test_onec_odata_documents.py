import pytest

from tests.bus.sandbox.books import ORDERS, RECEIPTS, STATES, at

DAY = {"Date": "2026-10-05T00:00:00"}


@pytest.fixture
def order(onec):
    party = onec.act("create_counterparty", name="Ромашка", inn="7707083893")["id"]
    lines = [{"name": "Чайник", "price": 1000, "quantity": 2}]
    return onec.act("create_order", counterparty=party, lines=lines, post=False)["id"]


@pytest.mark.parametrize("verb", ["POST", "GET"])
def test_posting_and_unposting_work_by_either_verb(onec, order, verb):
    answer = onec.ask(verb, f"{at(ORDERS, order)}/Post", {"PostingModeOperational": "false"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert onec.json("GET", at(ORDERS, order))["Posted"] is True
    assert onec.ask(verb, f"{at(ORDERS, order)}/Unpost").status_code == 200
    assert onec.json("GET", at(ORDERS, order))["Posted"] is False


def test_only_documents_are_posted(onec, order):
    party = onec.json("GET", at(ORDERS, order))["Контрагент_Key"]
    assert onec.code("POST", f"Catalog_Контрагенты(guid'{party}')/Post") == (404, "11")
    assert onec.code("POST", f"{at(ORDERS, party)}/Post") == (404, "9")


def test_a_marked_document_is_not_posted_and_a_posted_one_not_marked(onec, order):
    onec.json("PATCH", at(ORDERS, order), {"DeletionMark": True})
    assert onec.code("POST", f"{at(ORDERS, order)}/Post") == (500, "-1")
    onec.json("PATCH", at(ORDERS, order), {"DeletionMark": False})
    onec.ask("POST", f"{at(ORDERS, order)}/Post")
    assert onec.code("PATCH", at(ORDERS, order), {"DeletionMark": True}) == (500, "-1")
    assert onec.json("GET", at(ORDERS, order))["DeletionMark"] is False


@pytest.mark.parametrize(
    "lack", [{"Организация_Key": "0" * 8 + "-0000-0000-0000-" + "0" * 12}, {"Товары": []}], ids=["head", "lines"]
)
def test_what_is_written_without_a_check_does_not_post(onec, order, lack):
    onec.json("PATCH", at(ORDERS, order), lack)
    assert onec.code("POST", f"{at(ORDERS, order)}/Post") == (500, "-1")


def test_a_payment_whose_split_is_not_its_sum_does_not_post(onec, order):
    paid = onec.act("create_payment", order=order, amount=500, post=False)["id"]
    onec.json("PATCH", at(RECEIPTS, paid), {"СуммаДокумента": 600})
    assert onec.code("POST", f"{at(RECEIPTS, paid)}/Post") == (500, "-1")


def test_numbers_run_by_prefix_set_and_year(onec, order):
    organisation = onec.json("GET", at(ORDERS, order))["Организация_Key"]
    ours = DAY | {"Организация_Key": organisation}

    def number(name, **fields):
        return onec.json("POST", name, ours | fields, status=201)["Number"]

    assert [number(ORDERS), number(ORDERS), number(RECEIPTS)] == ["ТДЦБ-000001", "ТДЦБ-000002", "ТДЦБ-000001"]
    assert number(ORDERS, Date="2027-01-01T00:00:00") == "ТДЦБ-000001"
    assert number(ORDERS, Number="ТДЦБ-000003") == "ТДЦБ-000003"
    assert number(ORDERS) == "ТДЦБ-000004"
    assert onec.json("POST", ORDERS, DAY, status=201)["Number"] == "ЦБ-00000001"
    assert onec.code("POST", ORDERS, ours | {"Number": "ТДЦБ-000003"}) == (500, "-1")


def test_replacing_a_document_leaves_its_number_and_its_posting(onec, order):
    onec.act("post_order", id=order)
    after = onec.json("PUT", at(ORDERS, order), DAY)
    assert (after["Number"], after["Posted"], after["Date"], after["Товары"]) == ("ТДЦБ-000001", True, DAY["Date"], [])


def test_a_document_wants_a_date(onec):
    assert onec.code("POST", ORDERS, {"Комментарий": "x"}) == (500, "-1")


def test_nothing_changes_in_a_closed_period(onec, order):
    onec.set(closed_until="2026-10-05")
    assert onec.code("POST", RECEIPTS, DAY) == (500, "-1")
    onec.json("POST", RECEIPTS, {"Date": "2026-10-06T00:00:00"}, status=201)
    assert onec.code("PATCH", at(ORDERS, order), {"Комментарий": "x"}) == (500, "-1")
    assert onec.code("PATCH", at(ORDERS, order), {"Date": "2026-10-07T00:00:00"}) == (500, "-1")
    assert onec.code("POST", f"{at(ORDERS, order)}/Post") == (500, "-1")


def test_a_refused_document_takes_no_number(onec):
    onec.set(closed_until="2026-10-05")
    assert onec.code("POST", RECEIPTS, DAY) == (500, "-1")
    made = onec.json("POST", RECEIPTS, {"Date": "2026-10-06T00:00:00"}, status=201)
    assert made["Number"] == "ЦБ-00000001"


def test_an_order_sums_its_lines_and_numbers_them(onec, order):
    lines = [
        {"LineNumber": 1, "Цена": 10, "Количество": 3, "Сумма": 30, "СуммаСНДС": 36},
        {"LineNumber": 2, "Цена": 5, "Количество": 1, "Сумма": 5, "Отменено": True},
        {"LineNumber": 3, "Цена": 0.1, "Количество": 3, "Сумма": 0.3},
    ]
    body = onec.json("PATCH", at(ORDERS, order), {"Товары": lines})
    assert body["СуммаДокумента"] == 36.3
    assert [line["КодСтроки"] for line in body["Товары"]] == ["2", "3", "4"]


def state(onec):
    rows = onec.rows(STATES)
    return rows[0]["Состояние"] if rows else None


def test_the_state_of_an_order_follows_its_documents(onec, order):
    assert state(onec) == "ОжидаетсяСогласование"
    onec.act("post_order", id=order)
    assert state(onec) == "ГотовКОбеспечению"
    lines = [{"name": "Чайник", "price": 1000, "quantity": 2}]
    onec.act("edit_order", id=order, lines=lines, advance=500, prepay=700)
    assert state(onec) == "ОжидаетсяАвансДоОбеспечения"
    onec.act("create_payment", order=order, amount=500)
    assert state(onec) == "ГотовКОбеспечению"
    onec.act("edit_order", id=order, status="КОтгрузке")
    assert state(onec) == "ОжидаетсяПредоплатаДоОтгрузки"
    prepaid = onec.act("create_card_payment", order=order, amount=700)["id"]
    assert state(onec) == "ГотовКОтгрузке"
    onec.act("ship_order", id=order, quantities=[1])
    assert state(onec) == "ВПроцессеОтгрузки"
    onec.act("ship_order", id=order, quantities=[1])
    assert state(onec) == "ОжидаетсяОплатаПослеОтгрузки"
    onec.act("create_payment", order=order, amount=800)
    assert state(onec) == "ГотовКЗакрытию"
    onec.act("create_refund", order=order, amount=1)
    assert state(onec) == "ОжидаетсяОплатаПослеОтгрузки"
    onec.act("unpost_card_payment", id=prepaid)
    assert onec.rows(STATES)[0]["ПроцентОплаты"] == 64.95
    onec.act("edit_order", id=order, status="Закрыт")
    assert state(onec) == "Закрыт"
    onec.act("delete_order", id=order)
    assert state(onec) is None


def test_a_payment_moved_to_another_order_leaves_the_first_one(onec, order):
    other = onec.act("create_order", counterparty=onec.json("GET", at(ORDERS, order))["Контрагент_Key"])["id"]
    paid = onec.act("create_payment", orders=[{"order": order, "amount": 300}, {"order": other, "amount": 200}])["id"]
    settlements = onec.site.objects.settlements
    assert (settlements.paid(order), settlements.paid(other)) == (300, 200)
    onec.act("edit_payment", id=paid, orders=[{"order": other, "amount": 500}])
    assert (settlements.paid(order), settlements.paid(other)) == (0, 500)
    assert settlements.documents(order) == []
    onec.ask("DELETE", at(RECEIPTS, paid))
    assert settlements.paid(other) == 0
