"""The conductor: carries the plan out on a running house, counts what it struck, and sees to it that all ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random

import psycopg

from bus import embedded, points
from bus.supervise.children import Child
from tests.chaos.house import SECOND, House, backends, kill
from tests.chaos.plan import Act, Plan
from tests.chaos.proxy import Cut, Half, Hole, Mode, Pass, Slow
from tests.chaos.recovery import Recovery
from tests.chaos.report import begun_with

_MODES: dict[str, Mode] = {"slow": Slow(), "cut": Cut(), "hole": Hole(), "half": Half()}
_POLL_S = 0.02
_COMES_UP_S = 60.0
_FIRES_S = 40.0
"""An armed crash point that was not come to by then is let be."""


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that took place, in unix seconds."""

    kind: str
    target: str
    begun: float
    ended: float


class Conductor:
    """Each act in a thread of its own, in its time."""

    def __init__(
        self,
        house: House,
        plan: Plan,
        recovery: Recovery,
        say: Callable[[str], None],
        *,
        comes_up_s: float = _COMES_UP_S,
    ) -> None:
        self._house, self._plan, self._recovery, self._say = house, plan, recovery, say
        self._comes_up_s = comes_up_s
        self._rng = Random(f"conductor {plan.seed}")
        self.struck: list[Struck] = []
        self.engine_kills: Counter[str] = Counter()
        self.fired: Counter[str] = Counter()
        """Crash points at which a process died."""
        self.failures: list[str] = []
        self.not_back: list[str] = []
        """Processes that nobody had started again when `comes_up_s` were over."""
        self._by_us: Counter[int] = Counter()
        """Kills of ours, by the child's identity."""
        self._children: dict[int, Child] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        """From now on things go wrong."""
        self._begun = time.monotonic()
        self._start(self._walk, "conductor")

    @property
    def kills(self) -> Counter[str]:
        """Processes that died by SIGKILL, by what they were; both instances together."""
        self._note_children()
        found = Counter(self.engine_kills)
        for child in self._children.values():
            found[child.name.removesuffix(SECOND)] += child.ends.count(-signal.SIGKILL)
        return +found

    @property
    def own_ends(self) -> Counter[str]:
        """Processes that ended by themselves, by name and exit code."""
        self._note_children()
        ends = [(child.name, code) for child in self._children.values() for code in child.ends]
        return Counter(f"{name} exit {code}" for name, code in ends if code not in (-signal.SIGKILL, 0))

    def end(self) -> None:
        """Begin nothing new, wait for what is under way, and lift everything."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        for link in self._house.proxies.links.values():
            link.become(Pass())
        self._house.disk.free()
        self._wait("PostgreSQL", self._ledger_answers)

    def _walk(self) -> None:
        jobs: list[tuple[float, Callable[[], None]]] = [
            (act.at, partial(self._perform, act)) for act in self._plan.acts
        ]
        come, go = self._plan.second
        jobs += [(come, self._second_comes), (go, self._second_goes), (self._plan.upgrade, self._upgrade)]
        for at, job in sorted(jobs, key=lambda item: item[0]):
            if self._over.wait(max(0.0, self._begun + at - time.monotonic())):
                return
            self._start(job, "act")

    def _start(self, job: Callable[[], None], name: str) -> None:
        def run() -> None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever it is, the run has failed, and says so
                self.failures.append(f"{name}: {type(error).__name__}: {error}")

        thread = threading.Thread(target=run, name=name, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _perform(self, act: Act) -> None:
        do: Mapping[str, Callable[[Act], None]] = {
            **dict.fromkeys(_MODES, self._spoil),
            "kill": self._kill,
            "crash": self._crash,
            "power cut": self._power_cut,
            "killed": self._backend_killed if act.target == "backend" else self._engine_killed,
            "emptied": self._emptied,
            "stopped": self._stop,
            "disk full": self._disk_full,
        }
        begun = time.time()
        self._say(f"{time.monotonic() - self._begun:6.1f} s  {act.kind} {act.target} {act.detail}".rstrip())
        do[act.kind](act)
        if act.kind != "crash":
            named = act.kind in ("killed", "emptied")
            self._struck(f"{act.kind} {act.target}" if named else act.kind, act.target, begun)

    def _struck(self, kind: str, target: str, begun: float) -> None:
        self.struck.append(Struck(kind, target, begun, time.time()))
        self._recovery.ended(_shown(kind, target), target)

    def _kill(self, act: Act) -> None:
        child = self._one_of(act.target)
        restarts = child.restarts
        self._kill_child(child, act.seconds)
        self._back(child, restarts)

    def _crash(self, act: Act) -> None:
        """Killed to be armed; then it may kill itself at its point, or never come there."""
        begun, child = time.time(), self._house.children[act.target]
        restarts = child.restarts
        self._kill_child(child, 0.0, {points.VARIABLE: act.detail})
        ours, ends = self._by_us[id(child)], restarts + 1
        self._back(child, restarts)
        self._struck("kill", act.target, begun)
        deadline = time.monotonic() + _FIRES_S
        while len(child.ends) == ends and time.monotonic() < deadline and not self._over.is_set():
            time.sleep(_POLL_S)
        if len(child.ends) > ends and child.ends[ends] == -signal.SIGKILL and self._by_us[id(child)] == ours:
            self.fired[act.detail.partition(":")[0]] += 1
            begun = time.time() - 2 * _POLL_S
            self._back(child, restarts + 1)
            self._struck("crash", act.target, begun)

    def _power_cut(self, act: Act) -> None:
        children = {child: child.restarts for child in self._house.bus()}
        for child in children:
            self._kill_child(child, act.seconds, wait_s=0.0)
        for child, restarts in children.items():
            self._back(child, restarts)

    def _engine_killed(self, act: Act) -> None:
        server = self._server(act.target)
        server.kill()
        self.engine_kills[act.target] += 1
        self._over.wait(act.seconds)
        server.restart()

    def _backend_killed(self, act: Act) -> None:
        """PostgreSQL then ends all sessions and recovers by its log, as after a crash of its own."""
        del act
        some = backends(self._house.postgres.pid)
        with suppress(ProcessLookupError):
            os.kill(self._rng.choice(some), signal.SIGKILL)
            self.engine_kills["postgres session"] += 1

    def _emptied(self, act: Act) -> None:
        self._house.valkey.kill()
        self.engine_kills["valkey"] += 1
        self._over.wait(act.seconds)
        self._house.empty_valkey()
        self._house.valkey.restart()

    def _stop(self, act: Act) -> None:
        pids = self._house.processes(act.target)
        _signal(pids, signal.SIGSTOP)
        self._over.wait(act.seconds)
        _signal(pids, signal.SIGCONT)

    def _spoil(self, act: Act) -> None:
        link = self._house.proxies.links[act.target]
        link.become(_MODES[act.kind])
        self._over.wait(act.seconds)
        link.become(Pass())

    def _disk_full(self, act: Act) -> None:
        """PostgreSQL may fall over on it, and fail to come up while it lasts; whoever runs it starts it again then."""
        self._house.disk.fill()
        self._over.wait(act.seconds)
        self._house.disk.free()
        deadline = time.monotonic() + self._comes_up_s
        while not self._ledger_answers() and time.monotonic() < deadline:
            if not self._house.postgres.running:
                self._house.postgres.restart()
            time.sleep(10 * _POLL_S)

    def _second_comes(self) -> None:
        self._say("a second instance of all workers and beat joins")
        self._house.second_instance()

    def _second_goes(self) -> None:
        begun = time.time()
        self._note_children()
        self._say("the second instance's machine loses power")
        self._house.second_gone()
        self._struck("second instance", "all", begun)

    def _upgrade(self) -> None:
        """Migrate under load, let old workers go on for a while, then start them anew, one half after the other."""
        begun = time.time()
        self._say(f"upgrade: migrate under load, from {begun_with(self._house.earlier)}")
        self._again(self._house.upgrade)
        self._over.wait(8.0)
        children = list(self._house.bus())
        for half in (children[::2], children[1::2]):
            before = {child: child.restarts for child in half}
            _signal([child.pid for child in half], signal.SIGTERM)
            for child, restarts in before.items():
                self._back(child, restarts)
        self._struck("upgrade", "all", begun)

    def _again(self, job: Callable[[], object]) -> None:
        """As an operator would: a migration that met a database that was just killed is run again."""
        deadline = time.monotonic() + self._comes_up_s
        while True:
            try:
                job()
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)
            else:
                return

    def _kill_child(
        self, child: Child, pause_s: float, extra: dict[str, str] | None = None, wait_s: float = _COMES_UP_S
    ) -> None:
        """One that is down just now is waited for, so that the plan's kills all take place."""
        deadline = time.monotonic() + wait_s
        child.next_start(pause_s=pause_s, extra=extra)
        while not kill(child):
            if time.monotonic() >= deadline:
                return
            time.sleep(_POLL_S)
        self._by_us[id(child)] += 1

    def _back(self, child: Child, restarts: int) -> None:
        """Wait until it was started again, more often than it had been; one that is not makes the run fail."""
        deadline = time.monotonic() + self._comes_up_s
        while child.restarts <= restarts and not self._gone(child):
            if time.monotonic() > deadline:
                self.not_back.append(child.name)
                self.failures.append(f"{child.name} did not come back within {self._comes_up_s:.0f} s")
                return
            time.sleep(_POLL_S)

    def _gone(self, child: Child) -> bool:
        """The second instance's machine does not come back."""
        return self._house.children.get(child.name) is not child

    def _one_of(self, target: str) -> Child:
        children = self._house.children
        names = [name for name in (target, target + SECOND) if name in children]
        return children[self._rng.choice(names)]

    def _server(self, target: str) -> embedded.Server:
        return self._house.postgres if target == "postgres" else self._house.valkey

    def _ledger_answers(self) -> bool:
        try:
            with psycopg.connect(self._house.postgres.url, connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() is not None
        except psycopg.Error:
            return False

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._comes_up_s
        while not ready():
            if time.monotonic() > deadline:
                self.failures.append(f"{what} did not come back within {self._comes_up_s:.0f} s")
                return
            time.sleep(10 * _POLL_S)

    def _note_children(self) -> None:
        """Those that are gone count too."""
        for child in list(self._house.bus()):
            self._children[id(child)] = child


def _signal(pids: list[int], how: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, how)


def _shown(kind: str, target: str) -> str:
    """By what recoveries are put together: a process's death by process, all else by fault."""
    return f"{kind} {target}" if kind in ("kill", "stopped") else kind
