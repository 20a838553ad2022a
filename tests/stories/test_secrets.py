"""Planted secrets and people: a world in which everything fails, and every screen and log is searched for them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from bus.sandbox.bitrix24 import Portal
from bus.sandbox.server import create_app, rest_url, running
from tests.bus.cli.house import Bus
from tests.chaos.leaks import Planted
from tests.stories.world import eventually
from tests.tls import Authority, encrypted

SECRETS = {
    "webhook code": "planted7webhook7code",
    "application token": "planted7application7token",
    "second token": "planted7second7token",
    "signing key": "whsec_cGxhbnRlZCBzaWduaW5nIGtleSBvZiB0aGUgc2hvcCBoZXJl",
    "1C password": "planted7пароль7of71C",
    "exchange password": "planted7exchange7password",
    "flower password": "planted7flower7password",
}
PEOPLE = {"name": ["Каренина Анна Аркадьевна"], "phone": ["+79161234567"], "mail": ["anna.karenina@example.ru"]}


class Hostile(BaseHTTPRequestHandler):
    """A system that fails and says back all that it was told: its address, its headers, its body."""

    def do_GET(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        said = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        kind, _, _ = self.path.strip("/").partition("/")
        echo = f"Access denied to {self.path} {self.headers.get('Authorization')} {said} {PEOPLE}"
        error = {
            "error": "ERROR_CORE",
            "error_description": echo,
            "odata.error": {"code": "7", "message": {"value": echo}},
        }
        answer = json.dumps(error, ensure_ascii=False).encode()
        self.send_response({"moved": 301, "mad": 500, "closed": 401, "base": 401}.get(kind, 400))
        if kind == "moved":
            self.send_header("Location", f"http://127.0.0.1:1{self.path}")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hostile() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def configuration(hostile: int, tls: int, portal: str) -> dict[str, Any]:
    """One system for each way to fail."""
    code = SECRETS["webhook code"]
    urls = {
        "wrong-code": portal.replace("/right/", f"/{code}/"),
        "moved": f"http://127.0.0.1:{hostile}/moved/rest/1/{code}/",
        "mad": f"http://127.0.0.1:{hostile}/mad/rest/1/{code}/",
        "closed": f"http://127.0.0.1:{hostile}/closed/rest/1/{code}/",
        "bad-tls": f"https://127.0.0.1:{tls}/rest/1/{code}/",
        "no-name": f"https://no-such-host.invalid/rest/1/{code}/",
        "nobody": f"http://127.0.0.1:1/rest/1/{code}/",
    }
    route = {"order": {"in": "full", "out": "full"}}
    token = [SECRETS["application token"], SECRETS["second token"]]
    systems: dict[str, Any] = {
        name: {"kind": "bitrix24", "url": url, "application_token": token, "timeout_s": 2, "routes": route}
        for name, url in urls.items()
    }
    shop = {"kind": "bitrix_cms", "url": urls["mad"], "keys": [SECRETS["signing key"]], "timeout_s": 2, "routes": route}
    base = f"http://127.0.0.1:{hostile}/base/odata/standard.odata/"
    login = {"user": "bus", "password": SECRETS["1C password"]}
    systems |= {
        "shop": shop,
        "books": {"kind": "onec", "url": base, **login, "timeout_s": 2, "routes": route},
        "site": {"kind": "commerceml", "user": "1c", "password": SECRETS["exchange password"], "routes": route},
    }
    return {"systems": systems, "limits": {"sweep_s": 0.5, "backoff_base_s": 0.05, "backoff_cap_s": 0.1}}


def order(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"e-{number}",
        "source": "shop",
        "type": "order.changed",
        "subject": f"order/{number}",
        "time": "2026-03-01T12:00:00Z",
        "sourceversion": "1",
        "data": {
            "number": f"A-{number}",
            "status": "new",
            "customer": {"name": PEOPLE["name"][0], "phone": PEOPLE["phone"][0], "email": PEOPLE["mail"][0]},
        },
        **changes,
    }


@pytest.fixture
def bus(database_url: str, broker_url: str, tmp_path: Path, hostile: int) -> Iterator[Bus]:
    portal = Portal(user=1, code="right")
    authority = Authority(tmp_path)
    with ExitStack() as stack:
        at = rest_url(stack.enter_context(running(create_app(portal))), portal)
        tls = stack.enter_context(encrypted(authority.server(), hostile))
        (tmp_path / "bus.yaml").write_text(yaml.safe_dump(configuration(hostile, tls, at)), encoding="utf-8")
        environment = {"BUS_DATABASE_URL": database_url, "BUS_BROKER_URL": broker_url}
        environment |= {"BUS_CONFIG": str(tmp_path / "bus.yaml"), "BUS_FLOWER_PASSWORD": SECRETS["flower password"]}
        yield Bus(tmp_path, environment)


@pytest.fixture
def planted(bus: Bus) -> Planted:
    stores = {
        name: bus.env[name].partition("://")[2].rpartition("@")[0] for name in ("BUS_DATABASE_URL", "BUS_BROKER_URL")
    }
    passwords = {f"password of {name}": login.partition(":")[2] for name, login in stores.items()}
    return Planted(SECRETS | passwords, PEOPLE)


SCREENS = [
    ["check"],
    ["mappings", "check", "--live"],
    ["status"],
    ["status", "--json"],
    ["routes"],
    ["budget", "--once"],
    ["budget", "--json"],
    ["lanes"],
    ["lanes", "--json"],
    ["reconcile"],
    ["reconcile", "--full"],
    ["runs"],
    ["runs", "1"],
    ["exchange", "list"],
    ["dead-letters", "list"],
    ["dead-letters", "list", "--all"],
    ["conflicts", "list"],
    ["matches", "list"],
    ["switch", "list"],
    ["switch", "set", "mad", "order", "out", "nonsense"],
    ["lanes", "stop", "mad", "--reason", "tried"],
    ["lanes", "resume", "mad"],
    ["migrate"],
    ["version"],
    ["publish", "nothing.jsonl"],
    ["history", "no-such-thing"],
    ["nonsense"],
]


def screens(bus: Bus) -> Iterator[list[str]]:
    yield from SCREENS
    with bus.wiring.ledger.transaction() as connection:
        letters = [row["id"] for row in connection.execute("SELECT id FROM dead_letter ORDER BY id").fetchall()]
    yield from (["dead-letters", "show", str(letter)] for letter in letters)
    yield ["dead-letters", "retry", *(str(letter) for letter in letters)]


def test_no_screen_and_no_log_shows_a_planted_secret_or_person(bus: Bus, planted: Planted) -> None:
    file = bus.jsonl([order(1), order(2, data={"number": "2", "status": 7}), order(3, source="mars"), "{ not JSON"])
    said: dict[str, str] = {"bus publish": bus("publish", file).output}
    with bus.process("worker", "all") as worker, bus.process("intake", "--port", "0") as door:
        worker.popen.args, door.popen.args = [], []  # their command lines are read from the kernel below
        command_lines = [Path(f"/proc/{one.popen.pid}/cmdline").read_bytes().decode() for one in (worker, door)]
        eventually(lambda: worker.hears("lanes.drain"), 60)
        eventually(lambda: _some_letters(bus), 60)
        for words in screens(bus):
            result = bus(*words)
            said[f"bus {' '.join(words)}"] = f"{result.output}\n{result.exception!r}"
        eventually(lambda: door.hears("Uvicorn running"), 60)
        said |= {"metrics and refusals": _strangers(_port(door))}
        worker.stop()
        door.stop()
        said |= {"worker's log": "".join(worker.said), "intake's log": "".join(door.said)}
    said |= {f"command line {at}": line for at, line in enumerate(command_lines)}
    leaks = set().union(*(planted.within(place, text) for place, text in said.items()))
    assert leaks == set()
    assert all(text for place, text in said.items() if not place.startswith("command line")), "they said something"


def test_the_search_finds_what_is_there(planted: Planted) -> None:
    assert planted.find(f"GET /rest/1/{SECRETS['webhook code']}/ of {PEOPLE['name'][0]}") == {"webhook code", "name"}


@pytest.mark.parametrize(
    "words", [["--help"], *([*words[:1], "--help"] for words in SCREENS if words[0] != "nonsense")]
)
def test_no_help_shows_what_stands_in_the_environment(bus: Bus, planted: Planted, words: list[str]) -> None:
    result = bus(*words)
    assert result.exit_code == 0
    assert planted.find(result.output) == set()


def _some_letters(bus: Bus) -> bool:
    with bus.wiring.ledger.transaction() as connection:
        return bool(connection.execute("SELECT 1 FROM dead_letter").fetchall())


def _port(door: Any) -> int:
    (port,) = {found[1] for line in door.said if (found := re.search(r"http://127\.0\.0\.1:(\d+)", line))}
    return int(port)


def _strangers(port: int) -> str:
    """What the door says to those who show the wrong thing, and to who asks for its metrics."""
    at, token = f"http://127.0.0.1:{port}", SECRETS["application token"]
    form = {"event": PEOPLE["name"][0], "auth[application_token]": token}
    answers = [
        requests.get(f"{at}/metrics", timeout=10),
        requests.get(f"{at}/ready", timeout=10),
        requests.get(f"{at}/openapi.json", timeout=10),
        requests.post(f"{at}/events", json=order(9), timeout=10),
        requests.post(f"{at}/bitrix24/mad", data=form, timeout=10),
        requests.post(f"{at}/bitrix24/mad", data=form | {"auth[application_token]": token + "x"}, timeout=10),
        requests.get(f"{at}/exchange/site?type=sale&mode=checkauth", auth=("1c", "wrong"), timeout=10),
    ]
    return "\n".join(f"{answer.status_code} {answer.headers} {answer.text}" for answer in answers)
