"""A process dies where the random histories have no part to play, and the next one brings its work to its end, once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bus import points
from tests.bus.exchanging import Bus, exchanging, file_of, returned
from tests.bus.ledger.middle import built, config, order, rub
from tests.bus.systems.statements import INN, OURS, document, raw
from tests.bus.test_watched_folder import Clock, watched
from tests.prove.machine import DEATHS
from tests.stories.test_asking import RULES, TASKS, conflicts, tasks
from tests.stories.test_exchange import STATUSES, Company, told_once
from tests.stories.world import build

IMPORTING = ("import.translated", "import.journaled")
TELLING = "offer.told"
AGREEING = "offer.agreed"
ASKING = "task.added"
TAKING = "statement.taken"


@contextmanager
def dying(point: str) -> Iterator[None]:
    """Within, the process dies at this point; that it comes there is part of the test."""

    def die(name: str) -> None:
        if name == point:
            points.disarm()
            raise points.Killed(name)

    points.arm(die)
    try:
        with pytest.raises(points.Killed, match=point):
            yield
    finally:
        points.disarm()


@pytest.fixture
def bus(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Bus]:
    (tmp_path / "tables.yaml").write_text(STATUSES, encoding="utf-8")
    said: dict[str, Any] = {"settings": {"profile": "unf", "updates": "yes"}, "mappings": str(tmp_path)}
    with exchanging(database_url, broker_url, limits={"exchange_quiet_s": 1}, **said) as made:
        yield made


def test_every_crash_point_that_no_history_arms_is_armed_here() -> None:
    assert points.POINTS.keys() - {*DEATHS} == {*IMPORTING, TELLING, AGREEING, ASKING, TAKING}


@pytest.mark.parametrize("point", IMPORTING)
def test_a_file_whose_importer_died_is_imported_by_the_next_and_each_order_is_there_once(bus: Bus, point: str) -> None:
    onec = bus.onec()
    onec.begin()
    onec.init()
    onec.send("orders.xml", file_of(returned("1001"), returned("1002")))
    onec.ask("sale", "import", filename="orders.xml")
    with dying(point):
        bus.wiring.importing.run()
    bus.bells.published.clear()
    bus.rows("UPDATE exchange_file SET lease_until = now() - interval '1 second'")
    bus.imported()
    (file,) = bus.files()
    assert (file["state"], file["report"]["attempts"], file["report"]["documents"]) == ("done", 2, 2)
    assert [bus.outcome(f"order/{number}") for number in ("1001", "1002")] == [["APPLIED"], ["APPLIED"]]
    assert bus.letters() == []


def test_an_order_whose_offer_died_before_it_was_answered_is_told_to_1c_once(bus: Bus) -> None:
    company = Company(bus, "unf")
    company.sell("1001")
    with dying(TELLING):
        bus.wiring.offering.offer("onec", "unf", uuid4())
    assert company.run().created == ["1001"]
    told_once(company, ["1001"])


def test_an_order_that_1c_has_is_not_made_there_again_when_what_agreed_on_it_died(bus: Bus) -> None:
    company = Company(bus, "unf")
    company.sell("1001")
    assert company.run("no_success").created == ["1001"]
    (held,) = bus.rows("SELECT lease FROM delivery WHERE system = 'onec' AND lease IS NOT NULL")
    with dying(AGREEING):
        bus.wiring.offering.acknowledge("onec", "unf", held["lease"])
    assert bus.due() >= {"onec"}
    assert company.run().created == []
    told_once(company, ["1001"])


@pytest.mark.parametrize("rest3", ["full", "no_keys", "off"])
def test_a_task_that_was_made_and_not_noted_is_found_and_not_made_again(
    database_url: str, broker_url: str, tmp_path: Path, rest3: str
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    with build(database_url, broker_url, top={"mappings": str(tmp_path), "tasks": TASKS}) as world:
        world.portal.settings({"rest3": rest3})
        shop_order = world.order()
        world.settle()
        deal = world.deal_of(shop_order)["id"]
        world.shop.act({"do": "edit_order", "id": shop_order, "fields": {"comments": "из магазина"}})
        world.portal.act({"do": "edit_deal", "id": deal, "fields": {"COMMENTS": "от менеджера"}})
        world.settle()
        with dying(ASKING):
            world.wiring.asking.ask()
        world.rows("UPDATE conflict SET task_since = now() - interval '1 hour' RETURNING id")
        assert world.wiring.asking.ask()["tasks_made"] == 1
        (task,), (conflict,) = tasks(world), conflicts(world)
        assert (conflict["task_state"], conflict["task_id"]) == ("there", str(task["id"]))


def test_a_statement_that_was_published_and_not_put_away_is_put_away_by_the_next(
    database_url: str, tmp_path: Path
) -> None:
    bank = {"kind": "bank", "accounts": [OURS], "folder": str(tmp_path)}
    (tmp_path / ".taken-day.txt").write_bytes(raw(document()))
    with built(database_url, config(bank=bank)) as middle:
        middle.take(order(1, number="1001", total=rub(100), customer={"inn": INN}))
        with dying(TAKING):
            watched(middle, Clock()).sweep()
        middle.bells.published.clear()
        assert (tmp_path / ".taken-day.txt").exists()
        assert watched(middle, Clock()).sweep() == {"done": 1, "bad": 0}
        middle.rows("UPDATE event SET due_at = now() - interval '1 hour' WHERE state = 'pending'")
        middle.wiring.publisher.republish(older_s=60)
        middle.heard()
        assert [row["outcome"] for row in middle.rows("SELECT outcome FROM event WHERE source = 'bank'")] == ["APPLIED"]
        assert middle.fields("shop/order/1")["payment_status"] == "paid"
