"""Ports: what the middle asks of adapters, translators and the broker; they are handed in by the composition root."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from bus.envelope import Event
from bus.errors import BusError
from bus.model import Fields, Json, Kind

Raw = dict[str, Json]
"""A record as its own system writes it, untouched, as the adapter read it."""


@dataclass(frozen=True, slots=True)
class Held:
    """One field of a record that could not be translated: held for a person, named, never defaulted."""

    field: str
    table: str
    code: str
    message: str

    @property
    def cause(self) -> str:
        """What letters about it are grouped by."""
        return f"{self.table} {self.code!r}"


@dataclass(frozen=True, slots=True)
class Former:
    """What a record said of some fields until its last change of them, as its system keeps it."""

    fields: Fields
    at: datetime
    """When that was said."""
    replaced_by: str | None = None
    """Who made the last change ("user:1"), where that is told."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What a translator makes of one raw record.

    `data` is canonical, nested, partial (bus.model); `version` starts with the record's growing integer, if any;
    `modified_at` is the record's own modification time; `held` names codes without a mapping; `derived` is what the
    record shows of fields that only the bus may say (bus.model.DERIVED), by their flat names; `former` is what it said
    before, where that was asked for (Retracing).
    """

    data: Json
    version: str
    modified_at: datetime
    actor: str | None = None
    held: tuple[Held, ...] = ()
    derived: Fields = field(default_factory=dict)
    former: Former | None = None


class Tables(Protocol):
    """The code tables of one system (mappings/tables.yaml, with that system's overrides)."""

    def canonical(self, table: str, code: str, *, field: str) -> str:
        """Canonical value of a system's code; UnknownCode if there is none."""
        ...

    def codes(self, table: str, value: str, *, field: str) -> list[str]:
        """Codes that mean a canonical value, the preferred first; UnknownCode if there is none."""
        ...

    def name(self, table: str, key: str) -> str | None:
        """A portal's own name for something of ours: a UF_ field, a property code; None where it is not kept there."""
        ...


class Directories(Protocol):
    """What codes are called at their systems: users, units, organisations, currencies (bus.directories)."""

    def meaning(self, system: str, table: str, code: str) -> str | None:
        """What a code is called there; None when it is not there."""
        ...

    def codes(self, system: str, table: str, meaning: str) -> list[str]:
        """Codes that are called so there."""
        ...

    def called(self, system: str, table: str, code: str) -> str | None:
        """What a code is called there as far as is known without asking."""
        ...


class Translator(Protocol):
    """Two pure functions between a system's record and the canonical fields; a module of mappings/ is one."""

    KIND: Kind
    EVENT: str

    def carries(self, tables: Tables) -> frozenset[str]:
        """Canonical fields this record can hold at this system: what it is read and compared by."""
        ...

    def writes(self, tables: Tables) -> frozenset[str]:
        """Those of them that an existing record can be told; the others are computed there, or set once."""
        ...

    def asks(self, fields: Collection[str], tables: Tables) -> frozenset[str]:
        """Parts of the raw record, beside the record itself, that must be read to tell and to write these fields."""
        ...

    def means(self, field: str, said: Json, wanted: Json) -> bool:
        """Whether a record that says one thing means the other, in such words as it has: then nothing is written."""
        ...

    def to_canonical(self, raw: Raw, tables: Tables) -> Translation:
        """Canonical data of a raw record; an unknown code is left out of `data` and named in `held`."""
        ...

    def from_canonical(self, fields: Fields, present: Raw | None, tables: Tables) -> Raw:
        """The native change that makes `present` (None: a record to create) say `fields`.

        Raises UnknownCode when a value has no code here.
        """
        ...


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A raw record and where it comes from: "deal" 759."""

    type: str
    id: str
    raw: Raw
    gone: bool = False
    """It is deleted there, or marked as that: of `raw` only "@version" is told. By `changed`, where the system can."""
    rest: bool = False
    """It stands for every record whose id begins with this one, and that its page does not tell: they are gone.

    By `changed`, where one object there is several records here, as a document of money is one for each of its orders.
    A record that is new beside one that is gone is that one, under another name: in its `raw` that stands as WAS.
    """


WAS = "@was"
"""In a raw record: the id of the record of its type that it was before."""


class Mappings(Protocol):
    """The registry of mappings/: which translator for which record of which kind of system."""

    def translator(self, system_kind: str, record_type: str) -> Translator:
        """The translator of one record type. Raises ConfigError when there is none."""
        ...

    def record_types(self, system_kind: str) -> Mapping[Kind, str]:
        """Which record type holds which kind of entity in such systems ({"order": "deal"})."""
        ...

    def tables(self, system: str, system_kind: str) -> Tables:
        """Code tables of one system."""
        ...

    def holds(self, system_kind: str, record_type: str, fields: Fields) -> bool:
        """Whether such systems have a record of an entity that says this; where they have none, none is created."""
        ...

    def retraced(self, system_kind: str, record_type: str) -> frozenset[str]:
        """Canonical fields of which such systems tell former values (Retracing)."""
        ...

    def parts(self, system_kind: str, record: RawRecord) -> list[RawRecord]:
        """The records one raw record brings along: a shop order holds its payments."""
        ...


@dataclass(frozen=True, slots=True)
class Write:
    """One write to one record: `id` None creates it under `origin`, our own key there (the entity's id)."""

    record_type: str
    origin: str
    id: str | None
    change: Raw
    parent: str | None = None
    """External id of the record this one belongs to (a payment's order), in the same system."""
    begun: Raw | None = None
    """For a record whose creation nobody knows the end of: what it was to say. The adapter adds what is still missing
    of it and cannot be said by an update (an order's goods); nothing that is there already."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write that took effect: the record as the system holds it now, and the call that carried it.

    `before` is the record as it stood in the very same request, where the system can tell that cheaply: a person's edit
    between our read and our write shows there and nowhere else.
    """

    id: str
    raw: Raw
    call: str
    before: Raw | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A write that did not (or not surely) take effect: one of bus.errors says what happens next."""

    error: BusError
    call: str
    sent: Raw = field(default_factory=dict)
    answered: Raw = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alike:
    """By what a counterparty that we are about to create may be there already, under another key. Empty: not known."""

    name: str | None = None
    inn: str | None = None
    kpp: str | None = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `bus check`: what was looked at, whether it is well, and what to do when it is not."""

    what: str
    ok: bool
    say: str


class Adapter(Protocol):
    """One system's API: transport, auth, paging, limits and errors; knows no canonical field.

    Every method may raise Transient, NotReady, SystemStopped, Permanent or UnknownOutcome for the call as a whole.
    """

    system: str
    kind: str
    batch: int
    """How many records one `write` should be given at most: what one request carries."""
    reach: int
    """How many records a lane takes at a time: the more one request can read, the cheaper the check before a write."""

    def portion(self, record_type: str) -> int:
        """How many records `fetch` reads whole in about a request; what a look-up reads before it commits."""
        ...

    @property
    def latency_s(self) -> float:
        """How long its requests have taken lately, waiting for the budget not counted."""
        ...

    def fetch(self, record_type: str, ids: Sequence[str], parts: Collection[str] | None = None) -> dict[str, Raw]:
        """Present records by external id; one that does not exist (any more) is absent from the answer.

        `parts` names what is wanted beside the records themselves (Translator.asks); None: everything.
        """
        ...

    def glance(self, record_type: str, ids: Sequence[str]) -> dict[str, Raw]:
        """Of each record only what tells its version and who saved it last; empty where that costs as much as reading.

        One that is absent from the answer is to be fetched.
        """
        ...

    def find(self, record_type: str, origins: Sequence[str]) -> dict[str, RawRecord]:
        """Records created under our own keys, by that key: the probe before a create is repeated."""
        ...

    def alike(self, record_type: str, wanted: Mapping[str, Alike]) -> dict[str, list[RawRecord]]:
        """Counterparties there that may be the ones we are about to create, by the key we would create them under.

        Whoever has the INN first, then whoever has a phone or e-mail; at most 20 each, complete as `fetch` reads them.
        """
        ...

    def write(self, writes: Sequence[Write]) -> list[Written | Failed]:
        """Carry out writes; one answer each, in their order. Never repeats a create by itself."""
        ...

    def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
        """Pages of records modified at or after `since`, oldest first; from 1970: of all records, in any order."""
        ...

    def check(self) -> Iterable[Finding]:
        """Try the system: reachable, allowed, and which codes it has that matter to us."""
        ...

    def codes(self, table: str) -> Mapping[str, str]:
        """The live codes of a directory with their names ({"NEW": "Новая"}), for `bus mappings check --live`."""
        ...

    def left(self) -> float:
        """Requests that may be sent before one has to wait for the budget."""
        ...

    def probe(self) -> None:
        """While the system is in doubt, try it with a call that changes nothing; raises that call's error."""
        ...

    def wait(self) -> float:
        """Seconds until a call would be let through by budget and breaker, 0: now. Takes nothing, raises nothing."""
        ...


@runtime_checkable
class Retracing(Protocol):
    """An adapter of a system that keeps how its records came to say what they say."""

    def retrace(self, record_type: str, ids: Sequence[str]) -> dict[str, Raw]:
        """How records came to say what Mappings.retraced names, as parts to be laid over their raw.

        Absent where it is not told. Asked where no answer to a write of ours has shown yet: what a person had said just
        before it stands nowhere else. Raises what calls raise.
        """
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """Something that a person is to do: made once for its key, by whoever is in charge of the record, or `responsible`.

    `record` is what it is about, in the system that the task is made in: ("deal", "759").
    """

    key: str
    title: str
    text: str
    deadline: datetime
    responsible: str
    record: tuple[str, str] | None = None


class Tasks(Protocol):
    """Tasks of a system that people work in. Every method raises what calls raise (bus.errors)."""

    def find(self, key: str) -> str | None:
        """Id of the task that was made for a key: the probe before it is made again."""
        ...

    def add(self, task: Task) -> str:
        """Make it; its id. UnknownOutcome: it may be there."""
        ...

    def hand_over(self, task_id: str, responsible: str) -> None:
        """Give it to somebody else."""
        ...

    def complete(self, task_id: str) -> None:
        """It is done; one that is done already, or gone, is no mistake."""
        ...


class Redis(Protocol):
    """The few commands of a redis.Redis that shared state is kept with."""

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object:
        """Run a script."""
        ...

    def hmget(self, name: str, keys: list[str]) -> object:
        """Some fields of a hash, None for one that is not there."""
        ...

    def hgetall(self, name: str) -> object:
        """A hash."""
        ...


@dataclass(frozen=True, slots=True)
class Spent:
    """What a method has used of its operating time: seconds in its window so far, and when the oldest minute leaves."""

    seconds: float
    reset_at: datetime


class Throttle(Protocol):
    """The request budget of one system: asked before each request, told what came of it."""

    def acquire(self, *, urgent: bool) -> None:
        """Take one request from the budget, waiting a moment if need be. Raises NotReady when it is spent."""
        ...

    def wait(self, *, urgent: bool) -> float:
        """Seconds until a request would be admitted, 0: now. Takes nothing, raises nothing."""
        ...

    def left(self, *, urgent: bool) -> float:
        """Requests that may be sent before one has to wait, infinite without a limit. Takes nothing, raises nothing."""
        ...

    def refused(self) -> None:
        """The system said "too many requests". Raises nothing."""
        ...

    def spent(self, methods: Mapping[str, Spent]) -> None:
        """What an answer told of operating times; a method over its limit is parked. Raises nothing."""
        ...

    def park(self, method: str, until: datetime) -> None:
        """A method's operating time is used up until then. Raises nothing."""
        ...

    def parked(self, methods: Collection[str], *, urgent: bool) -> dict[str, datetime]:
        """Those of the methods that are parked, and until when. Raises nothing."""
        ...


class Bells(Protocol):
    """The transport, as the middle uses it: a bell may be lost, doubled or late; nothing depends on it."""

    def publish(self, events: Sequence[Event]) -> None:
        """Put committed events on their channels, in messages of up to 100."""
        ...

    def ring(self, system: str, *, urgent: bool) -> None:
        """Wake the lane of one system; `urgent` is the payments lane."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it enters the journal: with the raw record it was made of and what of it is held."""

    event: Event
    raw: Raw | None = None
    held: tuple[Held, ...] = ()
    priority: int | None = None
    """bus.channels: by default payments are urgent and the rest is normal."""
    observed_at: datetime | None = None
    """For what we read ourselves: a moment, by the ledger's clock, before the reading began."""
    derived: Fields = field(default_factory=dict)
    """What the record shows of fields that only the bus may say."""
    former: Former | None = None
    """What it said before, where that was asked for."""


@dataclass(frozen=True, slots=True)
class Notification:
    """Record X changed, without saying how: the lane of its system fetches it."""

    system: str
    record_type: str
    external_id: str
    deleted: bool = False
    priority: int | None = None
    correlationid: str | None = None
    whole: bool = False
    """To be read whatever a glance says: something of it may have escaped us."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a committed acceptance came to: how many were new and how many the journal already had."""

    new: int
    known: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one request brought: journaled whole, or not at all."""

    entries: Sequence[Entry] = ()
    notifications: Sequence[Notification] = ()


class Door(Protocol):
    """The one way into the bus: journal, commit, then ring. Returns only after the commit."""

    def accept_all(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        """Journal several arrivals in one transaction: all of them, answered one by one in their order, or none.

        Raises Transient when the ledger cannot be reached.
        """
        ...
