"""A worker that stood still for longer than its claims last and goes on: what it was about to send is not its own.

One that waits, for the system's budget or for a slow answer, holds what it has claimed: nobody reads it for nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import pytest
from structlog.testing import capture_logs

from bus import leased, points
from tests.stories.world import World, build
from workers.bootstrap import Wiring

DEADLINE_S = 10.0
LEASE_S = 1
LAPSED = "SELECT 1 FROM delivery WHERE lease_until > now()"
CLAIMED = "SELECT 1 FROM delivery WHERE lease IS NOT NULL"


def beside(world: World) -> World:
    """The same world, worked on by another process."""
    other = Wiring(world.wiring.settings, world.wiring.file)
    other.__dict__["bells"] = world.bells
    return World(world.portal, world.shop, other, world.bells, world.clock)


class Stall:
    """At a crash point, for the first who comes there: he stands still until his claims lapse and another worked."""

    def __init__(self, world: World, point: str, *, meanwhile: bool = True) -> None:
        self._world, self._point, self._meanwhile, self.done = world, point, meanwhile, False

    def __call__(self, name: str) -> None:
        if name != self._point or self.done:
            return
        self.done = True
        deadline = monotonic() + DEADLINE_S
        while self._world.rows(LAPSED):
            assert monotonic() < deadline, "the claims do not lapse"
            sleep(0.02)
        if self._meanwhile:
            other = beside(self._world)
            other.step()
            other.wiring.close()


class Wait:
    """At a crash point, for the first who comes there: he waits for longer than a claim lasts, and another works."""

    def __init__(self, world: World, point: str) -> None:
        self._world, self._point, self.claims = world, point, list[int]()

    def __call__(self, name: str) -> None:
        if name != self._point or self.claims:
            return
        self.claims.append(len(self._world.rows(CLAIMED)))
        leased.nap(1.5 * LEASE_S)
        other = beside(self._world)
        other.step()
        other.wiring.close()
        self.claims.append(len(self._world.rows(CLAIMED)))


@contextmanager
def another(world: World) -> Iterator[list[bool]]:
    """Another process, which looks for work meanwhile; what each of its turns came to."""
    over, other, steps = Event(), beside(world), list[bool]()

    def work() -> None:
        while not over.wait(0.05):
            steps.append(other.step())

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield steps
    finally:
        over.set()
        thread.join()
        other.wiring.close()


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    """Claims of a second."""
    with build(database_url, broker_url, limits={"lease_s": LEASE_S}, crm={"late_s": 0}) as made:
        yield made
        points.disarm()


def failures(lines: list[Any]) -> list[str]:
    return [line["reason"] for line in lines if line["event"] == "delivery.failed"]


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


@pytest.mark.parametrize("point", ["lane.claimed", "lane.begun", "lane.launched"])
def test_one_whose_claims_nobody_took_meanwhile_goes_on_with_what_it_has_read(world: World, point: str) -> None:
    order = world.order()
    world.shop.outbox.flush(5)
    stall = Stall(world, point, meanwhile=False)
    points.arm(stall)
    with capture_logs() as lines:
        world.settle()
    assert stall.done
    assert len(world.deals_of(order)) == 1
    assert failures(lines) == []


@pytest.mark.parametrize("point", ["lane.begun", "lane.launched"])
def test_who_waits_for_longer_than_a_claim_lasts_holds_it(world: World, point: str) -> None:
    order = world.order()
    world.shop.outbox.flush(5)
    wait = Wait(world, point)
    points.arm(wait)
    with capture_logs() as lines:
        world.settle()
    assert wait.claims == [1, 1]
    assert len(world.deals_of(order)) == 1
    assert failures(lines) == []


def test_a_write_of_several_slow_calls_holds_its_claim_to_its_end(database_url: str, broker_url: str) -> None:
    """Its second call is due when the first has used up what may be sent under the claim; another looks for work."""
    with build(database_url, broker_url, limits={"lease_s": LEASE_S}, crm={"late_s": 0.4 * LEASE_S}) as world:
        order = world.order()
        world.shop.outbox.flush(5)
        world.portal.faults.add({"kind": "latency", "seconds": 0.7 * LEASE_S})
        with capture_logs() as lines, another(world) as steps:
            world.settle()
        assert len(world.deals_of(order)) == 1
        assert failures(lines) == []
        assert len(steps) > 1


def test_what_goes_on_after_a_standstill_is_on_its_way_from_then(world: World) -> None:
    """Until `late_s` after it was sent, no reading is final: what it says may take effect after that."""
    order = world.order()
    world.settle()
    world.shop.act({"do": "edit_order", "id": order, "properties": {"ADDRESS": "Казань, Баумана 7"}})
    world.shop.outbox.flush(5)
    stall, told = Stall(world, "lane.launched", meanwhile=False), list[dict[str, Any]]()

    def at(name: str) -> None:
        stall(name)
        if name == "lane.sent":
            told.extend(world.rows("SELECT told_at FROM record WHERE system = 'crm'"))

    points.arm(at)
    world.settle()
    call = [one for one in world.portal.calls.since() if one["method"] == "crm.item.update"][-1]
    assert stall.done
    assert 0 < call["unix"] - told[0]["told_at"].timestamp() < 0.5 * LEASE_S


def test_who_wakes_ends_no_letter_of_what_another_could_not_write_meanwhile(world: World) -> None:
    order = world.order()
    world.settle()
    world.portal.webhooks.clear()
    world.clock.ahead_s += 5
    world.shop.act({"do": "edit_order", "id": order, "fields": {"comments": "Позвонить"}})
    refusal = {"kind": "refuse", "method": "crm.item.update", "error": "INVALID_ARG_VALUE", "text": "stage"}

    class Paid(Stall):
        def __call__(self, name: str) -> None:
            if name == "lane.sent" and not self.done:
                world.shop.act({"do": "pay_order", "id": order})
                world.shop.outbox.flush(5)
                world.portal.faults.add(refusal)
                super().__call__(name)
                world.portal.faults.clear()

    world.shop.outbox.flush(5)
    stall = Paid(world, "lane.sent")
    points.arm(stall)
    world.settle()
    assert stall.done
    assert world.rows("SELECT state FROM delivery WHERE system = 'crm'") == [{"state": "dead"}]
    (letter,) = world.letters()
    world.wiring.dead_letters.retry([letter["id"]], "anna")
    world.settle()
    assert world.deal_of(order)["UF_CRM_PAYMENT_STATUS"] == "Оплачен"
    assert world.letters() == []
