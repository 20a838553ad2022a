"""What tells a person is found however it is written, and nobody else is."""

import re

import pytest

from bus import traces

SAID = {
    "name": "Иванова Мария",
    "inn": "500100732259",
    "phones": ["+79123456780"],
    "emails": ["maria.i@ivanova.example"],
    "accounts": [{"account": "40702810900000000077"}],
    "address": "Пермь, Сиреневая 17",
}


@pytest.mark.parametrize(
    "text",
    [
        "тел. 8 (912) 345-67-80",
        "+79123456780",
        "9123456780;",
        '{"VALUE": "8-912-345-67-80"}',
        "ИНН 500100732259",
        "MARIA.I@Ivanova.example",
        "сч. 40702810900000000077",
    ],
)
def test_what_is_sure_is_found_in_every_spelling(text: str) -> None:
    pattern = traces.of([SAID]).certain
    assert pattern is not None
    assert re.search(pattern, text, re.IGNORECASE)


@pytest.mark.parametrize(
    "text",
    ["Иванова Мария", "9123456781", "79123456780123", "15001007322591", "maria_i@ivanova.example", "91234567", ""],
)
def test_what_may_be_somebody_elses_is_not_sure(text: str) -> None:
    assert not re.search(traces.of([SAID]).certain or "", text, re.IGNORECASE)


def test_names_and_addresses_are_likely() -> None:
    assert re.search(traces.of([SAID]).any or "", "иванова   мария, пермь", re.IGNORECASE)


def test_who_said_nothing_leaves_nothing_to_look_for() -> None:
    assert traces.of([{}, {"name": "Я", "phones": ["12"], "inn": None}]).any is None


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
def test_what_is_cut_by_the_end_of_a_piece_is_found(encoding: str) -> None:
    body = ("Ж" * 700 + " Иванова Мария, 8 912 345-67-80 " + "Щ" * 700).encode(encoding)
    pattern = traces.of([SAID]).any
    assert pattern is not None
    for size in (7, 100, 1024):
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        assert traces.found(pattern, pieces)
        assert not traces.found("Петрова", pieces)


def test_two_spellings_of_a_name_share_words() -> None:
    assert traces.words("Фёдорова Мария") & traces.words("мария ФЕДОРОВА")
    assert not traces.words("Пётр") & traces.words("Мария Ильинична")
