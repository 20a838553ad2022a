"""The stack: engines, stand-ins, workers, intake, beat and Flower, started one upon the other, stopped the other way.

Each begins when what it needs answers; nothing sleeps for a guessed time. Ten small processes rather than few: one per
channel is what the design promises (a payment waits behind nothing), and what production runs.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import requests
from celery import Celery
from pydantic import SecretStr

from bus import config as configuration
from bus import embedded
from bus.config import Config, Settings
from bus.errors import BusError, ConfigError
from bus.ledger.database import Ledger
from bus.ledger.schema import migrate
from bus.ports import Mappings
from bus.reconcile import Reconcile
from bus.supervise import invented
from bus.supervise.children import Child, Recipe, Say, command, stand_in, stop_all
from bus.supervise.control import Control
from bus.supervise.invented import Company
from bus.supervise.ports import LOOPBACK, Ports
from bus.supervise.watchdog import Watchdog

_START_S = 60.0
"""A cold start of ten Python processes on a slow machine."""
_POLL_S = 0.05

_WORKERS = ("payments", "orders", "deals", "counterparties", "chores")
"""A process each, so that a long chore (a reconciliation of thousands of records) delays no event; and one per lane:
in one process for all (measured), a portal in trouble kept the shop's deliveries waiting for 20 s."""


class StackError(BusError):
    """The stack cannot run here; the message says what failed and shows its last words."""


class Wiring(Protocol):
    """What the stack and the demo ask of the composition root."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def celery(self) -> Celery: ...
    @property
    def mappings(self) -> Mappings: ...
    @property
    def reconcile(self) -> Reconcile: ...
    def close(self) -> None: ...


class Wire(Protocol):
    """workers.bootstrap.wire."""

    def __call__(self, settings: Settings | None = None, file: Config | None = None) -> Wiring: ...


@dataclass(frozen=True, slots=True)
class Urls:
    """What people may open."""

    intake: str
    flower: str | None = None
    crm: str | None = None
    shop: str | None = None
    onec: str | None = None


class Stack:
    """A running bus. `with Stack(wire) as stack:`; leaving it stops everything and removes what was temporary.

    Without `config` it brings three stand-in systems and a configuration that connects them. Their data live in memory,
    so then the ledger is temporary too, unless BUS_DATABASE_URL says otherwise. Raises ConfigError, StackError and
    embedded.EngineError, in plain words.
    """

    def __init__(
        self,
        wire: Wire,
        config: Path | None = None,
        *,
        ports: Ports | None = None,
        company: Company | None = None,
        state: Path | None = None,
        flower: bool = True,
        limited: bool = True,
        say: Say = print,
    ) -> None:
        """`company`: who the stand-ins belong to, instead of one with new secrets."""
        self._wire, self._file, self._state, self._say = wire, config, state, say
        self._flower = flower
        self.ports = (ports or Ports()).found()
        self.company = None if config else company or invented.found(self.ports, limited=limited)
        self.children: dict[str, Child] = {}
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with self._exits:  # whatever fails on the way up, what was started is stopped
            self._start()
            self._exits = self._exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @property
    def crm(self) -> Control:
        """A new connection to the stand-in portal."""
        return Control(f"http://{LOOPBACK}:{self.ports.crm}")

    @property
    def shop(self) -> Control:
        """A new connection to the stand-in shop."""
        return Control(f"http://{LOOPBACK}:{self.ports.shop}")

    @property
    def onec(self) -> Control:
        """A new connection to the stand-in 1C."""
        return Control(f"http://{LOOPBACK}:{self.ports.onec}")

    @property
    def statements(self) -> Path:
        """The folder that the bank's statements are put into."""
        return self.folder / "statements"

    @property
    def urls(self) -> Urls:
        """What people may open."""
        base = f"http://{LOOPBACK}:"
        stand_ins = self.company is not None
        return Urls(
            intake=f"{base}{self.ports.intake}",
            flower=f"{base}{self.ports.flower}/" if self._flower else None,
            crm=f"{base}{self.ports.crm}/_sandbox/" if stand_ins else None,
            shop=f"{base}{self.ports.shop}/_sandbox/" if stand_ins else None,
            onec=f"{base}{self.ports.onec}/_sandbox/" if stand_ins else None,
        )

    def pids(self) -> dict[str, int]:
        """The children's processes, by name."""
        return {name: child.pid for name, child in self.children.items()}

    def _start(self) -> None:
        self.folder = self._folder()
        self._watchdog = self._exits.enter_context(Watchdog(self.folder if self._state is None else None))
        self._config()
        self._engines()
        self._migrate()
        self._exits.callback(self.wiring.close)
        if self.company:
            self._stand_ins(self.company)
        self._bus()

    def _folder(self) -> Path:
        """Logs, the made configuration and beat's schedule live here, and nowhere else."""
        if self._state is None:
            folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="bus-up-")))
        else:
            folder = self._state.resolve()
            folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        (folder / "logs").mkdir(mode=0o700, exist_ok=True)
        return folder

    def _config(self) -> None:
        """The file to run by, and the environment it takes its secrets from."""
        extra = self.company.environment if self.company else {}
        self._environment = {**os.environ, **extra, "PYTHONPATH": _python_path()}
        self._path = (self._file or self.folder / "bus.yaml").resolve()
        if self.company:
            self.statements.mkdir(mode=0o700, exist_ok=True)
            invented.write_config(self.company, self._path, self.statements)
        self.config = configuration.load(self._path, self._environment)

    def _engines(self) -> None:
        """Embedded ones for what the environment does not name."""
        known = Settings(config=self._path)
        database, broker = known.database_url.get_secret_value(), known.broker_url.get_secret_value()
        if not (database and broker):
            self._say("starting PostgreSQL and Valkey")
            engines = self._exits.enter_context(embedded.engines(self._kept(bool(database))))
            database, broker = database or engines.database_url, broker or engines.broker_url
        self._connect(database, broker)

    def _connect(self, database: str, broker: str) -> None:
        """From here on everybody knows where the engines are."""
        self.settings = Settings(database_url=SecretStr(database), broker_url=SecretStr(broker), config=self._path)
        self._environment |= {
            "BUS_DATABASE_URL": database,
            "BUS_BROKER_URL": broker,
            "BUS_CONFIG": str(self._path),
        }
        self.wiring = self._wire(self.settings, self.config)

    def _migrate(self) -> None:
        migrate(self.settings.database())

    def _kept(self, has_database: bool) -> Path | None:
        """Where the engines' data stay. A ledger of real systems is never thrown away; stand-ins forget all anyway."""
        if self.company or (has_database and self._state is None):
            return None
        if self._state is None:
            raise ConfigError(
                "the ledger of real systems has to be kept: set BUS_DATABASE_URL, or name a folder with --state"
            )
        return self.folder / "engines"

    def _stand_ins(self, company: Company) -> None:
        self._say("starting a stand-in Bitrix24, shop and 1C")
        group = self._group()
        group.append(self._child("sandbox-crm", stand_in("bitrix24", self.ports.crm)))
        group.append(self._child("sandbox-shop", stand_in("shop", self.ports.shop)))
        group.append(self._child("sandbox-onec", stand_in("onec", self.ports.onec)))
        self._until("sandbox-crm", self.crm.ready)
        self._until("sandbox-shop", self.shop.ready)
        self._until("sandbox-onec", self.onec.ready)
        invented.furnish(company, self.crm, self.shop, self.onec, self.wiring.mappings.tables)

    def _bus(self) -> None:
        """Intake, workers, beat, Flower; stopped from the producers down: beat and intake before those who work."""
        self._say("starting intake, workers and beat")
        workers = self._group()
        for name in _WORKERS:
            workers.append(self._child(f"worker-{name}", command("worker", name)))
        for name, system in self.config.systems.items():
            if system.url:
                workers.append(self._child(f"worker-lanes-{name}", command("worker", "lanes", "--system", name)))
        doors = self._group()
        doors.append(self._child("intake", command("intake", "--host", LOOPBACK, "--port", str(self.ports.intake))))
        doors.append(self._child("beat", command("beat")))
        if self._flower:
            port = str(self.ports.flower)
            doors.append(self._child("flower", command("flower", "--port", port, "--address", LOOPBACK)))
        self._until("intake", lambda: _answers(f"{self.urls.intake}/ready"))
        self._until("worker", lambda: self._at_work(len(workers)))
        if self._flower:
            self._until("flower", lambda: _answers(f"{self.urls.flower}healthcheck"))

    def _group(self) -> list[Child]:
        """Children that are stopped together, at this place of the way down."""
        group: list[Child] = []
        self._exits.callback(stop_all, group)
        return group

    def _child(self, name: str, argv: list[str]) -> Child:
        log = self.folder / "logs" / f"{name}.log"
        recipe = Recipe(name, argv, self._environment, self.folder, log)
        self.children[name] = Child(recipe, self._watchdog, self._say)
        return self.children[name]

    def _until(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait for one child (or all whose names begin so). Raises StackError when it does not come up."""
        deadline = time.monotonic() + _START_S
        some = [child for key, child in self.children.items() if key.startswith(name)]
        while not ready():
            failing = next((child for child in some if child.restarts > 1), None)
            if failing or time.monotonic() > deadline:
                child = failing or some[0]
                raise StackError(f"{child.name} does not come up; its log ends:\n{child.last_words()}")
            time.sleep(_POLL_S)

    def _at_work(self, count: int) -> bool:
        answers = self.wiring.celery.control.ping(timeout=0.3, limit=count)
        return len(answers) >= count


def _python_path() -> str:
    """Where bus, mappings and workers were imported from, for children that start elsewhere."""
    here = str(Path(configuration.__file__).parents[1])
    return os.pathsep.join(part for part in (here, os.environ.get("PYTHONPATH", "")) if part)


def _answers(url: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=2).ok
        except requests.RequestException:
            return False
