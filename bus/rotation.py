"""Rotation: logins, tokens and keys that change while a process runs are taken over without a restart.

The configuration file and the folder of secrets are looked at every few seconds, which costs a few calls of the file
system. What is new is read, checked as a whole, and only then put in force; a broken file changes nothing, and is told
once. All else in the configuration is taken at the next start: that is told, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel, SecretStr

from bus.config import Config, System
from bus.errors import ConfigError

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOOK_S = 2.0

FOLLOWED = ("url", "user", "password", "application_token", "keys")
"""Of a system. Of an address the login only: another host has another budget, and other records."""

Follower = Callable[[Config], Callable[[], None]]
"""Gets a part ready for a configuration, or raises ConfigError; what it returns puts that in force and cannot fail."""

_Marks = tuple[tuple[str, int, int, int], ...]


class Rotation:
    """Watches for one process. `load` reads the configuration anew and raises ConfigError."""

    def __init__(self, config: Config, file: Path, folder: Path | None, load: Callable[[], Config]) -> None:
        self.config = config
        """What is in force: as the process started, but for what it followed since."""
        self._file, self._folder, self._load = file, folder, load
        self._followers: list[Follower] = []
        self._settled = self._seen = _marks(file, folder)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, follower: Follower) -> None:
        """Have a part hear of what changes."""
        self._followers.append(follower)

    def start(self) -> None:
        """Look from time to time, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="rotation", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Once. What was written since the last look is left alone until the next: it may be half written.

        What could not be followed for another reason than itself (the ledger is away) raises, and is tried again.
        """
        now = _marks(self._file, self._folder)
        if self._settled == now or self._seen != now:
            self._seen = now
        else:
            self._take()
            self._settled = now

    def _run(self) -> None:
        told = self._settled
        while not self._ended.wait(LOOK_S):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next change is to be followed
                if told != self._seen:
                    log.error("rotation.failed", error=type(error).__name__)  # noqa: TRY400 - it may know a secret
                told = self._seen

    def _take(self) -> None:
        try:
            read = self._load()
            config = followed(self.config, read)
            takes = [follower(config) for follower in self._followers]
        except ConfigError as error:
            say = "it goes on with what it had; put it right, bus check tells the same"
            log.error("rotation.refused", reason=str(error), say=say)  # noqa: TRY400 - its words are all there is to know
            return
        changed = sorted(name for name, system in config.systems.items() if system != self.config.systems[name])
        self.config = config
        for take in takes:
            take()
        if changed:
            log.info("rotation.taken", systems=changed)
        if left := sorted(differences(config, read)):
            log.warning("rotation.restart_needed", keys=left, say="these are in force after a restart")


def followed(old: Config, new: Config) -> Config:
    """The old configuration with the new one's logins, tokens and keys."""
    systems = {
        name: _followed(system, new.systems[name]) if name in new.systems else system
        for name, system in old.systems.items()
    }
    return old.model_copy(update={"systems": systems})


def _followed(old: System, new: System) -> System:
    if old.kind != new.kind:
        return old
    chosen = {name: getattr(new, name) for name in FOLLOWED}
    if _origin(old.url) != _origin(new.url) or (old.kind == "onec" and old.url != new.url):
        chosen["url"] = old.url
    return old.model_copy(update=chosen)


def _origin(url: SecretStr | None) -> tuple[str, str] | None:
    """Of a webhook, whose path is the secret. A base of 1C is where its address says, whole."""
    try:
        parts = urlsplit(url.get_secret_value()) if url else None
    except ValueError:
        return ("", "")
    return (parts.scheme, parts.netloc) if parts else None


def differences(one: Config, other: Config) -> set[str]:
    """Keys that say something else, by their places in the file; never what they say."""
    return set(_differences(one, other, ""))


def _differences(one: object, other: object, key: str) -> Iterator[str]:
    if isinstance(one, BaseModel) and isinstance(other, BaseModel):
        one, other = vars(one), vars(other)
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            yield from _differences(one.get(name), other.get(name), f"{key}.{name}".lstrip("."))
    elif one != other:
        yield key


def _marks(file: Path, folder: Path | None) -> _Marks:
    """By which a change is noticed: of each file when it was written, how long and which it is."""
    found = [file]
    if folder is not None:
        try:
            found += sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        except OSError:
            found.append(folder)
    return tuple(_mark(path) for path in found)


def _mark(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino
