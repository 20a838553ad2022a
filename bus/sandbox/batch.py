"""The `batch` method: up to 50 commands in one hit, with references to earlier results (Bitrix24 docs, batch)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bus.sandbox import phpform
from bus.sandbox.envelope import Page, Params, RestError, Row

LENGTH = 50
_REFERENCE = re.compile(r"\$result((?:\[[^\[\]]*\])+)")
_REFUSED = ("batch", "crm.item.batchimport")


@dataclass(frozen=True)
class Command:
    """One command of a batch, as it stands in `cmd`."""

    key: str
    method: str
    query: str


@dataclass
class Results:
    """The five maps of a batch answer."""

    result: Row = field(default_factory=dict)
    error: Row = field(default_factory=dict)
    total: Row = field(default_factory=dict)
    next: Row = field(default_factory=dict)
    time: Row = field(default_factory=dict)

    def body(self) -> Row:
        """As PHP encodes it: an empty map is `[]`, keys exactly 0..n-1 make a list."""
        return {
            "result": phpform.php_array(self.result),
            "result_error": phpform.php_array(self.error),
            "result_total": phpform.php_array(self.total),
            "result_next": phpform.php_array(self.next),
            "result_time": phpform.php_array(self.time),
        }


Execute = Callable[[Command, Params], tuple[Any, Row]]
"""Runs one command; gives its answer and its `time` object; raises RestError."""


def commands(params: Params) -> list[Command]:
    """The commands in order; what is not a string is skipped silently."""
    raw = params.get("cmd")
    pairs = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    found = []
    for key, text in pairs:
        if isinstance(text, str):
            method, _, query = text.partition("?")
            found.append(Command(str(key), method.strip().lower(), query))
    return found


def run(params: Params, execute: Execute) -> Row:
    """Run the commands one after another; halt=1 stops after the first error and later keys appear nowhere."""
    halt = str(params.get("halt", "0")).lower() in ("1", "true", "y")
    results = Results()
    for index, command in enumerate(commands(params)):
        try:
            _admit(command, index)
            arguments = phpform.parse(command.query, lambda text: substitute(text, results.result))
            answer, clock = execute(command, arguments)
        except RestError as error:
            results.error[command.key] = error.body()
            if halt:
                break
            continue
        _keep(results, command.key, answer, clock)
    return results.body()


def _admit(command: Command, index: int) -> None:
    if index >= LENGTH:
        raise RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
    if command.method in _REFUSED:
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")


def substitute(text: str, results: Row) -> str:
    """Put earlier results in the place of `$result[key][path]`; what is not there becomes an empty string."""
    if "$result" not in text:
        return text
    return _REFERENCE.sub(lambda match: _follow(match.group(1), results), text)


def _follow(path: str, results: Row) -> str:
    value: Any = results
    for part in path[1:-1].split("]["):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return ""
    if isinstance(value, dict | list):
        return "Array"
    return "" if value is None or value is False else "1" if value is True else str(value)


def _keep(results: Results, key: str, answer: Any, clock: Row) -> None:
    page = answer if isinstance(answer, Page) else Page(answer)
    results.result[key] = page.result
    results.time[key] = clock
    if page.total is not None:
        results.total[key] = page.total
    if page.next is not None:
        results.next[key] = page.next


def seconds() -> float:
    """The clock that measures work; the portal's own clock may be virtual."""
    return time.perf_counter()
