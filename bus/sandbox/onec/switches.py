"""What an administrator of the base can set: which refusals are on, what the publication offers, how slow it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class Switches:
    """Times are in seconds. The defaults are a stock УТ 11 behind a quick web server."""

    unique_inn: bool = False  # a handler refuses a second counterparty with the same ИНН and КПП
    partner_required: bool = True  # a handler refuses a counterparty without Партнер
    closed_until: str = ""  # the last closed day, "2026-03-31": documents up to it cannot be written
    if_match: bool = False  # honour If-Match with 412, as the manual says; a live УТ 11 does not
    own_keys: bool = True  # honour Ref_Key in the body of a POST
    plan: bool = False  # publish ExchangePlan_ДляODATA, SelectChanges and NotifyChangesReceived
    unpublished: list[str] = field(default_factory=list)  # sets left out of the interface
    query_limit: int = 8190  # bytes of a query string that the web server takes; IIS: 2048
    without: list[str] = field(default_factory=list)  # "Set.Property" that an update of the configuration took away
    hidden: list[str] = field(default_factory=list)  # Ref_Keys that row-level security hides from the user
    ib_session: bool = False  # answer IBSession: start with the ibsession cookie
    session_life: float = 20.0  # an idle session ends after this
    licences: int | None = None  # how many sessions the licences allow; None: enough
    licence_status: int = 406  # what a session too many gets: 406 or 503
    latency: dict[str, float] = field(default_factory=dict)  # by "read", "write", "post", "metadata"
    cold_start: float = 0.0  # added to the first request and to one after an idle time
    idle: float = 1200.0  # how long nobody asks before the base is cold again

    def configure(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Change some of them; raises ValueError for a name that is none."""
        known = {one.name for one in fields(self)}
        for name, value in spec.items():
            if name not in known:
                raise ValueError(f"unknown setting {name!r}; known: {', '.join(sorted(known))}")
            setattr(self, name, value)
        return asdict(self)
