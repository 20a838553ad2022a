"""Run: one seed, one history; what came of it, as a value that another process can be told."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.reporting import with_reporter
from hypothesis.stateful import run_state_machine_as_test

from bus import embedded
from tests.prove import draws
from tests.prove.house import House, opened
from tests.prove.machine import Machine
from tests.prove.tally import Tally

_MOST_STEPS = 120
"""Draws of a history; what could not be done (no order to pay) is none of its steps."""
_WARNING = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one history came to."""

    seed: int
    ok: bool
    steps: int
    events: int
    kills: int
    faults: int
    conflicts: int
    acts: int
    seconds: float
    broken: str = ""
    sentence: str = ""
    """The name of the sentence that is not true, where it is one of the ten."""
    told: list[str] = field(default_factory=list)
    """The history, line by line, of one that failed or was asked for."""
    tally: dict[str, int] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@contextmanager
def house() -> Iterator[House]:
    """A house with engines of its own."""
    with ExitStack() as stack:
        postgres = stack.enter_context(embedded.postgres(fsync=False))
        valkey = stack.enter_context(embedded.valkey(appendonly=False))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield stack.enter_context(opened(postgres, valkey, folder))


def play(number: int, where: House, *, shrink: bool = False, tell: bool = False) -> Outcome:
    """Play the history of one seed in a house."""
    draws.register()
    tally, begun = Tally(), time.perf_counter()
    machine = seed(number)(type("History", (Machine,), {"house": where, "tally": tally, "seed": number}))
    broken = sentence = ""
    try:
        with _silence():
            run_state_machine_as_test(machine, settings=_settings(shrink=shrink))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this history's finding
        broken = _said(found := first_told(error))
        sentence = getattr(found, "sentence", "")
    told = Machine.last.play.told if Machine.last and (broken or tell) else []
    return _outcome(number, broken, sentence, told, tally, time.perf_counter() - begun)


def _settings(*, shrink: bool) -> settings:
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    return settings(
        backend=draws.BACKEND,
        max_examples=2,
        stateful_step_count=_MOST_STEPS,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Neither hypothesis nor the bus's log speaks: the history speaks for itself."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_WARNING))
    try:
        with with_reporter(lambda _: None):
            yield
    finally:
        structlog.configure(**before)


def first_told(error: Exception) -> Exception:
    """What a group was raised for, where a history does not play the same twice: the first that names a sentence."""
    if not isinstance(error, ExceptionGroup):
        return error
    found = [first_told(one) for one in error.exceptions]
    return next((one for one in found if hasattr(one, "sentence")), error)


def _said(error: Exception) -> str:
    """The sentence, or where it went wrong."""
    if isinstance(error, AssertionError):
        return f"{type(error).__name__}: {error}"
    return "".join(traceback.format_exception(error)[-8:])


def _outcome(number: int, broken: str, sentence: str, told: list[str], tally: Tally, seconds: float) -> Outcome:
    last = Machine.last
    assert last is not None
    counted = last.house.rows("SELECT (SELECT count(*) FROM event) AS e, (SELECT count(*) FROM conflict) AS c")[0]
    return Outcome(
        number,
        not broken,
        last.steps,
        int(counted["e"]),
        last.play.kills,
        last.faults,
        int(counted["c"]),
        last.people.acts,
        round(seconds, 2),
        broken,
        sentence,
        told,
        dict(tally.counts),
    )
