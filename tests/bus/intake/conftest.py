"""The door's house in memory: a journal with the real one's promises, one translator, a clock that only we move."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from pydantic import BaseModel
from standardwebhooks import Webhook

from bus.config import Config, from_document
from bus.errors import BusError, UnknownCode
from bus.intake import create_app
from bus.model import Fields, Kind
from bus.ports import Accepted, Arrival, Entry, Held, Notification, Raw, RawRecord, Tables, Translation

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

KEYS = {
    "onec": ["whsec_b25lYyBrZXkgbnVtYmVyIG9uZSBvZiB0d28=", "whsec_b25lYyBrZXkgbnVtYmVyIHR3byBvZiB0d28="],
    "shop": ["whsec_c2hvcCBrZXkgbnVtYmVyIG9uZSBvZiBvbmU="],
}
TOKEN = "t0ken-of-the-portal"
MEMBER = "a223c6b3710f85df22e9377d6c4f7553"

DOCUMENT: dict[str, Any] = {
    "systems": {
        "onec": {"kind": "events", "keys": KEYS["onec"]},
        "bank": {"kind": "events"},
        "shop": {"kind": "bitrix_cms", "url": "https://shop.example/rest/1/code/", "keys": KEYS["shop"]},
        "crm": {
            "kind": "bitrix24",
            "url": "https://crm.example/rest/1/code/",
            "application_token": TOKEN,
            "member_id": MEMBER,
        },
    },
    "limits": {"body_bytes": 20_000},
}


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Journal:
    """A Door that keeps to its word: everything or nothing, each (source, id) once. `down` is what it raises."""

    events: dict[tuple[str, str], Entry] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)
    down: Exception | None = None

    def accept_all(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        return [self.accept(arrival.entries, arrival.notifications) for arrival in arrivals]

    def accept(self, entries: Sequence[Entry], notifications: Sequence[Notification] = ()) -> Accepted:
        if self.down:
            raise self.down
        before = len(self.events)
        for entry in entries:
            self.events.setdefault((entry.event.source, entry.event.id), entry)
        self.notifications += notifications
        new = len(self.events) - before
        return Accepted(new=new + len(notifications), known=len(entries) - new)

    @property
    def empty(self) -> bool:
        return not self.events and not self.notifications


class _Order(BaseModel):
    accountNumber: str | None = None  # noqa: N815 - the shop's name
    statusId: str = "N"  # noqa: N815 - the shop's name
    price: float = 0
    version: int = 1


class _Payment(BaseModel):
    orderId: int | str  # noqa: N815 - the shop's name
    sum: float


class Orders:
    KIND: Kind = "order"
    EVENT = "order"
    STATUSES: ClassVar = {"N": "new", "P": "paid"}

    def carries(self, _: Tables) -> frozenset[str]:
        return frozenset({"number", "status", "total"})

    def to_canonical(self, raw: Raw, _: Tables) -> Translation:
        order = _Order.model_validate(raw)
        data: dict[str, Any] = {"number": order.accountNumber, "total": {"amount": order.price, "currency": "RUB"}}
        held: tuple[Held, ...] = ()
        try:
            data["status"] = self._status(order.statusId)
        except UnknownCode as error:
            held = (Held(error.field, error.table, error.code, str(error)),)
        return Translation(data, str(order.version), NOON, held=held)

    def _status(self, code: str) -> str:
        if code not in self.STATUSES:
            raise UnknownCode("statuses", code, field="status")
        return self.STATUSES[code]

    def from_canonical(self, fields: Fields, _: Raw | None, __: Tables) -> Raw:
        return dict(fields)


class Payments:
    KIND: Kind = "payment"
    EVENT = "payment"

    def carries(self, _: Tables) -> frozenset[str]:
        return frozenset({"amount"})

    def to_canonical(self, raw: Raw, _: Tables) -> Translation:
        payment = _Payment.model_validate(raw)
        return Translation({"amount": {"amount": payment.sum, "currency": "RUB"}}, "1", NOON)

    def from_canonical(self, fields: Fields, _: Raw | None, __: Tables) -> Raw:
        return dict(fields)


class NoTables:
    def canonical(self, table: str, code: str, *, field: str) -> str:
        raise UnknownCode(table, code, field=field)

    def codes(self, table: str, value: str, *, field: str) -> list[str]:
        raise UnknownCode(table, value, field=field)

    def name(self, _: str, __: str) -> str | None:
        return None


class _Parts(BaseModel):
    id: int | str
    payments: list[dict[str, Any]] = []


class Dictionary:
    """Mappings of a shop with orders and payments."""

    def translator(self, _: str, record_type: str) -> Orders | Payments:
        return {"order": Orders(), "payment": Payments()}[record_type]

    def record_types(self, _: str) -> Mapping[Kind, str]:
        return {"order": "order", "payment": "payment"}

    def tables(self, _: str, __: str) -> NoTables:
        return NoTables()

    def parts(self, _: str, record: RawRecord) -> list[RawRecord]:
        order = _Parts.model_validate(record.raw)
        return [
            RawRecord("payment", str(payment.get("id")), payment | {"orderId": order.id}) for payment in order.payments
        ]


@dataclass
class Http:
    """HTTP to an app in this process, from a test that is not async itself."""

    app: FastAPI
    portal: BlockingPortal

    def request(self, method: str, path: str, **options: Any) -> Response:
        return self.portal.call(partial(self._request, method, path, **options))

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        return self.request("POST", path, **options)

    async def _request(self, method: str, path: str, **options: Any) -> Response:
        async with AsyncClient(transport=ASGITransport(self.app), base_url="http://bus.example") as client:
            return await client.request(method, path, **options)


@dataclass
class Caller:
    """Whoever calls the door: knows the keys, signs what it sends."""

    http: Http
    clock: Clock

    def signature(self, body: str, key: str, webhook_id: str = "msg_1") -> dict[str, str]:
        at = self.clock()
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(key).sign(webhook_id, at, body),
        }

    def signed(
        self,
        path: str,
        document: Any,
        *,
        key: str | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] = {},
    ) -> Response:
        body = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
        key = key or KEYS["shop" if path.startswith("/shop") else "onec"][0]
        signature = self.signature(body, key)
        content = body.encode()
        return self.http.post(path, content=content, headers={"content-type": content_type, **signature, **headers})

    def portal(self, path: str = "/bitrix24/crm", **changed: str | None) -> Response:
        """The portal's webhook; `changed` names are with __ for brackets, None leaves a field out."""
        form: dict[str, str | None] = {
            "event": "ONCRMDEALUPDATE",
            "event_handler_id": "201",
            "data[FIELDS][ID]": "759",
            "ts": "1736405807",
            "auth[domain]": "crm.example",
            "auth[client_endpoint]": "https://crm.example/rest/",
            "auth[server_endpoint]": "https://oauth.bitrix.info/rest/",
            "auth[member_id]": MEMBER,
            "auth[application_token]": TOKEN,
        }
        form |= {_brackets(name): value for name, value in changed.items()}
        return self.http.post(path, data={name: value for name, value in form.items() if value is not None})


def _brackets(name: str) -> str:
    head, *keys = name.split("__")
    return head + "".join(f"[{key}]" for key in keys)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def config() -> Config:
    return from_document(DOCUMENT, {})


@pytest.fixture
def readiness() -> list[BusError]:
    """What GET /ready's question raises: nothing, or the last of these."""
    return []


@pytest.fixture
def app(config: Config, journal: Journal, clock: Clock, readiness: list[BusError]) -> FastAPI:
    def ready() -> None:
        if readiness:
            raise readiness[-1]

    return create_app(config, journal, Dictionary(), ready=ready, now=clock)


@pytest.fixture
def caller(app: FastAPI, clock: Clock) -> Iterator[Caller]:
    with start_blocking_portal() as portal:
        yield Caller(Http(app, portal), clock)


@pytest.fixture
def roomy_caller(journal: Journal, clock: Clock) -> Iterator[Caller]:
    """A caller of a door with the limits of real life."""
    app = create_app(from_document(DOCUMENT | {"limits": {}}, {}), journal, Dictionary(), now=clock)
    with start_blocking_portal() as portal:
        yield Caller(Http(app, portal), clock)


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """An event that is taken; arguments change or, with None, leave out an attribute."""

    def make(**changed: Any) -> dict[str, Any]:
        made = {
            "specversion": "1.0",
            "id": "e-1",
            "source": "onec",
            "type": "order.changed",
            "subject": "order/236",
            "time": "2026-03-01T11:59:00Z",
            "sourceversion": "17",
            "data": {"number": "236", "total": {"amount": "1990.00", "currency": "RUB"}},
        }
        return {name: value for name, value in (made | changed).items() if value is not None}

    return make


@pytest.fixture
def saved() -> Callable[..., dict[str, Any]]:
    """What the shop says of an order; arguments change the order."""

    def make(event: str = "order.saved", **changed: Any) -> dict[str, Any]:
        order = {"id": 236, "accountNumber": "236", "statusId": "N", "price": 1990.5, "payments": []}
        return {
            "id": "0b4e9f0a",
            "event": event,
            "occurred_at": "2026-03-01T14:59:00+03:00",
            "user_id": 7,
            "order": order | changed,
        }

    return make
