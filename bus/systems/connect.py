"""From configuration to a working adapter: which kind of system is served by which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from bus import leased
from bus.budget import Budget
from bus.claims import Claims
from bus.config import System
from bus.errors import ConfigError
from bus.ports import Adapter, Redis
from bus.slots import Slots
from bus.systems.bitrix24 import Bitrix24
from bus.systems.bitrix24_tasks import Bitrix24Tasks
from bus.systems.bitrix_cms import BitrixCms
from bus.systems.bitrix_rest import Breaker, Rest, Unbroken
from bus.systems.http import Hook
from bus.systems.onec_calls import Calls
from bus.systems.onec_http import Gate
from bus.systems.onec_memory import Memory
from bus.systems.onec_odata import OneC


class Urgent(Adapter, Protocol):
    """An adapter of which the payments lane can have a copy that may use the reserve."""

    def with_urgency(self, urgent: bool) -> Urgent:
        """A light copy; connections and limits are shared."""
        ...

    def follow(self, config: System) -> Callable[[], None]:
        """Get ready for the login that the configuration has now; what is returned takes it. Raises ConfigError."""
        ...

    def close(self) -> None:
        """Close the connections, of all copies."""
        ...


BITRIX: dict[str, Callable[[str, System, Rest], Urgent]] = {"bitrix24": Bitrix24, "bitrix_cms": BitrixCms}
"""Adapters that are built on the REST of Bitrix."""


def _bitrix(name: str, config: System, url: SecretStr, client: Redis, breaker: Breaker | None, egress: str) -> Urgent:
    hook = Hook(url, timeout_s=config.timeout_s)
    budget = budget_of(name, config, client, egress=egress)
    claims = Claims(client, name, late_s=config.late_s)
    return BITRIX[config.kind](name, config, Rest(name, hook, budget, breaker=breaker, claims=claims))


def _onec(name: str, config: System, url: SecretStr, client: Redis, breaker: Breaker | None, egress: str) -> Urgent:
    if config.user is None or config.password is None:
        raise ConfigError(
            f"systems.{name}: user and password are missing: the login of this 1C, made for the bus alone"
        )
    sessions = config.settings.get("sessions", "auto") == "auto"
    gate = Gate(url, config.user, config.password, timeout_s=config.timeout_s, sessions=sessions)
    slots = Slots(client, name, limit=config.concurrency, timeout_s=config.timeout_s, sleep=leased.nap)
    budget = budget_of(name, config, client, egress=egress)
    writing = Slots(client, f"{name}:writing", limit=1, timeout_s=config.timeout_s, sleep=leased.nap)
    calls = Calls(name, gate, budget, slots, writing, breaker or Unbroken())
    return OneC(name, config, calls, Memory(client, name, gate.address.root))


Make = Callable[[str, System, SecretStr, Redis, Breaker | None, str], Urgent]

KINDS: dict[str, Make] = {"bitrix24": _bitrix, "bitrix_cms": _bitrix, "onec": _onec}
"""Kind of a system to its adapter; systems of other kinds are not called by us and have none."""


def connect(
    name: str, config: System, client: Redis, *, breaker: Breaker | None = None, egress: str = "default"
) -> Urgent:
    """The adapter of a system; nothing is connected before its first call.

    `client` keeps the request budget, `egress` names the address we go out by, `breaker` guards each request.
    Raises ConfigError for a kind without an adapter.
    """
    make = KINDS.get(config.kind)
    if make is None or config.url is None:
        raise ConfigError(f"systems.{name}: kind {config.kind!r} is not called by the bus, it has no adapter")
    return make(name, config, config.url, client, breaker, egress)


def budget_of(name: str, config: System, client: Redis, *, egress: str = "default") -> Budget:
    """The request budget of a system that has an API: it belongs to the portal's host and our address."""
    url = config.url.get_secret_value() if config.url else ""
    portal = urlsplit(url).netloc.rpartition("@")[2]
    return Budget(client, config.rate, system=name, portal=portal, egress=egress, sleep=leased.nap)


def tasks_of(
    name: str, config: System, client: Redis, *, breaker: Breaker | None = None, egress: str = "default"
) -> Bitrix24Tasks:
    """The tasks of a portal, within its request budget. Raises ConfigError for a system that is no portal."""
    if config.kind != "bitrix24" or config.url is None:
        raise ConfigError(f"systems.{name}: kind {config.kind!r} has no tasks for people")
    hook = Hook(config.url, timeout_s=config.timeout_s)
    budget = budget_of(name, config, client, egress=egress)
    return Bitrix24Tasks(Rest(name, hook, budget, breaker=breaker), config.zone, config.integration_user)
