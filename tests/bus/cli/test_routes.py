import pytest

from bus.cli.routes import way
from bus.config import from_document

URL = "http://127.0.0.1:9/rest/1/code/"


@pytest.mark.parametrize(
    ("crm", "shop", "expected"),
    [
        ({"in": "full", "out": "full"}, {"in": "full", "out": "full"}, "two ways"),
        (
            {"in": "full", "out": "full"},
            {"in": "full", "out": "update-only"},
            "two ways; crm to shop creation off",
        ),
        ({"out": "full"}, {"in": "full"}, "one way, shop to crm"),
        ({"out": "update-only"}, {"in": "full"}, "one way, shop to crm; shop to crm creation off"),
        ({"out": "update-only"}, {"in": "create-only"}, "off"),
        ({"in": "full"}, {"in": "full"}, "off"),
    ],
)
def test_each_pair_of_modes_is_one_of_four_ways(crm: dict, shop: dict, expected: str) -> None:
    systems = {
        "crm": {"kind": "bitrix24", "url": URL, "application_token": "t", "routes": {"order": crm}},
        "shop": {"kind": "bitrix_cms", "url": URL, "routes": {"order": shop}},
    }
    assert way(from_document({"systems": systems}, {}), "order", "crm", "shop") == expected
