"""What a 1C base answers instead of a result, as one of our errors: by HTTP status, by its own code, by its words.

Codes and their meaning are facts 2.5; that a handler's refusal (-1) rolls the whole write back is facts 2.4. The base's
own words may hold anybody's data: they go into the error's detail, which the dead letter redacts, not into its message.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from lxml import etree

from bus.errors import BusError, NotReady, Permanent, SystemStopped, Transient, UnknownOutcome
from bus.model import Json

PAUSE_S, STOP_S = 30, 300
NO_SESSION = 406
_NOT_FOUND, _EXISTS, _RIGHTS, _REFUSED = "9", "15", "20", "-1"
_UNPUBLISHED = ("6", "8")
_UNAUTHORISED, _FORBIDDEN, _PRECONDITION, _LONG, _SERVER = 401, 403, 412, 414, 500
_BUSY = (429, 502, 503, 504, NO_SESSION)
_LOCKED = re.compile(
    r"лицензи|licen[cs]e|начал[оа] сеанс|сеанс\w* .{0,40}(запрещен|заблокирован)|монопольн|блокировк\w+ установлена",
    re.IGNORECASE,
)
"""Words of a base that lets nobody in: no licence is free, or it is being updated."""
_NO_SUCH_SESSION = re.compile(r"сеанс|session", re.IGNORECASE)
_CONTENDED = re.compile(r"блокиров|взаимоблокиров|deadlock|lock (timeout|conflict)", re.IGNORECASE)
"""Words of a transaction that lost to another one: the same will do later."""
_SAY = {
    "1": "a value is of another type than the field",
    "4": "a value is not allowed there",
    "5": "a mandatory value is missing",
    "6": "there is no such object in the interface: choose it in the base's settings of OData",
    "8": "there is no such object in the interface: choose it in the base's settings of OData",
    "10": "there is no such field: compare settings.configuration with the base",
    "14": "the base does not understand the query",
    _RIGHTS: "the base's user has no right to it",
    "21": "the base does not know a function of the query",
    _REFUSED: "the configuration refused it; its words are in the letter",
}


class NotFound(Permanent):
    """There is no such object (any more)."""


class Exists(Permanent):
    """There is one with that key already."""


class Changed(Transient):
    """Somebody wrote the object between our reading and our writing, in a base that heeds versions: read it again."""


class Unpublished(Permanent):
    """The interface has no such object: it was not chosen in the base's settings of OData, or is called otherwise."""


class TooMuch(Transient):
    """The base could not answer so much at once: half of it may do."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came back instead of a result. `envelope`: it is the interface's own word, not a web server's page."""

    what: str
    status: int
    code: str = ""
    text: str = ""
    envelope: bool = False
    long: bool = False
    """The request's address was so long that a web server may have refused it for that."""


def refusal_of(what: str, status: int, content: bytes, *, long: bool = False) -> Refusal:
    """Read the envelope of an error, in JSON or XML; without one it is a web server that speaks."""
    for read in (_in_json, _in_xml):
        if found := read(content):
            return Refusal(what, status, *found, envelope=True, long=long)
    return Refusal(what, status, long=long)


def error_of(refusal: Refusal, *, writes: bool, now: datetime) -> BusError:
    """The error of ours that says what happens next."""
    cause = f"{refusal.what} {refusal.code or f'HTTP {refusal.status}'}"
    if refusal.envelope and _LOCKED.search(refusal.text):
        return _pause(f"{refusal.what}: the base lets nobody in now", "1C closed", now)
    if refusal.status == _PRECONDITION:
        return Changed(f"{refusal.what}: HTTP 412: it was changed meanwhile", cause=cause)
    if refusal.envelope:
        return _said(refusal, cause, writes=writes)
    return _unsaid(refusal, cause, writes=writes, now=now)


def session_lost(refusal: Refusal) -> bool:
    """Whether a request in a session was refused for the session, before anything was done (facts 2.6)."""
    return not refusal.envelope or bool(_NO_SUCH_SESSION.search(refusal.text))


def away(what: str, reason: str, now: datetime) -> NotReady:
    """No connection: a base is closed at night, and its web server restarted with it. Nothing was sent."""
    return _pause(f"{what}: no connection ({reason})", f"1C {reason}", now)


def _said(refusal: Refusal, cause: str, *, writes: bool) -> BusError:
    """What the interface itself said."""
    detail: dict[str, object] = {"code": refusal.code, "status": refusal.status, "said": refusal.text}
    say = _SAY.get(refusal.code, "look at what the base answered")
    message = f"{refusal.what}: HTTP {refusal.status}, code {refusal.code or '-'}: {say}"
    kind: type[BusError] = Permanent
    if _CONTENDED.search(refusal.text):
        kind = Transient
    elif refusal.code == _NOT_FOUND:
        kind = NotFound
    elif refusal.code == _EXISTS:
        kind = Exists
    elif refusal.code in _UNPUBLISHED:
        kind = Unpublished
    elif refusal.status >= _SERVER and not writes:
        kind = TooMuch
    return kind(message, cause=cause, detail=detail)


def _unsaid(refusal: Refusal, cause: str, *, writes: bool, now: datetime) -> BusError:
    """A web server's page: what it means follows from its status alone."""
    status = refusal.status
    if status in (_UNAUTHORISED, _FORBIDDEN):
        say = "login refused: check user and password (and that the user may use OData)"
        return SystemStopped(f"{refusal.what}: HTTP {status}: {say}", until=_at(now, STOP_S), cause="1C login refused")
    if status in _BUSY and (not writes or status in (503, NO_SESSION, 429)):
        return _pause(f"{refusal.what}: HTTP {status}: the base lets nobody in now", f"1C HTTP {status}", now)
    if refusal.long and status in (400, 404, _LONG):
        return TooMuch(f"{refusal.what}: HTTP {status}: the address is too long for the web server", cause=cause)
    if 300 <= status < _SERVER:  # noqa: PLR2004 - classes of HTTP statuses
        say = "there is no OData interface: check the system's url and that it is published"
        return SystemStopped(f"{refusal.what}: HTTP {status}: {say}", until=_at(now, STOP_S), cause="1C no OData")
    message = f"{refusal.what}: HTTP {status} without an answer of the interface"
    if writes:
        return UnknownOutcome(message, cause=cause)
    return (TooMuch if status >= _SERVER else Transient)(message, cause=cause)


def _pause(message: str, cause: str, now: datetime) -> NotReady:
    return NotReady(message, until=_at(now, PAUSE_S), cause=cause)


def _at(now: datetime, seconds: int) -> datetime:
    return now + timedelta(seconds=seconds)


def _in_json(content: bytes) -> tuple[str, str] | None:
    try:
        said: Json = json.loads(content)["odata.error"]
        message = said.get("message")
        return str(said.get("code", "")), str(message.get("value", "") if isinstance(message, dict) else message)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _in_xml(content: bytes) -> tuple[str, str] | None:
    """`<m:error><m:code/><m:message/></m:error>`."""
    try:
        root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    except (etree.XMLSyntaxError, ValueError):
        return None
    said = {etree.QName(one).localname: one.text or "" for one in root if isinstance(one.tag, str)}
    return (said.get("code", ""), said.get("message", "")) if etree.QName(root).localname == "error" else None
