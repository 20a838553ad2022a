"""A stand-in 1C base (УТ 11.5): its data, its OData interface, its CommerceML exchange, its bank statements."""

from bus.sandbox.onec.base import Base

__all__ = ["Base"]
