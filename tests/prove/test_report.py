"""What thousands of histories never met is told: it proves nothing."""

from __future__ import annotations

import pytest

from bus.points import POINTS
from tests.prove import report, shares
from tests.prove.invariants import SENTENCES
from tests.prove.run import Outcome


def an_outcome(*names: str) -> Outcome:
    return Outcome(1, True, 1, 1, 0, 0, 0, 1, 0.1, "", "", [], dict.fromkeys(names, 1))


def test_of_no_history_everything_is_missing():
    never = report.missing([])
    assert {"rule order_in_the_shop", "killed lane.linking", "case 7 with money", "creation crm on its way"} <= {*never}
    assert len(never) > len(POINTS)


def test_all_of_it_met_nothing_is_missing_whichever_history_met_it():
    first, *others = report.missing([])
    assert report.missing([an_outcome(first), an_outcome(*others)]) == []


@pytest.mark.parametrize("name", ["rule order_in_the_shop", "struck crm drop_after"])
def test_one_that_was_not_met_is_named(name):
    assert report.missing([an_outcome(*(one for one in report.missing([]) if one != name))]) == [name]


def test_a_history_of_which_nothing_was_asked_is_not_counted_as_judged():
    asked = an_outcome(*(f"sentence {one.__name__}" for one in SENTENCES))
    figures = report.summary([asked, an_outcome("rule morning"), asked], 1.0)
    assert (figures["histories"], figures["judged"]) == (3, 2)


@pytest.mark.parametrize(
    ("left_out", "histories", "told"),
    [(18, shares.ENOUGH, False), (19, shares.ENOUGH, True), (19, shares.ENOUGH - 1, False)],
    ids=["as much as may be", "more", "too few to tell"],
)
def test_a_run_that_excuses_more_than_may_be_says_so_and_of_what(left_out, histories, told):
    many = [an_outcome(*(f"sentence {one.__name__}" for one in SENTENCES)) for _ in range(histories)]
    many[0].tally.update({"share 3 order judged": 100 - left_out, "share 3 order excused": left_out})
    figures = report.summary(many, 1.0)
    said = shares.excess(figures["shares"], figures["judged"])
    assert said == (["sentence 3 order: 19.0% of 100 not judged whole, at most 18% may be"] if told else [])
    assert ("too much left out: sentence 3 order" in report.plain(many, figures, [], "{}")) is told


def test_the_report_shows_how_much_was_judged_in_part_and_excused():
    one = an_outcome()
    one.tally.update({"share 10 money judged": 169, "share 10 money excused": 80})
    lines = report.plain([one], report.summary([one], 1.0), [], "{}").splitlines()
    assert "  10 money                169        0       80  32.1%, 34%" in lines
