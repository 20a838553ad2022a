"""The control API of a stand-in system: set it up, act as a person, break things, look inside. See bus/sandbox."""

from __future__ import annotations

from typing import Any

import requests

from bus.errors import BusError

_TIMEOUT_S = 20.0

Answer = Any
"""What a stand-in answers: JSON."""


class Refusal(BusError):
    """A stand-in refused an act: the scenario asked for something that cannot be done."""


class Control:
    """One stand-in, by its base URL; one connection, so a thread that acts has its own."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment does not lead to loopback

    def get(self, path: str, **query: str | int) -> Answer:
        """Ask."""
        return _answer(self._session.get(f"{self.base}/_sandbox/{path}", params=query, timeout=_TIMEOUT_S))

    def post(self, path: str, body: dict[str, Answer]) -> Answer:
        """Tell."""
        return _answer(self._session.post(f"{self.base}/_sandbox/{path}", json=body, timeout=_TIMEOUT_S))

    def act(self, do: str, **act: Answer) -> dict[str, Answer]:
        """Act as a person. Raises Refusal when that cannot be done."""
        done: dict[str, Answer] = self.post("act", {"do": do, **act})
        return done

    def clear_faults(self) -> None:
        """Lift every fault."""
        _answer(self._session.delete(f"{self.base}/_sandbox/faults", timeout=_TIMEOUT_S))

    def ready(self) -> bool:
        """Does it answer?"""
        try:
            return bool(self.get("health")["ok"])
        except (requests.RequestException, Refusal):
            return False

    def another(self) -> Control:
        """A connection for another thread."""
        return Control(self.base)


def _answer(response: requests.Response) -> Answer:
    answer = response.json()
    if not response.ok:
        raise Refusal(f"{response.request.path_url}: {answer}")
    return answer
