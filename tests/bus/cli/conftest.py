import logging
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.bus.cli.house import CONFIG, Bus


@pytest.fixture
def bus(database_url: str, broker_url: str, tmp_path: Path) -> Bus:
    path = tmp_path / "bus.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return Bus(tmp_path, {"BUS_DATABASE_URL": database_url, "BUS_BROKER_URL": broker_url, "BUS_CONFIG": str(path)})


@pytest.fixture
def wiring(bus: Bus) -> Iterator[Any]:
    """The bus of the commands, closed at the end."""
    wiring = bus.wiring
    yield wiring
    wiring.close()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """A command sets up logging, hooks and signals for its process; this process goes on."""
    root, hooks, configured = logging.getLogger(), (sys.excepthook, threading.excepthook), structlog.get_config()
    handlers, level, stopped = list(root.handlers), root.level, signal.getsignal(signal.SIGTERM)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(capture=False)
    structlog.configure(**configured)
    assert signal.getsignal(signal.SIGTERM) is stopped
