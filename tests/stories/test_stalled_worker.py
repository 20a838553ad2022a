"""A worker that stood still for longer than its claims last and goes on: what it was about to send is not its own."""

from collections.abc import Iterator
from time import monotonic, sleep

import pytest

from bus import points
from tests.stories.world import World, build
from workers.bootstrap import Wiring

DEADLINE_S = 10.0
LAPSED = "SELECT 1 FROM delivery WHERE lease_until > now()"


class Stall:
    """At a crash point, for the first who comes there: he stands still until his claims lapse and another worked."""

    def __init__(self, world: World, point: str) -> None:
        self._world, self._point, self.done = world, point, False

    def __call__(self, name: str) -> None:
        if name != self._point or self.done:
            return
        self.done = True
        deadline = monotonic() + DEADLINE_S
        while self._world.rows(LAPSED):
            assert monotonic() < deadline, "the claims do not lapse"
            sleep(0.02)
        other = Wiring(self._world.wiring.settings, self._world.wiring.file)
        other.__dict__["bells"] = self._world.bells
        World(self._world.portal, self._world.shop, other, self._world.bells, self._world.clock).step()
        other.close()


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    """Claims of a second."""
    with build(database_url, broker_url, limits={"lease_s": 1}, crm={"late_s": 0}) as made:
        yield made
        points.disarm()


@pytest.mark.parametrize("point", ["lane.claimed", "lane.begun", "lane.launched"])
def test_a_stalled_worker_makes_no_second_deal(world: World, point: str) -> None:
    order = world.order()
    world.shop.outbox.flush(5)
    stall = Stall(world, point)
    points.arm(stall)
    world.settle()
    assert stall.done
    assert len(world.deals_of(order)) == 1
    assert world.letters() == []
