"""Payments: their own worker process, so that none waits behind anything else."""

from __future__ import annotations

from celery import Celery

from bus.channels import apply_task
from bus.model import Json
from bus.reception import Reception
from workers.taking import take


def register(app: Celery, reception: Reception) -> None:
    """The task that takes messages of the `payments` channel: one event or a list of up to 100."""

    @app.task(name=apply_task("payments"))
    def apply(events: Json) -> None:
        take(reception, "payments", events)
