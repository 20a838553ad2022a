"""The house under test: engines, stand-ins and the bus's own processes, each a process of its own, as in reality.

    with House(Portal(per_second=10, burst=50)) as house:
        house.bus("orders", "chores", "payments", lanes=("crm",))
        house.wiring.publisher.publish(...)

PostgreSQL runs with fsync, Valkey with its append-only file, workers with the log level of production. Nothing outlives
this process, however it ends (bus.supervise.watchdog).
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
import yaml
from pydantic import SecretStr

from bus import config as configuration
from bus import embedded, log
from bus.config import Settings
from bus.ledger.schema import migrate
from bus.supervise.children import Child, Recipe, command, stand_in, stop_all
from bus.supervise.control import Control
from bus.supervise.invented import FIELDS
from bus.supervise.ports import LOOPBACK, free
from bus.supervise.watchdog import Watchdog
from workers.bootstrap import Wiring, wire

CRM, SHOP, BOOKS = "crm", "shop", "onec"
ROOT = Path(configuration.__file__).parents[1]
SHOP_KEY = "whsec_c2hvcHNob3BzaG9wc2hvcHNob3BzaG9wc2hvcHNob3A="
TOKEN = "portal-token"
_START_S = 60.0
_POLL_S = 0.05
_STOP_S = 2.0


class HouseError(Exception):
    """Something did not come up, or not to rest in time."""


@dataclass(frozen=True, slots=True)
class Portal:
    """The request limit of the stand-in portal, which the bus is told of."""

    per_second: int = 10
    burst: int = 50

    @property
    def bucket(self) -> dict[str, int]:
        """As the stand-in's control API has it."""
        return {"burst": self.burst, "drain": self.per_second}


class House:
    """Everything a bench needs, started by entering it. `portal` None: no stand-in, only engines and a ledger."""

    def __init__(
        self, portal: Portal | None = None, *, books: bool = False, document: dict[str, Any] | None = None
    ) -> None:
        """`books`: there is a 1C and no shop, and counterparties go both ways between it and the portal.

        `document` replaces the configuration file that the house makes.
        """
        self.portal, self._books = portal, books
        self._document = document
        self.children: dict[str, Child] = {}
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with self._exits:
            self._start()
            self._exits = self._exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @property
    def crm(self) -> Control:
        """A new connection to the stand-in portal's control API."""
        return Control(f"http://{LOOPBACK}:{self._crm_port}")

    @property
    def onec(self) -> Control:
        """The same of the stand-in 1C."""
        return Control(f"http://{LOOPBACK}:{self._onec_port}")

    @property
    def crm_url(self) -> str:
        """The portal's REST door, as an incoming webhook is given."""
        return f"http://{LOOPBACK}:{self._crm_port}/rest/1/sandbox/"

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the bus needs to find this house."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part),
            "BUS_DATABASE_URL": self.settings.database(),
            "BUS_BROKER_URL": self.settings.broker(),
            "BUS_CONFIG": str(self.settings.config),
        }

    def bus(self, *names: str, lanes: tuple[str, ...] = (), beat: bool = True) -> None:
        """Start the bus's processes by the names of `bus worker`, as many as named; wait until all are at work."""
        workers = self._group()
        for at, name in enumerate(names):
            argv = command("worker", name, "--instance", str(at))
            workers.append(self._child(f"worker-{name}-{at}", argv))
        for system in lanes:
            workers.append(self._child(f"worker-lanes-{system}", command("worker", "lanes", "--system", system)))
        if beat:
            doors = self._group()
            doors.append(self._child("beat", command("beat")))
        self.until(lambda: self._at_work(len(workers)), _START_S, "workers at work")

    def told_by_webhooks(self) -> None:
        """Open the intake, and have the portal call it from now on, as its administrator would set it up."""
        port = free()
        self.run("intake", command("intake", "--port", str(port)))
        self.until(lambda: open_door(port), _START_S, "the intake")
        url = f"http://{LOOPBACK}:{port}/bitrix24/{CRM}"
        self.crm.post("webhooks", {"url": url, "application_token": TOKEN, "senders": 2})

    def run(self, name: str, argv: list[str]) -> Child:
        """Start another process (a peer's worker); it is restarted when it dies and stopped with the house."""
        group = self._group()
        group.append(self._child(name, argv))
        return group[0]

    def stop(self, *names: str) -> None:
        """Stop some children now (all workers and beat, when none is named), by force when they take long.

        For what comes after and must have the machine to itself; nothing of theirs is looked at any more.
        """
        stands_in = f"sandbox-{CRM}", f"sandbox-{BOOKS}"
        chosen = [
            child for name, child in self.children.items() if name not in stands_in and name in (names or (name,))
        ]
        for child in chosen:
            child.ask()
        for child in chosen:
            child.stop(_STOP_S)

    def kill(self) -> int:
        """End all workers as a power cut does (SIGKILL), and let them be started again. How many."""
        workers = [child for name, child in self.children.items() if name.startswith("worker-") and child.running]
        for child in workers:
            os.killpg(child.pid, signal.SIGKILL)
        return len(workers)

    def new_limit(self, portal: Portal | None) -> None:
        """Another request limit at the stand-in (None: none), with an empty bucket. The bus's own is not touched."""
        self.crm.post("limits", {"bucket": portal.bucket if portal else None})

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """The portal's call log after a line, all pages of it."""
        crm, found = self.crm, []
        while page := crm.get("calls", since=since, limit=10_000):
            found += page
            since = page[-1]["seq"]
        return found

    def changes(self, since: int = 0, fields: str = "") -> list[dict[str, Any]]:
        """What was saved at the portal after a line, of records that changed in one of `fields`; all pages of it."""
        crm, found = self.crm, []
        while page := crm.get("changes", since=since, fields=fields, limit=10_000):
            found += page
            since = page[-1]["seq"]
        return found

    def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        """Ask the ledger."""
        with self.wiring.ledger.transaction() as connection:
            return [dict(row) for row in connection.execute(query, params).fetchall()]

    def until(self, ready: Callable[[], bool], seconds: float, what: str, *, poll_s: float = _POLL_S) -> float:
        """Wait for a condition; the seconds it took. Raises HouseError with the last words of a child that failed."""
        begun = time.monotonic()
        while not ready():
            failing = next((child for child in self.children.values() if child.restarts > 1), None)
            if failing:
                raise HouseError(f"{failing.name} keeps dying; its log ends:\n{failing.last_words()}")
            if time.monotonic() - begun > seconds:
                raise HouseError(f"{what}: not within {seconds:.0f} s")
            time.sleep(poll_s)
        return time.monotonic() - begun

    def _start(self) -> None:
        log.configure("warning")
        self.folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="bus-bench-")))
        self._watchdog = self._exits.enter_context(Watchdog(self.folder))
        self._crm_port, self._onec_port = free(), free()
        path = self.folder / "bus.yaml"
        path.write_text(yaml.safe_dump(self._document or self._config()), encoding="utf-8")
        engines = self._exits.enter_context(embedded.engines())
        self.settings = Settings(
            database_url=SecretStr(engines.database_url), broker_url=SecretStr(engines.broker_url), config=path
        )
        migrate(self.settings.database())
        self.wiring: Wiring = wire(self.settings)
        self._exits.callback(self.wiring.close)
        if self.portal:
            self._furnish(self.portal)

    def _config(self) -> dict[str, Any]:
        rate = {"per_second": self.portal.per_second, "burst": self.portal.burst} if self.portal else {"per_second": 0}
        document: dict[str, Any] = {
            "systems": {
                CRM: {
                    "kind": "bitrix24",
                    "url": self.crm_url,
                    "application_token": TOKEN,
                    "integration_user": "1",
                    "rate": rate,
                    "timeout_s": 10,
                    "routes": {"order": {"in": "full", "out": "full"}},
                },
                SHOP: {
                    "kind": "bitrix_cms",
                    "url": f"http://{LOOPBACK}:9/rest/1/none/",  # nothing is ever due there
                    "keys": [SHOP_KEY],
                    "routes": {"order": {"in": "full"}, "payment": {"in": "full"}},
                },
            },
            # Reconciliation is a chore of its own with its own requests: no bench measures it.
            "limits": {"reconcile_s": 86_400},
        }
        return self._with_books(document) if self._books else document

    def _with_books(self, document: dict[str, Any]) -> dict[str, Any]:
        """A 1C in the shop's place. Claims of killed workers lapse sooner than in production, where nobody waits."""
        both = {"counterparty": {"in": "full", "out": "full"}}
        del document["systems"][SHOP]
        document["systems"][CRM] |= {"late_s": 5}
        document["systems"][CRM]["routes"] |= both
        document["systems"][BOOKS] = {
            "kind": "onec",
            "url": f"http://{LOOPBACK}:{self._onec_port}/base/odata/standard.odata/",
            "user": "bus",
            "password": "secret",
            "late_s": 5,
            "routes": both,
        }
        document["limits"] |= {"poll_s": 5, "lease_s": 20}
        return document

    def _furnish(self, portal: Portal) -> None:
        self._group().append(self._child(f"sandbox-{CRM}", stand_in("bitrix24", self._crm_port)))
        self.until(self.crm.ready, _START_S, "the stand-in portal")
        if self._books:
            self._group().append(self._child(f"sandbox-{BOOKS}", stand_in("onec", self._onec_port)))
            self.until(self.onec.ready, _START_S, "the stand-in 1C")
        tables = self.wiring.mappings.tables(CRM, "bitrix24")
        names = {tables.name("fields", key): kind for key, kind in FIELDS.items()}
        present = self.crm.get("settings")["fields"]
        self.crm.post("settings", {"fields": {name: kind for name, kind in names.items() if name not in present}})
        self.new_limit(portal)

    def _group(self) -> list[Child]:
        group: list[Child] = []
        self._exits.callback(stop_all, group)
        return group

    def _child(self, name: str, argv: list[str]) -> Child:
        recipe = Recipe(name, argv, self.environment, self.folder, self.folder / f"{name}.log")
        self.children[name] = Child(recipe, self._watchdog, lambda _: None)
        return self.children[name]

    def _at_work(self, count: int) -> bool:
        return len(self.wiring.celery.control.ping(timeout=0.3, limit=count)) >= count


def open_door(port: int) -> bool:
    """Is an intake open there?"""
    try:
        return requests.get(f"http://{LOOPBACK}:{port}/health", timeout=5).ok
    except requests.ConnectionError:
        return False
