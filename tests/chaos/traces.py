"""Traces: everything a run leaves behind or shows, looked through for what was planted.

While it runs: what Redis holds and publishes, command lines, /metrics. Afterwards: logs, the ledger's letters and
errors, and what the command line prints.

Redis is the transport: a channel's message carries its events, with the data of people in them, by design; secrets
never, and people nowhere else in it (headers, names of keys, what the budgets and directories keep).
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import redis
import requests
from psycopg.rows import dict_row

from bus.demo.parties import Books
from bus.demo.scenario import Day
from bus.supervise.children import command
from bus.supervise.invented import Company
from tests.chaos.leaks import Leak, Planted, of_message, of_rows

_LOOK_S = 2.0
_MOST = 500
"""Messages of one queue that are looked at in one look."""
_LETTERS = {
    "dead letters": "SELECT class, cause, reason, sent, answered, note FROM dead_letter",
    "errors of events": "SELECT error, waits_for FROM event WHERE error IS NOT NULL OR waits_for IS NOT NULL",
    "names of events": "SELECT source, subject, id FROM event",
    "errors of deliveries": "SELECT last_error FROM delivery WHERE last_error IS NOT NULL",
    "operator actions": "SELECT actor, action, target, detail FROM operator_action",
    "runs": "SELECT what, report FROM run",
    "drift": "SELECT system, subject, field, cause, healing FROM drift",
}
COMMANDS = (
    *(("status",), ("lanes",), ("budget", "--json"), ("routes",), ("runs",), ("dead-letters", "list")),
    *(("check",), ("switch", "list"), ("mappings", "check", "--live")),
)
"""What the command line says without being asked for one record's values."""
VALUES = (("conflicts", "list"), ("matches", "list"))
"""What shows an operator values that he is to decide between: people's data by design, secrets never."""
_ASKED_WRONGLY = 2


def planted(company: Company, urls: Iterable[str], day: Day, books: Books) -> Planted:
    """The company's secrets, the engines' passwords, and the data of the day's people."""
    secrets = {
        "webhook code": company.code,
        "1C password": company.password,
        "portal token": company.token,
        "shop key": company.shop_key,
        "bank key": company.bank_key,
    }
    for url in urls:
        kind = url.partition(":")[0]
        secrets[f"{kind} password"] = url.partition("@")[0].rpartition(":")[2]
    stories, parties = day.stories, books.parties
    said = [step.detail["value"] for story in stories for step in story.steps if "value" in step.detail]
    people = {
        "name": {story.customer.name for story in stories},
        "phone": {story.customer.digits for story in stories} | {party.phone for party in parties},
        "email": {story.customer.email for story in stories} | {party.email for party in parties},
        "address": {story.address for story in stories} | {party.legal_address for party in parties},
        "edit": set(said),
    }
    return Planted(secrets, people)


class Sampling:
    """Looks again and again from a thread of its own, while the run goes on."""

    def __init__(self, planted: Planted, broker_url: str, intake: str) -> None:
        self.planted, self._intake = planted, intake
        self._redis = redis.Redis.from_url(broker_url, socket_timeout=2, socket_connect_timeout=1)
        self._heard = self._redis.pubsub()
        self._session = requests.Session()
        self._session.trust_env = False
        self.leaks: set[Leak] = set()
        self.looks = self.messages = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampling", daemon=True)

    def begin(self) -> None:
        """Start looking."""
        self._thread.start()

    def end(self) -> None:
        """Look once more, and stop."""
        self._over.set()
        self._thread.join()
        self.look()
        self._heard.close()
        self._session.close()
        self._redis.close()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.look()

    def look(self) -> None:
        """Look at everything once."""
        self.looks += 1
        for place, text in command_lines():
            self._note(place, text)
        with suppress(redis.RedisError):  # it is being broken; the next look asks again
            self._look_at_redis()
        with suppress(redis.RedisError):
            self._listen()
        with suppress(requests.RequestException):
            self._note("/metrics", self._session.get(f"{self._intake}/metrics", timeout=2).text)

    def _look_at_redis(self) -> None:
        for name in self._redis.scan_iter(count=500):
            self._note("redis keys", _text(name))
            for value in _values(self._redis, name):
                body, rest = of_message(value)
                self.messages += bool(body)
                self.leaks |= self.planted.within("messages", body, people=False)
                self._note(f"redis {_kind(_text(name))}", rest)

    def _listen(self) -> None:
        """Celery's events, which Flower shows: they name each task's arguments as we want them shown."""
        if not self._heard.subscribed:
            self._heard.psubscribe("*")
        while message := self._heard.get_message():
            if message["type"] == "pmessage":
                body, rest = of_message(_text(message["data"]))
                self._note("redis events", f"{body}\n{rest}")

    def _note(self, place: str, text: str) -> None:
        self.leaks |= self.planted.within(place, text)


def _values(client: redis.Redis, name: bytes) -> list[str]:
    match _text(client.type(name)):
        case "list":
            return [_text(one) for one in client.lrange(name, 0, _MOST)]
        case "hash":
            return [_text(one) for pair in client.hgetall(name).items() for one in pair]
        case "string":
            return [_text(client.get(name))]
        case "zset":
            return [_text(one) for one in client.zrange(name, 0, _MOST) if isinstance(one, bytes)]
        case "set":
            return [_text(one) for one in client.smembers(name)]
    return []


def _text(value: bytes | str | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _kind(name: str) -> str:
    """Of a key, without what tells one record from another."""
    return ":".join(part for part in name.split(":")[:3] if not any(sign.isdigit() for sign in part))


def command_lines() -> list[tuple[str, str]]:
    """What `ps` shows to everybody on the machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(("command lines", path.read_bytes().replace(b"\0", b" ").decode(errors="replace")))
    return found


def in_files(planted: Planted, folder: Path) -> set[Leak]:
    """Every log and the configuration of a run."""
    files = [*folder.glob("logs/[!s]*"), *folder.glob("*.yaml"), *folder.glob("*/*/log")]
    return {leak for file in files for leak in planted.within(file.name, file.read_text(errors="replace"))}


def in_ledger(planted: Planted, url: str) -> set[Leak]:
    """What operators are shown of what went wrong."""
    found: set[Leak] = set()
    with psycopg.connect(url, row_factory=dict_row) as connection:
        for place, query in _LETTERS.items():
            found |= planted.within(place, of_rows(connection.execute(query).fetchall()))
    return found


def in_commands(
    planted: Planted, environment: Mapping[str, str], commands: Sequence[tuple[str, ...]] = (*COMMANDS, *VALUES)
) -> set[Leak]:
    """What the command line prints of a whole bus."""
    found: set[Leak] = set()
    for args in commands:
        done = subprocess.run(
            command(*args), env=dict(environment), capture_output=True, text=True, timeout=60, check=False
        )
        said = done.stdout + done.stderr
        if done.returncode == _ASKED_WRONGLY:
            raise ValueError(f"bus {' '.join(args)} is asked wrongly: {said[-300:]}")
        found |= planted.within(f"bus {' '.join(args)}", said, people=args not in VALUES)
    return found
