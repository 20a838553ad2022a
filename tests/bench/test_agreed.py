"""The company that benches begin with: is it what the bus itself would have come to?"""

from datetime import UTC, datetime, timedelta

import pytest

from bus import translate
from bus.ports import RawRecord
from tests.bench.agreed import Company
from tests.bench.house import CRM, SHOP, House, Portal


@pytest.fixture(scope="module")
def house():
    with House(Portal(per_second=100, burst=100)) as built:
        yield built


@pytest.fixture(scope="module")
def company(house):
    return Company(house, 3)


def test_nothing_is_due(house, company):
    assert house.wiring.pipeline.look_over() == 0
    assert {order.deal_id for order in company.orders} == {
        row["id"] for row in house.crm.get("state", of="deals", fields="id")["deals"]
    }


def test_reading_a_deal_tells_nothing_new(house, company):
    """The base in the ledger is what the real adapter and translator make of the deal."""
    ids = [str(order.deal_id) for order in company.orders]
    raws = house.wiring.adapters[CRM].fetch("deal", ids)
    entries = [
        translate.entry_of(CRM, "bitrix24", RawRecord("deal", one, raws[one]), house.wiring.mappings) for one in ids
    ]
    house.wiring.publisher.accept(entries)
    outcomes = house.wiring.pipeline.process([entry.event for entry in entries])
    assert set(+outcomes) <= {"ECHO", "UNCHANGED"}


def test_what_the_shop_tells_again_is_unchanged(house, company):
    """But of the first order, which another test changes."""
    entries = [company.told(order) for order in company.orders[1:]]
    house.wiring.publisher.accept(entries)
    outcomes = house.wiring.pipeline.process([entry.event for entry in entries])
    assert dict(+outcomes) == {"UNCHANGED": 2}


def test_a_status_that_the_shop_changes_is_written_to_the_deal(house, company):
    order = company.orders[0]
    entries = [*company.moved("A", [order]), *company.paid(order)]
    house.wiring.publisher.accept(entries)
    house.wiring.pipeline.process([entry.event for entry in entries])
    turn = datetime.now(UTC) + timedelta(seconds=10)
    for urgent in (True, False):
        house.wiring.lane(CRM, urgent).drain(until=turn)
    deal = house.crm.get("state", ids=order.deal_id)["deals"][0]
    assert (deal["stageId"], deal["UF_CRM_PAID_TOTAL"]) == ("EXECUTING", order.total)
    assert house.rows("SELECT count(*) AS some FROM event WHERE state = 'dead'")[0]["some"] == 0
    assert {row["source"] for row in house.rows("SELECT source FROM event")} <= {CRM, SHOP}
