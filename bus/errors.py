"""Errors: each class says what happens next, each message says what a person should do."""

from __future__ import annotations

from datetime import datetime

Redacted = dict[str, object]


class BusError(Exception):
    """Base of everything the bus raises on purpose.

    `cause` is a short stable key by which dead letters are grouped ("crm.item.update ACCESS_DENIED"); the message
    may carry ids and codes, never a secret or a person's data.
    """

    def __init__(self, message: str, *, cause: str | None = None, detail: Redacted | None = None) -> None:
        super().__init__(message)
        self.cause = cause or type(self).__name__
        self.detail: Redacted = detail or {}


POISON = (ValueError, LookupError, TypeError, ArithmeticError)
"""What handling a record of a shape that nobody foresaw may raise."""


def unreadable(error: Exception) -> str:
    """Why a record cannot be read. What is not ours may quote its values, and is only named."""
    return str(error) if isinstance(error, BusError) else f"cannot be read: {type(error).__name__}"


class Transient(BusError):
    """Try again later: counts an attempt; exponential back-off with jitter, the time kept in the ledger."""


class NotReady(BusError):
    """Not now, and nobody's fault (limit, maintenance, breaker): comes back at `until` and counts no attempt."""

    def __init__(
        self, message: str, *, until: datetime, cause: str | None = None, detail: Redacted | None = None
    ) -> None:
        super().__init__(message, cause=cause, detail=detail)
        self.until = until


class Permanent(BusError):
    """Will not succeed by repeating: a dead letter at once, for a person."""


class UnknownOutcome(BusError):
    """The call may or may not have taken effect: probe before anything is sent again."""


class SystemStopped(NotReady):
    """The whole system refuses us (token revoked, portal deleted, tariff): its lane waits and an alert is raised."""


class Unrepeatable(Permanent):
    """The call may have taken effect, nothing tells, and a repeat would do it twice: a person looks first."""


class Dropped(Permanent):
    """The system answered success and kept its old value: the field cannot be set like this."""


class UnknownCode(Permanent):
    """A code of one system has no canonical value (or the other way round); never defaulted."""

    def __init__(self, table: str, code: str, *, field: str, called: str | None = None) -> None:
        name = f" ({called})" if called else ""
        super().__init__(
            f"{table}: {code!r}{name} has no mapping; add it to mappings/tables.yaml and retry",
            cause=f"{table} {code!r}",
        )
        self.table, self.code, self.field = table, code, field


class BadInput(BusError):
    """What came in cannot be taken: names the field, the trouble and what to do. Nothing was stored."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ConfigError(BusError):
    """The configuration is wrong or incomplete; the message names the key and what to write there."""
