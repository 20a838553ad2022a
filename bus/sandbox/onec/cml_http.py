"""1C's HTTP client as a site sees it: one request a connection, exact bytes, Basic on every call, no redirects.

Written over a bare socket, because what must be copied is what a good client library forbids: a header line with a
stray CR in it, a file name that nobody escaped, a body that breaks off in the middle.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import quote

AGENT = "1C+Enterprise/8.3"
DEFAULT_PATH = "bitrix/admin/1c_exchange.php"
_PLAIN, _SECURE = 80, 443
_CONNECT_SECONDS = 10.0
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class WireError(Exception):
    """No answer: refused, cut, or too late."""


@dataclass(frozen=True)
class Address:
    """Where the site is, as the node's setting «Адрес сайта» is understood."""

    host: str
    port: int
    path: str
    secure: bool = False

    @classmethod
    def parse(cls, text: str) -> Address:
        """Scheme off, port by scheme unless given; only a host means Bitrix's own path."""
        secure = text.startswith("https://")
        place, _, path = text.split("://", 1)[-1].partition("/")
        host, _, port = place.partition(":")
        if not host:
            raise ValueError(f"no host in the site's address {text!r}")
        return cls(host, int(port or (_SECURE if secure else _PLAIN)), path or DEFAULT_PATH, secure)


@dataclass(frozen=True)
class Reply:
    """An answer, whatever its status; `whole` is false when it broke off."""

    status: int
    content_type: str
    body: bytes
    whole: bool = True

    @property
    def charset(self) -> str:
        """What the header says; "" when it says nothing."""
        for part in self.content_type.split(";")[1:]:
            name, _, value = part.strip().partition("=")
            if name.lower() == "charset":
                return value.strip("\"' ").lower()
        return ""

    def text(self, charset: str = "") -> str:
        """Decoded as 1C does it: by `charset`, else the header, else UTF-8; no BOM taken off, bad bytes to U+FFFD."""
        try:
            return self.body.decode(charset or self.charset or "utf-8", errors="replace")
        except LookupError:
            return self.body.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Request:
    """One request to be made. `cut_at`: after so many bytes of the body the connection is closed."""

    verb: str
    query: str
    cookie: str = ""
    body: bytes | None = None
    content_type: str = ""
    cut_at: int | None = None
    deaf: bool = False
    """The request goes out whole and the connection is closed before its answer is read."""


class Wire:
    """Sends requests to one address under one login; safe to share between threads, for it keeps nothing."""

    def __init__(self, address: Address, user: str, password: str, timeout: float) -> None:
        self._address = address
        self._basic = b64encode(f"{user}:{password}".encode()).decode()
        self._timeout = timeout

    def ask(self, request: Request) -> Reply:
        """Make the request; raises WireError when there is no answer at all."""
        try:
            with self._connect() as connection:
                return self._exchange(connection, request)
        except (OSError, http.client.HTTPException) as error:
            raise WireError(f"no answer from the site: {type(error).__name__}") from error

    def _connect(self) -> socket.socket:
        address = self._address
        connection = socket.create_connection((address.host, address.port), min(_CONNECT_SECONDS, self._timeout))
        connection.settimeout(self._timeout)
        if not address.secure:
            return connection
        try:
            return ssl.create_default_context().wrap_socket(connection, server_hostname=address.host)
        except BaseException:
            connection.close()
            raise

    def _exchange(self, connection: socket.socket, request: Request) -> Reply:
        body = request.body or b""
        connection.sendall(self._head(request))
        connection.sendall(body if request.cut_at is None else body[: request.cut_at])
        if request.cut_at is not None or request.deaf:
            raise WireError("the connection was cut")
        answer = http.client.HTTPResponse(connection, method=request.verb)
        try:
            answer.begin()
            return _reply(answer)
        finally:
            answer.close()

    def _head(self, request: Request) -> bytes:
        address = self._address
        lines = [
            f"{request.verb} /{quote(f'{address.path}?{request.query}', safe=_ASCII)} HTTP/1.1",
            f"Host: {address.host}:{address.port}",
            f"User-Agent: {AGENT}",
            "Accept: */*",
            f"Authorization: Basic {self._basic}",
            "Connection: close",
        ]
        if request.cookie:
            lines.append(f"Cookie: {request.cookie}")
        if request.body is not None:
            lines += [f"Content-Type: {request.content_type}", f"Content-Length: {len(request.body)}"]
        return "\r\n".join([*lines, "", ""]).encode("utf-8")


def _reply(answer: http.client.HTTPResponse) -> Reply:
    kind = answer.getheader("Content-Type") or ""
    try:
        return Reply(answer.status, kind, answer.read())
    except http.client.IncompleteRead as cut:
        return Reply(answer.status, kind, cut.partial, whole=False)
