"""The story of a deal's stages: crm.stagehistory.list."""

PAGE = 50


def moves(crm, deal, **asked):
    params = {"entityTypeId": 2, "order": {"ID": "ASC"}, "filter": {"OWNER_ID": deal}, **asked}
    return crm.result("crm.stagehistory.list", params)["items"]


def test_each_stage_is_told_with_its_time_and_kind_and_without_who_set_it(crm, clock):
    deal = crm.act("create_deal")["id"]
    clock.now += 60
    crm.act("edit_deal", id=deal, fields={"stageId": "EXECUTING"})
    crm.act("edit_deal", id=deal, fields={"comments": "no move"})
    crm.result("crm.item.update", {"entityTypeId": 2, "id": deal, "fields": {"stageId": "WON"}})
    told = moves(crm, deal)
    assert [(row["TYPE_ID"], row["STAGE_ID"], row["STAGE_SEMANTIC_ID"]) for row in told] == [
        (1, "NEW", "P"),
        (2, "EXECUTING", "P"),
        (3, "WON", "S"),
    ]
    assert [row["CREATED_TIME"] for row in told] == ["2023-11-15T01:13:20+03:00", *["2023-11-15T01:14:20+03:00"] * 2]
    assert told[0].keys() == {
        "ID",
        "TYPE_ID",
        "OWNER_ID",
        "CREATED_TIME",
        "CATEGORY_ID",
        "STAGE_ID",
        "STAGE_SEMANTIC_ID",
    }


def test_another_funnel_is_a_move_of_its_own_kind(crm):
    deal = crm.act("create_deal")["id"]
    crm.result("crm.item.update", {"entityTypeId": 2, "id": deal, "fields": {"categoryId": 1, "stageId": "C1:NEW"}})
    last = moves(crm, deal, order={"ID": "DESC"})[0]
    assert (last["TYPE_ID"], last["CATEGORY_ID"], last["STAGE_ID"]) == (5, 1, "C1:NEW")


def test_it_is_asked_by_page_and_of_several_deals_at_once(crm):
    deals = [crm.act("create_deal")["id"] for _ in range(2)]
    for turn in range(PAGE):
        crm.act("edit_deal", id=deals[0], fields={"stageId": "NEW" if turn % 2 else "EXECUTING"})
    both = {"entityTypeId": 2, "filter": {"OWNER_ID": deals}}
    answer = crm.rest("crm.stagehistory.list", both).json()
    assert (len(answer["result"]["items"]), answer["total"], answer["next"]) == (PAGE, PAGE + 2, PAGE)
    assert len(moves(crm, deals[0], start=PAGE)) == 1
    assert moves(crm, deals[1], select=["STAGE_ID"]) == [{"STAGE_ID": "NEW"}]


def test_the_story_goes_with_the_deal(crm):
    deal = crm.act("create_deal")["id"]
    crm.act("delete_deal", id=deal)
    assert moves(crm, deal) == []


def test_contacts_have_no_stages(crm):
    assert crm.rest("crm.stagehistory.list", {"entityTypeId": 3}).json()["error"] == "ENTITY_TYPE_NOT_SUPPORTED"
