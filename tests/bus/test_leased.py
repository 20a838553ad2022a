"""Leased: a writing request goes out while its claim lasts, and not after."""

from time import monotonic

import pytest

from bus import leased
from bus.errors import Transient


def test_what_is_written_under_no_claim_may_go() -> None:
    leased.check()


def test_a_claim_that_lasts_lets_write_and_one_that_lapsed_does_not() -> None:
    with leased.until(monotonic() + 60):
        leased.check()
        with leased.until(monotonic() - 1), pytest.raises(Transient, match="the claim lapsed"):
            leased.check()
        leased.check()
