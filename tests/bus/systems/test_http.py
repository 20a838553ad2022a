import json
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from bus.errors import BusError, ConfigError, SystemStopped, Transient, UnknownOutcome
from bus.systems.http import Hook

OK = (200, {"Content-Type": "application/json"}, b'{"result": 1}')


class Scripted(ThreadingHTTPServer):
    """Answers what it was told, in order; a handler may also break the connection."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Any] = []
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    def hook_url(self, secret: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/rest/1/{secret}/"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path, dict(self.headers), body))
        step = self.server.script.pop(0)
        if callable(step):
            step(self)
            return
        status, headers, content = step
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        del args


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as scripted:
        thread = threading.Thread(target=scripted.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield scripted
        scripted.shutdown()
        thread.join()


@pytest.fixture
def hooked() -> Iterator[Callable[[str], Hook]]:
    made: list[Hook] = []

    def make(url: str) -> Hook:
        made.append(Hook(SecretStr(url), timeout_s=0.3, now=lambda: datetime(2026, 11, 22, tzinfo=UTC)))
        return made[-1]

    yield make
    for hook in made:
        hook.close()


@pytest.fixture
def hook(hooked: Callable[[str], Hook], server: Scripted, secret: str) -> Hook:
    return hooked(server.hook_url(secret))


def post(hook: Hook, *, writes: bool = True, admit: Callable[[], None] = lambda: None) -> Any:
    return hook.post("crm.item.add", {"fields": {"title": "Заказ"}}, writes=writes, admit=admit)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def silent_until_the_client_leaves(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.recv(1)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"result": {"item"')
    hang_up(handler)


def test_it_posts_json_and_says_who_it_is(hook: Hook, server: Scripted, secret: str) -> None:
    server.script = [OK]
    assert post(hook).body == {"result": 1}
    path, headers, body = server.seen[0]
    assert path == f"/rest/1/{secret}/crm.item.add"
    assert headers["User-Agent"].startswith("integration-bus/")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"fields": {"title": "Заказ"}}


def test_a_php_session_is_never_joined(hook: Hook, server: Scripted) -> None:
    server.script = [(200, {"Set-Cookie": "PHPSESSID=abc; path=/"}, b'{"result": 1}'), OK]
    post(hook)
    post(hook)
    assert "Cookie" not in server.seen[1][1]


@pytest.mark.parametrize(
    "trouble",
    [
        hang_up,
        silent_until_the_client_leaves,
        cut_off,
        (200, {}, b'{"result": {'),
        (200, {}, b"<html>maintenance</html>"),
        (200, {}, b"[]"),
        (502, {}, b"<html>Bad Gateway</html>"),
        (503, {}, b""),
    ],
)
def test_no_good_answer_leaves_a_write_unknown_and_a_read_to_be_repeated(
    hook: Hook, server: Scripted, trouble: Any
) -> None:
    server.script = [trouble, trouble]
    with pytest.raises(UnknownOutcome):
        post(hook)
    with pytest.raises(Transient):
        post(hook, writes=False)
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [401, 403, 404])
def test_html_in_the_place_of_rest_stops_the_system(hook: Hook, server: Scripted, status: int) -> None:
    server.script = [(status, {}, b"<html>")]
    with pytest.raises(SystemStopped, match="check the system's url"):
        post(hook)


def test_what_could_not_even_be_sent_is_safe_to_repeat(hooked: Callable[[str], Hook], secret: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(Transient, match="no connection"):
        post(hooked(f"http://127.0.0.1:{port}/rest/1/{secret}/"))
    with pytest.raises(Transient, match="no connection"):
        post(hooked(f"http://no-such-host.invalid/rest/1/{secret}/"))


def test_a_renamed_portal_is_followed_once_with_a_post_and_remembered(
    hook: Hook, server: Scripted, secret: str
) -> None:
    port = server.server_address[1]
    moved = (302, {"Location": f"http://localhost:{port}/rest/1/{secret}/crm.item.add"}, b"")
    server.script = [moved, OK, OK]
    admitted: list[int] = []
    post(hook, admit=lambda: admitted.append(1))
    post(hook, admit=lambda: admitted.append(1))
    hosts = [headers["Host"] for _, headers, _ in server.seen]
    assert hosts == [f"127.0.0.1:{port}", f"localhost:{port}", f"localhost:{port}"]
    assert all(json.loads(body) for _, _, body in server.seen)
    assert len(admitted) == 3


@pytest.mark.parametrize("location", ["/auth/", "", "ftp://x/rest/", "{same}"])
def test_a_redirect_to_nowhere_stops_the_system(hook: Hook, server: Scripted, secret: str, location: str) -> None:
    server.script = [(302, {"Location": location.format(same=server.hook_url(secret))}, b"")]
    with pytest.raises(SystemStopped, match="redirects"):
        post(hook)
    assert len(server.seen) == 1


def test_it_never_follows_from_https_down_to_http(hooked: Callable[[str], Hook]) -> None:
    hook = hooked("https://portal.example/rest/1/abc/")
    assert "not followed" in str(hook._url.move("http://evil.example/rest/"))
    assert hook._url.host == "portal.example"


@pytest.mark.parametrize("trouble", [hang_up, cut_off, (500, {}, b"<html>"), (403, {}, b"x"), (302, {}, b"")])
def test_the_webhooks_code_is_told_to_nobody(
    hook: Hook, server: Scripted, secret: str, trouble: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = [trouble]
    with caplog.at_level(logging.DEBUG), pytest.raises(BusError) as raised:
        post(hook)
    error = raised.value
    chain = [error, error.__cause__, error.__context__]
    assert chain[1:] == [None, None]
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.detail) + str(error.cause)
    assert secret not in told + repr(hook) + repr(hook._url) + caplog.text


def test_log_lines_of_urllib3_lose_the_code(
    hook: Hook, server: Scripted, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = [OK]
    with caplog.at_level(logging.DEBUG):
        post(hook)
    assert "/rest/…/crm.item.add" in caplog.text
    assert secret not in caplog.text


def test_a_url_that_is_none_is_told_without_it() -> None:
    with pytest.raises(ConfigError) as raised:
        Hook(SecretStr("portal.example/rest/1/abc"), timeout_s=1)
    assert "abc" not in str(raised.value)
