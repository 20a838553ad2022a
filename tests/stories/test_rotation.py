"""Keys, tokens and logins are exchanged while the bus runs: nobody restarts it, nothing is lost on the way."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import yaml
from standardwebhooks import Webhook

from bus.sandbox.server import rest_url
from tests.stories.test_queue import QUICK, Bus
from tests.stories.world import BANK_KEY, SHOP_KEY, TOKEN, World, build, eventually, raw_config

NEW_KEY = "whsec_bmV3IGtleSBvZiB0aGUgYmFuayBuZXcga2V5IG9mIGl0"


class Running:
    """The bus as processes that follow a folder of secrets."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.secrets = world, folder / "secrets"
        self.secrets.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.bus = Bus(world, folder)
        document = raw_config("${CRM_URL}", "${SHOP_URL}", limits=QUICK | {"stop_probe_s": 3600})
        document["systems"]["crm"]["application_token"] = ["${TOKEN}", "${TOKEN_NEXT:-}"]
        document["systems"]["bank"]["keys"] = ["${KEY}", "${KEY_NEXT:-}"]
        (folder / "bus.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        self.write(CRM_URL=world.crm_url, SHOP_URL=world.shop_url, TOKEN=TOKEN, KEY=BANK_KEY)
        self.bus._environment["BUS_SECRETS"] = str(self.secrets)

    def start(self) -> None:
        self.processes = [
            self.bus.start("intake", "--port", str(self.port)),
            self.bus.start("worker", "all"),
            self.bus.start("beat"),
        ]
        world = self.world
        world.portal.webhooks[0]["url"] = f"{self.at}/bitrix24/crm"
        world.shop.webhooks[0]["url"] = f"{self.at}/shop/shop"
        eventually(self._open)

    @property
    def at(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write(self, **secrets: str) -> None:
        for name, text in secrets.items():
            (self.secrets / name).write_text(f"{text}\n", encoding="utf-8")

    def signed(self, key: str) -> int:
        """The status of a payment signed with this key; 422 is for its empty body: the key was right."""
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": "1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(key).sign("1", now, "{}"),
        }
        return requests.post(f"{self.at}/events", data="{}", headers=headers, timeout=5).status_code

    def told(self, token: str) -> int:
        """The status of "deal 7 changed" with this token."""
        form = {"event": "ONCRMDEALUPDATE", "data[FIELDS][ID]": "7", "auth[application_token]": token}
        return requests.post(f"{self.at}/bitrix24/crm", data=form, timeout=5).status_code

    def never_restarted(self) -> bool:
        return all(process.poll() is None for process in self.processes)

    def _open(self) -> bool:
        try:
            return requests.get(f"{self.at}/ready", timeout=5).ok
        except requests.ConnectionError:
            return False


@pytest.fixture
def running(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Running]:
    with build(database_url, broker_url, limits=QUICK, ring=True) as world:
        one = Running(world, tmp_path)
        try:
            one.start()
            yield one
        finally:
            one.bus.stop()


def test_keys_and_tokens_are_exchanged_while_the_door_is_open(running: Running) -> None:
    assert (running.signed(BANK_KEY), running.signed(NEW_KEY)) == (422, 401)
    assert (running.told(TOKEN), running.told("new-token")) == (200, 401)

    running.write(KEY_NEXT=NEW_KEY, TOKEN_NEXT="new-token")
    eventually(lambda: running.signed(NEW_KEY) == 422 and running.told("new-token") == 200)
    assert (running.signed(BANK_KEY), running.told(TOKEN)) == (422, 200), "both are good while they are exchanged"

    running.world.portal.webhooks[0]["application_token"] = "new-token"
    running.write(KEY=NEW_KEY, KEY_NEXT="", TOKEN="new-token", TOKEN_NEXT="")
    eventually(lambda: running.signed(BANK_KEY) == 401 and running.told(TOKEN) == 401)
    assert (running.signed(NEW_KEY), running.told("new-token")) == (422, 200)

    running.write(KEY="whsec_broken")
    eventually(lambda: "rotation.refused" in _log(running, "intake"))
    assert (running.signed(NEW_KEY), running.told("new-token")) == (422, 200), "what is broken changes nothing"
    assert running.never_restarted()
    assert not [secret for secret in (BANK_KEY, NEW_KEY, SHOP_KEY, "new-token") if secret in _log(running, "")]


def test_a_portals_webhook_is_exchanged_while_orders_come_in_and_none_is_lost(running: Running) -> None:
    portal, orders = running.world.portal, [running.world.order()]
    eventually(lambda: running.world.deals_of(orders[0]))
    portal.code = "another-code"  # the administrator makes a new one, and deletes the old
    orders += [running.world.order() for _ in range(5)]
    eventually(lambda: running.world.wiring.breaker.state("crm").reason)
    running.write(CRM_URL=rest_url(running.world.crm_url.partition("/rest/")[0], portal))
    orders += [running.world.order() for _ in range(5)]
    eventually(lambda: all(len(running.world.deals_of(order)) == 1 for order in orders))
    assert running.never_restarted()
    assert [letter["reason"] for letter in running.world.letters()] == []
    assert "another-code" not in _log(running, "")


def _log(running: Running, name: str) -> str:
    files = running.bus._folder.glob(f"{name}*.log")
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
