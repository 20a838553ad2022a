"""The supervisor: children come back, stop in order, and nothing is left of them, however the supervisor ends."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from bus import embedded
from bus.config import from_document
from bus.errors import ConfigError
from bus.supervise import Ports, Stack, StackError, children, invented
from bus.supervise.children import Child, Recipe, command
from bus.supervise.control import Control
from bus.supervise.invented import Company, Times, key
from bus.supervise.watchdog import Watchdog
from workers.bootstrap import wire

DEADLINE_SECONDS = 60.0
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
OWNER = """
import sys, time
from pathlib import Path
from bus.supervise.watchdog import Watchdog
folder = Path(sys.argv[1])
watchdog = Watchdog(folder)
process = watchdog.spawn(["/bin/sleep", "600"], {}, folder / "log", folder)
print(process.pid, flush=True)
time.sleep(600)
"""


def until(what: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a condition; the test fails at the deadline."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Is it running? A zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def offspring(pid: int) -> set[int]:
    """The processes that this one started."""
    return {int(one) for path in Path(f"/proc/{pid}/task").iterdir() for one in (path / "children").read_text().split()}


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    with Watchdog() as dog:
        yield dog


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Like tmp_path, which is closed to PostgreSQL's user when the tests run as root."""
    folder = embedded._temporary_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def start(tmp_path: Path, watchdog: Watchdog, said: list[str]) -> Iterator[Callable[..., Child]]:
    started = []

    def begin(*argv: str) -> Child:
        recipe = Recipe("child", list(argv), dict(os.environ), tmp_path, tmp_path / "log")
        started.append(Child(recipe, watchdog, said.append))
        return started[-1]

    yield begin
    for child in started:
        child.stop(0.1)


def test_a_killed_child_is_started_again_and_it_is_told(start: Callable[..., Child], said: list[str]) -> None:
    child = start("/bin/sleep", "600")
    first = child.pid
    os.kill(first, signal.SIGKILL)
    until(lambda: child.restarts == 1 and child.pid != first and alive(child.pid))
    assert said == ["child ended (signal SIGKILL); starting it again"]


def test_a_child_that_ends_at_once_is_started_again_with_growing_pauses(
    start: Callable[..., Child], said: list[str]
) -> None:
    begun = time.monotonic()
    child = start("/bin/sh", "-c", "exit 3")
    until(lambda: child.restarts == 2)
    assert time.monotonic() - begun > 1.0
    assert said[0] == "child ended (exit code 3); starting it again"


def test_the_next_start_may_come_later_or_with_more_in_its_environment_that_one_time(
    start: Callable[..., Child], tmp_path: Path
) -> None:
    child = start("/bin/sh", "-c", 'echo "[$EXTRA]"; exec sleep 600')
    until(lambda: child.last_words() == "[]")
    child.next_start(pause_s=0, extra={"EXTRA": "more"})
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: "[more]" in (tmp_path / "log").read_text())
    child.next_start(pause_s=600)
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: child.ends == [-signal.SIGKILL] * 2)
    assert child.restarts == 1
    child.stop()
    assert not child.running


def test_a_stopped_child_is_not_started_again(start: Callable[..., Child], said: list[str]) -> None:
    child = start("/bin/sleep", "600")
    child.stop()
    assert not alive(child.pid)
    assert not child.running
    assert (child.restarts, said) == (0, [])


def test_a_child_that_does_not_want_to_stop_is_killed_after_the_grace(
    start: Callable[..., Child], tmp_path: Path
) -> None:
    child = start(sys.executable, "-c", STUBBORN)
    until(lambda: "up" in (tmp_path / "log").read_text())
    child.stop(grace_s=0.2)
    assert not alive(child.pid)


def test_a_child_tells_its_last_words(start: Callable[..., Child]) -> None:
    child = start("/bin/sh", "-c", "echo cannot go on; exec sleep 600")
    until(lambda: child.last_words() == "cannot go on")


def test_children_end_and_the_folder_goes_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True) as owner:
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.kill()
    until(lambda: not alive(pid) and not folder.exists())


def test_ports_that_were_asked_for_are_kept_and_others_found() -> None:
    ports = Ports(intake=8123).found()
    assert ports.intake == 8123
    assert len({ports.crm, ports.shop, ports.flower, ports.onec} - {0}) == 4


def test_the_invented_company_has_a_configuration_without_secrets_that_is_its_owners_alone(tmp_path: Path) -> None:
    company = invented.found(Ports().found(), limited=True)
    invented.write_config(company, tmp_path / "bus.yaml", tmp_path)
    text = (tmp_path / "bus.yaml").read_text()
    assert (tmp_path / "bus.yaml").stat().st_mode & 0o777 == 0o600
    assert not [secret for secret in company.environment.values() if secret in text]


@pytest.mark.parametrize(("limited", "rate"), [(True, 2), (False, 0)])
def test_the_invented_company_is_limited_like_the_cloud_or_not_at_all(tmp_path: Path, limited: bool, rate: int) -> None:
    company = invented.found(Ports().found(), limited=limited)
    config = from_document(invented._document(company, tmp_path), company.environment)
    assert config.systems["crm"].rate.per_second == rate


def test_a_company_may_be_found_by_other_ways_with_other_secrets_and_less_patience(tmp_path: Path) -> None:
    times = Times(timeout=4, books_timeout=5, late=6, lease=9)
    ports = Ports(intake=1, crm=2, shop=3, onec=4)
    company = Company(ports, "token", key(), key(), code="c0de", password="pa55", times=times)
    config = from_document(invented._document(company, tmp_path), company.environment)
    assert config.systems["crm"].url.get_secret_value() == "http://127.0.0.1:2/rest/1/c0de/"
    assert config.systems["onec"].password.get_secret_value() == "pa55"
    assert {(one.timeout_s, one.late_s) for one in config.systems.values() if one.url} == {(4, 6), (5, 6)}
    assert config.limits.lease_s == 9
    environment = company.environment
    assert (environment["SANDBOX_CODE"], environment["SANDBOX_PASSWORD"]) == ("c0de", "pa55")


def test_a_ledger_of_real_systems_is_not_kept_in_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BUS_DATABASE_URL", "BUS_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bus.yaml").write_text("systems: {bank: {kind: events}}\n")
    with pytest.raises(ConfigError, match="--state"), Stack(wire, tmp_path / "bus.yaml", say=lambda _: None):
        pass


def test_what_does_not_come_up_is_named_with_its_last_words(tmp_path: Path, watchdog: Watchdog) -> None:
    stack = Stack(wire, say=lambda _: None)
    recipe = Recipe("intake", ["/bin/sh", "-c", "echo no such thing; exit 1"], {}, tmp_path, tmp_path / "log")
    stack.children["intake"] = Child(recipe, watchdog, lambda _: None)
    with pytest.raises(StackError, match=r"intake does not come up; its log ends:\nno such thing"):
        stack._until("intake", lambda: False)
    stack.children["intake"].stop()


@pytest.fixture
def up(open_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`bus up` with two stand-ins and engines of its own, everything temporary below `open_folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BUS_")}
    environment |= {"PYTHONPATH": str(Path(children.__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
    environment["TMPDIR"] = str(open_folder)
    argv = command("up", "--no-flower")
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True, cwd=open_folder)
    yield process
    process.kill()  # harmless after its end; the watchdogs see to the rest
    process.communicate()


def test_up_carries_an_order_survives_killed_workers_and_leaves_nothing_behind(
    up: subprocess.Popen[str], open_folder: Path
) -> None:
    told = "".join(iter(partial(_line, up), "running until Ctrl-C\n"))
    shop, crm = (Control(re.search(rf"{name}\s+(http\S+?)/_sandbox/", told)[1]) for name in ("shop", "Bitrix24"))
    everyone = offspring(up.pid)
    for pid in everyone:
        if b"\0worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    order = shop.act("create_order")["id"]
    until(lambda: str(order) in {deal["UF_CRM_ORDER_ID"] for deal in crm.get("state")["deals"]})
    everyone |= offspring(up.pid)
    up.terminate()
    assert up.wait(DEADLINE_SECONDS) == 0
    assert not [pid for pid in everyone if alive(pid)]
    assert not list(open_folder.iterdir())


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline()
    assert line, "bus up ended"
    return line
