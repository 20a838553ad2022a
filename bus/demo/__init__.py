"""Demo: a working day of an invented company, played against the running bus, and the proof that both systems agree."""

from bus.demo.working_day import run

__all__ = ["run"]
