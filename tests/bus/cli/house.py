"""The command line over the real wiring, in this process or in one of its own."""

from __future__ import annotations

import json
import os
import signal
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
from bus.cli.wiring import Intake, Wire
from bus.config import Config, Settings
from bus.envelope import Event
from bus.errors import Transient
from bus.ports import Accepted
from workers.bootstrap import Wiring, wire

CONFIG = """
systems:
  onec: {kind: events, routes: {order: {in: full}, payment: {in: full}}}
  bank: {kind: events}
"""


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
    def wiring(self) -> Wiring:
        """The same bus, to look behind the screen."""
        settings = Settings(
            database_url=self.env["BUS_DATABASE_URL"],
            broker_url=self.env["BUS_BROKER_URL"],
            config=self.env["BUS_CONFIG"],
        )
        return wire(settings)

    @contextmanager
    def process(self, *arguments: object) -> Iterator[Process]:
        """The command in a process of its own, ended at the end of the block."""
        command = [sys.executable, "-P", "-m", "workers", *map(str, arguments)]
        with subprocess.Popen(
            command,
            env={**os.environ, **self.env, "BUS_LOG_LEVEL": "info", "PYTHONPATH": str(Path(__file__).parents[3])},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as popen:
            process = Process(popen)
            try:
                yield process
            finally:
                popen.kill()
                process.ended()  # its reader, too: the pipe is closed behind it


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

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        self.popen.send_signal(how)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        code = self.popen.wait(30)
        self._reader.join(5)
        return code


@dataclass
class Failing:
    """A publisher whose ledger goes away after some batches, or cannot store one record."""

    publisher: Intake
    batches: int = 1_000
    poison: str = ""
    how: BaseException = field(default_factory=lambda: Transient("the ledger cannot be reached: for a test"))

    def publish(self, events: Sequence[Event]) -> Accepted:
        if not self.batches:
            raise self.how
        if any(event.subject == self.poison for event in events):
            raise psycopg.errors.NumericValueOutOfRange
        self.batches -= 1
        return self.publisher.publish(events)


def failing_after(batches: int, how: type[BaseException] | None = None) -> Wire:
    error = {"how": how()} if how else {}
    return _failing(lambda publisher: Failing(publisher, batches=batches, **error))


def refusing(subject: str) -> Wire:
    return _failing(lambda publisher: Failing(publisher, poison=subject))


def _failing(door: Callable[[Intake], Intake]) -> Wire:
    def wire_it(settings: Settings | None = None, file: Config | None = None) -> Wiring:
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
