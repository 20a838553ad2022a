"""The queue as it is: real Celery workers over a real Valkey, killed, emptied and fed by strangers."""

import json
import os
import signal
import subprocess
import sys
import uuid
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import yaml
from celery import Celery

from tests.stories.world import World, build, eventually, raw_config

QUICK = {"sweep_s": 0.5, "republish_after_s": 1, "lease_s": 3, "backoff_base_s": 0.05, "backoff_cap_s": 0.2}


class Bus:
    """The bus as processes: workers and beat as a customer runs them, over the world's systems."""

    def __init__(self, world: World, folder: Path, **limits: Any) -> None:
        self.world, self._folder = world, folder
        self._running: list[subprocess.Popen[bytes]] = []
        settings = world.wiring.settings
        (folder / "bus.yaml").write_text(
            yaml.safe_dump(raw_config(world.crm_url, world.shop_url, limits=QUICK | limits))
        )
        self._environment = {
            **os.environ,
            "BUS_DATABASE_URL": settings.database(),
            "BUS_BROKER_URL": settings.broker(),
            "BUS_CONFIG": str(folder / "bus.yaml"),
        }

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{'-'.join(command)}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "workers", *command], env=self._environment, stdout=log, stderr=log
            )
        self._running.append(process)
        return process

    def stop(self) -> None:
        for process in self._running:
            process.kill()
        for process in self._running:
            process.wait()


@pytest.fixture
def bus(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Bus]:
    with build(database_url, broker_url, limits=QUICK, ring=True) as world:
        running = Bus(world, tmp_path)
        yield running
        running.stop()


def test_a_worker_that_has_grown_too_large_ends_in_order_and_the_next_goes_on(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    with build(database_url, broker_url, limits=QUICK, ring=True) as world:
        bus = Bus(world, tmp_path, worker_memory_mb=1)
        try:
            order = world.order()
            first = bus.start("worker", "orders")
            assert first.wait(30) == 0
            bus.start("worker", "lanes")
            eventually(lambda: world.deals_of(order))
        finally:
            bus.stop()


def test_an_order_and_its_payment_flow_through_workers_to_the_deal(bus: Bus) -> None:
    bus.start("worker", "all")
    order = bus.world.order()
    bus.world.shop.act({"do": "pay_order", "id": order})
    eventually(lambda: _paid_deal(bus.world, order))


def test_a_worker_killed_between_the_call_and_its_commit_makes_one_deal(bus: Bus) -> None:
    bus.world.portal.faults.add({"kind": "latency", "method": "crm.item.add", "seconds": 30, "count": 1})
    worker = bus.start("worker", "all")
    order = bus.world.order()
    eventually(lambda: bus.world.deals_of(order))  # the portal has it; its answer is on its way
    worker.send_signal(signal.SIGKILL)
    bus.start("worker", "all")
    bus.start("beat")
    eventually(lambda: _linked(bus.world))
    bus.world.shop.act({"do": "set_status", "id": order, "status": "A"})
    eventually(lambda: bus.world.deals_of(order)[0]["stageId"] == "PREPARATION")
    assert len(bus.world.deals_of(order)) == 1
    assert bus.world.letters() == []


def test_a_strangers_event_waits_on_its_queue_while_the_ledgers_tables_are_older_than_the_bus(
    bus: Bus, tmp_path: Path
) -> None:
    database, broker = bus.world.wiring.settings.database(), bus.world.wiring.settings.broker()
    bus.start("worker", "orders")
    eventually(lambda: bus.world.wiring.celery.control.ping(timeout=0.5))
    with psycopg.connect(database, autocommit=True) as ledger, redis.Redis.from_url(broker) as client:
        ledger.execute("ALTER TABLE event RENAME COLUMN erased TO not_yet")
        client.lpush("bus:orders", _celery_message("orders.apply", [[{"id": "x-1", "source": "nobody"}]]))
        eventually(lambda: "ledger.unfit" in (tmp_path / "worker-orders.log").read_text(encoding="utf-8"))
        ledger.execute("ALTER TABLE event RENAME COLUMN not_yet TO erased")
    eventually(lambda: bus.world.rows("SELECT 1 FROM event"))


def test_losing_redis_whole_in_mid_run_loses_nothing(bus: Bus) -> None:
    orders = [bus.world.order() for _ in range(30)]
    bus.world.shop.outbox.flush(10)
    with redis.Redis.from_url(bus.world.wiring.settings.broker()) as client:
        assert client.dbsize()
        client.flushall()
        bus.start("worker", "all")
        bus.start("beat")
        eventually(lambda: any(bus.world.deals_of(order) for order in orders))
        client.flushall()
    eventually(lambda: all(len(bus.world.deals_of(order)) == 1 for order in orders))
    assert bus.world.letters() == []


def test_a_strangers_message_straight_through_redis_is_journaled_and_taken(bus: Bus) -> None:
    bus.start("worker", "all")
    event = {
        "id": "from-afar", "source": "shop", "type": "order.changed", "subject": "order/900",
        "time": "2026-10-05T10:00:00Z",
        "data": {"number": "9000", "status": "new", "total": {"amount": "10", "currency": "RUB"}},
    }  # fmt: skip
    with redis.Redis.from_url(bus.world.wiring.settings.broker()) as client:
        client.lpush("bus:orders", _celery_message("orders.apply", [[event]]))
        client.lpush("bus:orders", _celery_message("orders.apply", [[{"source": "shop", "type": "nonsense"}]]))
        stranger = Celery(broker=bus.world.wiring.settings.broker())
        stranger.conf.broker_transport_options = {"global_keyprefix": "bus:"}
        stranger.send_task(
            "orders.apply",
            args=[{**event, "id": "second", "subject": "order/901", "data": {"number": "9001"}}],
            queue="orders",
        )
        stranger.close()
    eventually(lambda: bus.world.outcomes("order/900") == ["APPLIED"] == bus.world.outcomes("order/901"))
    letters = eventually(bus.world.letters)
    assert [letter["cause"] for letter in letters] == ["unreadable message on orders"]


def test_two_beats_at_once_do_no_harm(bus: Bus) -> None:
    bus.world.shop.faults.add({"kind": "events_lost", "probability": 0.5})
    for command in (("worker", "all"), ("worker", "all", "--instance", "2"), ("beat",), ("beat",)):
        bus.start(*command)
    orders = [bus.world.order() for _ in range(10)]
    reached = lambda: all(len(bus.world.deals_of(order)) == 1 for order in orders)  # noqa: E731
    bus.world.wiring.celery.send_task("chores.reconcile", queue="chores")
    bus.world.wiring.celery.send_task("chores.reconcile", queue="chores")
    eventually(reached)
    assert bus.world.letters() == []


def _paid_deal(world: World, order: int) -> bool:
    return any(deal["UF_CRM_PAYMENT_STATUS"] == "Оплачен" for deal in world.deals_of(order))


def _linked(world: World) -> bool:
    return bool(
        world.rows("SELECT 1 FROM record WHERE system = 'crm' AND state = 'linked' AND external_id IS NOT NULL")
    )


def _celery_message(task: str, args: list[Any]) -> str:
    """Celery's protocol 2 by hand, as any language can write it."""
    name = str(uuid.uuid4())
    body = b64encode(
        json.dumps([args, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]).encode()
    )
    return json.dumps({
        "body": body.decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "other", "task": task, "id": name, "root_id": name, "parent_id": None, "group": None},
        "properties": {
            "correlation_id": name, "delivery_mode": 2, "delivery_tag": name, "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "orders"}, "priority": 0,
        },
    })  # fmt: skip
