"""Beat: the chores and when they are done. Two beats at once do no harm: every chore may run twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery import Celery
from celery.schedules import crontab

from bus import importing
from bus.asking import Asking
from bus.channels import CHORES
from bus.chores import Chores
from bus.config import Limits
from bus.reconcile import Reconcile
from bus.unassigned import Unassigned
from bus.watched import Watched

_FIRST_S = 30.0
"""Seconds from beat's start to a chore's first turn, at most: a beat that is started anew every few minutes would
otherwise never come to those that are done seldom."""
_PATIENCE_S = 60.0
"""So long the night's full run waits for one that is under way: both keep their times, so they may meet each night."""


def register(
    app: Celery, chores: Chores, reconcile: Reconcile, asking: Asking, watched: Watched, unassigned: Unassigned
) -> None:
    """The chores as tasks."""

    @app.task(name="chores.sweep")
    def sweep() -> None:
        chores.sweep()

    @app.task(name="chores.deadlines")
    def deadlines() -> None:
        chores.deadlines()

    @app.task(name="chores.ask")
    def ask() -> None:
        asking.ask()

    @app.task(name="chores.directories")
    def directories() -> None:
        chores.directories()

    @app.task(name="chores.retention")
    def retention() -> None:
        chores.retention(datetime.now(UTC).date())

    @app.task(name="chores.folders")
    def folders() -> None:
        watched.sweep()

    @app.task(name="chores.unassigned")
    def look_again() -> None:
        unassigned.look_again()

    @app.task(name="chores.poll")
    def poll() -> None:
        reconcile.poll()

    @app.task(name="chores.reconcile")
    def reconcile_changed(full: bool = False) -> None:
        reconcile.run(full=full, wait_s=_PATIENCE_S if full else 0.0)


def schedule(app: Celery, limits: Limits) -> None:
    """When each chore is due. A tick that nobody took before the next one is dropped: the next does the same."""
    every = {
        "sweep": (limits.sweep_s, "chores.sweep", {}),
        "deadlines": (max(limits.sweep_s, 10.0), "chores.deadlines", {}),
        "ask": (max(limits.sweep_s, 15.0), "chores.ask", {}),
        "directories": (limits.directory_ttl_s / 2, "chores.directories", {}),
        "folders": (limits.folders_s, "chores.folders", {}),
        "unassigned": (max(limits.sweep_s, 60.0), "chores.unassigned", {}),
        "imports": (max(limits.sweep_s, 5.0), importing.TASK, {}),
        "poll": (limits.poll_s, "chores.poll", {}),
        "reconcile": (limits.reconcile_s, "chores.reconcile", {}),
        "reconcile everything": (crontab(hour="3", minute="17"), "chores.reconcile", {"full": True}),
        "retention": (crontab(hour="4", minute="5"), "chores.retention", {}),
    }
    app.conf.beat_schedule = {
        name: {"task": task, "schedule": when, "kwargs": kwargs, **_turns(when)}
        for name, (when, task, kwargs) in every.items()
    }


def _turns(when: float | crontab) -> dict[str, object]:
    if not isinstance(when, float):
        return {"options": {"queue": CHORES}}
    ago = timedelta(seconds=max(when - _FIRST_S, 0.0))
    return {"options": {"queue": CHORES, "expires": max(when, 5.0)}, "last_run_at": datetime.now(UTC) - ago}
