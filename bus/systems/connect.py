"""From configuration to a working adapter: which kind of system is served by which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from bus.budget import Budget
from bus.claims import Claims
from bus.config import System
from bus.errors import ConfigError
from bus.ports import Adapter, Redis
from bus.systems.bitrix24 import Bitrix24
from bus.systems.bitrix_cms import BitrixCms
from bus.systems.bitrix_rest import Breaker, Rest
from bus.systems.http import Hook


class Urgent(Adapter, Protocol):
    """An adapter of which the payments lane can have a copy that may use the reserve."""

    def with_urgency(self, urgent: bool) -> Urgent:
        """A light copy; connections and limits are shared."""
        ...

    def close(self) -> None:
        """Close the connections, of all copies."""
        ...


KINDS: dict[str, Callable[[str, System, Rest], Urgent]] = {"bitrix24": Bitrix24, "bitrix_cms": BitrixCms}
"""Kind of a system to its adapter; a system of kind "events" is not called by us and has none."""


def connect(
    name: str, config: System, client: Redis, *, breaker: Breaker | None = None, egress: str = "default"
) -> Urgent:
    """The adapter of a system; nothing is connected before its first call.

    `client` keeps the request budget, `egress` names the address we go out by, `breaker` guards each request.
    Raises ConfigError for a kind without an adapter.
    """
    kind = KINDS.get(config.kind)
    if kind is None or config.url is None:
        raise ConfigError(f"systems.{name}: kind {config.kind!r} is not called by the bus, it has no adapter")
    hook = Hook(config.url, timeout_s=config.timeout_s)
    budget = budget_of(name, config, client, egress=egress)
    return kind(name, config, Rest(name, hook, budget, breaker=breaker, claims=Claims(client, name)))


def budget_of(name: str, config: System, client: Redis, *, egress: str = "default") -> Budget:
    """The request budget of a system that has an API: it belongs to the portal's host and our address."""
    url = config.url.get_secret_value() if config.url else ""
    portal = urlsplit(url).netloc.rpartition("@")[2]
    return Budget(client, config.rate, system=name, portal=portal, egress=egress)
