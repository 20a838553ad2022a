"""Group commit: requests that arrive while a commit is under way go into the ledger together, in the next transaction.

A commit waits for the disk and for a few round trips, whatever is in it. Each request is answered after the commit that
holds it, and only then; under load it shares that commit with its neighbours, alone it has one of its own at once.
Senders take turns (bus.intake.turns), so that no flood shuts others out, nor its own sender's payments. And nobody is
left without an answer: a commit that does not come back is not waited for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter

import structlog

from bus.errors import NotReady, Transient, UnknownOutcome
from bus.intake.metrics import Meters
from bus.intake.problems import Refused
from bus.intake.turns import Turns, line_of
from bus.ports import Accepted, Arrival, Door

_GROUP = 256
"""Requests in one transaction at most."""
_GROUP_BYTES = 2_000_000
"""Bytes of their bodies, beyond which the next one has to wait; one alone may be larger."""
_COME_BACK_S = 1
_ANSWER_S = 8.0
"""From a request's arrival to its answer at most: the shop waits ten seconds, and repeats."""

_AWAY = (Transient, NotReady, UnknownOutcome)
"""Errors that are not the fault of what was to be journaled."""

_log = structlog.get_logger(__name__)

_Answer = Accepted | Exception


@dataclass(frozen=True, slots=True)
class _Waiting:
    arrival: Arrival
    answer: asyncio.Future[Accepted]


class GroupCommit:
    """The door as requests on the event loop see it. One thread commits; it starts when needed, and ends when idle."""

    def __init__(self, door: Door, meters: Meters, *, idle_s: float = 10.0, answer_s: float = _ANSWER_S) -> None:
        """`idle_s`: after so long without a request the thread ends. `answer_s`: so long a commit is waited for."""
        self._door, self._meters, self._idle_s, self._answer_s = door, meters, idle_s, answer_s
        self._changed = threading.Condition()
        self._turns: Turns[_Waiting] = Turns()
        self._thread: threading.Thread | None = None
        meters.waiting.set_function(lambda: len(self._turns))

    async def accept(self, sender: str, arrival: Arrival, size: int) -> Accepted:
        """Journal what a sender told in `size` bytes; returns after its commit.

        Raises Refused 503 at once when too many of his wait already; what the door raises, Transient above all;
        UnknownOutcome when the commit takes too long. It may take effect yet, and so may that of what still waits: the
        sender repeats it, and a repetition is known.
        """
        waiting = _Waiting(arrival, asyncio.get_running_loop().create_future())
        with self._changed:
            if not self._turns.admit(line_of(sender, arrival), waiting, size):
                raise Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "not taken, too much comes at once; send it again later",
                    headers={"Retry-After": str(_COME_BACK_S)},
                )
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="commits", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            async with asyncio.timeout(self._answer_s):
                return await waiting.answer
        except TimeoutError:
            raise UnknownOutcome(
                f"the journal has not answered for {self._answer_s:g} s", cause="ledger slow"
            ) from None

    def _run(self) -> None:
        """Commit group after group. A thread of our own, since a pool's bookkeeping costs a third of a small commit."""
        while group := self._wait():
            begun = perf_counter()
            answers = self._commit([waiting.arrival for waiting in group])
            ended = perf_counter()
            if isinstance(answers[-1], _AWAY):
                group, answers = self._with_the_queue(group, answers)
            with suppress(RuntimeError):  # the loop was closed by force: nobody hears an answer
                group[0].answer.get_loop().call_soon_threadsafe(_tell, group, answers)
            self._meters.commit_seconds.observe(ended - begun)
            self._meters.group.observe(len(group))

    def _wait(self) -> list[_Waiting]:
        """The next group; none after a long silence, and then the thread is gone."""
        with self._changed:
            if self._changed.wait_for(lambda: len(self._turns), self._idle_s):
                return self._turns.take(_GROUP, _GROUP_BYTES)
            self._thread = None
            return []

    def _with_the_queue(self, group: list[_Waiting], answers: list[_Answer]) -> tuple[list[_Waiting], list[_Answer]]:
        """The ledger is away, and those in the queue have waited for it as long as is right: they hear it too."""
        with self._changed:
            more = self._turns.empty()
        return group + more, answers + [answers[-1]] * len(more)

    def _commit(self, arrivals: Sequence[Arrival]) -> list[_Answer]:
        """An answer for each. What the ledger refuses of a group is told from its neighbours by itself."""
        try:
            return [*self._door.accept_all(arrivals)]
        except _AWAY as error:
            return [error] * len(arrivals)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer to the request that brought it
            if len(arrivals) == 1:
                return [error]
            _log.warning("intake.regrouped", requests=len(arrivals), error=type(error).__name__)
            return self._one_by_one(arrivals)

    def _one_by_one(self, arrivals: Sequence[Arrival]) -> list[_Answer]:
        answers: list[_Answer] = []
        for arrival in arrivals:
            answers += self._commit([arrival])
            if isinstance(answers[-1], _AWAY):  # it will not be back for the next one
                answers += [answers[-1]] * (len(arrivals) - len(answers))
                break
        return answers


def _tell(group: Sequence[_Waiting], answers: Sequence[_Answer]) -> None:
    """On the event loop: wake the requests of a group with their answers."""
    for waiting, answer in zip(group, answers, strict=True):
        if waiting.answer.done():  # cancelled: it took too long, or its server is being stopped by force
            continue
        if isinstance(answer, Exception):
            waiting.answer.set_exception(answer)
        else:
            waiting.answer.set_result(answer)
