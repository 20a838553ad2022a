"""Called: what an adapter of either Bitrix leaves to its REST client: budget, breaker, probes, its webhook."""

from __future__ import annotations

from collections.abc import Callable

from bus.config import System
from bus.systems.bitrix_rest import Rest


class Called:
    """An adapter that calls its system through `Rest`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def wait(self) -> float:
        """Seconds until a call would be let through by budget and breaker, 0: now."""
        return self._rest.wait()

    def left(self) -> float:
        """Requests that may be sent before one has to wait for the budget."""
        return self._rest.left()

    def probe(self) -> None:
        """While the system is in doubt, try it with a call that changes nothing; raises that call's error."""
        self._rest.probe()

    def follow(self, config: System) -> Callable[[], None]:
        """Get ready for the webhook that the configuration has now; what is returned takes it, for all copies."""
        return self._rest.follow(config)

    def close(self) -> None:
        """Close the connections, for all copies."""
        self._rest.close()

    @property
    def latency_s(self) -> float:
        """How long requests have taken lately, in seconds."""
        return self._rest.latency_s
