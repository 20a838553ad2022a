"""Orders, as the shop sees them."""

from __future__ import annotations

from celery import Celery

from bus.channels import apply_task
from bus.model import Json
from bus.reception import Reception
from workers.taking import take


def register(app: Celery, reception: Reception) -> None:
    """The task that takes messages of the `orders` channel: one event or a list of up to 100."""

    @app.task(name=apply_task("orders"))
    def apply(events: Json) -> None:
        take(reception, "orders", events)
