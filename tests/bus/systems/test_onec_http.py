"""What a base and the web servers before it answer instead of a result, and what that makes of a call."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import fakeredis
import pytest
from pydantic import SecretStr

from bus.breaker import Breaker, Circuit
from bus.errors import BusError, ConfigError, NotReady, Permanent, SystemStopped, Transient, UnknownOutcome
from bus.ports import Failed, Write
from bus.sandbox.onec import Base
from bus.systems.connect import Urgent
from bus.systems.onec_errors import Exists, NotFound, Refusal, TooMuch, Unpublished, error_of, refusal_of, session_lost
from bus.systems.onec_http import Address, Gate

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY = "335ea094-8ad3-4a2d-92fd-760750dbaf0b"
NEW = Write("counterparty", KEY, None, {"fields": {"Description": "Лютик"}})
PARTY = "catalog_контрагенты"


def envelope(code: str, text: str = "текст") -> bytes:
    said = f'{{"odata.error":{{"code":"{code}","message":{{"lang":"ru","value":"{text}"}}}}}}'
    return said.encode()


PAGE = b"<!DOCTYPE html><html><body>404</body></html>"


@pytest.mark.parametrize(
    ("status", "content", "on_read", "on_write"),
    [
        (500, envelope("-1"), TooMuch, Permanent),
        (500, envelope("-1", "Конфликт блокировок при выполнении транзакции"), Transient, Transient),
        (500, envelope("-1", "Не обнаружено свободной лицензии"), NotReady, NotReady),
        (500, envelope("-1", "Начало сеанса с информационной базой запрещено"), NotReady, NotReady),
        (404, envelope("9"), NotFound, NotFound),
        (400, envelope("15"), Exists, Exists),
        (404, envelope("8"), Unpublished, Unpublished),
        (400, envelope("14"), Permanent, Permanent),
        (401, envelope("20"), Permanent, Permanent),
        (500, b"<m:error xmlns:m='x'><m:code>-1</m:code><m:message>a</m:message></m:error>", TooMuch, Permanent),
        (401, PAGE, SystemStopped, SystemStopped),
        (403, PAGE, SystemStopped, SystemStopped),
        (404, PAGE, SystemStopped, SystemStopped),
        (302, b"", SystemStopped, SystemStopped),
        (406, PAGE, NotReady, NotReady),
        (429, PAGE, NotReady, NotReady),
        (503, PAGE, NotReady, NotReady),
        (502, PAGE, NotReady, UnknownOutcome),
        (504, PAGE, NotReady, UnknownOutcome),
        (500, PAGE, TooMuch, UnknownOutcome),
    ],
)
def test_an_answer_says_what_happens_next(
    status: int, content: bytes, on_read: type[BusError], on_write: type[BusError]
) -> None:
    refusal = refusal_of("GET Catalog_X", status, content)
    assert [type(error_of(refusal, writes=writes, now=NOW)) for writes in (False, True)] == [on_read, on_write]


def test_a_refusals_words_are_in_the_detail_only() -> None:
    refusal = refusal_of("POST Catalog_X", 500, envelope("-1", "ИНН 7707083893 уже есть"))
    error = error_of(refusal, writes=True, now=NOW)
    assert "7707083893" not in str(error) + error.cause
    assert error.detail == {"code": "-1", "status": 500, "said": "ИНН 7707083893 уже есть"}


def test_a_long_address_that_a_web_server_refuses_is_to_be_halved() -> None:
    assert type(error_of(Refusal("GET X", 404, long=True), writes=False, now=NOW)) is TooMuch


@pytest.mark.parametrize(
    ("content", "lost"),
    [(PAGE, True), (b"", True), (envelope("-1", "Сеанс отсутствует или удален"), True), (envelope("9"), False)],
)
def test_a_lost_session_is_told_from_a_missing_object(content: bytes, lost: bool) -> None:
    assert session_lost(refusal_of("GET X", 404, content)) is lost


def test_addresses_are_encoded_whole_and_a_blank_is_no_plus() -> None:
    address = Address("http://host/my base/odata/standard.odata/")
    url = address.of("Catalog_Контрагенты(guid'a')", {"$filter": "ИНН eq '7+7' and a eq 'b&c'"})
    parts = urlsplit(url)
    assert url.isascii()
    assert "+" not in url
    assert unquote(parts.path) == "/my base/odata/standard.odata/Catalog_Контрагенты(guid'a')"
    assert unquote(parts.query) == "$filter=ИНН eq '7+7' and a eq 'b&c'"
    assert parts.query.count("&") == 0


@pytest.mark.parametrize("url", ["host/base", "ftp://host/base", "https://user:pass@host/base"])
def test_an_address_that_is_none_or_holds_a_login_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"url: must look like https://host/base/odata/standard\.odata/"):
        Address(url)


@pytest.mark.parametrize("path", ["Document_X(guid'a')/Post", "Document_X(guid'a')/Unpost", "SelectChanges"])
def test_a_command_is_never_got(path: str) -> None:
    gate = Gate(SecretStr("http://127.0.0.1:9/b"), "u", SecretStr("p"), timeout_s=1)
    with pytest.raises(ValueError, match="a command is never got"):
        gate.send("GET", path, {}, writes=True)


# --- at the sandbox ---


@pytest.mark.parametrize("kind", ["html_page", "drop_after", "drop_before"])
def test_what_is_no_answer_is_asked_again_for_a_read_and_unclear_for_a_creation(
    onec: Urgent, books: Base, kind: str
) -> None:
    books.faults.add({"kind": kind, "method": f"get {PARTY}", "count": 1})
    with pytest.raises(Transient):
        onec.fetch("counterparty", [KEY])
    books.faults.add({"kind": kind, "method": f"post {PARTY}", "count": 1})
    told = onec.write([NEW])[0]
    assert isinstance(told, Failed)
    assert isinstance(told.error, UnknownOutcome)


@pytest.mark.parametrize(
    "fault", [{"kind": "maintenance"}, {"kind": "no_licence"}, {"kind": "no_licence", "status": 503}]
)
def test_a_base_that_lets_nobody_in_is_waited_for(onec: Urgent, books: Base, fault: dict[str, Any]) -> None:
    books.faults.add({**fault, "method": "* *", "count": 2})
    with pytest.raises(NotReady) as paused:
        onec.fetch("counterparty", [KEY])
    assert (paused.value.until - datetime.now(UTC)).total_seconds() > 20
    told = onec.write([NEW])[0]
    assert isinstance(told, Failed)
    assert isinstance(told.error, NotReady)
    assert onec.fetch("counterparty", [KEY]) == {}


def test_a_base_that_is_not_there_at_night_is_waited_for_and_leaves_its_lane_alone(connected: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    breaker = Breaker(fakeredis.FakeRedis(), failures=2, open_s=60)
    url = f"http://127.0.0.1:{port}/base/odata/standard.odata/"
    away = connected("onec", url, user="u", password=SecretStr("p"), breaker=breaker)
    for _ in range(2):
        with pytest.raises(NotReady, match="no connection"):
            away.fetch("counterparty", [KEY])
    assert breaker.state("there").circuit is Circuit.OPEN
    assert away.wait() > 0
    with pytest.raises(NotReady, match="left alone"):
        away.fetch("counterparty", [KEY])


def test_a_refused_login_stops_the_lane_and_a_probe_resumes_it(books_url: str, connected: Any, books: Base) -> None:
    clock = [1_790_000_000.0]
    breaker = Breaker(fakeredis.FakeRedis(), clock=lambda: clock[0])
    onec = connected("onec", books_url, user="bus", password=SecretStr("secret"), breaker=breaker)
    books.login = "other"
    try:
        with pytest.raises(SystemStopped, match="login refused: check user and password"):
            onec.fetch("counterparty", [KEY])
    finally:
        books.login = "bus"
    assert breaker.state("there").circuit is Circuit.STOPPED
    clock[0] += 301
    onec.probe()
    assert breaker.state("there").circuit is Circuit.CLOSED
    asked = books.calls.summary()["requests"]
    onec.probe()
    assert books.calls.summary()["requests"] == asked


def test_a_page_that_is_too_much_is_halved_until_it_goes(onec: Urgent, books: Base) -> None:
    for at in range(30):
        books.act({"do": "create_counterparty", "name": f"К{at}"})
    books.faults.add({"kind": "error_before", "method": f"get {PARTY}", "count": 3})
    epoch = datetime.fromtimestamp(0, UTC)
    assert sum(len(page) for page in onec.changed("counterparty", epoch)) == 30


def test_an_address_is_no_longer_than_a_strict_web_server_takes(onec: Urgent, books: Base) -> None:
    books.settings({"query_limit": 2048})
    keys = [books.act({"do": "create_counterparty", "name": f"К{at}"})["id"] for at in range(60)]
    assert len(onec.fetch("counterparty", keys)) == 60


def test_a_session_is_kept_where_it_is_offered_and_another_begun_when_it_is_lost(onec: Urgent, books: Base) -> None:
    books.settings({"ib_session": True, "licences": 1})
    for _ in range(3):
        onec.fetch("counterparty", [KEY])
    books.sessions.lose()
    assert onec.fetch("counterparty", [KEY]) == {}
    onec.close()
    assert not books.sessions._kept


def test_a_login_in_cyrillic_goes_as_utf_8(books: Base, books_url: str, connected: Any) -> None:
    books.login, books.password = "Шина", "пароль"
    try:
        onec = connected("onec", books_url, user="Шина", password=SecretStr("пароль"))
        assert onec.fetch("counterparty", [KEY]) == {}
    finally:
        books.login, books.password = "bus", "secret"


# --- at a server of our own, for what the sandbox does not do ---


class Odd(BaseHTTPRequestHandler):
    """Answers whatever the test says, once, and keeps what it was sent."""

    told: tuple[int, dict[str, bytes], bytes] = (200, {}, b"")
    seen: list[str] = []  # noqa: RUF012 - one server, one test

    def handle_any(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append(f"{self.command} {self.path} {self.headers.get('IBSession')}")
        status, headers, body = self.told
        lines = [f"HTTP/1.1 {status} x".encode(), *(name.encode() + b": " + value for name, value in headers.items())]
        self.wfile.write(b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"Connection: close", b"", body]))

    do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 - the server's names

    def log_message(self, *_: Any) -> None:
        """Nothing to tell."""


@contextmanager
def answering(status: int, headers: dict[str, bytes], body: bytes) -> Iterator[Gate]:
    Odd.told, Odd.seen = (status, headers, body), []
    with HTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        gate = Gate(SecretStr(f"http://127.0.0.1:{server.server_port}/b/"), "u", SecretStr("p"), timeout_s=5)
        try:
            yield gate
        finally:
            gate.close()
            server.shutdown()


JSON = {"Content-Type": b"application/json;charset=utf-8"}


def test_a_location_in_raw_utf_8_disturbs_nobody() -> None:
    headers = JSON | {"Location": "http://h/Document_ПоступлениеБезналичныхСредств(guid'a')".encode()}
    with answering(201, headers, b'{"Ref_Key": "a"}') as gate:
        assert gate.send("POST", "Catalog_X", {}, {"a": "б"}, writes=True).body == {"Ref_Key": "a"}


def test_a_redirect_is_not_followed() -> None:
    with answering(302, {"Location": b"http://127.0.0.1:9/"}, b"") as gate, pytest.raises(SystemStopped):
        gate.send("GET", "Catalog_X", {}, writes=False)
    assert len(Odd.seen) == 1


@pytest.mark.parametrize(
    ("headers", "body"), [({}, b"{}"), (JSON, b"<html>"), ({"Content-Type": b"text/html"}, b'{"value": []}')]
)
def test_an_answer_counts_only_by_its_type_and_its_shape(headers: dict[str, bytes], body: bytes) -> None:
    with answering(200, headers, body) as gate:
        with pytest.raises(Transient, match="not an answer of the interface"):
            gate.send("GET", "Catalog_X", {}, writes=False)
        with pytest.raises(UnknownOutcome):
            gate.send("POST", "Catalog_X", {}, {}, writes=True)


def test_a_publication_that_offers_no_session_is_not_asked_for_one_again() -> None:
    with answering(200, JSON, b'{"value": []}') as gate:
        for _ in range(2):
            gate.send("GET", "Catalog_X", {}, writes=False)
    assert [line.split()[-1] for line in Odd.seen] == ["start", "None"]


def test_what_is_looked_for_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), answering(200, JSON, b'{"value": []}') as gate:
        gate.send("GET", "Catalog_X", {"$filter": "ИНН eq '7707083893'"}, writes=False)
    assert "7707083893" in Odd.seen[0]
    assert "7707083893" not in caplog.text
    assert "Catalog_X?…" in caplog.text
