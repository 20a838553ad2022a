"""Dead letters: what needs a person, by cause; sent again singly, by group or at a chosen rate; or ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bus import points
from bus.config import Config
from bus.envelope import Event
from bus.errors import BadInput
from bus.ledger import deliveries, exchange, journal, letters
from bus.ledger.database import Connection, Ledger, Row
from bus.pipeline import Pipeline
from bus.ports import Bells, Entry, Mappings, Notification, RawRecord
from bus.translate import entry_of


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

    def retry(self, ids: Sequence[int], actor: str) -> int:
        """Send letters again: an event is translated anew with today's tables, a delivery becomes due. How many.

        A letter is in one retry at most; it opens again when it fails again, and resolves when it goes through. That of
        an exchange's file has the file imported once more.
        """
        with self._ledger.transaction() as connection:
            taken = self._with_their_files(connection, letters.take(connection, ids, actor))
            events = self._revived(connection, [row["event_seq"] for row in taken if row["event_seq"] is not None])
            systems = {
                row["system"]
                for row in taken
                if row["event_seq"] is None and deliveries.revive(connection, row["entity_id"], row["system"])
            }
            for row in taken:
                letters.acted(connection, actor, "retry", f"dead letter {row['id']}", {"cause": row["cause"]})
        if __debug__:
            points.here("letter.revived")
        self._bells.publish(events)
        for system in systems | {row["system"] for row in taken}:
            if system in self._config.systems and self._config.systems[system].url:
                self._bells.ring(system, urgent=False)
        return len(taken)

    def retry_cause(self, cause: str, actor: str, *, pace: Callable[[], None] = lambda: None) -> Iterator[int]:
        """Send a whole group again, oldest first; `pace` is called before each, which makes a rate. Yields letter ids.

        Letters that joined the group meanwhile are left: they failed with today's tables.
        """
        for row in sorted(self.listing(cause=cause, limit=100_000), key=lambda row: row["id"]):
            pace()
            if self.retry([row["id"]], actor):
                yield row["id"]

    def discard(self, ids: Sequence[int], actor: str, reason: str) -> int:
        """End letters for good, with a reason; the record is kept. Raises BadInput without a reason. How many."""
        if not reason.strip():
            raise BadInput("say why: a discarded letter is kept with its reason", field="reason")
        with self._ledger.transaction() as connection:
            ended = letters.discard(connection, ids, actor, reason.strip())
            for row in ended:
                letters.acted(connection, actor, "discard", f"dead letter {row['id']}", {"reason": reason.strip()})
        return len(ended)

    @staticmethod
    def _with_their_files(connection: Connection, taken: list[Row]) -> list[Row]:
        """Files that failed wait for their import; the letter of one that is gone, or busy, stays open."""
        files = [row for row in taken if row["cause"] == letters.FAILED_FILE]
        left = [row["id"] for row in files if not exchange.replay(connection, row["sent"]["file"])]
        letters.reopen(connection, left)
        return [row for row in taken if row["id"] not in left]

    def _revived(self, connection: Connection, seqs: list[int]) -> list[Event]:
        rows = journal.revive(connection, seqs)
        for row in rows:
            if row["raw"] is not None:
                journal.retranslated(connection, row["seq"], self._anew(row))
            elif row["erased"] and row["held"]:  # its raw record is gone: the system is asked for it
                journal.let_go(connection, row["seq"])
                self._ask_for(connection, row)
        fresh = journal.by_seq(connection, [row["seq"] for row in rows if row["kind"] != "notification"])
        return journal.events(fresh)

    def _ask_for(self, connection: Connection, row: Row) -> None:
        if row["source"] in self._config.called:
            record_type, _, external_id = row["subject"].partition("/")
            journal.notify(connection, [Notification(row["source"], record_type, external_id, whole=True)])

    def _anew(self, row: Row) -> Entry:
        kind = self._config.systems[row["source"]].kind
        record_type, _, external_id = row["subject"].partition("/")
        return entry_of(row["source"], kind, RawRecord(record_type, external_id, row["raw"]), self._mappings)
