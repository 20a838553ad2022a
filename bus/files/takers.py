"""Takers: batches of rows are published as they are read; what cannot be is handed back with the reason.

Nothing is remembered between runs: the same row makes the same event, and what was published once is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bus import assigning
from bus.assigning import Assigner
from bus.config import Config
from bus.envelope import Event
from bus.errors import BadInput
from bus.files import rows
from bus.files.columns import Columns
from bus.files.rows import Payment, Told
from bus.ledger import questions
from bus.ledger.database import Connection, Ledger
from bus.ledger.questions import Question
from bus.ports import Accepted

Numbered = tuple[int, list[str]]
"""A row with its number in the file."""


class Door(Protocol):
    """bus.publisher.Publisher."""

    def publish(self, events: Sequence[Event]) -> Accepted:
        """Publish; returns after the commit."""
        ...


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not taken, and why."""

    row: Numbered
    reason: str


@dataclass(slots=True)
class Batch:
    """What came of some rows."""

    read: int = 0
    accepted: Accepted = field(default_factory=lambda: Accepted(0, 0))
    valid: int = 0
    """Rows that are published, or would be."""
    asked: int = 0
    """Payments of which a person is asked for which order they are."""
    rejects: list[Reject] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, other: Batch) -> None:
        """Both together, but for the rejects: they are on their way to a file."""
        self.read, self.valid, self.asked = self.read + other.read, self.valid + other.valid, self.asked + other.asked
        new, known = self.accepted.new + other.accepted.new, self.accepted.known + other.accepted.known
        self.accepted = Accepted(new, known)
        self.left_out.update(other.left_out)


@dataclass(frozen=True, slots=True)
class Counterparties:
    """Rows of counterparties."""

    door: Door
    columns: Columns
    told: Told
    dry_run: bool = False

    def take(self, some: Sequence[Numbered]) -> Batch:
        """Publish them. Raises Transient when the ledger cannot be reached."""
        batch = Batch(len(some))
        events = []
        for row in some:
            try:
                event, left_out = rows.counterparty(_texts(self.columns, row), self.told, row[0])
            except BadInput as error:
                batch.rejects.append(Reject(row, str(error)))
                continue
            events.append(event)
            batch.left_out.update([left_out] if left_out else [])
        batch.valid = len(events)
        if not self.dry_run:
            batch.accepted = self.door.publish(events)
        return batch


@dataclass(frozen=True, slots=True)
class Payments:
    """Rows of payments. Who calls holds `assigning.LOCK`: two at once could give two payments to one order.

    A payment that names no order, and for which none is certain, is rejected; of a bank's a person is asked.
    """

    door: Door
    columns: Columns
    told: Told
    ledger: Ledger
    config: Config
    dry_run: bool = False

    def take(self, some: Sequence[Numbered]) -> Batch:
        """Publish them. Raises Transient when the ledger cannot be reached."""
        batch = Batch(len(some))
        read: list[tuple[Numbered, Payment]] = []
        for row in some:
            try:
                payment = rows.payment(_texts(self.columns, row), self.told)
                payment.event(self.told.source, None)
                read.append((row, payment))
            except BadInput as error:
                batch.rejects.append(Reject(row, str(error)))
        with self.ledger.transaction() as connection:
            events = self._events(connection, read, batch)
        batch.valid = len(events)
        if not self.dry_run:
            batch.accepted = self.door.publish(events)
        batch.rejects.sort(key=lambda reject: reject.row[0])
        return batch

    def _events(self, connection: Connection, read: Sequence[tuple[Numbered, Payment]], batch: Batch) -> list[Event]:
        """What is known already keeps its order; what names one is for that one; the others are looked for."""
        plain = [payment.event(self.told.source, None) for _, payment in read]
        known = assigning.told(connection, plain)
        new = [payment.received for _, payment in read if not payment.order and payment.subject not in known]
        assigner = Assigner(connection, self.config, new)
        events: list[Event] = []
        asks: list[Question] = []
        for (row, payment), event in zip(read, plain, strict=True):
            if payment.order:
                events.append(payment.event(self.told.source, {"number": payment.order}))
            elif payment.subject in known:
                events.append(event)
            else:
                events += self._assigned(row, payment, assigner, batch, asks)
        if asks and not self.dry_run:
            questions.ask(connection, asks, seconds=self.config.limits.wait_deadline_s)
        return events

    def _assigned(
        self, row: Numbered, payment: Payment, assigner: Assigner, batch: Batch, asks: list[Question]
    ) -> list[Event]:
        """The event with its order; without one where a person is asked for it; none where the row is refused."""
        answer = assigner.assign(payment.received)
        if answer.order is not None:
            order = answer.order.model_dump(mode="json", exclude_none=True)
            return [payment.event(self.told.source, order)]
        if self.config.systems[self.told.source].kind != "bank":
            batch.rejects.append(Reject(row, f"for which order? {answer.why}; name it in a column Заказ"))
            return []
        batch.asked += 1
        said = {name: payment.data.get(name) for name in ("paid_at", "external_number")}
        about = assigning.about(payment.received, answer.why, said)
        asks.append(Question("order", self.told.source, payment.subject, answer.candidates, about))
        return [payment.event(self.told.source, None)]


def _texts(columns: Columns, row: Numbered) -> dict[str, str]:
    """What a row says. Raises BadInput where its values cannot be in the columns that they stand in."""
    cells = row[1]
    if any(cells[columns.width :]):
        raise BadInput("it has more values than the header has columns: a divider stands inside a value")
    if len(cells) < columns.width and any("\n" in cell for cell in cells):
        raise BadInput("a value goes on over the end of the line: a quotation mark is opened and not closed")
    return columns.texts(cells)
