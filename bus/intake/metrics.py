"""What the door counts. Labels are the configured systems and our own routes: nobody outside can add one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


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
