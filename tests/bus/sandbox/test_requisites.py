import pytest

from bus.sandbox import phpform

INN, KPP = "7707083893", "773601001"


def company(crm, **fields):
    return crm.result("crm.company.add", {"fields": {"TITLE": "Romashka", **fields}})


def requisite(crm, owner, kind=4, **fields):
    said = {"ENTITY_TYPE_ID": kind, "ENTITY_ID": owner, "PRESET_ID": 1, "NAME": "Main", **fields}
    return crm.result("crm.requisite.add", {"fields": said})


def account(crm, owner, **fields):
    return crm.result("crm.requisite.bankdetail.add", {"fields": {"ENTITY_ID": owner, "NAME": "Account", **fields}})


def refused(crm, method, params):
    answer = crm.rest(method, params)
    assert answer.status_code == 400
    assert answer.json()["error"] == ""
    return answer.json()["error_description"]


def listen(crm, listener):
    crm.control("PUT", "webhooks", {"url": listener.url, "application_token": "t0ken"})


def told(crm, listener):
    crm.control("POST", "events/flush", {})
    posts = [phpform.parse(post.body) for post in listener.posts]
    listener.posts.clear()
    return [(post["event"], post["data"]["FIELDS"]) for post in posts]


def found(crm, **where):
    return [row["ID"] for row in crm.result("crm.requisite.list", {"filter": where, "select": ["ID"]})]


def test_requisites_are_found_by_inn_and_kpp(crm):
    owner = company(crm)
    key = str(requisite(crm, owner, RQ_INN=INN, RQ_KPP=KPP))
    other = str(requisite(crm, owner, RQ_INN=INN, RQ_KPP="770101001"))
    assert found(crm, ENTITY_TYPE_ID=4, RQ_INN=INN, RQ_KPP=KPP) == [key]
    assert found(crm, RQ_INN=[INN, "500100732259"]) == [key, other]
    assert found(crm, **{"@RQ_INN": [INN], "@RQ_KPP": [KPP]}) == [key]
    assert found(crm, ENTITY_TYPE_ID=4, ENTITY_ID=[owner, 1]) == [key, other]
    assert found(crm, ENTITY_TYPE_ID=3, ENTITY_ID=owner) == []
    assert found(crm, **{"%RQ_INN": "083893", "!RQ_KPP": KPP}) == [other]


def test_a_new_requisite_was_never_modified(crm, clock):
    key = requisite(crm, company(crm), RQ_INN=INN)
    row = crm.result("crm.requisite.get", {"id": key})
    assert (row["DATE_MODIFY"], row["MODIFY_BY_ID"], row["ADDRESS_ONLY"], row["RQ_KPP"]) == ("", None, "N", None)
    clock.now += 60
    assert crm.result("crm.requisite.update", {"id": key, "fields": {"RQ_KPP": KPP, "ENTITY_ID": 999}}) is True
    changed = crm.result("crm.requisite.get", {"id": key})
    assert (changed["RQ_KPP"], changed["MODIFY_BY_ID"], changed["ENTITY_ID"]) == (KPP, "1", row["ENTITY_ID"])
    assert changed["DATE_MODIFY"] > row["DATE_CREATE"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"ENTITY_TYPE_ID": 2}, "ENTITY_TYPE_ID is not defined or invalid."),
        ({"ENTITY_ID": ""}, "ENTITY_ID is not defined or invalid."),
        ({"ENTITY_ID": 999999}, "Entity not found."),
        ({"PRESET_ID": 77}, "PRESET_ID is not defined or invalid."),
        ({"NAME": ""}, "Required field is not set: NAME"),
    ],
)
def test_a_requisite_needs_an_owner_a_preset_and_a_name(crm, wrong, text):
    said = {"ENTITY_TYPE_ID": 4, "ENTITY_ID": company(crm), "PRESET_ID": 1, "NAME": "Main", **wrong}
    assert refused(crm, "crm.requisite.add", {"fields": said}) == text


def test_what_is_missing_is_named(crm):
    assert refused(crm, "crm.requisite.get", {"id": 27}) == "The Requisite with ID '27' is not found"
    text = "The BankDetail with ID '24' is not found"
    assert refused(crm, "crm.requisite.bankdetail.update", {"id": 24, "fields": {}}) == text
    no_owner = {"fields": {"ENTITY_ID": 27, "NAME": "x"}}
    assert refused(crm, "crm.requisite.bankdetail.add", no_owner) == "ENTITY_ID is not defined or invalid."


def test_bank_details_belong_to_a_requisite(crm):
    key = requisite(crm, company(crm))
    one = account(crm, key, RQ_BIK="044525225", RQ_ACC_NUM="40702810938000060473")
    listed = crm.result("crm.requisite.bankdetail.list", {"filter": {"ENTITY_ID": [key]}})
    assert (listed[0]["ID"], listed[0]["RQ_BIK"], listed[0]["COUNTRY_ID"]) == (str(one), "044525225", "1")
    crm.result("crm.requisite.bankdetail.update", {"id": one, "fields": {"RQ_BANK_NAME": "Bank"}})
    assert crm.result("crm.requisite.bankdetail.get", {"id": one})["RQ_BANK_NAME"] == "Bank"
    assert crm.result("crm.requisite.bankdetail.delete", {"id": one}) is True
    assert crm.result("crm.requisite.bankdetail.list", {"filter": {"ENTITY_ID": key}}) == []


def test_a_requisite_has_events_of_its_own_and_the_company_none(crm, listener):
    owner = company(crm)
    listen(crm, listener)
    key = requisite(crm, owner)
    crm.result("crm.requisite.update", {"id": key, "fields": {"NAME": "Main"}})
    one = account(crm, key)
    crm.result("crm.requisite.bankdetail.update", {"id": one, "fields": {"RQ_BIK": "044525225"}})
    crm.result("crm.requisite.delete", {"id": key})
    assert told(crm, listener) == [
        ("ONCRMREQUISITEADD", {"ID": str(key)}),
        ("ONCRMREQUISITEUPDATE", {"ID": str(key)}),
        ("ONCRMBANKDETAILADD", {"ID": str(one)}),
        ("ONCRMBANKDETAILUPDATE", {"ID": str(one)}),
        ("ONCRMBANKDETAILDELETE", {"ID": str(one)}),
        ("ONCRMREQUISITEDELETE", {"ID": str(key)}),
    ]


def test_a_company_takes_its_requisites_along_when_it_goes(crm):
    owner, other = company(crm), company(crm)
    account(crm, requisite(crm, owner))
    kept = requisite(crm, other)
    crm.result("crm.company.delete", {"id": owner})
    assert found(crm) == [str(kept)]
    assert crm.result("crm.requisite.bankdetail.list") == []


def test_one_batch_makes_a_company_with_everything(crm):
    body = crm.batch(
        company="crm.company.add?fields[TITLE]=A",
        item="crm.item.add?entityTypeId=4&fields[title]=B",
        first="crm.requisite.add?fields[ENTITY_TYPE_ID]=4&fields[ENTITY_ID]=$result[company]"
        "&fields[PRESET_ID]=1&fields[NAME]=A&fields[RQ_INN]=7707083893",
        second="crm.requisite.add?fields[ENTITY_TYPE_ID]=4&fields[ENTITY_ID]=$result[item][item][id]"
        "&fields[PRESET_ID]=1&fields[NAME]=B",
        bank="crm.requisite.bankdetail.add?fields[ENTITY_ID]=$result[first]&fields[NAME]=x",
        lost="crm.requisite.add?fields[ENTITY_TYPE_ID]=4&fields[ENTITY_ID]=$result[nothing]"
        "&fields[PRESET_ID]=1&fields[NAME]=C",
    )
    assert body["result_error"]["lost"]["error_description"] == "ENTITY_ID is not defined or invalid."
    made = crm.result("crm.requisite.get", {"id": body["result"]["first"]})
    assert made["ENTITY_ID"] == str(body["result"]["company"])
    made = crm.result("crm.requisite.get", {"id": body["result"]["second"]})
    assert made["ENTITY_ID"] == str(body["result"]["item"]["item"]["id"])
    assert crm.result("crm.requisite.bankdetail.get", {"id": body["result"]["bank"]})["RQ_BIK"] is None


def test_presets_tell_by_their_xml_id_what_they_are_for(crm):
    listed = crm.result("crm.requisite.preset.list", {"select": ["ID", "XML_ID"], "filter": {"COUNTRY_ID": 1}})
    assert [(row["ID"], row["XML_ID"]) for row in listed] == [
        ("1", "#CRM_REQUISITE_PRESET_DEF_RU_COMPANY#"),
        ("3", "#CRM_REQUISITE_PRESET_DEF_RU_INDIVIDUAL#"),
        ("5", "#CRM_REQUISITE_PRESET_DEF_RU_PERSON#"),
    ]
    assert crm.result("crm.requisite.preset.get", {"id": 3})["NAME"] == "ИП"
    assert crm.rest("crm.requisite.preset.list", {"select": ["BAD"]}).json()["error"] == "100"


def test_fields_are_described(crm):
    fields = crm.result("crm.requisite.fields")
    assert fields["RQ_INN"]["type"] == "string"
    assert "LAST_ACTIVITY_BY" not in fields


def address(owner, kind=6, **fields):
    return {"fields": {"TYPE_ID": kind, "ENTITY_TYPE_ID": 8, "ENTITY_ID": owner, **fields}}


def test_an_address_is_known_by_its_type_and_its_requisite(crm, listener):
    owner = company(crm)
    key = requisite(crm, owner)
    listen(crm, listener)
    assert crm.result("crm.address.add", address(key, CITY="Moscow", ADDRESS_1="Tverskaya 1")) is True
    assert refused(crm, "crm.address.add", address(key)) == "TypeAddress exists"
    crm.result("crm.address.add", address(key, kind=1, CITY="Tver"))
    assert crm.result("crm.address.update", address(key, CITY="Perm")) is True
    listed = crm.result("crm.address.list", {"filter": {"ENTITY_ID": [key], "TYPE_ID": 6}})
    assert [(row["CITY"], row["ADDRESS_1"], row["ANCHOR_ID"]) for row in listed] == [
        ("Perm", "Tverskaya 1", str(owner))
    ]
    assert crm.result("crm.address.list", {"filter": {"ANCHOR_ID": owner}, "select": ["CITY"]}) == [
        {"CITY": "Perm"},
        {"CITY": "Tver"},
    ]
    crm.result("crm.address.delete", address(key))
    place = {"TYPE_ID": "6", "ENTITY_TYPE_ID": "8", "ENTITY_ID": str(key), "ANCHOR_ID": str(owner)}
    heard = told(crm, listener)
    assert heard[0] == ("ONCRMADDRESSREGISTER", {**place, "ANCHOR_TYPE_ID": "4"})
    assert [name for name, _ in heard] == ["ONCRMADDRESSREGISTER"] * 3 + ["ONCRMADDRESSUNREGISTER"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"TYPE_ID": 2}, "TYPE_ID is not defined or invalid."),
        ({"ENTITY_TYPE_ID": 4}, "ENTITY_TYPE_ID is not defined or invalid."),
        ({"ENTITY_ID": 999999}, "ENTITY_ID is not defined or invalid."),
    ],
)
def test_an_address_needs_a_type_and_a_requisite(crm, wrong, text):
    assert refused(crm, "crm.address.add", address(requisite(crm, company(crm)), **wrong)) == text


def test_an_address_that_is_not_there_is_not_changed(crm):
    key = requisite(crm, company(crm))
    assert refused(crm, "crm.address.update", address(key)) == "TypeAddress not found"
    assert refused(crm, "crm.address.delete", address(key)) == "TypeAddress not found"
    assert [row["ID"] for row in crm.result("crm.enum.addresstype")] == [11, 1, 6, 4, 8, 9]


def test_addresses_go_with_their_requisite(crm):
    key = requisite(crm, company(crm))
    crm.result("crm.address.add", address(key))
    crm.result("crm.requisite.delete", {"id": key})
    assert crm.result("crm.address.list") == []


def link(deal, requisite=0, bank=0):
    ids = {"REQUISITE_ID": requisite, "BANK_DETAIL_ID": bank, "MC_REQUISITE_ID": 0, "MC_BANK_DETAIL_ID": 0}
    return {"fields": {"ENTITY_TYPE_ID": 2, "ENTITY_ID": deal, **ids}}


def test_a_deal_chooses_among_its_companys_requisites(crm):
    owner, other = company(crm), company(crm)
    key, strange = requisite(crm, owner), requisite(crm, other)
    bank = account(crm, key)
    deal = crm.act("create_deal", fields={"companyId": owner})["id"]
    assert crm.result("crm.requisite.link.register", link(deal, key, bank)) is True
    chosen = crm.result("crm.requisite.link.get", {"entityTypeId": 2, "entityId": deal})
    assert (chosen["ENTITY_ID"], chosen["REQUISITE_ID"], chosen["BANK_DETAIL_ID"]) == (deal, str(key), str(bank))
    text = f"The Requisite with ID '{strange}' is not assigned to Company with ID '{owner}'"
    assert refused(crm, "crm.requisite.link.register", link(deal, strange)) == text
    assert refused(crm, "crm.requisite.link.register", link(999999)) == "Entity is not found"
    no_bank = {"ENTITY_TYPE_ID": 2, "ENTITY_ID": deal, "REQUISITE_ID": key}
    assert refused(crm, "crm.requisite.link.register", {"fields": no_bank}).startswith("BANK_DETAIL_ID is not")
    crm.result("crm.requisite.delete", {"id": key})
    listed = crm.result("crm.requisite.link.list", {"filter": {"ENTITY_TYPE_ID": 2}})
    assert [(row["REQUISITE_ID"], row["BANK_DETAIL_ID"]) for row in listed] == [("0", "0")]
    assert crm.result("crm.requisite.link.unregister", {"entityTypeId": 2, "entityId": deal}) is True
    assert refused(crm, "crm.requisite.link.get", {"entityTypeId": 2, "entityId": deal}) == "Not found"


def test_another_portal_has_other_presets(crm):
    crm.control("POST", "settings", {"presets": [{"id": 2, "name": "ИП", "xmlId": "x", "country": 14}]})
    assert [row["ID"] for row in crm.result("crm.requisite.preset.list")] == ["2"]
    said = {"ENTITY_TYPE_ID": 4, "ENTITY_ID": company(crm), "PRESET_ID": 1, "NAME": "x"}
    assert refused(crm, "crm.requisite.add", {"fields": said}).startswith("PRESET_ID")
    bank = account(crm, requisite(crm, company(crm), PRESET_ID=2))
    assert crm.result("crm.requisite.bankdetail.get", {"id": bank})["COUNTRY_ID"] == "14"


def test_a_person_may_edit_a_requisite_between_a_read_and_a_write(crm):
    key = requisite(crm, company(crm), RQ_INN=INN)
    edit = {"do": "edit_requisite", "fields": {"RQ_KPP": KPP}}
    crm.fault("user_edit_between", method="crm.requisite.list", id=key, count=1, edit=edit)
    read = crm.result("crm.requisite.list", {"filter": {"RQ_INN": INN}})
    assert read[0]["RQ_KPP"] is None
    assert crm.result("crm.requisite.get", {"id": key})["RQ_KPP"] == KPP
