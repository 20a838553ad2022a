"""Bootstrap: the composition root. Everything is put together here; nothing connects before it is used."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import structlog
from celery import Celery, signals
from redis import Redis
from redis.exceptions import RedisError

from bus import config as configuration
from bus import importing, messages, stops, switches
from bus.app import create_app
from bus.asking import Asking
from bus.bells import CeleryBells
from bus.breaker import BY_ANSWER, Breaker
from bus.budget import Budget
from bus.chores import Chores
from bus.config import Config, Route, Settings
from bus.conflicts import Conflicts
from bus.deadletters import DeadLetters
from bus.directories import Directories
from bus.erasing import Erasing
from bus.errors import BusError
from bus.exchange_sessions import Sessions
from bus.gauges import Gauges
from bus.importing import Importing
from bus.intake.onec import Exchange
from bus.lanes import Lane
from bus.ledger.database import Ledger, Patience
from bus.offering import Offering
from bus.parts import Parts
from bus.pipeline import Pipeline
from bus.publisher import Publisher
from bus.questions import Questions
from bus.reception import Reception
from bus.reconcile import Reconcile
from bus.refusals import Refusals
from bus.relay import Relay
from bus.rotation import Rotation
from bus.statements import Statements
from bus.systems.bitrix24_tasks import Bitrix24Tasks
from bus.systems.connect import Urgent, budget_of, connect, tasks_of
from bus.unassigned import Unassigned
from bus.watched import Watched
from mappings import check, tables
from mappings.registry import Registry
from workers import beat, counterparties, deals, imports, lanes, orders, payments
from workers.recycling import recycler

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Wiring:
    """One process's bus. Parts are made when first asked for: a producer needs no adapter, a lane no intake."""

    settings: Settings
    file: Config
    patience: Patience = field(default_factory=Patience)
    """How long it waits for the ledger; to be chosen before anything is asked of it."""

    @cached_property
    def rotation(self) -> Rotation:
        """What follows logins, tokens and keys that change while this process runs."""
        path, environment = self.settings.config, self.settings.environment()
        rotation = Rotation(self.file, path, self.settings.secrets, lambda: configuration.load(path, environment))
        rotation.follow(self._follow)
        return rotation

    def _follow(self, config: Config) -> Callable[[], None]:
        parts: dict[str, Urgent | Bitrix24Tasks] = {**self.adapters}
        takes = {name: part.follow(config.systems[name]) for name, part in parts.items()}
        tasks = self._tasks.follow(config.systems[config.tasks.system]) if self._tasks and config.tasks else None

        def take() -> None:
            changed = [name for name in takes if config.systems[name] != self.file.systems[name]]
            self.file = config
            for name in changed:
                takes[name]()
            if tasks:
                tasks()
            for name in changed:
                self._try_again(name)

        return take

    def _try_again(self, system: str) -> None:
        """A lane that the system's own word has stopped (a login that is no more) goes on with the new one at once."""
        try:
            if self.breaker.state(system).by == BY_ANSWER:
                stops.resume(self.ledger, self.breaker, self.bells, self.file, system, "bus, with a new login")
        except (RedisError, BusError):
            log.info("rotation.not_resumed", system=system)  # it is probed by itself, a little later

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger's pool."""
        return Ledger(self.settings.database(), patience=self.patience)

    @cached_property
    def redis(self) -> Redis:
        """Shared state of budgets and breakers; losing it costs a pause, nothing else."""
        return Redis.from_url(self.settings.redis(), socket_timeout=5, socket_connect_timeout=3)

    @cached_property
    def config(self) -> Config:
        """The file with the operator's switches laid over it."""
        with self.ledger.transaction() as connection:
            return switches.effective(connection, self.file)

    @cached_property
    def mappings(self) -> Registry:
        """Translators, tables and rules."""
        return Registry(self.file, self.directories)

    @cached_property
    def directories(self) -> Directories:
        """What codes are called at the systems that we call."""

        def ask(system: str, table: str) -> Mapping[str, str]:
            return self.adapters[system].codes(table)

        return Directories(self.redis, ask, ttl_s=self.file.limits.directory_ttl_s)

    def _read_directories(self) -> int:
        return self.directories.refresh_all({name: self._tables_of(name) for name in self.file.called})

    def _tables_of(self, system: str) -> frozenset[str]:
        """What is kept of its directories; a portal's users are in charge of counterparties, and have a scope apart."""
        wanted = tables.directories_of(kind := self.file.systems[system].kind)
        needless = kind == "bitrix24" and self.config.route(system, "counterparty") == Route()
        return wanted - {"users"} if needless else wanted

    @cached_property
    def celery(self) -> Celery:
        """The Celery application, without tasks."""
        return create_app(self.settings.broker(), self.file.called, sweep_s=self.file.limits.sweep_s)

    @cached_property
    def bells(self) -> CeleryBells:
        """The transport."""
        return CeleryBells(self.celery, silent=self.file.systems.keys() - set(self.file.called))

    @cached_property
    def publisher(self) -> Publisher:
        """The way in."""
        return Publisher(self.ledger, self.bells)

    @cached_property
    def relay(self) -> Relay:
        """Bells for who must not wait for the broker: rung in a thread of its own."""
        return Relay(self.bells)

    @cached_property
    def door(self) -> Publisher:
        """The way in of the intake: answers after the commit, the relay rings."""
        return Publisher(self.ledger, self.relay)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The path."""
        return Pipeline(self.ledger, self.config, self.mappings, self.mappings.rules, self.bells)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """What needs a person."""
        return DeadLetters(self.ledger, self.config, self.mappings, self.pipeline, self.bells)

    @cached_property
    def conflicts(self) -> Conflicts:
        """Questions to people."""
        return Conflicts(self.ledger, self.mappings.rules, self.pipeline, _now)

    @cached_property
    def questions(self) -> Questions:
        """Who a record is, where only a person can tell."""
        return Questions(self.ledger, self.file, self.bells)

    @cached_property
    def erasing(self) -> Erasing:
        """People who asked to be forgotten."""
        return Erasing(self.ledger, self.file, self.bells)

    @cached_property
    def asking(self) -> Asking:
        """Tasks for people who are to decide a conflict."""
        return Asking(self.ledger, self.file, self._tasks, _now)

    @cached_property
    def _tasks(self) -> Bitrix24Tasks | None:
        if self.file.tasks is None:
            return None
        name = self.file.tasks.system
        system, egress = self.file.systems[name], self.settings.egress
        return tasks_of(name, system, self.redis, breaker=self.breaker, egress=egress)

    @cached_property
    def chores(self) -> Chores:
        """What beat has done."""
        return Chores(self.ledger, self.config, self.publisher, self.conflicts, self.questions, self._read_directories)

    @cached_property
    def statements(self) -> Statements:
        """What banks tell of money."""
        return Statements(self.ledger, self.config, self.publisher)

    @cached_property
    def unassigned(self) -> Unassigned:
        """Money whose order may have come since a person was asked."""
        return Unassigned(self.ledger, self.config, self.questions)

    @cached_property
    def watched(self) -> Watched:
        """The folders that banks' statements are put into."""
        return Watched(self.ledger, self.file, self.statements, _now)

    @cached_property
    def exchange(self) -> Exchange | None:
        """What a 1C that takes us for a site is served from; None where no such 1C is configured."""
        if not any(system.kind == "commerceml" for system in self.file.systems.values()):
            return None
        return Exchange(
            self.ledger,
            Sessions(self.redis),
            lambda: self.offering,
            lambda: self.bells.chore(importing.TASK),
            self.file.limits.exchange_file_bytes,
            _now,
        )

    @cached_property
    def offering(self) -> Offering:
        """What is due at a 1C that fetches it."""
        rng = random.Random()  # noqa: S311 - jitter
        return Offering(Parts(self.ledger, self.config, self.mappings, self.pipeline, self.bells, _now, rng))

    @cached_property
    def importing(self) -> Importing:
        """What a 1C sent."""
        return Importing(self.ledger, self.file, self.mappings, self.bells)

    @cached_property
    def breaker(self) -> Breaker:
        """The circuit breaker of every system."""
        limits = self.file.limits
        return Breaker(
            self.redis,
            failures=limits.breaker_failures,
            open_s=limits.breaker_open_s,
            stop_probe_s=limits.stop_probe_s,
        )

    @cached_property
    def budgets(self) -> dict[str, Budget]:
        """The request budget of every system that has an API."""
        systems = self.file.systems.items()
        egress = self.settings.egress
        return {name: budget_of(name, system, self.redis, egress=egress) for name, system in systems if system.url}

    @cached_property
    def gauges(self) -> Gauges:
        """What Prometheus may ask of ledger, lanes, budgets and breakers."""
        fetching = [name for name, system in self.file.systems.items() if system.kind == "commerceml"]
        return Gauges(self.ledger, self.breaker, self.budgets, fetching)

    @cached_property
    def adapters(self) -> dict[str, Urgent]:
        """An adapter for every system that has an API; nothing is connected before its first call.

        One that reads by itself what a system has registered for us (1C) goes by the switches.
        """
        return self._connected(self.breaker, self.config)

    @cached_property
    def direct(self) -> dict[str, Urgent]:
        """Adapters that ask a system even while its lane is left alone: for a person who wants to know now."""
        return self._connected(None, self.file)

    def _connected(self, breaker: Breaker | None, config: Config) -> dict[str, Urgent]:
        return {
            name: connect(name, system, self.redis, breaker=breaker, egress=self.settings.egress)
            for name, system in config.systems.items()
            if system.url
        }

    @cached_property
    def reconcile(self) -> Reconcile:
        """The second pair of eyes."""
        return Reconcile(self.ledger, self.config, self.mappings, self.pipeline, self.adapters, _now)

    @cached_property
    def refusals(self) -> Refusals:
        """What a worker turned away."""
        return Refusals(self.ledger)

    @cached_property
    def _lanes(self) -> dict[tuple[str, bool], Lane]:
        return {}

    def lane(self, system: str, urgent: bool) -> Lane:
        """The lane of one system, made once."""
        key = (system, urgent)
        if key not in self._lanes:
            rng = random.Random()  # noqa: S311 - jitter
            parts = Parts(self.ledger, self.config, self.mappings, self.pipeline, self.bells, _now, rng)
            self._lanes[key] = Lane(system, self.adapters[system].with_urgency(urgent), parts, urgent=urgent)
        return self._lanes[key]

    def worker_app(self) -> Celery:
        """The Celery application with every task, for workers and beat."""
        reception = Reception(self.ledger, self.pipeline)
        for channel in (payments, orders, deals, counterparties):
            channel.register(self.celery, reception)
        lanes.register(self.celery, self.lane, self.bells)
        beat.register(self.celery, self.chores, self.reconcile, self.asking, self.watched, self.unassigned)
        imports.register(self.celery, self.importing, quiet_s=self.file.limits.exchange_quiet_s)
        beat.schedule(self.celery, self.file.limits)
        messages.refused.connect(self.refusals)
        self._recycler = recycler(self.file.limits.worker_memory_mb)
        signals.task_postrun.connect(self._recycler)
        return self.celery

    def translators(self) -> Registry:
        """The mappings as the files have them: nobody is asked for a live directory."""
        return Registry(self.file)

    def mapping_problems(self) -> list[str]:
        """Gaps in tables, rules and golden samples, one line each."""
        return check.problems(self.mappings, self.file)

    def live_problems(self, system: str) -> list[str]:
        """Codes of a live system without a mapping, mapped ones and user fields that it lacks. Asks the system."""
        adapter, table = self.direct[system], check.LIVE_TABLES.get(self.file.systems[system].kind)
        found = check.live(self.mappings, system, adapter.codes(table), table) if table else []
        found += check.missing_fields(self.mappings, system, "fields", adapter.codes("deal_fields"))
        return found + check.missing_fields(self.mappings, system, "party_fields", adapter.codes("party_fields"))

    def close(self) -> None:
        """Close what was opened and hear no more; what was never asked for was never made."""
        made = self.__dict__
        if "_recycler" in made:
            messages.refused.disconnect(self.refusals)
            signals.task_postrun.disconnect(self._recycler)
        for lane in made.get("_lanes", {}).values():
            lane.close()
        for adapters in ("adapters", "direct"):
            for adapter in made.get(adapters, {}).values():
                adapter.close()
        for part in ("rotation", "relay", "refusals", "ledger", "redis", "celery"):
            if part in made:
                made[part].close()


def wire(settings: Settings | None = None, file: Config | None = None) -> Wiring:
    """Put the bus together from the environment and the configuration file. Raises ConfigError in plain words."""
    chosen = settings or Settings()
    return Wiring(chosen, file or configuration.load(chosen.config, chosen.environment()))
