"""What a REST answer looks like: results, errors and the `time` object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bus.sandbox import times

Params = dict[str, Any]
Row = dict[str, Any]


class RestError(Exception):
    """A refusal. `code` goes out as it is: old CRM methods use the empty string, sale.* numbers (Bitrix24 docs)."""

    def __init__(self, code: str | int, text: str, status: int = 400, **extra: Any) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """Errors carry no `time`."""
        return {"error": self.code, "error_description": self.text, **self.extra}


@dataclass(frozen=True)
class Page:
    """One page of a list; `total` and `next` stay out of the answer when they are None."""

    result: Any
    total: int | None = None
    next: int | None = None


@dataclass
class Stopwatch:
    """The `time` object. `operating` is there only while the limiter is on (a box has none)."""

    start: float
    processing: float = 0.0
    operating: float | None = None
    operating_reset_at: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def body(self, finish: float) -> dict[str, Any]:
        body = {
            "start": self.start,
            "finish": finish,
            "duration": max(0.0, finish - self.start),
            "processing": self.processing,
            "date_start": times.iso(self.start),
            "date_finish": times.iso(finish),
        }
        if self.operating is not None:
            body["operating_reset_at"] = self.operating_reset_at
            body["operating"] = self.operating
        return body


def success(answer: Any, watch: Stopwatch, finish: float) -> dict[str, Any]:
    """The success envelope: result, next, total, time."""
    page = answer if isinstance(answer, Page) else Page(answer)
    body: dict[str, Any] = {"result": page.result}
    if page.next is not None:
        body["next"] = page.next
    if page.total is not None:
        body["total"] = page.total
    body["time"] = watch.body(finish)
    return body


def unknown_method() -> RestError:
    """The answer to a method that does not exist, or whose module is absent."""
    return RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)


def required(params: Params, *names: str) -> None:
    """Refuse a call that lacks a required argument (code 100, Bitrix24 docs)."""
    for name in names:
        if params.get(name) is None:
            raise RestError("100", f"Could not find value for parameter {{{name}}}")


def number(value: Any, default: int = 0) -> int:
    """An id as clients send it: number or string; anything else is `default`."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return default
