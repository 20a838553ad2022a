"""Writing to a 1C base: read, compare, write, compare again; each object by its own requests, one after the other.

A write is atomic there, and what it did comes back whole. Tables of a document are written whole. Nothing is ever
deleted. What an object points to (counterparty, partner, goods) is found first, or made under a key that follows from
what it is, so that a repeat, or another worker, makes the same and not a second one.
"""

from __future__ import annotations

from bus.config import System
from bus.errors import BusError, UnknownOutcome
from bus.model import Json
from bus.ports import Failed, Raw, Write, Written
from bus.systems.onec_calls import KEY
from bus.systems.onec_comparing import kept, same
from bus.systems.onec_errors import Changed, NotFound
from bus.systems.onec_finding import VERSIONS, Finder
from bus.systems.onec_making import Job, Maker
from bus.systems.onec_memory import Memory
from bus.systems.onec_orders import Orders
from bus.systems.onec_parties import Parties
from bus.systems.onec_payments import Payments
from bus.systems.onec_reading import Reader


class Writer:
    """Carries out the writes of one base."""

    def __init__(self, reader: Reader, finder: Finder, memory: Memory, config: System) -> None:
        self._reader, self._memory = reader, memory
        self._calls, self._names = reader.calls, reader.names
        self._maker = Maker(reader, memory, config)
        self._parties = Parties(self._maker, finder)
        self._orders = Orders(self._maker, finder, self._parties)
        self._payments = Payments(self._maker)

    def write(self, write: Write) -> Written | Failed:
        """One write. Never raises a BusError: what went wrong is the answer."""
        job = Job(write, write.record_type if write.record_type != "payment" else _money(write))
        try:
            row = self._update(job) if write.id else self._create(job)
            return self._written(job, row)
        except BusError as error:
            return job.failed(error)

    def _create(self, job: Job) -> Raw:
        """One that is there under our key already, of an attempt before, is left as it is: an update tells the rest."""
        making = {"order": self._orders.new, "counterparty": self._parties.new}
        body = making.get(job.thing, self._payments.new)(job)
        body = self._maker.defaults(job.write.record_type) | body
        row, fresh = self._maker.made(job.thing, job.write.origin, body, job)
        job.key = str(row[KEY]).lower()
        if fresh and (complaint := kept(self._set(job), body, row)):
            raise complaint
        self._parties.add_accounts(job)
        return self._posted(job, row)

    def _update(self, job: Job) -> Raw:
        """Read, lay the change over what is there now, write what differs. A finished creation gets what it lacks."""
        job.key = str(job.write.id).partition(":")[0]
        row = self._calls.one(self._set(job), job.key)
        if self._reader.removed(job.thing, row):
            say = "it is marked for deletion, or has become a document of another operation"
            raise NotFound(f"{self._set(job)}: {say}", cause="marked for deletion")
        job.before = self._record(job, row)
        body = {name: value for name, value in self._body(job, row).items() if not _is(row, name, value)}
        if body:
            row = self._changed(job, row, body)
        if job.write.begun:
            self._parties.add_accounts(job)
        return self._posted(job, row, body)

    def _changed(self, job: Job, row: Raw, body: Raw) -> Raw:
        set_, job.sent = self._set(job), body
        job.calls.append(f"PATCH {set_}")
        try:
            answered = self._calls.change(set_, str(job.key), body, str(row.get("DataVersion") or ""))
        except Changed:
            self._memory.proved(VERSIONS, able=True)
            raise
        if complaint := kept(set_, body, answered):
            raise complaint
        return answered

    def _body(self, job: Job, row: Raw) -> Raw:
        """The native fields of a change to a present object."""
        change = job.write.change
        if job.thing == "order":
            return self._orders.changed(job, row)
        body = dict(change.get("fields") or {})
        if job.thing == "counterparty":
            return body | self._parties.contacts(change)
        return body | (self._payments.resplit(job, row) if "amount" in change else {})

    def _posted(self, job: Job, row: Raw, written: Raw | None = None) -> Raw:
        """Post a document where the settings let us, and read what posting made of it.

        One that a person has posted is posted anew when its rows were written, whatever the settings say: or the books
        would go on with the old ones.
        """
        posted = self._names.get(job.thing, "posted")
        if posted is None:
            return row
        if row.get(posted):
            due = bool(written) and (self._maker.posts or self._names.need(job.thing, "rows") in (written or {}))
        else:
            said = job.write.begun or job.write.change
            begins = job.write.id is None or job.write.begun is not None
            due = self._maker.posts and begins and bool(said.get("post", job.thing == "order"))
        if not due:
            return row
        job.calls.append(f"Post {self._set(job)}")
        self._calls.post(self._set(job), str(job.key))
        return self._calls.one(self._set(job), str(job.key))

    def _written(self, job: Job, row: Raw) -> Written:
        id_ = job.write.id or (f"{job.key}:{job.write.parent}" if job.write.record_type == "payment" else str(job.key))
        raw = self._record(job, row, id_)
        if raw is None:
            say = f"{self._set(job)}: what was written cannot be read: it is not what was asked for"
            raise UnknownOutcome(say, cause="written and not readable")
        return Written(id_, raw, ", ".join(dict.fromkeys(job.calls)), job.before)

    def _record(self, job: Job, row: Raw, id_: str | None = None) -> Raw | None:
        """A row as its translator reads it."""
        wanted = id_ or job.write.id
        return next((one.raw for one in self._reader.records(job.thing, [row]) if one.id == wanted), None)

    def _set(self, job: Job) -> str:
        return self._names.need(job.thing)


def _money(write: Write) -> str:
    """Which document of money a write is of: a new one says it, a present one was read with it."""
    return str(write.change.get("thing") or (write.begun or {}).get("thing") or "receipt")


def _is(row: Raw, name: str, value: Json) -> bool:
    """Whether the object says this already; a table is compared by what is said of its rows."""
    found = row.get(name)
    if not isinstance(value, list) or not isinstance(found, list):
        return name in row and same(value, found)
    return len(value) == len(found) and all(
        same(cell, now.get(cell_name))
        for part, now in zip(value, found, strict=True)
        for cell_name, cell in part.items()
    )
