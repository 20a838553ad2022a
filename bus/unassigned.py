"""Unassigned: money that a person was asked about is looked at again: its order may have come since.

An order can be a moment later than its money, or be found by reconciliation only. What is certain by then is answered
by the bus, by the very rules that it was asked by (bus.assigning); a person's answer is never touched.
"""

from __future__ import annotations

from contextlib import suppress

import structlog

from bus import assigning
from bus.assigning import Assigner
from bus.config import Config
from bus.errors import BadInput
from bus.ledger import questions
from bus.ledger.database import Connection, Ledger
from bus.model import Ref
from bus.questions import Questions

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

ACTOR = "bus: its order came"
_LIMIT = 200
"""Questions in one turn: the next one goes on behind them, so that each of more has its turn."""


class Unassigned:
    """What beat has looked through over and over; two beats at once do no harm."""

    def __init__(self, ledger: Ledger, config: Config, questions: Questions) -> None:
        self._ledger, self._config, self._questions = ledger, config, questions

    def look_again(self) -> int:
        """Answer what is certain by now. How many."""
        with self._ledger.alone(assigning.LOCK) as mine:
            found = self._ledger.run(self._certain) if mine else {}
            for number, order in found.items():
                with suppress(BadInput):  # a person was quicker, or the order is gone
                    self._questions.same(number, order.id or "", ACTOR)
        if found:
            log.info("unassigned.answered", count=len(found))
        return len(found)

    def _certain(self, connection: Connection) -> dict[int, Ref]:
        """Questions, by their numbers, and the orders that their money surely is for."""
        asked = [row for row in questions.of_money(connection, _LIMIT) if row["system"] in self._config.systems]
        told = {row["id"]: received for row in asked if (received := assigning.told_of(row["about"]))}
        assigner = Assigner(connection, self._config, list(told.values()))
        answers = {number: assigner.assign(received).order for number, received in told.items()}
        return {number: order for number, order in answers.items() if order is not None}
