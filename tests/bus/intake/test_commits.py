"""Group commit: who comes during a commit shares the next one, and nobody pays for his neighbour."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from bus.envelope import parse
from bus.errors import Transient, UnknownOutcome
from bus.intake.commits import GroupCommit
from bus.intake.metrics import Meters
from bus.intake.problems import Refused
from bus.ports import Accepted, Arrival, Entry, Notification


@dataclass
class Ledger:
    """A door whose commits take as long as the test says. It refuses whatever tells of a record called "bad"."""

    groups: list[list[str]] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)
    away: Exception | None = None

    def accept_all(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        names = [arrival.notifications[0].external_id for arrival in arrivals]
        self.groups.append(names)
        assert self.free.wait(10)
        if self.away:
            raise self.away
        if "bad" in names:
            raise ValueError("bad")
        return [Accepted(1, 0) for _ in arrivals]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def commits(ledger: Ledger, meters: Meters) -> GroupCommit:
    return GroupCommit(ledger, meters)


def arrival(name: str) -> Arrival:
    return Arrival(notifications=[Notification("crm", "deal", name)])


async def sent(commits: GroupCommit, *names: str, size: int = 100, sender: str = "crm") -> list[asyncio.Task[Accepted]]:
    """Requests that have come as far as their commit."""
    tasks = [asyncio.create_task(commits.accept(sender, arrival(name), size)) for name in names]
    await asyncio.sleep(0)
    return tasks


async def until(what: Callable[[], bool]) -> None:
    end = monotonic() + 10
    while not what():
        assert monotonic() < end
        await asyncio.sleep(0.001)


def test_who_comes_during_a_commit_shares_the_next_one(commits: GroupCommit, ledger: Ledger) -> None:
    async def story() -> None:
        first = await sent(commits, "1")
        await until(lambda: bool(ledger.groups))
        others = await sent(commits, "2", "3", "4")
        assert not any(task.done() for task in first + others), "nothing is answered before its commit"
        ledger.free.set()
        assert await asyncio.gather(*first, *others) == [Accepted(1, 0)] * 4

    asyncio.run(story())
    assert ledger.groups == [["1"], ["2", "3", "4"]]


def test_a_bad_one_does_not_fail_its_neighbours(commits: GroupCommit, ledger: Ledger) -> None:
    async def story() -> list[Accepted | BaseException]:
        first = await sent(commits, "1")
        await until(lambda: bool(ledger.groups))
        others = await sent(commits, "2", "bad", "3")
        ledger.free.set()
        return await asyncio.gather(*first, *others, return_exceptions=True)

    with capture_logs() as lines:
        answers = asyncio.run(story())
    assert [type(answer) for answer in answers] == [Accepted, Accepted, ValueError, Accepted]
    assert ledger.groups == [["1"], ["2", "bad", "3"], ["2"], ["bad"], ["3"]]
    assert [line["event"] for line in lines] == ["intake.regrouped"]


def test_a_commit_that_does_not_come_back_is_not_waited_for_and_counts_when_it_does(
    ledger: Ledger, meters: Meters
) -> None:
    commits = GroupCommit(ledger, meters, answer_s=0.5)

    async def story() -> None:
        first = await sent(commits, "1")
        await until(lambda: bool(ledger.groups))
        answers = await asyncio.gather(*first, *await sent(commits, "2"), return_exceptions=True)
        assert [type(answer) for answer in answers] == [UnknownOutcome] * 2
        ledger.free.set()
        [again] = await sent(commits, "1")
        assert await again == Accepted(1, 0)

    asyncio.run(story())
    journaled = [one for group in ledger.groups for one in group]
    assert journaled == ["1", "2", "1"], "each is journaled, and the door tells a repetition"


def test_all_who_waited_hear_that_the_ledger_is_away_and_it_is_asked_once(commits: GroupCommit, ledger: Ledger) -> None:
    ledger.away = Transient("away")

    async def story() -> None:
        first = await sent(commits, "1")
        await until(lambda: bool(ledger.groups))
        others = await sent(commits, "2", "3")
        ledger.free.set()
        answers = await asyncio.gather(*first, *others, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Transient] * 3
        assert ledger.groups == [["1"]]
        ledger.away = None
        [later] = await sent(commits, "4")
        assert await later == Accepted(1, 0)

    asyncio.run(story())


def test_a_ledger_that_goes_while_a_group_is_taken_apart_is_asked_no_more() -> None:
    class Going(Ledger):
        def accept_all(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
            if len(self.groups) == 2:
                self.away = Transient("away")
            return super().accept_all(arrivals)

    going = Going()
    commits = GroupCommit(going, Meters())

    async def story() -> list[Accepted | BaseException]:
        first = await sent(commits, "1")
        await until(lambda: bool(going.groups))
        others = await sent(commits, "2", "bad", "3")
        going.free.set()
        return await asyncio.gather(*first, *others, return_exceptions=True)

    answers = asyncio.run(story())
    assert [type(answer) for answer in answers] == [Accepted, Transient, Transient, Transient]
    assert going.groups == [["1"], ["2", "bad", "3"], ["2"]]


def test_who_finds_too_many_before_him_is_told_to_come_back_at_once(commits: GroupCommit, ledger: Ledger) -> None:
    async def story() -> None:
        first = await sent(commits, "0")
        await until(lambda: bool(ledger.groups))
        waiting = await sent(commits, *map(str, range(1, 1001)))
        with pytest.raises(Refused) as refused:
            await commits.accept("crm", arrival("1001"), 100)
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        ledger.free.set()
        await asyncio.gather(*first, *waiting)

    asyncio.run(story())
    assert max(map(len, ledger.groups)) == 256
    assert sum(map(len, ledger.groups)) == 1001


def test_large_bodies_share_a_commit_with_few_and_too_many_of_them_are_refused(
    commits: GroupCommit, ledger: Ledger
) -> None:
    async def story() -> None:
        first = await sent(commits, "0")
        await until(lambda: bool(ledger.groups))
        waiting = await sent(commits, *map(str, range(1, 22)), size=1_000_000)
        with pytest.raises(Refused):
            await commits.accept("crm", arrival("22"), 100)
        ledger.free.set()
        await asyncio.gather(*first, *waiting)
        [after] = await sent(commits, "23", size=1_000_000)
        await after

    asyncio.run(story())
    assert max(map(len, ledger.groups)) == 2


def test_one_that_was_cancelled_does_not_keep_its_neighbours_from_their_answers(
    commits: GroupCommit, ledger: Ledger
) -> None:
    async def story() -> None:
        one, two = await sent(commits, "1", "2")
        one.cancel()
        ledger.free.set()
        assert await two == Accepted(1, 0)

    asyncio.run(story())


def test_the_thread_ends_in_a_long_silence_and_a_request_starts_another(ledger: Ledger, meters: Meters) -> None:
    commits = GroupCommit(ledger, meters, idle_s=0.02)
    ledger.free.set()

    async def story() -> None:
        for name in ("1", "2"):
            [task] = await sent(commits, name)
            assert await task == Accepted(1, 0)
            await until(lambda: commits._thread is None)

    asyncio.run(story())


def test_commits_are_measured(commits: GroupCommit, ledger: Ledger, meters: Meters) -> None:
    ledger.free.set()

    async def story() -> None:
        await asyncio.gather(*await sent(commits, "1"))
        await until(lambda: b"bus_intake_group_requests_sum 1.0" in generate_latest(meters.registry))

    asyncio.run(story())
    told = generate_latest(meters.registry)
    assert b"bus_intake_commit_seconds_count 1.0" in told
    assert b"bus_intake_waiting_requests 0.0" in told


def test_a_row_that_the_real_ledger_refuses_is_told_from_its_neighbours(database_url: str, meters: Meters) -> None:
    import psycopg

    from bus.ledger.database import Ledger as RealLedger
    from bus.publisher import Publisher
    from tests.bus.ledger.middle import Notes

    bells, real = Notes(), RealLedger(database_url)
    commits = GroupCommit(Publisher(real, bells), meters)
    said = {"source": "shop", "type": "order.changed", "time": "2026-10-05T10:00:00Z", "data": {"number": "1"}}
    events = [parse(said | {"subject": f"order/{number}"}) for number in range(30)]
    events[17] = events[17].model_copy(update={"data": {"number": "a\x00b"}})  # the door refuses it; the ledger too

    async def story() -> list[Accepted | BaseException]:
        tasks = [asyncio.create_task(commits.accept("shop", Arrival([Entry(event)]), 100)) for event in events]
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(story())
    real.close()
    assert isinstance(answers.pop(17), psycopg.DataError)
    assert answers == [Accepted(1, 0)] * 29
    assert sorted(event.subject for event in bells.published) == sorted(
        event.subject for at, event in enumerate(events) if at != 17
    )
