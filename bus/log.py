"""Logs: one JSON line per thing that happened, or a readable one for a terminal, and no secret in either.

Everything goes through the root logger of the standard library: ours (structlog), Celery's, uvicorn's and requests'.
An exception is told by its kind and the calls that led to it: its words may be anybody's name or phone, save those of
our own errors, which are written to be shown. The scrub is the last step before rendering, over names and values
alike, so that no library's habit of quoting a URL gets around it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from types import TracebackType
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, ProcessorReturnValue, WrappedLogger

from bus.errors import BusError

Level = Literal["debug", "info", "warning", "error"]

HIDDEN = "***"

#: Loggers that bring handlers of their own, or may have got some before we came.
_OWN_HANDLERS = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "celery",
    "celery.task",
    "celery.redirected",
    "kombu",
    "py.warnings",
)

_SLASH = r"(?:\\*/|%2F)"
"""A slash, in PHP's JSON with a backslash before it, which every repr() doubles."""
_NAMES = "application_token|access_token|refresh_token|client_secret|password|passwd|api_key|secret|token"
_SECRET_NAME = re.compile(f"(?:{_NAMES}|authorization)$", re.IGNORECASE)

#: Each leaves its first group and hides the rest of the match.
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # an incoming webhook: https://host/rest/1/code/method; as a path alone, in PHP's JSON, in a query
        rf"({_SLASH}rest{_SLASH}\d+{_SLASH})(?:[^/\\\s\"'?&#%]|%(?!2F))+",
        # a Standard Webhooks key
        r"(whsec_)[A-Za-z0-9+/=_%-]+",
        # a password in a broker's or database's URL; it may hold any character, so up to the last @ of the word
        r"((?:rediss?|valkeys?|postgres(?:ql)?(?:\+\w+)?|amqps?)://[^\s:@/]*:)\S+(?=@)",
        # a password in any other URL
        r"([a-z][a-z0-9+.-]{0,20}://[^\s:@/]*:)[^\s@/]+(?=@)",
        # name=value and "name": "value", in PHP's brackets too
        rf"((?:{_NAMES})(?:\]|%5D)?\\*[\"']?\s*(?:=|:|%3D)\s*\\*[\"']?)[^\s&\"',;}})]+",
        r"(\bauth=)[^\s&\"']+",
        r"(\b(?:bearer|basic)\s+)[A-Za-z0-9+/=._~-]{8,}",
        # what PostgreSQL quotes of a row or a parameter in its errors, and pydantic of a value: people's data
        r"((?-i:DETAIL|CONTEXT):\s*)(?:.|\n(?!(?-i:[A-Z]+:|The above|During handling)|\s*$))+",
        r"(input_value=)(?:.|\n)+?(?=, input_type=|\Z)",
    )
)


def configure(level: Level = "info", json: bool | None = None) -> None:
    """Set up logging for this process; calling it again replaces what was set up. `json` None: unless on a terminal.

    uvicorn needs log_config=None and Celery worker_hijack_root_logger=False (or a receiver of setup_logging), or they
    undo it.
    """
    readable = sys.stderr.isatty() if json is None else not json
    formatter = structlog.stdlib.ProcessorFormatter(processors=_last(readable=readable), foreign_pre_chain=_first())
    handler = _Handler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)
    # What no line of ours shows is not looked up for every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    sys.excepthook, threading.excepthook = _uncaught, _uncaught_in_thread
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_first(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


_SUSPECT = (
    *("rest", "whsec_", "://", "token", "secret", "passw", "api_key", "auth", "bearer", "basic"),
    *("detail:", "context:", "input_value="),
)
"""One of them stands in whatever _SECRETS or _SECRET_NAME would match, and no renderer writes it in another way."""


def scrub_text(text: str) -> str:
    """`text` without anything that looks like a secret of ours."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def scrub(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The processor: names, values at any depth, and the words of anything that is no plain value."""
    return {scrub_text(name): _scrubbed(value, name) for name, value in event.items()}


_CALLS = 12
"""The last so many calls before an error."""
_CAUSES = 5


def calls(error: BaseException) -> list[str]:
    """Where an error came from, the innermost call last: file, line and function, nothing of what they worked on."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)][-_CALLS:]
    return [f"{PurePath(code.co_filename).name}:{line} {code.co_name}" for code, line in frames]


def _told(error: BaseException) -> str:
    """A word on an error. What its own words are only when they are ours, or the operating system's on a number."""
    kind = type(error).__name__
    if isinstance(error, BusError):
        return f"{kind}: {error}"
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return f"{kind}: {os.strerror(error.errno)}"
    return kind


def _unfolded(error: BaseException) -> str:
    """An error, the calls that led to it, and what it came from."""
    lines = []
    for n, one in enumerate(_with_causes(error)):
        lines += [f"{'from ' if n else ''}{_told(one)}", *(f"  {call}" for call in calls(one))]
    return "\n".join(lines)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _without_words(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The processor: no exception says more than `_told` of it, nor does a line that quotes the one it comes with."""
    found = _exception(event.pop("exc_info", None))
    if found is not None:
        event["exception"] = _unfolded(found)
        event["event"] = _quoting_nothing(event["event"], found)
    return {name: _told(value) if isinstance(value, BaseException) else value for name, value in event.items()}


def _quoting_nothing(said: object, error: BaseException) -> object:
    """Celery and asyncio say in their lines what an exception is."""
    words = [repr(one) for one in _with_causes(error) if not isinstance(one, BusError)]
    for some in words if isinstance(said, str) else ():
        said = str(said).replace(some, some.partition("(")[0])
    return said


def _exception(given: object) -> BaseException | None:
    """What `exc_info` is about, in each of the ways in which it may be given."""
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if len(given) > 1 and isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None


def _first() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _last(*, readable: bool) -> list[Processor]:
    render: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if readable
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.StackInfoRenderer(),
        _without_words,
        _scrubbing(render),
    ]


def _scrubbing(render: Processor) -> Processor:
    """Render a line that holds no secret. Most hold nothing that looks like one: they are rendered, and looked at once.

    Looking at each name and value with every pattern would cost four times what the line does.
    """

    def scrubbed(logger: WrappedLogger, name: str, event: EventDict) -> ProcessorReturnValue:
        line = render(logger, name, dict(event))
        words = str(line).casefold()
        return render(logger, name, scrub(logger, name, event)) if any(word in words for word in _SUSPECT) else line

    return scrubbed


def _scrubbed(value: object, name: str = "") -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {scrub_text(str(key)): _scrubbed(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed(item) for item in value]
    return scrub_text(value if isinstance(value, str) else repr(value))


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in its stubs only
    """A stream handler that, when a line cannot be made, does not print the arguments of that line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say where the unusable call is."""
        self.stream.write(f'{{"event": "log.failed", "level": "error", "where": "{record.module}:{record.lineno}"}}\n')


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The last words of a process or a thread; Ctrl-C needs none."""
    if not issubclass(kind, KeyboardInterrupt):
        structlog.get_logger(__name__).critical("process.failed", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
