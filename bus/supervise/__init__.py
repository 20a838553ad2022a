"""Supervise: the whole bus on one machine, for `bus up`, the demo and tests; started, kept alive, stopped in order."""

from bus.supervise.ports import Ports
from bus.supervise.stack import Stack, StackError
from bus.supervise.up import up

__all__ = ["Ports", "Stack", "StackError", "up"]
