"""Engines: how inputs are made for a target, one after the other, repeatably: by mutation, or by hypothesis."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.guard import guarded
from tests.fuzz.mutation import Mutations
from tests.fuzz.target import Check, Target

_BATCH = 100
"""Inputs that hypothesis makes in one go: a seed makes the same ones again."""


@dataclass
class Run:
    """What came of a run."""

    target: str
    engine: str
    inputs: int = 0
    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    error: str = ""
    file: str = ""
    """What broke it."""

    def shown(self) -> str:
        """As JSON."""
        return json.dumps(self.__dict__, ensure_ascii=False)


def tried(target: Target, check: Check, what: Any) -> str:
    """One input under guard. Raises what it breaks with."""
    with guarded(target):
        return check(what)


def fuzz(target: Target, check: Check, folder: Path, *, seed: int, seconds: float = 0, inputs: int = 0) -> Run:
    """Try inputs until the time is up, or so many; the first that breaks it ends the run and is kept in `folder`."""
    run = Run(target.name, "mutation" if target.of_bytes else "hypothesis")
    began = monotonic()
    more = _more(seconds, inputs)
    try:
        (_mutated if target.of_bytes else _planned)(target, check, run, more, seed)
    except BaseException as error:
        run.error = f"{type(error).__name__}: {error}"[:500]
        if isinstance(error, KeyboardInterrupt) or not run.file:
            raise
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{target.name}-{seed}"
        target.keep(kept, run.__dict__.pop("last"))
        run.file = str(kept)
    run.seconds = round(monotonic() - began, 1)
    run.__dict__.pop("last", None)
    return run


def _more(seconds: float, inputs: int) -> Iterator[int]:
    end = monotonic() + seconds
    for at in count():
        if (inputs and at >= inputs) or (not inputs and monotonic() >= end):
            return
        yield at


def _one(target: Target, check: Check, run: Run, what: Any) -> None:
    run.inputs += 1
    run.__dict__["last"], run.file = what, "?"
    run.ends[tried(target, check, what)] += 1
    run.file = ""


def _mutated(target: Target, check: Check, run: Run, more: Iterator[int], seed: int) -> None:
    assert target.seeds is not None
    mutations = Mutations(target.seeds(), target.words, Random(seed), target.longest)
    for _ in more:
        _one(target, check, run, mutations.next())


def _planned(target: Target, check: Check, run: Run, more: Iterator[int], seed: int) -> None:
    """Hypothesis in batches, so that time can be kept; it makes what broke it as small as it can."""
    assert target.plans is not None
    plans = target.plans()
    for batch in count(seed):
        left = sum(1 for _, _ in zip(range(_BATCH), more, strict=False))
        if not left:
            return

        @hypothesis.seed(batch)
        @settings(
            max_examples=left,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(plans)
        def each(plan: Any) -> None:
            _one(target, check, run, plan)

        each()
