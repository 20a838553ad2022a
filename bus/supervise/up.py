"""`bus up`: run the stack until Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from bus.supervise.children import Say
from bus.supervise.ports import Ports
from bus.supervise.stack import Stack, Wire

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A person or an init system wants us to stop."""


def up(
    wire: Wire,
    config: Path | None = None,
    *,
    ports: Ports | None = None,
    state: Path | None = None,
    open_flower: bool = True,
    limited: bool = True,
    say: Say = print,
) -> int:
    """Start everything, print where it is, stay until told to stop, stop in order. The exit code.

    With `config` it runs against the systems named there; without, against two stand-ins. Raises ConfigError,
    StackError or embedded.EngineError when it cannot start.
    """
    try:
        with (
            interruptible(),
            Stack(wire, config, ports=ports, state=state, flower=open_flower, limited=limited, say=say) as stack,
        ):
            _tell(stack, say)
            threading.Event().wait()
    except Interrupted:
        say("stopped")
    return 0


@contextmanager
def interruptible() -> Iterator[None]:
    """The first signal raises Interrupted; from then on we are stopping, and others are not heard."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise Interrupted

    before = {one: signal.signal(one, interrupt) for one in _SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _tell(stack: Stack, say: Say) -> None:
    urls = stack.urls
    say(f"intake            {urls.intake}   POST /events, /bitrix24/{{system}}, /shop/{{system}}; GET /ready, /metrics")
    if urls.flower:
        say(f"Flower            {urls.flower}")
    if urls.crm and urls.shop:
        say(f"stand-in Bitrix24 {urls.crm}   state, act, faults, calls; its REST door is /rest/1/sandbox/")
        say(f"stand-in shop     {urls.shop}")
        say(f"stand-in 1C       {urls.onec}   its OData door is /base/odata/standard.odata/")
    say(f"configuration     {stack.settings.config}")
    say(f"logs              {stack.folder / 'logs'}")
    say("running until Ctrl-C")
