"""The door of an exchange under fuzz: wild calls of two 1C in one house, and what they upload, to its end."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote_plus

from hypothesis import strategies as st

from bus.exchange_names import cleaned
from tests.bus.exchanging import PATH, file_of, returned
from tests.bus.intake.asgi import Answer, Header
from tests.fuzz import seeds
from tests.fuzz.doors import on
from tests.fuzz.house import LOGINS, House
from tests.fuzz.target import Target, must

FIRST = ("success", "failure", "progress", "zip=no")
MODES = ("checkauth", "init", "file", "import", "query", "success", "info", "deactivate", "complete")
TYPES = ("sale", "catalog", "reference", "get_catalog", "listen")
NAMES = (
    "orders.xml",
    "../../etc/orders.xml",
    "v8_1.zip",
    "import0_1.xml",
    "contragents.xml",
    "a\x00b.xml",
    "",
    "x" * 300,
)


@dataclass
class Client:
    """One 1C as it remembers itself; `files` are what it has been told to have arrived, in its present folder."""

    who: str
    cookie: str = ""
    sessid: str = ""
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def ask(self, made: House, step: dict[str, Any]) -> Answer:
        """One call, with what the step makes wild about it."""
        asked = {name: step[name] for name in ("type", "mode", "filename", "version", "cmlVersion", "timestamp")}
        asked["sessid"] = {"own": self.sessid, "wrong": "0" * 32}.get(step["sessid"])
        query = "&".join(f"{name}={_quoted(value)}" for name, value in asked.items() if value is not None)
        chunks = [binascii.unhexlify(one) for one in step["chunks"]]
        coding = [(b"content-encoding", b"gzip")] if step["coded"] else []
        return made.ask(
            "POST" if chunks else "GET",
            step["path"],
            query=query.encode(),
            headers=[*self._login(step), *self._cookie(step), *coding],
            chunks=chunks,
            cut=step["cut"],
        )

    def _login(self, step: dict[str, Any]) -> list[Header]:
        user, password = LOGINS[self.who]
        raw = f"{user}:{password}".encode()
        said = {"own": base64.b64encode(raw), "wrong": base64.b64encode(b"x:y"), "odd": b"=" * 7}.get(step["login"])
        return [(b"authorization", b"Basic " + said)] if said is not None else []

    def _cookie(self, step: dict[str, Any]) -> list[Header]:
        said = {"own": self.cookie, "wrong": "BUS_EXCHANGE=junk; a=b"}.get(step["cookie"])
        return [(b"cookie", said.encode())] if said else []


def _quoted(text: str) -> str:
    return quote_plus(text.encode("utf-8", "surrogatepass"))


def exchange(made: House, plan: Sequence[dict[str, Any]]) -> str:
    """Whatever is called in whatever order: an answer that 1C can read, and of files just what was told to be taken."""
    made.forget()
    clients = [Client(who) for who in LOGINS]
    for step in plan:
        client = clients[step["client"]]
        if step["mode"] == "work":
            made.wiring.importing.run()
            continue
        before = made.stored()
        answer = client.ask(made, step)
        first = _said(answer) if answer.status != 400 or not step["cut"] else "gone"  # nobody hears it
        must(first not in ("failure", "gone") or made.stored() == before, f"{first}, and something was stored")
        _learn(client, step, answer, first)
        _as_told(made, clients)
    return _ended(made)


def _said(answer: Answer) -> str:
    """The first line, after a look at the form."""
    if answer.status == 304:
        return "304"
    must(answer.status == 200, f"status {answer.status}")
    if answer.media_type == "application/xml":
        must(answer.body.startswith(b"<?xml"), "XML that is none")
        return "xml"
    must(answer.media_type == "text/plain", answer.media_type)
    must(b"\r" not in answer.body and not answer.body.startswith(b"\xef\xbb\xbf"), "a line that 1C cannot read")
    first = answer.body.decode().split("\n")[0]
    must(first in FIRST, f"a first line that 1C does not know: {first}")
    return first


def _learn(client: Client, step: dict[str, Any], answer: Answer, first: str) -> None:
    """What a 1C remembers of an answer."""
    if step["mode"] == "checkauth" and first == "success":
        _, name, value, sessid, *_ = answer.body.decode().split("\n")
        client.cookie, client.sessid = f"{name}={value}", sessid.removeprefix("sessid=")
        client.files.clear()
    elif step["mode"] == "init" and first == "zip=no":
        client.files.clear()
    elif step["mode"] == "file" and step["type"] != "listen" and first == "success":
        key = (step["type"], cleaned(step["filename"]))
        body = b"".join(map(binascii.unhexlify, step["chunks"]))
        client.files[key] = client.files.get(key, b"") + body
    elif step["mode"] == "import" and step["type"] != "listen" and first in ("success", "failure", "progress"):
        client.files = {key: body for key, body in client.files.items() if key[1] != cleaned(step["filename"])}


def _as_told(made: House, clients: Sequence[Client]) -> None:
    """Every file that a 1C may still add to is what it was told that we have, and whose it is."""
    for client in clients:
        for (type_, name), body in client.files.items():
            rows = made.rows(
                """SELECT string_agg(body, ''::bytea ORDER BY n) AS body FROM exchange_file
                   LEFT JOIN exchange_chunk ON file_id = exchange_file.id
                   WHERE system = %s AND type = %s AND name = %s AND state = 'receiving' GROUP BY exchange_file.id
                   ORDER BY exchange_file.id DESC""",
                client.who,
                type_,
                name,
            )
            must(any(bytes(row["body"] or b"") == body for row in rows), "not what was told to have arrived")


def _ended(made: House) -> str:
    """Everything that waits is read to its end, which nobody had to guess at; nothing half-arrived is left."""
    made.wiring.importing.run()
    made.heard()
    for row in made.rows("SELECT state, error, name FROM exchange_file"):
        must(row["state"] not in ("waiting", "importing"), "never read to its end")
        must(not row["name"].startswith("/"), "a body that broke off was left")
        must("cannot be read" not in (row["error"] or ""), f"of a shape that nobody foresaw: {row['error']}")
    _explained(made)
    return "ended"


def _explained(made: House) -> None:
    """Whatever became an event has an outcome, or waits for something by name; what nobody foresaw is a fault."""
    for row in made.rows("SELECT state, outcome, error FROM event WHERE kind NOT IN ('notification')"):
        must(row["state"] != "pending", "an event that nobody took")
    odd = made.rows("SELECT reason FROM dead_letter WHERE reason ~ 'cannot be read: [A-Z]'")
    must(not odd, f"a document of a shape that nobody foresaw: {odd}")


def imported(made: House, data: bytes) -> str:
    """A file as an order file of 1C: read to its end; each document is an event, a letter, or set aside by its type."""
    made.forget()
    client = Client("onec")
    name = "a.zip" if data.startswith(b"PK") else "orders.xml"
    for mode, body in (("checkauth", None), ("init", None), ("file", data), ("import", None)):
        made_step = _step(mode, name, body)
        _learn(client, made_step, answer := client.ask(made, made_step), _said(answer))
    made.wiring.importing.run()
    made.heard()
    rows = made.rows("SELECT state, error, report FROM exchange_file")
    for row in rows:
        report = row["report"] or {}
        ours = sum(report.get("types", {}).get(kind, 0) for kind in ("order", "payment", "counterparty"))
        told = sum(report.get(name, 0) for name in ("new", "known", "unread"))
        must(told or not ours or _repeated(made), "documents of ours, and nothing became of them")
    _ended(made)
    return str(rows[0]["state"]) if rows else "empty"


def _repeated(made: House) -> bool:
    """A file that is told twice leaves letters that are there already."""
    return bool(made.rows("SELECT 1 FROM dead_letter LIMIT 1"))


def _step(mode: str, name: str, body: bytes | None) -> dict[str, Any]:
    return {
        "client": 0, "type": "sale", "mode": mode, "filename": name, "path": PATH, "version": None, "cmlVersion": None,
        "timestamp": None, "sessid": "own", "login": "own", "cookie": "own", "coded": False, "cut": False,
        "chunks": [body.hex()] if body else [],
    }  # fmt: skip


def plans() -> Any:
    """Runs of up to a dozen calls: mostly in 1C's own order, with wild ones in between."""
    body = st.sampled_from([file_of(returned("236")), seeds.commerceml()[0], seeds.archives()[0], b"<x/>", b""])
    chunks = st.builds(_cut, body, st.sampled_from([0, 0, 1, 7])) | st.lists(
        st.binary(max_size=20).map(bytes.hex), max_size=3
    )
    wild = st.text(max_size=5)
    usually = partial(_usually, wild=wild)
    step = st.fixed_dictionaries(
        {
            "client": st.sampled_from([0, 0, 0, 1]),
            "type": usually(["sale", "sale", "sale", *TYPES]),
            "mode": usually([*MODES, "file", "file", "import", "import", "work"]),
            "filename": usually(["orders.xml"] * 4 + list(NAMES)) | st.none(),
            "path": st.sampled_from([PATH, PATH, PATH, "/exchange/onec", "/exchange/books", "/exchange/%00"]),
            "version": usually([None, None, "2.09", "3.1", "9" * 50]),
            "cmlVersion": usually([None, None, "2.10"]),
            "timestamp": usually([None, "1"]),
            "sessid": st.sampled_from(["own", "own", "own", "wrong", "absent"]),
            "login": st.sampled_from(["own"] * 6 + ["wrong", "odd", "absent"]),
            "cookie": st.sampled_from(["own"] * 6 + ["wrong", "absent"]),
            "chunks": chunks,
            "coded": st.sampled_from([False] * 9 + [True]),
            "cut": st.sampled_from([False] * 6 + [True]),
        }
    )
    begun = [_step("checkauth", "", None), _step("init", "", None)]
    return st.builds(lambda some: begun + some, st.lists(step, max_size=10))


def _usually(values: list[Any], wild: Any) -> Any:
    return st.sampled_from(values) | st.sampled_from(values) | st.sampled_from(values) | wild


def _cut(body: bytes, size: int) -> list[str]:
    step = max(1, len(body) // size) if size else len(body) or 1
    return [body[at : at + step].hex() for at in range(0, len(body), step)]


def _import_seeds() -> list[bytes]:
    return [*seeds.commerceml(), seeds.archives()[0]]


TARGETS = [
    Target(
        "exchange",
        "an answer that 1C can read, whatever is asked; files are what was told to be taken; a failure stores nothing",
        on(exchange),
        plans=plans,
        seconds=10,
    ),
    Target(
        "import",
        "every file is read to its end; every document is an event, a dead letter or set aside by its type",
        on(imported),
        seeds=_import_seeds,
        seconds=10,
        engine="plain",
    ),
]
