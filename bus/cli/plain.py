"""Plain words: an error of ours is one sentence for a person, without a traceback and without secrets; exit code 1."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import psycopg
import typer
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from typer.core import TyperGroup

from bus.config import Settings
from bus.embedded import EngineError
from bus.errors import BusError
from bus.log import scrub_text

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes of a command that a person (Ctrl-C) or the system (SIGTERM) stopped half way."""


class Plain(TyperGroup):
    """The `bus` command: what its commands raise on purpose, or for want of a neighbour, is said in plain words."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer brings a click of its own, which it does not export
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (BusError, EngineError, psycopg.Error, SQLAlchemyError, RedisError, OperationalError) as error:
            fail(said(error))
        except ValidationError as error:
            if error.title != Settings.__name__:
                raise
            fail(of_environment(error))
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read our answer has enough; Typer knows how to end then
                raise
            fail(said(error))


def fail(message: str, code: int = 1) -> NoReturn:
    """Say it on stderr, without what looks like a secret, and end with this exit code."""
    typer.echo(scrub_text(message), err=True)
    raise typer.Exit(code)


def said(error: Exception) -> str:
    """What a person should know of an error, and do."""
    match error:
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return "the ledger is older than this bus; run `bus migrate`"
        case psycopg.errors.InsufficientPrivilege():
            return f"the ledger refused: {_first_line(error)}; `bus migrate` as its owner grants what bus_run needs"
        case psycopg.Error() | SQLAlchemyError():
            return f"the ledger refused: {_first_line(error)}"
        case RedisError() | OperationalError():
            return f"the broker cannot be used: {_first_line(error)}"
        case OSError(strerror=str(why)):
            return f"{error.filename}: {why}" if error.filename else why
    return str(error)


def of_environment(error: ValidationError) -> str:
    """Which variables are wrong, and how; never their values."""
    complaints = error.errors(include_input=False, include_url=False, include_context=False)
    return "\n".join(f"BUS_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in complaints)


def _first_line(error: Exception) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def stoppable(code: int = 0) -> Iterator[None]:
    """SIGTERM ends the block like an ordinary exit: what was opened is closed on the way out.

    A service ends with 0, as it was asked to; a job that is not done ends with TERMINATED.
    """

    def stop(_: int, __: FrameType | None) -> None:
        raise SystemExit(code)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
