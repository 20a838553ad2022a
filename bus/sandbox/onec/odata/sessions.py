"""Sessions of the base: each costs a licence while it lives; IBSession keeps one; the first request wakes the base."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from bus.sandbox.envelope import RestError
from bus.sandbox.onec.switches import Switches


class Sessions:
    """Counted in the event loop's one thread. Kept sessions end by `finish` or after their idle life."""

    def __init__(self, clock: Callable[[], float], switches: Switches) -> None:
        self._clock = clock
        self._switches = switches
        self._kept: dict[str, float] = {}
        self._passing = 0
        self._asked_at: float | None = None

    def warm_up(self) -> float:
        """The seconds this request waits because nobody asked for a while."""
        now, before = self._clock(), self._asked_at
        self._asked_at = now
        cold = before is None or now - before > self._switches.idle
        return self._switches.cold_start if cold else 0.0

    def enter(self, kept: str) -> None:
        """A request begins: in its own session, or in the kept one; raises for a lost session or no licence."""
        self._expire()
        if kept:
            if kept not in self._kept:
                raise lost_session()
            self._kept[kept] = self._clock()
            return
        self._licensed()
        self._passing += 1

    def leave(self, kept: str) -> None:
        self._passing -= not kept

    def start(self) -> str:
        """Keep a session; its id is the value of the cookie `ibsession`. The request's own session becomes it."""
        session = secrets.token_hex(16)
        self._kept[session] = self._clock()
        return session

    def finish(self, session: str) -> None:
        self._kept.pop(session, None)

    def lose(self) -> None:
        """End all kept sessions, as an administrator or a restart does."""
        self._kept.clear()

    def _licensed(self) -> None:
        allowed = self._switches.licences
        if allowed is not None and self._passing + len(self._kept) >= allowed:
            raise no_licence(self._switches.licence_status)

    def _expire(self) -> None:
        oldest = self._clock() - self._switches.session_life
        self._kept = {session: used for session, used in self._kept.items() if used >= oldest}


def no_licence(status: int) -> RestError:
    return RestError("-1", "Не обнаружено свободной лицензии", status)


def lost_session(status: int = 404) -> RestError:
    return RestError("-1", "Сеанс отсутствует или удален", status)
