"""Exchange sessions: what a 1C was told as its run began, kept in Redis: any intake can answer its next request."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import cast

from redis.exceptions import RedisError

from bus.errors import Transient
from bus.ports import Redis

LIFE_S = 4 * 3600
"""Since the last request. Between a query and its success 1C may work for an hour."""

_BEGIN = "redis.call('HSET', KEYS[1], unpack(ARGV, 2)) redis.call('PEXPIRE', KEYS[1], ARGV[1]) return 1"
_FIND = "redis.call('PEXPIRE', KEYS[1], ARGV[1]) return redis.call('HMGET', KEYS[1], unpack(ARGV, 2))"
_NOTE = """if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return 1"""
_FIELDS = ("system", "sessid", "folder", "strict", "dialect")


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one 1C, or a part of it."""

    token: str
    """The value of its cookie."""
    system: str
    sessid: str
    """What it was told to repeat with every request."""
    folder: str
    """Its upload folder; another one after each `init`."""
    strict: bool = False
    """It has sent its sessid once, and so has to from then on."""
    dialect: str | None = None
    """ut, unf or bus, where a request has shown it."""


class Sessions:
    """Begins, finds and changes sessions. Every method raises Transient when Redis cannot be reached."""

    def __init__(self, client: Redis, *, life_s: float = LIFE_S) -> None:
        self._client, self._life_ms = client, str(int(life_s * 1000))

    def begin(self, system: str) -> Session:
        """A new session of a system that has shown its password."""
        session = Session(secrets.token_hex(16), system, secrets.token_hex(16), secrets.token_hex(8))
        told = ("system", system, "sessid", session.sessid, "folder", session.folder)
        self._eval(_BEGIN, session.token, self._life_ms, *told)
        return session

    def find(self, token: str) -> Session | None:
        """The session of a cookie, which lives on by this; None when it has ended, or there never was one."""
        found = self._eval(_FIND, token, self._life_ms, *_FIELDS)
        system, sessid, folder, strict, dialect = (
            value.decode() if isinstance(value, bytes) else value for value in cast("list[bytes | str | None]", found)
        )
        if system is None or sessid is None or folder is None:
            return None
        return Session(token, system, sessid, folder, strict is not None, dialect)

    def shown(self, session: Session, dialect: str) -> None:
        """A request has shown which dialect it speaks."""
        self._note(session, "dialect", dialect)

    def insist(self, session: Session) -> None:
        """From now on every request has to bring the sessid."""
        self._note(session, "strict", "1")

    def turn_over(self, session: Session) -> str:
        """Give the session a new, empty upload folder. Returns its name."""
        folder = secrets.token_hex(8)
        self._note(session, "folder", folder)
        return folder

    def _note(self, session: Session, field: str, value: str) -> None:
        self._eval(_NOTE, session.token, field, value)

    def _eval(self, script: str, token: str, *arguments: str) -> object:
        try:
            return self._client.eval(script, 1, f"exchange:{token}", *arguments)
        except RedisError as error:
            say = f"sessions cannot be reached: {type(error).__name__}"
            raise Transient(say, cause="Redis unreachable") from None
