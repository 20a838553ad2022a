"""Erasing: a person is taken out of the ledger and does not come back; sums, dates and numbers stay.

    look       whom and what it concerns: the counterparty, its orders by INN, phone or e-mail, files that hold it
    close      their records are noted as erased: from here on nothing personal is taken in of them, nothing new written
    barrier    whoever journaled before that has ended, and so has what was on its way to a system
    scrub      every table, in one transaction; the bodies of files before it
    look again every table, by what tells the person

Broken off anywhere, the same command goes on. The systems keep what they have: they are told nothing of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from uuid import UUID

import psycopg
import structlog

from bus import exchange_archives, exchange_names, matching, traces
from bus.config import Config
from bus.errors import BadInput, Transient
from bus.leased import MOST, nap
from bus.ledger import entities, erased, erasing, exchange, journal, letters, naming, traits
from bus.ledger.database import Connection, Ledger
from bus.ledger.entities import Known
from bus.ledger.erasing import Found
from bus.ledger.exchange import File
from bus.model import Fields
from bus.ports import Bells, Notification
from bus.traces import Traces

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_AGAIN_S = 0.2
_BARRIER_S = 120.0
_INN_DIGITS = (10, 12)


@dataclass(frozen=True, slots=True)
class Order:
    """An order that is the person's, or that may be, and why."""

    entity: UUID
    number: str
    why: str


@dataclass(slots=True)
class Plan:
    """What erasing somebody concerns."""

    parties: list[UUID] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    possible: list[Order] = field(default_factory=list)
    """Alike in a phone or an e-mail, under another name: only a person can tell."""
    alike: list[tuple[str, str]] = field(default_factory=list)
    """Other counterparties that share something with this one, and why; they stay."""
    asked: list[int] = field(default_factory=list)
    """Open questions whether a record is this person: better answered before."""
    records: list[str] = field(default_factory=list)
    """What is theirs in the systems, which the bus does not touch."""
    files: list[int] = field(default_factory=list)
    """Files of exchanges that hold the person, read to their end."""
    busy: list[int] = field(default_factory=list)
    """Such files that are still to be read."""
    traces: Traces = field(default_factory=lambda: Traces(frozenset(), frozenset()))


@dataclass(frozen=True, slots=True)
class Done:
    """What erasing came to."""

    rows: dict[str, int]
    """Rows that were touched, by table."""
    files: list[int]
    """Files whose bodies were dropped."""
    left: dict[str, int]
    """Rows in which something of the person is still found, by table: other people's, who share it."""


class Erasing:
    """Takes people out of the ledger, while the bus is at work."""

    def __init__(self, ledger: Ledger, config: Config, bells: Bells, *, margin_s: float = 5.0) -> None:
        """`margin_s`: so much longer than a claim may be held is waited for the answer to a call."""
        self._ledger, self._config, self._bells = ledger, config, bells
        self._patience_s = MOST * config.limits.lease_s + margin_s

    # --- whom it concerns --------------------------------------------------------------------------------------------

    def plan(self, counterparty: str | None, orders: Sequence[str] = ()) -> Plan:
        """What it would concern; nothing is changed. Raises BadInput for what is not known, or names several."""
        with self._ledger.transaction() as connection:
            parties = [self._party(connection, counterparty)] if counterparty else []
            named = [self._order(connection, number) for number in orders]
            people = list(entities.load(connection, [*parties, *named]).values())
            plan = Plan(
                parties, [_order(known.id, known.view.fields, "named") for known in people if known.id in named]
            )
            self._add_orders(connection, plan, people)
            plan.alike = [one for known in people if known.id in parties for one in _alike(connection, known)]
            plan.asked = erasing.asked_about(connection, parties)
            found = _found(connection, plan)
            plan.records = sorted({f"{system} {subject}" for system, subject, _ in found.records if system != "bus"})
            plan.traces = traces.of(erasing.values(connection, found.everything))
        plan.files, plan.busy = self._files(plan.traces.any)
        return plan

    def _party(self, connection: Connection, key: str) -> UUID:
        """By the entity's id, a record or an INN; one that was erased before by its record too."""
        system, _, subject = key.partition("/")
        entity = naming.by_id(key) or naming.by_record(connection, key)
        entity = entity or (erased.of_record(connection, system, subject) if subject else None)
        if entity is None and len(key) in _INN_DIGITS and key.isdigit():
            entity = _only(naming.by_inn(connection, key))
        kept = naming.kept(connection, entity) if entity else None
        if kept is None or entities.load(connection, [kept])[kept].view.kind != "counterparty":
            say = "no such counterparty; give an entity's id, a record such as crm/party/company:12, or an INN"
            raise BadInput(say, field="counterparty")
        return kept

    def _order(self, connection: Connection, number: str) -> UUID:
        entity = naming.by_id(number) or naming.by_record(connection, number)
        entity = entity or naming.by_number(connection, number, self._config.numbering_system)
        kept = naming.kept(connection, entity) if entity else None
        if kept is None or entities.load(connection, [kept])[kept].view.kind != "order":
            say = f"there is no order {number!r}; give its number, a record such as shop/order/236, or an entity's id"
            raise BadInput(say, field="order")
        return kept

    @staticmethod
    def _add_orders(connection: Connection, plan: Plan, people: Sequence[Known]) -> None:
        """The orders of these people: a counterparty's are its own, those like an order are only shown."""
        has = [_has(known.view.fields) for known in people]
        known = {order.entity for order in plan.orders}
        for row in erasing.orders_like(
            connection,
            [one for each in has for one in each.inns],
            [one for each in has for one in each.phones],
            [one for each in has for one in each.emails],
        ):
            whys = [one for person in people if (one := _why(person, row["fields"]))]
            if whys and row["id"] not in known:
                sure, most = max(whys)
                (plan.orders if sure else plan.possible).append(_order(row["id"], row["fields"], most))

    # --- carrying it out ---------------------------------------------------------------------------------------------

    def carry_out(self, plan: Plan, actor: str) -> Done:
        """Erase. Raises Transient when writers or systems do not end in time: nothing is lost, the same goes on later.

        Raises BadInput while a file that holds the person is still to be read.
        """
        if plan.busy:
            some = ", ".join(map(str, plan.busy))
            raise BadInput(f"exchange files {some} hold this person and are still to be imported; then say it again")
        self._ledger.run(lambda connection: erasing.close(connection, _found(connection, plan)))
        self._let_writers_end()
        self._let_calls_end(plan)
        dropped = [file for file in self._files(plan.traces.any)[0] if self._drop(file)]
        touched = self._ledger.run(partial(self._scrub, plan, actor, len(dropped)))
        log.info("erasing.done", entities=[str(one) for one in _roots(plan)], orders=len(plan.orders), rows=touched)
        with self._ledger.transaction() as connection:
            pattern = plan.traces.any
            return Done(touched, dropped, erasing.left(connection, pattern) if pattern else {})

    def _scrub(self, plan: Plan, actor: str, files: int, connection: Connection) -> dict[str, int]:
        found = _found(connection, plan)
        touched = dict(erasing.scrub(connection, found, plan.traces.certain or erasing.NOWHERE))
        detail = {"orders": len(plan.orders), "files": files, "rows": touched}
        for entity in plan.parties or [order.entity for order in plan.orders]:
            letters.acted(connection, actor, "erase", f"entity {entity}", detail)
        return touched

    def _let_writers_end(self) -> None:
        until = monotonic() + _BARRIER_S
        while not self._ended():
            if monotonic() > until:
                raise Transient("the journal is being written to all the time; say it again", cause="journal busy")

    def _ended(self) -> bool:
        with self._ledger.transaction() as connection:
            try:
                erasing.let_writers_end(connection)
            except psycopg.errors.LockNotAvailable:
                connection.rollback()
                return False
        return True

    def _let_calls_end(self, plan: Plan) -> None:
        """What was sent before we began is answered, or its claim has lapsed: no answer brings anything back."""
        until = monotonic() + self._patience_s
        while self._ledger.run(lambda connection: erasing.in_flight(connection, _found(connection, plan))):
            if monotonic() > until:
                raise Transient("calls to a system do not end; say it again", cause="calls under way")
            nap(_AGAIN_S)

    # --- files of exchanges ------------------------------------------------------------------------------------------

    def _files(self, pattern: str | None) -> tuple[list[int], list[int]]:
        """Files whose bodies hold this: read to their end, and still to be read."""
        if pattern is None:
            return [], []
        with self._ledger.transaction() as connection:
            kept = exchange.kept(connection)
        holding = [file for file in kept if self._holds(file, pattern)]
        ended = [file.id for file in holding if file.state in ("done", "failed", "aside")]
        return ended, [file.id for file in holding if file.id not in ended]

    def _holds(self, file: File, pattern: str) -> bool:
        """A body that is no archive though it is called so is looked through as it is."""
        if exchange_names.is_archive(file.place.name):
            most = self._config.limits.exchange_file_bytes
            try:
                inner = exchange_archives.files(self._chunks(file.id), lambda _: True, most=most)
                return any(traces.found(pattern, chunks) for _, chunks in inner)
            except BadInput:
                pass
        return traces.found(pattern, self._chunks(file.id))

    def _chunks(self, file: int) -> Iterator[bytes]:
        n = 0
        while (body := self._chunk(file, n)) is not None:
            yield body
            n += 1

    def _chunk(self, file: int, n: int) -> bytes | None:
        with self._ledger.transaction() as connection:
            return exchange.chunk(connection, file, n)

    def _drop(self, file: int) -> bool:
        return self._ledger.run(partial(exchange.erase, file_id=file))

    # --- taking it back ----------------------------------------------------------------------------------------------

    def lift(self, key: str, actor: str) -> int:
        """Take in again what a record, or an order, says from now on. How many records that opens.

        What the bus can ask for is asked for at once. Raises BadInput when nothing of that name was erased.
        """
        opened, asked = self._ledger.run(partial(self._lift, key, actor))
        for system in sorted({item.system for item in asked}):
            self._bells.ring(system, urgent=False)
        return opened

    def _lift(self, key: str, actor: str, connection: Connection) -> tuple[int, list[Notification]]:
        system, _, subject = key.partition("/")
        entity = erased.of_record(connection, system, subject) if subject else None
        if entity is None:
            entity = naming.by_id(key) or naming.by_number(connection, key, self._config.numbering_system)
        if entity is None:
            say = "nothing of that name was erased; give a record such as crm/party/company:12, or an order's number"
            raise BadInput(say, field="lift")
        found = erasing.family(connection, [], [entity])
        names = {(one, name) for one, name, _ in found.records} | ({(system, subject)} if subject else set())
        opened = erased.lift(connection, found.everything, names)
        if not opened:
            raise BadInput("that was not erased, or is lifted already", field="lift")
        letters.acted(connection, actor, "lift erasure", f"entity {entity}", {"records": opened})
        return opened, self._asked_for(connection, names)

    def _asked_for(self, connection: Connection, names: Collection[tuple[str, str]]) -> list[Notification]:
        wanted = [
            Notification(system, record_type, external_id, whole=True)
            for system, (record_type, _, external_id) in sorted((one, name.partition("/")) for one, name in names)
            if system in self._config.called and not external_id.startswith("erased-")
        ]
        journal.notify(connection, wanted)
        return wanted


@dataclass(frozen=True, slots=True)
class _Has:
    """What somebody is told by, as orders have it."""

    inns: frozenset[str]
    kpp: str | None
    phones: frozenset[str]
    emails: frozenset[str]
    words: frozenset[str]


def _has(fields: Fields) -> _Has:
    names = ("name", "legal_name", "customer.name", "customer.company")
    return _Has(
        _set([fields.get("inn"), fields.get("customer.inn")]),
        fields.get("kpp") or fields.get("customer.kpp"),
        _set([*(fields.get("phones") or []), fields.get("customer.phone")]),
        frozenset(one.lower() for one in _set([*(fields.get("emails") or []), fields.get("customer.email")])),
        frozenset(word for name in names for word in traces.words(fields.get(name))),
    )


def _set(values: Sequence[str | None]) -> frozenset[str]:
    return frozenset(value for value in values if value)


def _why(person: Known, order: Fields) -> tuple[bool, str] | None:
    """Whether an order is surely this person's, and why it is at all; None: another's. Two INNs are two people."""
    his, its = _has(person.view.fields), _has(order)
    if his.inns and its.inns:
        if not his.inns & its.inns or (his.kpp and its.kpp and his.kpp != its.kpp):
            return None
        return person.view.kind == "counterparty", "the same INN"
    shared = [what for what, both in (("phone", his.phones & its.phones), ("e-mail", his.emails & its.emails)) if both]
    if not shared:
        return None
    named = not (his.words and its.words) or bool(his.words & its.words)
    why = f"the same {' and '.join(shared)}"
    return person.view.kind == "counterparty" and named, why if named else f"{why}, another name"


def _alike(connection: Connection, known: Known) -> list[tuple[str, str]]:
    near = {one for some in traits.sharing(connection, matching.traits(known.view.fields)).values() for one in some}
    found = traits.parties(connection, near - {known.id})
    judged = {entity: matching.likeness(known.view.fields, party.fields) for entity, party in sorted(found.items())}
    return [(str(entity), "; ".join(likeness.why)) for entity, likeness in judged.items() if likeness.possible]


def _order(entity: UUID, fields: Fields, why: str) -> Order:
    return Order(entity, str(fields.get("number") or entity), why)


def _only(found: Sequence[UUID]) -> UUID | None:
    if len(found) > 1:
        some = ", ".join(map(str, found))
        raise BadInput(f"several counterparties have this INN, say which: {some}", field="counterparty")
    return found[0] if found else None


def _roots(plan: Plan) -> list[UUID]:
    return [*plan.parties, *(order.entity for order in plan.orders)]


def _found(connection: Connection, plan: Plan) -> Found:
    return erasing.family(connection, plan.parties, [order.entity for order in plan.orders])
