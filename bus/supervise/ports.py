"""Ports: fixed ones where they were asked for, free ones everywhere else."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
_RANGE = range(20_000, 32_000)
"""Below the ports lent to outgoing connections, so that ours is still free when a child is started again."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each door listens; 0 finds a free port."""

    intake: int = 0
    crm: int = 0
    shop: int = 0
    flower: int = 0
    onec: int = 0

    def found(self) -> Ports:
        """The same with every 0 replaced."""
        return Ports(*(port or free() for port in (self.intake, self.crm, self.shop, self.flower, self.onec)))


def free() -> int:
    """A port nobody listens on now."""
    while True:
        port = secrets.choice(_RANGE)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
