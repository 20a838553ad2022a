"""`bus routes`: what travels between which systems, and in which of the four ways."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import get_args

import typer

from bus.cli import screen
from bus.cli.wiring import wired
from bus.config import Config, Mode, Route
from bus.model import Kind


def routes(context: typer.Context) -> None:
    """Show between which systems what travels: off, one way, one way with creation off, or two ways."""
    config = wired(context).config
    screen.table("routes", ("what", "between", "way"), _ways(config), empty="no systems")


def _ways(config: Config) -> Iterator[tuple[str, str, str]]:
    for kind in get_args(Kind):
        concerned = [name for name in config.systems if config.route(name, kind) != Route()]
        for one, other in combinations(concerned, 2):
            yield kind, f"{one} and {other}", way(config, kind, one, other)


def way(config: Config, kind: Kind, one: str, other: str) -> str:
    """How a kind travels between two systems: what one may tell the bus, and the bus may write to the other."""
    there, back = _flow(config, kind, one, other), _flow(config, kind, other, one)
    if there is None and back is None:
        return "off"
    first, second = (one, other) if there is not None else (other, one)
    named = "two ways" if there is not None and back is not None else f"one way, {first} to {second}"
    return "; ".join([named, *(limit for limit in (there, back) if limit)])


def _flow(config: Config, kind: Kind, source: str, target: str) -> str | None:
    """Whether a kind goes from one to the other, with what limit, if any; None where it does not."""
    inward, outward = config.route(source, kind).inward, config.route(target, kind).outward
    if Mode.OFF in (inward, outward):
        return None
    creates, updates = inward.creates and outward.creates, inward.updates and outward.updates
    if creates and updates:
        return ""
    if not creates and not updates:
        return None
    return f"{source} to {target} {'creation off' if updates else 'creation only'}"
