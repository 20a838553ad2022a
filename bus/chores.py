"""Chores: what beat has done over and over: ring again, let deadlines pass, forget what is old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial

import structlog

from bus.config import Config
from bus.conflicts import Conflicts
from bus.ledger import history, journal, letters
from bus.ledger.database import Ledger, Row
from bus.ledger.letters import Letter
from bus.ledger.retention import FILES, FORGET, PORTION, Forget
from bus.merge import Outcome
from bus.publisher import Publisher
from bus.questions import Questions

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Chores:
    """Each may run at any time, anywhere, several at once: rows are taken under locks, and nothing is done twice."""

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        publisher: Publisher,
        conflicts: Conflicts,
        asked: Questions,
        directories: Callable[[], int],
    ) -> None:
        self._ledger, self._limits = ledger, config.limits
        self._publisher, self._conflicts, self._asked = publisher, conflicts, asked
        self._directories = directories

    def sweep(self) -> dict[str, int]:
        """Publish again what nobody took, ring lanes that have work or whose claims have lapsed."""
        done = {
            "republished": self._publisher.republish(older_s=self._limits.republish_after_s),
            "lanes": self._publisher.ring_due(),
        }
        if done["republished"]:
            log.info("sweep.republished", **done)
        return done

    def deadlines(self) -> dict[str, int]:
        """Events that waited too long become dead letters; conflicts nobody decided are decided by default."""
        with self._ledger.transaction() as connection:
            overdue = journal.overdue(connection)
            journal.finish(
                connection,
                [
                    journal.Ending(row["seq"], Outcome.DEAD, row["entity_id"], f"{row['waits_for']} did not appear")
                    for row in overdue
                ],
            )
            letters.write(connection, [_too_late(row) for row in overdue])
        return {
            "waited_too_long": len(overdue),
            "conflicts_expired": self._conflicts.expire(),
            "questions_expired": self._asked.expire(),
        }

    def directories(self) -> dict[str, int]:
        """Read the systems' directories anew, before what was read lapses."""
        return {"directories": self._directories()}

    def retention(self, today: date) -> dict[str, int]:
        """Make history's next partitions; forget what is past its keeping. How many rows of each table went."""
        keep, files = self._limits.keep_days, self._limits.exchange_keep_days
        made = self._ledger.run(lambda connection: history.make_partitions(connection, today))
        gone = {table: self._forget(forget, keep) for table, forget in FORGET.items()}
        gone |= {table: self._forget(forget, files) for table, forget in FILES.items()}
        gone["history"] += self._drop_history(keep, today)
        return {"partitions": len(made), **gone}

    def _forget(self, forget: Forget, keep_days: int) -> int:
        """A portion in each transaction, until none is left: a busy bus has millions past their keeping."""
        gone = 0
        while some := self._ledger.run(lambda connection: forget(connection, keep_days, PORTION)):
            gone += some
        return gone

    def _drop_history(self, keep_days: int, today: date) -> int:
        """Whole months, each in its own transaction."""
        past = self._ledger.run(lambda connection: history.past(connection, keep_days, today))
        return sum(self._ledger.run(partial(history.drop, name=name)) for name in past)


def _too_late(row: Row) -> Letter:
    """What waited until its deadline for something to appear, or for a person to say who it is."""
    asked = row["waits_for"].startswith("match/")
    cause = "nobody said who it is" if asked else "what it refers to did not appear"
    do = "retry, and answer it by `bus matches`" if asked else "publish that, then retry"
    reason = f"waited for {row['waits_for']} until its deadline; {do}"
    sent = {"subject": row["subject"], "waits_for": row["waits_for"]}
    return Letter(row["source"], "Deadline", cause, reason, row["seq"], sent=sent)
