"""One request of a 1C to what it takes for a site: its parameters, who it is, its session; refused in 1C's own way."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, replace
from typing import Literal, cast

from fastapi import Request

from bus.config import System
from bus.exchange_sessions import Session, Sessions

COOKIE = "BUS_EXCHANGE"
"""Name of the session's cookie. 1C takes no name with a dot."""

Dialect = Literal["ut", "unf", "bus"]

_DIALECTS = ("ut", "unf", "bus")
_VERSION = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,2}){1,2}")

STALE = "Сеанс обмена завершён или неизвестен. Начните обмен заново."
NO_SESSID = "Ошибка проверки источника запроса. Обновите модуль обмена."


class Failure(Exception):
    """`failure` and a text for whoever looks at the exchange in 1C; the HTTP status is 200, as Bitrix answers."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a system that has shown its login."""

    request: Request
    system: str
    config: System
    type: str
    mode: str
    session: Session | None = None

    def asked(self, name: str) -> str | None:
        """A parameter of the query; None where it is not there, "" where it is empty."""
        return self.request.query_params.get(name)

    @property
    def version(self) -> str | None:
        """The protocol's version that this 1C announces; None: the oldest, which announces none."""
        found = self.asked("version")
        return found if found and _VERSION.fullmatch(found) else None

    @property
    def dialect(self) -> Dialect:
        """How this 1C speaks: as it is configured, as this request shows it, or as an earlier one has."""
        told = self.config.settings.get("profile", "auto")
        return cast("Dialect", told if told in _DIALECTS else self.shown or self._remembered or "ut")

    @property
    def shown(self) -> Dialect | None:
        """What the request itself tells: UNF names the schema beside the version, the module of 1C-Bitrix does not."""
        if self.asked("version") is None:
            return None
        return "unf" if self.asked("cmlVersion") is not None else "bus"

    @property
    def _remembered(self) -> str | None:
        return self.session.dialect if self.session else None

    @property
    def open(self) -> Session:
        """The session. Raises Failure, upon which 1C begins anew."""
        if self.session is None:
            raise Failure(STALE)
        return self.session


def with_session(call: Call, sessions: Sessions) -> Call:
    """The call with its session, where it has one. Raises Failure for a sessid that is not the session's."""
    session = sessions.find(token) if (token := call.request.cookies.get(COOKIE)) else None
    if session is None or session.system != call.system:
        return call
    _check(call, session, sessions)
    if call.shown and call.shown != session.dialect:
        sessions.shown(session, call.shown)
    return replace(call, session=session)


def _check(call: Call, session: Session, sessions: Sessions) -> None:
    """Who has sent the sessid once has to from then on (facts 1.3); a wrong one is refused always."""
    given = call.asked("sessid")
    if not given and not session.strict:
        return
    if not given or not hmac.compare_digest(given.encode(), session.sessid.encode()):
        raise Failure(NO_SESSID)
    if not session.strict:
        sessions.insist(session)
