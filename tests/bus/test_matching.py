import pytest

from bus.matching import judge, likeness, traits

ONE = {"type": "legal_entity", "name": "Ромашка", "inn": "7707083893", "kpp": "773601001"}
TRADER = {"type": "sole_trader", "name": "ИП Иванов", "inn": "500100732259"}


@pytest.mark.parametrize(
    ("one", "other", "sure", "possible"),
    [
        (ONE, ONE | {"name": "Совсем другое имя"}, True, True),
        (ONE, ONE | {"inn": "7736207543"}, False, False),
        (ONE, ONE | {"kpp": "502401001"}, False, False),  # a branch
        (ONE, {"name": 'ООО "РОМАШКА"', "inn": "7707083893"}, True, True),
        (ONE, {"name": "Лютик", "inn": "7707083893"}, False, True),
        (TRADER, {"name": "Иванов И. И.", "inn": "500100732259"}, True, True),
        (ONE, {"name": "ромашка ооо", "phones": ["+79991234567"]}, False, True),
        (ONE | {"phones": ["+79991234567"]}, {"name": "«Ромашка»", "phones": ["+79991234567"]}, True, True),
        (ONE | {"emails": ["A@b.ru"]}, {"name": "Лютик", "emails": ["a@b.ru"]}, False, True),
        ({"type": "person", "name": "Иванов Пётр"}, {"type": "person", "name": "Иванов Петр"}, False, False),
        (
            {"type": "person", "name": "Иванов Пётр", "phones": ["+79991234567"]},
            {"type": "person", "name": "Иванов Петр", "phones": ["+79991234567"]},
            True,
            True,
        ),
        (
            ONE | {"inn": "7707083890"},
            ONE | {"inn": "7707083890", "kpp": "502401001"},
            False,
            True,
        ),  # no INN can be that
        ({}, {}, False, False),
    ],
)
def test_two_counterparties_are_alike(one, other, sure, possible):
    found = likeness(one, other)
    assert (found.sure, found.possible) == (sure, possible)
    assert likeness(other, one) == found


def test_one_sure_candidate_is_it_whatever_else_is_possible():
    judged = judge(ONE, [("a", {"name": "Ромашка"}), ("b", ONE)])
    assert (judged.same, judged.asks) == ("b", ())


def test_two_sure_ones_and_one_that_is_only_possible_are_asked_about():
    assert [one for one, _ in judge(ONE, [("a", ONE), ("b", ONE)]).asks] == ["a", "b"]
    assert [one for one, _ in judge(ONE, [("a", {"name": "Ромашка"})]).asks] == ["a"]


def test_nothing_alike_is_neither_it_nor_a_question():
    judged = judge(ONE, [("a", TRADER)])
    assert (judged.same, judged.asks) == (None, ())


def test_a_counterparty_is_found_by_its_inn_names_phones_and_addresses():
    found = traits(ONE | {"legal_name": 'ООО "Ромашка Плюс"', "phones": ["+79991234567"], "emails": ["A@b.ru"]})
    assert "inn:7707083893" in found
    assert {"phone:+79991234567", "email:a@b.ru"} <= found
    assert len([one for one in found if one.startswith("name:")]) == 2
    assert traits({"inn": "7707083890"}) == frozenset()
