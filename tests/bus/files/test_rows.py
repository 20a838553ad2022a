from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from bus.errors import BadInput
from bus.files import rows
from bus.files.rows import Told

TOLD = Told("books", datetime(2026, 10, 5, tzinfo=UTC), ZoneInfo("Europe/Moscow"))
INN = "7707083893"


def party(**texts: str) -> dict:
    event, _ = rows.counterparty(texts, TOLD, 2)
    return event.data


def subject(**texts: str) -> str:
    return rows.counterparty(texts, TOLD, 2)[0].subject


def payment(**texts: str) -> rows.Payment:
    return rows.payment({"amount": "100", "date": "05.10.2026", **texts}, TOLD)


def test_what_is_not_in_the_row_is_not_said():
    assert party(name="Роза") == {"name": "Роза"}


def test_inn_and_kpp_may_share_a_column():
    assert party(inn_kpp=f"{INN} / 773601001") == {"inn": INN, "kpp": "773601001"}
    assert party(inn_kpp="500100732259") == {"inn": "500100732259"}


LOST_ZEROS = {"277015293": "0277015293", "278900000": "278900000", INN: INN, "7707083893.0": INN}


@pytest.mark.parametrize(("said", "inn"), LOST_ZEROS.items())
def test_a_zero_lost_before_an_inn_is_put_back_where_its_checksum_says_so(said, inn):
    assert party(inn=said)["inn"] == inn


def test_zeros_lost_before_a_kpp_and_a_bic_are_put_back():
    data = party(inn=INN, kpp="73601001", account="40702810900000000077", bic="44525225")
    assert data["kpp"] == "073601001"
    assert data["accounts"] == [{"account": "40702810900000000077", "bic": "044525225", "bank": None}]


def test_several_phones_and_addresses_of_one_cell_are_several():
    data = party(name="Роза", phones="8 912 000-01-00, +7 495 000-00-01", emails="a@B.ru; c@d.ru")
    assert data["phones"] == ["+79120000100", "+74950000001"]
    assert data["emails"] == ["a@b.ru", "c@d.ru"]


def test_a_type_that_nobody_knows_is_left_out_and_told_of():
    event, left_out = rows.counterparty({"name": "Роза", "type": "цветок"}, TOLD, 2)
    assert event.data == {"name": "Роза"}
    assert left_out == (
        "type: the word is not known; known: юридическое лицо, индивидуальный предприниматель, физическое лицо"
    )


SUBJECTS = {
    "its own id": ({"id": "00-77", "inn": INN}, "counterparty/00-77"),
    "inn and kpp": ({"inn": INN, "kpp": "773601001"}, f"counterparty/inn-{INN}-773601001"),
    "a person's inn": ({"inn": "500100732259"}, "counterparty/inn-500100732259--"),
}


@pytest.mark.parametrize(("texts", "known"), SUBJECTS.values(), ids=SUBJECTS.keys())
def test_a_row_is_known_by_its_id_or_its_requisites(texts, known):
    assert subject(**texts) == known


def test_without_either_it_is_known_by_its_name_however_it_is_spelt():
    assert subject(name='ООО "Роза"') == subject(name="роза ООО") != subject(name="Астра")


@pytest.mark.parametrize("texts", [{}, {"phones": "8 912 000-01-00"}, {"inn": "-"}], ids=str)
def test_a_row_that_names_nobody_is_refused(texts):
    with pytest.raises(BadInput, match="nobody is named"):
        party(**texts)


def test_a_value_that_is_too_long_is_refused_by_its_field():
    with pytest.raises(BadInput, match=r"data\.name"):
        party(name="x" * 300)


def test_a_payment_is_received_in_roubles_unless_it_says_otherwise():
    data = payment().data
    assert data == {
        "amount": {"amount": "100.00", "currency": "RUB"},
        "status": "paid",
        "paid_at": "2026-10-05T00:00:00+03:00",
    }


def test_a_payment_that_is_expected_was_not_paid_on_any_day():
    data = payment(status="не оплачен").data
    assert (data["status"], "paid_at" in data) == ("pending", False)


def test_a_time_beside_the_day_is_kept():
    assert payment(date="2026-10-05 10:28:35").data["paid_at"] == "2026-10-05T10:28:35+03:00"
    assert payment(date="05.10.2026 7:05").data["paid_at"] == "2026-10-05T07:05:00+03:00"
    assert payment(date="2026-10-05T10:28:35Z").data["paid_at"] == "2026-10-05T10:28:35+00:00"


def test_a_payment_is_known_by_its_id_or_by_all_that_tells_it_from_another():
    assert payment(id="A-1").subject == "payment/A-1"
    plain = payment(number="17", inn=INN).subject
    assert plain == payment(number="17", inn=INN).subject
    for change in ({"number": "18"}, {"amount": "101"}, {"date": "06.10.2026"}, {"order": "7"}, {"currency": "USD"}):
        assert payment(**{"number": "17", "inn": INN} | change).subject != plain


def test_the_same_money_in_the_books_is_named_only_where_there_is_a_number():
    assert payment(number="0017", inn=INN).data["records"] == [
        {"system": "money", "type": "payment", "id": f"2026-10-05:17:100.00:{INN}"}
    ]
    assert "records" not in payment().data


def test_that_its_order_was_found_makes_no_other_event():
    one = payment(number="17")
    assert one.event("books", None).id == one.event("books", {"number": "1001"}).id


@pytest.mark.parametrize("amount", ["", "0", "-5"])
def test_a_sum_that_is_none_is_refused_with_what_to_do(amount):
    with pytest.raises(BadInput, match="a positive sum with the status возврат"):
        payment(amount=amount)
