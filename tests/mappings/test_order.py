import pytest

from bus.errors import UnknownCode
from mappings.bitrix_cms import order

UPDATED = "2026-11-20T10:00:00+03:00"


def raw(**fields):
    return {"dateUpdate": UPDATED, "version": 4, "canceled": "N", **fields}


def test_an_unknown_status_is_held_by_name_and_the_rest_is_said(shop):
    made = order.to_canonical(raw(statusId="W", comments="Ждём"), shop)
    assert made.data == {"comment": "Ждём"}
    assert [(held.field, held.table, held.code) for held in made.held] == [("status", "order_status", "W")]


def test_a_cancelled_order_is_cancelled_whatever_its_status(shop):
    made = order.to_canonical(raw(statusId="W", canceled="Y"), shop)
    assert made.data["status"] == "cancelled"
    assert made.held == ()


COMPANY = [{"code": "COMPANY", "value": "ООО  «Ромашка» "}, {"code": "INN", "value": "7707 083893"}, {"code": "KPP"}]


def test_a_companys_order_says_for_whom_it_is(shop):
    said = order.to_canonical(raw(propertyValues=COMPANY), shop).data["customer"]
    assert said == {"company": "ООО «Ромашка»", "inn": "7707083893", "kpp": None}


def test_a_companys_requisites_are_written_where_they_say_something_else(shop):
    fields = {"customer.company": "ООО «Ромашка»", "customer.inn": "7707083893", "customer.kpp": "773601001"}
    present = raw(propertyValues=COMPANY)
    assert order.from_canonical(fields, present, shop) == {"properties": {"KPP": "773601001"}}
    made = order.from_canonical(fields, None, shop)["properties"]
    assert made == {"COMPANY": "ООО «Ромашка»", "INN": "7707083893", "KPP": "773601001"}


def test_cancelling_sets_the_flag_and_a_reason_and_leaves_the_status(shop):
    change = order.from_canonical({"status": "cancelled"}, raw(statusId="P"), shop)
    assert change["fields"].keys() == {"canceled", "reasonCanceled"}
    assert change["fields"]["canceled"] == "Y"
    assert order.from_canonical({"status": "cancelled"}, raw(statusId="P", canceled="Y"), shop) == {}


@pytest.mark.parametrize(("code", "written"), [("N", {"canceled": "N", "statusId": "P"}), ("P", {"canceled": "N"})])
def test_reviving_takes_the_flag_away_and_keeps_a_status_that_fits(shop, code, written):
    change = order.from_canonical({"status": "paid"}, raw(statusId=code, canceled="Y"), shop)
    assert change == {"fields": written}


def test_a_status_that_already_means_the_same_keeps_its_code(overlay):
    shop = overlay.write("bitrix_cms: {codes: {order_status: {PP: paid}}}").registry().tables("shop", "bitrix_cms")
    assert order.from_canonical({"status": "paid"}, raw(statusId="PP"), shop) == {}
    assert order.from_canonical({"status": "paid"}, raw(statusId="N"), shop) == {"fields": {"statusId": "P"}}


def test_a_preferred_code_is_written_instead_of_the_first(overlay):
    overlay.write("bitrix_cms: {codes: {order_status: {PP: paid}}, prefer: {order_status: {paid: PP}}}")
    shop = overlay.registry().tables("shop", "bitrix_cms")
    assert order.from_canonical({"status": "paid"}, raw(statusId="N"), shop) == {"fields": {"statusId": "PP"}}


def test_a_status_may_also_mean_cancelled(overlay):
    shop = overlay.write("bitrix_cms: {codes: {order_status: {X: cancelled}}}").registry().tables("shop", "bitrix_cms")
    assert order.from_canonical({"status": "cancelled"}, raw(statusId="X"), shop) == {}
    assert order.from_canonical({"status": "new"}, raw(statusId="X"), shop) == {"fields": {"statusId": "N"}}


def test_a_status_nobody_mapped_is_not_left_but_the_rest_is_written(shop):
    change = order.from_canonical({"status": "paid", "comment": "VIP"}, raw(statusId="W"), shop)
    assert change == {"fields": {"comments": "VIP"}}


def test_a_status_without_a_code_here_is_told(overlay):
    shop = overlay.write("bitrix_cms: {codes: {order_status: {S: ~}}}").registry().tables("shop", "bitrix_cms")
    with pytest.raises(UnknownCode, match="order_status: 'shipped'"):
        order.from_canonical({"status": "shipped"}, raw(statusId="N"), shop)


def test_what_was_not_read_is_not_said(shop):
    assert order.to_canonical({"dateUpdate": UPDATED}, shop).data == {}


def test_an_empty_property_is_cleared_and_one_the_order_lacks_is_not_said(shop):
    made = order.to_canonical(raw(propertyValues=[{"code": "PHONE", "value": ""}]), shop)
    assert made.data == {"customer": {"phone": None}}


def test_a_companys_order_is_read_and_written_by_its_own_property(shop):
    present = raw(propertyValues=[{"code": "CONTACT_PERSON", "value": "Пётр"}])
    assert order.to_canonical(present, shop).data == {"customer": {"name": "Пётр"}}
    assert order.from_canonical({"customer.name": "Иван"}, present, shop) == {"properties": {"CONTACT_PERSON": "Иван"}}


def test_what_the_shop_computes_is_read_and_never_written(shop):
    fields = {
        "number": "1",
        "total": {"amount": "9.00", "currency": "RUB"},
        "lines": [{"product": None, "name": "Кружка", "quantity": "1", "price": "9.00"}],
        "delivery.method": "Курьер",
    }
    assert fields.keys() <= order.carries(shop)
    assert not fields.keys() & order.writes(shop)
    assert order.from_canonical(fields, raw(), shop) == {}


def test_a_new_order_gets_a_basket(shop):
    fields = {
        "total": {"amount": "9.00", "currency": "RUB"},
        "lines": [{"product": "1487", "name": "Кружка", "quantity": "1", "price": "9.00"}],
    }
    item = {
        "name": "Кружка",
        "quantity": "1",
        "price": "9.00",
        "currency": "RUB",
        "productXmlId": "1487",
        "productId": "1487",
    }
    assert order.from_canonical(fields, None, shop) == {"basket": [item]}


def test_a_deal_link_is_written_once(shop):
    linked = {"@records": {"crm": {"deal": "759"}}}
    assert order.from_canonical(linked, raw(), shop) == {"properties": {"DEAL_ID": "759"}}
    present = raw(propertyValues=[{"code": "DEAL_ID", "value": "759"}])
    assert order.from_canonical(linked, present, shop) == {}
    assert order.to_canonical(present, shop).data["records"] == [{"system": "crm", "type": "deal", "id": "759"}]
