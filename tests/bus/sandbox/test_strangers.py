"""Other people's clients take the stand-in for the real thing."""

import warnings

import pytest


@pytest.fixture
def bitrix(crm):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fast_bitrix24 import Bitrix

        yield Bitrix(f"{crm.base}/rest/1/sandbox/", verbose=False)


@pytest.mark.filterwarnings("ignore")
def test_fast_bitrix24_reads_all_and_updates_two_hundred(crm, bitrix):
    crm.control("POST", "act", {"acts": [{"do": "create_deal"}] * 230})
    deals = bitrix.get_all("crm.deal.list", params={"select": ["ID", "TITLE"]})
    assert {int(deal["ID"]) for deal in deals} == set(range(1001, 1231))
    updates = [{"ID": deal["ID"], "fields": {"TITLE": f"new {deal['ID']}"}} for deal in deals[:200]]
    assert list(bitrix.call("crm.deal.update", updates)) == [True] * 200
    changed = updates[0]["ID"]
    assert f"new {changed}" in str(bitrix.get_by_ID("crm.deal.get", [changed]))
    state = crm.control("GET", "state?fields=title")["deals"]
    assert sum(row["title"].startswith("new ") for row in state) == 200
