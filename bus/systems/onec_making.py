"""Making objects in a 1C base: under keys of ours, with what the settings say of new ones; never one twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from bus.config import System
from bus.errors import BusError, NotReady, Permanent, UnknownOutcome
from bus.ports import Failed, Raw, Write
from bus.systems.onec_calls import KEY
from bus.systems.onec_comparing import kept
from bus.systems.onec_errors import Exists
from bus.systems.onec_finding import OWN_KEYS, mark
from bus.systems.onec_memory import Memory
from bus.systems.onec_reading import Reader

NAME = 100
"""Length of a name in every catalogue that we write."""
_NEW = "new."


@dataclass
class Job:
    """One write on its way: what it has done so far decides what a failure means."""

    write: Write
    thing: str
    key: str | None = None
    before: Raw | None = None
    calls: list[str] = field(default_factory=list)
    sent: Raw = field(default_factory=dict)

    def failed(self, error: BusError) -> Failed:
        """What was created and not finished must be looked for, never created again."""
        if self.write.id is None and self.key is not None:
            say = f"created as {self.key}, then: {error}"
            if isinstance(error, NotReady):
                error = NotReady(say, until=error.until, cause=error.cause, detail=error.detail)
            else:
                error = UnknownOutcome(say, cause=error.cause, detail=error.detail)
        return Failed(error, ", ".join(dict.fromkeys(self.calls)), sent=self.sent, answered=dict(error.detail))


class Maker:
    """What the makers of orders, counterparties and payments have in common."""

    def __init__(self, reader: Reader, memory: Memory, config: System) -> None:
        self.reader, self.memory = reader, memory
        self.calls, self.names, self.settings = reader.calls, reader.names, config.settings
        self.posts = config.settings.get("post") == "yes"
        self._zone = ZoneInfo(config.zone)

    def made(self, thing: str, key: str, body: Raw, job: Job | None = None) -> tuple[Raw, bool]:
        """Create an object under a key. False: it is there already, ours, of an attempt before, and left as it is."""
        set_ = self.names.need(thing)
        if job is not None:
            job.calls.append(f"POST {set_}")
            job.sent = body
        try:
            row = self.calls.create(set_, {KEY: key, **body})
        except Exists:
            return self._there(thing, key), False
        self.memory.proved(OWN_KEYS, able=str(row[KEY]).lower() == key.lower())
        return row, True

    def _there(self, thing: str, key: str) -> Raw:
        """The object that has our key already. Raises Permanent when somebody marked it for deletion since."""
        row = self.calls.one(self.names.need(thing), key)
        if self.reader.removed(thing, row):
            say = f"{self.names.need(thing)}: {key} is there, and marked for deletion: lift the mark, then retry"
            raise Permanent(say, cause="marked for deletion")
        return row

    def beside(self, thing: str, key: str, body: Raw, job: Job | None = None) -> str:
        """Create what an object needs beside it; its key. Raises Dropped when the base keeps something else of it."""
        row, fresh = self.made(thing, key, self.defaults(thing) | body, job)
        if fresh and (complaint := kept(self.names.need(thing), body, row)):
            raise complaint
        return str(row[KEY]).lower()

    def marked(self, job: Job, body: Raw) -> Raw:
        """Our key in a text of the object, until we know that the base takes it for the object's own."""
        name = self.names.get(job.thing, "marker")
        if name is None or self.memory.able(OWN_KEYS):
            return {}
        return {name: f"{body.get(name) or ''} {mark(job.write.origin)}".strip()}

    def defaults(self, record_type: str) -> Raw:
        """What the settings say of new objects: new.order.Склад_Key: <key>; yes and no are true and false there."""
        prefix = f"{_NEW}{record_type}."
        told = {name: value for name, value in self.settings.items() if name.startswith(prefix)}
        return {name.removeprefix(prefix): {"yes": True, "no": False}.get(value, value) for name, value in told.items()}

    def document(self, thing: str) -> Raw:
        """What every document has: its date, and the organisation where there is but one."""
        found: Raw = {self.names.need(thing, "at"): self._now()}
        organisations = self.reader.directory("organisations")
        name = self.names.get(thing, "organisation")
        if name and len(organisations) == 1:
            found[name] = next(iter(organisations))
        return found

    def currency(self, thing: str, change: Raw) -> Raw:
        code = change.get("currency")
        if not code:
            return {}
        key = self.reader.currency_key(code)
        if key is None:
            self.reader.shelf.forget("currencies")
            say = f"{self.names.need('directories', 'currencies')}: there is no currency {code}: add it in the base"
            raise Permanent(say, cause=f"no currency {code}")
        return {self.names.need(thing, "currency"): key}

    def _now(self) -> str:
        return self.calls.now().astimezone(self._zone).replace(tzinfo=None, microsecond=0).isoformat()
