from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from bus.config import Limits
from bus.errors import (
    BusError,
    ConfigError,
    Dropped,
    NotReady,
    Permanent,
    SystemStopped,
    Transient,
    UnknownCode,
    UnknownOutcome,
)
from bus.retry import Again, GiveUp, decide

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)
LIMITS = Limits(max_attempts=5, backoff_base_s=2.0, backoff_cap_s=10.0)


def again(error: BusError, attempts: int = 0, seed: int = 1) -> Again | GiveUp:
    return decide(error, attempts, LIMITS, NOW, Random(seed))


@pytest.mark.parametrize(
    "error",
    [Permanent("no"), Dropped("kept"), UnknownCode("deal_stage", "X", field="status"), ConfigError("no such type")],
)
def test_what_repeating_cannot_mend_needs_a_person_at_once(error: BusError) -> None:
    assert again(error) == GiveUp()


@pytest.mark.parametrize("attempts", [0, 3, 99])
@pytest.mark.parametrize("kind", [NotReady, SystemStopped])
def test_what_is_nobodys_fault_comes_back_when_it_says_and_counts_nothing(kind: type[NotReady], attempts: int) -> None:
    until = NOW + timedelta(minutes=7)
    assert again(kind("limit", until=until), attempts) == Again(until, counts=False)


@pytest.mark.parametrize("error", [Transient("500"), UnknownOutcome("timeout")])
@pytest.mark.parametrize(("attempts", "ceiling"), [(0, 2.0), (1, 4.0), (2, 8.0), (3, 10.0)])
def test_the_pause_doubles_up_to_the_cap_with_full_jitter(error: BusError, attempts: int, ceiling: float) -> None:
    pauses = set()
    for seed in range(50):
        decision = again(error, attempts, seed)
        assert isinstance(decision, Again)
        assert decision.counts
        pauses.add((decision.until - NOW).total_seconds())
    assert 0.5 <= min(pauses) < max(pauses) <= ceiling
    assert max(pauses) > ceiling / 2


def test_after_the_last_attempt_a_person_is_needed() -> None:
    assert isinstance(again(Transient("500"), 3), Again)
    assert again(Transient("500"), 4) == GiveUp()
    assert again(UnknownOutcome("timeout"), 4) == GiveUp()


def test_very_many_attempts_do_not_overflow() -> None:
    far = Limits(max_attempts=10_000)
    assert isinstance(decide(Transient("500"), 5000, far, NOW, Random(1)), Again)
