import pytest
import requests

from tests.bus.sandbox.books import ORDERS, PARTIES, PARTNERS, RECEIPTS, at

ACCOUNTS = "Catalog_БанковскиеСчетаКонтрагентов"
WRITE_OFFS = "Document_СписаниеБезналичныхДенежныхСредств"


@pytest.fixture
def party(onec):
    account = {"account": "40702810900000000001", "bic": "044525225", "bank": "Банк"}
    return onec.act(
        "create_counterparty",
        name="Ромашка ООО",
        full_name='ООО "Ромашка"',
        inn="7707083893",
        kpp="773601001",
        phones=["+7 495 1234567", "8 (495) 765-43-21"],
        emails="a@example.com",
        legal_address="Москва",
        accounts=[account],
    )


def test_a_counterparty_is_entered_as_by_its_form(onec, party):
    row = onec.json("GET", at(PARTIES, party["id"]))
    assert (row["НаименованиеПолное"], row["ЮрФизЛицо"], row["ЮридическоеФизическоеЛицо"]) == (
        'ООО "Ромашка"',
        "ЮрЛицо",
        "ЮридическоеЛицо",
    )
    contacts = [(one["Тип"], one["Представление"]) for one in row["КонтактнаяИнформация"]]
    assert contacts == [
        ("Телефон", "+7 495 1234567"),
        ("Телефон", "8 (495) 765-43-21"),
        ("АдресЭлектроннойПочты", "a@example.com"),
        ("Адрес", "Москва"),
    ]
    assert onec.json("GET", at(PARTNERS, party["partner"]))["Клиент"] is True
    assert [one["БИКБанка"] for one in onec.rows(ACCOUNTS, filter=f"Owner_Key eq guid'{party['id']}'")] == ["044525225"]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"inn": "500100732259"}, "ИндивидуальныйПредприниматель"),
        ({"inn": "500100732259", "kind": "person"}, "ФизЛицо"),
        ({}, "ЮрЛицо"),
        ({"fields": {"ЮрФизЛицо": "ЮрЛицоНеРезидент"}}, "ЮрЛицоНеРезидент"),
    ],
)
def test_the_kind_follows_from_the_inn_unless_it_is_said(onec, given, kind):
    key = onec.act("create_counterparty", name="А", **given)["id"]
    assert onec.json("GET", at(PARTIES, key))["ЮрФизЛицо"] == kind


def test_an_edit_replaces_only_the_contacts_it_names(onec, party):
    edit = {"phones": ["+7 812 0000000"], "kpp": "773601002"}
    done = onec.act("edit_counterparty", id=party["id"], **edit)
    assert (done["changed"], done["version"]) == (True, "AAAAAAAAAAE=")
    row = onec.json("GET", at(PARTIES, party["id"]))
    assert {one["Представление"] for one in row["КонтактнаяИнформация"]} == {
        "+7 812 0000000",
        "a@example.com",
        "Москва",
    }
    assert onec.act("edit_counterparty", id=party["id"], kpp="773601002")["changed"] is False


def test_a_known_account_is_changed_and_a_new_one_added(onec, party):
    known = {"account": "40702810900000000001", "bic": "044525187"}
    fresh = {"account": "40702810900000000002", "bic": "044525225"}
    onec.act("edit_counterparty", id=party["id"], accounts=[known, fresh])
    assert sorted(one["БИКБанка"] for one in onec.rows(ACCOUNTS)) == ["044525187", "044525225"]


def test_a_deletion_mark_is_set_and_lifted(onec, party):
    for undo, marked in ((False, True), (True, False)):
        onec.act("delete_counterparty", id=party["id"], undo=undo)
        assert onec.json("GET", at(PARTIES, party["id"]))["DeletionMark"] is marked


def test_marking_a_posted_document_unposts_it(onec, party):
    order = onec.act("create_order", counterparty=party["id"])["id"]
    onec.act("delete_order", id=order)
    row = onec.json("GET", at(ORDERS, order))
    assert (row["DeletionMark"], row["Posted"]) == (True, False)


def test_merging_moves_documents_and_marks_the_double(onec, party):
    double = onec.act("create_counterparty", name="Ромашка", accounts=[{"account": "1", "bic": "2"}])
    order = onec.act("create_order", counterparty=double["id"])["id"]
    paid = onec.act("create_payment", order=order, amount=5)["id"]
    assert onec.act("merge_counterparties", keep=party["id"], drop=double["id"])["moved"] == 2
    assert onec.json("GET", at(PARTIES, double["id"]))["DeletionMark"] is True
    row = onec.json("GET", at(ORDERS, order))
    assert (row["Контрагент_Key"], row["Партнер_Key"], row["Posted"]) == (party["id"], party["partner"], True)
    line = onec.json("GET", at(RECEIPTS, paid))["РасшифровкаПлатежа"][0]
    assert (line["Партнер_Key"], line["ОснованиеПлатежа"]) == (party["partner"], order)
    assert {one["Owner_Key"] for one in onec.rows(ACCOUNTS)} == {party["id"]}


def test_an_order_has_a_head_lines_and_a_schedule(onec, party):
    lines = [{"name": "Чайник", "price": 1000, "quantity": 2}, {"name": "Чашка", "price": 5, "vat": 0}]
    made = onec.act("create_order", counterparty=party["id"], client_number="1001", lines=lines, prepay=401)
    row = onec.json("GET", at(ORDERS, made["id"]))
    assert (made["number"], made["total"], row["НомерПоДаннымКлиента"], row["Posted"]) == (
        "ТДЦБ-000001",
        2005,
        "1001",
        True,
    )
    assert [(one["СуммаНДС"], one["Сумма"]) for one in row["Товары"]] == [(333.33, 2000), (0, 5)]
    assert [
        (one["ВариантОплаты"], one["СуммаПлатежа"], one["ПроцентПлатежа"]) for one in row["ЭтапыГрафикаОплаты"]
    ] == [
        ("ПредоплатаДоОтгрузки", 401, 20),
        ("КредитПослеОтгрузки", 1604, 80),
    ]


def test_money_is_split_over_orders_and_given_back(onec, party):
    orders = [onec.act("create_order", counterparty=party["id"])["id"] for _ in range(2)]
    parts = [{"order": order, "amount": amount} for order, amount in zip(orders, ("980", "20.5"), strict=True)]
    paid = onec.act("create_payment", orders=parts, number="17", number_date="2026-10-05", purpose="По счету")
    row = onec.json("GET", at(RECEIPTS, paid["id"]))
    assert (paid["amount"], row["Контрагент_Key"], row["НомерВходящегоДокумента"], row["ДатаВходящегоДокумента"]) == (
        1000.5,
        party["id"],
        "17",
        "2026-10-05T00:00:00",
    )
    back = onec.act("create_refund", order=orders[0], amount=80)["id"]
    assert onec.json("GET", at(WRITE_OFFS, back))["ХозяйственнаяОперация"] == "ВозвратОплатыКлиенту"
    assert onec.site.objects.settlements.paid(orders[0]) == 900


def test_an_advance_names_its_payer_only(onec, party):
    paid = onec.act("create_payment", payer=party["id"], amount=100)["id"]
    assert onec.json("GET", at(RECEIPTS, paid))["РасшифровкаПлатежа"][0]["ОснованиеПлатежа"] == ""
    onec.act("edit_payment", id=paid, amount=150)
    assert onec.json("GET", at(RECEIPTS, paid))["СуммаДокумента"] == 150


@pytest.mark.parametrize(
    ("act", "error"),
    [
        ({"do": "paint_order"}, "UNKNOWN_ACT"),
        ({"do": "edit_order", "id": "nobody"}, "9"),
        ({"do": "create_counterparty", "fields": {"Нету": 1}}, "UNKNOWN_FIELD"),
        ({"do": "create_order", "counterparty": "nobody"}, "9"),
    ],
)
def test_acts_that_cannot_be_done_say_why(onec, act, error):
    answer = requests.post(f"{onec.url}/_sandbox/act", json=act, timeout=5)
    assert (answer.ok, answer.json()["error"]) == (False, error)


@pytest.mark.usefixtures("party")
def test_a_handler_refuses_people_too(onec):
    onec.set(unique_inn=True)
    body = {"do": "create_counterparty", "name": "Б", "inn": "7707083893", "kpp": "773601001"}
    answer = requests.post(f"{onec.url}/_sandbox/act", json=body, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (500, "-1")


def test_any_object_can_be_written_by_its_own_names(onec):
    made = onec.act("write", set="Catalog_Склады", fields={"Description": "Второй"})["id"]
    onec.act("write", set="Catalog_Склады", id=made, fields={"Description": "Третий"})
    assert onec.json("GET", at("Catalog_Склады", made))["Description"] == "Третий"


def test_the_state_shows_sets_keys_fields_and_counts(onec, party):
    onec.act("create_counterparty", name="Б", inn="500100732259")
    everything = onec.control("GET", "state")
    assert {PARTIES, ORDERS, "InformationRegister_СостоянияЗаказовКлиентов"} <= set(everything)
    some = onec.control("GET", f"state?of={PARTIES}&ids={party['id']}&fields=ИНН")
    assert some == {PARTIES: [{"ИНН": "7707083893", "Ref_Key": party["id"]}]}
    assert onec.control("GET", f"state?of={PARTIES}&count=ЮрФизЛицо") == {
        PARTIES: {"ЮрЛицо": 1, "ИндивидуальныйПредприниматель": 1}
    }


def test_saves_stand_in_the_log_of_changes(onec, party):
    since = onec.control("GET", "changes")[-1]["seq"]
    onec.act("edit_counterparty", id=party["id"], kpp="773601009")
    lines = onec.control("GET", f"changes?since={since}")
    assert [(line["of"], line["id"], line["fields"]["КПП"]) for line in lines] == [(PARTIES, party["id"], "773601009")]
    onec.control("POST", "act", {"acts": [{"do": "create_counterparty"}], "quiet": True})
    assert len(onec.control("GET", f"changes?since={since}")) == 1


def test_the_last_write_of_each_object_since_a_moment(onec, party):
    objects = onec.site.objects
    since = objects.sequence
    order = onec.act("create_order", counterparty=party["id"])["id"]
    onec.act("edit_counterparty", id=party["id"], kpp="1")
    onec.act("edit_order", id=order, comment="x")
    changes = objects.changed_since(since, {PARTIES, ORDERS})
    assert [(one.set, one.key) for one in changes] == [(PARTIES, party["id"]), (ORDERS, order)]
    assert objects.changed_since(objects.sequence) == []
