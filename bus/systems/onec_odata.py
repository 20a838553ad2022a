"""A 1C base by its OData interface: customer orders, payments and counterparties of УТ, КА and ERP, БП, УНФ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bus.config import System
from bus.errors import BusError, ConfigError
from bus.ports import Alike, Failed, Finding, Raw, RawRecord, Write, Written
from bus.systems.onec_calls import Calls
from bus.systems.onec_changes import Changes
from bus.systems.onec_finding import CONTACTS, OWN_KEYS, VERSIONS, Finder
from bus.systems.onec_memory import Memory
from bus.systems.onec_metadata import Published, missing, needed, published
from bus.systems.onec_names import Names, names_of
from bus.systems.onec_reading import RECORDS, Reader
from bus.systems.onec_shelf import Shelf
from bus.systems.onec_writing import Writer

_CHECKSUM = "metadata"


@dataclass(frozen=True)
class _Base:
    """What all copies of an adapter share."""

    config: System
    names: Names
    memory: Memory
    shelf: Shelf


class OneC:
    """Adapter of kind "onec", record types "order", "payment", "counterparty".

    Raw is the object as the base gives it, with "@…" keys for what was read along (bus.systems.onec_reading). An object
    with a deletion mark is absent, as one that is gone: nothing is ever deleted there by us.
    """

    kind = "onec"
    batch = 5
    """A write is one to four requests of a second or more each, and a base is written by one at a time."""
    reach = 25

    def __init__(self, system: str, config: System, calls: Calls, memory: Memory, shared: _Base | None = None) -> None:
        self.system = system
        self._shared = shared or _Base(config, names_of(config.settings), memory, Shelf())
        self._calls = calls
        base = self._shared
        self._reader = Reader(calls, base.names, config.settings, base.shelf)
        self._finder = Finder(self._reader, memory)
        self._writer = Writer(self._reader, self._finder, memory, config)
        self._changes = Changes(self._reader, memory, config)

    def with_urgency(self, urgent: bool) -> OneC:
        """A copy that shares connections, limits and what is kept, and may (or may not) use the payments' reserve."""
        base = self._shared
        return OneC(self.system, base.config, self._calls.with_urgency(urgent), base.memory, base)

    def portion(self, record_type: str) -> int:
        """As many as an address holds, of any."""
        del record_type
        return self.reach

    def wait(self) -> float:
        """Seconds until a call would be let through by budget, breaker and slots, 0: now."""
        return self._calls.wait()

    def left(self) -> float:
        """Requests that may be sent before one has to wait for the budget."""
        return self._calls.left()

    def probe(self) -> None:
        """While the base is in doubt, try it with the smallest of reads; raises that read's error."""
        self._calls.probe(self._shared.names.need("directories", "currencies"))

    def follow(self, config: System) -> Callable[[], None]:
        """Get ready for the login that the configuration has now; what is returned takes it, for all copies."""
        return self._calls.follow(config)

    def close(self) -> None:
        """Close the connections, for all copies."""
        self._calls.close()

    @property
    def latency_s(self) -> float:
        """How long requests have taken lately, in seconds."""
        return self._calls.latency_s

    def fetch(self, record_type: str, ids: Sequence[str], parts: Collection[str] | None = None) -> dict[str, Raw]:
        """Some thirty objects in a request, as many as an address holds, and what belongs to all of them in one more.

        Objects marked for deletion are absent: to everybody else they are removed.
        """
        found = self._reader.fetch(record_type, [one.lower() for one in ids], parts)
        return {one: found[one.lower()] for one in ids if one.lower() in found}

    def glance(self, record_type: str, ids: Sequence[str]) -> dict[str, Raw]:
        """Nothing: a base tells nobody of changes, so there are no echoes to be told apart."""
        del record_type, ids
        return {}

    def find(self, record_type: str, origins: Sequence[str]) -> dict[str, RawRecord]:
        """Objects created under our keys: by their own key, or by our mark where the base does not take keys."""
        found: dict[str, RawRecord] = {}
        for thing in self._things(record_type):
            left = [origin for origin in origins if origin not in found]
            rows = self._finder.ours(self._shared.names.need(thing), thing, left) if left else {}
            for origin in left:
                if origin.lower() in rows and (records := self._reader.records(thing, [rows[origin.lower()]])):
                    found[origin] = records[0]
        return found

    def alike(self, record_type: str, wanted: Mapping[str, Alike]) -> dict[str, list[RawRecord]]:
        """Counterparties by INN; those without one by phone or e-mail, else by name. Marked ones do not count."""
        if record_type != "counterparty":
            return {}
        rows = self._finder.alike(wanted)
        return {key: self._reader.records("counterparty", some) for key, some in rows.items()}

    def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
        """Objects with another version than the one handed over last (bus.systems.onec_changes)."""
        _known(record_type)
        yield from self._changes.since(record_type, since)

    def write(self, writes: Sequence[Write]) -> list[Written | Failed]:
        """One after the other, each read before and compared after. Never raises for the call as a whole."""
        for write in writes:
            _known(write.record_type)
        return [self._writer.write(write) for write in writes]

    def check(self) -> Iterable[Finding]:
        """Reachable, user let in, objects and fields published as the configuration names them, what the base can."""
        try:
            self._calls.rows(self._shared.names.need("directories", "currencies"), {"$top": "1"})
        except BusError as error:
            return [Finding("connection", ok=False, say=str(error))]
        try:
            base = published(self._calls.metadata())
        except BusError as error:
            return [
                Finding("connection", ok=True, say="the base answers"),
                Finding("metadata", ok=False, say=str(error)),
            ]
        return [
            Finding("connection", ok=True, say="the base answers"),
            self._metadata(base),
            *self._names_found(base),
            *self._abilities(),
        ]

    def codes(self, table: str) -> Mapping[str, str]:
        """Directories by key: currencies, organisations, users, units; states of УНФ's orders by their name."""
        if table == "order_state" and self._shared.names.has("states"):
            names = (str(row.get("Description")) for row in self._reader.states().values())
            return {name: name for name in names}
        if not self._shared.names.get("directories", table) or table == "banks":
            return {}
        self._shared.shelf.forget(table)
        return {key: str(row.get("Description") or "") for key, row in self._reader.directory(table).items()}

    def _things(self, record_type: str) -> tuple[str, ...]:
        _known(record_type)
        return self._reader.money if record_type == "payment" else (record_type,)

    def _metadata(self, base: Published) -> Finding:
        before = self._shared.memory.known(_CHECKSUM)
        self._shared.memory.learn(_CHECKSUM, base.checksum)
        news = "" if before in (None, base.checksum) else "; it changed since the last check: the base was updated"
        return Finding("metadata", ok=True, say=f"{len(base.sets)} sets are published{news}")

    def _names_found(self, base: Published) -> Iterator[Finding]:
        lacking = list(missing(self._shared.names, base))
        if not lacking:
            yield Finding("names", ok=True, say="everything that the bus reads and writes is there")
        for role, name in lacking:
            way = f'say settings.name.{role}: how this base calls it, or "-" where it keeps none'
            if role.endswith(".set") or role.startswith("directories."):
                way = f"publish it in the base's settings of OData, or {way}"
            yield Finding(f"names {role}", ok=not needed(role), say=f"the base has no {name}: {way}")

    def _abilities(self) -> Iterator[Finding]:
        """Not tried here: that would write. What calls have shown so far."""
        told = {None: "not tried yet", True: "yes", False: "no"}
        says = {
            OWN_KEYS: "objects can be created under keys of ours: {}; else they are found by a mark in a text",
            CONTACTS: "counterparties can be found by phone and e-mail: {}",
            VERSIONS: "a write over somebody else's is refused: {}; each is read just before, and compared after",
        }
        for what, say in says.items():
            yield Finding(what, ok=True, say=say.format(told[self._shared.memory.able(what)]))


def _known(record_type: str) -> None:
    if record_type not in RECORDS:
        raise ConfigError(f"onec has no records of type {record_type!r}, only {', '.join(RECORDS)}")
