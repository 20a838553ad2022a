"""Offering: what is due at a 1C that fetches it itself: told when it asks, agreed on when it says that it has it.

    query     due deliveries are claimed, their orders written as whole documents, creations and updates noted, and only
              then the answer leaves
    success   exactly what that claim still holds is agreed on: bases move, deliveries are done

Without a success nothing is agreed on: the next query takes the claim back and the same orders are offered again, under
the same numbers, by which 1C knows them. All that is known of an offer stands in the ledger: the lease in the delivery
rows, what was told in the record rows. So any process can hear of its success.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from bus import claimed, importing, points
from bus.claimed import Job
from bus.ledger import deliveries, entities, exchange, history, journal, letters, offers, records
from bus.ledger.database import Connection
from bus.ledger.deliveries import Done
from bus.ledger.entities import Known, Linked
from bus.ledger.exchange import File
from bus.ledger.history import Line
from bus.ledger.records import Base
from bus.model import DERIVED, Fields
from bus.parts import Parts
from bus.systems import commerceml_writer as writer
from bus.systems.commerceml import Profile
from bus.telling import Telling

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_CALL = "query"


@dataclass(frozen=True, slots=True)
class Offer:
    """An answer to a query."""

    xml: bytes
    orders: int


class Offering:
    """Answers `query` and `success` for every system that fetches its deliveries."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def offer(self, system: str, profile: Profile, lease: UUID) -> Offer:
        """Claim what is due and write it. Claims and words are committed when this returns.

        What cannot be told becomes a dead letter and holds nothing else up. Nothing is told while 1C has told more than
        is merged: read only afterwards, the state of before would pass for its change back.
        """
        documents = [] if self._behind(system) else Telling(system, profile, self._parts).documents(lease)
        zone = ZoneInfo(self._parts.config.systems[system].zone)
        if __debug__:
            points.here("offer.told")
        xml = writer.write_orders(documents, profile, self._parts.now().astimezone(zone))
        log.info("offer.made", system=system, profile=profile, orders=len(documents))
        return Offer(xml, len(documents))

    def waiting(self, system: str) -> bool:
        """Is there anything to ask for?"""
        with self._parts.ledger.transaction() as connection:
            return offers.waiting(connection, system) and not _unheard(connection, system)

    def _behind(self, system: str) -> bool:
        """Is there a word of 1C's that is not merged? Then nothing is offered: what was, is taken back.

        What a run sent that broke off before it asked for the import is imported now.
        """

        def behind(connection: Connection) -> bool:
            if unheard := _unheard(connection, system):
                offers.take_back(connection, system)
                for file in _files(connection, system):
                    exchange.await_import(connection, file.id)
                log.warning("offer.held_back", system=system, why=unheard)
            return bool(unheard)

        return self._parts.ledger.run(behind)

    def acknowledge(self, system: str, profile: Profile | None, lease: UUID) -> int:
        """1C has what it was offered under this lease. How many records that were; none when it was taken back.

        Without a profile the careful one is taken.
        """
        unsure = profile in (None, "ut")
        done = self._parts.ledger.run(lambda connection: self._agree(connection, system, lease, unsure))
        log.info("offer.taken", system=system, records=done)
        return done

    def _agree(self, connection: Connection, system: str, lease: UUID, unsure: bool) -> int:
        """Entities are locked before records and deliveries, as everywhere."""
        entities.hold(connection, [row["entity_id"] for row in offers.held(connection, system, lease)])
        rows = offers.held(connection, system, lease)
        jobs = [job for job in claimed.jobs(connection, system, rows) if job.linked is not None]
        agreed = [(job, job.linked) for job in jobs if job.linked and job.linked.id and job.linked.external_id]
        records.set_bases(connection, [_base(job, linked) for job, linked in agreed])
        if unsure:
            records.telling(connection, {linked.id or 0: _before(linked) for _, linked in agreed if _before(linked)})
        history.write(connection, [line for job, linked in agreed for line in _lines(system, job, linked)])
        fresh = entities.load(connection, [row["entity_id"] for row in rows])
        ends = [
            Done(row["entity_id"], system, lease, row["wanted"] - self._differs(fresh[row["entity_id"]], system), True)
            for row in rows
        ]
        if __debug__:
            points.here("offer.agreed")
        deliveries.done(connection, ends, window_s=self._parts.config.limits.loop_window_s)
        letters.resolve_deliveries(connection, [row["entity_id"] for row in rows], system)
        return len(agreed)

    def _differs(self, known: Known, system: str) -> bool:
        """More has come since it was told: it is due again. Level-triggered, so that no count has to be remembered."""
        return self._parts.pipeline.differs(known, system)


def _unheard(connection: Connection, system: str) -> str | None:
    """What of a system's words is not merged yet."""
    if _files(connection, system):
        return "a file is not imported yet"
    return "events are not merged yet" if journal.merging(connection, system) else None


def _files(connection: Connection, system: str) -> list[File]:
    return [file for file in exchange.unfinished(connection, system) if file.bytes and importing.wanted(file)]


def _words(linked: Linked) -> Fields:
    """What the offer told of a record."""
    return linked.view.promised or linked.view.telling


def _base(job: Job, linked: Linked) -> Base:
    """The base after it was told. What an event has said of a new record meanwhile is left standing."""
    told, base = _words(linked), linked.view.base
    delta = {name: value for name, value in told.items() if not (linked.view.promised and name in base)}
    own = {name: value for name, value in told.items() if name in DERIVED[job.known.view.kind]}
    return Base(linked.id or 0, linked.external_id or "", delta, linked.view.version, own=own)


def _before(linked: Linked) -> Fields:
    """What the record said before, of what it was told now.

    Some 1C say that they have an order and leave theirs as it was, once a manager has approved it (facts 1.5). When it
    comes back so, that is no change of theirs: it is due again.
    """
    if linked.view.promised:
        return {}
    return {name: linked.view.base[name] for name in linked.view.telling if name in linked.view.base}


def _lines(system: str, job: Job, linked: Linked) -> Iterable[Line]:
    what = "created" if linked.view.promised else "written"
    seq, base = job.row["event_seq"], linked.view.base
    return [
        Line(job.id, "bus", what, seq, system, name, base.get(name), value, call=_CALL)
        for name, value in _words(linked).items()
    ]
