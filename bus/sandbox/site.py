"""What any stand-in system has: a lock, a clock, a hook's user, methods by name, faults, limits, a log, an outbox."""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import BaseRoute

from bus.sandbox.calls import Calls
from bus.sandbox.changes import Changes
from bus.sandbox.envelope import Params, RestError, Row, unknown_method
from bus.sandbox.faults import Fault, Faults
from bus.sandbox.limits import Limits
from bus.sandbox.outbox import Letter, Outbox

READS = frozenset(
    {"get", "list", "fields", "getfields", "findbycomm", "getlist", "current", "addresstype", "openapi"},
)


@dataclass(frozen=True)
class Event:
    """Something that happened, to be told to the listeners: `key` is what makes two events of one hit equal."""

    name: str
    key: tuple[Any, ...]
    data: Row


@dataclass
class Hit:
    """One request in work: who acts, what it raised, which records it has read."""

    user: int
    events: dict[tuple[Any, ...], Event] = field(default_factory=dict)
    seen: list[int | str] = field(default_factory=list)

    def raise_event(self, name: str, key: tuple[Any, ...], data: Row) -> None:
        """Equal events within one hit are merged (Bitrix24 docs, events)."""
        self.events.setdefault((name, *key), Event(name, key, data))


Method = Callable[[Params, Hit], Any]


class Site(ABC):
    """A stand-in system. Everything that touches its data holds `lock`."""

    kind = ""
    person = 7

    def __init__(
        self,
        *,
        user: int = 1,
        code: str = "sandbox",
        clock: Callable[[], float] = time.time,
        seed: int = 7,
        cloud: bool = True,
    ) -> None:
        self.user = user
        self.code = code
        self.clock = clock
        self.cloud = cloud
        self.lock = threading.RLock()
        self.webhooks: list[Row] = []
        self.methods: dict[str, Method] = {}
        self._seed = seed
        self._renew()
        self.outbox = Outbox(lambda: self.faults, self.retry)

    def _renew(self) -> None:
        self.rng = random.Random(self._seed)  # repeatable, not secret
        self.faults = Faults(self.clock, self.rng)
        self.limits = Limits(self.clock, cloud=self.cloud)
        self.calls = Calls()
        self.changes = Changes(self.clock)
        self.blank()

    @abstractmethod
    def blank(self) -> None:
        """Put the data back as it was at the start."""

    @abstractmethod
    def letters(self, event: Event, hit: Hit) -> list[Letter]:
        """The messages that tell the listeners of one event."""

    def entry(self, base: str) -> str:
        """The address that a client is given: the incoming webhook's."""
        return f"{base}/rest/{self.user}/{self.code}/"

    def doors(self) -> list[BaseRoute]:
        """Doors beside /rest/{user}/{code}/{method}."""
        return []

    @abstractmethod
    def perform(self, act: Row, hit: Hit) -> Row:
        """Do one act of a person; raises RestError when it cannot be done."""

    @abstractmethod
    def state(self, what: Row) -> Row:
        """The data, for tests: all of it, or the `ids` and `fields` asked for."""

    @abstractmethod
    def settings(self, spec: Row) -> Row:
        """Change what an administrator would set up; answers the settings in force."""

    @abstractmethod
    def check_webhook(self, hook: Row) -> None:
        """Raises ValueError or KeyError when a listener lacks what its messages need."""

    def retry(self, letter: Letter, status: int | None) -> float | None:
        """When a message that was not accepted goes out again."""
        del letter, status
        return None

    def reset(self, *, keep_webhooks: bool = False) -> None:
        """Everything as at the start: data, faults, limits, log, queue."""
        with self.lock:
            if not keep_webhooks:
                self.webhooks.clear()
            self.outbox.clear()
            self._renew()

    def call(self, method: str, params: Params | None = None, *, user: int | None = None) -> Any:
        """Call a method in process as the hook does, without HTTP, limits and faults; raises RestError."""
        hit = Hit(user or self.user)
        try:
            return self.run(method.lower(), params or {}, hit)
        finally:
            self.publish(hit)

    def run(self, method: str, params: Params, hit: Hit) -> Any:
        """One method under the lock; its answer is a value or a Page."""
        handler = self.methods.get(method)
        if handler is None:
            raise unknown_method()
        with self.lock:
            return handler(params, hit)

    def held(self, method: str, params: Params) -> Params:
        """The fault text_cut: the database cannot hold a text of `field` as it was sent, and keeps what is `left`."""

        def has(fault: Fault) -> bool:
            fields = params.get("fields")
            return isinstance(fields, dict) and bool(fields.get(fault.extra["field"]))

        fault = self.faults.take("text_cut", method, accept=has)
        return params | {"fields": params["fields"] | {fault.extra["field"]: fault.extra["left"]}} if fault else params

    def act(self, act: Row, *, quiet: bool = False) -> Row:
        """Act as a person: another user than the hook's, events raised as for anybody; `quiet`: nobody is told."""
        hit = Hit(int(act.get("user", self.person)))
        try:
            with self.lock:
                self.changes.muted, self.changes.person = quiet, True
                try:
                    return self.perform(act, hit)
                finally:
                    self.changes.muted = self.changes.person = False
        finally:
            if not quiet:
                self.publish(hit)

    def publish(self, hit: Hit) -> None:
        """Hand the events of a finished hit to the outbox."""
        letters = [letter for event in hit.events.values() for letter in self.letters(event, hit)]
        hit.events.clear()
        if letters:
            self.outbox.put(letters)

    def edit_behind(self, method: str, hit: Hit) -> None:
        """The fault user_edit_between: after this read, and before the reader can write, a person edits the record."""

        def meant(fault: Fault) -> list[int | str]:
            wanted = fault.extra.get("id")
            return [record for record in hit.seen if wanted is None or str(record) == str(wanted)]

        fault = self.faults.take("user_edit_between", method, accept=lambda fault: bool(meant(fault)))
        if fault:
            self.act({"id": meant(fault)[0], **fault.extra["edit"]})

    def close(self) -> None:
        """Stop sending."""
        self.outbox.close()


def is_write(method: str) -> bool:
    """Whether a method changes data, by the last part of its name."""
    return (
        "." in method
        and method.rsplit(".", 1)[1] not in READS
        and not method.startswith(("server.", "method.", "app."))
    )


def code_of(error: RestError | None) -> str | None:
    """What the call log says of an error; the classic empty code shows its text."""
    return None if error is None else (str(error.code) or error.text)
