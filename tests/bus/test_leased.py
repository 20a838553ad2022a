"""Leased: a claim is renewed while its holder works, and a writing request goes out while it lasts, and not after."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from bus import leased
from bus.errors import NotReady, Transient
from bus.leased import Lease

LAPSED_S, LASTING_S = -1.0, 60.0
AWAY = Transient("the ledger is away")


class Claim:
    """A claim that lasts so long from now, and each time it is renewed as long as is said."""

    def __init__(self, seconds: float, *again: float | Transient | None) -> None:
        self.left = list(again)
        self.lease = Lease(leased.clock() + seconds, self._renew)

    def _renew(self) -> float | None:
        seconds = self.left.pop(0)
        if isinstance(seconds, Transient):
            raise seconds
        return None if seconds is None else leased.clock() + seconds


@contextmanager
def held(*claims: Claim) -> Iterator[None]:
    with ExitStack() as stack:
        for claim in claims:
            stack.enter_context(leased.held(claim.lease))
        yield


def test_what_is_written_under_no_claim_may_go() -> None:
    leased.check()


def test_a_claim_that_lasts_is_not_renewed() -> None:
    claim = Claim(LASTING_S, LASTING_S)
    with held(claim):
        leased.check()
        leased.keep()
    assert claim.left == [LASTING_S]


def test_one_that_would_lapse_is_renewed_once_before_what_writes_is_sent() -> None:
    claim = Claim(LAPSED_S, LASTING_S)
    with held(claim):
        leased.check()
        leased.check()
    assert claim.left == []


@pytest.mark.parametrize("again", [None, LAPSED_S, AWAY])
def test_what_is_another_s_or_lapsed_while_it_was_renewed_or_cannot_be_asked_about_is_not_sent(
    again: float | Transient | None,
) -> None:
    with held(Claim(LAPSED_S, again)), pytest.raises(NotReady, match="the claim lapsed"):
        leased.check()


@pytest.mark.parametrize("first", [None, AWAY])
def test_what_is_lost_is_not_asked_for_again_nor_at_once_what_could_not_be_asked(first: Transient | None) -> None:
    claim = Claim(LAPSED_S, first, LASTING_S)
    with held(claim):
        leased.keep()
        leased.nap(0.01)
        with pytest.raises(NotReady):
            leased.check()
    assert claim.left == [LASTING_S]


def test_who_waits_keeps_all_that_it_holds() -> None:
    outer, inner = Claim(LAPSED_S, LASTING_S), Claim(LAPSED_S, LASTING_S)
    with held(outer, inner):
        leased.nap(0.01)
    assert (outer.left, inner.left) == ([], [])


def test_a_claim_that_would_lapse_while_its_holder_waits_is_renewed_in_time() -> None:
    claim = Claim(0.01, LASTING_S)
    with held(claim):
        leased.nap(0.02)
    assert claim.left == []


def test_what_is_sent_needs_each_claim_that_it_is_made_under_and_those_alone() -> None:
    outer, inner = Claim(LASTING_S), Claim(LAPSED_S, None)
    with held(outer):
        with held(inner), pytest.raises(NotReady):
            leased.check()
        leased.check()
    with held(Claim(LAPSED_S, None), Claim(LASTING_S)), pytest.raises(NotReady):
        leased.check()
