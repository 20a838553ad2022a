"""A stand-in Bitrix CMS shop: module sale."""

from bus.sandbox.bitrix_cms.shop import Shop
from bus.sandbox.server import create_app

__all__ = ["Shop", "create_app"]
