"""Strangers at the door: slow, loud, lying, and in crowds. Over real connections, with the server as it is in use."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from time import monotonic, process_time
from typing import Any

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from bus.config import from_document
from bus.intake import bitrix24, connections, create_app, events, exchange_call, exchange_login, problems, signatures
from bus.intake.body import Bodies
from bus.intake.commits import GroupCommit
from bus.intake.desk import Desk
from bus.intake.metrics import Meters
from bus.intake.signatures import Keyring
from bus.ports import Accepted, Arrival
from tests.bus.intake.asgi import Answer, ask
from tests.bus.intake.conftest import DOCUMENT, KEYS, MEMBER, TOKEN, Caller, Clock, Dictionary, Http, Journal
from tests.bus.intake.serving import Address, heard, hung_up, request, said, served, status, statuses

FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
HEALTH = request("GET", "/health", length=False)


@pytest.fixture
def address(app: FastAPI) -> Iterator[Address]:
    """A server that is quicker to lose patience."""
    with served(app, head_s=0.3, linger_s=0.2, most=60) as found:
        yield found


@pytest.fixture
def signed(caller: Caller) -> Sequence[str]:
    """Headers that let a request come as far as its body."""
    return [JSON, *(f"{name}: {value}" for name, value in caller.signature("", KEYS["onec"][0]).items())]


def well(address: Address) -> bool:
    """Is another client served, and at once?"""
    began = monotonic()
    return status(said(address, HEALTH)) == 200 and monotonic() - began < 2


# --- heads ------------------------------------------------------------------------------------------------------------

HEADS = {
    "one header of a megabyte": b"GET /health HTTP/1.1\r\nHost: a\r\nx: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "one that never ends": b"GET /health HTTP/1.1\r\nHost: a\r\nx: " + b"a" * 200_000,
    "a name that never ends": b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"a" * 200_000,
    "ten thousand headers": b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"x: 1\r\n" * 10_000 + b"\r\n",
    "an address of a megabyte": b"GET /health?" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_head_without_measure_is_refused(address: Address, head: bytes) -> None:
    assert status(said(address, head)) in (431, 0)
    assert well(address)


def test_headers_behind_a_body_count_too(address: Address) -> None:
    trailers = b"5\r\nevent\r\n0\r\n" + b"content-type: application/json\r\n" * 3_000 + b"\r\n"
    head = request("POST", "/bitrix24/crm", FORM, "Transfer-Encoding: chunked", length=False)
    assert status(said(address, head, trailers)) in (431, 400, 401)
    assert well(address)


def test_a_head_within_measure_is_read(address: Address) -> None:
    many = [f"x-{at}: {'a' * 100}" for at in range(200)]
    assert status(said(address, request("GET", "/health", *many, length=False))) == 200


# --- slow clients -----------------------------------------------------------------------------------------------------


def test_a_head_byte_by_byte_is_cut_off_and_others_are_served_meanwhile(address: Address) -> None:
    with ExitStack() as slow:
        wires = [slow.enter_context(socket.create_connection(address, timeout=5)) for _ in range(40)]
        began = monotonic()
        for byte in b"GET /health HTTP/1.1\r\nHost: " + b"a" * 10_000:
            for wire in wires:
                _trickle(wire, bytes([byte]))
            assert well(address)
            if monotonic() - began > 0.6:
                break
        assert all(map(hung_up, wires))


def _trickle(wire: socket.socket, byte: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        wire.sendall(byte)


@pytest.mark.parametrize("nothing", [b"", b"\r\n", HEALTH.replace(b"Connection: close\r\n", b"") + b"\r\n"])
def test_a_connection_that_says_nothing_more_is_closed(address: Address, nothing: bytes) -> None:
    with socket.create_connection(address, timeout=10) as wire:
        wire.sendall(nothing)
        began = monotonic()
        heard(wire)
        assert monotonic() - began < connections.HEAD_S


def test_a_body_byte_by_byte_is_given_up(clock: Clock, journal: Journal, caller: Caller) -> None:
    pulled = []

    async def slow() -> AsyncIterator[bytes]:
        while True:
            pulled.append(1)
            yield b"x"
            await _never(0.05)

    patient = _app(journal, clock, patience_s=0.3)
    answer = Http(patient, caller.http.portal).post(
        "/bitrix24/crm", content=slow(), headers={"content-type": FORM.partition(": ")[2]}
    )
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    assert len(pulled) < 20
    assert journal.empty


async def _never(seconds: float) -> None:
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


def _app(journal: Journal, clock: Clock, **bodies: float) -> FastAPI:
    """The app with other limits of bodies."""
    config, meters = from_document(DOCUMENT, {}), Meters()
    limits = Bodies(config.limits.body_bytes, **bodies)  # type: ignore[arg-type]  # whole numbers too
    door, keyring = GroupCommit(journal, meters), Keyring(config, clock)
    desk = Desk(config, limits, door, Dictionary(), keyring, meters, clock, lambda *_: True)
    made = FastAPI()
    for router in (bitrix24.router(desk), events.router(desk)):
        made.include_router(router)
    problems.install(made, clock)
    return made


def test_when_the_house_is_full_the_one_that_is_silent_for_the_longest_goes(app: FastAPI) -> None:
    with served(app, head_s=60.0, most=20) as address, ExitStack() as silent:
        wires = [silent.enter_context(socket.create_connection(address, timeout=5)) for _ in range(20)]
        assert well(address)
        assert hung_up(wires[0])
        wires[-1].sendall(HEALTH)
        assert status(heard(wires[-1])) == 200


def test_when_everyone_in_a_full_house_is_at_work_a_newcomer_is_told_when_to_come(app: FastAPI) -> None:
    head = request("POST", "/bitrix24/crm", FORM, "Content-Length: 10", length=False)
    with served(app, most=3) as address, ExitStack() as busy:
        wires = [busy.enter_context(socket.create_connection(address, timeout=5)) for _ in range(3)]
        for wire in wires:
            wire.sendall(head)
        _until(lambda: status(answer := said(address, HEALTH, wait_s=1)) == 503 and b"Retry-After: 1" in answer)
        for wire in wires:
            wire.sendall(b"event=ABCD")
            assert status(heard(wire)) == 401
        assert well(address)


def _until(what: Callable[[], bool]) -> None:
    end = monotonic() + 10
    while not what():
        assert monotonic() < end


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_a_huge_batch_is_refused_by_its_declared_length_before_a_byte_of_it(
    address: Address, signed: Sequence[str]
) -> None:
    head = request("POST", "/events", *signed, "Content-Length: 2000000000", length=False)
    assert status(said(address, head)) == 413


@pytest.mark.parametrize("chunk", [b"4000\r\n" + b"x" * 0x4000 + b"\r\n", b"1\r\nx\r\n" * 4096])
def test_a_body_in_chunks_without_end_is_refused_at_the_limit_and_hung_up_on(
    address: Address, signed: Sequence[str], chunk: bytes
) -> None:
    head = request("POST", "/events", *signed, "Transfer-Encoding: chunked", length=False, close=False)
    with socket.create_connection(address, timeout=5) as wire:
        wire.sendall(head)
        began, sent = monotonic(), 0
        try:
            while monotonic() - began < 8:
                sent += wire.send(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert monotonic() - began < 5, "it may go on for a moment after its answer, and no longer"


@pytest.mark.parametrize("declared", [b"5\r\nContent-Length: 6", b"-1", b"5, 5", b"0x5", b"", b"9" * 30, b"+5"])
def test_a_length_that_readers_would_disagree_on_is_refused(address: Address, declared: bytes) -> None:
    head = request("POST", "/bitrix24/crm", FORM, length=False).replace(
        b"Connection", b"Content-Length: " + declared + b"\r\nConnection", 1
    )
    assert statuses(said(address, head + b"event")) in ([400], [413], [])


SMUGGLED = {
    "a length and chunks": ("Content-Length: 6", "Transfer-Encoding: chunked"),
    "chunks and a length": ("Transfer-Encoding: chunked", "Content-Length: 6"),
    "chunks behind a blank": ("Transfer-Encoding : chunked", "Content-Length: 6"),
    "chunks that are none": ("Transfer-Encoding: xchunked", "Content-Length: 6"),
    "chunks not last": ("Transfer-Encoding: chunked, gzip",),
    "a folded header": ("Transfer-Encoding:\r\n chunked", "Content-Length: 6"),
}


@pytest.mark.parametrize("headers", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_a_request_in_a_request_is_never_answered(address: Address, headers: Sequence[str]) -> None:
    inner = request("GET", "/health", length=False)
    outer = request("POST", "/bitrix24/crm", FORM, *headers, length=False, close=False)
    assert 200 not in statuses(said(address, outer + b"0\r\n\r\n" + b"\r\n" + inner, wait_s=1.0))[:1]
    assert statuses(said(address, outer + b"0\r\n\r\n" + inner, wait_s=1.0)).count(200) <= 1


def test_requests_in_a_row_are_answered_in_their_order(address: Address) -> None:
    first = request("GET", "/health", length=False, close=False)
    assert statuses(said(address, first, request("GET", "/nothing", length=False, close=False), HEALTH)) == [
        200,
        404,
        200,
    ]


@pytest.mark.parametrize("path", ["/events", "/shop/shop", "/bitrix24/crm"])
def test_a_compressed_body_is_refused_in_words(address: Address, path: str, signed: Sequence[str]) -> None:
    bomb = gzip.compress(bytes(1_000_000))
    headers = [FORM] if path.startswith("/bitrix24") else signed
    answer = said(address, request("POST", path, *headers, "Content-Encoding: gzip", body=bomb))
    assert status(answer) == 415
    assert b"without Content-Encoding" in answer


def test_a_client_that_goes_in_the_middle_of_its_body_leaves_nothing(
    address: Address, journal: Journal, signed: Sequence[str]
) -> None:
    for _ in range(5):
        with socket.create_connection(address, timeout=5) as wire:
            wire.sendall(request("POST", "/events", *signed, "Content-Length: 100", length=False) + b"[")
    assert well(address)
    assert journal.empty


def test_large_bodies_have_a_room_of_their_own_and_small_ones_pass(
    clock: Clock, journal: Journal, caller: Caller
) -> None:
    full = Http(_app(journal, clock, room=100), caller.http.portal)
    large = caller.signature("x" * 18_000, KEYS["onec"][0])
    answer = full.post("/events", content="x" * 18_000, headers={"content-type": "application/json"} | large)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    small = caller.signature("[]", KEYS["onec"][0])
    for _ in range(3):
        assert (
            full.post("/events", content="[]", headers={"content-type": "application/json"} | small).status_code == 200
        )


def test_room_that_a_body_took_is_given_back(clock: Clock, journal: Journal, caller: Caller) -> None:
    room = Http(_app(journal, clock, room=2_000), caller.http.portal)
    text = json.dumps([" " * 17_500])
    headers = {"content-type": "application/json"} | caller.signature(text, KEYS["onec"][0])
    assert [room.post("/events", content=text, headers=headers).status_code for _ in range(5)] == [422] * 5


# --- what is in them --------------------------------------------------------------------------------------------------

ODD_JSON = {
    "nested": "[" * 100_000 + "]" * 100_000,
    "nested objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "a number of a megabyte": "9" * 900_000,
    "a fraction of a megabyte": "0." + "9" * 900_000,
    "an exponent": "1e" + "9" * 900_000,
    "a name twice": '{"a":1,"a":2}',
    "a name twice, written otherwise": '{"a":1,"\\u0061":2}',
    "NUL": '{"a":"\\u0000"}',
    "NUL in a name": '{"\\u0000":1}',
    "half a pair": '{"a":"\\ud800"}',
    "half a pair in a name": '{"\\udfff":1}',
    "a raw control character": '{"a":"\x01"}',
    "infinity": '{"a":-Infinity}',
    "many empty lists": "[" + "[]," * 100_000 + "[]]",
    "one long text without an end": '"' + "a" * 900_000,
}


@pytest.mark.parametrize("text", ODD_JSON.values(), ids=ODD_JSON.keys())
def test_json_made_to_hurt_is_refused_at_once(roomy_caller: Caller, journal: Journal, text: str) -> None:
    began = process_time()
    assert roomy_caller.signed("/events", text).status_code in (400, 422)
    assert process_time() - began < 3
    assert journal.empty


@pytest.mark.parametrize("raw", [b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc0\x80"}', b"\xff\xfe{\x00}\x00"])
def test_bytes_that_are_not_utf8_are_refused(address: Address, signed: Sequence[str], raw: bytes) -> None:
    assert status(said(address, request("POST", "/events", *signed, body=raw))) == 400


# --- signatures -------------------------------------------------------------------------------------------------------


def test_a_replay_within_its_minutes_stores_nothing_new(
    caller: Caller, journal: Journal, event: Callable[..., Any]
) -> None:
    text = json.dumps(event())
    headers = {"content-type": "application/json"} | caller.signature(text, KEYS["onec"][0])
    first, again = (caller.http.post("/events", content=text, headers=headers) for _ in range(2))
    assert (first.json(), again.json()) == ({"new": 1, "known": 0}, {"new": 0, "known": 1})
    assert len(journal.events) == 1
    caller.clock.move(seconds=301)
    assert caller.http.post("/events", content=text, headers=headers).status_code == 401


@pytest.mark.parametrize("version", ["v2", "V1", "v1a", "", "v1 "])
def test_another_version_of_the_scheme_is_refused(caller: Caller, event: Callable[..., Any], version: str) -> None:
    text = json.dumps(event())
    headers = caller.signature(text, KEYS["onec"][0])
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", f"{version},")
    answer = caller.http.post("/events", content=text, headers={"content-type": "application/json"} | headers)
    assert answer.status_code == 401


def test_a_key_that_was_taken_out_of_force_counts_no_more(
    caller: Caller, event: Callable[..., Any], clock: Clock
) -> None:
    old, new = KEYS["onec"]
    systems = DOCUMENT["systems"] | {"onec": {"kind": "events", "keys": [new]}}
    rotated = create_app(from_document(DOCUMENT | {"systems": systems}, {}), Journal(), Dictionary(), now=clock)
    after = Caller(Http(rotated, caller.http.portal), clock)
    assert caller.signed("/events", event(), key=old).status_code == 200  # type: ignore[operator]
    assert after.signed("/events", event(), key=old).status_code == 401  # type: ignore[operator]
    assert after.signed("/events", event(), key=new).status_code == 200  # type: ignore[operator]


def test_a_body_without_a_fresh_signature_is_not_even_read(caller: Caller) -> None:
    pulled = []

    async def body_of() -> AsyncIterator[bytes]:
        pulled.append(1)
        yield b"{}"

    headers = {"content-type": "application/json"} | caller.signature("{}", KEYS["onec"][0])
    caller.clock.move(seconds=301)
    assert caller.http.post("/events", content=body_of(), headers=headers).status_code == 401
    assert not pulled


def test_secrets_are_compared_in_constant_time() -> None:
    """By the library's own comparison: none of ours ends at the first letter that differs."""
    for module in (signatures, bitrix24, exchange_login, exchange_call):
        assert module.hmac.compare_digest  # the module has it
        source = module.__loader__.get_source(module.__name__)
        assert source.count("compare_digest(") >= 1
        assert "signature ==" not in source
        assert "token ==" not in source


# --- floods -----------------------------------------------------------------------------------------------------------


@dataclass
class Slow(Journal):
    """A ledger that commits when the test lets it."""

    groups: list[list[str]] = field(default_factory=list)
    let: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def accept_all(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        told = [entry.event.source for arrival in arrivals for entry in arrival.entries]
        self.groups.append(told + [one.system for arrival in arrivals for one in arrival.notifications])
        assert self.let.acquire(timeout=20)
        return super().accept_all(arrivals)


@dataclass
class Crowd:
    """Many clients at once, and the ledger behind the door that they are at."""

    app: FastAPI
    meters: Meters
    ledger: Slow
    caller: Caller
    flood: list[asyncio.Task[Answer]] = field(default_factory=list)

    def send(self, path: str, text: str, headers: Mapping[str, str]) -> asyncio.Task[Answer]:
        """A request on its way, over a connection of its own."""
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        return asyncio.create_task(ask(self.app, "POST", path, headers=raw, chunks=[text.encode()]))

    def webhooks(self, clients: int) -> None:
        """The portal tells of so many deals."""
        auth = f"event=ONCRMDEALUPDATE&auth[application_token]={TOKEN}&auth[member_id]={MEMBER}&data[FIELDS][ID]="
        form = {"content-type": FORM.partition(": ")[2]}
        self.flood += [self.send("/bitrix24/crm", f"{auth}{deal}", form) for deal in range(1, clients + 1)]

    def event(self, type_: str, name: str, **data: object) -> asyncio.Task[Answer]:
        """One signed event of the books."""
        said = {"id": name, "source": "onec", "type": type_, "subject": f"{type_.partition('.')[0]}/{name}"}
        text = json.dumps(said | {"time": "2026-03-01T11:59:00Z", "data": data})
        signature = self.caller.signature(text, KEYS["onec"][0])
        return self.send("/events", text, {"content-type": "application/json"} | signature)

    def payment(self, name: str) -> asyncio.Task[Answer]:
        """One payment."""
        return self.event("payment.changed", name, amount={"amount": "1.00", "currency": "RUB"}, status="paid")

    async def full(self) -> int:
        """Wait until everybody has either a place in the line or an answer. How many were sent away."""
        end = monotonic() + 30
        while not self.ledger.groups or self.waiting + self.answered + len(self.ledger.groups[0]) < len(self.flood):
            assert monotonic() < end
            await asyncio.sleep(0)
        return self.answered

    @property
    def answered(self) -> int:
        return sum(task.done() for task in self.flood)

    @property
    def waiting(self) -> int:
        [told] = self.meters.waiting.collect()
        return int(told.samples[0].value)

    async def answered_within(self, commits: int, one: asyncio.Task[Answer]) -> Answer:
        """The answer to a request that has come as far as the line, after so many commits of the ledger."""
        before = self.waiting
        while self.waiting == before and not one.done():  # noqa: ASYNC110 - a turn for everybody; no event tells
            await asyncio.sleep(0)
        self.ledger.let.release(commits)
        return await asyncio.wait_for(one, 10)

    async def over(self) -> Counter[int]:
        """How everybody fared, once the ledger is quick again."""
        self.ledger.let.release(10_000)
        return Counter([one.status for one in await asyncio.gather(*self.flood)])


def flooded(clock: Clock, caller: Caller, story: Callable[[Crowd], Awaitable[None]]) -> Slow:
    """Run a story at a door whose ledger waits for the test."""
    ledger, meters = Slow(), Meters()
    app = create_app(from_document(DOCUMENT, {}), ledger, Dictionary(), now=clock, meters=meters)
    with capture_logs():
        asyncio.run(story(Crowd(app, meters, ledger, caller)))
    return ledger


def test_a_flood_of_many_clients_is_sent_away_early_and_a_payment_is_in_the_next_commit(
    clock: Clock, caller: Caller
) -> None:
    async def story(crowd: Crowd) -> None:
        crowd.webhooks(1_300)
        away = await crowd.full()
        assert away >= 200, "those beyond the line are told at once, while the ledger stands still"
        answer = await crowd.answered_within(2, crowd.payment("p1"))
        assert (answer.status, json.loads(answer.body)) == (200, {"new": 1, "known": 0})
        told = [task.result() for task in crowd.flood if task.done()]
        assert {one.headers["retry-after"] for one in told if one.status == 503} == {"1"}
        assert await crowd.over() == {200: 1_300 - away, 503: away}
        crowd.flood.clear()
        crowd.webhooks(50)
        assert await crowd.over() == {200: 50}, "after it everybody is served again"

    ledger = flooded(clock, caller, story)
    assert "onec" in ledger.groups[1], "not behind the thousand that came before it"


def test_a_senders_own_flood_of_orders_does_not_hold_up_his_payments(clock: Clock, caller: Caller) -> None:
    async def story(crowd: Crowd) -> None:
        crowd.flood += [crowd.event("order.changed", f"o{at}", number=str(at)) for at in range(1_100)]
        assert await crowd.full() >= 50
        assert (await crowd.answered_within(2, crowd.payment("p1"))).status == 200
        await crowd.over()

    ledger = flooded(clock, caller, story)
    names = [name for _, name in ledger.events]
    assert names.index("p1") < 300
