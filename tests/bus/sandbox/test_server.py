import asyncio
import subprocess
import sys
import threading

import httpx
import pytest
import requests

from bus.sandbox.bitrix24 import Portal, create_app
from bus.sandbox.server import running


@pytest.mark.parametrize(("kind", "name"), [("bitrix24", "bitrix24"), ("shop", "bitrix_cms")])
def test_the_command_prints_its_address_and_serves(kind, name):
    command = [sys.executable, "-m", "bus.sandbox", kind, "--code", "abc"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            hook = process.stdout.readline().strip()
            control = process.stdout.readline().strip()
            assert hook.endswith("/rest/1/abc/")
            assert requests.get(f"{hook}server.time", timeout=5).status_code == 200
            assert requests.get(f"{control}health", timeout=5).json()["kind"] == name
        finally:
            process.terminate()


def test_many_clients_at_once_lose_nothing(crm):
    def work(number):
        with requests.Session() as session:
            for index in range(20):
                params = {"fields[TITLE]": f"{number}-{index}"}
                session.post(f"{crm.base}/rest/1/sandbox/crm.deal.add", data=params, timeout=10).raise_for_status()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    titles = {row["title"] for row in crm.control("GET", "state?fields=title")["deals"]}
    assert titles == {f"{number}-{index}" for number in range(8) for index in range(20)}


def test_an_app_in_process_needs_no_socket():
    portal = Portal()
    deal = portal.call("crm.deal.add", {"fields": {"TITLE": "A"}})
    assert portal.call("crm.item.list", {"entityTypeId": 2}).total == 1
    assert portal.act({"do": "edit_deal", "id": deal, "fields": {"TITLE": "B"}})["changed"]
    assert portal.call("crm.deal.get", {"id": deal})["MODIFY_BY_ID"] == "7"


def test_an_asgi_client_in_process_sees_the_same_faults():
    portal = Portal()
    portal.faults.add({"kind": "drop_after", "count": 1})

    async def talk():
        transport = httpx.ASGITransport(app=create_app(portal))
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
            with pytest.raises(ConnectionResetError):
                await client.post("/rest/1/sandbox/crm.deal.add", json={"fields": {"TITLE": "A"}})
            return (await client.get("/rest/1/sandbox/crm.deal.list")).json()

    assert asyncio.run(talk())["total"] == 1


def test_a_server_stops_and_its_port_is_free_again():
    with running(create_app(Portal())) as base:
        port = int(base.rsplit(":", 1)[1])
    with running(create_app(Portal()), port=port) as again:
        assert again == base
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"{base}/_sandbox/health", timeout=5)
