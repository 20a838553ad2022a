"""What every error of Bitrix REST means to the bus: one table, by `error` first, then by text, by HTTP status last.

Sources: Bitrix24 docs (system errors, error codes) and kernel. Statuses differ between docs and kernel, codes do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bus.errors import BusError, NotReady, Permanent, SystemStopped, Transient, UnknownOutcome
from bus.redact import worded

SLOW_S, PARK_S, STOP_S, CONFIRM_S = 2, 600, 300, 300
_TEXT_LENGTH = 200
_CODE = re.compile(r"^[A-Za-z0-9_.:-]{1,64}$")
_SALE_CODE = re.compile(r"^\d{4}(404|403|500)\d{5}$")


class NotFound(Permanent):
    """The record does not exist (any more), or the hook's user may not see it."""


class Duplicate(Permanent):
    """What was to be added is there already."""


class NoRest3(Permanent):
    """The portal has no REST 3.0: a box, or a cloud of before."""


class Next(StrEnum):
    """What happens after an error."""

    SLOW = "too many requests: shut the bucket for a moment"
    PARK = "this method's operating time is used up, others go on"
    STOP = "the system refuses us as a whole"
    CONFIRM = "an administrator has to confirm first"
    RETRY = "it surely did not take effect, try again"
    UNCLEAR = "a write may have taken effect, a read is repeated"
    ABSENT = "no such record"
    TAKEN = "is there already"
    REFUSE = "will not succeed by repeating"
    DENIED = "a whole call of such a method: stop; one record, or any other method: refuse"
    BARRED = "a method that the system is nothing without: stop; any other: refuse"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the system said it. `inner`: of one command of a batch, whose own HTTP status nobody tells."""

    method: str
    code: str
    text: str
    status: int
    inner: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens next, and what a person should do."""

    next: Next
    say: str


_HOOK = "make a new incoming webhook as the integration user and put it into the system's url"
_BUG = "this is a fault of the bus, please report it"
_VALUE = "look at the value named in the answer"

CODES: dict[str, Rule] = {
    "query_limit_exceeded": Rule(Next.SLOW, "the bus slows down by itself"),
    "operation_time_limit": Rule(Next.PARK, "the bus waits for this method by itself"),
    "overload_limit": Rule(Next.STOP, "Bitrix24 has blocked REST of this portal by hand: write to its support"),
    "internal_server_error": Rule(Next.UNCLEAR, "look into the portal's own log if it goes on"),
    "error_unexpected_answer": Rule(Next.UNCLEAR, "look into the portal's own log if it goes on"),
    "connection_error": Rule(Next.RETRY, "the portal could not reach its OAuth server; it is repeated"),
    "expired_token": Rule(Next.STOP, f"the bus needs a webhook, not an OAuth token: {_HOOK}"),
    "no_auth_found": Rule(Next.STOP, f"the webhook is wrong or was deleted: {_HOOK}"),
    "invalid_token": Rule(Next.STOP, f"the webhook is not accepted: {_HOOK}"),
    "wrong_auth_type": Rule(Next.STOP, f"the webhook is not accepted: {_HOOK}"),
    "authorization_error": Rule(Next.STOP, f"the webhook is not accepted: {_HOOK}"),
    "application_not_found": Rule(Next.STOP, f"the webhook is not accepted: {_HOOK}"),
    "invalid_credentials": Rule(Next.STOP, f"the webhook's code is wrong or its user was dismissed: {_HOOK}"),
    "invalid_request": Rule(Next.STOP, "the system's url must be https://host/rest/<user>/<code>/"),
    "insufficient_scope": Rule(
        Next.BARRED, "tick the missing scope (crm, sale; task, user_basic) in the webhook's settings"
    ),
    "user_access_error": Rule(Next.STOP, "give the webhook's user access to the application"),
    "allowed_only_intranet_user": Rule(Next.STOP, "the webhook's user must be an employee of the portal"),
    "portal_deleted": Rule(Next.STOP, "the portal was deleted: take the system out of the configuration"),
    "wrong_license": Rule(Next.STOP, "the portal's tariff does not allow this: renew or raise it"),
    "payment_required": Rule(Next.STOP, "the portal's tariff has ended: renew it"),
    "access_denied": Rule(Next.DENIED, "check the webhook user's rights, and that the tariff includes REST"),
    "method_confirm_waiting": Rule(Next.CONFIRM, "an administrator must allow the method in the portal"),
    "method_confirm_denied": Rule(Next.BARRED, "an administrator has forbidden the method in the portal"),
    "error_method_not_found": Rule(Next.REFUSE, "the module is not installed, or the webhook lacks the method's scope"),
    "error_batch_method_not_allowed": Rule(Next.REFUSE, _BUG),
    "error_batch_length_exceeded": Rule(Next.REFUSE, _BUG),
    "error_manifest_is_not_available": Rule(Next.REFUSE, _BUG),
    "error_argument": Rule(Next.REFUSE, _VALUE),
    "wrong_encoding": Rule(Next.REFUSE, _VALUE),
    "invalid_arg_value": Rule(Next.REFUSE, _VALUE),
    "crm_field_error_value_not_valid": Rule(Next.REFUSE, _VALUE),
    "crm_field_error_required": Rule(Next.REFUSE, "the portal demands a field: fill it there or make it optional"),
    "100": Rule(Next.REFUSE, _VALUE),
    "not_found": Rule(Next.ABSENT, "the record was deleted, or the webhook's user may not see it"),
    "owner_not_found": Rule(Next.ABSENT, "the record was deleted, or the webhook's user may not see it"),
    "entity_type_not_supported": Rule(Next.REFUSE, _BUG),
    "create_dynamic_item_restricted": Rule(Next.REFUSE, "the portal's tariff does not allow to create such records"),
    "update_dynamic_item_restricted": Rule(Next.REFUSE, "the portal's tariff does not allow to change such records"),
    "200540400001": Rule(Next.ABSENT, "the order was deleted in the shop"),
    "200540400002": Rule(Next.REFUSE, "the module sale is not installed there"),
    "200640400001": Rule(Next.ABSENT, "the payment was deleted in the shop"),
    "201240400001": Rule(Next.ABSENT, "the record was deleted in the shop"),
    "201640400004": Rule(Next.ABSENT, "the link between order and deal is not there"),
    "201650000001": Rule(Next.TAKEN, "the order and the deal are linked already"),
    "200040300010": Rule(Next.REFUSE, "the webhook's user may not read it: it must be an administrator of the shop"),
    "200040300020": Rule(Next.REFUSE, "the webhook's user may not change it: it must be an administrator of the shop"),
}
"""By `error`, in lower case."""

TEXTS: tuple[tuple[str, Rule], ...] = (
    ("too many requests", CODES["query_limit_exceeded"]),
    ("operation time limit", CODES["operation_time_limit"]),
    ("spa not found", Rule(Next.REFUSE, _BUG)),
    ("method not found", CODES["error_method_not_found"]),
    ("https required", CODES["invalid_request"]),
    ("not found", CODES["not_found"]),
    ("не найден", CODES["not_found"]),
    ("does not exist", CODES["not_found"]),
    ("access denied", Rule(Next.REFUSE, "give the webhook's user the right to this record")),
    ("доступ запрещ", Rule(Next.REFUSE, "give the webhook's user the right to this record")),
    ("id is not defined", Rule(Next.REFUSE, _BUG)),
    ("must be array", Rule(Next.REFUSE, _BUG)),
    ("typeaddress exists", Rule(Next.TAKEN, "the requisite has an address of this type already")),
    ("required", Rule(Next.REFUSE, _VALUE)),
)
"""By a part of the text, in lower case: classic CRM errors have an empty code, sale.* errors the code 0."""

_TEXT_CODES = frozenset({"", "0", "error_core"})
_COMMERCIAL = ("plan", "subscription", "commercial", "тариф", "подписк")


def rule_for(refusal: Refusal) -> Rule:
    """The line of the table that a refusal falls under."""
    code, text = refusal.code.lower(), refusal.text.lower()
    known = CODES.get(code)
    if known is not None and not (code == "not_found" and "spa not found" in text):
        return known
    if refusal.status >= 500 and code in _TEXT_CODES:  # noqa: PLR2004 - a class of HTTP statuses
        return _by_status(refusal)
    sale = _SALE_CODE.match(code)
    if sale and sale[1] == "404":
        return CODES["not_found"]
    if code in _TEXT_CODES or not _CODE.match(code) or code == "not_found":
        for part, rule in TEXTS:
            if part in text or part in code:
                return rule
    return _by_status(refusal)


def _by_status(refusal: Refusal) -> Rule:
    status = refusal.status
    if refusal.inner:
        return Rule(Next.REFUSE, "look at what the system answered")
    if status == 429:  # noqa: PLR2004 - Too Many Requests
        return CODES["query_limit_exceeded"]
    if status == 401:  # noqa: PLR2004 - the kernel's default for every OAuth error
        return CODES["invalid_token"]
    if status >= 500:  # noqa: PLR2004 - a class of HTTP statuses
        return CODES["internal_server_error"]
    return Rule(Next.REFUSE, "look at what the system answered")


def error_of(refusal: Refusal, *, writes: bool, now: datetime, reset_at: datetime | None = None) -> BusError:
    """The error of ours that says what happens next; `reset_at`: when the method's operating time comes back."""
    rule = rule_for(refusal)
    message, cause, detail = _said(refusal, rule)
    after = _settled(rule.next, refusal)
    if after in _WAITS:
        seconds, kind = _WAITS[after]
        until = now + timedelta(seconds=seconds)
        if after is Next.PARK and reset_at is not None and reset_at > now:
            until = reset_at
        return kind(message, until=until, cause=cause, detail=detail)
    if after is Next.UNCLEAR:
        return (UnknownOutcome if writes else Transient)(message, cause=cause, detail=detail)
    return _ENDS[after](message, cause=cause, detail=detail)


_WAITS: dict[Next, tuple[int, type[NotReady]]] = {
    Next.SLOW: (SLOW_S, NotReady),
    Next.PARK: (PARK_S, NotReady),
    Next.CONFIRM: (CONFIRM_S, NotReady),
    Next.STOP: (STOP_S, SystemStopped),
}
_ENDS: dict[Next, type[BusError]] = {
    Next.RETRY: Transient,
    Next.ABSENT: NotFound,
    Next.TAKEN: Duplicate,
    Next.REFUSE: Permanent,
}


_CORE = ("crm.", "sale.")
_ALWAYS = frozenset({"batch", "profile", "scope", "server.time"})
"""Methods that every webhook has."""


def _settled(after: Next, refusal: Refusal) -> Next:
    """What the refusal of this very method means.

    ACCESS_DENIED is one record's in a batch and with 400; with 401, 403 or talk of tariffs it is all of REST. Tasks and
    users have scopes and rights of their own: a webhook without them carries orders and payments all the same, and
    where it is all of REST, the next call says so too.
    """
    if after not in (Next.BARRED, Next.DENIED):
        return after
    method = refusal.method.lower()
    whole = method in _ALWAYS or method.startswith(_CORE)
    if after is Next.DENIED:
        commercial = any(word in refusal.text.lower() for word in _COMMERCIAL)
        whole = whole and (commercial or (not refusal.inner and refusal.status in (401, 403)))
    return Next.STOP if whole else Next.REFUSE


def _said(refusal: Refusal, rule: Rule) -> tuple[str, str, dict[str, object]]:
    """Message, cause and detail; some methods put text into `error`, so only what looks like a code is one."""
    coded = bool(_CODE.match(refusal.code))
    text = plain(refusal.text if coded or refusal.text else refusal.code)
    code = refusal.code if coded else ""
    told = " ".join(part for part in (code, text) if part) or f"HTTP {refusal.status}"
    detail: dict[str, object] = {"error": code, "error_description": text, "status": refusal.status}
    return f"{refusal.method}: {told}: {rule.say}", f"{refusal.method} {code or text[:60]}".strip(), detail


def plain(text: str) -> str:
    """A system's text, short and without what may be a person's name, phone or e-mail: it goes into messages."""
    calm = worded(text)
    return calm if len(calm) <= _TEXT_LENGTH else calm[:_TEXT_LENGTH] + "…"
