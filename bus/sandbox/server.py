"""Runs a stand-in on 127.0.0.1: in a background thread for tests, in the foreground for the command line."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from bus.sandbox import control
from bus.sandbox.rest import Door

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from bus.sandbox.site import Site

HOST = "127.0.0.1"
START_SECONDS = 10.0


class App(Starlette):
    """Starlette that lets the REST door close the socket: the fault drop_after needs a real hang-up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["sandbox.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await super().__call__(scope, receive, send)


def create_app(site: Site) -> Starlette:
    """The ASGI application of a site: its REST door and its control API."""
    old = Route("/rest/{user:int}/{code}/{method:path}", Door(site))
    app = App(routes=[*site.doors(), old, *control.routes(site)])
    app.state.site = site
    return app


def rest_url(base: str, site: Site) -> str:
    """The address that a client of the site is given."""
    return site.entry(base)


@contextmanager
def running(app: Starlette, port: int = 0) -> Iterator[str]:
    """Serve in a background thread; yields `http://127.0.0.1:PORT`. Stops the site's senders at the end."""
    server, listener = _server(app, port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
    thread.start()
    try:
        _await_start(server, thread)
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=START_SECONDS)
        listener.close()
        app.state.site.close()


class Announced(uvicorn.Server):
    """Tells where it is once it answers, and can be stopped in order: told before, a signal would meet it half-way."""

    def __init__(self, config: uvicorn.Config, says: tuple[str, ...]) -> None:
        super().__init__(config)
        self._says = says

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for line in self._says:
            print(line, flush=True)  # noqa: T201  # this is the command's output


def serve(app: Starlette, port: int = 0) -> None:
    """Serve until interrupted; prints the address when it answers."""
    server, listener = _server(app, port)
    base = f"http://{HOST}:{listener.getsockname()[1]}"
    announced = Announced(server.config, (rest_url(base, app.state.site), f"{base}/_sandbox/"))
    try:
        announced.run(sockets=[listener])
    finally:
        app.state.site.close()


def _server(app: Starlette, port: int) -> tuple[uvicorn.Server, socket.socket]:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(512)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    return uvicorn.Server(config), listener


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    begun = threading.Event()
    for _ in range(int(START_SECONDS / 0.01)):
        if server.started:
            return
        if not thread.is_alive():
            break
        begun.wait(0.01)
    raise RuntimeError("the stand-in did not start")
