import pytest
from pydantic import ValidationError

from bus.errors import UnknownCode
from mappings.bitrix24 import deal

UPDATED = "2026-11-20T10:00:00+03:00"


def raw(item=None, **parts):
    return {"item": {"updatedTime": UPDATED, "updatedBy": 9, **(item or {})}, **parts}


def test_an_unknown_stage_is_held_by_name_and_the_rest_is_said(crm):
    made = deal.to_canonical(raw({"stageId": "UC_1", "comments": "Ждём"}), crm)
    assert made.data == {"comment": "Ждём"}
    assert [(held.field, held.table, held.code) for held in made.held] == [("status", "deal_stage", "UC_1")]
    assert "tables.yaml" in made.held[0].message


def test_what_was_not_read_is_not_said(crm):
    assert deal.to_canonical(raw(), crm).data == {}


def test_a_deal_without_a_contact_does_not_clear_the_customer(crm):
    assert "customer" not in deal.to_canonical(raw(contact=None), crm).data


def test_a_contact_without_a_phone_clears_the_phone(crm):
    contact = {"name": "Анна", "lastName": "", "fm": []}
    assert deal.to_canonical(raw(contact=contact), crm).data["customer"] == {
        "name": "Анна",
        "phone": None,
        "email": None,
    }


def test_a_contact_whose_phones_were_not_read_says_only_its_name(crm):
    assert deal.to_canonical(raw(contact={"name": "Анна"}), crm).data["customer"] == {"name": "Анна"}


@pytest.mark.parametrize(
    ("company", "said"),
    [
        (None, {}),
        ({"item": {"title": " ООО  Ромашка"}, "requisite": None}, {"company": "ООО Ромашка"}),
        (
            {"item": {"title": "Ромашка"}, "requisite": {"RQ_INN": "7707 083893", "RQ_KPP": ""}},
            {"company": "Ромашка", "inn": "7707083893", "kpp": None},
        ),
    ],
)
def test_a_deal_says_for_whom_it_is_by_its_company(crm, company, said):
    assert deal.to_canonical(raw(company=company), crm).data.get("customer", {}) == said


def test_only_a_new_deal_asks_for_a_company_by_its_requisites(crm):
    fields = {"customer.company": "ООО Ромашка", "customer.inn": "7707083893", "customer.kpp": "773601001"}
    assert deal.from_canonical(fields, None, crm) == {"company": {"inn": "7707083893", "kpp": "773601001"}}
    assert deal.from_canonical(fields, raw(company=None), crm) == {}
    assert deal.from_canonical({"customer.company": "ООО Ромашка"}, None, crm) == {}
    assert not {"customer.company", "customer.inn", "customer.kpp"} & deal.writes(crm)


def test_a_company_is_read_only_for_what_it_says(crm):
    assert deal.asks({"customer.inn"}, crm) == {"company", "links"}
    assert deal.asks({"customer.phone"}, crm) == {"contact", "links"}


def test_a_deal_without_a_time_of_change_is_refused(crm):
    with pytest.raises(ValidationError, match="updatedTime"):
        deal.to_canonical({"item": {"stageId": "NEW"}}, crm)


@pytest.mark.parametrize(
    ("contact", "modified"),
    [
        ({"name": "Анна", "updatedTime": "2026-11-20T10:05:00+03:00"}, "2026-11-20T07:05:00+00:00"),
        ({"name": "Анна", "updatedTime": "2026-11-20T09:55:00+03:00"}, "2026-11-20T07:00:00+00:00"),
        ({"name": "Анна"}, "2026-11-20T07:00:00+00:00"),
        (None, "2026-11-20T07:00:00+00:00"),
    ],
)
def test_a_contact_that_was_saved_after_its_deal_tells_the_time_of_change_but_not_the_version(crm, contact, modified):
    made = deal.to_canonical(raw(contact=contact), crm)
    assert made.modified_at.isoformat() == modified
    assert made.version == deal.to_canonical(raw(), crm).version


@pytest.mark.parametrize("code", ["PREPARATION", "PREPAYMENT_INVOICE"])
def test_a_stage_that_already_means_the_status_keeps_its_code(crm, code):
    present = raw({"stageId": code, "categoryId": 0})
    assert deal.from_canonical({"status": "accepted"}, present, crm) == {}


def test_the_first_code_listed_is_written(crm):
    present = raw({"stageId": "NEW", "categoryId": 0})
    assert deal.from_canonical({"status": "accepted"}, present, crm) == {"item": {"stageId": "PREPARATION"}}


def test_a_stage_nobody_mapped_is_not_left_but_the_rest_is_written(crm):
    present = raw({"stageId": "UC_1", "comments": ""})
    change = deal.from_canonical({"status": "paid", "comment": "Оплачен"}, present, crm)
    assert change == {"item": {"comments": "Оплачен"}}


def test_a_deal_stays_in_its_own_funnel(overlay):
    tables = overlay.write("bitrix24: {codes: {deal_stage: {'C1:NEW': new, 'C1:PAID': paid, 'C2:PAID': paid}}}")
    crm = tables.registry().tables("crm", "bitrix24")
    for funnel, code in ((0, "EXECUTING"), (1, "C1:PAID"), ("2", "C2:PAID")):
        change = deal.from_canonical({"status": "paid"}, raw({"categoryId": funnel}), crm)
        assert change["item"] == {"stageId": code}
    assert deal.from_canonical({"status": "paid"}, raw({"stageId": "C1:NEW"}), crm)["item"] == {"stageId": "C1:PAID"}


def test_a_status_without_a_stage_in_the_funnel_names_the_funnel(crm):
    with pytest.raises(UnknownCode, match="deal_stage: 'paid in funnel 4'") as caught:
        deal.from_canonical({"status": "paid"}, raw({"categoryId": 4}), crm)
    assert caught.value.field == "status"


def test_a_new_deal_is_made_in_the_configured_funnel(overlay):
    crm = (
        overlay.write("bitrix24: {codes: {deal_stage: {'C7:NEW': new}}}")
        .registry(category="7")
        .tables("crm", "bitrix24")
    )
    assert deal.from_canonical({"status": "new"}, None, crm)["item"]["stageId"] == "C7:NEW"


def test_a_new_deal_is_titled_by_its_number_an_old_one_keeps_its_title(crm):
    assert deal.from_canonical({"number": "392"}, None, crm)["item"]["title"] == "Заказ №392"
    assert "title" not in deal.from_canonical({"number": "392"}, raw(), crm)["item"]


def test_a_comment_with_tags_of_its_own_is_written_once(crm):
    fields = {"comment": "Цвет <b>белый</b>"}
    change = deal.from_canonical(fields, raw({"comments": ""}), crm)
    assert deal.from_canonical(fields, raw(change["item"]), crm) == {}


def test_a_comment_with_entities_reads_in_the_deal_as_it_reads_in_plain_text(crm):
    fields = {"comment": "Поле &lt;name&gt; &amp; ещё"}
    change = deal.from_canonical(fields, raw({"comments": ""}), crm)
    said = deal.to_canonical(raw(change["item"]), crm).data["comment"]
    assert said == "Поле <name> & ещё"
    assert deal.means("comment", said, fields["comment"])
    assert deal.from_canonical(fields, raw(change["item"]), crm) == {}


def test_a_comment_in_which_a_manager_wrote_of_a_tag_is_left_as_it_is(crm):
    present = raw({"comments": "Поле &lt;name&gt;"})
    fields = deal.to_canonical(present, crm).data
    assert deal.means("comment", fields["comment"], fields["comment"])
    assert deal.from_canonical(fields, present, crm) == {}


def test_a_contact_says_its_name_with_the_second_one(crm):
    contact = {"name": "Иван", "secondName": "Петрович", "lastName": "Иванов"}
    assert deal.to_canonical(raw(contact=contact), crm).data["customer"] == {"name": "Иван Петрович Иванов"}


def test_a_total_is_written_as_a_manual_amount(crm):
    present = raw({"opportunity": 1, "currencyId": "RUB"})
    change = deal.from_canonical({"total": {"amount": "2.00", "currency": "RUB"}}, present, crm)
    assert change["item"] == {"opportunity": "2.00", "currencyId": "RUB", "isManualOpportunity": "Y"}


def test_writing_rows_pins_a_total_that_would_be_recomputed(crm):
    fields = {
        "total": {"amount": "500.00", "currency": "RUB"},
        "lines": [{"product": None, "name": "Кружка", "quantity": "1", "price": "250.00"}],
    }
    present = raw({"opportunity": 500, "currencyId": "RUB", "isManualOpportunity": "N"}, rows=[])
    assert deal.from_canonical(fields, present, crm)["item"]["isManualOpportunity"] == "Y"
    present["item"]["isManualOpportunity"] = "Y"
    assert deal.from_canonical(fields, present, crm).keys() == {"rows"}


def test_equal_rows_are_left_out_and_removed_lines_empty_the_rows(crm):
    rows = [{"id": 3, "productId": 0, "productName": "Кружка", "price": 250.0, "quantity": "2.0000"}]
    item = {"UF_CRM_ORDER_PRODUCTS": '{"Кружка": ["1487"]}'}
    line = {"product": "1487", "name": "Кружка", "quantity": "2", "price": "250.00"}
    assert deal.to_canonical(raw(item, rows=rows), crm).data["lines"] == [line]
    assert deal.from_canonical({"lines": [line]}, raw(item, rows=rows), crm) == {}
    change = {"item": {"UF_CRM_ORDER_PRODUCTS": "{}"}, "rows": []}
    assert deal.from_canonical({"lines": []}, raw(item, rows=rows), crm) == change


def test_a_field_of_products_that_somebody_spoiled_counts_as_empty_and_is_written_again(crm):
    rows = [{"productName": "Кружка", "price": 250, "quantity": 2}]
    present = raw({"UF_CRM_ORDER_PRODUCTS": "[1487"}, rows=rows)
    line = {"product": "1487", "name": "Кружка", "quantity": "2", "price": "250.00"}
    assert deal.to_canonical(present, crm).data["lines"] == [{**line, "product": None}]
    change = deal.from_canonical({"lines": [line]}, present, crm)
    assert change["item"] == {"UF_CRM_ORDER_PRODUCTS": '{"Кружка": ["1487"]}'}


def test_two_rows_of_one_name_keep_their_own_products(crm):
    lines = [{"product": one, "name": "Футболка", "quantity": "1", "price": "9.00"} for one in ("M-1", None, "L-1")]
    change = deal.from_canonical({"lines": lines}, None, crm)
    assert deal.to_canonical(raw(change["item"], rows=change["rows"]), crm).data["lines"] == lines


def test_a_portal_that_keeps_no_products_is_not_rewritten_for_them(crm):
    rows = [{"id": 3, "productName": "Кружка", "price": 250, "quantity": 2}]
    line = {"product": "1487", "name": "Кружка", "quantity": "2", "price": "250.00"}
    assert deal.from_canonical({"lines": [line]}, raw(rows=rows), crm) == {}


def test_a_contact_that_says_so_in_its_own_spelling_is_left(crm):
    contact = {
        "name": "Анна",
        "lastName": "Смирнова",
        "fm": [{"typeId": "EMAIL", "value": "a@X.RU"}, {"typeId": "PHONE", "value": "8 912 345-67-89"}],
    }
    fields = {"customer.name": "Анна  Смирнова", "customer.phone": "+79123456789", "customer.email": "a@x.ru"}
    assert deal.from_canonical(fields, raw(contact=contact), crm) == {}
    assert deal.from_canonical({"customer.phone": None}, raw(contact=contact), crm) == {"contact": {"phone": None}}


def test_both_order_links_are_one_record(crm):
    made = deal.to_canonical(raw({"UF_CRM_ORDER_ID": 236.0}, order_ids=["236", 237]), crm)
    assert made.data["records"] == [{"system": "shop", "type": "order", "id": one} for one in ("236", "237")]


def test_a_portal_with_a_store_of_its_own_has_its_links_left_alone(overlay):
    crm = overlay.write("bitrix24: {names: {fields: {order_links: ~}}}").registry().tables("crm", "bitrix24")
    assert "records" not in deal.to_canonical(raw(order_ids=["236"]), crm).data
    change = deal.from_canonical({"@records": {"shop": {"order": "5"}}}, None, crm)
    assert change == {"item": {"UF_CRM_ORDER_ID": "5"}}


def test_links_that_were_not_read_are_written_with_the_deals_own_field_only(crm):
    linked = {"@records": {"shop": {"order": "5"}}}
    assert deal.from_canonical(linked, raw({"UF_CRM_ORDER_ID": "5"}), crm) == {}
    assert deal.from_canonical(linked, raw(), crm) == {"item": {"UF_CRM_ORDER_ID": "5"}, "order_id": "5"}


def test_what_the_portal_has_no_field_for_is_neither_carried_nor_written(overlay):
    crm = overlay.write("bitrix24: {names: {fields: {paid_total: ~, number: ~}}}").registry().tables("crm", "bitrix24")
    assert not {"paid_total", "number"} & deal.carries(crm)
    money = {"amount": "1.00", "currency": "RUB"}
    assert deal.from_canonical({"paid_total": money, "number": "7"}, raw(), crm) == {}


def test_the_derived_fields_are_shown_and_never_said(crm):
    item = {"UF_CRM_PAID_TOTAL": "10|RUB", "UF_CRM_PAYMENT_STATUS": "Оплачен"}
    fields = {"paid_total": {"amount": "10.00", "currency": "RUB"}, "payment_status": "paid"}
    told = deal.to_canonical(raw(item), crm)
    assert (told.data, told.derived) == ({}, fields)
    assert deal.from_canonical(fields, raw(item), crm) == {}
