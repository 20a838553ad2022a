"""Imports: files that a 1C sent us as to a site; rung by the intake, and by beat for what nobody asked for."""

from __future__ import annotations

from celery import Celery

from bus.importing import TASK, Importing


def register(app: Celery, importing: Importing, *, quiet_s: float) -> None:
    """The task that imports whatever waits."""

    @app.task(name=TASK)
    def import_files() -> None:
        importing.sweep(quiet_s)
        importing.run()
