"""A portal and a shop, in process and over HTTP, and a listener that keeps what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from bus.sandbox.bitrix24 import Portal, create_app
from bus.sandbox.bitrix_cms import Shop
from bus.sandbox.onec import Base
from bus.sandbox.server import running
from bus.sandbox.site import Site
from tests.bus.sandbox.books import Books


@dataclass
class Clock:
    """A clock that only we move."""

    now: float = 1_700_000_000.0  # seconds

    def __call__(self) -> float:
        return self.now


@dataclass
class Client:
    """A site over HTTP: its hook and its control API."""

    base: str
    site: Site
    session: requests.Session = field(default_factory=requests.Session)

    def rest(self, method: str, params: Any = None, **options: Any) -> requests.Response:
        if params is not None:
            options["json"] = params
        url = f"{self.base}/rest/1/sandbox/{method}"
        return self.session.post(url, timeout=10, **options)

    def result(self, method: str, params: Any = None) -> Any:
        answer = self.rest(method, params)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def batch(self, halt: int = 0, **commands: str) -> Any:
        return self.result("batch", {"halt": halt, "cmd": commands})

    def control(self, verb: str, path: str, body: Any = None) -> Any:
        answer = self.session.request(verb, f"{self.base}/_sandbox/{path}", json=body, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, kind: str, **options: Any) -> Any:
        return self.control("POST", "faults", {"kind": kind, **options})

    def act(self, do: str, **options: Any) -> Any:
        return self.control("POST", "act", {"do": do, **options})


@dataclass
class Post:
    """One message that came."""

    headers: dict[str, str]
    body: str


class Listener:
    """Keeps what it is sent; `answers` are the statuses to give, then 200."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answers: list[int] = []
        self._came = threading.Condition()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status = listener.keep(Post({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def keep(self, post: Post) -> int:
        with self._came:
            self.posts.append(post)
            self._came.notify_all()
            return self.answers.pop(0) if self.answers else 200

    def wait(self, count: int, seconds: float = 5) -> list[Post]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.posts) >= count, timeout=seconds), self.posts
            return list(self.posts)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


START = 1_700_000_000.0


@pytest.fixture(scope="session")
def served() -> Iterator[dict[str, Client]]:
    """One portal and one shop for the whole run: starting a server for each test would take most of its time."""
    portal, shop = Portal(clock=Clock(), cloud=False), Shop(clock=Clock())
    with running(create_app(portal)) as crm, running(create_app(shop)) as store, requests.Session() as session:
        yield {"crm": Client(crm, portal, session), "store": Client(store, shop, session)}


@pytest.fixture
def crm(served: dict[str, Client]) -> Client:
    """The portal over HTTP, empty, its limits off."""
    return fresh(served["crm"])


@pytest.fixture
def store(served: dict[str, Client]) -> Client:
    """The shop over HTTP, empty."""
    return fresh(served["store"])


def fresh(client: Client) -> Client:
    client.site.reset()
    client.site.clock.now = START
    return client


@pytest.fixture
def portal(crm: Client) -> Portal:
    return crm.site


@pytest.fixture
def shop(store: Client) -> Shop:
    return store.site


@pytest.fixture
def clock(served: dict[str, Client], request: pytest.FixtureRequest) -> Clock:
    """The clock of the site that the test uses."""
    return served["store" if "store" in request.fixturenames or "shop" in request.fixturenames else "crm"].site.clock


@pytest.fixture
def listener() -> Iterator[Listener]:
    kept = Listener()
    yield kept
    kept.close()


@pytest.fixture(scope="session")
def served_onec() -> Iterator[Books]:
    """One 1C base for the whole run."""
    base = Base(clock=Clock())
    with running(create_app(base)) as url, requests.Session() as session:
        session.auth = ("bus", "secret")
        yield Books(url, base, session)


@pytest.fixture
def onec(served_onec: Books) -> Books:
    """The 1C base over HTTP, as fresh."""
    served_onec.site.reset()
    served_onec.site.clock.now = START
    served_onec.session.cookies.clear()
    return served_onec
