"""Stops: a lane that a person stops, or takes up again; everything for it waits meanwhile, and counts no attempt."""

from __future__ import annotations

from bus.breaker import BY_PERSON, Breaker
from bus.config import Config
from bus.errors import BadInput
from bus.ledger import letters
from bus.ledger.database import Ledger, run
from bus.ports import Bells


def stop(ledger: Ledger, breaker: Breaker, config: Config, system: str, reason: str, actor: str) -> None:
    """Stop a lane until a person resumes it. Raises BadInput for a system without a lane, or without a reason."""
    _has_lane(config, system)
    if not reason.strip():
        raise BadInput("say why: whoever finds the lane stopped will want to know", field="reason")
    with ledger.transaction() as connection:
        letters.acted(connection, actor, "stop lane", system, {"reason": reason})
        breaker.stop(system, f"{reason} ({actor})", by=BY_PERSON)


def resume(ledger: Ledger, breaker: Breaker, bells: Bells, config: Config, system: str, actor: str) -> bool:
    """Take a lane up again, whoever or whatever stopped it; False when it was neither stopped nor open.

    What was put off is due at once: a person says that the system works. Raises BadInput for a system without a lane.
    """
    _has_lane(config, system)
    with ledger.transaction() as connection:
        letters.acted(connection, actor, "resume lane", system)
        for statement in (
            "UPDATE delivery SET due_at = now() WHERE system = %s AND state = 'due' AND due_at > now()",
            "UPDATE event SET due_at = now() WHERE source = %s AND state = 'notified' AND due_at > now()",
        ):
            run(connection, statement, [system])
        resumed = breaker.resume(system)
    for urgent in (True, False):
        bells.ring(system, urgent=urgent)
    return resumed


def _has_lane(config: Config, system: str) -> None:
    called = [name for name, one in config.systems.items() if one.url]
    if system not in called:
        why = "sends events and is never called" if system in config.systems else "is not known"
        raise BadInput(f"{system!r} {why}, it has no lane; lanes: {', '.join(called) or 'none'}", field="system")
