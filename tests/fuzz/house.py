"""A bus behind its real door, with a real ledger, asked by requests that no client library would send."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

import psycopg
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from pydantic import SecretStr
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from bus import embedded
from bus.config import Settings, from_document
from bus.intake import create_app
from bus.ledger.schema import migrate
from tests.bus.exchanging import Bells
from tests.bus.intake import asgi
from tests.bus.intake.asgi import Answer, Header
from tests.bus.ledger.middle import FULL, Middle
from tests.fuzz.target import must
from workers.bootstrap import Wiring

KEYS = {
    "bank": ["whsec_b25lYyBrZXkgbnVtYmVyIG9uZSBvZiB0d28=", "whsec_b25lYyBrZXkgbnVtYmVyIHR3byBvZiB0d28="],
    "shop": ["whsec_c2hvcCBrZXkgbnVtYmVyIG9uZSBvZiBvbmU="],
}
STRANGER = "whsec_" + base64.b64encode(b"a key that nobody here has").decode()
TOKEN, MEMBER = "t0ken-of-the-portal", "a223c6b3710f85df22e9377d6c4f7553"
LOGINS = {"onec": ("обмен", "секрет 1С"), "books": ("exchange", "another")}
IN_OUT = {"order": FULL, "payment": FULL, "counterparty": {"in": "full"}}
DOCUMENT: dict[str, Any] = {
    "systems": {
        "bank": {"kind": "events", "keys": KEYS["bank"], "routes": {"payment": {"in": "full"}}},
        "shop": {
            "kind": "bitrix_cms",
            "url": "http://127.0.0.1:9/rest/1/shop/",
            "keys": KEYS["shop"],
            "routes": {"order": FULL, "payment": FULL},
        },
        "crm": {
            "kind": "bitrix24",
            "url": "http://127.0.0.1:9/rest/1/crm/",
            "application_token": TOKEN,
            "member_id": MEMBER,
            "routes": {"order": FULL, "counterparty": FULL},
        },
        **{
            name: {"kind": "commerceml", "user": user, "password": password, "routes": IN_OUT}
            for name, (user, password) in LOGINS.items()
        },
    },
    "limits": {"body_bytes": 100_000, "exchange_file_bytes": 300_000},
}
_COUNTED = ("event", "entity", "record", "delivery", "dead_letter", "conflict", "history", "exchange_chunk")
_FORGET_AFTER = 3_000
"""Rows; counting them takes time."""


@dataclass
class House(Middle):
    """The bus and its door; a request is what an ASGI server makes of one, with nothing in between."""

    bells: Bells
    app: FastAPI
    portal: BlockingPortal
    lines: list[Any] = field(default_factory=list)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: bytes = b"",
        headers: Sequence[Header] = (),
        chunks: Sequence[bytes] = (),
        cut: bool = False,
    ) -> Answer:
        """One request; `cut`: the client goes after its chunks. Raises Broken for a fault of ours."""
        with capture_logs() as lines:
            call = partial(asgi.ask, self.app, method, path, query=query, headers=headers, chunks=chunks, cut=cut)
            answer = self.portal.call(call)
        failed = [line for line in lines if line["event"] == "intake.failed"]
        must(not failed, f"a fault of ours: {failed}")
        must(answer.status < 500 or answer.status == 503, f"status {answer.status}")
        return answer

    def stored(self) -> tuple[object, ...]:
        """All that the ledger holds, as a few numbers: equal before and after means that nothing was stored."""
        counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in _COUNTED)
        files = "(SELECT md5(string_agg(concat_ws('/', id, state, bytes, name), ',' ORDER BY id)) FROM exchange_file)"
        row = self.one(f"SELECT {counts}, {files} AS files")
        if row["event"] + row["exchange_chunk"] > _FORGET_AFTER:
            self.forget()
            return self.stored()
        return tuple(row.values())

    def forget(self) -> None:
        """Begin anew. Rows are few: deleting them is a tenth of the cost of new files for two dozen tables."""
        with self.ledger.transaction() as connection:
            connection.execute("SET LOCAL session_replication_role = replica")  # in whatever order
            for table in self._tables:
                connection.execute(f"DELETE FROM {table}".encode())
        self.bells.published.clear()

    @cached_property
    def _tables(self) -> list[str]:
        found = self.rows(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'alembic%%'"
        )
        return [row["tablename"] for row in found]


@contextmanager
def built(database_url: str, broker_url: str) -> Iterator[House]:
    """A house on these engines."""
    settings = Settings(database_url=SecretStr(database_url), broker_url=SecretStr(broker_url))
    wiring, bells = Wiring(settings, from_document(DOCUMENT, {})), Bells()
    wiring.__dict__["bells"] = bells
    assert wiring.exchange is not None
    behind = replace(wiring.exchange, hold_s=0.0, listen_s=0.0)
    app = create_app(wiring.file, wiring.publisher, wiring.mappings, exchange=behind)
    with start_blocking_portal() as portal:
        try:
            yield House(wiring, bells, app, portal)
        finally:
            wiring.close()


@contextmanager
def standing() -> Iterator[House]:
    """A house on engines of its own."""
    with ExitStack() as stack:
        postgres = stack.enter_context(embedded.postgres(fsync=False))
        valkey = stack.enter_context(embedded.valkey(appendonly=False))
        with psycopg.connect(postgres.url, autocommit=True) as admin:
            admin.execute("CREATE DATABASE fuzzed")
        url = postgres.url.removesuffix("/postgres") + "/fuzzed"
        migrate(url)
        yield stack.enter_context(built(url, valkey.url))


Standing = Callable[[], Any]


def signature(body: str, how: str, system: str = "bank") -> list[Header]:
    """The three headers of a signature: good, or wrong in one of many ways."""
    at, key = datetime.now(UTC), KEYS[system][-1]
    if how == "stranger":
        key = STRANGER
    said = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp()) - (400 if how == "old" else 0)),
        "webhook-signature": Webhook(key).sign("msg_1", at, body),
    }
    if how == "several":
        said["webhook-signature"] = f"v1,AAAA v2,x {said['webhook-signature']}"
    if how == "version":
        said["webhook-signature"] = said["webhook-signature"].replace("v1,", "v2,")
    if how == "absent":
        return []
    return [(name.encode(), value.encode()) for name, value in said.items()]


SIGNED = ("good", "several")
UNSIGNED = ("stranger", "old", "version", "absent")
