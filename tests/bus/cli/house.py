"""The command line over the real wiring, in this process or (`python -m tests.bus.cli.house worker payments`) in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from typer.testing import CliRunner, Result

from bus import cli
from bus import config as configuration
from bus.cli.wiring import Intake, Wire
from bus.config import Config, Settings
from bus.envelope import Event
from bus.errors import Transient
from bus.ports import Accepted
from mappings import check
from mappings.tables import CODES
from workers import bootstrap

CONFIG = """
systems:
  onec: {kind: events, routes: {order: {in: full}, payment: {in: full}}}
  bank: {kind: events}
"""


class Wired(bootstrap.Wiring):
    """The wiring with what the command line asks of it."""

    def mapping_problems(self) -> list[str]:
        return check.problems(self.mappings, self.file)

    def live_problems(self, system: str) -> list[str]:
        adapter = self.adapters[system]
        found = {table: adapter.codes(table) for table in CODES[adapter.kind]}
        return [
            line for table, codes in found.items() if codes for line in check.live(self.mappings, system, codes, table)
        ]

    def close(self) -> None:
        for name in ("ledger", "redis"):
            if name in vars(self):
                getattr(self, name).close()
        for adapter in vars(self).get("adapters", {}).values():
            adapter.close()


def wire(settings: Settings | None = None, file: Config | None = None) -> Wired:
    chosen = settings or Settings()
    return Wired(chosen, file or configuration.load(chosen.config))


@dataclass
class Bus:
    """`bus …` as a person types it."""

    folder: Path
    env: dict[str, str]
    wire: Wire = wire

    def __call__(self, *arguments: object, stdin: str | bytes | None = None, wire: Wire | None = None) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(cli.app, words, obj=wire or self.wire, env=self.env, input=stdin)

    def configure(self, text: str) -> None:
        Path(self.env["BUS_CONFIG"]).write_text(text, encoding="utf-8")

    def jsonl(self, documents: Sequence[object], name: str = "events.jsonl") -> Path:
        path = self.folder / name
        lines = [document if isinstance(document, str) else json.dumps(document) for document in documents]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    @property
    def wiring(self) -> Wired:
        """The same bus, to look behind the screen."""
        settings = Settings(
            database_url=self.env["BUS_DATABASE_URL"], broker_url=self.env["BUS_BROKER_URL"], config=self.env["BUS_CONFIG"]
        )
        return wire(settings)

    @contextmanager
    def process(self, *arguments: object) -> Iterator[Process]:
        """The command in a process of its own, ended at the end of the block."""
        command = [sys.executable, "-m", "tests.bus.cli.house", *map(str, arguments)]
        with subprocess.Popen(
            command,
            env={**os.environ, **self.env, "BUS_LOG_LEVEL": "info"},
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as popen:
            try:
                yield Process(popen)
            finally:
                popen.kill()


@dataclass
class Process:
    """A command that goes on by itself, and what it has said so far."""

    popen: subprocess.Popen
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.popen.stdout:
            self.said.append(line)
            self._changed.set()

    def until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for a condition; it is looked at whenever a line was said, and a few times a second."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.popen.poll() is None, "".join(self.said)
            assert time.monotonic() < deadline, "".join(self.said)
            self._changed.wait(0.1)
            self._changed.clear()

    def hears(self, text: str) -> bool:
        return any(text in line for line in self.said)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.popen.terminate()
        code = self.popen.wait(20)
        self._reader.join(5)
        return code


@dataclass
class Failing:
    """A publisher whose ledger goes away after some batches, or cannot store one record."""

    publisher: Intake
    batches: int = 1_000
    poison: str = ""

    def publish(self, events: Sequence[Event]) -> Accepted:
        if not self.batches:
            raise Transient("the ledger cannot be reached: for a test")
        if any(event.subject == self.poison for event in events):
            raise psycopg.errors.NumericValueOutOfRange
        self.batches -= 1
        return self.publisher.publish(events)


def failing_after(batches: int) -> Wire:
    return _failing(lambda publisher: Failing(publisher, batches=batches))


def refusing(subject: str) -> Wire:
    return _failing(lambda publisher: Failing(publisher, poison=subject))


def _failing(door: Callable[[Intake], Intake]) -> Wire:
    def wire_it(settings: Settings | None = None, file: Config | None = None) -> Wired:
        wired = wire(settings, file)
        wired.__dict__["publisher"] = door(wired.publisher)
        return wired

    return wire_it


def order(number: int, **changes: object) -> dict[str, object]:
    return {
        "source": "onec",
        "type": "order.changed",
        "subject": f"order/{number}",
        "time": "2026-03-01T12:00:00Z",
        "sourceversion": "1",
        "data": {"number": f"A-{number}", "status": "new"},
        **changes,
    }


if __name__ == "__main__":
    cli.run(wire)
