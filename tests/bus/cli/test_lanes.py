import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from bus.breaker import BY_PERSON, Circuit
from bus.channels import lane_queue
from bus.cli import budget as view
from bus.envelope import parse
from bus.ports import Entry, Notification, Spent
from tests.bus.cli.house import order

CONFIG = """
systems:
  crm:
    kind: bitrix24
    url: http://127.0.0.1:1/rest/1/s3cr3t/
    application_token: t
    rate: {per_second: 2, burst: 50}
    routes: {order: {in: full, out: full}}
  shop:
    kind: bitrix_cms
    url: http://127.0.0.1:1/rest/1/s3cr3t/
  onec: {kind: events, routes: {order: {in: full}}}
"""


@pytest.fixture
def bus(bus):
    bus.configure(CONFIG)
    return bus


@pytest.fixture
def wiring(bus):
    wiring = bus.wiring
    yield wiring
    wiring.close()


@pytest.fixture
def crm_budget(wiring):
    return wiring.budgets["crm"]


def lane(bus, name="crm"):
    return next(one for one in json.loads(bus("lanes", "--json").stdout) if one["system"] == name)


def actions(wiring):
    with wiring.ledger.transaction() as connection:
        found = connection.execute("SELECT actor, action, target, detail FROM operator_action ORDER BY id").fetchall()
    return [tuple(row.values()) for row in found]


def waits_an_hour(wiring):
    """A delivery and a notification of the CRM that were put off. Tells, asked later, what is due now."""
    later, event = datetime.now(UTC) + timedelta(hours=1), parse(order(1))
    wiring.publisher.accept([Entry(event)], [Notification("crm", "deal", "7")])
    wiring.pipeline.process([event])
    with wiring.ledger.transaction() as connection:
        connection.execute("UPDATE delivery SET due_at = %s", [later])
        connection.execute("UPDATE event SET due_at = %s WHERE state = 'notified'", [later])

    def due_now():
        with wiring.ledger.transaction() as connection:
            due = connection.execute("SELECT count(*) AS n FROM delivery WHERE state = 'due' AND due_at <= now()")
            told = connection.execute("SELECT count(*) AS n FROM event WHERE state = 'notified' AND due_at <= now()")
            return due.fetchone()["n"], told.fetchone()["n"]

    return due_now


# --- bus lanes --------------------------------------------------------------------------------------------------------


def test_lanes_of_systems_with_an_api_are_shown(bus):
    shown = bus("lanes").stdout
    assert "crm" in shown
    assert "shop" in shown
    assert "onec" not in shown
    assert lane(bus) == {
        "system": "crm",
        "circuit": "closed",
        "since": None,
        "until": None,
        "reason": None,
        "due": 0,
        "urgent": 0,
        "in_flight": 0,
        "dead": 0,
        "parked": 0,
        "oldest_s": None,
    }


def test_what_waits_for_a_lane_is_shown(bus, wiring):
    waits_an_hour(wiring)
    assert (lane(bus)["due"], lane(bus)["urgent"]) == (1, 0)
    assert lane(bus, "shop")["due"] == 0


def test_an_open_circuit_is_shown_with_its_times(bus, wiring):
    for _ in range(5):
        wiring.breaker.failed("crm")
    shown = lane(bus)
    assert shown["circuit"] in ("open", "half-open")
    assert shown["since"] < shown["until"]
    assert "failed in a row" in shown["reason"]
    assert "failed in a row" in bus("lanes").stdout


def test_a_lane_is_stopped_with_a_reason_and_taken_up_again(bus, wiring):
    stopped = bus("lanes", "stop", "crm", "--reason", "the portal is being moved", "--actor", "olga")
    assert (stopped.exit_code, stopped.stdout) == (0, "crm is stopped; take it up again with: bus lanes resume crm\n")
    assert lane(bus)["circuit"] == "stopped"
    assert lane(bus)["reason"] == "the portal is being moved (olga)"
    assert wiring.breaker.wait("crm") > 0

    resumed = bus("lanes", "resume", "crm", "--actor", "ivan")
    assert (resumed.exit_code, resumed.stdout) == (0, "crm is taken up again\n")
    assert lane(bus)["circuit"] == "closed"
    assert actions(wiring) == [
        ("olga", "stop lane", "crm", {"reason": "the portal is being moved"}),
        ("ivan", "resume lane", "crm", {}),
    ]


def test_a_resumed_lane_tries_at_once_what_was_put_off(bus, wiring):
    due_now = waits_an_hour(wiring)
    queues = [f"bus:{lane_queue('crm', urgent=urgent)}" for urgent in (True, False)]
    wiring.breaker.stop("crm", "NO_AUTH_FOUND")
    wiring.redis.delete(*queues)
    assert due_now() == (0, 0)
    bus("lanes", "resume", "crm")
    assert due_now() == (1, 1)
    assert [wiring.redis.llen(queue) for queue in queues] == [1, 1]


def test_resuming_a_lane_that_was_not_stopped_says_so(bus):
    resumed = bus("lanes", "resume", "crm")
    assert (resumed.exit_code, resumed.stdout) == (0, "crm was not stopped; what waits is tried at once\n")


@pytest.mark.parametrize("words", [["stop", "--reason", "x"], ["resume"]])
@pytest.mark.parametrize(("system", "why"), [("onec", "sends events"), ("typo", "is not known")])
def test_a_system_without_a_lane_is_told(bus, wiring, words, system, why):
    result = bus("lanes", words[0], system, *words[1:])
    assert result.exit_code == 1
    assert why in result.stderr
    assert "lanes: crm, shop" in result.stderr
    assert actions(wiring) == []


def test_a_lane_is_not_stopped_without_a_reason(bus, wiring):
    assert bus("lanes", "stop", "crm").exit_code == 2
    assert bus("lanes", "stop", "crm", "--reason", " ").exit_code == 1
    assert wiring.breaker.state("crm").circuit is Circuit.CLOSED
    assert actions(wiring) == []


def test_a_lane_that_could_not_be_stopped_for_want_of_redis_leaves_no_line(bus, wiring):
    bus.env["BUS_REDIS_URL"] = "redis://127.0.0.1:1/0"
    result = bus("lanes", "stop", "crm", "--reason", "maintenance")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be used" in result.stderr
    assert actions(wiring) == []
    assert lane(bus)["circuit"] == "unknown"


def test_status_tells_of_circuits(bus, wiring):
    wiring.breaker.stop("crm", "NO_AUTH_FOUND: make a new incoming webhook")
    wiring.breaker.stop("shop", "maintenance", by=BY_PERSON)
    text, document = bus("status").stdout, json.loads(bus("status", "--json").stdout)
    assert "circuit of crm: stopped since " in text
    assert "make a new incoming webhook" in text
    assert {name: one["circuit"] for name, one in document["circuits"].items()} == {"crm": "stopped", "shop": "stopped"}
    assert document["circuits"]["crm"]["until"]
    assert document["circuits"]["shop"]["until"] is None


def test_status_works_without_redis(bus):
    bus.env["BUS_REDIS_URL"] = "redis://127.0.0.1:1/0"
    result = bus("status")
    assert result.exit_code == 0
    assert "circuit of crm: unknown: Redis: ConnectionError" in result.stdout


# --- bus budget -------------------------------------------------------------------------------------------------------


def test_a_budget_is_shown_once(bus, crm_budget):
    for _ in range(3):
        crm_budget.acquire(urgent=False)
    crm_budget.refused()
    soon = datetime.now(UTC) + timedelta(minutes=5)
    crm_budget.spent({"crm.item.update": Spent(481.25, soon)})

    shown = bus("budget", "--once").stdout
    (crm, shop) = json.loads(bus("budget", "--json").stdout)

    for text in (" of 50 ", "43, 48", "/s (50%)", "of 120", "no limit", "crm.item.update", "481.2", "480"):
        assert text in shown, (text, shown)
    assert (crm["bulk"], crm["last_60_s"], crm["refused"], round(crm["pace"], 1)) == (3, 3, 1, 0.5)
    assert crm["parked"] == {"crm.item.update": soon.isoformat()}
    assert (crm["rate"]["burst"], 3 < crm["level"] <= 50) == (50, True), "full when it was refused, and leaking since"
    assert (shop["system"], shop["rate"]["per_second"], shop["parked"]) == ("shop", 0, {})
    assert "s3cr3t" not in shown


def test_a_budget_goes_to_a_pipe_once(bus):
    assert bus("budget").stdout.count("budget") == 1


def test_a_budget_without_redis_is_told_in_plain_words(bus):
    bus.env["BUS_REDIS_URL"] = "redis://127.0.0.1:1/0"
    result = bus("budget", "--once")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Redis cannot be asked" in result.stderr


def test_a_budget_is_shown_anew_until_somebody_has_seen_enough(crm_budget):
    paper, seen = StringIO(), []

    def tick():
        seen.append(paper.getvalue())
        if len(seen) == 3:
            raise KeyboardInterrupt
        crm_budget.acquire(urgent=True)

    view.watch(lambda: [crm_budget.account()], Console(file=paper, force_terminal=True, width=200), tick)

    assert ["1 of 50" in text for text in seen] == [False, True, True]
    assert "2 of 50" in seen[2]


def test_two_addresses_have_two_budgets(bus, crm_budget):
    crm_budget.acquire(urgent=True)
    bus.env["BUS_EGRESS"] = "office"
    assert json.loads(bus("budget", "--json").stdout)[0]["urgent"] == 0


# --- bus check --------------------------------------------------------------------------------------------------------


def test_check_asks_a_system_whose_lane_is_stopped(bus, wiring):
    wiring.breaker.stop("crm", "NO_AUTH_FOUND")
    shown = bus("check").stdout
    assert "is stopped" not in shown
    assert "no connection to 127.0.0.1:1" in shown


def test_nothing_is_logged_by_looking(bus, wiring):
    wiring.breaker.stop("crm", "NO_AUTH_FOUND")
    with capture_logs() as logs:
        for words in (["lanes"], ["budget", "--once"], ["status"]):
            bus(*words)
    assert logs == []
