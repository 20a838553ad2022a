"""Ten thousand: the bench of counterparties at the size of a real base; twenty minutes, asked for by name."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import counterparties
from tests.bench.figures import Figure
from tests.bench.run import Run

TITLE = (
    "10,000 counterparties of a 1C into a portal of 2 requests/s, burst 50; by 10 a second when killed, and when known"
)


def bench(run: Run) -> Iterator[Figure]:
    """The same figures under this bench's own name."""
    yield from counterparties.parts(run, "ten_thousand", run.some(10_000, least=100))
