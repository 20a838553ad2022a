"""Calls to a 1C base: each under breaker, budget and a slot, each by a verb that has a retry class; lists by pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote

from pydantic import SecretStr

from bus.config import System
from bus.errors import BusError, NotReady, SystemStopped, Transient, UnknownOutcome
from bus.model import Json
from bus.ports import Raw, Throttle
from bus.systems.bitrix_rest import Breaker
from bus.systems.onec_errors import TooMuch
from bus.systems.onec_http import URL_LENGTH, Answer, Gate, Query
from bus.systems.retry_classes import is_write, meant

KEY = "Ref_Key"
PAGE, KEYS_PAGE = 200, 2000
"""Rows of a page that is read whole, and of one that is read for keys and versions only."""
OVERLAP = 20
"""Rows of a page that are read again with the next one: there it must go on where the last one ended."""
_LIMIT = 10
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Slot(Protocol):
    """How many requests may be under way at once, over all processes (bus.slots)."""

    def taken(self) -> AbstractContextManager[None]:
        """Hold a slot. Raises NotReady when none gets free."""
        ...

    def wait(self) -> float:
        """Seconds until it is worth looking for one."""
        ...


class Calls:
    """The interface of one base. `with_urgency` gives a copy that shares connections, slots and counters.

    `slots` are for all requests, `writing` the one that whoever writes holds besides.
    """

    def __init__(
        self,
        system: str,
        gate: Gate,
        throttle: Throttle,
        slots: Slot,
        writing: Slot,
        breaker: Breaker,
        *,
        urgent: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.system, self.urgent, self.now = system, urgent, now
        self._gate, self._throttle, self._breaker = gate, throttle, breaker
        self._slots, self._writing = slots, writing

    def with_urgency(self, urgent: bool) -> Calls:
        """A copy whose requests may use the payments' reserve, or may not."""
        shared = self._gate, self._throttle, self._slots, self._writing, self._breaker
        return Calls(self.system, *shared, urgent=urgent, now=self.now)

    @property
    def root(self) -> str:
        """The interface's own address."""
        return self._gate.address.root

    @property
    def latency_s(self) -> float:
        """How long requests have taken lately, in seconds."""
        return self._gate.latency_s

    def wait(self) -> float:
        """Seconds until a request would be let through by budget, breaker and slots, 0: now."""
        waits = self._throttle.wait(urgent=self.urgent), self._breaker.wait(self.system), self._slots.wait()
        return max(waits)

    def left(self) -> float:
        """Requests that may be sent before one has to wait for the budget."""
        return self._throttle.left(urgent=self.urgent)

    def probe(self, set_: str) -> None:
        """While the base is in doubt, try it with the smallest of reads; raises that read's error."""
        if not self._breaker.closed(self.system):
            self.rows(set_, {"$top": "1", "$select": KEY})

    def follow(self, config: System) -> Callable[[], None]:
        """Get ready for the login that the configuration has now; what is returned takes it, for all copies."""
        return self._gate.follow(config.user or "", config.password or SecretStr(""))

    def close(self) -> None:
        """Close the connections, for all copies."""
        self._gate.close()

    def rows(self, set_: str, query: Query) -> list[Raw]:
        """The rows of one list request. Raises TooMuch when half of it may do."""
        body = self._ask("odata.get", "GET", set_, query).body
        found = body.get("value") if isinstance(body, dict) else None
        if not isinstance(found, list):
            raise Transient(f"GET {set_}: the answer has no list", cause=f"GET {set_} no list")
        return [plain(row) for row in found if isinstance(row, dict)]

    def one(self, set_: str, key: str) -> Raw:
        """One object. Raises NotFound."""
        return self._object("odata.get", "GET", f"{set_}(guid'{key}')")

    def create(self, set_: str, body: Raw) -> Raw:
        """Create an object, which comes back whole. Raises UnknownOutcome, Exists, Permanent."""
        return self._object("odata.create", "POST", set_, body)

    def change(self, set_: str, key: str, body: Raw, version: str | None = None) -> Raw:
        """Change fields of an object, which comes back whole."""
        return self._object("odata.change", "PATCH", f"{set_}(guid'{key}')", body, version)

    def post(self, set_: str, key: str) -> None:
        """Post a document, as a person would, not in the operative mode."""
        query = {"PostingModeOperational": "false"}
        self._ask("odata.post", "POST", f"{set_}(guid'{key}')/Post", query)

    def metadata(self) -> bytes:
        """What the base publishes, as XML: tens of megabytes and seconds, never for a task."""
        return self._ask("odata.metadata", "GET", "$metadata", {}, xml=True).content

    def changes(self, node: str, number: int) -> bytes:
        """What is registered for a node of an exchange plan, as an Atom feed: the present states of what changed."""
        return self._ask("odata.changes", "POST", "SelectChanges", self._point(node, number), xml=True).content

    def received(self, node: str, number: int) -> None:
        """Tell the base that everything of a message is safe with us: it forgets it."""
        self._ask("odata.received", "POST", "NotifyChangesReceived", self._point(node, number), xml=True)

    def by_keys(
        self, set_: str, keys: Iterable[str], *, field: str = KEY, select: Sequence[str] = (), where: str = ""
    ) -> list[Raw]:
        """Objects by references, in as few requests as addresses hold; those that are not there are absent."""
        wanted = [f"{field} eq guid'{key}'" for key in dict.fromkeys(keys) if is_key(key)]
        return self.any_of(set_, wanted, select=select, where=where)

    def any_of(
        self, set_: str, conditions: Sequence[str], *, select: Sequence[str] = (), where: str = "", top: int = 0
    ) -> list[Raw]:
        """Objects to which any of the conditions applies. `top`: at most so many of each request."""
        query: dict[str, str] = {"$select": ",".join(select)} if select else {}
        query |= {"$top": str(top)} if top else {}
        room = URL_LENGTH - len(self.root) - _length(f"{set_}{where}{query}") - 100
        found: list[Raw] = []
        for chunk in _chunks(conditions, room):
            found += self._halving(set_, chunk, query, where)
        return found

    def pages(self, set_: str, *, select: Sequence[str] = (), where: str = "", size: int = PAGE) -> Iterator[list[Raw]]:
        """All rows of a set, by pages in the order of their keys, none left out that is there throughout.

        `$skip` counts rows, and rows come and go while we read. A key never changes, so rows never change places among
        each other: what follows the last row that we have is the next one. Each page reads some rows of the last one
        again; when its last row is not among them any more, we look for it further back, or begin anew.
        """
        skip, last = 0, ""
        while True:
            rows, size = self._page(set_, select, where, skip, size)
            at = next((place for place, row in enumerate(rows) if row.get(KEY) == last), None)
            if last and at is None and skip > 0:
                skip = max(0, skip - size)
                continue
            fresh = rows if at is None else rows[at + 1 :]
            if fresh:
                yield fresh
                last = str(fresh[-1].get(KEY))
            if len(rows) < size:
                return
            skip = max(0, skip + len(rows) - min(OVERLAP, size // 2))

    def _page(self, set_: str, select: Sequence[str], where: str, skip: int, size: int) -> tuple[list[Raw], int]:
        """A page, and how large it was allowed to be: half as large each time that the base cannot answer."""
        while True:
            query = {"$orderby": KEY, "$top": str(size), "$skip": str(skip)}
            query |= {"$select": ",".join(select)} if select else {}
            query |= {"$filter": where} if where else {}
            try:
                return self.rows(set_, query), size
            except TooMuch:
                if size <= _LIMIT:
                    raise
                size //= 2

    def _halving(self, set_: str, conditions: Sequence[str], query: Query, where: str) -> list[Raw]:
        any_ = " or ".join(conditions)
        asked = f"({any_}) and {where}" if where else any_
        try:
            return self.rows(set_, {**query, "$filter": asked})
        except TooMuch:
            if len(conditions) <= 1:
                raise
        half = len(conditions) // 2
        halves = (conditions[:half], conditions[half:])
        return [row for some in halves for row in self._halving(set_, some, query, where)]

    def _object(self, name: str, verb: str, path: str, body: Raw | None = None, version: str | None = None) -> Raw:
        answer = self._ask(name, verb, path, {}, body, version=version).body
        if not isinstance(answer, dict) or KEY not in answer:
            what = f"{verb} {path.partition('(')[0]}"
            kind = UnknownOutcome if is_write(name) else Transient
            raise meant(kind(f"{what}: the answer is no object", cause=f"{what} no object"), name)
        return plain(answer)

    def _ask(
        self,
        name: str,
        verb: str,
        path: str,
        query: Query,
        body: Raw | None = None,
        *,
        xml: bool = False,
        version: str | None = None,
    ) -> Answer:
        """One request; of all that write one at a time. The breaker is told of an answer, of none, of a closed base."""
        self._throttle.acquire(urgent=self.urgent)
        with self._writing.taken() if is_write(name) else nullcontext(), self._slots.taken():
            self._breaker.guard(self.system)
            try:
                answer = self._gate.send(verb, path, query, body, writes=is_write(name), xml=xml, version=version)
            except BusError as error:
                self._judge(error)
                raise meant(error, name) from None
        self._breaker.succeeded(self.system)
        return answer

    def _judge(self, error: BusError) -> None:
        if isinstance(error, SystemStopped):
            error.until = self._breaker.stop(self.system, str(error))
        elif isinstance(error, TooMuch) or not isinstance(error, Transient | UnknownOutcome | NotReady):
            self._breaker.succeeded(self.system)
        else:
            self._breaker.failed(self.system)

    def _point(self, node: str, number: int) -> dict[str, str]:
        """A node is named by its whole address: "ExchangePlan_ДляODATA(guid'…')" under the interface's own."""
        return {"DataExchangePoint": f"'{self.root}/{node}'", "MessageNo": str(number)}


def plain(row: Raw) -> Raw:
    """An object's own fields, without the interface's notes on them (addresses of what it points to)."""
    return {
        name: [plain(one) for one in value if isinstance(one, dict)] if isinstance(value, list) else value
        for name, value in row.items()
        if "@" not in name and not name.startswith("odata.")
    }


def is_key(value: str) -> bool:
    """Whether a text can be a reference at all: it goes into a query."""
    return bool(_GUID.fullmatch(value))


def text(value: Json) -> str:
    """A string literal of a query."""
    return "'" + str(value).replace("'", "''") + "'"


def _length(of: str) -> int:
    return len(quote(of))


def _chunks(conditions: Sequence[str], room: int) -> Iterator[list[str]]:
    """Conditions by as many as an address has room for, at least one."""
    chunk: list[str] = []
    left = room
    for condition in conditions:
        size = _length(condition) + len("%20or%20")
        if chunk and size > left:
            yield chunk
            chunk, left = [], room
        chunk.append(condition)
        left -= size
    if chunk:
        yield chunk
