"""Remote control: workers may be looked at over the broker, as Flower and health checks do, and not be told anything.

Celery answers whoever can publish: it shuts down, changes limits, drops consumers and revokes tasks at a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from celery.app.control import Control as CeleryControl
from celery.app.control import Mailbox as CeleryMailbox
from kombu import pidbox

from bus import messages
from bus.model import Json

ASKED: Mapping[str, frozenset[str]] = {
    "ping": frozenset(),
    "stats": frozenset(),
    "active_queues": frozenset(),
    "registered": frozenset({"taskinfoitems"}),
    "scheduled": frozenset(),
    "active": frozenset({"safe"}),
    "reserved": frozenset(),
    "revoked": frozenset(),
    "conf": frozenset({"with_defaults"}),
    "clock": frozenset(),
    "enable_events": frozenset(),  # Flower says so every few seconds; they are always on
}
"""What may be asked, with the arguments that may go along, which change nothing."""

_REPLIES = "reply.celery.pidbox"
_ROUTE = re.compile(r"[\w.@:-]{1,200}", re.ASCII)
_CLOCK_END = 2**53


class Node(pidbox.Node):
    """A worker's ear."""

    def handle_message(self, body: Json, message: Any = None) -> Any:  # noqa: ANN401 - kombu's message, any reply
        """Answer what may be asked; refuse all else."""
        clock = message.headers.get("clock") if message is not None else 0
        if not (isinstance(body, dict) and _asks(body) and _ticks(clock)):
            messages.refuse(messages.REMOTE, "not a question that workers answer")
            return None
        if body.get("destination") and self.hostname not in body["destination"]:
            return None
        self.adjust_clock(clock or 0)
        return self.dispatch(  # type: ignore[no-untyped-call]  # kombu is partly typed
            body["method"], body.get("arguments"), body.get("reply_to"), body.get("ticket")
        )

    dispatch_from_message = handle_message


def _asks(body: Mapping[str, Json]) -> bool:
    method, arguments = body.get("method"), body.get("arguments") or {}
    if not isinstance(method, str) or method not in ASKED or not isinstance(arguments, dict):
        return False
    whom = body.get("destination")
    return (
        arguments.keys() <= ASKED[method]
        and not any(value for name, value in arguments.items() if name != "safe")  # they ask for a longer answer
        and body.get("pattern") is None  # a stranger's regular expression
        and body.get("matcher") is None
        and (whom is None or (isinstance(whom, list) and all(isinstance(one, str) for one in whom)))
        and _answers_to(body.get("reply_to"))
        and isinstance(body.get("ticket"), str | None)
    )


def _answers_to(reply_to: Json) -> bool:
    """Answers go to who asked, by the exchange for that, and on to no queue of ours."""
    if reply_to is None:
        return True
    if not isinstance(reply_to, dict) or reply_to.get("exchange") != _REPLIES:
        return False
    route = reply_to.get("routing_key")
    return isinstance(route, str) and bool(_ROUTE.fullmatch(route))


def _ticks(clock: Json) -> bool:
    return clock is None or (isinstance(clock, int) and 0 <= clock < _CLOCK_END)


class Mailbox(CeleryMailbox):
    """Where the questions arrive."""

    node_cls = Node


class Control(CeleryControl):
    """Celery's remote control, ours to ask and answer by."""

    Mailbox = Mailbox
