"""Bounds for hostile input: what a test does inside must be over soon, and in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.fuzz.guard import guarded
from tests.fuzz.target import Target


@contextmanager
def bounded(seconds: float = 2.0, megabytes: int = 150) -> Iterator[None]:
    """Raises Broken when it took more processor time or memory."""
    with guarded(Target("hostile", "", opened=None, seconds=seconds, megabytes=megabytes)):  # type: ignore[arg-type]
        yield
