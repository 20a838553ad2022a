"""Reconciling: what no webhook told us is found, healed through the same pipeline, and reported with its cause."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from bus.errors import Permanent, Transient
from bus.ledger import journal, letters, restored
from bus.ledger.journal import Ending
from bus.ledger.letters import Letter
from bus.merge import Outcome
from bus.ports import RawRecord
from bus.reconcile import _LOCK, Reconcile, drifts_of, failing_poll, latest
from tests.bus.ledger.middle import Middle, built, config

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)


@dataclass
class Portal:
    """A system that can be asked what changed, and nothing else."""

    system: str = "crm"
    kind: str = "bitrix24"
    batch: int = 50
    pages: list[list[RawRecord]] = field(default_factory=list)
    asked: list[datetime] = field(default_factory=list)
    error: Exception | None = None

    def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
        assert record_type == "deal"
        self.asked.append(since)
        yield from self.pages
        if self.error:
            raise self.error


class Shop(Portal):
    """A shop in which nothing changed."""

    def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
        assert record_type in ("order", "payment")
        self.asked.append(since)
        yield from ()


def raw(number: int, comment: str, minute: int = 0, **item: Any) -> RawRecord:
    updated = (NOON + timedelta(minutes=minute)).isoformat()
    fields = {"id": number, "updatedTime": updated, "comments": comment, "categoryId": 0, "stageId": "NEW"} | item
    return RawRecord("deal", str(number), {"item": fields, "rows": [], "contact": None, "order_ids": []})


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def reconcile(middle: Middle, *portals: Portal) -> Reconcile:
    wiring = middle.wiring
    adapters = {portal.system: portal for portal in portals}
    return Reconcile(
        middle.ledger, wiring.config, wiring.mappings, wiring.pipeline, adapters, lambda: NOON + timedelta(hours=1)
    )  # type: ignore[arg-type]


def report(middle: Middle, *portals: Portal, full: bool = False) -> dict[str, Any]:
    done = reconcile(middle, *portals).run(full=full)
    assert done is not None
    return {one["system"]: one for one in done["systems"]}


def test_what_no_webhook_told_us_is_taken_in_and_reported(middle: Middle) -> None:
    found = report(middle, Portal(pages=[[raw(7, "a"), raw(8, "b")]]))["crm"]
    assert (found["records"], found["missed"], found["healed"]) == (2, 2, 2)
    assert middle.fields("crm/deal/7")["comment"] == "a"
    assert "shop" in middle.due()
    with middle.ledger.transaction() as connection:
        run = latest(connection)[0]
        drifts = drifts_of(connection, run["id"])
    assert {(one["subject"], one["cause"], one["healing"]) for one in drifts} == {
        ("deal/7", "missed", "healed"), ("deal/8", "missed", "healed")
    }  # fmt: skip
    assert run["finished_at"] is not None


def test_a_full_run_waits_for_another_one_to_end(middle: Middle) -> None:
    other, made = reconcile(middle, Portal(pages=[[raw(7, "a")]])), reconcile(middle, Portal(pages=[[raw(8, "b")]]))
    with ThreadPoolExecutor(1) as pool:
        with middle.ledger.alone(_LOCK) as mine:
            assert (mine, other.run(full=True)) == (True, None)
            waiting = pool.submit(made.run, full=True, wait_s=30.0)
            sleep(0.7)
            assert not waiting.done()
        summary = waiting.result(30)
    assert summary is not None
    assert [one["records"] for one in summary["systems"]] == [1]


def test_a_full_run_is_not_made_once_more_after_one_that_it_waited_for(middle: Middle) -> None:
    portal = Portal()
    with ThreadPoolExecutor(1) as pool:
        with middle.ledger.alone(_LOCK):
            waiting = pool.submit(reconcile(middle, portal).run, full=True, wait_s=30.0)
            sleep(0.2)
            middle.rows("""INSERT INTO run (what, finished_at, report) VALUES ('reconcile', now(), '{"full": true}')""")
        assert (waiting.result(30), portal.asked) == (None, [])


def test_what_is_as_we_knew_it_is_no_drift(middle: Middle) -> None:
    portal = Portal(pages=[[raw(7, "a")]])
    report(middle, portal)
    again = report(middle, portal)["crm"]
    assert (again["records"], again["missed"], again["healed"], again["waiting"]) == (1, 0, 0, 0)


def test_an_edit_that_was_missed_names_its_field(middle: Middle) -> None:
    report(middle, Portal(pages=[[raw(7, "a")]]))
    report(middle, Portal(pages=[[raw(7, "edited", 5)]]))
    assert middle.fields("crm/deal/7")["comment"] == "edited"
    assert [row["field"] for row in middle.rows("SELECT field FROM drift ORDER BY id")] == ["record", "comment"]


def test_the_cursor_moves_to_the_latest_that_was_read_and_the_next_run_overlaps(middle: Middle) -> None:
    portal = Portal(pages=[[raw(7, "a", 1)], [raw(8, "b", 30)]])
    report(middle, portal)
    report(middle, portal)
    overlap = timedelta(seconds=middle.wiring.config.limits.reconcile_overlap_s)
    assert portal.asked == [
        NOON + timedelta(hours=1) - timedelta(days=1) - overlap,
        NOON + timedelta(minutes=30) - overlap,
    ]


def test_a_run_that_broke_off_leaves_the_cursor_for_a_record_may_be_saved_between_list_and_reading(
    middle: Middle,
) -> None:
    """The first page was listed as of the first minute; one of its records was saved again before it was read."""
    report(middle, Portal(pages=[[raw(6, "known", 0)]]))
    report(middle, Portal(pages=[[raw(7, "saved again", 55)]], error=Transient("503")))
    portal = Portal(pages=[[raw(8, "of the second page", 2)]])
    report(middle, portal)
    assert portal.asked[0] <= NOON + timedelta(minutes=2)


def test_what_is_saved_while_a_run_reads_is_read_by_the_next(middle: Middle) -> None:
    """The deal's contact was saved when the list of deals had ended: another deal, saved before that, is not in it."""
    moments = iter([NOON + timedelta(minutes=10), NOON + timedelta(minutes=10), *[NOON + timedelta(minutes=40)] * 9])
    contact = {"name": "Анна", "updatedTime": (NOON + timedelta(minutes=30)).isoformat()}
    late = raw(7, "a", 1)
    wiring, portal = middle.wiring, Portal(pages=[[replace(late, raw=late.raw | {"contact": contact})]])
    adapters: Any = {"crm": portal}
    bus = Reconcile(middle.ledger, wiring.config, wiring.mappings, wiring.pipeline, adapters, lambda: next(moments))
    bus.run()
    bus.run()
    assert portal.asked[1] <= NOON + timedelta(minutes=10)


def test_a_record_dated_in_the_future_does_not_hide_what_comes_before_it(middle: Middle) -> None:
    portal = Portal(pages=[[raw(7, "a", 60 * 24 * 365)]])
    report(middle, portal)
    report(middle, portal)
    assert portal.asked[1] <= NOON + timedelta(hours=1)


def test_a_full_run_reads_from_the_beginning_and_never_sets_the_cursor_back(middle: Middle) -> None:
    report(middle, Portal(pages=[[raw(8, "b", 30)]]))
    portal = Portal(pages=[[raw(7, "a", 1)]])
    report(middle, portal, full=True)
    report(middle, portal)
    assert portal.asked[0].year == 1970
    assert portal.asked[1] > NOON + timedelta(minutes=20)


def test_a_full_run_that_broke_off_moves_no_cursor(middle: Middle) -> None:
    """It reads in any order: what it did not come to may have changed long before what it read."""
    report(middle, Portal(pages=[[raw(8, "b", 10)]]))
    report(middle, Portal(pages=[[raw(7, "a", 50)]], error=Transient("503")), full=True)
    portal = Portal()
    report(middle, portal)
    assert portal.asked[0] < NOON + timedelta(minutes=10)


def test_a_system_in_trouble_is_reported_what_it_said_before_is_kept_and_the_others_are_asked(middle: Middle) -> None:
    broken = Portal(pages=[[raw(7, "a")]], error=Transient("503"))

    shop = Shop("shop", "bitrix_cms")
    found = report(middle, broken, shop)
    assert found["crm"]["error"] == "503"
    assert found["shop"]["error"] is None
    assert shop.asked
    assert middle.fields("crm/deal/7")["comment"] == "a"


@pytest.mark.parametrize("odd", [KeyError("items"), ValueError("no time"), TypeError("a list")])
def test_an_answer_of_a_shape_that_nobody_foresaw_is_its_system_s_trouble_alone(middle: Middle, odd: Exception) -> None:
    shop = Shop("shop", "bitrix_cms")
    found = report(middle, Portal(pages=[[raw(7, "a")]], error=odd), shop)
    assert found["crm"]["error"] == f"cannot be read: {type(odd).__name__}"
    assert shop.asked
    assert middle.fields("crm/deal/7")["comment"] == "a"
    assert middle.one("SELECT finished_at FROM run")["finished_at"] is not None


def test_a_record_that_cannot_be_journaled_hides_no_other_of_its_page(middle: Middle) -> None:
    half = raw(7, "a", ufCrmWhatever="half an emoji \ud83d")
    found = report(middle, Portal(pages=[[raw(6, "b"), half, raw(8, "b")]]))["crm"]
    assert (found["error"], found["unreadable"]) == (None, 1)
    assert looked_at(middle) == ["deal/7"]
    assert [middle.fields(f"crm/deal/{one}")["comment"] for one in (6, 8)] == ["b", "b"]


def test_one_record_that_cannot_be_read_hides_no_other(middle: Middle) -> None:
    found = report(middle, Portal(pages=[[raw(7, "a", updatedTime="soon"), raw(8, "b")]]))["crm"]
    assert found["records"] == 1
    assert middle.fields("crm/deal/8")["comment"] == "b"


def test_two_runs_at_once_are_one(middle: Middle, database_url: str) -> None:
    with built(database_url) as other:
        inner: list[object] = []

        class Nested(Portal):
            def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
                inner.append(reconcile(other, Portal()).run())
                return super().changed(record_type, since)

        assert reconcile(middle, Nested()).run() is not None
    assert inner == [None]
    assert reconcile(middle, Portal()).run() is not None


def test_what_a_dead_letter_speaks_of_is_drift_that_waits_for_a_person(middle: Middle) -> None:
    portal = Portal(pages=[[raw(7, "a", stageId="UC_STRANGE")]])
    report(middle, portal)
    edited = Portal(pages=[[raw(7, "b", stageId="UC_STRANGE")]])
    middle.rows("UPDATE event SET state = 'dead' WHERE subject = 'deal/7'")
    assert report(middle, edited)["crm"]["waiting"] == 1
    assert "waits for a person" in {row["healing"] for row in middle.rows("SELECT healing FROM drift")}


def test_a_direction_that_is_off_is_not_asked(database_url: str) -> None:
    with built(database_url, config(crm={"routes": {"order": {"in": "off", "out": "full"}}})) as middle:
        portal = Portal(pages=[[raw(7, "a")]])
        report(middle, portal)
        assert portal.asked == []


def test_sums_and_statuses_are_counted(middle: Middle) -> None:
    some = [raw(7, "a", opportunity=100, currencyId="RUB"), raw(8, "b", opportunity=50, currencyId="RUB")]
    found = report(middle, Portal(pages=[some]))["crm"]
    assert (found["sum"], found["statuses"]) == ("150.00", {"new": 2})


class Books(Portal):
    """A base that tells of nothing by itself."""

    def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
        del since
        yield from self.pages if record_type == "order" else []


@pytest.fixture
def books(database_url: str) -> Iterator[Middle]:
    base = {"kind": "onec", "url": "http://127.0.0.1:9/base/odata/standard.odata/", "user": "bus", "password": "secret"}
    with built(database_url, config(onec=base)) as made:
        yield made


def test_what_cannot_be_read_of_a_base_that_tells_nobody_is_looked_at_by_its_lane_and_hides_nothing(
    books: Middle,
) -> None:
    base = Books("onec", "onec", pages=[[RawRecord("order", "a", {}), RawRecord("order", "b", {"Ref_Key": ["b"]})]])
    for _ in range(2):
        assert reconcile(books, base).poll() == 0
    looked_at = books.rows("SELECT subject FROM event WHERE state = 'notified' ORDER BY subject")
    assert [row["subject"] for row in looked_at] == ["order/a", "order/b"]


def test_polls_that_fail_are_told_of_until_one_ends_well(books: Middle) -> None:
    class Refusing(Books):
        def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
            del since
            raise Permanent(f"the login may not read {record_type}", cause="test")

    def failing() -> dict[str, Any] | None:
        with books.ledger.transaction() as connection:
            row = failing_poll(connection)
        return row and row["report"]["errors"]

    assert failing() is None
    for base, errors in (
        *[(Refusing("onec", "onec", pages=[]), {"onec": "the login may not read order"})] * 2,
        (Books("onec", "onec", pages=[]), None),
    ):
        reconcile(books, base).poll()
        assert failing() == errors
    kept = books.rows("SELECT what, finished_at > started_at - interval '1 day' AS ended FROM run")
    assert kept == [{"what": "poll", "ended": True}]


def test_a_record_of_a_shape_that_nobody_foresaw_hides_no_other(middle: Middle) -> None:
    odd = RawRecord("deal", "1", {"item": {"id": 1, "updatedTime": 7}, "rows": 5, "contact": None, "order_ids": []})
    broken = RawRecord("deal", "3", None)  # type: ignore[arg-type]
    assert report(middle, Portal(pages=[[odd, broken, raw(2, "b")]]))["crm"]["records"] == 1
    assert middle.fields("crm/deal/2")["comment"] == "b"


def unreadable(number: int) -> RawRecord:
    return raw(number, "a", updatedTime="soon")


def looked_at(middle: Middle) -> list[str]:
    return [row["subject"] for row in middle.rows("SELECT subject FROM event WHERE state = 'notified' ORDER BY seq")]


def buried(middle: Middle, reason: str) -> int:
    """The lane looked at what waits, and could not read it either; the letter's id."""
    (row,) = middle.rows("SELECT seq, source FROM event WHERE state = 'notified'")
    with middle.ledger.transaction() as connection:
        journal.finish(connection, [Ending(row["seq"], Outcome.DEAD, None, reason)])
        letters.write(connection, [Letter(row["source"], "BadInput", "BadInput", reason, row["seq"])])
    return int(middle.letters()[-1]["id"])


WHY = "item.updatedTime: Input should be a valid datetime or date, input is too short"


@pytest.mark.parametrize("full", [False, True])
def test_what_cannot_be_read_is_looked_at_by_its_lane_and_counted_and_hides_nothing(middle: Middle, full: bool) -> None:
    found = report(middle, Portal(pages=[[unreadable(7), raw(8, "b")]]), full=full)["crm"]
    assert (found["records"], found["unreadable"]) == (1, 1)
    assert looked_at(middle) == ["deal/7"]


def test_what_a_letter_tells_of_already_is_not_looked_at_each_night(middle: Middle) -> None:
    portal = Portal(pages=[[unreadable(7)]])
    report(middle, portal)
    letter = buried(middle, WHY)
    assert report(middle, portal, full=True)["crm"]["unreadable"] == 1
    assert looked_at(middle) == []
    middle.wiring.dead_letters.discard([letter], "op", "a test order")
    report(middle, portal, full=True)
    assert looked_at(middle) == []


def restored_then(middle: Middle) -> None:
    """The ledger was restored, and late calls of the lost one have long ended."""
    with middle.ledger.transaction() as connection:
        restored.mark(connection, datetime.now(UTC) - timedelta(days=1))
    middle.rows(
        """UPDATE run SET report = report || '{"noticed_at": "2020-01-01T00:00:00+00:00"}' WHERE what = 'restore'"""
    )


def held(middle: Middle) -> bool:
    with middle.ledger.transaction() as connection:
        return restored.since(connection) is not None


def test_a_restored_ledger_is_held_while_a_record_cannot_be_read_and_no_longer(middle: Middle) -> None:
    restored_then(middle)
    with capture_logs() as logs:
        report(middle, Portal(pages=[[unreadable(7), raw(8, "b")]]))
    assert held(middle)
    (told,) = [line for line in logs if line["event"] == "reconcile.not_healed"]
    assert (told["systems"], told["unreadable"]) == ([], 1)
    report(middle, Portal(pages=[[raw(7, "a"), raw(8, "b")]]))
    assert not held(middle)


def test_a_record_whose_letter_a_person_discarded_holds_no_restored_ledger(middle: Middle) -> None:
    restored_then(middle)
    portal = Portal(pages=[[unreadable(7)]])
    report(middle, portal)
    letter = buried(middle, WHY)
    report(middle, portal)
    assert held(middle)
    middle.wiring.dead_letters.discard([letter], "op", "a test order")
    found = report(middle, portal)["crm"]
    assert (found["unreadable"], found["waived"], held(middle)) == (1, 1, False)


def test_a_letter_that_was_discarded_is_silent_of_its_own_trouble_only(middle: Middle) -> None:
    portal = Portal(pages=[[unreadable(7)]])
    report(middle, portal)
    middle.wiring.dead_letters.discard([buried(middle, "updatedTime: no time")], "op", "a test order")
    report(middle, portal)
    assert looked_at(middle) == ["deal/7"]


def test_what_an_event_still_waits_for_hides_no_trouble_that_came_later(middle: Middle) -> None:
    report(middle, Portal(pages=[[raw(7, "a")]]))
    middle.rows("UPDATE event SET state = 'dead' WHERE subject = 'deal/7'")
    report(middle, Portal(pages=[[unreadable(7)]]))
    assert looked_at(middle) == ["deal/7"]


@pytest.mark.parametrize("ask", [Reconcile.run, Reconcile.poll])
def test_who_finds_another_at_it_says_so_and_who_that_is(
    middle: Middle, database_url: str, ask: Callable[[Reconcile], object]
) -> None:
    with psycopg.connect(database_url, autocommit=True, application_name="stray") as other, capture_logs() as logs:
        other.execute("SELECT pg_advisory_lock(%s)", [0x1B06 if ask is Reconcile.run else 0x1B07])
        assert ask(reconcile(middle, Portal())) is None
        (said,) = [line for line in logs if line["event"] == "reconcile.skipped"]
        assert (said["log_level"], said["by"], said["pid"]) == ("info", "stray", other.info.backend_pid)
