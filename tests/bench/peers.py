"""Peers at work: starting them beside the house, and what they came to in a given time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import reload
from types import ModuleType

from tests.bench import house
from tests.bench.house import House


@contextmanager
def article(house_: House, name: str, *, priorities: bool = False) -> Iterator[ModuleType]:
    """The article's tasks on a queue of their own in this house's broker, to be sent; `work` starts their worker."""
    environment = {
        "PEER_BROKER": house_.settings.broker(),
        "PEER_PREFIX": f"{name}:",
        "PEER_CRM_URL": house_.crm_url,
        "PEER_PRIORITIES": "1" if priorities else "",
    }
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        from tests.bench import peer_article  # it reads the environment when it is imported

        yield reload(peer_article)
    finally:
        house_.stop(name)
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})


def work(house_: House, name: str) -> None:
    """Start the article's worker as Celery does by default: prefork, a process per core."""
    argv = [sys.executable, "-m", "celery", "-A", "tests.bench.peer_article", "worker", "-l", "WARNING"]
    house_.run(name, [*argv, "--without-gossip", "--without-mingle"])


def fast_bitrix24(house_: House, *arguments: object, seconds: float) -> int:
    """Run fast_bitrix24's part in a process of its own, to its end or the end of the time; its exit code."""
    command = [sys.executable, "-m", "tests.bench.peer_fast", house_.crm_url, *map(str, arguments)]
    with (house_.folder / "fast_bitrix24.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=house.ROOT, env=house_.environment, stdout=log, stderr=log)
        try:
            return process.wait(seconds)
        finally:
            process.kill()
