"""Beat's schedule, read as Celery's own scheduler reads it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import crontab

from bus.config import Limits
from workers import beat


@pytest.fixture
def entries() -> Iterator[dict[str, ScheduleEntry]]:
    app = Celery("bus", set_as_current=False)
    app.conf.update(timezone="UTC", enable_utc=True)
    beat.schedule(app, Limits(reconcile_s=7200.0, poll_s=20.0))
    yield dict(Scheduler(app).schedule)
    app.close()


def test_what_is_done_seldom_is_done_soon_after_beat_starts(entries: dict[str, ScheduleEntry]) -> None:
    due, next_s = entries["reconcile"].is_due()
    assert (due, 25 < next_s <= 30) == (False, True)


def test_what_is_done_often_keeps_its_pace(entries: dict[str, ScheduleEntry]) -> None:
    due, next_s = entries["poll"].is_due()
    assert (due, 15 < next_s <= 20) == (False, True)


def test_after_its_first_turn_a_chore_keeps_its_interval(entries: dict[str, ScheduleEntry]) -> None:
    due, next_s = next(entries["reconcile"]).is_due()
    assert (due, 7190 < next_s <= 7200) == (False, True)


def test_what_is_done_at_night_waits_for_the_night(entries: dict[str, ScheduleEntry]) -> None:
    nightly = [entry for entry in entries.values() if isinstance(entry.schedule, crontab)]
    assert {"reconcile everything", "retention"} <= {entry.name for entry in nightly}
    assert all(datetime.now(UTC) - entry.last_run_at < timedelta(minutes=1) for entry in nightly)
