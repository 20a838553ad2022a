"""A producer in a process of its own: `python -m tests.bench.publishing FILE` publishes a file of events, a line each.

It tells when it has begun and when it is through; its configuration comes from the environment, like any producer's.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path

from bus import log
from workers.bootstrap import wire

_CHUNK = 1_000


def publish(file: Path) -> None:
    """Publish every line."""
    publisher = wire().publisher
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    with file.open(encoding="utf-8") as lines:
        while chunk := list(islice(lines, _CHUNK)):
            publisher.publish([json.loads(line) for line in chunk])
    publisher.close()


if __name__ == "__main__":
    log.configure("warning")
    publish(Path(sys.argv[1]))
