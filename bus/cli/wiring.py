"""Wiring: what the command line is handed by the composition root, and how a command gets at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import typer
from celery import Celery
from redis import Redis

from bus.bells import CeleryBells
from bus.breaker import Breaker
from bus.budget import Budget
from bus.config import Config, Settings
from bus.conflicts import Conflicts
from bus.deadletters import DeadLetters
from bus.envelope import Event
from bus.erasing import Erasing
from bus.gauges import Gauges
from bus.intake.onec import Exchange
from bus.ledger.database import Ledger, Patience
from bus.ports import Accepted, Adapter, Door, Mappings
from bus.questions import Questions
from bus.reconcile import Reconcile
from bus.relay import Relay
from bus.rotation import Rotation
from bus.statements import Statements


class Intake(Protocol):
    """The way in, as the producer's commands use it (bus.publisher.Publisher)."""

    def publish(self, events: Event | dict[str, Any] | Sequence[Event | dict[str, Any]]) -> Accepted:
        """Publish events that were parsed already; returns after the commit."""
        ...


class Wiring(Protocol):
    """One process's bus (workers.bootstrap.Wiring). Parts are made when first asked for."""

    settings: Settings
    file: Config
    patience: Patience

    @property
    def config(self) -> Config:
        """The file with the operator's switches laid over it; asks the ledger."""
        ...

    @property
    def rotation(self) -> Rotation:
        """What follows logins, tokens and keys that change while this process runs."""
        ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def redis(self) -> Redis: ...

    @property
    def mappings(self) -> Mappings: ...

    @property
    def celery(self) -> Celery: ...

    @property
    def bells(self) -> CeleryBells: ...

    @property
    def relay(self) -> Relay: ...

    @property
    def gauges(self) -> Gauges: ...

    @property
    def door(self) -> Door:
        """The way in of a process that must not wait for the broker."""
        ...

    @property
    def publisher(self) -> Intake: ...

    @property
    def exchange(self) -> Exchange | None:
        """What a 1C that takes us for a site is served from."""
        ...

    @property
    def statements(self) -> Statements: ...

    @property
    def dead_letters(self) -> DeadLetters: ...

    @property
    def conflicts(self) -> Conflicts: ...

    @property
    def questions(self) -> Questions: ...

    @property
    def erasing(self) -> Erasing: ...

    @property
    def reconcile(self) -> Reconcile: ...

    @property
    def breaker(self) -> Breaker: ...

    @property
    def budgets(self) -> Mapping[str, Budget]: ...

    @property
    def direct(self) -> Mapping[str, Adapter]:
        """Adapters that ask a system even while its lane is left alone."""
        ...

    def worker_app(self) -> Celery:
        """The Celery application with every task and the schedule."""
        ...

    def translators(self) -> Mappings:
        """The mappings as the files have them: nobody is asked for a live directory."""
        ...

    def mapping_problems(self) -> list[str]:
        """Gaps in tables, rules and golden samples, one line each."""
        ...

    def live_problems(self, system: str) -> list[str]:
        """Codes of a live system without a mapping, and mapped ones that it lacks. Asks the system."""
        ...

    def close(self) -> None:
        """Close what was opened."""
        ...


class Wire(Protocol):
    """Puts the bus together. Raises ConfigError in plain words."""

    def __call__(self, settings: Settings | None = None, file: Config | None = None) -> Wiring:
        """By default from the environment and the file that it names."""
        ...


def wired(context: typer.Context, config: Path | None = None) -> Wiring:
    """The bus of this command, closed when the command ends. `config` stands above BUS_CONFIG.

    Raises ConfigError in plain words, pydantic's ValidationError for a variable of the environment.
    """
    wire: Wire = context.obj
    wiring = wire(Settings(config=config)) if config else wire()
    context.call_on_close(wiring.close)
    return wiring
