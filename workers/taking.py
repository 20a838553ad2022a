"""Taking a message: what every channel's task does; a message is let go only once the ledger has it."""

from __future__ import annotations

from celery.exceptions import Reject

from bus.errors import Transient
from bus.model import Json
from bus.reception import Reception


def take(reception: Reception, channel: str, events: Json) -> None:
    """Take one message of a channel.

    While the ledger cannot be reached the message goes back to its queue: a stranger's event may be in it and nowhere
    else. The pool waits for the ledger for seconds before it gives up, so this does not spin.
    """
    try:
        reception.take(channel, events)
    except Transient as error:
        raise Reject(str(error), requeue=True) from None
