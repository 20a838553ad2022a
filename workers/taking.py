"""Taking a message: what every channel's task does; a message is let go only once the ledger has it."""

from __future__ import annotations

from time import sleep

import structlog
from celery.exceptions import Reject

from bus.errors import Transient
from bus.ledger.database import NOT_OURS
from bus.model import Json
from bus.reception import Reception

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_PAUSE_S = 2.0
"""Before a message goes back that the ledger refuses at once: else it would come again a hundred times a second."""


def take(reception: Reception, channel: str, events: Json) -> None:
    """Take one message of a channel.

    While the ledger cannot be reached the message goes back to its queue: a stranger's event may be in it and nowhere
    else. The pool waits for the ledger for seconds before it gives up, so this does not spin. So it does while the
    ledger's tables are not those that this bus needs.
    """
    try:
        reception.take(channel, events)
    except Transient as error:
        raise Reject(str(error), requeue=True) from None
    except NOT_OURS as error:
        log.error("ledger.unfit", error=type(error).__name__, say="run `bus migrate`; messages wait")  # noqa: TRY400 - said
        sleep(_PAUSE_S)
        raise Reject(type(error).__name__, requeue=True) from None
