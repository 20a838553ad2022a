"""Footprint: resident memory of each process of `bus up`, idle and under load."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from bus.supervise.control import Control
from tests.bench.figures import Figure
from tests.bench.house import ROOT, HouseError
from tests.bench.run import Run

TITLE = "memory of `bus up`, idle and while some hundred orders are placed, moved and paid"

_START_S, _IDLE_S = 60.0, 5.0
_MB = 1024.0

Memory = dict[str, tuple[float, float]]
"""Name of a process -> (PSS, RSS) in MB."""


def bench(run: Run) -> Iterator[Figure]:
    """PSS shares what several processes have in common; its sum is what the machine really gives."""
    with _up() as (pid, crm, shop):
        run.say("idle")
        time.sleep(_IDLE_S)
        idle = _memory(pid)
        yield _figure("footprint.idle", idle)
        run.say("under load")
        most: Memory = {}
        for _ in _load(shop, run.some(400, least=20)):
            for name, (pss, rss) in _memory(pid).items():
                known = most.get(name, (0.0, 0.0))
                most[name] = (max(known[0], pss), max(known[1], rss))
        ratio = _total(most) / _total(idle)
        figure = _figure("footprint", most, ratio, "idle; each process at its largest, less is better")
        deals = len(crm.get("state", of="deals", fields="id")["deals"])
        yield replace(figure, more=figure.more | {"deals_made": deals})


@contextmanager
def _up() -> Iterator[tuple[int, Control, Control]]:
    """`bus up` as a user starts it, with Flower; the stand-ins' control APIs are named in what it prints."""
    command = [sys.executable, "-m", "workers", "up"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BUS_")}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.pid, *_stand_ins(process.stdout)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_START_S)


def _stand_ins(printed: IO[str] | None) -> tuple[Control, Control]:
    """Portal and shop, once all is up."""
    found, said = {}, []
    for line in printed or ():
        said.append(line)
        if line.startswith("stand-in"):
            _, name, address, *_ = line.split()
            found[name] = Control(address.removesuffix("/_sandbox/"))
        if line.startswith("running"):
            return found["Bitrix24"], found["shop"]
    raise HouseError("`bus up` ended:\n" + "".join(said))


def _load(shop: Control, orders: int) -> Iterator[None]:
    """Ten orders a second, placed, accepted and paid; a look after each ten, and for five seconds after the last."""
    for start in range(0, orders, 10):
        begun = time.monotonic()
        for number in range(start, min(start + 10, orders)):
            order = shop.act("create_order", customer={"fio": f"Покупатель {number}", "phone": f"+7901{number:07d}"})
            shop.act("set_status", id=order["id"], status="A")
            shop.act("pay_order", id=order["id"])
        yield
        time.sleep(max(0.0, 1.0 - (time.monotonic() - begun)))
    for _ in range(5):
        time.sleep(1.0)
        yield


def _memory(root: int) -> Memory:
    """Of the process and all that descend from it, by name; processes of one name are added up."""
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}
    found: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for pid in parents:
        if _descends(pid, root, parents) and (sizes := _sizes(pid)):
            total = found[_name(pid, root)]
            total[0] += sizes[0]
            total[1] += sizes[1]
    return {name: (pss, rss) for name, (pss, rss) in sorted(found.items())}


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid and pid != root:
        pid = parents.get(pid, 0)
    return pid == root


def _sizes(pid: int) -> tuple[float, float] | None:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:  # it ended meanwhile
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) / _MB for line in lines}
    return sizes["Pss"], sizes["Rss"]


def _name(pid: int, root: int) -> str:
    """`worker lanes --system crm` of `python -m workers worker lanes --system crm`; of an engine its program."""
    if pid == root:
        return "supervisor"
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    if "-m" not in words:
        return "watchdog" if "-S" in words else Path(words[0].split(":")[0].split()[0]).name
    module, *rest = words[words.index("-m") + 1 :]
    said = [word for word in rest if word and not word.startswith("-")]
    names = {"bus.sandbox": ["sandbox"], "workers": []}[module]
    kept = 3 if said[:2] == ["worker", "lanes"] else 2 if said[0] == "worker" else 1
    return " ".join([*names, *said[:kept]])


def _total(memory: Memory) -> float:
    return sum(pss for pss, _ in memory.values())


def _figure(name: str, memory: Memory, ratio: float | None = None, against: str | None = None) -> Figure:
    more = {
        "pss_mb": {one: round(pss, 1) for one, (pss, _) in memory.items()},
        "rss_mb": {one: round(rss, 1) for one, (_, rss) in memory.items()},
        "rss_total_mb": round(sum(rss for _, rss in memory.values()), 1),
        "processes": len(memory),
    }
    return Figure(name, _total(memory), "MB PSS", ratio, against, more=more)
