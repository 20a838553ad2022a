"""The conductor: what is planned takes place on real processes, is counted, and is over when it ends."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bus import embedded
from bus.supervise.children import Child, Recipe
from bus.supervise.watchdog import Watchdog
from tests.chaos.conductor import Conductor
from tests.chaos.plan import Act, Plan
from tests.chaos.proxy import Cut, Pass, Proxies

NEVER = 1e6
DEADLINE_S = 20.0
NAMES = ("worker-orders", "intake")


class Told:
    """Recovery, as far as the conductor knows it."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def ended(self, kind: str, target: str) -> None:
        del target
        self.kinds.append(kind)


@pytest.fixture
def house(tmp_path: Path, postgres_server: embedded.Server) -> Iterator[SimpleNamespace]:
    """Two processes that live for ever, and what else a conductor may break."""
    with Watchdog() as watchdog, Proxies() as proxies:
        proxies.open("crm", target=1)
        shell = ["/bin/sh", "-c", 'test "$BUS_CRASH_AT" && kill -9 $$; exec sleep 600']
        children = {
            name: Child(Recipe(name, shell, {}, tmp_path, tmp_path / name), watchdog, lambda _: None) for name in NAMES
        }
        yield SimpleNamespace(
            children=children,
            bus=lambda: iter(children.values()),
            processes=lambda target: [children[target].pid],
            proxies=proxies,
            postgres=postgres_server,
            disk=SimpleNamespace(free=lambda: None),
            earlier=None,
        )
        for child in children.values():
            child.stop(0.1)


@pytest.fixture
def conduct(house: SimpleNamespace) -> Callable[..., Conductor]:
    def begin(*acts: Act, **how: float) -> Conductor:
        conductor = Conductor(house, Plan(1, 1.0, acts, (NEVER, NEVER), NEVER), Told(), lambda _: None, **how)
        conductor.begin()
        return conductor

    return begin


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.01)


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_killed_process_is_counted_and_started_again(conduct: Callable[..., Conductor], house) -> None:
    conductor = conduct(Act(0, "kill", "worker-orders"), Act(0.1, "kill", "worker-orders", 0.2))
    until(lambda: len(conductor.struck) == 2)
    conductor.end()
    assert conductor.kills == {"worker-orders": 2}
    assert house.children["worker-orders"].running
    assert conductor.own_ends == {}


def test_a_power_cut_takes_them_all(conduct: Callable[..., Conductor]) -> None:
    conductor = conduct(Act(0, "power cut", "all"))
    until(lambda: conductor.struck)
    conductor.end()
    assert conductor.kills == dict.fromkeys(NAMES, 1)


def test_a_crash_point_counts_twice_as_armed_and_as_fired(conduct: Callable[..., Conductor], house) -> None:
    conductor = conduct(Act(0, "crash", "intake", detail="publish.journaled:1"))
    until(lambda: len(conductor.struck) == 2)
    conductor.end()
    assert [one.kind for one in conductor.struck] == ["kill", "crash"]
    assert conductor.kills == {"intake": 2}
    assert conductor.fired == {"publish.journaled": 1}
    assert house.children["intake"].running


def test_a_stopped_process_goes_on_when_its_time_is_over_or_the_run_is(
    conduct: Callable[..., Conductor], house
) -> None:
    pid = house.children["worker-orders"].pid
    conductor = conduct(Act(0, "stopped", "worker-orders", 600))
    until(lambda: stopped(pid))
    conductor.end()
    assert not stopped(pid)
    assert conductor.kills == {}


def test_a_link_is_spoilt_for_its_time_and_mended_at_the_end(conduct: Callable[..., Conductor], house) -> None:
    link = house.proxies.links["crm"]
    conductor = conduct(Act(0, "cut", "crm", 600))
    until(lambda: link.mode == Cut())
    conductor.end()
    assert link.mode == Pass()


def test_a_process_that_ends_by_itself_is_told_apart(conduct: Callable[..., Conductor], house) -> None:
    conductor = conduct()
    os.kill(house.children["intake"].pid, signal.SIGTERM)
    until(lambda: house.children["intake"].restarts == 1)
    conductor.end()
    assert conductor.kills == {}
    assert conductor.own_ends == {"intake exit -15": 1}


def test_a_process_that_does_not_come_back_makes_the_run_fail(conduct: Callable[..., Conductor]) -> None:
    conductor = conduct(Act(0, "kill", "worker-orders", 600), comes_up_s=1.0)
    until(lambda: conductor.failures)
    conductor.end()
    assert conductor.failures == ["worker-orders did not come back within 1 s"]
    assert conductor.not_back == ["worker-orders"]


def test_an_act_that_cannot_be_done_makes_the_run_fail(conduct: Callable[..., Conductor]) -> None:
    conductor = conduct(Act(0, "stopped", "no such process", 1))
    until(lambda: conductor.failures)
    conductor.end()
    assert conductor.failures == ["act: KeyError: 'no such process'"]
