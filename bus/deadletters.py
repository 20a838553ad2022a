"""Dead letters: what needs a person, by cause; sent again singly, by group or at a chosen rate; or ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bus import points
from bus.config import Config
from bus.envelope import Event
from bus.errors import POISON, BadInput, BusError, unreadable
from bus.ledger import deliveries, exchange, journal, letters
from bus.ledger.database import Connection, Ledger, Row
from bus.pipeline import Pipeline
from bus.ports import Bells, Entry, Mappings, Notification, RawRecord
from bus.translate import entry_of


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of letters that were open: numbers of those sent again, and of those left, with the reason."""

    sent: list[int]
    left: dict[int, str]


class DeadLetters:
    """The operator's hand on what could not be done."""

    def __init__(self, ledger: Ledger, config: Config, mappings: Mappings, pipeline: Pipeline, bells: Bells) -> None:
        self._ledger, self._config, self._mappings = ledger, config, mappings
        self._pipeline, self._bells = pipeline, bells

    def groups(self) -> list[Row]:
        """Open letters by cause."""
        with self._ledger.transaction() as connection:
            return letters.groups(connection)

    def listing(self, *, cause: str | None = None, state: str | None = "open", limit: int = 200) -> list[Row]:
        """Letters, newest trouble first."""
        with self._ledger.transaction() as connection:
            return letters.listing(connection, cause=cause, state=state, limit=limit)

    def show(self, letter_id: int) -> Row:
        """One letter whole. Raises BadInput when there is none."""
        with self._ledger.transaction() as connection:
            found = letters.get(connection, letter_id)
        if found is None:
            raise BadInput(f"there is no dead letter {letter_id}", field="id")
        return found

    def retry(self, ids: Sequence[int], actor: str) -> Retried:
        """Send letters again: an event is translated anew with today's tables, a delivery becomes due.

        A letter is in one retry at most; it opens again when it fails again, and resolves when it goes through. That of
        an exchange's file has the file imported once more. One that cannot be read yet stays open, and holds up no
        other.
        """
        with self._ledger.transaction() as connection:
            taken = letters.take(connection, ids, actor)
            made, left = self._readable(connection, taken)
            letters.leave(connection, left)
            gone = _without_their_files(connection, taken)
            letters.reopen(connection, list(gone))
            left |= gone
            taken = [row for row in taken if row["id"] not in left]
            events = self._revived(connection, made)
            systems = {
                row["system"] for row in taken if row["event_seq"] is None and _revived_delivery(connection, row)
            }
            for row in taken:
                letters.acted(connection, actor, "retry", f"dead letter {row['id']}", {"cause": row["cause"]})
        if __debug__:
            points.here("letter.revived")
        self._bells.publish(events)
        for system in systems | {row["system"] for row in taken}:
            if system in self._config.systems and self._config.systems[system].url:
                self._bells.ring(system, urgent=False)
        return Retried([row["id"] for row in taken], left)

    def retry_cause(self, cause: str, actor: str, *, pace: Callable[[], None] = lambda: None) -> Iterator[Retried]:
        """Send a whole group again, oldest first; `pace` is called before each, which makes a rate. Yields each letter.

        Letters that joined the group meanwhile are left: they failed with today's tables.
        """
        for row in sorted(self.listing(cause=cause, limit=100_000), key=lambda row: row["id"]):
            pace()
            retried = self.retry([row["id"]], actor)
            if retried.sent or retried.left:
                yield retried

    def discard(self, ids: Sequence[int], actor: str, reason: str) -> int:
        """End letters for good, with a reason; the record is kept. Raises BadInput without a reason. How many.

        What was parked as a loop follows the next change again: without its letter nobody could have it sent.
        """
        if not reason.strip():
            raise BadInput("say why: a discarded letter is kept with its reason", field="reason")
        with self._ledger.transaction() as connection:
            ended = letters.discard(connection, ids, actor, reason.strip())
            for row in ended:
                if row["event_seq"] is None:
                    deliveries.unpark(connection, row["entity_id"], row["system"])
                letters.acted(connection, actor, "discard", f"dead letter {row['id']}", {"reason": reason.strip()})
        return len(ended)

    def _readable(self, connection: Connection, taken: list[Row]) -> tuple[dict[int, Entry | None], dict[int, str]]:
        """What is made today of the letters' events, by number; and by letter why it cannot be sent again as yet."""
        letter = {row["event_seq"]: row["id"] for row in taken if row["event_seq"] is not None}
        made: dict[int, Entry | None] = {}
        left = {
            row["id"]: self._left_us(row["system"])
            for row in taken
            if row["event_seq"] is None and row["system"] not in self._config.systems
        }
        for row in journal.by_seq(connection, list(letter)):
            try:
                made[row["seq"]] = self._anew(row)
            except (BusError, *POISON) as error:
                left[letter[row["seq"]]] = unreadable(error)
        return made, left

    def _revived(self, connection: Connection, made: dict[int, Entry | None]) -> list[Event]:
        rows = journal.revive(connection, made)
        for row in rows:
            entry = made[row["seq"]]
            if entry is not None and row["raw"] is not None:
                journal.retranslated(connection, row["seq"], entry)
            elif row["erased"] and row["held"]:  # its raw record is gone: the system is asked for it
                journal.let_go(connection, row["seq"])
                self._ask_for(connection, row)
        fresh = journal.by_seq(connection, [row["seq"] for row in rows if row["kind"] != "notification"])
        return journal.events(fresh)

    def _ask_for(self, connection: Connection, row: Row) -> None:
        if row["source"] in self._config.called:
            record_type, _, external_id = row["subject"].partition("/")
            journal.notify(connection, [Notification(row["source"], record_type, external_id, whole=True)])

    def _anew(self, row: Row) -> Entry | None:
        """What its raw record says today; None where there is none. Raises what an unreadable record raises."""
        system = self._config.systems.get(row["source"])
        if system is None and (row["raw"] is not None or row["kind"] == "notification"):
            raise BadInput(self._left_us(row["source"]), field="source")
        if system is None or row["raw"] is None:
            return None
        record_type, _, external_id = row["subject"].partition("/")
        return entry_of(row["source"], system.kind, RawRecord(record_type, external_id, row["raw"]), self._mappings)

    @staticmethod
    def _left_us(system: str) -> str:
        return f"{system} is no system of the configuration any more: write it into bus.yaml again, or discard this"


def _revived_delivery(connection: Connection, row: Row) -> bool:
    """Make a letter's delivery due again. Where nothing is to be done there any more, the letter has ended.

    So it is of one that came with an entity which became another, and whose record is as it should be.
    """
    entity, system = row["entity_id"], row["system"]
    if deliveries.revive(connection, entity, system):
        return True
    if not deliveries.is_due(connection, entity, system):
        letters.resolve_deliveries(connection, [entity], system)
    return False


def _without_their_files(connection: Connection, taken: list[Row]) -> dict[int, str]:
    """Files that failed wait for their import; by letter those that cannot."""
    files = [row for row in taken if row["cause"] == letters.FAILED_FILE]
    return {
        row["id"]: f"file {row['sent']['file']} is gone, or is being read just now"
        for row in files
        if not exchange.replay(connection, row["sent"]["file"])
    }
