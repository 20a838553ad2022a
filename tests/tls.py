"""TLS before the embedded engines, which speak none: a proxy of the tests' own, with a certificate of their own CA."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme

HOST = "127.0.0.1"
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""With which a PostgreSQL client asks for TLS; the answer is one byte."""


class Authority:
    """A CA, and the file that its clients are given."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def server(self, host: str = HOST) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(host).configure_cert(context)
        return context


@contextmanager
def encrypted(context: ssl.SSLContext, port: int, *, postgres: bool = False) -> Iterator[int]:
    """Serve TLS on a port of its own for what runs on `port`; who does not speak TLS is hung up on."""
    listener = socket.create_server((HOST, 0))
    threading.Thread(target=_serve, args=(listener, context, port, postgres), daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _serve(listener: socket.socket, context: ssl.SSLContext, port: int, postgres: bool) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_one, args=(client, context, port, postgres), daemon=True).start()


def _one(client: socket.socket, context: ssl.SSLContext, port: int, postgres: bool) -> None:
    with suppress(OSError), client:
        if postgres:
            if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                return
            client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as inside, socket.create_connection((HOST, port)) as server:
            back = threading.Thread(target=_copy, args=(server, inside), daemon=True)
            back.start()
            _copy(inside, server)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
