"""The report: what a run was not able to show is told to people and to programs."""

import json
from io import StringIO

import pytest
from rich.console import Console

from tests.chaos.report import Figures, tell


def told(figures: Figures) -> str:
    console = Console(file=StringIO(), width=160)
    tell(console, figures)
    return str(console.file.getvalue())  # type: ignore[attr-defined]  # it is the one above


@pytest.mark.parametrize(
    ("commit", "said"),
    [("0123456789abcdef", "the release before, 0123456789ab"), (None, "the same release: no history here")],
)
def test_what_the_upgrade_began_with_is_told(commit: str | None, said: str) -> None:
    figures = Figures(seed=1, minutes=1, upgraded_from=commit)
    assert said in told(figures)
    assert json.loads(figures.line())["upgraded_from"] == commit


def test_processes_that_did_not_come_back_are_told() -> None:
    figures = Figures(seed=1, minutes=1, kills=7, not_back=2)
    (line,) = [line for line in told(figures).splitlines() if "not started again" in line]
    assert "2" in line
    assert json.loads(figures.line())["not_back"] == 2
