"""The middle of the bus over a real ledger: no systems, no broker; bells are only written down."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event as Tick
from time import monotonic
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from bus.config import Config, Settings, from_document
from bus.envelope import Event, parse
from bus.ledger import entities
from bus.ledger.database import Ledger
from bus.ledger.entities import Known
from bus.merge import Outcome
from bus.model import Fields
from bus.reception import Reception
from workers.bootstrap import Wiring

FULL = {"in": "full", "out": "full"}
ROUTES: dict[str, Any] = {
    "shop": {"order": FULL, "payment": FULL},
    "crm": {"order": FULL},
    "bank": {"payment": {"in": "full"}},
    "onec": {"order": {"in": "full"}, "payment": {"in": "full"}, "counterparty": {"in": "full"}},
}
RUB = {"currency": "RUB"}


def config(folder: str | None = None, **changes: dict[str, Any]) -> Config:
    """A shop, a CRM, a bank and a 1C; `changes` are laid over the systems, `limits` over the limits."""
    systems: dict[str, Any] = {
        "shop": {"kind": "bitrix_cms", "url": "http://127.0.0.1:9/rest/1/shop/"},
        "crm": {"kind": "bitrix24", "url": "http://127.0.0.1:9/rest/1/crm/", "application_token": "token"},
        "bank": {"kind": "events"},
        "onec": {"kind": "events"},
    }
    systems = {name: system | {"routes": ROUTES[name]} | changes.pop(name, {}) for name, system in systems.items()}
    return from_document({"systems": systems, "mappings": folder, "limits": {}} | changes, {})


@dataclass
class Notes:
    """Bells that are only written down."""

    published: list[Event] = field(default_factory=list)
    rung: list[tuple[str, bool]] = field(default_factory=list)

    def publish(self, events: Sequence[Event]) -> None:
        self.published += events

    def ring(self, system: str, *, urgent: bool) -> None:
        self.rung.append((system, urgent))


@dataclass
class Middle:
    """One process's middle of the bus."""

    wiring: Wiring
    bells: Notes

    @property
    def ledger(self) -> Ledger:
        return self.wiring.ledger

    @cached_property
    def reception(self) -> Reception:
        return Reception(self.ledger, self.wiring.pipeline)

    def take(self, *documents: dict[str, Any] | Event) -> Counter[Outcome]:
        """One batch through the path, with whatever it wakes."""
        events = [item if isinstance(item, Event) else parse(item) for item in documents]
        outcomes = self.wiring.pipeline.process(events)
        return outcomes + self.heard()

    def heard(self) -> Counter[Outcome]:
        """Take what was published meanwhile, until nothing is."""
        outcomes: Counter[Outcome] = Counter()
        while self.bells.published:
            events, self.bells.published = self.bells.published, []
            outcomes += self.wiring.pipeline.process(events)
        return outcomes

    def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        with self.ledger.transaction() as connection:
            found = connection.execute(query, params)
            return list(found.fetchall()) if found.description else []

    def one(self, query: str, *params: Any) -> dict[str, Any]:
        found = self.rows(query, *params)
        assert len(found) == 1, found
        return found[0]

    def entity(self, key: str, kind: str = "order") -> Known:
        """The entity known by a key."""
        found = self.one("SELECT entity_id FROM identity WHERE kind = %s AND key = %s", kind, key)
        with self.ledger.transaction() as connection:
            return entities.load(connection, [found["entity_id"]])[found["entity_id"]]

    def fields(self, key: str, kind: str = "order") -> Fields:
        return self.entity(key, kind).view.fields

    def outcome(self, subject: str) -> list[str]:
        return [
            row["outcome"] for row in self.rows("SELECT outcome FROM event WHERE subject = %s ORDER BY seq", subject)
        ]

    def due(self, entity: UUID | None = None) -> set[str]:
        """Systems that an entity (or any) is due to."""
        found = self.rows("SELECT entity_id, system FROM delivery WHERE state = 'due'")
        return {row["system"] for row in found if entity in (None, row["entity_id"])}

    def letters(self, state: str = "open") -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM dead_letter WHERE state = %s ORDER BY id", state)


@contextmanager
def built(database_url: str, file: Config | None = None) -> Iterator[Middle]:
    """A middle on this ledger; several may be built on one, as several processes are."""
    settings = Settings(database_url=SecretStr(database_url), broker_url=SecretStr("redis://127.0.0.1:9/0"))
    wiring = Wiring(settings, file or config())
    bells = Notes()
    wiring.__dict__["bells"] = bells
    try:
        yield Middle(wiring, bells)
    finally:
        wiring.ledger.close()


def order(
    external_id: int | str = 1, at: str = "2026-10-05T10:00:00Z", version: int | None = None, **data: Any
) -> Event:
    """An order as the shop tells of it."""
    return said("shop", "order", f"order/{external_id}", at, version, data)


def deal(
    external_id: int | str = 7, at: str = "2026-10-05T10:00:00Z", version: int | None = None, **data: Any
) -> Event:
    """An order as the CRM tells of it."""
    return said("crm", "deal", f"deal/{external_id}", at, version, data)


def payment(
    external_id: int | str = 5,
    at: str = "2026-10-05T10:00:00Z",
    version: int | None = None,
    *,
    source: str = "bank",
    **data: Any,
) -> Event:
    """A payment, as the bank tells of it unless said otherwise."""
    return said(source, "payment", f"payment/{external_id}", at, version, data)


def said(source: str, kind: str, subject: str, at: str, version: int | None, data: dict[str, Any]) -> Event:
    return parse(
        {
            "source": source,
            "type": f"{kind}.changed",
            "subject": subject,
            "time": at,
            "data": data,
            **({"sourceversion": str(version)} if version is not None else {}),
        }
    )


def gone(source: str, kind: str, subject: str, at: str = "2026-10-06T10:00:00Z") -> Event:
    return parse({"source": source, "type": f"{kind}.deleted", "subject": subject, "time": at})


def rub(amount: int | str) -> dict[str, str]:
    return {"amount": f"{amount}", "currency": "RUB"}


def to_order(external_id: int | str = 1, system: str = "shop", kind: str = "order") -> dict[str, str]:
    """A reference to a record of an order."""
    return {"system": system, "type": kind, "id": str(external_id)}


def eventually(holds: Callable[[], Any], deadline_s: float = 10.0) -> Any:
    """Wait until something holds, at most so long; what it came to."""
    end, tick = monotonic() + deadline_s, Tick()
    while not (found := holds()):
        assert monotonic() < end, f"it did not come to pass in {deadline_s} s"
        tick.wait(0.01)
    return found
