import pytest


def add(crm, kind=2, **fields):
    return crm.result("crm.item.add", {"entityTypeId": kind, "fields": fields})["item"]


def update(crm, item, **fields):
    return crm.result("crm.item.update", {"entityTypeId": 2, "id": item["id"], "fields": fields})["item"]


def test_values_are_typed_and_unknown_fields_ignored(crm):
    item = add(crm, title="A", opportunity="999.9", nope=1, opened=True, contactIds=["3", "4"], ufCrmPaidTotal="12.5")
    assert item["opportunity"] == 999.9
    assert (item["opened"], item["contactIds"], item["contactId"], item["ufCrmPaidTotal"]) == ("Y", [3, 4], 3, 12.5)
    assert item["entityTypeId"] == 2
    assert "nope" not in item


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 7, 31])
def test_every_type_lives_and_dies(crm, kind):
    item = add(crm, kind, originId="shop:1")
    listed = crm.result("crm.item.list", {"entityTypeId": kind, "filter": {"originId": "shop:1"}})["items"]
    assert listed[0] == item
    assert crm.result("crm.item.fields", {"entityTypeId": kind})["fields"]["originId"]["type"] == "string"
    assert crm.result("crm.item.delete", {"entityTypeId": kind, "id": item["id"]}) == []
    assert crm.rest("crm.item.get", {"entityTypeId": kind, "id": item["id"]}).json()["error"] == "NOT_FOUND"


def test_custom_fields_have_two_names_and_one_at_a_time(crm):
    item = add(crm, ufCrmOrderId="77", UF_CRM_PAYMENT_STATUS="ignored without the flag")
    original = crm.result("crm.item.get", {"entityTypeId": 2, "id": item["id"], "useOriginalUfNames": "Y"})["item"]
    assert (item["ufCrmOrderId"], original["UF_CRM_ORDER_ID"]) == ("77", "77")
    assert "ufCrmOrderId" not in original
    assert original["UF_CRM_PAYMENT_STATUS"] is None
    found = {"entityTypeId": 2, "useOriginalUfNames": "Y", "filter": {"=UF_CRM_ORDER_ID": "77"}, "select": ["id"]}
    assert crm.result("crm.item.list", found)["items"] == [{"id": item["id"]}]


def test_an_administrator_can_add_fields_and_stages(crm):
    spec = {"fields": {"UF_CRM_2_15": "double"}, "stages": [{"id": "UC_PACK", "name": "Packing"}]}
    assert "UC_PACK" in crm.control("POST", "settings", spec)["stages"]["DEAL_STAGE"]
    item = add(crm, stageId="UC_PACK", ufCrm2_15="3")
    assert (item["stageId"], item["ufCrm2_15"]) == ("UC_PACK", 3)


def test_an_unknown_or_foreign_stage_is_ignored_silently(crm):
    item = add(crm)
    assert update(crm, item, stageId="C1:WON")["stageId"] == "NEW"
    assert update(crm, item, stageId="NOPE", title="B")["title"] == "B"
    assert crm.result("crm.deal.update", {"id": item["id"], "fields": {"STAGE_ID": "NOPE"}}) is True
    assert crm.result("crm.deal.get", {"id": item["id"]})["STAGE_ID"] == "NEW"


def test_a_final_stage_closes_the_deal(crm):
    item = update(crm, add(crm), stageId="LOSE")
    assert (item["stageSemanticId"], item["closed"]) == ("F", "Y")
    assert "previousStageId" not in item, "only items of dynamic types bear that"


def test_times_have_whole_seconds_and_an_offset_and_tell_who(crm, clock):
    item = crm.act("create_deal")
    clock.now += 10.7
    fresh = update(crm, item, stageId="WON")
    assert (fresh["createdTime"], fresh["updatedTime"]) == ("2023-11-15T01:13:20+03:00", "2023-11-15T01:13:30+03:00")
    assert (fresh["createdBy"], fresh["updatedBy"], fresh["movedBy"]) == (7, 1, 1)


def test_a_write_without_a_change_is_no_save(crm, clock):
    item = add(crm, title="A", opportunity=10)
    clock.now += 60
    assert update(crm, item, title="A", opportunity="10.00", originId="", stageId="NEW") == item
    crm.result("crm.deal.update", {"id": item["id"], "fields": {"TITLE": "A", "OPPORTUNITY": 10}})
    assert crm.result("crm.item.get", {"entityTypeId": 2, "id": item["id"]})["item"] == item


def test_another_funnel_needs_crm_item_update(crm):
    item = add(crm)
    crm.result("crm.deal.update", {"id": item["id"], "fields": {"CATEGORY_ID": 1, "STAGE_ID": "C1:WON"}})
    assert crm.result("crm.deal.get", {"id": item["id"]})["CATEGORY_ID"] == "0"
    moved = update(crm, item, categoryId=1)
    assert (moved["categoryId"], moved["stageId"]) == (1, "C1:NEW")
    assert update(crm, item, categoryId=0, stageId="WON")["stageId"] == "WON"


def test_lead_id_is_dropped_by_the_old_method_only(crm):
    old = crm.result("crm.deal.add", {"fields": {"TITLE": "A", "LEAD_ID": 5}})
    assert crm.result("crm.deal.get", {"id": old})["LEAD_ID"] is None
    assert add(crm, leadId=5)["leadId"] == 5


def test_lists_filter_order_select_and_page(crm):
    crm.control("POST", "act", {"acts": [{"do": "create_deal", "fields": {"opportunity": n % 2}} for n in range(120)]})
    odd = {"entityTypeId": 2, "filter": {"opportunity": 1}, "order": {"id": "DESC"}, "select": ["id"]}
    answer = crm.rest("crm.item.list", odd).json()
    assert (answer["total"], answer["next"], answer["result"]["items"][0]) == (60, 50, {"id": 1120})
    last = crm.rest("crm.item.list", {**odd, "start": 50}).json()
    assert (len(last["result"]["items"]), "next" in last) == (10, False)
    fast = crm.rest("crm.deal.list", {"filter": {">ID": 1100}, "order": {"ID": "ASC"}, "start": -1}).json()
    assert ("total" in fast, "next" in fast, len(fast["result"])) == (False, False, 20)


def test_changes_are_polled_by_time(crm, clock):
    item = add(crm)
    add(crm)
    clock.now += 5
    fresh = update(crm, item, title="B")
    asked = {
        "entityTypeId": 2,
        "filter": {">=updatedTime": fresh["updatedTime"]},
        "order": {"updatedTime": "ASC", "id": "ASC"},
    }
    assert [row["id"] for row in crm.result("crm.item.list", asked)["items"]] == [item["id"]]
    utc = {"filter": {">=DATE_MODIFY": "2023-11-14T22:13:25+00:00"}, "select": ["ID"]}
    assert crm.result("crm.deal.list", utc) == [{"ID": str(item["id"])}]


def test_either_of_two_conditions(crm):
    one, two, _ = add(crm, title="1"), add(crm, originId="x"), add(crm)
    asked = {"entityTypeId": 2, "filter": {"logic": "OR", "0": {"title": "1"}, "1": {"originId": "x"}}}
    assert [row["id"] for row in crm.result("crm.item.list", asked)["items"]] == [one["id"], two["id"]]
