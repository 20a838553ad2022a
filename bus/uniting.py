"""Uniting: entities that turned out to be one become one, before anything is merged into them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

from bus import channels, closed, merge
from bus.batch import Batch
from bus.identified import Identified
from bus.ledger import conflicts, entities, erasing
from bus.ledger.database import Connection
from bus.ledger.entities import OF_ORDER, Known
from bus.ledger.history import Line
from bus.merge import Dispute, Rules
from bus.model import Kind


class Uniting:
    """Makes one of several, by the rules of their kind; `books` know best of which order a payment is."""

    def __init__(self, rules: Callable[[Kind], Rules], books: Collection[str]) -> None:
        self._rules, self._books = rules, {*books}

    def unite(self, connection: Connection, who: Identified, batch: Batch) -> None:
        """Each group of the batch becomes its eldest entity. All of them are locked."""
        for group in who.unite:
            kept = batch.known[entities.eldest(connection, group)]
            for lost in sorted(group - {kept.id}):
                self._become(connection, batch.known.pop(lost), kept, batch)
                _follow(who, batch, lost, kept)
            batch.touch(kept.id, channels.NORMAL, None)

    def _become(self, connection: Connection, lost: Known, kept: Known, batch: Batch) -> None:
        self._same_order(connection, kept, lost, batch)
        closed.unite(connection, kept, lost)
        merged = merge.unite(kept.view, lost.view, self._rules(kept.view.kind))
        batch.lines.append(Line(kept.id, "bus", "united", old=str(lost.id), rule="one entity by its keys"))
        batch.tell(kept.id, "bus", merged.changes)
        entities.move(connection, lost.id, kept.id)
        for dispute in merged.disputes:
            self._ask(connection, kept, lost, dispute, batch)
        if kept.erased:
            erasing.united(connection, kept.id, lost.id)
        fresh = entities.load(connection, [kept.id])[kept.id]
        kept.records, kept.dirty = fresh.records, True
        kept.view.frozen = fresh.view.frozen

    @staticmethod
    def _ask(connection: Connection, kept: Known, lost: Known, dispute: Dispute, batch: Batch) -> None:
        """A person decides between two values: with those that he was asked of either one before, if he was."""
        options = {
            word.source: {"value": view.fields.get(dispute.field), "at": word.at.isoformat(), "event": word.event}
            for view in (kept.view, lost.view)
            if dispute.field not in view.frozen
            for word in (view.said[dispute.field],)
        }
        conflicts.meet(connection, kept.id, dispute, options)
        said = lost.view.said[dispute.field].source
        batch.lines.append(Line(kept.id, "bus", "conflict", None, said, dispute.field, dispute.ours, dispute.theirs))

    def _same_order(self, connection: Connection, kept: Known, lost: Known, batch: Batch) -> None:
        """Payments that become one are of one order, where the books know it of theirs; the other one's sum falls."""
        orders = [order for order in (kept.parent_id, lost.parent_id) if order]
        books = {one.system for one in lost.records} & self._books
        words = [view.said[OF_ORDER] for view in (kept.view, lost.view) if OF_ORDER in view.said]
        kept.parent_id = orders[-1 if books else 0] if orders else None
        kept.view.said |= {OF_ORDER: words[-1 if books else 0]} if words else {}
        for order in sorted({*orders} - {kept.parent_id}):
            if order not in batch.known:  # late: a deadlock is retried
                batch.known |= entities.lock(connection, [order])
            batch.moved.append((kept.id, order))
            batch.touch(order, channels.URGENT, None)


def _follow(who: Identified, batch: Batch, lost: UUID, kept: Known) -> None:
    """Whatever the batch says of the one it says of the other."""
    who.entity.update({seq: kept.id for seq, entity in who.entity.items() if entity == lost})
    who.parent.update({seq: kept.id for seq, entity in who.parent.items() if entity == lost})
    for known in batch.known.values():
        known.parent_id = kept.id if known.parent_id == lost else known.parent_id
