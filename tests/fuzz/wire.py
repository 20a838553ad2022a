"""The server itself under fuzz: spoiled HTTP over a real connection; it answers in HTTP or hangs up, and lives on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from structlog.testing import capture_logs

from bus.config import from_document
from bus.intake import create_app
from tests.bus.intake.conftest import DOCUMENT, TOKEN, Clock, Dictionary, Journal
from tests.bus.intake.serving import Address, request, said, served, statuses
from tests.fuzz.target import Check, Target, must

FORM = "Content-Type: application/x-www-form-urlencoded"
BODY = b"event=ONCRMDEALUPDATE&data[FIELDS][ID]=759&auth[application_token]=another"
CHUNKED = b"5\r\nevent\r\n3\r\n=ON\r\n0\r\n\r\n"


def requests() -> list[bytes]:
    """Requests of every door, whole, chunked, in a row."""
    plain = request("POST", "/bitrix24/crm", FORM, body=BODY)
    chunked = request("POST", "/bitrix24/crm", FORM, "Transfer-Encoding: chunked", length=False) + CHUNKED
    signed = (
        "webhook-id: 1",
        "webhook-timestamp: 1772366400",
        "webhook-signature: v1,AAAA",
        "Content-Type: application/json",
    )
    first = request("GET", "/health", close=False, length=False)
    expecting = request("POST", "/events", *signed, "Expect: 100-continue", body=b"[]")
    return [plain, chunked, first + first + plain, request("POST", "/shop/shop", *signed, body=b"{}"), expecting]


WORDS = [
    word.encode()
    for word in (
        "\r\n", "\n", "\r", "Content-Length: 5\r\n", "Content-Length: -1\r\n", "Content-Length: 5, 5\r\n",
        "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding : chunked\r\n",
        "Content-Encoding: gzip\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n", "Upgrade: h2c\r\n", "0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\n", "GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/0.9", "HTTP/1.0",
        "Host: a\r\n", "Trailer: x\r\n", "/%2e%2e/", "http://[::1]:99999/", "CONNECT a:1 HTTP/1.1\r\n", " ", "\t",
    )
]  # fmt: skip


@contextmanager
def opened() -> Iterator[Check]:
    """A server with short patience, in front of a journal in memory."""
    journal = Journal()
    app = create_app(from_document(DOCUMENT, {}), journal, Dictionary(), now=Clock())
    with served(app, head_s=0.2, linger_s=0.1) as address:
        yield lambda data: _tried(address, journal, data)


def _tried(address: Address, journal: Journal, data: bytes) -> str:
    half = len(data) // 2
    with capture_logs() as lines:
        answer = said(address, data[:half], data[half:], wait_s=0.3)
    found = statuses(answer)
    must(not answer or found, f"an answer that is none: {answer[:40]!r}")
    must(all(status < 500 or status == 503 for status in found), f"statuses {found}")
    must(not [line for line in lines if line["event"] == "intake.failed"], "a fault of ours")
    must(journal.empty or TOKEN.encode() in data, "something was stored, and nobody had shown who he is")
    alive = statuses(said(address, request("GET", "/health", length=False)))
    must(alive == [200], f"the server is not well afterwards: {alive}")
    return str(found[0]) if found else "hung up"


TARGETS = [
    Target(
        "wire",
        "an answer in HTTP or none, no fault of ours, nothing stored, and the next client is served",
        opened,
        requests,
        WORDS,
        seconds=5,
        engine="plain",
    ),
]
