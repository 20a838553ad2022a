"""The watch: which payments it measures, and when."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from bus.demo.watch import Watch

DEADLINE_S = 5.0
ORDER, DEAL, SUM = 5, 701, 100.0


class Portal:
    """One deal of one order, and what it says is paid."""

    def __init__(self) -> None:
        self.there, self.paid = True, 0.0

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        del path
        if "ids" in query:
            return {"deals": [{"id": DEAL, "UF_CRM_PAID_TOTAL": str(self.paid)}]}
        return {"deals": [{"id": DEAL, "UF_CRM_ORDER_ID": str(ORDER)}] if self.there else []}


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.005)


@pytest.fixture
def portal() -> Portal:
    return Portal()


@pytest.fixture
def watch(portal: Portal) -> Any:
    made = Watch(portal)
    yield made
    made.end()


def test_a_payment_is_measured_until_its_deal_shows_it(watch: Watch, portal: Portal) -> None:
    watch.begin()
    until(lambda: watch.deals == {ORDER: DEAL})
    watch.paid(ORDER, SUM, time.monotonic())
    assert watch.unseen == 1
    portal.paid = SUM
    until(lambda: watch.unseen == 0)
    assert len(watch.times_ms) == 1


@pytest.mark.parametrize("spare", [True, False])
def test_what_was_in_the_way_of_a_payment_is_spared_or_measured(watch: Watch, portal: Portal, spare: bool) -> None:
    watch.spare, portal.there = spare, False
    watch.begin()
    watch.paid(ORDER, SUM, time.monotonic())
    portal.there = True
    until(lambda: watch.deals)
    watch.paid(ORDER, SUM, time.monotonic(), heard=False)
    watch.spoil(60)
    watch.paid(ORDER, SUM, time.monotonic())
    portal.paid = SUM
    until(lambda: watch.unseen == 0)
    assert len(watch.times_ms) == (0 if spare else 3)
