"""A held request: its caller is hung up on, and what it makes is made when it arrives."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from bus.sandbox.server import rest_url
from tests.prove.house import House
from tests.prove.network import Network, odata_creates, rest_creates


@pytest.fixture
def network(house: House) -> Network:
    house.begin()
    return house.networks["crm"]


def call(house: House, method: str, **params: object) -> int:
    """Call the portal as the bus does; the status of its answer. Raises RemoteDisconnected where it hangs up."""
    parts = urlsplit(rest_url(house.networks["crm"].url, house.portal))
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        said = json.dumps(params).encode()
        connection.request("POST", f"{parts.path}{method}", body=said, headers={"content-type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def titles(house: House) -> list[str]:
    return [row["title"] for row in house.portal.state({"of": "deals"})["deals"]]


def test_a_held_creation_has_no_answer_and_arrives_once_when_its_time_has_come(house: House, network: Network) -> None:
    network.delay(30.0)
    with pytest.raises(http.client.RemoteDisconnected):
        call(house, "crm.item.add", entityTypeId=2, fields={"title": "late"})
    assert (network.idle, titles(house)) == (True, [])
    house.let_pass(29.0)
    assert titles(house) == []
    house.let_pass(1.0)
    house.let_pass(1000.0)
    assert titles(house) == ["late"]


def test_what_creates_nothing_passes_and_the_next_creation_after_a_held_one(house: House, network: Network) -> None:
    network.delay(30.0)
    assert call(house, "crm.item.list", entityTypeId=2) == 200
    assert not network.idle
    with pytest.raises(http.client.RemoteDisconnected):
        call(house, "crm.item.add", entityTypeId=2, fields={"title": "first"})
    assert call(house, "crm.item.add", entityTypeId=2, fields={"title": "second"}) == 200
    house.let_pass(30.0)
    assert titles(house) == ["second", "first"]


def test_a_held_request_that_meets_a_fault_on_its_way_is_lost(house: House, network: Network) -> None:
    network.delay(1.0)
    with pytest.raises(http.client.RemoteDisconnected):
        call(house, "crm.item.add", entityTypeId=2, fields={"title": "lost"})
    house.portal.faults.add({"kind": "drop_before", "count": 1})
    house.let_pass(1.0)
    house.let_pass(1.0)
    assert titles(house) == []


@pytest.mark.parametrize(
    ("verb", "path", "body", "creates"),
    [
        ("POST", "/rest/1/sandbox/crm.item.add", "", True),
        ("POST", "/rest/1/sandbox/batch", '{"cmd": {"a": "crm.item.add?entityTypeId=2"}}', True),
        ("POST", "/rest/1/sandbox/crm.item.update", "", False),
    ],
)
def test_a_creation_is_known_alone_and_in_a_batch(verb: str, path: str, body: str, creates: bool) -> None:
    assert rest_creates("crm.item.add")(verb, path, body) is creates


@pytest.mark.parametrize(
    ("verb", "path", "creates"),
    [
        ("POST", "/base/odata/standard.odata/Document_Заказ", True),
        ("POST", "/base/odata/standard.odata/Catalog_Контрагенты", True),
        ("POST", "/base/odata/standard.odata/Document_Заказ(guid'1')/Post", False),
        ("POST", "/base/odata/standard.odata/SelectChanges", False),
        ("PATCH", "/base/odata/standard.odata/Document_Заказ(guid'1')", False),
        ("GET", "/base/odata/standard.odata/Document_Заказ", False),
    ],
)
def test_a_creation_in_the_books_is_a_post_to_a_set(verb: str, path: str, creates: bool) -> None:
    assert odata_creates(verb, path, "") is creates
