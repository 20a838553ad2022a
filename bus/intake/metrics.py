"""What the door counts. Labels are the configured systems and our own routes: nobody outside can add one."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Meters:
    """Counters of one app, in a registry of their own: two apps in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        by = ("system", "route")
        self.accepted = Counter("bus_intake_accepted", "Events and notifications journaled", by, registry=self.registry)
        self.known = Counter("bus_intake_known", "Events the journal already had", by, registry=self.registry)
        self.ignored = Counter("bus_intake_ignored", "Requests that mean nothing to us", by, registry=self.registry)
        self.refused = Counter("bus_intake_refused", "Requests refused", (*by, "status"), registry=self.registry)
        self.seconds = Histogram(
            "bus_intake_seconds", "Time to the answer", ("route",), buckets=_BUCKETS_S, registry=self.registry
        )
        self.commit_seconds = Histogram(
            "bus_intake_commit_seconds", "Time of a commit", buckets=_BUCKETS_S, registry=self.registry
        )
        self.group = Histogram(
            "bus_intake_group_requests", "Requests in one commit", buckets=_GROUPS, registry=self.registry
        )
        self.waiting = Gauge("bus_intake_waiting_requests", "Requests waiting for a commit", registry=self.registry)

    def watch(self, name: str, says: str, value: Callable[[], float]) -> None:
        """Show a number of another part of the process; it is asked for when metrics are read."""
        Gauge(name, says, registry=self.registry).set_function(value)
