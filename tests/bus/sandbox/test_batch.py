from bus.sandbox import batch


def test_references_follow_a_path_and_become_empty_when_it_ends_nowhere():
    results = {"add": 410, "list": [{"ID": "7"}], "item": {"item": {"id": 9, "title": "a]b"}}}
    assert batch.substitute("$result[add]", results) == "410"
    assert batch.substitute("x$result[list][0][ID]y$result[item][item][id]", results) == "x7y9"
    assert batch.substitute("$result[list][5][ID]$result[gone]", results) == ""


def test_errors_stand_beside_results_at_200(crm):
    deal = crm.result("crm.deal.add", {"fields": {"TITLE": "A"}})
    body = crm.batch(a=f"crm.deal.get?id={deal}", b="crm.deal.get?id=999999", c="crm.nothing")
    assert body["result"]["a"]["TITLE"] == "A"
    assert body["result_error"]["b"] == {"error": "", "error_description": "Not found"}
    assert body["result_error"]["c"]["error"] == "ERROR_METHOD_NOT_FOUND"
    assert set(body["result_time"]) == {"a"}
    assert body["result_total"] == []
    assert body["result_next"] == []


def test_one_hit_creates_and_links(crm):
    body = crm.batch(
        contact="crm.item.add?entityTypeId=3&fields[name]=Ann",
        deal="crm.item.add?entityTypeId=2&fields[title]=A&fields[contactId]=$result[contact][item][id]",
        rows="crm.item.productrow.set?ownerType=D&ownerId=$result[deal][item][id]"
        "&productRows[0][productName]=x&productRows[0][price]=5&productRows[0][quantity]=3",
        read="crm.deal.get?id=$result[deal][item][id]",
    )
    assert body["result_error"] == []
    assert body["result"]["read"]["CONTACT_ID"] == str(body["result"]["contact"]["item"]["id"])
    assert body["result"]["read"]["OPPORTUNITY"] == "15.00"


def test_numeric_keys_from_zero_make_lists_and_lose_the_key(crm):
    body = crm.result("batch", {"cmd": ["crm.deal.get?id=1", "crm.deal.get?id=2", "server.time"]})
    assert isinstance(body["result_error"], list)
    assert len(body["result_error"]) == 2
    assert list(body["result"]) == ["2"]


def test_halt_stops_after_the_first_error(crm):
    body = crm.batch(1, a="server.time", b="crm.deal.get?id=1", c="server.time")
    assert (list(body["result"]), list(body["result_error"])) == (["a"], ["b"])


def test_more_than_fifty_commands_are_refused_one_by_one(crm):
    body = crm.batch(**{f"c{number:02d}": "server.time" for number in range(52)})
    assert len(body["result"]) == 50
    assert {error["error"] for error in body["result_error"].values()} == {"ERROR_BATCH_LENGTH_EXCEEDED"}


def test_nested_batches_are_refused_and_what_is_no_string_is_skipped(crm):
    body = crm.result("batch", {"cmd": {"a": "batch?cmd[x]=profile", "b": {"method": "profile"}, "c": None}})
    assert body["result_error"]["a"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"
    assert body["result"] == []


def test_a_batch_in_a_form_is_encoded_twice(crm):
    body = crm.rest("batch", data={"cmd[a]": "crm.deal.add?fields[TITLE]=A%26B"}).json()["result"]
    assert crm.result("crm.deal.get", {"id": body["result"]["a"]})["TITLE"] == "A&B"


def test_pages_in_a_batch_have_their_totals(crm):
    crm.control("POST", "act", {"acts": [{"do": "create_deal"}] * 60})
    body = crm.batch(a="crm.deal.list?start=0", b="crm.item.list?entityTypeId=2&start=50")
    assert body["result_total"] == {"a": 60, "b": 60}
    assert body["result_next"] == {"a": 50}
    assert len(body["result"]["b"]["items"]) == 10
