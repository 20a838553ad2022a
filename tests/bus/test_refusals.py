"""What workers turned away: told once a second at most, one letter for each reason, nothing lost while they run."""

from collections.abc import Iterator
from threading import Event

import pytest
from structlog.testing import capture_logs

from bus import messages
from bus.ledger.database import Ledger
from bus.refusals import Refusals
from tests.bus.ledger.middle import Middle, built, eventually
from workers.bootstrap import Wiring


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def test_each_reason_on_each_queue_is_one_dead_letter_that_counts(middle: Middle) -> None:
    for _ in range(2):
        refusals = Refusals(middle.ledger, rest_s=0)
        for why in ("not JSON", "not JSON", "too large"):
            refusals("orders", why)
        refusals("payments", "not JSON")
        refusals.close()
    assert sorted((letter["cause"], letter["attempts"]) for letter in middle.letters()) == [
        ("refused message on orders", 2),
        ("refused message on orders", 4),
        ("refused message on payments", 2),
    ]
    assert {letter["class"] for letter in middle.letters()} == {"Unreadable"}


def test_what_a_queue_is_called_by_a_stranger_is_kept_as_far_as_the_ledger_can(middle: Middle) -> None:
    refusals = Refusals(middle.ledger, rest_s=0)
    for queue in ("a\0b", "c\ud800d", "e" * 10_000_000):
        refusals(queue, "not JSON")
    refusals.close()
    causes = [letter["cause"] for letter in middle.letters()]
    assert causes == [f"refused message on {queue}" for queue in ("a?b", "c?d", "e" * 200)]


def test_a_letter_that_was_discarded_is_opened_by_the_next_such_message(middle: Middle) -> None:
    for state in ("discarded", "open"):
        refusals = Refusals(middle.ledger)
        refusals("orders", "not JSON")
        refusals.close()
        assert [letter["state"] for letter in middle.rows("SELECT state FROM dead_letter")] == ["open"]
        middle.rows(f"UPDATE dead_letter SET state = '{state}' RETURNING 1")


def test_what_is_refused_anywhere_in_the_process_is_heard(middle: Middle) -> None:
    refusals = Refusals(middle.ledger)
    messages.refused.connect(refusals)
    messages.refuse("orders", "not JSON")
    messages.refused.disconnect(refusals)
    messages.refuse("orders", "not JSON")
    refusals.close()
    assert [letter["attempts"] for letter in middle.letters()] == [1]


def test_a_bus_that_is_closed_hears_no_more(middle: Middle) -> None:
    wiring = Wiring(middle.wiring.settings, middle.wiring.file)
    wiring.worker_app()
    wiring.close()
    messages.refuse("orders", "not JSON")
    wiring.refusals.close()
    assert middle.letters() == []


def test_without_the_ledger_the_log_tells_and_nobody_waits() -> None:
    with capture_logs() as logs:
        away = Ledger("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.05)
        refusals = Refusals(away, rest_s=0)
        refusals("orders", "not JSON")
        refusals.close()
        away.close()
    assert {"event": "refusals.not_kept", "messages": 1, "log_level": "warning"} in logs


def test_when_the_ledger_is_back_what_was_noted_meanwhile_is_written(middle: Middle) -> None:
    failed = Event()

    class Away(Ledger):
        def run(self, work, *, one_statement=False):
            if not failed.is_set():
                failed.set()
                return Ledger("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.05).run(work)
            return super().run(work, one_statement=one_statement)

    ledger = Away(middle.wiring.settings.database())
    refusals = Refusals(ledger, rest_s=0)
    refusals("orders", "not JSON")
    assert failed.wait(10)
    refusals("orders", "not JSON")
    while not middle.letters() or middle.letters()[0]["attempts"] < 2:
        failed.wait(0.01)
    refusals.close()
    ledger.close()
    assert [letter["attempts"] for letter in middle.letters()] == [2]


def test_trouble_of_any_kind_ends_no_listening_and_loses_nothing(middle: Middle) -> None:
    """As while the ledger is migrated: it answers, and lacks a table."""
    middle.rows("ALTER TABLE dead_letter RENAME TO elsewhere")
    with capture_logs() as logs:
        refusals = Refusals(middle.ledger, rest_s=0.01)
        refusals("orders", "not JSON")
        eventually(lambda: [line for line in logs if line["event"] == "refusals.failed"])
        refusals("orders", "not JSON")
        middle.rows("ALTER TABLE elsewhere RENAME TO dead_letter")
        eventually(lambda: sum(letter["attempts"] for letter in middle.letters()) == 2)
        refusals.close()
    said = next(line for line in logs if line["event"] == "refusals.failed")
    assert (said["log_level"], said["error"], said["messages"]) == ("error", "UndefinedTable", 1)


def test_however_many_reasons_there_are_only_so_many_are_kept_apart_and_all_are_counted(middle: Middle) -> None:
    middle.rows("ALTER TABLE dead_letter RENAME TO elsewhere")
    refusals = Refusals(middle.ledger, rest_s=0.01, most=3)
    for number in range(50):
        refusals(f"lane.{number}", "not JSON")
    middle.rows("ALTER TABLE elsewhere RENAME TO dead_letter")
    eventually(lambda: sum(letter["attempts"] for letter in middle.letters()) == 50)
    refusals.close()
    assert 3 < len(middle.letters()) <= 8, "those in hand, and those noted meanwhile"
    assert "refused message on any queue" in {letter["cause"] for letter in middle.letters()}
