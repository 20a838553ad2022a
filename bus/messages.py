"""Messages: what may lie on a queue of ours. All else is refused: recorded, never carried out, in nobody's way.

Whoever has the broker's password can lay anything there. Celery by itself carries out any task that it knows from any
queue, then whatever the message asks for on top (callbacks, chains, later), and ends at the first element that is no
message. So each element is looked at twice: as it leaves the broker (`enveloped`), and, when it is for a worker, once
its body is read (`wanted`). What goes on is made anew from the few things that a message of ours says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from celery.utils.dispatch import Signal

from bus import channels
from bus.model import Json

MAX_BYTES = 64_000_000
"""Of one element. A message carries up to 100 events; they are some 200 kB."""

JSON = "application/json"
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_SHOWN = re.compile(r"\((?:\d+ events: [^'\"{}\[\]]{0,2000}|[a-z][a-z0-9_-]*(?:, payments)?|now)\)")
"""What our own messages let Flower show of them; Celery's default is all that is in them."""
_REMOTE = re.compile(r"pidbox$|^celeryev")

REMOTE = "remote control"
"""The queue that orders to the workers themselves are recorded under."""

refused = Signal(name="message_refused", providing_args={"queue", "why"})
"""Sent for each element that is refused, in the thread that met it: receivers only take note."""


class Unfit(Exception):
    """It is not carried out. `why`: one of a few phrases, nothing of what it says."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def refuse(queue: str, why: str) -> None:
    """Tell whoever records it."""
    refused.send(sender=None, queue=queue, why=why)


def enveloped(raw: Json, queue: str) -> dict[str, Any]:
    """An element of a queue as kombu may read it: with places, marks and numbers of our own. Raises Unfit.

    What it says of its own queue, and its mark among those under way, could be another's.
    """
    if not isinstance(raw, dict):
        raise Unfit("no message")
    headers, properties, body = raw.get("headers"), raw.get("properties"), raw.get("body")
    if not (isinstance(headers, dict) and isinstance(properties, dict) and isinstance(body, str)):
        raise Unfit("no message")
    if raw.get("content-type") != JSON or str(raw.get("content-encoding")).lower() != "utf-8":
        raise Unfit("not JSON")
    if headers.get("compression"):
        raise Unfit("compressed: nobody knows how much it is")
    if properties.get("body_encoding") != "base64":
        raise Unfit("no message")
    return {**raw, "properties": _properties(properties, queue)}


def _properties(said: Mapping[str, Json], queue: str) -> dict[str, Any]:
    given = said.get("delivery_info")
    place = given if isinstance(given, dict) else {}
    name, priority = said.get("correlation_id"), said.get("priority")
    if not _REMOTE.search(queue):  # a list of Redis: no exchange stood before it
        place = {"exchange": "", "routing_key": queue, "redelivered": place.get("redelivered") is True}
    return {
        "correlation_id": name if isinstance(name, str) else "",
        "delivery_mode": 2,
        "delivery_tag": str(uuid4()),
        "delivery_info": place,
        "priority": priority if isinstance(priority, int) and 0 <= priority <= channels.BULK else 0,
        "body_encoding": "base64",
    }


def wanted(queue: str, headers: object, payload: Json) -> dict[str, Any]:
    """Celery's headers for a message that a worker of this queue may carry out. Raises Unfit."""
    said: Mapping[str, Json] = headers if isinstance(headers, dict) else {}
    name, id_ = said.get("task"), said.get("id")
    if not isinstance(name, str):
        raise Unfit("names no task")
    if not _belongs(name, queue):
        raise Unfit("not a task of this queue")
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise Unfit("without an id")
    args, kwargs = _asked(payload)
    if said.get("eta") is not None:
        raise Unfit("for later: only the ledger knows a later")
    if not _fitting(name, queue, args, kwargs):
        raise Unfit("arguments that this task does not take")
    return {
        "lang": "py",
        "task": name,
        "id": id_,
        "root_id": id_,
        "parent_id": None,
        "group": None,
        "ignore_result": True,
        "argsrepr": _shown(name, said.get("argsrepr"), args),
        "kwargsrepr": repr(kwargs),
        **_expires(queue, said.get("expires")),
    }


def _belongs(name: str, queue: str) -> bool:
    if queue in channels.ENTITY_CHANNELS:
        return name == channels.apply_task(queue)
    if queue == channels.CHORES:
        return name.startswith(f"{channels.CHORES}.")
    return name == channels.DRAIN


def _asked(payload: Json) -> tuple[list[Json], dict[str, Json]]:
    """Its arguments. Celery would send what the third part names, once the task is done or has failed."""
    parts = payload if isinstance(payload, list) else []
    match parts:
        case [list(args), dict(kwargs), dict(then)] if not any(then.values()):
            return args, kwargs
        case [list(), dict(), _]:
            raise Unfit("with more to do after it")
    raise Unfit("not Celery's second protocol")


def _fitting(name: str, queue: str, args: list[Json], kwargs: dict[str, Json]) -> bool:
    if queue in channels.ENTITY_CHANNELS:
        return len(args) == 1 and not kwargs
    if queue == channels.CHORES:
        full = name == "chores.reconcile" and kwargs.keys() == {"full"} and isinstance(kwargs["full"], bool)
        return not args and (not kwargs or full)
    match args:
        case [str(system), bool(urgent)]:
            return not kwargs and queue == channels.lane_queue(system, urgent=urgent)
    return False


def _shown(name: str, said: Json, args: list[Json]) -> str:
    """What Flower may show of it."""
    if isinstance(said, str) and _SHOWN.fullmatch(said):
        return said
    carried = args[0] if args else None
    return f"({len(carried) if isinstance(carried, list) else 1} events)" if name != channels.DRAIN and args else "()"


def _expires(queue: str, said: Json) -> dict[str, str]:
    """A chore that nobody did until then is done at its next turn; an event is not dropped for its age."""
    if said is None:
        return {}
    try:
        if queue != channels.CHORES or not isinstance(said, str):
            raise Unfit("to be forgotten after a while")
        return {"expires": datetime.fromisoformat(said).isoformat()}
    except ValueError:
        raise Unfit("to be forgotten after a while") from None
