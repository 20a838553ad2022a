"""The default producer of a process: a publisher made from the environment when the first event is published."""

from __future__ import annotations

from functools import cache

from bus import config
from bus.app import create_app
from bus.bells import CeleryBells
from bus.config import Settings
from bus.ledger.database import AT_A_DOOR, Ledger
from bus.publisher import Publisher


@cache
def default() -> Publisher:
    """The publisher of BUS_DATABASE_URL and BUS_BROKER_URL, one per process. Raises ConfigError."""
    settings = Settings()
    systems = config.load(settings.config).systems
    ledger = Ledger(settings.database(), size=2, patience=AT_A_DOOR)
    return Publisher(ledger, CeleryBells(create_app(settings.broker(), systems)), systems)
