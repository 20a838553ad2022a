"""Health of one process of the bus: `alive.py URL` asks it over HTTP, `alive.py worker NAME` pings a worker.

Exit code 0: alive. Used by the health checks of compose.yaml and the Dockerfile.
"""  # noqa: INP001 - a script beside the Dockerfile, no package

from __future__ import annotations

import socket
import sys
import urllib.request

SECONDS = 5


def over_http(url: str) -> None:
    """Raise unless the URL answers 2xx in time."""
    with urllib.request.urlopen(url, timeout=SECONDS):  # noqa: S310 - the URL stands in compose.yaml
        pass


def over_broker(name: str) -> None:
    """Raise unless the worker of that name on this host answers in time."""
    from bus.app import create_app  # noqa: PLC0415 - the other check needs none of this
    from bus.config import Settings  # noqa: PLC0415

    app = create_app(Settings().broker(), [])
    if not app.control.ping(destination=[f"{name}@{socket.gethostname()}"], timeout=SECONDS):
        raise SystemExit(f"worker {name} does not answer")


if __name__ == "__main__":
    over_broker(sys.argv[2]) if sys.argv[1] == "worker" else over_http(sys.argv[1])
