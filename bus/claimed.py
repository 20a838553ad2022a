"""Claimed deliveries: what a lane took, with the entity and the record that each is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from bus.errors import UnknownCode
from bus.ledger import deliveries, entities
from bus.ledger.database import Connection, Row
from bus.ledger.entities import Known, Linked
from bus.model import Fields
from bus.ports import Raw, Write


@dataclass(slots=True, eq=False)
class Job:
    """One claimed delivery on its way."""

    row: Row
    known: Known
    linked: Linked | None
    order: Known | None = None
    """What a payment belongs to."""
    sent_at: datetime | None = None
    """When its write was about to be sent, by the ledger's clock."""
    present: Raw | None = None
    """The record as we read it just now; None for one to create, and where nothing had to be read."""
    there: Fields = field(default_factory=dict)
    """What it said then, in canonical fields."""
    seen: int | None = None
    """Its version then; without a reading, the last that we know of."""
    behind: bool = False
    """It had been saved since the ledger last knew it, and only a part of it was read."""
    wanted: Fields = field(default_factory=dict)
    """What it should say and does not."""
    told: Fields = field(default_factory=dict)
    """What of that the write says; the rest the record says already, in its own words, or cannot be told now."""
    left_over: bool = False
    """More is wanted than this write says: it is the ordinary lane's business."""
    unmapped: UnknownCode | None = None
    write: Write | None = None

    @property
    def id(self) -> UUID:
        """The entity."""
        return self.known.id

    @property
    def unfinished(self) -> bool:
        """Its record is there, and nobody knows the end of the creation that made it."""
        return self.external_id is not None and self.linked is not None and bool(self.linked.view.promised)

    @property
    def unread(self) -> bool:
        """Its record is there, and is written without a look at it."""
        return self.external_id is not None and self.present is None

    def unheard(self, writes: frozenset[str]) -> set[str]:
        """Of such a creation what no update can say, and only its end will tell: it may be missing there now."""
        return set(self.linked.view.promised) - writes if self.linked and self.unfinished else set()

    @property
    def external_id(self) -> str | None:
        """Id of the record at its system; None while it is not known to exist."""
        return self.linked.external_id if self.linked else None

    @property
    def parent(self) -> str | None:
        """External id, in this system, of the order that a payment belongs to; None while it is not there."""
        linked = self.order.primary(self.row["system"]) if self.order else None
        return linked.external_id if linked else None

    def done(self, *, wrote: bool) -> deliveries.Done:
        """Its end."""
        row = self.row
        return deliveries.Done(row["entity_id"], row["system"], row["lease"], row["wanted"], wrote, self.left_over)


def jobs(connection: Connection, system: str, claimed: list[Row]) -> list[Job]:
    """Claimed rows with what they are about, in the order in which they are to be done."""
    known = entities.load(connection, [row["entity_id"] for row in claimed])
    parents = entities.load(connection, {item.parent_id for item in known.values() if item.parent_id})
    made = []
    for row in claimed:
        entity = known[row["entity_id"]]
        order = parents[entity.parent_id] if entity.parent_id else None
        made.append(Job(row, entity, entity.primary(system), order))
    return made


def records(known: Known) -> Fields:
    """The linked records of an entity, {"crm": {"deal": "759"}}, for fields that hold another system's id."""
    found: dict[str, dict[str, str]] = {}
    for linked in known.records:
        if linked.external_id and linked.state == "linked":
            found.setdefault(linked.system, {}).setdefault(linked.type, linked.external_id)
    return found
