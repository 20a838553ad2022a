"""Pace: as many requests in flight as rate and latency ask for, and no more."""

from collections.abc import Callable, Iterator
from threading import Barrier, BrokenBarrierError, Event, Lock, Thread

import pytest

from bus import leased
from bus.leased import Lease
from bus.pace import MOST, UNLIMITED, Pace

DEADLINE_S = 10.0


@pytest.fixture
def made() -> Iterator[Callable[..., Pace]]:
    paces: list[Pace] = []

    def make(per_second: float, latency_s: float, left: float = 0) -> Pace:
        paces.append(Pace(per_second, lambda: latency_s, lambda: left))
        return paces[-1]

    yield make
    for pace in paces:
        pace.close()


@pytest.mark.parametrize(
    ("per_second", "latency_s", "width"),
    [(2, 0.1, 2), (2, 2.4, 6), (10, 0.05, 3), (10, 0.3, 5), (5, 60.0, MOST), (0, 3.0, UNLIMITED)],
)
def test_what_is_in_flight_is_rate_times_latency_and_one_to_spare(
    made: Callable[..., Pace], per_second: float, latency_s: float, width: int
) -> None:
    assert made(per_second, latency_s).width() == width


def test_as_many_as_the_width_are_in_flight_at_once_and_never_more(made: Callable[..., Pace]) -> None:
    pace, together, lock = made(2, 0.9), Barrier(3), Lock()
    running = most = 0

    def thing() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(20)  # three must meet here, or it breaks
        with lock:
            running -= 1

    pace.abreast([thing] * 6)
    assert most == pace.width() == 3


def test_a_burst_may_be_wider(made: Callable[..., Pace]) -> None:
    assert made(2, 0.1, 40).width() == made(2, 0.1, 0).width() + 2


def test_a_failure_is_told_after_the_others_have_gone_their_way(made: Callable[..., Pace]) -> None:
    done: list[int] = []

    def fail() -> None:
        raise BrokenBarrierError

    with pytest.raises(BrokenBarrierError):
        made(2, 0.1).abreast([fail, *(lambda n=n: done.append(n) for n in range(5))])
    assert sorted(done) == [0, 1, 2, 3, 4]


def test_a_single_thing_needs_no_thread(made: Callable[..., Pace]) -> None:
    pace, done = made(2, 3.0), []
    pace.abreast([lambda: done.append(1)])
    pace.abreast([])
    assert done == [1]
    assert pace._pool is None


def lapsing(renewed: Event) -> Lease:
    """A claim that is to be renewed at once."""

    def renew() -> float:
        renewed.set()
        return leased.clock() + DEADLINE_S

    return Lease(leased.clock(), renew)


def test_who_waits_for_his_own_requests_keeps_what_he_holds(made: Callable[..., Pace]) -> None:
    renewed, seen = Event(), list[bool]()
    with leased.held(lapsing(renewed)):
        made(0, 0.1).abreast([lambda: seen.append(renewed.wait(DEADLINE_S))] * 2)
    assert seen == [True, True]


def test_who_waits_for_a_slot_keeps_what_he_holds(made: Callable[..., Pace]) -> None:
    pace, renewed, seen, taken = made(0, 0.1), Event(), list[bool](), Barrier(UNLIMITED + 1)

    def thing() -> None:
        taken.wait(DEADLINE_S)
        seen.append(renewed.wait(DEADLINE_S))

    others = Thread(target=pace.abreast, args=[[thing] * UNLIMITED])
    others.start()
    taken.wait(DEADLINE_S)
    with leased.held(lapsing(renewed)):
        pace.abreast([lambda: seen.append(True)])
    others.join()
    assert seen == [True] * (UNLIMITED + 1)
