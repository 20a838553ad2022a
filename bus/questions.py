"""Questions: who a record is, or which order a payment is for, answered by a person; what waited goes on at once."""

from __future__ import annotations

from uuid import UUID, uuid4

from bus import channels, points
from bus.config import Config
from bus.envelope import Event
from bus.errors import BadInput
from bus.ledger import conflicts, deliveries, entities, journal, letters, questions, records
from bus.ledger.database import Connection, Ledger, Row
from bus.ledger.deliveries import Due
from bus.ledger.questions import NEW
from bus.model import Fields, nest
from bus.ports import Bells, Entry, Notification


class Questions:
    """Questions to people and their answers. An answer stands: the record is known by it from then on."""

    def __init__(self, ledger: Ledger, config: Config, bells: Bells) -> None:
        self._ledger, self._config, self._bells = ledger, config, bells

    def listing(self, state: str | None = "open") -> list[Row]:
        """Questions, the most pressing first."""
        with self._ledger.transaction() as connection:
            return questions.listing(connection, state)

    def show(self, question_id: int) -> Row:
        """One question whole. Raises BadInput when there is none."""
        with self._ledger.transaction() as connection:
            found = questions.get(connection, question_id)
        if found is None:
            raise BadInput(f"there is no question {question_id}", field="id")
        return found

    def same(self, question_id: int, choice: str, actor: str) -> None:
        """It is this one: an entity's id, or a record where one was about to be created.

        Raises BadInput when there is no such open question, or nothing of that kind that could be chosen.
        """

        def commit(connection: Connection) -> tuple[Row, list[Event]]:
            row = self._open(connection, question_id)
            decision = _meant(connection, row, choice)
            if decision is None:
                raise BadInput(f"{choice!r} cannot be chosen; see `bus matches show {question_id}`", field="same")
            return row, self._decide(connection, row, decision, actor)

        self._go_on(*self._ledger.run(commit))

    def of_order(self, question_id: int, number: str, actor: str) -> None:
        """The payment is for the order of this number. Raises BadInput as `same` does."""
        key = f"number/{self._config.numbering_system}/{number}"
        with self._ledger.transaction() as connection:
            found = entities.find(connection, "order", [key]).get(key)
        if found is None:
            raise BadInput(f"there is no order {number!r} of {self._config.numbering_system}", field="order")
        self.same(question_id, str(found), actor)

    def new(self, question_id: int, actor: str) -> None:
        """It is none of those we know: a counterparty of its own; a payment for no order of ours."""

        def commit(connection: Connection) -> tuple[Row, list[Event]]:
            row = self._open(connection, question_id)
            return row, self._decide(connection, row, NEW, actor)

        self._go_on(*self._ledger.run(commit))

    def part(self, system: str, subject: str, actor: str) -> None:
        """Take a record away from the entity that it was linked to by mistake: it becomes one of its own.

        Fields it brought in stay where they are, until somebody says otherwise. Raises BadInput when no such
        counterparty is known, it is the only record of its entity, or we made it for that one, whose key it bears.
        """
        told = self._ledger.run(lambda connection: self._part(connection, system, subject, actor))
        self._bells.publish(told)
        if system in self._config.called:
            self._bells.ring(system, urgent=False)

    def _part(self, connection: Connection, system: str, subject: str, actor: str) -> list[Event]:
        """Returns what goes on with it: what the record told last, and what waited for an answer."""
        record_type, _, external_id = subject.partition("/")
        key = questions.key(system, subject)
        entities.key_locks(connection, [key])
        said = records.bases(connection, system, record_type, [external_id]).get(external_id)
        entity = entities.part(connection, system, record_type, external_id)
        if entity is None:
            raise BadInput(f"{system} {subject} is linked to nothing that it could be parted from", field="record")
        questions.moot(connection, {(system, subject)})
        questions.answer(connection, system, subject, NEW, actor)
        questions.take_back(connection, entity, system, subject)
        conflicts.withdraw(connection, entity, system)
        letters.acted(connection, actor, "part", f"{system} {subject}", {"entity": str(entity)})
        deliveries.mark(connection, [Due(entity, system, channels.NEXT, None)])
        return [*self._told_again(connection, entity, system, subject, said), *journal.wake(connection, [key])]

    def _told_again(
        self, connection: Connection, entity: UUID, system: str, subject: str, said: Fields | None
    ) -> list[Event]:
        """What the record told last, as a new event: the old one is known, and would change nothing.

        `said`: what is known of it, where the journal has forgotten that and nobody can be asked.
        """
        last = journal.latest(connection, entity, system, subject)
        if last is not None and entity in entities.find(connection, "counterparty", _own_keys(last)).values():
            say = f"the bus made {system} {subject} for this counterparty, whose key it bears: part the others from it"
            raise BadInput(say, field="record")
        if last is not None:
            event = last.model_copy(update={"id": f"{last.id}/{uuid4().hex[:8]}", "causationid": last.id})
            return journal.record(connection, [Entry(event)])
        if system in self._config.called:
            record_type, _, external_id = subject.partition("/")
            journal.notify(connection, [Notification(system, record_type, external_id, whole=True)])
        elif said:
            event = Event(source=system, type="counterparty.changed", subject=subject, data=nest(said))
            return journal.record(connection, [Entry(event)])
        return []

    def expire(self) -> int:
        """Close what nobody answered in time; what waited becomes a dead letter. How many."""
        with self._ledger.transaction() as connection:
            return questions.expire(connection)

    @staticmethod
    def _open(connection: Connection, question_id: int) -> Row:
        """The question. Who is about to wait for its answer comes before us, or sees it (bus.identify)."""
        row = questions.get(connection, question_id)
        if row is None or row["state"] != "open":
            raise BadInput(f"there is no open question {question_id}", field="id")
        entities.key_locks(connection, [questions.key(row["system"], row["subject"])])
        return row

    def _decide(self, connection: Connection, row: Row, decision: str, actor: str) -> list[Event]:
        """Note the answer. Returns what waited for it: answered and woken at once, or neither."""
        if questions.decide(connection, row["id"], decision, actor) is None:
            raise BadInput(f"question {row['id']} was answered meanwhile", field="id")
        letters.acted(connection, actor, "match", f"question {row['id']}", {"decision": decision})
        if row["entity_id"] is not None:
            deliveries.mark(connection, [Due(row["entity_id"], row["system"], channels.NEXT, None)])
        elif (entity := _known_as(connection, row)) is not None:
            deliveries.hasten(connection, [(entity, row["system"])])
        return journal.wake(connection, [questions.key(row["system"], row["subject"])])

    def _go_on(self, row: Row, woken: list[Event]) -> None:
        if __debug__:
            points.here("question.answered")
        self._bells.publish(woken)
        if row["asks"] == "counterparty" and row["system"] in self._config.called:
            self._bells.ring(row["system"], urgent=False)


def _own_keys(event: Event) -> list[str]:
    """Keys of ours that a record bears."""
    refs = (event.data or {}).get("records") or []
    return [f"bus/{event.kind}/{ref['id']}" for ref in refs if ref.get("system") == "bus"]


def _meant(connection: Connection, row: Row, choice: str) -> str | None:
    """What a choice means: one of the records that were asked about; else an entity of the kind that is asked for.

    One that was united with another since it was shown is that other; what the record is already, nobody else is. None
    for what cannot be chosen.
    """
    if row["entity_id"] is not None:
        return choice if choice in [one.get("record") for one in row["candidates"]] else None
    try:
        chosen = UUID(choice)
    except ValueError:
        return None
    known = entities.load(connection, [chosen]).get(chosen)
    if known is None or known.view.kind != row["asks"]:
        return None
    entity = entities.hold(connection, [chosen])[chosen]
    return NEW if entity == _known_as(connection, row) else str(entity)


def _known_as(connection: Connection, row: Row) -> UUID | None:
    """Whose record it is so far that is asked about; None for one that nobody knows, and for money."""
    key = f"{row['system']}/{row['subject']}"
    return entities.find(connection, row["asks"], [key]).get(key)
