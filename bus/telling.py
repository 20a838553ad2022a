"""Telling: what is due at a 1C as whole documents: an order with its payments, claimed, written, and noted as told.

CommerceML has no change of a part, and a payment has no place but beside its order. So deliveries are gathered by
order; one that cannot be told becomes a dead letter, and holds nothing else up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

from bus import claimed, merge
from bus.claimed import Job
from bus.errors import POISON, BusError, Dropped, NotReady, Permanent
from bus.ledger import deliveries, entities, offers, records
from bus.ledger.database import Connection
from bus.ledger.entities import Known
from bus.ledger.records import Creation
from bus.model import Fields
from bus.parts import Parts
from bus.ports import Raw, Tables, Translator
from bus.settling import Failure, Settling
from bus.systems import commerceml_writer as writer
from bus.systems.commerceml import Profile
from bus.systems.commerceml_writer import Outgoing

BATCH = 50
"""Deliveries in one answer; 1C takes them in within one transaction."""
_LATER = timedelta(minutes=5)


@dataclass(slots=True)
class _Told:
    """One record as the answer tells it."""

    known: Known
    type: str
    external_id: str
    told: Fields
    """What of it is news there: everything, for one to create."""
    creating: bool
    job: Job | None
    """Its delivery; none where the record only comes along."""


@dataclass(slots=True)
class _Family:
    """An order with its payments, each with its claimed delivery, where there is one."""

    order: Known
    job: Job | None = None
    payments: list[tuple[Known, Job | None]] = field(default_factory=list)

    @property
    def jobs(self) -> list[Job]:
        """All claimed deliveries."""
        return [job for job in [self.job, *(job for _, job in self.payments)] if job]


@dataclass(frozen=True, slots=True)
class _Written:
    """A family's document and the records that it tells."""

    document: Outgoing
    told: Sequence[_Told]


class Telling:
    """One answer to one system."""

    def __init__(self, system: str, profile: Profile, parts: Parts) -> None:
        self._system, self._profile, self._parts = system, profile, parts
        self._limits = parts.config.limits
        self._config = parts.config.systems[system]
        self._tables: Tables = parts.mappings.tables(system, self._config.kind)
        self._types = parts.mappings.record_types(self._config.kind)
        self._settling = Settling(system, parts)

    def documents(self, lease: UUID) -> list[Outgoing]:
        """The documents to send, claimed and noted."""
        written: list[_Written] = []
        taken: dict[str, UUID] = {}
        for family in self._families(lease):
            try:
                if one := self._written(family, taken):
                    written.append(one)
            except (BusError, *POISON) as error:
                self._settling.fail(self._failures(family, _said(error)))
        return self._parts.ledger.run(lambda connection: self._note(connection, lease, written))

    def _failures(self, family: _Family, error: BusError) -> list[Failure]:
        """The order's trouble is its own; its payments wait for it."""
        if family.job is None:
            return [Failure(job, error) for job in family.jobs]
        later = [Failure(job, self._too_early()) for _, job in family.payments if job]
        return [Failure(family.job, error), *later]

    def _too_early(self) -> NotReady:
        until = self._parts.now() + _LATER
        return NotReady("the payment's order is not in this system yet", until=until, cause="order not there yet")

    # --- what there is to tell -------------------------------------------------------------------------------------

    def _families(self, lease: UUID) -> list[_Family]:
        """Claimed deliveries by order; what needs no telling, or has no way there, is ended here."""
        jobs = self._wanted(self._claimed(lease))
        with self._parts.ledger.transaction() as connection:
            ids = {job.known.parent_id or job.id for job in jobs}
            children = offers.payments(connection, ids)
            known = entities.load(connection, [*ids, *children])
            self._since = offers.since(connection, [*ids, *children])
        by_id = {job.id: job for job in jobs}
        families = {id_: _Family(known[id_], by_id.get(id_)) for id_ in ids if known[id_].view.kind == "order"}
        for id_ in children:
            parent = known[id_].parent_id
            if parent in families:
                families[parent].payments.append((known[id_], by_id.get(id_)))
        first = {job.known.parent_id or job.id: at for at, job in reversed(list(enumerate(jobs)))}
        return sorted(families.values(), key=lambda family: first[family.order.id])

    def _claimed(self, lease: UUID) -> list[Job]:
        limit = int(self._config.settings.get("batch", BATCH))

        def claim(connection: Connection) -> list[Job]:
            return claimed.jobs(connection, self._system, offers.claim(connection, self._system, lease, limit=limit))

        return self._parts.ledger.run(claim)

    def _wanted(self, jobs: Sequence[Job]) -> list[Job]:
        """Those to go on with. Counterparties are told within orders only, payments not by every profile."""
        tellable = {"order", "payment"} if writer.tells_payments(self._profile) else {"order"}
        idle = [job for job in jobs if job.known.view.kind not in tellable or not self._differs(job.known)]
        looping = [job for job in jobs if job not in idle and self._loops(job)]
        self._settling.idle(idle)
        self._settling.park(looping)
        return [job for job in jobs if job not in idle and job not in looping]

    def _differs(self, known: Known) -> bool:
        return self._parts.pipeline.differs(known, self._system)

    def _loops(self, job: Job) -> bool:
        window = timedelta(seconds=self._limits.loop_window_s)
        since = job.row["writes_since"] > self._parts.now() - window
        return bool(job.row["writes"] >= self._limits.loop_writes and since)

    # --- how it is told ----------------------------------------------------------------------------------------------

    def _written(self, family: _Family, taken: dict[str, UUID]) -> _Written | None:
        """A family's document. Raises BusError when it cannot be told, as it is or now."""
        if family.order.deleted_in(self._system):
            self._settling.idle(family.jobs)
            return None
        linked = family.order.primary(self._system)
        if family.job is None and (linked is None or linked.state == "creating"):
            raise self._too_early()
        given = self._given(family.order)
        raw = self._raw(family.order, given, {})
        number = writer.number(raw)
        self._claim_number(family.order, number, taken)
        payments = self._payments(family, given or number)
        told = [self._told(family.order, family.job, given or number), *(one for _, one in payments)]
        if not any(one.job for one in told):
            return None
        self._refuse_what_was_kept(told[0])
        document = Outgoing(raw, tuple(payment for payment, _ in payments))
        writer.check(document, self._profile)
        return _Written(document, told)

    def _refuse_what_was_kept(self, order: _Told) -> None:
        """An order that 1C took and left as it was is not offered for ever: a person hears of it. Raises Dropped.

        Sent again by him, it is offered once more.
        """
        linked = order.known.primary(self._system)
        if linked is None or linked.id is None or order.job is None or order.creating or not order.told:
            return
        before, base = linked.view.telling, linked.view.base
        if all(name in before and before[name] == base.get(name) for name in order.told):
            self._parts.ledger.run(partial(_forget, order.known.id, linked.id))
            names = ", ".join(sorted(order.told))
            say = f"1C took the order and kept its old {names}: a manager has approved it; change it there, then retry"
            raise Dropped(say, cause=f"dropped {names}")

    def _payments(self, family: _Family, parent: str) -> list[tuple[Raw, _Told]]:
        """The payments that go along; of one that this 1C does not take from a site (not paid yet) nothing is told."""
        found, untold = [], []
        for known, job in family.payments:
            if not self._comes_along(known, job):
                continue
            external_id = self._given(known) or f"{entities.NAMED}{known.id}"
            raw = self._raw(known, external_id, {"@parent": parent})
            if writer.takes(raw, self._profile):
                found.append((raw, self._told(known, job, external_id)))
            elif job:
                untold.append(job)
        self._settling.idle(untold)
        return found

    def _raw(self, known: Known, given: str | None, more: Fields) -> Raw:
        """The whole record in this system's words, with what else its document is made of."""
        context = {
            "@records": claimed.records(known),
            "@origin": str(known.id),
            "@id": given,
            "@at": self._since[known.id].isoformat(),
        }
        return self._translator(known).from_canonical(self._fields(known) | context | more, None, self._tables)

    def _fields(self, known: Known) -> Fields:
        """All that the record can hold. What a person is still to decide stays what it is there."""
        linked = known.primary(self._system)
        base = linked.view.base if linked else {}
        carried = self._translator(known).carries(self._tables)
        fields = {name: value for name, value in known.view.fields.items() if name in carried}
        for name in known.view.frozen.keys() & fields.keys():
            if name in base:
                fields[name] = base[name]
            else:
                del fields[name]
        return fields

    def _given(self, known: Known) -> str | None:
        """The id that this record has there: its own, or the number that it was first offered under."""
        linked = known.primary(self._system)
        return linked.external_id if linked else None

    def _told(self, known: Known, job: Job | None, external_id: str) -> _Told:
        """What of the document is news there, and so our own word when it comes back."""
        linked, translator = known.primary(self._system), self._translator(known)
        creating = linked is None or linked.state == "creating"
        if linked is None or creating:
            told = {name: value for name, value in self._fields(known).items() if name not in known.view.frozen}
        else:
            told = merge.due(known.view, linked.view.base, translator.writes(self._tables), translator.means)
        return _Told(known, self._types[known.view.kind], external_id, told, creating, job)

    def _comes_along(self, known: Known, job: Job | None) -> bool:
        """Payments that are due, and those that were told before: a document is whole, and names all of ours."""
        if known.deleted_in(self._system):
            return False
        linked = known.primary(self._system)
        ours = linked is not None and (linked.written_at is not None or linked.state == "creating")
        return job is not None or ours

    def _claim_number(self, known: Known, number: str, taken: dict[str, UUID]) -> None:
        """1C knows an order by its number: a second one of that number would be written over the first."""
        key = f"{self._system}/{self._types['order']}/{number}"
        with self._parts.ledger.transaction() as connection:
            owner = entities.find(connection, "order", [key]).get(key, known.id)
        if {owner, taken.setdefault(number, known.id)} != {known.id}:
            say = f"number: {number} is another order's at {self._system}; give one of them another number, then retry"
            raise Permanent(say, cause="order number taken")

    def _translator(self, known: Known) -> Translator:
        return self._parts.mappings.translator(self._config.kind, self._types[known.view.kind])

    # --- what is noted before the answer leaves ----------------------------------------------------------------------

    def _note(self, connection: Connection, lease: UUID, written: Sequence[_Written]) -> list[Outgoing]:
        """Keys are locked before entities, entities before records and deliveries. What was taken back is left out.

        So is, and is looked at anew, what 1C has by now, or has not any more, and a payment that the books moved.
        """
        told = [item for one in written for item in one.told]
        keys = {item.known.id: f"{self._system}/{item.type}/{item.external_id}" for item in told if item.creating}
        entities.key_locks(connection, keys.values())
        now = entities.hold(connection, [item.known.id for item in told])
        held = {row["entity_id"] for row in offers.held(connection, self._system, lease)}
        fresh = entities.load(connection, [item.known.id for item in told])
        still = [one for one in written if all(self._as_it_was(item, fresh[item.known.id]) for item in one.told)]
        overtaken = [item.known.id for one in written if one not in still for item in one.told]
        deliveries.release(connection, lease, self._system, overtaken)
        mine = [one for one in still if all(_ours(item, now, held) for item in one.told)]
        told = [item for one in mine for item in one.told]
        for item in told:
            if item.creating:
                self._begin(connection, item, keys[item.known.id])
        creations = [self._creation(item, fresh[item.known.id]) for item in told if item.creating]
        records.promise(connection, self._system, creations)
        known = [(item.known.primary(self._system), item.told) for item in told if not item.creating]
        records.telling(connection, {linked.id: what for linked, what in known if linked and linked.id})
        return [one.document for one in mine]

    def _as_it_was(self, item: _Told, now: Known) -> bool:
        linked = now.primary(self._system)
        creating = linked is None or linked.state == "creating"
        return creating == item.creating and not now.deleted_in(self._system) and now.parent_id == item.known.parent_id

    def _creation(self, item: _Told, now: Known) -> Creation:
        linked = now.primary(self._system)
        return Creation(item.known.id, item.told, linked.creating_since if linked else None, now.parent_id)

    def _begin(self, connection: Connection, item: _Told, key: str) -> None:
        """From now on 1C may tell of it: by this id, be it before its success."""
        entities.learn(connection, item.known.view.kind, {key: item.known.id})
        records.begin_creating(connection, [item.known.id], self._system, item.type)
        offers.name(connection, self._system, item.type, item.known.id, item.external_id)


def _forget(entity: UUID, record: int, connection: Connection) -> None:
    """What the record was told is no word of ours any more."""
    entities.hold(connection, [entity])
    records.telling(connection, {record: {}})


def _ours(item: _Told, now: Mapping[UUID, UUID], held: Collection[UUID]) -> bool:
    """Nobody has asked anew meanwhile, and the entity was not united with another."""
    return now[item.known.id] == item.known.id and (item.job is None or item.known.id in held)


def _said(error: Exception) -> BusError:
    """What is told of a document that cannot be made."""
    if isinstance(error, BusError):
        return error
    return Permanent(f"cannot be written: {type(error).__name__}", cause=type(error).__name__)
