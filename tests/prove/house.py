"""The house that histories are played in: stand-ins over HTTP, a real ledger, one bus; built once, emptied often."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr
from redis import Redis

from bus import points
from bus.breaker import Breaker
from bus.config import Config, Settings, from_document
from bus.embedded import Server
from bus.sandbox.bitrix24 import Portal
from bus.sandbox.bitrix24 import create_app as create_site
from bus.sandbox.bitrix_cms import Shop
from bus.sandbox.onec import Base
from bus.sandbox.server import create_app as create_base
from bus.sandbox.server import rest_url, running
from tests.prove.clock import Clock, Wall, prepare
from tests.prove.network import CREATIONS, Network, odata_creates, rest_creates
from tests.prove.post import Held
from tests.stories.world import (
    BANK_KEY,
    BOOKS_SETTINGS,
    DELIVERY,
    OWN_ACCOUNT,
    RETAIL,
    SHOP_KEY,
    TOKEN,
    HandBells,
    running_intake,
)
from workers.bootstrap import Wiring

_SYSTEMS = ("crm", "shop", "onec")
_KEPT = ("ledger", "redis", "mappings", "bells")
"""What a process that starts anew need not open again: connections, files read, the bells that histories ring."""
NEW_STAGE = "UC_NEGOTIATION"
"""A stage that the portal has and no table knows, until somebody adds the line."""
_LINE = f"bitrix24: {{codes: {{deal_stage: {{{NEW_STAGE}: accepted}}}}}}\n"

Row = dict[str, Any]


@dataclass
class House:
    """Everything that a history touches."""

    clock: Clock
    portal: Portal
    shop: Shop
    base: Base
    walls: dict[str, Wall]
    posts: dict[str, Held]
    networks: dict[str, Network]
    bells: HandBells
    books: Row
    """The database as the tests read it, apart from the bus's own connections."""
    connection: psycopg.Connection[Row]
    redis: Redis
    processes: dict[tuple[bool, bool], Wiring]
    """The bus, by whether the new stage stands in its tables; and a second process of each, its fellow."""
    mapped: bool = False
    doom: tuple[str, int] | None = None
    """The crash point at which the process is to die, and how often it comes there before."""
    between: tuple[str, int, Callable[[], None]] | None = None
    """What is to happen while the bus is at a crash point, and how often it comes there before."""
    reached: dict[str, int] = field(default_factory=dict)
    """How often crash points were come to, and `killed <name>`: how often one was the end."""
    _tables: list[str] = field(default_factory=list)
    _numbers: list[str] = field(default_factory=list)

    @property
    def bus(self) -> Wiring:
        """The bus as it runs now."""
        return self.processes[self.mapped, False]

    @property
    def fellow(self) -> Wiring:
        """Another process of the same bus, which works at the same time."""
        return self.processes[self.mapped, True]

    def begin(self) -> None:
        """Empty everything, for another history."""
        self.doom, self.between, self.mapped = None, None, False
        self.reached.clear()
        self.restart()
        self._empty()
        self.redis.flushdb()
        self.clock.begin()
        for site in (self.portal, self.shop, self.base):
            site.reset(keep_webhooks=True)
        for network in self.networks.values():
            network.clear()
        for wall in self.walls.values():
            wall.skew_s = 0.0
        self.bells.published.clear()
        self.bells.rung.clear()
        self._furnish()

    def restart(self) -> None:
        """The processes of the bus end and begin anew: what only they knew is gone."""
        for bus in self.processes.values():
            made = bus.__dict__
            for lane in made.get("_lanes", {}).values():
                lane.close()
            for adapter in made.get("adapters", {}).values():
                adapter.close()
            for name in made.keys() - {*_KEPT, *(given.name for given in fields(bus))}:
                del made[name]
            limits = bus.file.limits
            numbers = {"failures": limits.breaker_failures, "open_s": limits.breaker_open_s}
            made["breaker"] = Breaker(bus.redis, **numbers, stop_probe_s=limits.stop_probe_s, clock=_virtual)

    def let_pass(self, seconds: float) -> None:
        """Time passes, and what the networks held for so long arrives."""
        self.clock.let_pass(seconds)
        for network in self.networks.values():
            if network.held:
                network.pass_on()

    def rows(self, query: str, *params: Any) -> list[Row]:
        """Ask the ledger."""
        return self.connection.execute(query, params).fetchall()  # type: ignore[arg-type]  # ours

    def writes(self) -> int:
        """Writing calls that the systems have seen."""
        return sum(int(site.calls.summary()["writes"]) for site in (self.portal, self.shop, self.base))

    def _furnish(self) -> None:
        """What an administrator has set up before the first day."""
        self.portal.settings(
            {
                "fields": {"UF_CRM_ORDER_NUMBER": "string", "UF_CRM_ORDER_PRODUCTS": "string"},
                "stages": [{"category": 0, "id": NEW_STAGE, "name": "Negotiation", "semantics": None}],
            }
        )
        statuses = [{"id": "A", "sort": 120, "name": "Accepted"}, {"id": "S", "sort": 170, "name": "Sent"}]
        self.shop.settings({"statuses": statuses})
        self.base.act({"do": "create_counterparty", "name": "Розничный покупатель", "fields": {"Ref_Key": RETAIL}})
        self.base.act({"do": "create_product", "name": "Доставка", "fields": {"Ref_Key": DELIVERY}})

    def _empty(self) -> None:
        """Take every row away, and number anew. Of small tables that is fifteen times as quick as TRUNCATE."""
        self._tables = self._tables or self._named("r") + self._named("p")
        self._numbers = self._numbers or self._named("S")
        with self.connection.pipeline(), self.connection.transaction():
            self.connection.execute("SET LOCAL session_replication_role = replica")
            for table in self._tables:
                self.connection.execute(f"DELETE FROM {table}")  # type: ignore[arg-type]  # ours
            for sequence in self._numbers:
                self.connection.execute(f"ALTER SEQUENCE {sequence} RESTART")  # type: ignore[arg-type]  # ours

    def _named(self, kind: str) -> list[str]:
        """Relations of the ledger, but for what says which migrations were made, and the virtual clock."""
        found = self.rows(
            """SELECT relname FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid
               WHERE nspname = 'virtual' AND relkind::text = %s AND NOT relispartition
                 AND relname NOT IN ('alembic_version', 'shift') ORDER BY relname""",
            kind,
        )
        return [row["relname"] for row in found]

    def at_point(self, name: str) -> None:
        """The bus has come to a crash point. Only the thread that plays the history dies: the intake is another."""
        self.reached[name] = self.reached.get(name, 0) + 1
        if threading.current_thread() is not threading.main_thread():
            return
        self._come_between(name)
        if self.doom is None or self.doom[0] != name:
            return
        left = self.doom[1]
        self.doom = (name, left - 1) if left else None
        if not left:
            self.reached[f"killed {name}"] = self.reached.get(f"killed {name}", 0) + 1
            raise points.Killed(name)

    def _come_between(self, name: str) -> None:
        if self.between is None or self.between[0] != name:
            return
        point, left, what = self.between
        self.between = (point, left - 1, what) if left else None
        if not left:
            self.reached[f"between {name}"] = self.reached.get(f"between {name}", 0) + 1
            what()


def _virtual() -> float:
    """Python's clock, which is virtual while a house is open."""
    return time.time()


ROUTES: dict[str, Row] = {
    "crm": {"order": {"in": "full", "out": "full"}, "counterparty": {"in": "full", "out": "full"}},
    "shop": {"order": {"in": "full", "out": "update-only"}, "payment": {"in": "full", "out": "full"}},
    "bank": {"payment": {"in": "full"}},
    "bankfile": {"payment": {"in": "full"}},
    "onec": {
        "order": {"in": "full", "out": "full"},
        "payment": {"in": "full"},
        "counterparty": {"in": "full", "out": "full"},
    },
}


_LIMITS = {"backoff_base_s": 8}
"""Pauses longer than a lane would sit out: then it does not depend on the machine's speed what a turn of it does."""


def _document(crm: str, shop: str, onec: str) -> Row:
    login = {"user": "bus", "password": "secret", "settings": BOOKS_SETTINGS}
    systems: dict[str, Row] = {
        "crm": {"kind": "bitrix24", "url": crm, "application_token": TOKEN, "integration_user": "1"},
        "shop": {"kind": "bitrix_cms", "url": shop, "keys": [SHOP_KEY], "settings": {"pay_system": "3"}},
        "bank": {"kind": "events", "keys": [BANK_KEY]},
        "onec": {"kind": "onec", "url": onec, **login},
        "bankfile": {"kind": "bank", "accounts": [OWN_ACCOUNT]},
    }
    for name, system in systems.items():
        system |= {"timeout_s": 5, "routes": ROUTES[name]}
    return {"systems": systems, "limits": _LIMITS}


@contextmanager
def opened(postgres: Server, valkey: Server, folder: Path) -> Iterator[House]:
    """Build a house on these engines; `folder` takes the tables with the added line."""
    with ExitStack() as stack:
        url = _database(stack, postgres)
        redis = stack.enter_context(Redis.from_url(valkey.url))
        pulse = stack.enter_context(psycopg.connect(url, autocommit=True))
        clock = Clock(pulse, redis)
        walls = {name: Wall(clock) for name in _SYSTEMS}
        stack.enter_context(clock.running())
        portal = Portal(cloud=False, clock=walls["crm"])
        shop, base = Shop(clock=walls["shop"]), Base(clock=walls["onec"])
        held = {"crm": Held(portal.retry), "shop": Held(shop.retry), "onec": Held(base.retry)}
        for name, site in (("crm", portal), ("shop", shop), ("onec", base)):
            site.outbox = held[name]  # type: ignore[assignment]  # the part of it that a site uses
        networks = _networks(stack, portal, shop, base, clock)
        crm_url, shop_url = rest_url(networks["crm"].url, portal), rest_url(networks["shop"].url, shop)
        onec_url = f"{networks['onec'].url}/base/odata/standard.odata/"
        bells = HandBells()
        settings = Settings(database_url=SecretStr(url), broker_url=SecretStr(valkey.url))
        document = _document(crm_url, shop_url, onec_url)
        (folder / "tables.yaml").write_text(_LINE, encoding="utf-8")
        configs = {False: from_document(document, {}), True: from_document(document | {"mappings": str(folder)}, {})}
        processes = {
            (known, fellow): _process(stack, settings, config, bells)
            for known, config in configs.items()
            for fellow in (False, True)
        }
        door = _process(stack, settings, configs[False], bells)
        intake = stack.enter_context(running_intake(door))
        portal.webhooks.append({"id": 201, "url": f"{intake}/bitrix24/crm", "application_token": TOKEN})
        shop.webhooks.append({"id": 201, "url": f"{intake}/shop/shop", "secret": SHOP_KEY})
        reader = stack.enter_context(psycopg.connect(url, autocommit=True, row_factory=dict_row))
        house = House(clock, portal, shop, base, walls, held, networks, bells, {}, reader, redis, processes)
        points.arm(house.at_point)
        stack.callback(points.disarm)
        yield house


def _networks(stack: ExitStack, portal: Portal, shop: Shop, base: Base, clock: Clock) -> dict[str, Network]:
    """The ways to the systems, which answer from now on."""

    def passed() -> float:
        return clock.passed_s

    networks = {
        "crm": Network(create_site(portal), rest_creates(CREATIONS["crm"]), passed),
        "shop": Network(create_site(shop), rest_creates(CREATIONS["shop"]), passed),
        "onec": Network(create_base(base), odata_creates, passed),
    }
    for network in networks.values():
        network.url = stack.enter_context(running(network))  # type: ignore[arg-type]  # an application like any other
    return networks


def _database(stack: ExitStack, postgres: Server) -> str:
    from bus.ledger.schema import migrate

    name = f"prove_{os.getpid()}"
    admin = stack.enter_context(psycopg.connect(postgres.url, autocommit=True))
    url = postgres.url.removesuffix("/postgres") + f"/{name}"
    prepare(admin, url, name)
    stack.callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]  # ours
    migrate(url)
    return url


def _process(stack: ExitStack, settings: Settings, config: Config, bells: HandBells) -> Wiring:
    bus = Wiring(settings, config)
    bus.__dict__["bells"] = bells
    stack.callback(bus.close)
    return bus


@contextmanager
def chance(seed: int) -> Iterator[None]:
    """Let keys and leases be drawn from a seed, so that a history plays the same again."""
    rng = random.Random(seed)
    with mock.patch("os.urandom", rng.randbytes):
        yield
