from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
