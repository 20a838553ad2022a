"""The house under attack: `bus up` with proxies between all that talk, short patience, and a disk that can be full."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bus import embedded
from bus.supervise import Ports, Stack, invented
from bus.supervise.children import Child, Say, command
from bus.supervise.invented import Company, Times
from bus.supervise.stack import Wire
from tests.chaos import release
from tests.chaos.disk import Disk
from tests.chaos.plan import WORKERS
from tests.chaos.proxy import Proxies

TIMES = Times(timeout=4, books_timeout=4, late=6, lease=9)
"""A process that is stopped for plan.LONG_S has lost every lease, and whoever asked it or was asked has given up."""
SECOND = "-2"


class House(Stack):
    """Everything of `bus up` without Flower; the bus reaches engines and stand-ins, and they the intake, by proxies."""

    def __init__(self, wire: Wire, folder: Path, proxies: Proxies, say: Say) -> None:
        self.proxies = proxies
        ports = Ports().found()
        ways = {
            name: proxies.open(name, target=getattr(ports, name)).port for name in ("intake", "crm", "shop", "onec")
        }
        for name in ("postgres", "valkey"):
            proxies.open(name)
        company = Company(
            Ports(**ways),
            token=secrets.token_urlsafe(24),
            shop_key=invented.key(),
            bank_key=invented.key(),
            code=secrets.token_urlsafe(18),
            password=secrets.token_urlsafe(18),
            times=TIMES,
        )
        super().__init__(wire, ports=ports, company=company, state=folder, flower=False, say=say)
        self._second: list[Child] = []

    def _engines(self) -> None:
        """PostgreSQL with fsync on a disk of its own, Valkey with its append-only file."""
        self.disk = self._exits.enter_context(Disk(self.folder / "ledger"))
        self.postgres = self._exits.enter_context(embedded.postgres(self.folder / "ledger"))
        self.valkey = self._exits.enter_context(embedded.valkey(self.folder / "broker"))
        self.proxies.links["postgres"].target = self.postgres.port
        self.proxies.links["valkey"].target = self.valkey.port
        self._connect(self.postgres.url, self.valkey.url)
        self._environment |= {
            "BUS_DATABASE_URL": self._by("postgres", self.postgres),
            "BUS_BROKER_URL": self._by("valkey", self.valkey),
        }

    def _by(self, name: str, server: embedded.Server) -> str:
        return server.url.replace(f":{server.port}/", f":{self.proxies.links[name].port}/")

    def _migrate(self) -> None:
        """To where the release before had it; without one, to where we are."""
        before = self.folder / "release-before"
        self.earlier = release.before(before)
        self._present = self._environment["PYTHONPATH"]
        self._before = str(before) if self.earlier else self._present
        self._run_migrate(self._before)

    def _bus(self) -> None:
        """The stand-ins are ours already; the bus begins as the release before."""
        self._environment["PYTHONPATH"] = self._before
        super()._bus()

    def upgrade(self) -> None:
        """Bring the schema up to date while everybody works; who starts from now on is of the present release."""
        self._run_migrate(self._present)
        self._environment["PYTHONPATH"] = self._present

    def _run_migrate(self, release_: str) -> None:
        environment = self._environment | {"PYTHONPATH": release_}
        subprocess.run(command("migrate"), env=environment, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def environment(self) -> dict[str, str]:
        """What a command of the bus needs here."""
        return dict(self._environment)

    def bus(self) -> Iterator[Child]:
        """The bus's own processes that are kept running."""
        return (child for name, child in list(self.children.items()) if not name.startswith("sandbox-"))

    def second_instance(self) -> None:
        """All workers and beat once more, on the same ledger and broker."""
        self._second = self._group()
        for name in WORKERS:
            kind, _, system = name.partition("-")
            argv = command("worker", kind, "--instance", "second", *(("--system", system) if system else ()))
            self._second.append(self._child(f"worker-{name}{SECOND}", argv))
        self._second.append(self._child(f"beat{SECOND}", command("beat")))

    def second_gone(self) -> None:
        """Its machine loses power, and does not come back."""
        for child in self._second:
            child.next_start(pause_s=3_600)
            kill(child)
        for child in self._second:
            child.stop(1.0)
            del self.children[child.name]
        self._second.clear()

    def empty_valkey(self) -> None:
        """What it kept is gone; it must not run."""
        for path in (self.valkey.folder / "data").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def processes(self, target: str) -> list[int]:
        """Of an engine all, of a child its one."""
        if target == "postgres":
            return [self.postgres.pid, *backends(self.postgres.pid)]
        return [self.valkey.pid] if target == "valkey" else [self.children[target].pid]


def kill(child: Child) -> bool:
    """As kill -9; False when it was not running."""
    with suppress(ProcessLookupError):
        if child.running:
            os.kill(child.pid, signal.SIGKILL)
            return True
    return False


def backends(postmaster: int) -> list[int]:
    """The processes that PostgreSQL has for its sessions and itself."""
    try:
        return [int(one) for one in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]
    except OSError:
        return []
