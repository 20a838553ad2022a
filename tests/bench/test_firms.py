"""The invented firms: are they what real ones are, and is a duplicate seen?"""

import pytest

from bus import requisites
from tests.bench.firms import SPELLINGS, Firm, spelling, twins

NUMBERS = (0, 1, 7, 499, 500, 9_999)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_firm_has_requisites_that_can_be_right(number: int) -> None:
    entered = Firm(number).entered()
    assert requisites.inn(entered["inn"])
    assert requisites.kpp(entered["kpp"])
    assert requisites.account(entered["accounts"][0]["bic"], entered["accounts"][0]["account"])
    assert requisites.phones(entered["phones"][0]) == entered["phones"]


def test_no_two_firms_share_anything_that_tells_who_they_are() -> None:
    firms = [Firm(number) for number in range(2_000)]
    for own in (lambda firm: firm.inn, lambda firm: firm.phone, lambda firm: requisites.name_key(firm.name)):
        assert len({own(firm) for firm in firms}) == len(firms)


@pytest.mark.parametrize("how", SPELLINGS)
def test_what_is_surely_the_same_shares_what_makes_it_so(how: str) -> None:
    firm = Firm(7)
    spelled = firm.spelled(how)
    same_name = requisites.name_key(spelled["fields"]["title"]) == requisites.name_key(firm.name)
    [card] = spelled.get("requisites", [{}])
    same_phone = [phone for text in spelled.get("phones", []) for phone in requisites.phones(text)] == [
        f"+7{firm.phone}"
    ]
    assert SPELLINGS[how] == (card.get("RQ_KPP") == firm.kpp or (same_name and (same_phone or "RQ_INN" in card)))


def test_each_spelling_has_its_turn() -> None:
    assert {spelling(at) for at in range(len(SPELLINGS))} == set(SPELLINGS)


def company(number: int, key: str | None = None) -> dict[str, object]:
    return {"id": number, "originId": key}


def card(owner: int, inn: str = "7707083893", kpp: str = "770701001") -> dict[str, object]:
    return {"entityTypeId": 4, "entityId": owner, "rqInn": inn, "rqKpp": kpp}


def test_two_companies_of_one_inn_and_kpp_are_one_too_many() -> None:
    assert twins([company(1), company(2), company(3)], [card(1), card(2), card(2), card(3, kpp="1")]) == 1


def test_two_companies_under_one_key_of_ours_are_one_too_many() -> None:
    assert twins([company(1, "a"), company(2, "a"), company(3), company(4)], []) == 1


def test_the_requisite_of_a_company_that_is_gone_counts_for_nothing() -> None:
    assert twins([company(1)], [card(1), card(2)]) == 0
