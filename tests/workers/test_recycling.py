"""Recycling: a worker that has grown too large asks to be ended, once."""

import signal
from collections.abc import Iterator

import pytest

from workers.recycling import recycler, size


@pytest.fixture
def ended() -> Iterator[list[int]]:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


def test_a_worker_that_has_grown_too_large_ends_after_its_task_and_asks_once(ended: list[int]) -> None:
    look = recycler(100, size_mb=lambda: 101)
    look(task_id="1")
    look(task_id="2")
    assert ended == [signal.SIGTERM]


@pytest.mark.parametrize(("limit_mb", "size_mb"), [(100, 100), (0, 9_999)])
def test_one_within_its_bound_or_without_one_goes_on(ended: list[int], limit_mb: int, size_mb: int) -> None:
    recycler(limit_mb, size_mb=lambda: size_mb)(task_id="1")
    assert ended == []


def test_the_size_of_this_process_is_told_in_megabytes() -> None:
    assert 20 < size() < 4_000
