"""One write on its way through several requests: what it was told, what failed, what comes of it in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from bus.errors import BusError, NotReady, UnknownOutcome
from bus.model import Json
from bus.ports import Failed, Raw, Write, Written
from bus.systems.bitrix_errors import NotFound
from bus.systems.bitrix_rest import Command, Outcome, Rest, Result
from bus.systems.retry_classes import is_write

T = TypeVar("T")


@dataclass
class Job:
    """`id` is known from the start for an update, after the first request for a create."""

    write: Write
    id: str | None = None
    raw: Raw = field(default_factory=dict)
    before: Raw | None = None
    answers: dict[str, Json] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)
    """Commands that may have been carried out or not."""
    failed: Failed | None = None
    calls: list[str] = field(default_factory=list)

    @property
    def creates(self) -> bool:
        return self.write.id is None

    @property
    def change(self) -> Raw:
        return self.write.change

    def told(self, name: str, command: Command, outcome: Outcome) -> None:
        """Keep the answer to a command under `name`, or fail."""
        if isinstance(outcome, Result):
            self.answers[name] = outcome.value
            if is_write(command[0]):
                self.calls.append(command[0])
        else:
            if isinstance(outcome, UnknownOutcome):
                self.unclear.add(name)
            self.fail(outcome, command)

    def fail(self, error: BusError, command: Command | None = None) -> None:
        """The first failure counts. What was created and not finished must be probed for, never created again."""
        if self.failed is not None:
            return
        if self.creates and self.id is not None:
            say = f"created as {self.id}, then: {error}"
            if isinstance(error, NotReady):  # the rest may simply be written later, by what is there then
                error = NotReady(say, until=error.until, cause=error.cause, detail=error.detail)
            else:
                error = UnknownOutcome(say, cause=error.cause, detail=error.detail)
        method, params = command or (", ".join(self.calls), {})
        self.failed = Failed(error, call=method, sent=dict(params), answered=dict(error.detail))

    def outcome(self) -> Written | Failed:
        """The answer to the lane."""
        if self.failed is not None or self.id is None:
            return self.failed or Failed(UnknownOutcome(f"{self.write.record_type}: no id was answered"), call="")
        return Written(self.id, self.raw, ", ".join(dict.fromkeys(self.calls)), self.before)


Asked = tuple[Job, str, Command]
"""Which job asks for a command, and under what name it keeps the answer."""


def alive(jobs: Iterable[Job]) -> list[Job]:
    """The jobs that have not failed so far."""
    return [job for job in jobs if job.failed is None]


def carry(rest: Rest, asked: Sequence[Asked]) -> None:
    """Send commands that stand alone, in order, and hand each outcome to its job."""
    for (job, name, command), outcome in zip(asked, rest.each([command for _, _, command in asked]), strict=True):
        job.told(name, command, outcome)


def carry_together(rest: Rest, groups: Sequence[Sequence[Asked]]) -> None:
    """The same for groups, each within one request."""
    told = rest.run([[command for _, _, command in group] for group in groups])
    for group, outcomes in zip(groups, told, strict=True):
        for (job, name, command), outcome in zip(group, outcomes, strict=True):
            job.told(name, command, outcome)


def read_back(jobs: Sequence[Job], read: Callable[[list[str]], Mapping[str, Raw]], what: str) -> None:
    """Have the jobs show what they made, as it is now. `what` they are called in the cause of one that is gone."""
    try:
        raws = read([str(job.id) for job in jobs]) if jobs else {}
    except BusError as error:
        for job in jobs:
            job.fail(error)
        return
    for job in jobs:
        if str(job.id) in raws:
            job.raw = raws[str(job.id)]
        else:
            job.fail(NotFound(f"{what} {job.id} was deleted while it was written", cause=f"{what} deleted"))


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` items."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def numbers(ids: Iterable[str]) -> list[int]:
    """Ids as the API takes them, each once; what is no number is no record of Bitrix."""
    return [int(one) for one in dict.fromkeys(ids) if one.isdecimal()]


def value_of(outcome: Outcome) -> Json:
    """What a command answered; raises its error."""
    if isinstance(outcome, Result):
        return outcome.value
    raise outcome
