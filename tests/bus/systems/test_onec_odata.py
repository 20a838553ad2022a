"""A 1C base by OData, over real HTTP: what is read, how it is written, what is told of what went wrong."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr

from bus.errors import ConfigError, Dropped, NotReady, Permanent, UnknownOutcome
from bus.ports import Alike, Failed, Write, Written
from bus.sandbox.onec import Base
from bus.systems.connect import Urgent
from bus.systems.onec_errors import Changed, NotFound

PARTY, ORDERS, RECEIPTS = (
    "Catalog_Контрагенты",
    "Document_ЗаказКлиента",
    "Document_ПоступлениеБезналичныхДенежныхСредств",
)
ROMASHKA = {"name": "Ромашка", "full_name": 'ООО "Ромашка"', "inn": "7707083893", "kpp": "773601001"}
LINES = [{"name": "Чайник", "price": 1000, "quantity": 2}]
KETTLE = {"product": "Ч-1", "name": "Чайник", "quantity": "2", "price": "1000.00"}
NEW = "335ea094-8ad3-4a2d-92fd-760750dbaf0b"


@pytest.fixture
def onec_with(books_url: str, connected: Any) -> Callable[..., Urgent]:
    def made(**settings: str) -> Urgent:
        return connected("onec", books_url, user="bus", password=SecretStr("secret"), settings=settings)

    return made


def party(books: Base, **more: Any) -> str:
    return str(books.act({"do": "create_counterparty", **ROMASHKA, **more})["id"])


def order(books: Base, **more: Any) -> str:
    known = more.pop("counterparty", None) or party(books)
    return str(books.act({"do": "create_order", "counterparty": known, "lines": LINES, **more})["id"])


def written(adapter: Urgent, write: Write) -> Written:
    told = adapter.write([write])[0]
    assert isinstance(told, Written), told
    return told


def failed(adapter: Urgent, write: Write) -> Failed:
    told = adapter.write([write])[0]
    assert isinstance(told, Failed), told
    return told


def rows(books: Base, set_: str) -> list[dict[str, Any]]:
    return books.state({"of": set_})[set_]


def requests(books: Base) -> int:
    return books.calls.summary()["requests"]


# --- reading ---


def test_objects_come_as_the_base_tells_them_and_missing_ones_are_absent(onec: Urgent, books: Base) -> None:
    key = party(books, phones=["+7 999 123-45-67"], accounts=[{"account": "40702810900000000001", "bic": "044525225"}])
    found = onec.fetch("counterparty", [key, NEW, "no key at all"])
    assert list(found) == [key]
    assert (found[key]["ИНН"], found[key]["DataVersion"]) == ("7707083893", "AAAAAAAAAAA=")
    assert found[key]["@accounts"] == [{"account": "40702810900000000001", "bic": "044525225", "bank": None}]
    assert "phone" in found[key]["@kinds"].values()
    assert not [name for name in found[key] if "@navigation" in name]


def test_many_objects_are_read_with_what_belongs_to_them_in_few_requests(onec: Urgent, books: Base) -> None:
    keys = [order(books, client_number=str(at)) for at in range(40)]
    before = requests(books)
    found = onec.fetch("order", keys)
    assert set(found) == set(keys)
    assert requests(books) - before <= 8
    one = found[keys[7]]
    assert one["@related"]["counterparties"][one["Контрагент_Key"]]["inn"] == "7707083893"
    assert [item["name"] for item in one["@related"]["items"].values()] == ["Чайник"]
    assert set(one["@related"]["counterparties"]) == {one["Контрагент_Key"]}


def test_what_is_not_asked_for_is_not_read(onec: Urgent, books: Base) -> None:
    key = order(books)
    raw = onec.fetch("order", [key], set())[key]
    assert ("items" in raw["@related"], "counterparties" in raw["@related"]) == (False, False)
    assert "@accounts" not in onec.fetch("counterparty", [raw["Контрагент_Key"]], set())[raw["Контрагент_Key"]]


def test_an_object_that_is_marked_for_deletion_counts_as_removed(onec: Urgent, books: Base) -> None:
    key = party(books)
    books.act({"do": "delete_counterparty", "id": key})
    assert onec.fetch("counterparty", [key]) == {}
    books.act({"do": "delete_counterparty", "id": key, "undo": True})
    assert list(onec.fetch("counterparty", [key])) == [key]


def test_a_document_of_money_is_a_payment_for_each_order_it_is_split_over(onec: Urgent, books: Base) -> None:
    one, other = order(books), order(books)
    split = [{"order": one, "amount": 300}, {"order": other, "amount": 500}, {"order": one, "amount": 0.5}]
    made = books.act({"do": "create_payment", "orders": split, "number": "17", "date": "2026-11-20"})["id"]
    found = onec.fetch("payment", [f"{made}:{one}", f"{made}:{other}", f"{NEW}:{one}"])
    assert {key: raw["@amount"] for key, raw in found.items()} == {f"{made}:{one}": "300.5", f"{made}:{other}": "500"}
    assert {key: raw["@first"] for key, raw in found.items()} == {f"{made}:{one}": False, f"{made}:{other}": True}


def test_a_refund_counts_only_when_it_is_posted(onec: Urgent, books: Base) -> None:
    one = order(books)
    books.act({"do": "create_payment", "order": one, "amount": 500})
    made = books.act({"do": "create_refund", "order": one, "amount": 200})["id"]
    assert onec.fetch("payment", [f"{made}:{one}"])[f"{made}:{one}"]["@thing"] == "refund"
    books.act({"do": "unpost_refund", "id": made})
    assert onec.fetch("payment", [f"{made}:{one}"]) == {}


def test_a_base_that_does_not_publish_what_stands_beside_is_read_all_the_same(onec: Urgent, books: Base) -> None:
    books.settings({"unpublished": ["Catalog_БанковскиеСчетаКонтрагентов", "Catalog_ВидыКонтактнойИнформации"]})
    key = party(books)
    raw = onec.fetch("counterparty", [key])[key]
    assert (raw["@accounts"], raw["@kinds"]) == ([], {})


def test_other_types_of_records_there_are_none(onec: Urgent) -> None:
    with pytest.raises(ConfigError, match="onec has no records of type 'deal', only order, payment, counterparty"):
        onec.fetch("deal", [NEW])


def test_directories_are_told_by_key(onec: Urgent) -> None:
    assert set(onec.codes("currencies").values()) == {"RUB", "USD", "EUR"}
    assert "Песочница ООО" in onec.codes("organisations").values()
    assert "Менеджер Первый" in onec.codes("users").values()
    assert "шт" in onec.codes("units").values()
    assert onec.codes("stages") == {}


# --- counterparties that may be there already ---


def test_who_has_the_inn_comes_first_then_who_has_the_phone_or_mail_then_who_is_called_so(
    onec: Urgent, books: Base
) -> None:
    by_inn = party(books)
    by_phone = party(books, name="Лютик", inn="", kpp="", phones=["8 (912) 345-67-89"])
    by_mail = party(books, name="Клевер", inn="", kpp="", emails=["info@clover.ru"])
    by_name = party(books, name="Одуванчик ООО", inn="", kpp="")
    books.act({"do": "delete_counterparty", "id": party(books, name="Старая")})
    wanted = {
        "inn": Alike(name="Ромашка", inn="7707083893", phones=("+79123456789",)),
        "phone": Alike(name="Лютик-Сервис", inn="7810300284", phones=("+79123456789",)),
        "mail": Alike(emails=("info@clover.ru",)),
        "name": Alike(name="ООО «Одуванчик»"),
        "none": Alike(name="ИП Петров"),
    }
    found = onec.alike("counterparty", wanted)
    ids = {key: [record.id for record in records] for key, records in found.items()}
    assert ids == {"inn": [by_inn], "phone": [by_phone], "mail": [by_mail], "name": [by_name], "none": []}
    assert found["phone"][0].raw["@kinds"]
    assert onec.alike("order", {}) == {}


def test_a_quote_in_a_name_is_no_quote_of_the_query(onec: Urgent, books: Base) -> None:
    key = party(books, name="О'Нил и партнёры", inn="", kpp="")
    found = onec.alike("counterparty", {"x": Alike(name="О'Нил и партнёры")})
    assert [record.id for record in found["x"]] == [key]


# --- writing: counterparties ---

NEW_PARTY: dict[str, Any] = {
    "fields": {"Description": "Лютик", "НаименованиеПолное": 'ООО "Лютик"', "ИНН": "7810300284", "КПП": "781001001"},
    "contacts": [
        {"Тип": "Телефон", "Представление": "+79123456789", "НомерТелефона": "79123456789", "@kind": "phone"},
        {"Тип": "Адрес", "Представление": "Тверь", "@kind": "legal_address"},
    ],
    "accounts": [{"account": "40702810900000000001", "bic": "044525225", "bank": "Банк"}],
}


def test_a_counterparty_is_made_under_our_key_with_its_partner_contacts_and_accounts(onec: Urgent, books: Base) -> None:
    told = written(onec, Write("counterparty", NEW, None, NEW_PARTY))
    assert told.id == NEW
    assert told.raw["@accounts"] == [{"account": "40702810900000000001", "bic": "044525225", "bank": "Банк"}]
    assert [row["LineNumber"] for row in told.raw["КонтактнаяИнформация"]] == ["1", "2"]
    partner = next(one for one in rows(books, "Catalog_Партнеры") if one["Ref_Key"] == told.raw["Партнер_Key"])
    assert (partner["Description"], partner["Клиент"]) == ("Лютик", True)
    assert onec.find("counterparty", [NEW, str(uuid.uuid4())])[NEW].id == NEW


def test_a_creation_that_is_repeated_finds_what_it_made_and_adds_what_lacks(onec: Urgent, books: Base) -> None:
    books.faults.add({"kind": "error_before", "method": "post catalog_банковскиесчетаконтрагентов", "count": 1})
    first = failed(onec, Write("counterparty", NEW, None, NEW_PARTY))
    assert isinstance(first.error, UnknownOutcome)
    assert f"created as {NEW}" in str(first.error)
    found = onec.find("counterparty", [NEW])[NEW]
    told = written(onec, Write("counterparty", NEW, found.id, {}, begun=NEW_PARTY))
    assert len(told.raw["@accounts"]) == 1
    assert len(rows(books, PARTY)) == 1
    assert len(rows(books, "Catalog_Партнеры")) == 1


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_answer_to_a_creation_is_an_unknown_outcome_and_a_repeat_makes_no_second(
    onec: Urgent, books: Base, kind: str
) -> None:
    books.faults.add({"kind": kind, "method": "post catalog_контрагенты", "count": 1})
    assert isinstance(failed(onec, Write("counterparty", NEW, None, NEW_PARTY)).error, UnknownOutcome)
    there = onec.find("counterparty", [NEW])
    assert bool(there) is (kind == "drop_after")
    assert written(onec, Write("counterparty", NEW, None, NEW_PARTY)).id == NEW  # as if nobody had looked
    assert len(rows(books, PARTY)) == 1


def test_where_the_base_chooses_keys_itself_our_mark_in_a_text_is_what_is_looked_for(onec: Urgent, books: Base) -> None:
    books.settings({"own_keys": False})
    told = written(onec, Write("counterparty", NEW, None, NEW_PARTY))
    assert told.id != NEW
    assert told.raw["ДополнительнаяИнформация"] == f"[bus:{NEW}]"
    assert onec.find("counterparty", [NEW])[NEW].id == told.id
    again = written(onec, Write("counterparty", str(uuid.uuid4()), None, {"fields": {"Description": "Другой"}}))
    assert "[bus:" in again.raw["ДополнительнаяИнформация"]


def test_a_base_that_has_taken_a_key_of_ours_gets_no_more_marks(onec: Urgent) -> None:
    written(onec, Write("counterparty", NEW, None, NEW_PARTY))
    told = written(onec, Write("counterparty", str(uuid.uuid4()), None, {"fields": {"Description": "Второй"}}))
    assert told.raw["ДополнительнаяИнформация"] == ""


def test_only_what_differs_is_written_and_the_record_before_is_told(onec: Urgent, books: Base) -> None:
    key = party(books)
    told = written(onec, Write("counterparty", NEW, key, {"fields": {"Description": "Ромашка", "КПП": "770701001"}}))
    assert told.before is not None
    assert (told.before["КПП"], told.raw["КПП"], told.call) == ("773601001", "770701001", f"PATCH {PARTY}")
    idle = written(onec, Write("counterparty", NEW, key, {"fields": {"КПП": "770701001"}}))
    assert (idle.call, idle.raw["DataVersion"]) == ("", told.raw["DataVersion"])


@pytest.mark.parametrize(
    ("fields", "say"),
    [
        ({"Описание": "x"}, f"{PARTY}: the base answered success, and kept something else: Описание: no such field"),
        ({"Description": "я" * 120}, "Description: cut at 100 characters"),
        ({"ИНН": "7" * 14, "Description": "Б"}, "ИНН: cut at 12 characters"),
    ],
)
def test_a_field_that_is_ignored_or_cut_in_silence_is_an_error_that_names_it(
    onec: Urgent, books: Base, fields: dict[str, str], say: str
) -> None:
    told = failed(onec, Write("counterparty", NEW, party(books), {"fields": fields}))
    assert isinstance(told.error, Dropped)
    assert say in str(told.error)


def test_a_counterparty_that_was_marked_for_deletion_is_not_written(onec: Urgent, books: Base) -> None:
    key = party(books)
    books.act({"do": "delete_counterparty", "id": key})
    told = failed(onec, Write("counterparty", NEW, key, {"fields": {"КПП": "770701001"}}))
    assert isinstance(told.error, NotFound)
    assert rows(books, PARTY)[0]["КПП"] == "773601001"


def test_a_refusal_of_the_configuration_is_a_persons_and_its_words_are_no_part_of_the_message(
    onec: Urgent, books: Base
) -> None:
    party(books)
    books.settings({"unique_inn": True})
    change = {"fields": {"Description": "Копия", "ИНН": "7707083893", "КПП": "773601001"}}
    told = failed(onec, Write("counterparty", NEW, None, change))
    assert type(told.error) is Permanent
    assert "7707083893" not in str(told.error)
    assert "7707083893" in str(told.error.detail["said"])
    assert told.error.cause == f"POST {PARTY} -1"


def test_a_base_that_heeds_versions_refuses_a_write_over_somebody_elses(onec: Urgent, books: Base) -> None:
    books.settings({"if_match": True})
    key = party(books)
    edit = {"do": "edit_counterparty", "name": "Чужое"}
    books.faults.add({"kind": "user_edit_between", "method": f"get {PARTY}", "count": 1, "edit": edit})
    told = failed(onec, Write("counterparty", NEW, key, {"fields": {"Description": "Наше"}}))
    assert isinstance(told.error, Changed)
    assert "a write over somebody else's is refused: yes" in {one.what: one.say for one in onec.check()}["versions"]
    assert written(onec, Write("counterparty", NEW, key, {"fields": {"Description": "Наше"}})).before is not None


def test_an_object_under_our_key_that_was_marked_for_deletion_is_a_persons(onec: Urgent, books: Base) -> None:
    written(onec, Write("counterparty", NEW, None, NEW_PARTY))
    books.act({"do": "delete_counterparty", "id": NEW})
    assert onec.find("counterparty", [NEW]) == {}
    told = failed(onec, Write("counterparty", NEW, None, NEW_PARTY))
    assert type(told.error) is Permanent
    assert "lift the mark" in str(told.error)


# --- writing: orders ---


def new_order(**more: Any) -> dict[str, Any]:
    buyer = {"company": "Лютик", "inn": "7810300284", "kpp": "781001001"}
    return {
        "fields": {"НомерПоДаннымКлиента": "236", "Статус": "КОбеспечению"},
        "goods": [KETTLE],
        "buyer": buyer,
        "currency": "RUB",
        **more,
    }


def test_an_order_is_made_with_its_counterparty_partner_goods_and_currency(
    onec_with: Callable[..., Urgent], books: Base
) -> None:
    onec = onec_with(
        **{"create_goods": "yes", "new.order.Комментарий": "с сайта", "new.order.НеОтгружатьЧастями": "yes"}
    )
    told = written(onec, Write("order", NEW, None, new_order()))
    raw = told.raw
    assert (told.id, raw["СуммаДокумента"], raw["Posted"]) == (NEW, 2000, False)
    assert (raw["Комментарий"], raw["НеОтгружатьЧастями"], raw["ЦенаВключаетНДС"]) == ("с сайта", True, True)
    buyer = next(one for one in rows(books, PARTY) if one["Ref_Key"] == raw["Контрагент_Key"])
    assert (buyer["ИНН"], buyer["Партнер_Key"]) == ("7810300284", raw["Партнер_Key"])
    assert raw["@related"]["items"][raw["Товары"][0]["Номенклатура_Key"]]["article"] == "Ч-1"
    assert raw["ДатаПоДаннымКлиента"] == raw["Date"]


def test_who_ordered_is_found_by_inn_and_kpp_and_not_made_again(onec_with: Callable[..., Urgent], books: Base) -> None:
    head = party(books)
    branch = party(books, name="Ромашка Тверь", kpp="695001001")
    onec = onec_with(create_goods="yes")
    for kpp, wanted in (("773601001", head), ("695001001", branch)):
        buyer = {"company": "Какая-то", "inn": "7707083893", "kpp": kpp}
        told = written(onec, Write("order", str(uuid.uuid4()), None, new_order(buyer=buyer)))
        assert told.raw["Контрагент_Key"] == wanted
    unclear = new_order(buyer={"inn": "7707083893", "kpp": "111101001"})
    told_not = failed(onec, Write("order", str(uuid.uuid4()), None, unclear))
    assert "2 counterparties have this INN and KPP (2 of the INN): merge them" in str(told_not.error)


def test_two_orders_of_a_new_customer_make_one_counterparty(onec_with: Callable[..., Urgent], books: Base) -> None:
    onec = onec_with(create_goods="yes")
    told = [written(onec, Write("order", str(uuid.uuid4()), None, new_order())) for _ in range(2)]
    assert len({one.raw["Контрагент_Key"] for one in told}) == 1
    assert len(rows(books, PARTY)) == 1
    assert len(rows(books, "Catalog_Номенклатура")) == 1


def test_an_order_of_a_person_goes_to_the_counterparty_that_all_share(
    onec_with: Callable[..., Urgent], books: Base
) -> None:
    shared = party(books, name="Розничный покупатель", inn="", kpp="")
    onec = onec_with(create_goods="yes", retail_counterparty=shared)
    told = written(onec, Write("order", NEW, None, new_order(buyer={})))
    assert told.raw["Контрагент_Key"] == shared
    assert told.raw["@related"]["counterparties"][shared]["shared"] is True
    nobody = failed(onec_with(create_goods="yes"), Write("order", str(uuid.uuid4()), None, new_order(buyer={})))
    assert "settings.retail_counterparty" in str(nobody.error)


def test_goods_are_found_by_key_article_or_name_and_a_missing_one_is_named(onec: Urgent, books: Base) -> None:
    goods = "Catalog_Номенклатура"
    keys = [
        books.act({"do": "write", "set": goods, "fields": {"Description": name, "Артикул": article}})["id"]
        for name, article in (("Чайник", "Ч-1"), ("Чашка", ""), ("Блюдце", "Б-1"))
    ]
    lines = [KETTLE, {**KETTLE, "product": None, "name": "Чашка"}, {**KETTLE, "product": keys[2], "name": "Другое"}]
    told = written(onec, Write("order", NEW, None, new_order(goods=lines)))
    assert [row["Номенклатура_Key"] for row in told.raw["Товары"]] == keys
    missing = new_order(goods=[{**KETTLE, "product": "Z-9", "name": "Ложка"}])
    told_not = failed(onec, Write("order", str(uuid.uuid4()), None, missing))
    assert type(told_not.error) is Permanent
    assert "no item has the article 'Z-9'" in str(told_not.error)


def test_changed_rows_are_written_whole_and_keep_what_we_do_not_know(onec: Urgent, books: Base) -> None:
    key = order(books, lines=[*LINES, {"name": "Чашка", "price": 300, "quantity": 1}])
    before = onec.fetch("order", [key])[key]["Товары"]
    goods = [
        {**KETTLE, "product": None, "quantity": "3"},
        {**KETTLE, "product": None, "name": "Чашка", "price": "300.00", "quantity": "1"},
    ]
    told = written(onec, Write("order", NEW, key, {"goods": goods}))
    after = told.raw["Товары"]
    assert [(row["Количество"], row["Сумма"], row["КодСтроки"]) for row in after] == [(3, 3000, "1"), (1, 300, "2")]
    assert after[1] == before[1]
    assert after[0]["СтавкаНДС_Key"] == before[0]["СтавкаНДС_Key"]
    assert (before[0]["СуммаНДС"], after[0]["СуммаНДС"]) == (333.33, 500)  # the same share of the row's sum
    assert told.raw["СуммаДокумента"] == 3300


def test_cancelling_an_order_cancels_its_rows_and_reviving_revives_them(onec: Urgent, books: Base) -> None:
    key = order(books)
    assert all(row["Отменено"] for row in written(onec, Write("order", NEW, key, {"cancelled": True})).raw["Товары"])
    told = written(onec, Write("order", NEW, key, {"cancelled": False}))
    assert [(row["Отменено"], row["Количество"]) for row in told.raw["Товары"]] == [(False, 2)]


def test_an_order_that_was_cancelled_before_it_is_made_is_made_cancelled(onec_with: Callable[..., Urgent]) -> None:
    told = written(onec_with(create_goods="yes"), Write("order", NEW, None, new_order() | {"cancelled": True}))
    assert [row["Отменено"] for row in told.raw["Товары"]] == [True] * len(told.raw["Товары"])
    assert told.raw["СуммаДокумента"] == 0


def test_what_delivery_costs_is_a_row_of_the_item_that_the_settings_name(onec_with: Callable[..., Urgent]) -> None:
    onec = onec_with(create_goods="yes", delivery_item="DELIVERY")
    told = written(onec, Write("order", NEW, None, new_order(total="2300.00")))
    assert told.raw["СуммаДокумента"] == 2300
    assert [row["Сумма"] for row in told.raw["Товары"]] == [2000, 300]
    told = written(onec, Write("order", NEW, NEW, {"total": "2450.00"}))
    assert [row["Сумма"] for row in told.raw["Товары"]] == [2000, 450]
    told = written(onec, Write("order", NEW, NEW, {"goods": [{**KETTLE, "quantity": "1"}], "total": "1000.00"}))
    assert [row["Сумма"] for row in told.raw["Товары"]] == [1000]
    assert told.raw["СуммаДокумента"] == 1000


def test_an_order_is_posted_where_the_settings_let_us_and_again_after_a_change(
    onec_with: Callable[..., Urgent], books: Base
) -> None:
    onec = onec_with(create_goods="yes", post="yes")
    assert written(onec, Write("order", NEW, None, new_order())).raw["Posted"] is True
    told = written(onec, Write("order", NEW, NEW, {"fields": {"Комментарий": "срочно"}}))
    assert told.call == f"PATCH {ORDERS}, Post {ORDERS}"
    assert written(onec, Write("order", NEW, NEW, {"fields": {"Комментарий": "срочно"}})).call == ""
    books.settings({"closed_until": "2099-01-01"})
    refused = failed(onec, Write("order", NEW, NEW, {"fields": {"Комментарий": "x"}}))
    assert type(refused.error) is Permanent


def test_what_a_person_has_posted_is_posted_anew_when_its_rows_are_written(onec: Urgent, books: Base) -> None:
    key = order(books, post=True)
    rows_written = written(onec, Write("order", NEW, key, {"goods": [{**KETTLE, "product": None, "quantity": "5"}]}))
    assert rows_written.call == f"PATCH {ORDERS}, Post {ORDERS}"
    assert written(onec, Write("order", NEW, key, {"fields": {"Комментарий": "x"}})).call == f"PATCH {ORDERS}"


# --- writing: payments ---


def payment(**more: Any) -> dict[str, Any]:
    fields = {"НомерВходящегоДокумента": "17", "Date": "2026-11-20T12:30:00", "ПроведеноБанком": True}
    return {"fields": fields, "amount": "700.00", "currency": "RUB", "post": True, "thing": "receipt", **more}


def test_a_payment_is_a_document_of_its_orders_counterparty_split_over_that_order(
    onec_with: Callable[..., Urgent], books: Base
) -> None:
    parent = order(books, post=True)
    told = written(onec_with(post="yes"), Write("payment", NEW, None, payment(), parent=parent))
    assert told.id == f"{NEW}:{parent}"
    row = rows(books, RECEIPTS)[0]
    assert (row["СуммаДокумента"], row["Posted"], row["ХозяйственнаяОперация"]) == (
        700,
        True,
        "ПоступлениеОплатыОтКлиента",
    )
    assert row["Контрагент_Key"] == rows(books, ORDERS)[0]["Контрагент_Key"]
    assert onec_with().find("payment", [NEW])[NEW].id == told.id


def test_another_sum_changes_the_rows_of_its_order_only(onec: Urgent, books: Base) -> None:
    one, other = order(books), order(books)
    split = [{"order": one, "amount": 300}, {"order": other, "amount": 500}]
    made = books.act({"do": "create_payment", "orders": split, "post": False})["id"]
    told = written(onec, Write("payment", NEW, f"{made}:{one}", {"amount": "350.00", "thing": "receipt"}, parent=one))
    assert (told.raw["@amount"], told.raw["СуммаДокумента"]) == ("350", 850)
    assert onec.fetch("payment", [f"{made}:{other}"])[f"{made}:{other}"]["@amount"] == "500"


def test_a_payment_without_its_order_or_its_sum_is_a_persons(onec: Urgent, books: Base) -> None:
    assert "order it belongs to" in str(failed(onec, Write("payment", NEW, None, payment())).error)
    change = payment()
    del change["amount"]
    assert "its amount" in str(failed(onec, Write("payment", NEW, None, change, parent=order(books))).error)


def test_a_refund_is_made_only_where_it_can_be_posted(onec_with: Callable[..., Urgent], books: Base) -> None:
    parent = order(books, post=True)
    change = payment(thing="refund", fields={"Date": "2026-11-20T12:30:00", "ПроведеноБанком": True})
    told = failed(onec_with(), Write("payment", NEW, None, change, parent=parent))
    assert "say post: yes" in str(told.error)
    made = written(onec_with(post="yes"), Write("payment", NEW, None, change, parent=parent))
    assert (made.raw["@thing"], made.raw["Posted"]) == ("refund", True)


def test_a_currency_that_the_base_lacks_is_named(onec: Urgent, books: Base) -> None:
    told = failed(onec, Write("payment", NEW, None, payment(currency="JPY"), parent=order(books)))
    assert "there is no currency JPY" in str(told.error)


# --- the whole ---


def test_a_check_tells_what_is_published_and_what_the_base_calls_otherwise(
    onec_with: Callable[..., Urgent], books: Base
) -> None:
    told = {one.what: one for one in onec_with().check()}
    assert told["connection"].ok
    assert told["metadata"].say.endswith("sets are published")
    assert [name for name, one in told.items() if not one.ok] == []
    books.settings({"unpublished": [ORDERS], "without": [f"{PARTY}.КПП"]})
    bad = {one.what: one.say for one in onec_with().check() if not one.ok}
    assert set(bad) == {"names order.set", "names counterparty.kpp"}
    assert "settings.name.counterparty.kpp" in bad["names counterparty.kpp"]
    fine = onec_with(**{"name.counterparty.kpp": "-", "name.order.set": "-"}).check()
    assert all(one.ok for one in fine)


def test_a_check_without_login_says_so(books_url: str, connected: Any) -> None:
    other = connected("onec", books_url, user="bus", password=SecretStr("wrong"))
    assert [(one.what, one.ok) for one in other.check()] == [("connection", False)]


def test_a_copy_for_payments_shares_what_is_known(onec: Urgent, books: Base) -> None:
    key = party(books)
    onec.fetch("counterparty", [key])
    before = requests(books)
    onec.with_urgency(urgent=True).fetch("counterparty", [key])
    assert requests(books) - before == 2  # the counterparty and its accounts; kinds of contacts are known
    assert onec.latency_s > 0
    assert (onec.wait(), onec.left()) == (0, float("inf"))


def test_no_more_requests_are_under_way_than_the_base_has_licences_for(onec: Urgent, books: Base) -> None:
    books.settings({"licences": 2, "latency": {"read": 0.01}})
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: onec.fetch("counterparty", [NEW]), range(24)))
    assert told == [{}] * 24


def test_a_full_base_is_waited_for_without_an_attempt(onec: Urgent, books: Base) -> None:
    books.settings({"licences": 0})
    with pytest.raises(NotReady, match="lets nobody in"):
        onec.fetch("counterparty", [NEW])


@pytest.fixture(autouse=True)
def _no_word_of_passwords_or_people_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("DEBUG"):
        yield
    for word in ("secret", "c2VjcmV0", "7707083893", "9123456789", "filter"):
        assert word not in caplog.text
