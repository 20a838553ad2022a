"""A portal that refuses us as a whole: its lane stops, everything waits, and goes on when it is put right."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from bus import stops, switches
from bus.breaker import Circuit
from bus.config import Mode
from tests.stories.world import World, build, eventually


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url, limits={"stop_probe_s": 0.5}) as world:
        yield world


@pytest.fixture
def patient(database_url: str, broker_url: str) -> Iterator[World]:
    """Probes only every five minutes."""
    with build(database_url, broker_url) as world:
        yield world


def circuit(world: World) -> Circuit:
    return world.wiring.breaker.state("crm").circuit


def attempts(world: World) -> list[int]:
    return [row["attempts"] for row in world.rows("SELECT attempts FROM delivery WHERE system = 'crm'")]


def refused_orders(world: World, count: int) -> list[int]:
    """Orders that came while the portal's webhook was revoked."""
    world.portal.faults.add({"kind": "auth_revoked"})
    orders = [world.order() for _ in range(count)]
    world.shop.outbox.flush(5)
    eventually(lambda: world.step() is not None and len(attempts(world)) == count and circuit(world) is Circuit.STOPPED)
    return orders


def test_a_revoked_webhook_stops_the_lane_and_a_probe_takes_it_up_again(world: World) -> None:
    with capture_logs() as logs:
        orders = refused_orders(world, 3)
        assert attempts(world) == [0, 0, 0]
        world.portal.faults.clear()
        eventually(lambda: world.step() is not None and circuit(world) is Circuit.CLOSED)
    world.settle()
    assert all(world.deal_of(order) for order in orders)
    assert world.letters() == []
    told = [line["event"] for line in logs if line["event"] in ("lane.stopped", "lane.resumed")]
    assert told == ["lane.stopped", "lane.resumed"]


def test_a_person_takes_a_stopped_lane_up_at_once(patient: World) -> None:
    orders = refused_orders(patient, 2)
    patient.portal.faults.clear()
    patient.settle_lanes()
    assert patient.portal.state({})["deals"] == []
    wiring = patient.wiring
    stops.resume(wiring.ledger, wiring.breaker, wiring.bells, wiring.file, "crm", "olga")
    patient.settle()
    assert all(patient.deal_of(order) for order in orders)


def test_a_lane_that_a_person_stopped_leaves_the_portal_alone(patient: World) -> None:
    wiring = patient.wiring
    stops.stop(wiring.ledger, wiring.breaker, wiring.file, "crm", "the portal is being moved", "olga")
    order = patient.order()
    patient.shop.outbox.flush(5)
    eventually(lambda: patient.step() is not None and attempts(patient) == [0])
    assert patient.portal.calls.summary()["requests"] == 0
    assert patient.shop_order(order)
    stops.resume(wiring.ledger, wiring.breaker, wiring.bells, wiring.file, "crm", "olga")
    patient.settle()
    assert patient.deal_of(order)


@pytest.mark.parametrize("kept", [False, True])
def test_the_directories_of_a_portal_without_a_scope_for_users_stop_nothing(
    database_url: str, broker_url: str, kept: bool
) -> None:
    """`kept`: counterparties travel, and with them those in charge of them."""
    with build(database_url, broker_url, books=kept) as world:
        world.portal.faults.add({"kind": "refuse", "method": "user.get", "error": "insufficient_scope", "status": 403})
        with capture_logs() as logs:
            world.wiring.chores.directories()
        unread = [line["table"] for line in logs if line["event"] == "directory.not_read"]
        assert unread == (["users"] if kept else [])
        assert circuit(world) is Circuit.CLOSED
        order = world.order()
        world.settle()
        assert world.deal_of(order)


def test_a_portal_whose_counterparties_are_switched_on_by_command_has_its_users_read(
    database_url: str, broker_url: str
) -> None:
    with build(database_url, broker_url) as world:
        world.wiring.chores.directories()
        assert world.wiring.directories.called("crm", "users", "1") is None
        switches.turn(world.wiring.ledger, world.wiring.file, "crm", "counterparty", "in", Mode.FULL, "olga")
    with build(database_url, broker_url) as world:
        world.wiring.chores.directories()
        assert world.wiring.directories.called("crm", "users", "1") is not None
