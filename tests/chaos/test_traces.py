"""Traces: what was planted is found in every place that a run writes to or shows."""

import base64
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from bus.demo import parties, scenario
from bus.supervise import Ports, invented
from tests.chaos import traces
from tests.chaos.leaks import Leak, Planted
from tests.chaos.release import ROOT
from tests.chaos.traces import Sampling

CODE, NAME = "q3Zf-webhook_code", "Морозов Борис"
_LETTER, _OF = "INSERT INTO dead_letter (event_seq, system, class, cause, reason", "SELECT seq, 'crm', 'X', 'y',"
PLANTED = Planted(secrets={"webhook code": CODE}, people={"name": [NAME]})
BOTH = f"{NAME} at /rest/1/{CODE}/"


def both(place: str) -> set[Leak]:
    return {Leak(place, "webhook code"), Leak(place, "name")}


class Metrics(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(BOTH.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def intake() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def sampling(broker_url: str, intake: str) -> Iterator[Sampling]:
    made = Sampling(PLANTED, broker_url, intake)
    yield made
    made.begin()
    made.end()


def message(event: str, shown: str) -> str:
    body = base64.b64encode(json.dumps([[{"data": event}]], ensure_ascii=False).encode()).decode()
    return json.dumps({"body": body, "headers": {"argsrepr": shown}}, ensure_ascii=False)


def test_a_log_the_configuration_and_an_engines_log_are_looked_at(tmp_path: Path) -> None:
    for name in ("logs/worker.log", "bus.yaml", "ledger/postgres/log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(BOTH)
    assert traces.in_files(PLANTED, tmp_path) == both("worker.log") | both("bus.yaml") | both("log")


@pytest.mark.parametrize(
    ("place", "statement"),
    [
        ("dead letters", f"{_LETTER}, sent) {_OF} 'said', jsonb_build_object('FIO', %s::text) FROM event"),
        ("dead letters", f"{_LETTER}, answered) {_OF} 'said', jsonb_build_object('FIO', %s::text) FROM event"),
        ("dead letters", f"{_LETTER}) {_OF} %s FROM event"),
        ("errors of events", "UPDATE event SET error = %s"),
        ("names of events", "UPDATE event SET subject = %s"),
        ("operator actions", "INSERT INTO operator_action (actor, action, target) VALUES ('me', 'do', %s)"),
        ("runs", "INSERT INTO run (what, report) VALUES ('x', jsonb_build_object('said', %s::text))"),
    ],
)
def test_what_operators_are_shown_of_the_ledger_is_looked_at(database_url: str, place: str, statement: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            """INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, state, data)
               VALUES ('shop', '1', 'order.changed', 'order/1', 'orders', 'order', now(), 'done', %s)""",
            [json.dumps({"name": NAME})],
        )
        connection.execute(statement, [BOTH])
    assert traces.in_ledger(PLANTED, database_url) == both(place)


def test_a_command_line_is_looked_at(sampling: Sampling) -> None:
    program = [sys.executable, "-c", "input(1)", CODE]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        # the kernel tells a command line a moment after Popen returns: a new program's is empty until it is set up
        assert process.stdout.read(1) == b"1"
        sampling.look()
        process.communicate(b"\n")
    assert Leak("command lines", "webhook code") in sampling.leaks


def test_metrics_are_looked_at(sampling: Sampling) -> None:
    sampling.look()
    assert both("/metrics") <= sampling.leaks


def test_people_may_ride_in_messages_and_secrets_nowhere(sampling: Sampling, broker_url: str) -> None:
    with redis.Redis.from_url(broker_url) as client:
        client.lpush("bus:orders", message(NAME, "1 events"))
        client.hset("bus:unacked", "tag", json.dumps([json.loads(message(CODE, "1 events")), "", "orders"]))
    sampling.look()
    found = {leak for leak in sampling.leaks if "redis" in leak.place or leak.place == "messages"}
    assert found == {Leak("messages", "webhook code")}
    assert sampling.messages == 2


def test_people_may_not_be_in_headers_in_names_of_keys_or_in_what_is_kept_besides(
    sampling: Sampling, broker_url: str
) -> None:
    with redis.Redis.from_url(broker_url) as client:
        client.lpush("bus:orders", message("order 1", NAME))
        client.set(f"claim:{NAME}", "1")
        client.hset("bus:directory:crm", "7", BOTH)
    sampling.look()
    found = {leak for leak in sampling.leaks if "redis" in leak.place}
    assert found == {Leak("redis bus:orders", "name"), Leak("redis keys", "name"), *both("redis bus:directory:crm")}


def test_what_is_published_is_heard(sampling: Sampling, broker_url: str) -> None:
    sampling.look()
    with redis.Redis.from_url(broker_url) as client:
        client.publish("/0.celeryev/task.received", message(BOTH, "x"))
    sampling.look()
    assert both("redis events") <= sampling.leaks


def test_what_is_planted_are_all_secrets_and_everyone_of_the_day() -> None:
    company = invented.found(Ports().found(), limited=True)
    company = invented.Company(
        company.ports, company.token, company.shop_key, company.bank_key, code=CODE, password="p4ssw0rd"
    )
    day, books = scenario.plan(1, 40), parties.plan(1, 20)
    planted = traces.planted(company, ("postgresql://bus:s3cretdb@h:1/x", "redis://:s3cretq@h:2/0"), day, books)
    assert {"webhook code", "1C password", "portal token", "shop key", "bank key"} < set(planted.secrets)
    assert planted.secrets["postgresql password"] == "s3cretdb"
    assert planted.secrets["redis password"] == "s3cretq"
    story = next(story for story in day.stories if "address_crm" in {step.do for step in story.steps})
    edited = next(step.detail["value"] for step in story.steps if step.do == "address_crm")
    assert planted.find(f"{story.customer.name} {story.phone} {story.customer.email} {edited}") >= {
        *("name", "phone", "email", "edit"),
    }


def test_a_command_that_is_asked_wrongly_does_not_pass_for_a_clean_one() -> None:
    with pytest.raises(ValueError, match="bus no-such-command is asked wrongly"):
        traces.in_commands(PLANTED, {**os.environ, "PYTHONPATH": str(ROOT)}, [("no-such-command",)])
