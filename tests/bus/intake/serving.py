"""The door behind its real server, on a port, with the connection limits in use or smaller ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import Any

import uvicorn
from fastapi import FastAPI

from bus.intake.connections import OPTIONS, Connection

Address = tuple[str, int]


@contextmanager
def served(app: FastAPI, **limits: Any) -> Iterator[Address]:
    """The server as `bus intake` starts it; `limits` are laid over those of Connection."""
    quick = type("Quick", (Connection,), limits)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    quicker = {"http": quick, "timeout_keep_alive": 1, "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", **OPTIONS | quicker))
    thread = Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    end = monotonic() + 20
    while not server.started:
        assert thread.is_alive()
        assert monotonic() < end
        Event().wait(0.005)
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def said(address: Address, *parts: bytes, wait_s: float = 5.0) -> bytes:
    """What the server says to these bytes, until it closes the connection or is silent for so long."""
    with socket.create_connection(address, timeout=wait_s) as wire:
        for part in parts:
            try:
                wire.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break
        return heard(wire)


def heard(wire: socket.socket) -> bytes:
    """All that comes, until the connection is closed or silent."""
    told = bytearray()
    try:
        while part := wire.recv(65_536):
            told += part
    except (TimeoutError, ConnectionResetError):
        pass
    return bytes(told)


def hung_up(wire: socket.socket) -> bool:
    """Was the connection closed, without a word? False when it is merely silent."""
    try:
        return wire.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def request(method: str, path: str, *headers: str, body: bytes = b"", length: bool = True, close: bool = True) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bus.example", *headers]
    lines += [f"Content-Length: {len(body)}"] if length else []
    lines += ["Connection: close"] if close else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def status(answer: bytes) -> int:
    """Of the first answer; 0 where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def statuses(answer: bytes) -> list[int]:
    """Of all answers on a connection."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
