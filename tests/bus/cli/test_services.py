import json
import signal
import socket
from datetime import UTC, datetime

import psycopg
import pytest
import redis
import requests
from standardwebhooks import Webhook

from bus.cli.plain import stoppable
from bus.cli.services import queues_of
from tests.bus.cli.house import order


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("name", "only", "queues"),
    [
        ("payments", None, ["payments", "lane.shop.payments", "lane.crm.payments"]),
        ("orders", None, ["orders"]),
        ("lanes", None, ["lane.shop", "lane.crm"]),
        ("lanes", "crm", ["lane.crm"]),
        ("chores", None, ["chores"]),
        (
            "all",
            None,
            [
                "payments",
                "lane.shop.payments",
                "lane.crm.payments",
                "orders",
                "deals",
                "counterparties",
                "lane.shop",
                "lane.crm",
                "chores",
            ],
        ),
    ],
)
def test_a_worker_reads_its_queues_the_urgent_first(name, only, queues):
    assert queues_of(name, ["shop", "crm"], only=only) == queues


@pytest.mark.parametrize("words", [["lanes", "--system", "crm"], ["orders", "--system", "onec"]])
def test_a_worker_for_a_system_that_is_not_there_does_not_start(bus, words):
    result = bus("worker", *words)

    assert (result.exit_code, result.stderr) == (1, "--system goes with `lanes` and is one of: none\n")


def test_a_worker_works_and_stops_in_order(bus):
    with bus.process("worker", "payments", "--instance", "2") as process:
        process.until(lambda: process.hears("ready"))
        assert process.hears("payments-2@")
        assert process.stop() == 0, "".join(process.said)


def test_beat_rings_and_stops_in_order_and_leaves_no_file(bus):
    bus.configure("systems: {onec: {kind: events}}\nlimits: {sweep_s: 0.5}")
    with bus.process("beat") as process:
        process.until(lambda: process.hears("Scheduler: Sending due task"))
        assert process.stop() == 0, "".join(process.said)
    assert [path.name for path in bus.folder.iterdir()] == ["bus.yaml"]


def test_the_intake_answers_and_stops_in_order(bus):
    port = free_port()
    with bus.process("intake", "--port", port) as process:
        process.until(lambda: process.hears("Uvicorn running"))
        assert requests.get(f"http://127.0.0.1:{port}/ready", timeout=5).json() == {"status": "ok"}
        assert process.stop() == 0, "".join(process.said)


def signed(key: str, text: str) -> dict[str, str]:
    at = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": "1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(key).sign("1", at, text),
    }


def test_the_intake_answers_after_the_commit_and_its_relay_rings(bus):
    key = "whsec_b25lYyBrZXkgbnVtYmVyIG9uZSBvZiB0d28="
    bus.configure(f"systems: {{onec: {{kind: events, keys: [{key}], routes: {{order: {{in: full}}}}}}}}")
    text, port = json.dumps(order(1)), free_port()
    headers = signed(key, text)
    with bus.process("intake", "--port", port) as process, redis.Redis.from_url(bus.env["BUS_BROKER_URL"]) as broker:
        process.until(lambda: process.hears("Uvicorn running"))
        answer = requests.post(f"http://127.0.0.1:{port}/events", data=text, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()) == (200, {"new": 1, "known": 0})
        process.until(lambda: broker.llen("bus:orders") == 1)
        told = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        assert {"bus_relay_waiting 0.0", "bus_relay_lost 0.0", "bus_bells_lost 0.0"} <= set(told.splitlines())
        assert process.stop() == 0, "".join(process.said)


def test_the_intake_of_a_ledger_that_takes_no_writes_is_not_ready_and_asks_to_come_back(bus):
    key = "whsec_b25lYyBrZXkgbnVtYmVyIG9uZSBvZiB0d28="
    bus.configure(f"systems: {{onec: {{kind: events, keys: [{key}], routes: {{order: {{in: full}}}}}}}}")
    with psycopg.connect(bus.env["BUS_DATABASE_URL"], autocommit=True) as owner:
        owner.execute(f'ALTER DATABASE "{owner.info.dbname}" SET default_transaction_read_only = on')
    text, port = json.dumps(order(1)), free_port()
    headers = signed(key, text)
    with bus.process("intake", "--port", port) as process:
        process.until(lambda: process.hears("Uvicorn running"))
        answers = [
            requests.get(f"http://127.0.0.1:{port}/ready", timeout=10),
            requests.post(f"http://127.0.0.1:{port}/events", data=text, headers=headers, timeout=10),
        ]
        assert [(answer.status_code, answer.headers.get("retry-after")) for answer in answers] == [(503, "5")] * 2
        assert process.hears("the ledger takes no writes")


def test_the_intake_hears_of_counterparties_that_were_switched_on_by_command(bus):
    bus.configure(
        "systems: {crm: {kind: bitrix24, url: 'http://127.0.0.1:9/rest/1/crm/', application_token: token,"
        " routes: {order: {in: full}}}}"
    )
    told = {"event": "ONCRMCOMPANYUPDATE", "data[FIELDS][ID]": "12", "auth[application_token]": "token"}
    for turned, answer in (("off", {"new": 0, "known": 0}), ("full", {"new": 1, "known": 0})):
        assert bus("switch", "set", "crm", "counterparty", "in", turned, "--actor", "olga").exit_code == 0
        port = free_port()
        with bus.process("intake", "--port", port) as process:
            process.until(lambda process=process: process.hears("Uvicorn running"))
            assert requests.post(f"http://127.0.0.1:{port}/bitrix24/crm", data=told, timeout=10).json() == answer


def test_flower_on_loopback_shows_and_does_nothing(bus):
    bus.env["BUS_FLOWER_PASSWORD"] = "qwe5,secret"
    port = free_port()
    with bus.process("flower", "--port", port) as process:
        process.until(lambda: process.hears("flower.listening"))
        page = f"http://127.0.0.1:{port}/workers"
        auth = ("bus", "qwe5,secret")
        assert requests.get(page, timeout=5).status_code == 401
        assert requests.get(page, auth=auth, timeout=5).status_code == 200
        task = f"http://127.0.0.1:{port}/api/task/send-task/chores.sweep"
        assert requests.post(task, auth=auth, json={}, timeout=5).status_code == 403
        assert process.stop() == 0, "".join(process.said)
    assert not process.hears("qwe5")


@pytest.mark.parametrize("address", ["0.0.0.0", "", "192.0.2.1", "flower.example"])
def test_flower_without_a_password_listens_to_nobody_else(bus, address):
    result = bus("flower", "--address", address)

    assert result.exit_code == 1
    assert result.stderr.startswith("BUS_FLOWER_PASSWORD is not set")


def test_flower_refuses_a_password_that_it_cannot_compare(bus):
    bus.env["BUS_FLOWER_PASSWORD"] = "пароль"

    assert "ASCII only" in bus("flower").stderr


def test_a_port_that_is_taken_is_told(bus):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        with bus.process("flower", "--port", listener.getsockname()[1]) as process:
            assert process.ended() == 1

    assert process.said == ["Address already in use\n"]


def test_a_stand_in_runs_until_it_is_stopped(bus):
    with bus.process("sandbox", "bitrix24") as process:
        process.until(lambda: process.hears("/_sandbox/"))
        assert process.stop() == 0, "".join(process.said)


def test_sigterm_is_an_orderly_exit_and_what_was_before_comes_back():
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(SystemExit) as stopped, stoppable(143):
        signal.raise_signal(signal.SIGTERM)

    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
