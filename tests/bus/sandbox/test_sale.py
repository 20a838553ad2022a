import pytest


@pytest.fixture
def order(store):
    made = store.act("create_order", customer={"fio": "Ann", "phone": "+79161234567"}, comment="call me")
    return store.result("sale.order.get", {"id": made["id"]})["order"]


def fresh(store, order):
    return store.result("sale.order.get", {"id": order["id"]})["order"]


def update(store, order, **fields):
    return store.result("sale.order.update", {"id": order["id"], "fields": fields})["order"]


def pay(store, order, paid="Y", **fields):
    said = {"id": order["payments"][0]["id"], "fields": {"paySystemId": 2, "paid": paid, **fields}}
    return store.result("sale.payment.update", said)["payment"]


def test_the_shape_of_an_order(order):
    expected = {
        "id": 1,
        "accountNumber": "1001",
        "statusId": "N",
        "payed": "N",
        "canceled": "N",
        "price": 1480,
        "currency": "RUB",
        "version": 1,
        "updated1c": "N",
        "personTypeId": 1,
        "userDescription": "call me",
        "lid": "s1",
    }
    assert expected.items() <= order.items()
    assert order["xmlId"].startswith("bx_")
    item, payment, shipment = order["basketItems"][0], order["payments"][0], order["shipments"][0]
    assert (item["id"], item["orderId"], item["price"], item["quantity"]) == ("2001", "1", 980, 1)
    assert (payment["id"], payment["orderId"], payment["sum"], payment["paid"]) == (501, 1, 1480, "N")
    assert (shipment["deliveryName"], shipment["priceDelivery"], shipment["deducted"]) == ("Courier", 500, "N")
    values = {row["code"]: row["value"] for row in order["propertyValues"]}
    assert values == {"FIO": "Ann", "EMAIL": None, "PHONE": "+79161234567", "ADDRESS": None, "DEAL_ID": None}


def test_a_company_gets_the_other_person_type(store):
    store.act("create_order", customer={"company": "Horns", "inn": "7707083893", "kpp": "773601001"})
    order = store.result("sale.order.get", {"id": 1})["order"]
    values = {row["code"]: row["value"] for row in order["propertyValues"]}
    assert (order["personTypeId"], values["INN"], values["COMPANY"]) == (2, "7707083893", "Horns")


def test_a_company_orders_with_its_card(store):
    card = {"name": "Horns", "inn": "7707083893", "kpp": "773601001", "address": "Moscow", "contact": "Ann"}
    made = store.act("create_order", company={**card, "phone": "+79161234567", "delivery": "Tver"})
    order = store.result("sale.order.get", {"id": made["id"]})["order"]
    assert order["personTypeId"] == 2
    assert {row["code"]: row["value"] for row in order["propertyValues"]} == {
        "COMPANY": "Horns",
        "COMPANY_ADR": "Moscow",
        "INN": "7707083893",
        "KPP": "773601001",
        "CONTACT_PERSON": "Ann",
        "EMAIL": None,
        "PHONE": "+79161234567",
        "ADDRESS": "Tver",
        "DEAL_ID": None,
    }


def test_a_person_who_orders_for_a_company_is_its_contact(store):
    made = store.act("create_order", customer={"fio": "Bob", "inn": "7707083893"})
    order = store.result("sale.order.get", {"id": made["id"]})["order"]
    assert {row["code"]: row["value"] for row in order["propertyValues"]}["CONTACT_PERSON"] == "Bob"


def test_every_changing_save_is_a_version_and_others_are_not(store, order, clock):
    clock.now += 60
    assert update(store, order, comments="", statusId="N") == order
    changed = update(store, order, comments="x")
    assert (changed["version"], changed["dateUpdate"]) == (2, "2023-11-15T01:14:20+03:00")


def test_payed_cannot_be_set_and_a_payment_needs_its_pay_system(store, order):
    assert update(store, order, payed="Y")["payed"] == "N"
    refused = store.rest("sale.payment.update", {"id": order["payments"][0]["id"], "fields": {"paid": "Y"}})
    assert (refused.status_code, refused.json()["error"]) == (400, 0)


def test_a_payment_pays_the_order_and_moves_its_status_in_one_save(store, order):
    payment = pay(store, order, payVoucherNum="17")
    assert (payment["paid"], payment["empPaidId"], payment["payVoucherNum"]) == ("Y", 1, "17")
    assert payment["datePaid"]
    paid = fresh(store, order)
    assert (paid["payed"], paid["statusId"], paid["version"], paid["empStatusId"]) == ("Y", "P", 2, 1)
    pay(store, order, paid="N")
    unpaid = fresh(store, order)
    assert (unpaid["payed"], unpaid["statusId"], unpaid["version"]) == ("N", "P", 3)


def test_the_status_set_by_payment_never_goes_back_and_can_be_off(store, order):
    update(store, order, statusId="F")
    pay(store, order)
    assert fresh(store, order)["statusId"] == "F"
    store.control("POST", "settings", {"status_on_paid": None})
    other = store.act("create_order", paid=True)
    assert store.result("sale.order.get", {"id": other["id"]})["order"]["statusId"] == "N"


def test_part_payments_pay_only_together(store, order):
    store.act("pay_order", id=1, amount=480)
    half = fresh(store, order)
    assert (half["payed"], [(row["sum"], row["paid"]) for row in half["payments"]]) == ("N", [(480, "Y"), (1000, "N")])
    added = {"orderId": 1, "paySystemId": 3, "sum": 1000, "paid": "Y"}
    assert store.result("sale.payment.add", {"fields": added})["payment"]["paid"] == "Y"
    assert fresh(store, order)["payed"] == "Y"
    store.act("refund_payment", id=1)
    refunded = fresh(store, order)
    assert (refunded["payed"], refunded["payments"][-1]["isReturn"]) == ("N", "Y")


def test_an_unknown_status_is_an_error_and_cancel_is_a_flag(store, order):
    assert store.rest("sale.order.update", {"id": 1, "fields": {"statusId": "C"}}).json()["error"] == 0
    canceled = update(store, order, canceled="Y", reasonCanceled="changed mind")
    assert (canceled["canceled"], canceled["statusId"], canceled["empCanceledId"]) == ("Y", "N", 1)


def test_any_change_but_its_own_resets_updated1c(store, order):
    assert update(store, order, updated1c="Y")["updated1c"] == "Y"
    assert update(store, order, comments="x")["updated1c"] == "N"


def test_modify_erases_the_properties_that_are_omitted(store, order):
    said = {
        "order": {"id": 1, "propertyValues": [{"orderPropsId": 1, "value": "Bob"}, {"orderPropsId": 20, "value": 55}]}
    }
    values = store.result("sale.propertyvalue.modify", {"fields": said})["propertyValues"]
    assert {row["code"]: row["value"] for row in values} == {
        "FIO": "Bob",
        "EMAIL": None,
        "PHONE": None,
        "ADDRESS": None,
        "DEAL_ID": "55",
    }
    assert fresh(store, order)["version"] == 2
    listed = store.result("sale.propertyvalue.list", {"filter": {"orderId": 1, "code": "DEAL_ID"}})
    assert listed["propertyValues"][0]["value"] == "55"


def test_orders_are_listed_without_their_parts(store, clock):
    store.control("POST", "act", {"acts": [{"do": "create_order"}] * 55})
    clock.now += 60
    store.act("set_status", id=3, status="F")
    page = store.rest("sale.order.list", {"select": ["id"], "order": {"id": "DESC"}}).json()
    assert (page["total"], page["next"], page["result"]["orders"][0]) == (55, 50, {"id": 55})
    polled = store.result("sale.order.list", {"filter": {">=dateUpdate": "2023-11-15T01:14:20+03:00"}})["orders"]
    assert [row["id"] for row in polled] == [3]
    assert "payments" not in polled[0]
    by_number = store.result("sale.order.list", {"filter": {"accountNumber": "1007"}})["orders"]
    assert store.result("sale.order.list", {"filter": {"xmlId": by_number[0]["xmlId"]}})["orders"][0]["id"] == 7
    assert len(store.result("sale.order.list", {"filter": {"@id": [1, 2, 99]}})["orders"]) == 2


def test_an_order_is_built_by_rest_and_deleted(store):
    said = {"lid": "s1", "personTypeId": 1, "currency": "RUB", "xmlId": "mine"}
    order = store.result("sale.order.add", {"fields": said})["order"]
    line = {"orderId": order["id"], "productId": 5, "quantity": 3, "price": 100, "currency": "RUB", "name": "Cup"}
    item = store.result("sale.basketitem.add", {"fields": {**line, "xmlId": "mine/1"}})["basketItem"]
    assert (item["price"], item["xmlId"]) == (100, "mine/1")
    foreign = store.rest("sale.basketitem.add", {"fields": {**line, "currency": "EUR"}})
    assert (foreign.status_code, foreign.json()["error"]) == (400, 200140400011)
    assert len(store.result("sale.basketitem.list", {"filter": {"orderId": order["id"]}})["basketItems"]) == 1
    assert fresh(store, order)["price"] == 300
    assert store.result("sale.order.delete", {"id": order["id"]}) is True
    assert store.rest("sale.order.add", {"fields": {"lid": "s1"}}).status_code == 400


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("sale.order.get", {"id": 99}, 200540400001),
        ("sale.order.update", {"id": 99, "fields": {}}, 200540400001),
        ("sale.payment.get", {"id": 99}, 200640400001),
        ("sale.status.get", {"id": "ZZ"}, 201240400001),
        ("sale.order.get", {}, "100"),
        ("sale.order.update", {"id": 1}, 100),
    ],
)
def test_refusals_have_numbers(store, method, params, error):
    answer = store.rest(method, params)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_the_reference_lists(store, order):
    statuses = store.result("sale.status.list", {"filter": {"type": "O"}})["statuses"]
    assert [row["id"] for row in statuses] == ["N", "P", "F"]
    store.result("sale.status.add", {"fields": {"id": "SC", "type": "O", "sort": 160}})
    assert update(store, order, statusId="SC")["statusId"] == "SC"
    assert len(store.result("sale.persontype.list")["personTypes"]) == 2
    legal = store.result("sale.property.list", {"filter": {"personTypeId": 2, "code": "INN"}})["properties"]
    assert legal[0]["id"] == 10
    assert store.result("sale.shipment.list", {"filter": {"orderId": 1}})["shipments"][0]["deliveryId"] == 1
    assert store.result("sale.delivery.getlist")[0]["NAME"] == "Courier"
    assert store.result("sale.order.getFields")["order"]["payed"]["isReadOnly"] is True
    assert store.result("sale.payment.list", {"filter": {"orderId": 1}})["payments"][0]["id"] == 501


def test_people_edit_and_ship(store, order):
    edited = store.act(
        "edit_order", id=1, properties={"ADDRESS": "Elm 5"}, lines=[{"name": "x", "price": 10, "quantity": 2}]
    )
    assert edited == {"ok": True, "id": 1, "version": 2, "changed": True}
    store.act("ship_order", id=1, tracking="T1")
    store.act("cancel_order", id=1, reason="late")
    shown = fresh(store, order)
    assert (shown["price"], shown["deducted"], shown["reasonCanceled"], shown["empCanceledId"]) == (520, "Y", "late", 5)
    assert store.act("set_status", id=1, status="N")["changed"] is False
    assert store.control("GET", "state?ids=1&fields=version")["orders"] == [{"version": 4, "id": 1}]
