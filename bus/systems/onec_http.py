"""HTTP to the OData interface of a 1C base: addresses, login, sessions, time limits, and answers that can be believed.

The interface sits behind web servers that answer in its place: an answer counts only when its type and its shape are
the interface's. A GET on Post executes it, so no address of a command is ever got.
"""

from __future__ import annotations

import json
import logging
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from http.cookies import CookieError, SimpleCookie
from time import monotonic
from urllib.parse import quote, urlsplit

import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter

from bus import leased
from bus.errors import BusError, ConfigError, SystemStopped, Transient, UnknownOutcome
from bus.model import Json
from bus.systems.http import agent, before_sending
from bus.systems.onec_errors import Refusal, away, error_of, refusal_of, session_lost

CONNECT_S = 10.0
URL_LENGTH = 2000
"""How long an address may be: IIS takes 2048 characters of a query, Cyrillic counts six for one."""
SESSION_S = 15.0
"""A session of ours that lay idle for so long is let go: publications end one after 20 s."""
_POOL = 4
_NEWEST = 0.2
"""Weight of the newest request in the average latency."""
_COMMANDS = ("/Post", "/Unpost", "NotifyChangesReceived", "SelectChanges")
_OK = (200, 201, 204)
_SAFE = "()',/=_-.$*:"
_SESSION = "ibsession"
_LOST = (400, 404)
_QUERY = re.compile(r"\?(?=[^\s\"]*(?:\$(?:format|filter)|DataExchangePoint|PostingMode))[^\s\"]*")

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the HTTP status, and the JSON value or the bytes of XML."""

    status: int
    body: Json
    content: bytes = b""


class Address:
    """Where the interface is; builds the addresses of requests, everything percent-encoded, a blank as %20."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            raise ConfigError("url: must look like https://host/base/odata/standard.odata/, without a login")
        self.host = parts.netloc
        self._root = f"{parts.scheme}://{parts.netloc}{quote(parts.path.rstrip('/'), safe='/%')}"

    def of(self, path: str, query: Query) -> str:
        """The address of a request."""
        asked = "&".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in query.items())
        return f"{self._root}/{quote(path, safe=_SAFE)}" + (f"?{asked}" if asked else "")

    @property
    def root(self) -> str:
        """The interface's own address, as exchange points are named by it."""
        return self._root


class Gate:
    """One base's interface. Threads may share it: what changes is the list of idle sessions and a number.

    `sessions`: ask for a session of 1C and go on in it where the publication offers that; a call without one opens a
    session each time, which is slow. An idle session holds a licence, so it is let go soon.
    """

    def __init__(
        self,
        url: SecretStr,
        user: str,
        password: SecretStr,
        *,
        timeout_s: float,
        sessions: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.address = Address(url.get_secret_value())
        self._timeout = (CONNECT_S, timeout_s)
        self._now = now
        self._sessions = sessions
        self._idle: list[tuple[str, float]] = []
        self.latency_s = 0.0
        """How long requests have taken lately, in seconds: a moving average."""
        self._session = _session(user, password)
        logging.getLogger("urllib3.connectionpool").addFilter(_QUIET)

    def __repr__(self) -> str:
        return f"Gate({self.address.host})"

    def send(
        self,
        verb: str,
        path: str,
        query: Query,
        body: Json = None,
        *,
        writes: bool,
        xml: bool = False,
        version: str | None = None,
    ) -> Answer:
        """One request and its answer. `writes`: whether a lost answer may mean that something was changed.

        `version`: of the object that is to be changed, for bases that heed it (facts 2.4: not all do).

        Raises NotReady (nobody is let in, nothing was sent), SystemStopped (login or address refused), and what
        bus.systems.onec_errors makes of a refusal; after a lost answer UnknownOutcome, or Transient for a read.
        """
        if verb == "GET" and path.endswith(_COMMANDS):
            raise ValueError(f"{path}: a command is never got")
        what = f"{verb} {path.partition('(')[0]}"
        url = self.address.of(path, query if xml else {"$format": "json", **query})
        match = {"If-Match": version} if version else {}
        with self._held() as session:
            response = self._exchange(what, verb, url, body, session, match, writes=writes)
            if session.number and response.status_code in _LOST and session_lost(refusal_of(what, *_said(response))):
                session.number = None  # the session is lost, and nothing of the request was done
                response = self._exchange(what, verb, url, body, session, match, writes=writes)
        return self._believed(what, response, writes=writes, xml=xml, long=len(url) > URL_LENGTH // 2)

    def follow(self, user: str, password: SecretStr) -> Callable[[], None]:
        """Get ready for another login; what is returned goes on with it."""
        login = _basic(user, password)

        def take() -> None:
            self._session.headers["Authorization"] = login

        return take

    def close(self) -> None:
        """Let sessions go and close the connections."""
        idle, self._idle = self._idle, []
        for number, _ in idle:
            self._finish(number)
        self._session.close()

    def _exchange(
        self, what: str, verb: str, url: str, body: Json, session: _Held, match: Query, *, writes: bool
    ) -> requests.Response:
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        if writes:
            leased.check()
        begun = monotonic()
        try:
            response = self._session.request(
                verb,
                url,
                data=content,
                headers={**self._headers(session), **match},
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as trouble:
            error = self._failed(what, trouble, writes=writes)
        else:
            self._note(session, response)
            return response
        finally:
            self.latency_s += (monotonic() - begun - self.latency_s) * _NEWEST
        raise error  # outside of the handler: the exception of requests, which knows the URL, is not even its context

    def _failed(self, what: str, trouble: requests.RequestException, *, writes: bool) -> BusError:
        reason = type(trouble).__name__
        if before_sending(trouble):
            return away(f"{what}: {self.address.host}", reason, self._now())
        message = f"{what}: {self.address.host} gave no answer ({reason})"
        return (UnknownOutcome if writes else Transient)(message, cause=f"{what} {reason}")

    def _believed(self, what: str, response: requests.Response, *, writes: bool, xml: bool, long: bool) -> Answer:
        """The answer, if it is the interface's own."""
        status, content = response.status_code, response.content
        if status not in _OK:
            raise self._error(refusal_of(what, status, content, long=long), writes=writes)
        if not content.strip():
            return Answer(status, None)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if xml and kind.endswith("xml") and "html" not in kind:
            return Answer(status, None, content)
        if not xml and kind.endswith("json"):
            try:
                return Answer(status, json.loads(content), content)
            except ValueError:
                pass
        message = f"{what}: HTTP {status} with {kind or 'no type'}: not an answer of the interface"
        raise (UnknownOutcome if writes else Transient)(message, cause=f"{what} not OData")

    def _error(self, refusal: Refusal, *, writes: bool) -> BusError:
        error = error_of(refusal, writes=writes, now=self._now())
        if isinstance(error, SystemStopped):
            error = SystemStopped(f"{self.address.host}: {error}", until=error.until, cause=error.cause)
        return error

    # sessions: "IBSession: start" answers with a cookie that later requests carry (facts 2.6)

    @contextmanager
    def _held(self) -> Iterator[_Held]:
        """A session for one request: an idle one, or one to be asked for; it is idle again afterwards."""
        session = _Held(self._taken() if self._sessions else None)
        try:
            yield session
        finally:
            if session.number:
                self._idle.append((session.number, monotonic()))

    def _taken(self) -> str | None:
        while self._idle:
            try:
                number, since = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if monotonic() - since < SESSION_S:
                return number
            self._finish(number)
        return None

    def _headers(self, session: _Held) -> dict[str, str]:
        if session.number:
            return {"Cookie": f"{_SESSION}={session.number}"}
        return {"IBSession": "start"} if self._sessions else {}

    def _note(self, session: _Held, response: requests.Response) -> None:
        """Keep the session that was begun. A publication that offers none is not asked again."""
        if session.number or not self._sessions:
            return
        try:
            cookie = SimpleCookie(response.headers.get("Set-Cookie", "")).get(_SESSION)
        except CookieError:
            cookie = None
        if cookie is not None and cookie.value:
            session.number = cookie.value
        elif response.status_code in _OK:
            self._sessions = False

    def _finish(self, number: str) -> None:
        """Give a licence back; one that is not is let go by the base itself, some seconds later."""
        headers = {"Cookie": f"{_SESSION}={number}", "IBSession": "finish"}
        url = self.address.of("", {"$format": "json"})
        try:
            self._session.get(url, headers=headers, timeout=(CONNECT_S, CONNECT_S), allow_redirects=False)
        except requests.RequestException:
            return


class _QuietQueries(logging.Filter):
    """Takes queries out of urllib3's own log lines: they say INNs, names and phones that are looked for."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _QUERY.sub("?…", record.getMessage()), ()
        return True


_QUIET = _QuietQueries()


def _said(response: requests.Response) -> tuple[int, bytes]:
    return response.status_code, response.content


@dataclass
class _Held:
    """The session of one request: its number, once there is one."""

    number: str | None


def _basic(user: str, password: SecretStr) -> str:
    """Basic in UTF-8, which requests would send as latin-1."""
    return "Basic " + b64encode(f"{user}:{password.get_secret_value()}".encode()).decode()


def _session(user: str, password: SecretStr) -> requests.Session:
    """A .netrc is not heeded; cookies are ours to send."""
    session = requests.Session()
    session.trust_env = False
    session.headers.update(
        {
            "User-Agent": agent(),
            "Authorization": _basic(user, password),
            "Content-Type": "application/json; charset=utf-8",
            "Accept": "application/json, application/xml, application/atom+xml",
        }
    )
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_maxsize=_POOL, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
