"""Channels: the named queues that events and lanes travel on, and what each is for."""

from __future__ import annotations

from collections.abc import Iterable

#: One per entity as a system sees it; a worker process each, so that none waits behind another.
ENTITY_CHANNELS: dict[str, str] = {
    "payments": "payments and refunds; own worker process, never behind anything else",
    "orders": "orders as the shop sees them",
    "deals": "orders as the CRM sees them",
    "counterparties": "companies and persons with their requisites",
}

CHORES = "chores"
"""Beat's work: sweep, reconcile, deadlines, retention."""

DRAIN = "lanes.drain"
"""The Celery task that a lane's bell asks for, with the system and whether it is the payments lane's."""

MESSAGE_EVENTS = 100
"""Events a message carries at most: Celery costs 2 ms of processor per message, whatever is in it."""

#: Lower is more urgent. Payments are what a manager waits for; bulk is what reconciliation and initial loads find.
URGENT, NORMAL, BULK = 0, 5, 9
NEXT = 1
"""What a payment's write leaves to say (the stage that follows from it): first in the ordinary lane."""


def lane_queue(system: str, *, urgent: bool) -> str:
    """The queue that wakes a system's lane; the payments lane of a system has a queue of its own."""
    return f"lane.{system}.payments" if urgent else f"lane.{system}"


def queues(systems: Iterable[str]) -> list[str]:
    """Every queue of a bus that knows these systems."""
    lanes = [lane_queue(system, urgent=urgent) for system in systems for urgent in (True, False)]
    return [*ENTITY_CHANNELS, *lanes, CHORES]


def apply_task(channel: str) -> str:
    """Name of the Celery task that takes a channel's messages; foreign producers send this name."""
    return f"{channel}.apply"
