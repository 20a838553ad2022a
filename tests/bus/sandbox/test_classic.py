def test_values_are_strings_and_custom_fields_come_when_asked(crm):
    deal = crm.result("crm.deal.add", {"fields": {"TITLE": "A", "OPPORTUNITY": 5, "UF_CRM_ORDER_ID": 7}})
    whole = crm.result("crm.deal.get", {"id": deal})
    assert (whole["OPPORTUNITY"], whole["UF_CRM_ORDER_ID"]) == ("5.00", "7")
    assert "CONTACT_IDS" not in whole
    assert "UF_CRM_ORDER_ID" not in crm.result("crm.deal.list")[0]
    asked = {"filter": {"UF_CRM_ORDER_ID": "7"}, "select": ["ID", "UF_CRM_ORDER_ID"]}
    assert crm.result("crm.deal.list", asked) == [{"ID": str(deal), "UF_CRM_ORDER_ID": "7"}]
    assert crm.result("crm.deal.list", {"select": ["*", "UF_*"]})[0]["UF_CRM_ORDER_ID"] == "7"
    assert crm.result("crm.deal.delete", {"id": deal}) is True


def test_the_fields_are_described(crm):
    fields = crm.result("crm.deal.fields")
    assert fields["LEAD_ID"]["isReadOnly"] is True
    assert fields["OPPORTUNITY"]["type"] == "double"
    assert fields["UF_CRM_PAID_TOTAL"]["isDynamic"] is True


def test_a_phone_without_its_row_id_is_added_beside_the_old_one(crm):
    person = crm.result("crm.contact.add", {"fields": {"NAME": "Ann", "PHONE": [{"VALUE": "+79161234567"}]}})
    first = crm.result("crm.contact.get", {"id": person})["PHONE"][0]
    assert first["VALUE_TYPE"] == "WORK"
    crm.result("crm.contact.update", {"id": person, "fields": {"PHONE": [{"VALUE": "+70000000000"}]}})
    crm.result(
        "crm.contact.update", {"id": person, "fields": {"PHONE": [{"ID": first["ID"], "VALUE": "+71111111111"}]}}
    )
    phones = crm.result("crm.contact.get", {"id": person})["PHONE"]
    assert [phone["VALUE"] for phone in phones] == ["+71111111111", "+70000000000"]
    crm.result("crm.contact.update", {"id": person, "fields": {"PHONE": [{"ID": first["ID"], "DELETE": "Y"}]}})
    assert len(crm.result("crm.contact.get", {"id": person})["PHONE"]) == 1
    item = crm.result("crm.item.get", {"entityTypeId": 3, "id": person})["item"]
    assert item["fm"][0]["typeId"] == "PHONE"


def test_duplicates_by_phone_and_email(crm):
    fields = {"NAME": "Ann", "PHONE": [{"VALUE": "8 (916) 123-45-67"}], "EMAIL": [{"VALUE": "Ann@Example.com"}]}
    person = crm.result("crm.contact.add", {"fields": fields})
    company = crm.result("crm.company.add", {"fields": {"TITLE": "A", "PHONE": [{"VALUE": "+79161234567"}]}})
    found = crm.result("crm.duplicate.findbycomm", {"type": "PHONE", "values": ["+79161234567"]})
    assert found == {"CONTACT": [person], "COMPANY": [company]}
    asked = {"type": "EMAIL", "values": ["ann@example.com"], "entity_type": "COMPANY"}
    assert crm.result("crm.duplicate.findbycomm", asked) == []
    crm.result("crm.contact.delete", {"id": person})
    assert crm.result("crm.duplicate.findbycomm", {"type": "EMAIL", "values": ["ann@example.com"]}) == []


def test_stages_and_funnels(crm):
    stages = crm.result("crm.status.list", {"filter": {"ENTITY_ID": "DEAL_STAGE"}})
    assert [row["STATUS_ID"] for row in stages] == [
        "NEW",
        "PREPARATION",
        "PREPAYMENT_INVOICE",
        "EXECUTING",
        "FINAL_INVOICE",
        "WON",
        "LOSE",
        "APOLOGY",
    ]
    assert {row["STATUS_ID"]: row["SEMANTICS"] for row in stages}["WON"] == "S"
    second = crm.result("crm.status.list", {"filter": {"ENTITY_ID": "DEAL_STAGE_1"}})
    assert second[0]["STATUS_ID"] == "C1:NEW"
    leads = crm.result("crm.status.list", {"filter": {"ENTITY_ID": "STATUS"}})
    assert [row["STATUS_ID"] for row in leads][-2:] == ["CONVERTED", "JUNK"]
    assert crm.result("crm.dealcategory.stage.list", {"id": 1})[0]["STATUS_ID"] == "C1:NEW"
    funnels = crm.result("crm.category.list", {"entityTypeId": 2})["categories"]
    assert [(row["id"], row["isDefault"]) for row in funnels] == [(0, "Y"), (1, "N")]
