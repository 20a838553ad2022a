"""Draws: a backend for hypothesis under which a seed is one rich history, drawn at random from its first step on.

Hypothesis's own generator begins with the smallest example and small variations of it: good for a thousand examples of
one test, nothing for one example of each of a thousand seeds. It also likes small numbers, and numbers that it finds in
our source: then a seed would be another history after each edit.
"""

from __future__ import annotations

from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

BACKEND = "rich"


class Rich(HypothesisProvider):
    """Every number of a range as likely as any other."""

    def draw_integer(
        self,
        min_value: int | None = None,
        max_value: int | None = None,
        *,
        weights: dict[int, float] | None = None,
        shrink_towards: int = 0,
    ) -> int:
        """Uniform; histories draw from bounded ranges only."""
        if min_value is None or max_value is None or weights is not None:
            return super().draw_integer(min_value, max_value, weights=weights, shrink_towards=shrink_towards)
        assert self._random is not None, "a provider of one test case has its random"
        return self._random.randint(min_value, max_value)


def register() -> None:
    """Make it known under its name."""
    AVAILABLE_PROVIDERS[BACKEND] = f"{__name__}.Rich"
