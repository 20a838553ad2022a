import time

import pytest

from bus.sandbox import phpform

PHONE = "+7 916 123-45-67"


def listen(crm, listener):
    crm.control("PUT", "webhooks", {"url": listener.url, "application_token": "t0ken"})


def told(crm, listener):
    crm.control("POST", "events/flush", {})
    posts = [phpform.parse(post.body) for post in listener.posts]
    return [(post["event"], post["data"]["FIELDS"]["ID"]) for post in posts]


def dump(crm, of, **where):
    rows = crm.control("GET", f"state?of={of}")[of]
    return [row for row in rows if all(row[name] == value for name, value in where.items())]


def company(crm, **fields):
    return crm.result("crm.item.add", {"entityTypeId": 4, "fields": {"title": "A", **fields}})["item"]


@pytest.mark.parametrize("kind", [3, 4])
def test_an_item_has_phones_with_ids_and_knows_where_it_came_from(crm, kind):
    origin = {"originatorId": "onec", "originId": "guid-1", "originVersion": "7", "assignedById": 9}
    fields = {**origin, "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": PHONE}]}
    item = crm.result("crm.item.add", {"entityTypeId": kind, "fields": fields})["item"]
    assert {name: item[name] for name in origin} == origin
    row = item["fm"][0]
    more = [{"id": row["id"], "value": "+70000000000"}, {"typeId": "EMAIL", "value": "a@example.com"}]
    changed = {"entityTypeId": kind, "id": item["id"], "fields": {"fm": more}}
    item = crm.result("crm.item.update", changed)["item"]
    assert [(entry["typeId"], entry["value"]) for entry in item["fm"]] == [
        ("PHONE", "+70000000000"),
        ("EMAIL", "a@example.com"),
    ]
    gone = {"entityTypeId": kind, "id": item["id"], "fields": {"fm": [{"id": row["id"], "DELETE": "Y"}]}}
    assert [entry["typeId"] for entry in crm.result("crm.item.update", gone)["item"]["fm"]] == ["EMAIL"]
    asked = {"entityTypeId": kind, "filter": {"originatorId": "onec", "@originId": ["guid-1", "x"]}}
    assert [found["id"] for found in crm.result("crm.item.list", asked)["items"]] == [item["id"]]


@pytest.mark.parametrize("family", ["contact", "company"])
def test_the_old_methods_say_the_same_in_upper_case(crm, listener, family):
    listen(crm, listener)
    fields = {"ORIGINATOR_ID": "onec", "ORIGIN_ID": "g", "ORIGIN_VERSION": "1", "ASSIGNED_BY_ID": 9}
    key = crm.result(f"crm.{family}.add", {"fields": {**fields, "PHONE": [{"VALUE": PHONE}]}})
    crm.result(f"crm.{family}.update", {"id": key, "fields": {"ORIGIN_VERSION": "2"}})
    crm.result(f"crm.{family}.update", {"id": key, "fields": {"ORIGIN_VERSION": "2"}})
    whole = crm.result(f"crm.{family}.get", {"id": key})
    assert (whole["ORIGIN_VERSION"], whole["ASSIGNED_BY_ID"], whole["HAS_PHONE"]) == ("2", "9", "Y")
    assert crm.result(f"crm.{family}.delete", {"id": key}) is True
    upper = family.upper()
    assert told(crm, listener) == [(f"ONCRM{upper}{what}", str(key)) for what in ("ADD", "UPDATE", "DELETE")]


def test_an_old_list_is_filtered_by_a_phone_as_it_was_written(crm):
    one, other = (crm.act("create_company", phones=[phone])["id"] for phone in (PHONE, "+79161234567"))

    def found(**where):
        return [row["ID"] for row in crm.result("crm.company.list", {"filter": where, "select": ["ID"]})]

    assert found(PHONE=PHONE) == [str(one)]
    assert found(PHONE=[PHONE, "+79161234567"]) == [str(one), str(other)]
    assert found(PHONE=PHONE, EMAIL="a@example.com") == []
    shown = crm.result("crm.company.list", {"filter": {"ID": one}, "select": ["ID", "PHONE"]})
    assert shown[0]["PHONE"][0]["VALUE"] == PHONE
    assert "PHONE" not in crm.result("crm.company.list", {"filter": {"ID": one}})[0]


def test_a_contact_may_belong_to_several_companies(crm):
    item = crm.result("crm.item.add", {"entityTypeId": 3, "fields": {"name": "Ann", "companyIds": [5, 6]}})["item"]
    assert (item["companyId"], item["companyIds"]) == (5, [5, 6])


def test_duplicates_are_found_by_several_values_and_twenty_end_the_search(crm):
    acts = [{"do": "create_contact", "phones": [PHONE]}] * 25 + [{"do": "create_company", "phones": ["84951112233"]}]
    crm.control("POST", "act", {"acts": acts})
    asked = {"type": "PHONE", "values": ["+7 495 111-22-33", "8 916 123 45 67"]}
    assert [len(keys) for keys in crm.result("crm.duplicate.findbycomm", asked).values()] == [20]
    found = crm.result("crm.duplicate.findbycomm", {**asked, "entity_type": "COMPANY"})
    assert list(found) == ["COMPANY"]
    many = {"type": "PHONE", "values": [str(number) for number in range(20)] + ["84951112233"]}
    assert crm.result("crm.duplicate.findbycomm", many) == []


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"values": ["1"]}, "Communication type is not defined"),
        ({"type": "FAX", "values": ["1"]}, "Communication type 'FAX' is not supported in current context"),
        ({"type": "PHONE"}, "Communication values is not defined"),
    ],
)
def test_a_search_for_duplicates_says_in_words_what_it_lacks(crm, said, error):
    answer = crm.rest("crm.duplicate.findbycomm", said)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def twins(crm, **other):
    one = crm.act("create_company", fields={"title": "A"}, phones=[PHONE])["id"]
    entry = {"RQ_INN": "7707083893", "accounts": [{"RQ_BIK": "044525225"}], "addresses": [{"TYPE_ID": 6}]}
    act = {"fields": {"title": "A", "comments": "said", **other}, "emails": ["a@example.com"], "requisites": [entry]}
    return one, crm.act("create_company", **act)["id"]


def merge(crm, *keys, kind=4):
    return crm.result("crm.entity.mergeBatch", {"params": {"entityTypeId": kind, "entityIds": list(keys)}})


def test_a_merge_leaves_one_with_all_that_the_others_had(crm, listener):
    one, other = twins(crm)
    deal = crm.act("create_deal", fields={"companyId": other})["id"]
    person = crm.act("create_contact", fields={"companyIds": [other, 5]})["id"]
    listen(crm, listener)
    assert merge(crm, one, other) == {"STATUS": "SUCCESS", "ENTITY_IDS": [other]}
    assert told(crm, listener) == [("ONCRMCOMPANYUPDATE", str(one)), ("ONCRMCOMPANYDELETE", str(other))]
    kept = crm.result("crm.item.get", {"entityTypeId": 4, "id": one})["item"]
    assert (kept["comments"], sorted(entry["value"] for entry in kept["fm"])) == ("said", [PHONE, "a@example.com"])
    assert crm.result("crm.requisite.list", {"filter": {"ENTITY_ID": one}})[0]["RQ_INN"] == "7707083893"
    assert crm.result("crm.address.list")[0]["ANCHOR_ID"] == str(one)
    assert crm.result("crm.deal.get", {"id": deal})["COMPANY_ID"] == str(one)
    assert crm.result("crm.item.get", {"entityTypeId": 3, "id": person})["item"]["companyIds"] == [one, 5]
    found = crm.result("crm.duplicate.findbycomm", {"type": "EMAIL", "values": ["a@example.com"]})
    assert found == {"COMPANY": [one]}


def test_a_merge_of_different_names_is_left_to_a_person_who_decides(crm, listener):
    one, other = twins(crm, title="B")
    listen(crm, listener)
    assert merge(crm, one, other) == {"STATUS": "CONFLICT", "ENTITY_IDS": []}
    assert told(crm, listener) == []
    crm.act("merge_company", id=one, losers=[other])
    assert [row["title"] for row in dump(crm, "companies")] == ["A"]


@pytest.mark.parametrize(
    ("keys", "kind", "text"),
    [
        ([301], 4, "The parameter entityIds must contains at least two elements."),
        ([], 4, "The parameter entityIds does not contains valid elements."),
        ([301, 999], 4, "Owner was not found"),
        ([1, 2], 0, "The parameter entityTypeId is required."),
        ([1, 2], 99, "Entity type 99 is not supported"),
    ],
)
def test_a_merge_needs_two_that_are_there(crm, keys, kind, text):
    company(crm)
    answer = crm.rest("crm.entity.mergeBatch", {"params": {"entityTypeId": kind, "entityIds": keys}})
    assert (answer.status_code, answer.json()) == (400, {"error": 0, "error_description": text})


def test_a_person_edits_the_whole_card(crm, listener):
    entry = {"preset": "trader", "NAME": "Main", "RQ_INN": "500100732259", "accounts": [{"RQ_ACC_NUM": "40802"}]}
    made = crm.act("create_contact", fields={"NAME": "Ann"}, phones=[PHONE], requisites=[entry])
    requisite, account = made["requisites"][0], made["accounts"][0]
    assert dump(crm, "requisites", id=requisite)[0]["presetId"] == 3
    listen(crm, listener)
    changes = [{"id": requisite, "RQ_INN": "1", "accounts": [{"id": account, "delete": True}, {"RQ_ACC_NUM": "9"}]}]
    edited = crm.act("edit_contact", id=made["id"], phones=["+70000000000"], requisites=changes)
    assert edited["changed"] is True
    assert [row["rqAccNum"] for row in dump(crm, "bankdetails")] == ["9"]
    assert [entry["value"] for entry in dump(crm, "contacts")[0]["fm"]] == ["+70000000000"]
    assert [name for name, _ in told(crm, listener)] == [
        "ONCRMCONTACTUPDATE",
        "ONCRMREQUISITEUPDATE",
        "ONCRMBANKDETAILDELETE",
        "ONCRMBANKDETAILADD",
    ]
    crm.act("edit_bankdetail", id=edited["accounts"][0], fields={"RQ_BIK": "044525225"})
    crm.act("edit_contact", id=made["id"], requisites=[{"id": requisite, "delete": True}])
    assert dump(crm, "bankdetails") == []


def test_an_unknown_act_is_answered_with_those_there_are(crm):
    for do in ("merge_deal", "create_requisite", "paint_company"):
        answer = crm.session.post(f"{crm.base}/_sandbox/act", json={"do": do}, timeout=5)
        assert (answer.status_code, answer.json()["error"]) == (400, "UNKNOWN_ACT")


def test_thousands_of_companies_are_found_at_once(portal):
    entry = {"RQ_INN": "0", "RQ_KPP": "773601001"}
    for number in range(3000):
        act = {"phones": [f"+7916{number:07d}"], "requisites": [{**entry, "RQ_INN": f"{7700000000 + number}"}]}
        portal.act({"do": "create_company", **act}, quiet=True)
    began = time.perf_counter()
    for number in range(200):
        inn = {"filter": {"RQ_INN": f"{7700000000 + number}", "RQ_KPP": "773601001"}, "select": ["ENTITY_ID"]}
        assert len(portal.call("crm.requisite.list", inn).result) == 1
        phone = {"type": "PHONE", "values": [f"8916{number:07d}"]}
        assert len(portal.call("crm.duplicate.findbycomm", phone)["COMPANY"]) == 1
    assert time.perf_counter() - began < 1
