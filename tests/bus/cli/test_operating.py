import json
import signal
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from bus.cli.letters import every
from bus.envelope import parse
from bus.ledger import conflicts, entities, journal, letters, records, restored
from bus.ledger.conflicts import Question
from bus.ledger.journal import Ending
from bus.ledger.letters import Letter
from bus.merge import Outcome
from bus.ports import Entry
from bus.reception import Reception
from bus.sandbox.bitrix24 import Portal
from bus.sandbox.server import create_app, rest_url, running
from tests.bus.cli.house import order


def dead(wiring, numbers, cause="deal_stage 'X'"):
    """Events that ended as dead letters; the letters' ids."""
    with wiring.ledger.transaction() as connection:
        journal.record(connection, [Entry(parse(order(number))) for number in numbers])
        rows = connection.execute(
            "SELECT seq FROM event WHERE subject = ANY(%s) ORDER BY seq", [[f"order/{number}" for number in numbers]]
        ).fetchall()
        seqs = [row["seq"] for row in rows]
        journal.finish(connection, [Ending(seq, Outcome.DEAD, None, "for a test") for seq in seqs])
        letters.write(connection, [Letter("onec", "UnknownCode", cause, "add it to tables.yaml", seq) for seq in seqs])
        return [row["id"] for row in connection.execute("SELECT id FROM dead_letter ORDER BY id").fetchall()][
            -len(seqs) :
        ]


def states(wiring):
    with wiring.ledger.transaction() as connection:
        return {row["id"]: row["state"] for row in connection.execute("SELECT id, state FROM dead_letter").fetchall()}


def test_a_dead_letter_is_listed_shown_and_sent_again(bus, wiring):
    (letter,) = dead(wiring, [1])

    listed, shown = bus("dead-letters", "list"), bus("dead-letters", "show", letter)
    retried = bus("dead-letters", "retry", letter, "--actor", "olga")

    assert "add it to tables.yaml" in listed.stdout
    assert "order/1" in shown.stdout
    assert (retried.exit_code, retried.stdout) == (0, "1 sent again\n")
    assert states(wiring) == {letter: "retried"}
    with wiring.ledger.transaction() as connection:
        assert connection.execute("SELECT state FROM event").fetchone()["state"] == "pending"
        assert connection.execute("SELECT actor, action FROM operator_action").fetchone() == {
            "actor": "olga",
            "action": "retry",
        }
    assert bus("dead-letters", "list").stdout == "dead letters: none is open\n"
    assert "retried" in bus("dead-letters", "list", "--all").stdout


def test_a_letter_that_is_not_open_cannot_be_sent_again(bus, wiring):
    (letter,) = dead(wiring, [1])
    bus("dead-letters", "retry", letter)

    again = bus("dead-letters", "retry", letter, 4711)

    assert (again.exit_code, again.stdout) == (1, "0 sent again\n")
    assert again.stderr.startswith("2 not: no such number, not open any more")


def test_a_whole_cause_is_sent_again_at_a_rate_and_the_others_are_left(bus, wiring):
    first, second, third = dead(wiring, [1, 2, 3])
    (other,) = dead(wiring, [4], cause="ACCESS_DENIED")

    retried = bus("dead-letters", "retry", "--cause", "deal_stage 'X'", "--rate", 1000)

    assert (retried.exit_code, retried.stdout) == (0, "3 of 3 sent again\n")
    assert states(wiring) == {first: "retried", second: "retried", third: "retried", other: "open"}


@pytest.mark.parametrize("words", [["--cause", "deal_stage 'X'"], [1, 2]])
def test_what_still_cannot_be_read_is_left_told_with_its_reason_and_holds_up_no_other(bus, wiring, words):
    odd, other = dead(wiring, [1, 2])
    with wiring.ledger.transaction() as connection:
        query = "UPDATE event SET raw = '{}' FROM dead_letter WHERE dead_letter.id = %s AND event_seq = seq"
        connection.execute(query, [odd])

    retried = bus("dead-letters", "retry", *words)

    assert (retried.exit_code, retried.stdout.startswith("1 ")) == (1, True)
    assert f"{odd} is left: " in retried.stderr
    assert states(wiring) == {odd: "open", other: "retried"}


def test_a_whole_cause_can_be_stopped_after_the_one_in_hand(bus, wiring):
    first, second, third = dead(wiring, [1, 2, 3])

    with bus.process("dead-letters", "retry", "--cause", "deal_stage 'X'", "--rate", 0.05) as process:
        process.until(lambda: states(wiring)[first] == "retried")
        assert process.stop(signal.SIGINT) == 130, "".join(process.said)

    assert process.hears("stopped: 1 sent again, 2 left as they were")
    assert states(wiring) == {first: "retried", second: "open", third: "open"}


def test_a_cause_whose_letters_have_nothing_to_retry_fails_and_says_so(bus, wiring):
    Reception(wiring.ledger, wiring.pipeline).take("payments", ["no event"])

    retried = bus("dead-letters", "retry", "--cause", "unreadable message on payments")

    assert (retried.exit_code, retried.stdout) == (1, "0 of 1 sent again\n")
    assert "1 not: not open any more, or unreadable (publish a corrected one instead)" in retried.stderr


def test_a_cause_that_no_letter_has_is_told(bus):
    result = bus("dead-letters", "retry", "--cause", "typo")

    assert (result.exit_code, result.stderr) == (
        1,
        "no dead letter is open with the cause 'typo'; see `bus dead-letters list`\n",
    )


@pytest.mark.parametrize("words", [[], ["1", "--cause", "x"]])
def test_retry_wants_either_numbers_or_a_cause(bus, words):
    assert bus("dead-letters", "retry", *words).exit_code == 2


def test_a_pace_keeps_its_rate_and_does_not_catch_up():
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    pace = every(0.5, clock=lambda: now[0], sleep=sleep)
    for work in (0.0, 0.2, 5.0, 0.0):
        pace()
        now[0] += work
    pace()

    assert slept == pytest.approx([0.5, 0.3, 0.5])


def test_a_letter_is_discarded_with_its_reason(bus, wiring):
    (letter,) = dead(wiring, [1])

    without, discarded = (
        bus("dead-letters", "discard", letter, "--reason", " "),
        bus("dead-letters", "discard", letter, "--reason", "test order"),
    )

    assert (without.exit_code, without.stderr) == (1, "say why: a discarded letter is kept with its reason\n")
    assert discarded.stdout == "1 discarded\n"
    assert states(wiring) == {letter: "discarded"}
    assert bus("dead-letters", "show", 4711).stderr == "there is no dead letter 4711\n"


def test_more_letters_than_are_shown_are_mentioned(bus, wiring):
    dead(wiring, [1, 2, 3])

    assert "there are more than 2" in bus("dead-letters", "list", "--limit", 2).stderr


@pytest.fixture
def known(wiring):
    """An order that was merged; its entity."""
    event = parse(order(1))
    with wiring.ledger.transaction() as connection:
        journal.record(connection, [Entry(event)])
    wiring.pipeline.process([event])
    with wiring.ledger.transaction() as connection:
        return records.of_record(connection, "onec", "order", ["1"])["1"]


@pytest.fixture
def conflict(wiring, known):
    at = "2026-03-01T12:00:00+00:00"
    options = {
        "onec": {"value": "yes", "at": at, "event": "a"},
        "bank": {"value": "no", "at": at, "event": "b"},
    }
    with wiring.ledger.transaction() as connection:
        conflicts.ask(
            connection, [Question(known, "comment", options, "manual", datetime.now(UTC) + timedelta(days=1))]
        )
        return conflicts.listing(connection)[0]["id"]


def test_a_conflict_is_listed_shown_and_decided(bus, conflict):
    listed, shown = bus("conflicts", "list"), bus("conflicts", "show", conflict)
    wrong = bus("conflicts", "decide", conflict, "--take", "crm")
    decided = bus("conflicts", "decide", conflict, "--take", "bank", "--actor", "olga")

    assert "bank: no; onec: yes" in listed.stdout
    assert "open; manual decides at" in shown.stdout
    assert (wrong.exit_code, wrong.stderr) == (1, "choose one of: bank, onec\n")
    assert decided.stdout == f"conflict {conflict}: the value of bank is taken\n"
    assert "decided: no by olga" in bus("conflicts", "show", conflict).stdout
    assert bus("conflicts", "list").stdout == "conflicts: none is open\n"
    assert bus("conflicts", "show", 4711).exit_code == 1


@pytest.mark.parametrize("name", ["A-1", "onec/order/1", "its id"])
def test_the_story_of_an_order_is_found_by_any_of_its_names(bus, known, name):
    told = bus("history", known if name == "its id" else name)

    assert told.exit_code == 0
    assert "onec/order/1 linked" in told.stdout
    assert "status" in told.stdout


def test_the_story_of_an_order_that_was_united_is_that_of_the_other(bus, wiring, known):
    lost, between = uuid4(), uuid4()
    with wiring.ledger.transaction() as connection:
        entities.save(connection, [entities.begun(one, "order") for one in (between, lost)])
        entities.move(connection, between, known)
        entities.move(connection, lost, between)

    assert "onec/order/1 linked" in bus("history", lost).stdout


@pytest.mark.parametrize("name", ["A-2", "onec/order/2", "a/b", "", "00000000-0000-0000-0000-000000000000"])
def test_a_name_that_is_not_known_is_told(bus, name):
    result = bus("history", name)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"nothing is known of {name!r}; give an order number")


@pytest.mark.parametrize("name", ["392", "bank/payment/1"])
def test_what_waits_for_an_order_that_is_not_known_is_found_by_its_own_name_and_the_orders(bus, wiring, name):
    data = {"order": {"number": "392"}, "amount": {"amount": "5.00", "currency": "RUB"}, "status": "paid"}
    money = parse(order(1) | {"source": "bank", "type": "payment.changed", "subject": "payment/1", "data": data})
    wiring.publisher.publish(money)
    wiring.pipeline.process([money])

    told = bus("history", name)

    assert told.exit_code == 0
    assert "bank/payment/1" in told.stdout
    assert "number/onec/392" in told.stdout


def test_an_order_that_could_not_be_merged_is_found_with_its_dead_letter(bus, wiring):
    (letter,) = dead(wiring, [7])

    told = bus("history", "onec/order/7")

    assert (told.exit_code, f"dead  │           │       │ {letter} " in told.stdout) == (0, True)


@pytest.mark.usefixtures("conflict")
def test_the_status_counts_what_waits_for_whom(bus, wiring):
    dead(wiring, [7, 8])

    shown, found = bus("status"), json.loads(bus("status", "--json").stdout)

    assert found["events"]["dead"] == 2
    assert found["dead_letters"][0]["letters"] == 2
    assert found["conflicts"]["open"] == 1
    assert found["last_reconcile"] is None
    assert "deal_stage 'X'" in shown.stdout
    assert "conflicts: 1 open" in shown.stdout
    assert "last reconcile: never" in shown.stdout


def test_a_switch_is_turned_and_shown_with_its_author(bus):
    before = bus("switch", "list")
    turned = bus("switch", "set", "bank", "payment", "in", "create-only", "--actor", "olga")
    after = bus("switch", "list")

    assert "olga" not in before.stdout
    assert turned.stdout == "bank payment in: create-only; restart the workers and the intake to take it up\n"
    assert "create-only" in next(line for line in after.stdout.splitlines() if "olga" in line)
    assert bus("switch", "set", "nowhere", "payment", "in", "off").stderr.startswith("there is no system 'nowhere'")
    assert bus("switch", "set", "bank", "payment", "in", "half").exit_code == 2


def test_a_reconciliation_leaves_a_run(bus):
    ran, listed, shown = bus("reconcile", "--full"), bus("runs"), bus("runs", 1)

    assert ran.exit_code == 0
    assert "yes" in next(line for line in listed.stdout.splitlines() if "│ 1 " in line)
    assert "drift: nothing" in shown.stdout
    assert "last reconcile: run 1 at " in bus("status").stdout
    assert bus("runs", 7).stderr == "there is no run 7\n"


def test_runs_and_the_status_count_what_could_not_be_read(bus, wiring):
    read = dict.fromkeys(("records", "sum", "missed", "healed", "waiting"), 0) | {"system": "crm", "error": None}
    for report in ({"systems": [read]}, {"systems": [read | {"unreadable": 3}]}):  # the first is of an older bus
        with wiring.ledger.transaction() as connection:
            run = "INSERT INTO run (what, finished_at, report) VALUES ('reconcile', now(), %s)"
            connection.execute(run, [Jsonb(report)])

    listed, older, newer = bus("runs"), bus("runs", 1), bus("runs", 2)

    assert [run.exit_code for run in (listed, older, newer)] == [0, 0, 0]
    assert "unreadable" in listed.stdout
    assert "│ 3 " in newer.stdout
    assert "0 drifted, 3 unreadable" in bus("status").stdout


def test_the_status_of_a_restored_ledger_tells_how_many_records_hold_it_and_what_to_do(bus, wiring):
    read = {"system": "crm", "missed": 0, "waiting": 0, "unreadable": 3, "waived": 1}
    run = "INSERT INTO run (what, started_at, finished_at, report) VALUES ('reconcile', %s, now(), %s)"
    with wiring.ledger.transaction() as connection:
        connection.execute(run, [datetime.now(UTC) - timedelta(hours=2), Jsonb({"systems": [read]})])
        restored.mark(connection, datetime.now(UTC) - timedelta(hours=1))

    lost = " ".join(bus("status").stdout.split())
    with wiring.ledger.transaction() as connection:
        connection.execute(run, [datetime.now(UTC), Jsonb({"systems": [read]})])
    after = " ".join(bus("status").stdout.split())

    assert "could not be read" not in lost
    assert "2 records could not be read: mend and retry (or discard) their dead letters" in after
    assert "bus reconcile --full" in after


def test_the_status_tells_of_polls_that_fail(bus, wiring):
    assert "polls fail" not in bus("status").stdout
    with wiring.ledger.transaction() as connection:
        run = "INSERT INTO run (what, finished_at, report) VALUES ('poll failed', now(), %s)"
        connection.execute(run, [Jsonb({"errors": {"onec": "HTTP 403: the login may not read orders"}})])
    shown = " ".join(bus("status").stdout.split())
    assert "polls fail since 20" in shown
    assert "onec: HTTP 403: the login may not read orders" in shown


def test_a_reconciliation_that_a_restored_ledger_is_held_after_says_so_and_fails(bus, wiring):
    site = Portal(user=1, code="c0de")
    deal = site.act({"do": "create_deal", "fields": {"title": "1001", "currencyId": "roubles"}})
    with running(create_app(site)) as base:
        bus.configure(
            f"systems: {{crm: {{kind: bitrix24, url: '{rest_url(base, site)}', application_token: t,"
            " late_s: 0, routes: {order: {in: full}}}}"
        )
        with wiring.ledger.transaction() as connection:
            restored.mark(connection, datetime.now(UTC) - timedelta(hours=1))
        held = bus("reconcile")
        site.records.tables[2].rows[deal["id"]]["currencyId"] = "RUB"
        healed = bus("reconcile")

    assert (held.exit_code, healed.exit_code) == (1, 0), held.output
    assert "this ledger was restored and is held: nothing is written before" in held.stderr


def test_the_status_names_the_system_that_the_last_reconciliation_could_not_read(bus, wiring):
    read = dict.fromkeys(("records", "sum", "missed", "healed", "waiting", "unreadable"), 0) | {"error": None}
    report = {"systems": [read | {"system": "crm"}, read | {"system": "shop", "error": "no connection"}]}
    with wiring.ledger.transaction() as connection:
        connection.execute(
            "INSERT INTO run (what, finished_at, report) VALUES ('reconcile', now(), %s)", [Jsonb(report)]
        )

    assert "0 drifted, 0 unreadable; failed: shop, see `bus runs 1`" in bus("status").stdout


def test_a_system_that_cannot_be_read_fails_the_reconciliation(bus):
    bus.configure(
        "systems: {crm: {kind: bitrix24, url: 'http://127.0.0.1:1/rest/1/c0de/', application_token: t,"
        " routes: {order: {in: full}}}}"
    )

    result = bus("reconcile")

    assert result.exit_code == 1
    assert "│ crm " in result.stdout
    assert "c0de" not in result.output
    assert "crm" in bus("runs").stdout
