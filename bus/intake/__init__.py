"""The public door: verifies what systems send, journals it, answers. It never calls another system."""

from bus.intake.app import create_app

__all__ = ["create_app"]
