"""The bus: what comes in is journaled, merged and delivered; `bus.publish` is the producers' way in from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bus.envelope import Event
    from bus.ports import Accepted


def publish(events: Event | dict[str, Any] | Sequence[Event | dict[str, Any]]) -> Accepted:
    """Publish one event or many to the bus that BUS_DATABASE_URL, BUS_BROKER_URL and BUS_CONFIG name.

    Returns after the commit: how many were new and how many the journal had already. Raises BadInput, naming the field,
    before anything is stored; Transient when the ledger cannot be reached; ConfigError when a URL is not set.
    """
    from bus.producer import default  # noqa: PLC0415 - `import bus` stays light: no database driver, no Celery

    return default().publish(events)
