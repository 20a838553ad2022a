import pytest


@pytest.fixture
def deal(crm):
    return crm.act("create_deal", fields={"opportunity": 7})["id"]


def rows(*prices):
    return [{"productName": f"p{price}", "price": price, "quantity": 2} for price in prices]


def sum_of(crm, deal):
    return crm.result("crm.item.get", {"entityTypeId": 2, "id": deal})["item"]["opportunity"]


def put(crm, deal, said):
    return crm.result("crm.item.productrow.set", {"ownerType": "D", "ownerId": deal, "productRows": said})[
        "productRows"
    ]


def test_set_replaces_all_rows_and_recomputes_the_sum(crm, deal):
    first = put(crm, deal, rows(10, 20))
    assert sum_of(crm, deal) == 60
    second = put(crm, deal, [{**first[1], "quantity": 1}, *rows(5)])
    assert [row["id"] == first[1]["id"] for row in second] == [True, False]
    assert sum_of(crm, deal) == 30
    asked = {"filter": {"=ownerType": "D", "=ownerId": deal}}
    assert crm.result("crm.item.productrow.list", asked)["productRows"] == second


def test_a_manual_sum_stays(crm, deal):
    put(crm, deal, rows(10))
    crm.result("crm.deal.update", {"id": deal, "fields": {"OPPORTUNITY": 99}})
    assert sum_of(crm, deal) == 20, "while it is not manual it follows the rows"
    crm.result("crm.deal.update", {"id": deal, "fields": {"OPPORTUNITY": 99, "IS_MANUAL_OPPORTUNITY": "Y"}})
    put(crm, deal, rows(50))
    assert sum_of(crm, deal) == 99


def test_one_bad_row_leaves_all_as_it_was(crm, deal):
    put(crm, deal, rows(10))
    bad = {"ownerType": "D", "ownerId": deal, "productRows": [*rows(1), {"price": 5}]}
    assert crm.rest("crm.item.productrow.set", bad).json()["error"] == "INVALID_ARG_VALUE"
    assert sum_of(crm, deal) == 20
    absent = {"ownerType": "D", "ownerId": 9, "productRows": []}
    assert crm.rest("crm.item.productrow.set", absent).json()["error"] == "OWNER_NOT_FOUND"


def test_the_old_methods_and_one_more_row(crm, deal):
    said = {"id": deal, "rows": [{"PRODUCT_NAME": "x", "PRICE": 3, "QUANTITY": 2}]}
    assert crm.result("crm.deal.productrows.set", said) is True
    crm.result(
        "crm.item.productrow.add", {"fields": {"ownerType": "D", "ownerId": deal, "productName": "y", "price": 1}}
    )
    old = crm.result("crm.deal.productrows.get", {"id": deal})
    assert [(row["PRODUCT_NAME"], row["PRICE"], row["OWNER_ID"]) for row in old] == [
        ("x", 3, str(deal)),
        ("y", 1, str(deal)),
    ]
    assert sum_of(crm, deal) == 7


def test_tax_on_top_counts(crm, deal):
    put(crm, deal, [{"productName": "x", "price": 100, "taxRate": 20, "taxIncluded": "N"}])
    assert sum_of(crm, deal) == 120
