"""A stand-in Bitrix24 portal."""

from bus.sandbox.bitrix24.portal import Portal
from bus.sandbox.server import create_app

__all__ = ["Portal", "create_app"]
