"""HTTP to a Bitrix webhook: pooled, with timeouts, never repeating a POST by itself, never telling its code."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from time import monotonic
from urllib.parse import urlsplit, urlunsplit

import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from bus import leased
from bus.errors import BusError, ConfigError, SystemStopped, Transient, UnknownOutcome
from bus.model import Json

CONNECT_S = 5.0
STOP_S = 300
_NEWEST = 0.2
"""Weight of the newest request in the average latency."""
_MOVED = frozenset({301, 302, 307, 308})
_POOL = 16
_HOOK_PATH = re.compile(r"(/rest/)[^/\s\"']+/[^/\s\"'?]+/")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the HTTP status and the JSON object."""

    status: int
    body: dict[str, Json]


class Hook:
    """One incoming webhook. Threads may share it: the session holds no cookies, and its address is exchanged whole.

    Cookies are refused on purpose: PHP locks a session while it works, so a PHPSESSID would put our requests in a row.
    """

    def __init__(
        self,
        url: SecretStr,
        *,
        timeout_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = _Address(url.get_secret_value())
        self._timeout = (CONNECT_S, timeout_s)
        self._now = now
        self.latency_s = 0.0
        """How long requests have taken lately, in seconds: a moving average, waiting to be admitted not counted."""
        self._session = _session()
        _keep_logs_clean()

    def __repr__(self) -> str:
        return f"Hook({self._url.host})"

    def post(
        self,
        method: str,
        params: Mapping[str, Json],
        *,
        writes: bool,
        admit: Callable[[], None],
        key: str | None = None,
    ) -> Answer:
        """POST one call, asking `admit` before each request. A portal that was renamed is followed once and remembered.

        With a `key` it goes to REST 3.0, which carries out once what comes under one key; a portal without that answers
        404, with JSON or without.

        Raises what `admit` raises, Transient (nothing was sent), SystemStopped (no REST there), and for what may have
        been carried out UnknownOutcome, or Transient when the call only reads.
        """
        response = self._send(method, params, writes=writes, admit=admit, key=key)
        if response.status_code in _MOVED:
            self._follow(response.headers.get("Location", ""))
            response = self._send(method, params, writes=writes, admit=admit, key=key)
        if key is not None and response.status_code == HTTPStatus.NOT_FOUND:
            return Answer(response.status_code, {"error": {"code": "ERROR_METHOD_NOT_FOUND", "message": "no REST 3.0"}})
        if response.status_code in _MOVED:
            raise self._stopped("it redirects every call: write the portal's present address into the system's url")
        return self._read(method, response, writes=writes)

    def scrub(self, text: str) -> str:
        """`text` without the webhook's code."""
        return self._url.scrub(text)

    def follow(self, url: SecretStr) -> Callable[[], None]:
        """Get ready for another code of the same portal; what is returned goes on with it. Raises ConfigError."""
        there = _Address(url.get_secret_value())

        def take() -> None:
            there.hide(self._url)
            self._url = there

        return take

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def _send(
        self, method: str, params: Mapping[str, Json], *, writes: bool, admit: Callable[[], None], key: str | None
    ) -> requests.Response:
        body = json.dumps(params, default=str).encode()
        url = self._url.of(method) if key is None else self._url.modern(method)
        headers = None if key is None else {"Idempotency-Key": key}
        admit()
        if writes:
            leased.check()
        begun = monotonic()
        try:
            return self._session.post(url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False)
        except requests.RequestException as trouble:
            error = self._failed(method, trouble, writes=writes)
        finally:
            self.latency_s += (monotonic() - begun - self.latency_s) * _NEWEST
        raise error  # outside of the handler: the exception of requests, which knows the URL, is not even its context

    def _failed(self, method: str, trouble: requests.RequestException, *, writes: bool) -> BusError:
        what = type(trouble).__name__
        if before_sending(trouble):
            return Transient(f"{method}: no connection to {self._url.host} ({what})", cause=f"{self._url.host} {what}")
        return unclear(f"{method}: {self._url.host} gave no answer ({what})", f"{method} {what}", writes=writes)

    def _read(self, method: str, response: requests.Response, *, writes: bool) -> Answer:
        try:
            body = json.loads(response.content)
        except ValueError:
            body = None
        status = response.status_code
        if isinstance(body, dict):
            return Answer(status, body)
        if 400 <= status < 500:  # noqa: PLR2004 - a class of HTTP statuses
            raise self._stopped(f"HTTP {status} without JSON: check the system's url and what stands before the portal")
        raise unclear(
            f"{method}: {self._url.host} answered HTTP {status} and no JSON", f"{method} HTTP {status}", writes=writes
        )

    def _follow(self, location: str) -> None:
        problem = self._url.move(location)
        if problem:
            raise self._stopped(problem)

    def _stopped(self, say: str) -> SystemStopped:
        until = self._now() + timedelta(seconds=STOP_S)
        return SystemStopped(f"{self._url.host}: {say}", until=until, cause=f"{self._url.host} no REST")


class _Address:
    """The webhook's URL: told to nobody but the session."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError("url: must look like https://host/rest/<user>/<code>/")
        self._origin = parts.scheme, parts.netloc  # replaced as a whole: other threads read it
        self._path = parts.path.rstrip("/")
        self._secrets = tuple(piece for piece in (self._path, self._path.rpartition("/")[2]) if len(piece) > 1)

    def __repr__(self) -> str:
        return f"_Address({self.host})"

    @property
    def host(self) -> str:
        return self._origin[1].rpartition("@")[2]

    def of(self, method: str) -> str:
        return urlunsplit((*self._origin, f"{self._path}/{method}", "", ""))

    def modern(self, method: str) -> str:
        """The same webhook at REST 3.0: /rest/api/<user>/<code>/."""
        path = self._path.replace("/rest/", "/rest/api/", 1)
        return urlunsplit((*self._origin, f"{path}/{method}", "", ""))

    def move(self, location: str) -> str | None:
        """Take the new host from a Location; what is wrong with it, if anything. Never from https down to http."""
        parts = urlsplit(location)
        if not parts.netloc or parts.scheme not in ("http", "https"):
            return "it redirects, but names no new host: write the portal's present address into the system's url"
        if (parts.scheme, parts.netloc) == self._origin:
            return "it redirects to itself: write the exact address of REST into the system's url"
        if self._origin[0] == "https" and parts.scheme == "http":
            return "it redirects from https to http: not followed, ask the portal's administrator"
        self._origin = parts.scheme, parts.netloc
        return None

    def hide(self, earlier: _Address) -> None:
        """Take out of answers what the webhook was called before, too: some are still under way."""
        self._secrets += earlier._secrets

    def scrub(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text


class _CleanRecords(logging.Filter):
    """Takes webhook codes out of urllib3's own log lines, which tell the path of each request."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _HOOK_PATH.sub(r"\1…/", record.getMessage()), ()
        return True


_CLEAN = _CleanRecords()


def _keep_logs_clean() -> None:
    for name in ("urllib3.connectionpool", "urllib3.connection"):
        logging.getLogger(name).addFilter(_CLEAN)


def unclear(message: str, cause: str, *, writes: bool) -> BusError:
    """No trustworthy answer after sending: a write may have happened, a read is simply repeated."""
    return (UnknownOutcome if writes else Transient)(message, cause=cause)


def _session() -> requests.Session:
    session = requests.Session()
    session.headers.update(
        {
            "User-Agent": agent(),
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
    )
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_maxsize=_POOL, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def agent() -> str:
    """Who we are to other systems' logs."""
    try:
        return f"integration-bus/{version('integration-bus')}"
    except PackageNotFoundError:
        return "integration-bus/0"


def before_sending(trouble: requests.RequestException) -> bool:
    """Whether it failed while connecting: nothing of the request can have arrived."""
    if isinstance(trouble, requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return True
    if not isinstance(trouble, requests.ConnectionError):
        return isinstance(trouble, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema)
    reason = trouble.args[0] if trouble.args else None
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
