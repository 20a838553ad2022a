"""All targets by name."""

from __future__ import annotations

from tests.fuzz import api, doors, exchanges, parsers, wire
from tests.fuzz.target import Target

ALL: dict[str, Target] = {
    target.name: target
    for target in [*parsers.TARGETS, *doors.TARGETS, *api.TARGETS, *exchanges.TARGETS, *wire.TARGETS]
}


def named(name: str) -> Target:
    """The target of that name. Raises SystemExit, naming those there are."""
    if name not in ALL:
        raise SystemExit(f"no target is called {name!r}; there are: {', '.join(ALL)}")
    return ALL[name]
