"""Strangers at the broker: whatever they lay on a queue or say to a worker, it goes on with what is ours."""

import json
import pickle
import subprocess
import uuid
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from bus import messages
from bus.app import create_app
from tests.stories.test_queue import QUICK, Bus
from tests.stories.world import build, eventually

PLANTED = "+79991234567"
"""A person's phone in whatever is forged: it is to be found nowhere afterwards."""

THEN = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
RETENTION = {"task": "chores.retention", "args": [], "kwargs": {}, "options": {"queue": "chores"}, "immutable": True}


def event(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "source": "shop",
        "type": "order.changed",
        "subject": f"order/{name}",
        "time": "2026-10-05T10:00:00Z",
        "data": {"number": name, "status": "new", "total": {"amount": "10", "currency": "RUB"}},
    }


def base64(body: bytes) -> str:
    return b64encode(body).decode()


def body(args: Any = None, kwargs: Any = None, then: Any = None) -> str:
    args = [[event("forged") | {"comment": PLANTED}]] if args is None else args
    return base64(json.dumps([args, kwargs or {}, THEN if then is None else then]).encode())


def message(**changes: Any) -> dict[str, Any]:
    name = str(uuid.uuid4())
    made: dict[str, Any] = {
        "body": body(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "orders.apply", "id": name},
        "properties": {
            "correlation_id": name,
            "delivery_mode": 2,
            "delivery_tag": name,
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "orders"},
            "priority": 0,
        },
    }
    for part in ("headers", "properties"):
        if isinstance(change := changes.pop(part, {}), dict):
            made[part] |= change
        else:
            made[part] = change
    return made | changes


def typed(kind: str, encoding: str, raw: bytes) -> dict[str, Any]:
    return message(body=base64(raw), **{"content-type": kind, "content-encoding": encoding})


def bomb() -> str:
    """50 kB that unpack to a thousand times as much."""
    return base64(zlib.compress(b"[" + b" " * 50_000_000 + b"]"))


class Bomb:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> Any:
        return subprocess.call, (["touch", "exploded"],)


MAP = [{"task": "chores.retention", "args": [], "kwargs": {}, "options": {}}, [[]]]
FORGED: list[tuple[str, Any]] = [
    ("no message", "}{ " + PLANTED),
    ("no message", b"\xff\xfe\x00"),
    ("no message", "[" * 100_000),
    ("no message", [1, 2]),
    ("no message", None),
    ("no message", 7),
    ("no message", {}),
    ("no message", {"__type__": "decimal", "__value__": PLANTED}),
    ("no message", message(headers=[1])),
    ("no message", message(body="a")),
    ("no message", message(properties={"body_encoding": "rot13"})),
    ("not JSON", typed("application/x-python-serialize", "binary", pickle.dumps(([Bomb()], {}, {})))),
    ("not JSON", typed("application/x-yaml", "utf-8", b"!!python/object/apply:os.system [touch exploded]")),
    ("not JSON", typed("application/x-msgpack", "binary", b"\x93\x90\x80\x80")),
    ("not JSON", message(body=base64(b"}{"))),
    ("not JSON", message(body=base64(b"[" * 100_000))),
    ("compressed: nobody knows how much it is", message(body=bomb(), headers={"compression": "application/x-gzip"})),
    ("too large", " " * (messages.MAX_BYTES + 1)),
    ("names no task", message(headers={"task": ["orders.apply"]})),
    ("names no task", message(headers={"task": None})),
    ("not a task of this queue", message(headers={"task": "os.system"})),
    ("not a task of this queue", message(headers={"task": "payments.apply"})),
    ("not a task of this queue", message(headers={"task": "chores.retention"}, body=body([]))),
    ("not a task of this queue", message(headers={"task": "celery.starmap"}, body=body(MAP))),
    ("without an id", message(headers={"id": [1]})),
    ("without an id", message(headers={"id": None})),
    ("arguments that this task does not take", message(body=body([1, 2, 3]))),
    ("arguments that this task does not take", message(body=body([[]], {"bind": 1}))),
    ("with more to do after it", message(body=body(then={"callbacks": [RETENTION]}))),
    ("with more to do after it", message(body=body(then={"errbacks": [RETENTION]}))),
    ("with more to do after it", message(body=body(then={"chain": [RETENTION]}))),
    ("with more to do after it", message(body=body(then={"chord": RETENTION}))),
    ("not Celery's second protocol", message(body="%%%")),
    ("not Celery's second protocol", message(body="Анна")),
    ("not Celery's second protocol", message(body=base64(b"7"))),
    ("not Celery's second protocol", message(body=base64(b"[1, 2]"))),
    ("for later: only the ledger knows a later", message(headers={"eta": "2099-01-01T00:00:00Z"})),
    ("for later: only the ledger knows a later", message(headers={"eta": {"a": 1}})),
    ("to be forgotten after a while", message(headers={"expires": "2000-01-01T00:00:00Z"})),
]  # fmt: skip
WILD: list[dict[str, Any]] = [
    message(body=body([[event("kept-1")]]), headers={"timelimit": 7, "retries": "x", "shadow": {"a": 1}}),
    message(body=body([[event("kept-2")]]), headers={"stamped_headers": 7, "stamps": 8, "group": [1], "root_id": {}}),
    message(body=body([[event("kept-3")]]), properties={"reply_to": "payments", "delivery_info": None}),
    message(body=body([[event("kept-4")]]), properties={"delivery_tag": {"a": 1}, "priority": "x"}),
]
"""Ours in what counts: carried out, and the rest of it is left unheard."""


@pytest.fixture
def bus(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Bus]:
    with build(database_url, broker_url, limits=QUICK, ring=True) as world:
        running = Bus(world, tmp_path)
        yield running
        running.stop()


@pytest.fixture
def broker(broker_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(broker_url) as client:
        yield client


@pytest.fixture
def stranger(broker_url: str) -> Iterator[Celery]:
    """A Celery of somebody who knows the broker's password."""
    app = Celery(broker=broker_url)
    app.conf.broker_transport_options = {"global_keyprefix": "bus:"}
    yield app
    app.close()


def test_forged_messages_are_refused_and_recorded_and_hold_nobody_up(
    bus: Bus, broker: redis.Redis, tmp_path: Path
) -> None:
    worker = bus.start("worker", "orders")
    for _, element in FORGED:
        broker.lpush("bus:orders", element if isinstance(element, str | bytes) else json.dumps(element))
    for element in WILD:
        broker.lpush("bus:orders", json.dumps(element))
    broker.lpush("bus:orders", json.dumps(message(body=body([[event("last")]]))))
    kept = ["order/kept-1", "order/kept-2", "order/kept-3", "order/kept-4", "order/last"]
    eventually(lambda: all(bus.world.outcomes(subject) == ["APPLIED"] for subject in kept))
    assert worker.poll() is None, "the worker that met them is the one that goes on"
    wanted = {why: sum(one == why for one, _ in FORGED) for why, _ in FORGED}
    eventually(lambda: sum(_refused(bus).values()) == len(FORGED))
    assert _refused(bus) == wanted
    assert bus.world.outcomes("order/forged") == []
    assert broker.hlen("bus:unacked") == 0
    assert not [queue for queue in ("orders", "payments", "chores", "deals") if broker.llen(f"bus:{queue}")]
    assert not Path("exploded").exists()
    assert not (tmp_path / "exploded").exists()
    _nowhere(bus, tmp_path / "worker-orders.log", PLANTED)


def test_a_worker_that_meets_a_forged_lane_bell_or_chore_rings_nobody_elses(bus: Bus, broker: redis.Redis) -> None:
    bus.start("worker", "all")
    lane = {"headers": {"task": "lanes.drain"}, "body": body(["shop", False])}
    broker.lpush("bus:lane.crm", json.dumps(message(**lane)))
    broker.lpush("bus:chores", json.dumps(message(headers={"task": "chores.explode"}, body=body([]))))
    broker.lpush("bus:orders", json.dumps(message(body=body([[event("last")]]))))
    eventually(lambda: bus.world.outcomes("order/last") == ["APPLIED"])
    assert eventually(lambda: len(bus.world.letters()) == 2 and [letter["cause"] for letter in bus.world.letters()])


ORDERS_TO_WORKERS: list[dict[str, Any]] = [
    {"method": "shutdown"},
    {"method": "pool_restart", "arguments": {"modules": ["os"], "reload": True}},
    {"method": "pool_shrink", "arguments": {"n": 8}},
    {"method": "rate_limit", "arguments": {"task_name": "orders.apply", "rate_limit": "1/h"}},
    {"method": "time_limit", "arguments": {"task_name": "orders.apply", "hard": 1}},
    {"method": "cancel_consumer", "arguments": {"queue": "orders"}},
    {"method": "add_consumer", "arguments": {"queue": "strangers"}},
    {"method": "revoke", "arguments": {"task_id": "a-1", "terminate": True}},
    {"method": "disable_events"},
    {"method": "objgraph"},
    {"method": "report"},
    {"method": "nonsense"},
    {"method": ["ping"]},
    {"method": "conf", "arguments": {"with_defaults": True}},
    {"method": "ping", "arguments": [1]},
    {"method": "ping", "destination": 7},
    {"method": "ping", "pattern": "(a+)+$", "matcher": "pcre"},
    {"method": "ping", "reply_to": {"exchange": "", "routing_key": "orders"}, "ticket": "t"},
    {},
]


def test_workers_may_be_looked_at_over_the_broker_and_not_told_anything(
    bus: Bus, broker: redis.Redis, broker_url: str
) -> None:
    worker = bus.start("worker", "orders")
    app = create_app(broker_url, ["crm", "shop"])
    eventually(lambda: app.control.ping(timeout=0.3))
    for order in ORDERS_TO_WORKERS:
        _broadcast(broker, order)
    _broadcast(broker, [1, 2])
    _broadcast(broker, {"method": "ping"}, headers={"clock": "x"})
    broker.publish("bus:/0.celery.pidbox", "}{")
    eventually(lambda: _refused(bus) == {"not a question that workers answer": len(ORDERS_TO_WORKERS) + 2})
    broker.lpush("bus:orders", json.dumps(message(body=body([[event("last")]]))))
    eventually(lambda: bus.world.outcomes("order/last") == ["APPLIED"])
    assert worker.poll() is None
    assert not broker.llen("bus:orders"), "no answer was sent where a forger wanted it"
    looked = app.control.inspect(timeout=10, limit=1)
    told = [getattr(looked, ask)() for ask in ("stats", "active_queues", "registered", "scheduled", "revoked", "conf")]
    told += [looked.active(safe=True), looked.reserved()]
    assert all(told), "what Flower asks is answered"
    password = broker_url.partition("://:")[2].partition("@")[0]
    assert password not in json.dumps(told)
    app.close()


def test_what_celery_itself_would_do_on_a_strangers_behalf_is_not_done(
    bus: Bus, broker: redis.Redis, stranger: Celery
) -> None:
    bus.start("worker", "orders")
    stranger.send_task("orders.apply", args=[[event("later")]], queue="orders", countdown=1)
    stranger.send_task("orders.apply", args=[[event("short")]], queue="orders", expires=60)
    stranger.send_task("orders.apply", args=[[event("plain")]], queue="orders")
    eventually(lambda: bus.world.outcomes("order/plain") == ["APPLIED"])
    eventually(lambda: len(_refused(bus)) == 2)
    assert bus.world.outcomes("order/later") == bus.world.outcomes("order/short") == []
    assert broker.hlen("bus:unacked") == 0


def _broadcast(broker: redis.Redis, order: Any, headers: dict[str, Any] | None = None) -> None:
    made = message(body=base64(json.dumps(order).encode()))
    made["headers"] = {"clock": 1, "expires": 0} | (headers or {})
    made["properties"]["delivery_info"] = {"exchange": "celery.pidbox", "routing_key": ""}
    broker.publish("bus:/0.celery.pidbox", json.dumps(made))


def _refused(bus: Bus) -> dict[str, int]:
    found = bus.world.rows("SELECT reason, attempts FROM dead_letter WHERE cause LIKE 'refused message on %%'")
    return {row["reason"].partition(";")[0]: row["attempts"] for row in found}


def _nowhere(bus: Bus, log: Path, planted: str) -> None:
    """Neither in the log nor in what operators are shown."""
    assert planted not in log.read_text(encoding="utf-8")
    assert not bus.world.rows("SELECT 1 FROM dead_letter WHERE dead_letter::text LIKE %s", f"%{planted}%")
    assert not bus.world.rows("SELECT 1 FROM event WHERE event::text LIKE %s", f"%{planted}%")
