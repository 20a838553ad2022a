"""The mutants can be applied, are no mere names, and a living one is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.prove.mutations import ROOT, Mutant, Stale, is_elsewhere, judged, main, mutants

ALL = mutants()


def a_mutant(old: str, new: str = "pass") -> Mutant:
    return Mutant("one", "a.py", old, new, "everything", (1,))


@pytest.mark.parametrize("mutant", ALL, ids=lambda one: one.name)
def test_each_patch_applies_and_leaves_a_module_that_can_be_compiled(mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    changed = mutant.applied(text)
    assert changed != text
    compile(changed, mutant.file, "exec")


def test_there_are_enough_and_each_has_a_name_and_an_invariant_of_its_own():
    assert len(ALL) >= 25
    assert len({one.name for one in ALL}) == len(ALL)
    assert all(bool(one.caught_by) != bool(one.test) and set(one.caught_by) <= set(range(1, 11)) for one in ALL)
    assert {number for one in ALL for number in one.caught_by} == {*range(1, 11)}


@pytest.mark.parametrize("test", [one.test for one in ALL if one.test])
def test_a_test_that_is_named_is_there(test):
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_a_patch_replaces_whole_lines_and_keeps_their_indentation():
    text = "def act():\n    if one:\n        return 1\n    return 2\n"
    assert a_mutant("if one:\n    return 1", "if two:\n    return 3").applied(text) == (
        "def act():\n    if two:\n        return 3\n    return 2\n"
    )


@pytest.mark.parametrize("text", ["b = 1\n", "a = 1\na = 1\n", "aa = 1\n"], ids=["gone", "twice", "part of a line"])
def test_a_patch_whose_place_is_not_there_exactly_once_is_an_error(text):
    with pytest.raises(Stale, match=r"one: \d places in a.py read 'a = 1'"):
        a_mutant("a = 1").applied(text)


@pytest.mark.parametrize(("new", "caught"), [("return GiveUp()", True), ("return Again(error.until, False)", False)])
def test_a_mutant_that_names_a_test_is_caught_where_that_fails(new, caught):
    old, test = "return Again(error.until, counts=False)", "tests/bus/test_retry.py"
    verdict = judged(Mutant("one", "bus/retry.py", old, new, "everything", test=test), seeds=0, first=1)
    assert (verdict.caught, verdict.by) == (caught, test if caught else "")


def test_what_only_the_eighth_sentence_sees_is_caught_by_it():
    one = next(one for one in ALL if one.caught_by == (8,))
    verdict = judged(one, seeds=3, first=1)
    assert (verdict.by, verdict.elsewhere) == ("replaying_the_journal_changes_nothing", False)


@pytest.mark.parametrize(
    ("meant", "sentence", "elsewhere"),
    [
        ((1, 8), "replaying_the_journal_changes_nothing", False),
        ((1, 10), "replaying_the_journal_changes_nothing", True),
        ((1, 10), "", False),
        ((1, 10), "no end", False),
        ((), "tests/bus/test_retry.py", False),
    ],
    ids=["meant to", "not meant to", "the bus raised", "no end", "a test"],
)
def test_a_mutant_that_another_sentence_sees_than_is_meant_to_is_told(meant, sentence, elsewhere):
    assert is_elsewhere(replace(a_mutant("a = 1"), caught_by=meant), sentence) is elsewhere


def test_an_unknown_name_is_told_with_those_there_are(capsys):
    assert main(["--only", "nobody"]) == 2
    assert "no such mutant: nobody; there are: newest is oldest" in capsys.readouterr().out
