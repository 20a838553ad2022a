"""One POST to a listener: a short timeout, no redirects, no retry; the status or None when nobody answered."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

TIMEOUT = 5.0


class Poster:
    """Keeps one connection per listener. Not thread-safe: one poster per sending thread."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._connections: dict[tuple[str, str], http.client.HTTPConnection] = {}

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        """Send once. A connection that the listener closed while it was idle is opened again first."""
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        reused = key in self._connections
        status = self._send(key, target or "/", body, headers)
        if status == 0 and reused:
            status = self._send(key, target or "/", body, headers)
        return status or None

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _send(self, key: tuple[str, str], target: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        """The status; 0 when the connection was dead before an answer began; None when nobody answered."""
        connection = self._connections.get(key) or self._connect(key)
        try:
            connection.request("POST", target, body=body, headers=dict(headers))
            answer = connection.getresponse()
            answer.read()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.CannotSendRequest):
            self._drop(key)
            return 0
        except (OSError, http.client.HTTPException):
            self._drop(key)
            return None
        if answer.will_close:
            self._drop(key)
        return answer.status

    def _connect(self, key: tuple[str, str]) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if key[0] == "https" else http.client.HTTPConnection
        connection = self._connections[key] = kind(key[1], timeout=self._timeout)
        return connection

    def _drop(self, key: tuple[str, str]) -> None:
        self._connections.pop(key).close()
